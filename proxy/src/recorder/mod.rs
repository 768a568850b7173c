//! Recording, off the data path.
//!
//! An exchange that ended is offered to a queue bounded in number and in bytes; a thread redacts, encodes and
//! writes it. What does not fit is shed with its whole connection from then on, so that a session in the
//! capture is never one with holes, and counted. A write error sheds what it hit and recording goes on.

mod convert;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use captures::header::{FileHeader, Options};
use captures::{Redactor, SessionId, Writer};
use serde::Serialize;
use smallvec::SmallVec;

use crate::Error;
use crate::books::{Scope, bump};
use crate::conn::ConnCtl;
use crate::exchange::{Answer, BodyCopy, Ending, Recorded, wall_us};
use crate::sync::lock;

/// An exchange on its way to the capture.
pub(crate) struct Item {
    pub(crate) session: SessionId,
    pub(crate) replayed: bool,
    pub(crate) ctl: Arc<ConnCtl>,
    pub(crate) edge: usize,
    pub(crate) start_us: u64,
    pub(crate) duration: Duration,
    /// The request header as HTTP/1 text.
    pub(crate) head: Bytes,
    pub(crate) http2: bool,
    pub(crate) request_body: BodyCopy,
    pub(crate) answer: Answer,
    pub(crate) ending: Ending,
    pub(crate) faults: SmallVec<[Arc<str>; 2]>,
    pub(crate) scopes: SmallVec<[Arc<Scope>; 2]>,
}

/// The way to the capture.
#[derive(Debug)]
pub(crate) struct Recorder {
    queue: SyncSender<Message>,
    state: Arc<State>,
    path: PathBuf,
}

#[derive(Debug, Default)]
struct State {
    stopped: AtomicBool,
    queued_bytes: AtomicUsize,
    recorded: AtomicU64,
    shed: AtomicU64,
    shed_connections: Mutex<HashSet<u64>>,
    error: Mutex<Option<String>>,
}

enum Message {
    Item(Box<Item>),
    Stop(SyncSender<()>),
}

/// What `/status` says of the recording.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RecordingStatus {
    pub(crate) file: String,
    /// `recording`, `failing` (the newest write did not succeed) or `stopped`.
    pub(crate) state: &'static str,
    pub(crate) recorded: u64,
    pub(crate) shed: u64,
    pub(crate) queued_bytes: usize,
    pub(crate) error: Option<String>,
}

/// How a capture is written.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) path: PathBuf,
    pub(crate) header: FileHeader,
    pub(crate) key: [u8; 32],
    pub(crate) edges: Vec<convert::EdgeName>,
}

pub(crate) use convert::EdgeName;

impl Recorder {
    /// Opens the capture (a new one, or an existing one to be continued) and starts the writer.
    ///
    /// # Errors
    /// The file is something else, or cannot be written.
    pub(crate) fn start(setup: Setup) -> Result<(Recorder, Writing), Error> {
        let redactor = Redactor::new(setup.key);
        let header = FileHeader { key_id: Some(redactor.key_id()), ..setup.header };
        let writer = if setup.path.exists() {
            Writer::append(&setup.path, header, Options::default())?
        } else {
            Writer::create(&setup.path, header, Options::default())?
        };
        let (queue, items) = mpsc::sync_channel(QUEUE);
        let state = Arc::<State>::default();
        let work = Work { writer, redactor, state: state.clone(), edges: setup.edges, shed_noted: 0 };
        let thread = std::thread::Builder::new()
            .name("squall-recorder".into())
            .spawn(move || work.run(&items))
            .map_err(Error::Thread)?;
        let writing = Writing { queue: queue.clone(), thread: Some(thread) };
        Ok((Recorder { queue, state, path: setup.path }, writing))
    }

    /// Offers an exchange; never waits.
    pub(crate) fn offer(&self, item: Item) -> Recorded {
        if self.state.stopped.load(Ordering::Acquire) {
            return Recorded::Not("stopped");
        }
        let connection = item.ctl.id;
        let weight = item.weight();
        let full = self.state.queued_bytes.load(Ordering::Acquire) + weight > MAX_QUEUED_BYTES;
        if full || self.is_shed(connection) {
            return self.shed(connection, if full { "queue_bytes" } else { "session" });
        }
        for scope in &item.scopes {
            scope.pend();
        }
        self.state.queued_bytes.fetch_add(weight, Ordering::AcqRel);
        match self.queue.try_send(Message::Item(Box::new(item))) {
            Ok(()) => Recorded::Sent,
            Err(error) => {
                self.state.queued_bytes.fetch_sub(weight, Ordering::AcqRel);
                let (mpsc::TrySendError::Full(message) | mpsc::TrySendError::Disconnected(message)) = error;
                if let Message::Item(item) = message {
                    item.scopes.iter().for_each(|scope| scope.pended());
                }
                self.shed(connection, "queue_full")
            }
        }
    }

    pub(crate) fn status(&self) -> RecordingStatus {
        let error = lock(&self.state.error).clone();
        let stopped = self.state.stopped.load(Ordering::Acquire);
        RecordingStatus {
            file: self.path.display().to_string(),
            state: match (stopped, &error) {
                (true, _) => "stopped",
                (false, Some(_)) => "failing",
                (false, None) => "recording",
            },
            recorded: self.state.recorded.load(Ordering::Relaxed),
            shed: self.state.shed.load(Ordering::Relaxed),
            queued_bytes: self.state.queued_bytes.load(Ordering::Relaxed),
            error,
        }
    }

    /// Ends the recording: writes what is queued, closes the capture. Later exchanges are not recorded.
    /// Blocks until the file is closed.
    pub(crate) fn stop(&self) {
        if self.state.stopped.swap(true, Ordering::AcqRel) {
            return;
        }
        let (done, wait) = mpsc::sync_channel(1);
        if self.queue.send(Message::Stop(done)).is_ok() {
            let _ = wait.recv();
        }
    }

    fn is_shed(&self, connection: u64) -> bool {
        let shed = lock(&self.state.shed_connections);
        !shed.is_empty() && shed.contains(&connection)
    }

    fn shed(&self, connection: u64, why: &'static str) -> Recorded {
        self.state.shed.fetch_add(1, Ordering::Relaxed);
        let mut shed = lock(&self.state.shed_connections);
        if shed.len() < MAX_SHED_CONNECTIONS {
            shed.insert(connection);
        }
        Recorded::Shed(why)
    }
}

impl Item {
    /// Bytes it holds, roughly.
    fn weight(&self) -> usize {
        self.head.len() + self.request_body.kept() + ITEM_BYTES
    }
}

/// The thread behind a [`Recorder`]; closing the capture happens at the latest when this is dropped.
#[derive(Debug)]
pub(crate) struct Writing {
    queue: SyncSender<Message>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        let (done, _) = mpsc::sync_channel(1);
        let _ = self.queue.send(Message::Stop(done));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Work {
    writer: Writer,
    redactor: Redactor,
    state: Arc<State>,
    edges: Vec<convert::EdgeName>,
    shed_noted: u64,
}

impl Work {
    fn run(mut self, items: &Receiver<Message>) {
        let stopped = loop {
            match items.recv_timeout(TICK) {
                Ok(Message::Item(item)) => self.write(&item),
                Ok(Message::Stop(done)) => break Some(done),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break None,
            }
            self.note_shed();
            let ticked = self.writer.tick(wall_us());
            self.note_error(ticked);
        };
        self.note_shed();
        let finished = self.writer.finish(wall_us());
        if let Err(error) = finished {
            tracing::error!(%error, "the capture could not be closed; `squall captures repair` will");
            *lock(&self.state.error) = Some(error.to_string());
        }
        if let Some(done) = stopped {
            let _ = done.try_send(());
        }
    }

    fn write(&mut self, item: &Item) {
        let outcome = convert::exchange(item, &self.edges).map(|mut exchange| {
            self.redactor.exchange(&mut exchange);
            self.writer.push(&exchange, wall_us())
        });
        self.state.queued_bytes.fetch_sub(item.weight(), Ordering::AcqRel);
        let why = match &outcome {
            Some(Ok(())) => None,
            Some(Err(_)) => Some("io"),
            None => Some("header"),
        };
        if why.is_none() {
            self.state.recorded.fetch_add(1, Ordering::Relaxed);
        } else {
            self.state.shed.fetch_add(1, Ordering::Relaxed);
        }
        for scope in &item.scopes {
            scope.note(item.edge, |books| match why {
                None => books.recorded += 1,
                Some(why) => bump(&mut books.shed, why),
            });
            scope.pended();
        }
        if let Some(outcome) = outcome {
            self.note_error(outcome);
        }
    }

    /// Tells the capture how many exchanges it will not hold.
    fn note_shed(&mut self) {
        let shed = self.state.shed.load(Ordering::Relaxed);
        if shed > self.shed_noted {
            self.writer.shed("queue", shed - self.shed_noted);
            self.shed_noted = shed;
        }
    }

    fn note_error(&self, outcome: Result<(), captures::error::Error>) {
        let mut shown = lock(&self.state.error);
        match outcome {
            Ok(()) => *shown = None,
            Err(error) => {
                let text = error.to_string();
                if shown.as_ref() != Some(&text) {
                    tracing::error!(%error, "recording fails; traffic goes on");
                }
                *shown = Some(text);
            }
        }
    }
}

/// Exchanges that may wait for the writer, and their bytes.
const QUEUE: usize = 64 * 1024;
const MAX_QUEUED_BYTES: usize = 128 << 20;
/// What an item weighs beside its header and body.
const ITEM_BYTES: usize = 512;
/// Connections remembered as shed; more than are ever open at once.
const MAX_SHED_CONNECTIONS: usize = 65_536;
const TICK: Duration = Duration::from_millis(100);
