//! Recording, off the data path.
//!
//! An exchange that ended is offered to a queue bounded in number and in bytes; a thread redacts, encodes and
//! writes it. What does not fit is shed with its whole connection from then on, so that a session in the
//! capture is never one with holes, and counted. A write error sheds what it hit and recording goes on.

mod convert;
mod queued;
mod work;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use captures::header::{FileHeader, Options};
use captures::{Redactor, SessionId, Writer};
use serde::Serialize;
use smallvec::SmallVec;

use crate::Error;
use crate::books::Scope;
use crate::conn::ConnCtl;
use crate::exchange::{Answer, BodyCopy, Ending, Recorded, StreamBudget, StreamLog};
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
    pub(crate) stream: Option<Box<StreamLog>>,
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
    streams: Arc<StreamBudget>,
}

#[derive(Debug, Default)]
struct State {
    stopped: AtomicBool,
    queued_bytes: AtomicUsize,
    recorded: AtomicU64,
    shed: AtomicU64,
    /// Of those shed, the ones that never reached the writer.
    turned_away: AtomicU64,
    shed_connections: Mutex<HashSet<u64>>,
    error: Mutex<Option<String>>,
}

enum Message {
    Item(Box<Queued>),
    Stop(SyncSender<()>),
}

impl Message {
    /// The queue did not take it: somebody else books it.
    fn take_back(self) {
        if let Message::Item(queued) = self {
            queued.take_back();
        }
    }
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

use queued::Queued;
use work::Work;

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
        let work = Work::new(writer, redactor, state.clone(), setup.edges);
        let thread = std::thread::Builder::new()
            .name("squall-recorder".into())
            .spawn(move || work.run(&items))
            .map_err(Error::Thread)?;
        let writing = Writing { queue: queue.clone(), thread: Some(thread) };
        Ok((Recorder { queue, state, path: setup.path, streams: Arc::default() }, writing))
    }

    /// Offers an exchange; never waits.
    pub(crate) fn offer(&self, item: Item) -> Recorded {
        if self.state.stopped.load(Ordering::Acquire) {
            return Recorded::Not("stopped");
        }
        let connection = item.ctl.id;
        let full = self.state.queued_bytes.load(Ordering::Acquire) + item.weight() > MAX_QUEUED_BYTES;
        if full || self.is_shed(connection) {
            return self.shed(connection, if full { "queue_bytes" } else { "session" });
        }
        match self.queue.try_send(Message::Item(Box::new(Queued::new(item, &self.state)))) {
            Ok(()) => Recorded::Sent,
            Err(TrySendError::Full(message)) => {
                message.take_back();
                self.shed(connection, "queue_full")
            }
            Err(TrySendError::Disconnected(message)) => {
                message.take_back();
                Recorded::Not("stopped")
            }
        }
    }

    /// What the messages of streams may take, all together.
    pub(crate) fn stream_budget(&self) -> &Arc<StreamBudget> {
        &self.streams
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
        self.state.turned_away.fetch_add(1, Ordering::Relaxed);
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
        let messages = self.stream.as_ref().map_or(0, |stream| stream.held());
        self.head.len() + self.request_body.kept() + messages + ITEM_BYTES
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

/// Exchanges that may wait for the writer, and their bytes.
const QUEUE: usize = 64 * 1024;
const MAX_QUEUED_BYTES: usize = 128 << 20;
/// What an item weighs beside its header and body.
const ITEM_BYTES: usize = 512;
/// Connections remembered as shed; more than are ever open at once.
const MAX_SHED_CONNECTIONS: usize = 65_536;
