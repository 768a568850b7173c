//! Recording, off the data path.
//!
//! An exchange that ended is offered to a queue bounded in number and in bytes; a thread redacts, encodes and
//! writes it. What does not fit is shed with its whole session from then on (`shedding`), so that a session in the
//! capture is never one with holes, and counted. A write error sheds what it hit and recording goes on; so it does when
//! the file or its folder vanishes and comes back (`files`).

mod bodies;
pub(crate) mod cli;
mod convert;
mod files;
mod policy;
mod queued;
mod shedding;
mod work;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use captures::header::{FileHeader, Options};
use captures::links::Printer;
use captures::{Redactor, SessionId};
use serde::Serialize;
use smallvec::SmallVec;

use crate::Error;
use crate::books::Scope;
use crate::conn::ConnCtl;
use crate::exchange::{Answer, BodyCopy, Budget, Ending, Heads, MAX_HELD, Recorded, StreamLog};
use crate::sync::lock;

/// An exchange on its way to the capture.
pub(crate) struct Item {
    pub(crate) session: SessionId,
    pub(crate) replayed: bool,
    pub(crate) ctl: Arc<ConnCtl>,
    pub(crate) edge: usize,
    pub(crate) start_us: u64,
    pub(crate) duration: Duration,
    pub(crate) heads: Heads,
    pub(crate) http2: bool,
    pub(crate) request_body: BodyCopy,
    pub(crate) answer: Answer,
    pub(crate) answer_body: BodyCopy,
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
    options: Options,
    budget: Arc<Budget>,
    /// Where answers are looked into for links and let go: what they may take until then.
    leaves: Option<Arc<Budget>>,
}

#[derive(Debug, Default)]
struct State {
    stopped: AtomicBool,
    queued_bytes: AtomicUsize,
    recorded: AtomicU64,
    shed: AtomicU64,
    /// Of those shed, the ones that never reached the writer.
    turned_away: AtomicU64,
    shedding: Shedding,
    bodies: Bodies,
    error: Mutex<Option<String>>,
    /// The file that is written now.
    file: Mutex<PathBuf>,
    /// Files closed so far, and old ones that a ring removed.
    closed: AtomicU64,
    removed: AtomicU64,
}

enum Message {
    Item(Queued),
    Rotate,
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
    /// Sessions of which an exchange was shed, so that all that follow are too.
    pub(crate) shed_sessions: usize,
    /// Files that are closed already, and of those the ones that a ring has removed.
    pub(crate) files_closed: u64,
    pub(crate) files_removed: u64,
    /// What a kill or a crash costs at most: the open block, in bytes before compression and in microseconds.
    pub(crate) loss_window_bytes: usize,
    pub(crate) loss_window_us: u64,
    pub(crate) queued_bytes: usize,
    /// Bodies of recorded exchanges that are not there in full, by reason.
    pub(crate) bodies: BodiesStatus,
    pub(crate) error: Option<String>,
}

/// How a capture is written.
pub(crate) struct Setup {
    pub(crate) path: PathBuf,
    pub(crate) header: FileHeader,
    /// `None` writes secrets as they are.
    pub(crate) redactor: Option<Redactor>,
    pub(crate) edges: Vec<convert::EdgeName>,
    /// How blocks are closed, and how often the disk is waited for.
    pub(crate) options: Options,
    pub(crate) rotation: Rotation,
    /// What is kept of bodies.
    pub(crate) bodies: Kept,
    /// From which the key of the prints follows.
    pub(crate) key: [u8; 32],
    /// For tests: how long each exchange takes.
    pub(crate) pause: Duration,
}

pub(crate) use bodies::{BodiesStatus, Kept};
pub(crate) use convert::EdgeName;
pub use files::Rotation;
pub(crate) use policy::Keep;
pub use policy::{BodyPolicy, RecordBodies};

use bodies::Bodies;
use files::Files;
use queued::Queued;
use shedding::Shedding;
use work::Work;

impl Recorder {
    /// Opens the capture (a new one, or an existing one to be continued) and starts the writer.
    ///
    /// # Errors
    /// The file is something else, or cannot be written.
    pub(crate) fn start(setup: Setup) -> Result<(Recorder, Writing), Error> {
        let redactor = setup.redactor;
        let header = FileHeader { key_id: redactor.as_ref().map(Redactor::key_id), ..setup.header };
        let options = setup.options.clone();
        let (files, writer) =
            Files::open(setup.path, header, (options.clone(), setup.rotation), crate::time::wall_us())?;
        let (queue, items) = mpsc::sync_channel(QUEUE);
        let state = Arc::<State>::default();
        *lock(&state.file) = files.path();
        let printer = setup.bodies.leaves.then(|| Printer::new(&setup.key));
        let leaves = setup.bodies.leaves.then(|| Budget::new(MAX_LEAVES));
        let work = Work::new(
            (files, writer),
            (redactor, printer),
            state.clone(),
            (setup.edges, setup.bodies),
            setup.pause,
        );
        let thread = std::thread::Builder::new()
            .name("squall-recorder".into())
            .spawn(move || work.run(&items))
            .map_err(Error::Thread)?;
        let writing = Writing { queue: queue.clone(), thread: Some(thread) };
        Ok((Recorder { queue, state, options, budget: Budget::new(MAX_HELD), leaves }, writing))
    }

    /// Offers an exchange; never waits.
    pub(crate) fn offer(&self, mut item: Box<Item>) -> Recorded {
        if self.state.stopped.load(Ordering::Acquire) {
            return Recorded::Not("stopped");
        }
        let session = item.session;
        let queued = self.state.queued_bytes.load(Ordering::Acquire);
        if self.leaves.is_some() && MAX_QUEUED_BYTES / 8 < queued {
            // what links may be found in goes before a session does
            item.answer_body.let_go();
        }
        let bytes = queued + item.weight();
        if MAX_QUEUED_BYTES < bytes {
            return self.shed(session, "queue_bytes");
        }
        if self.state.shedding.sheds(session, bytes * 256 / MAX_QUEUED_BYTES) {
            return self.shed(session, "session");
        }
        match self.queue.try_send(Message::Item(Queued::new(item, &self.state))) {
            Ok(()) => Recorded::Sent,
            Err(TrySendError::Full(message)) => {
                message.take_back();
                self.shed(session, "queue_full")
            }
            Err(TrySendError::Disconnected(message)) => {
                message.take_back();
                Recorded::Not("stopped")
            }
        }
    }

    /// Begins the next file as soon as what is queued is written; whether it was noted. Never waits.
    pub(crate) fn rotate(&self) -> bool {
        !self.state.stopped.load(Ordering::Acquire) && self.queue.try_send(Message::Rotate).is_ok()
    }

    /// What bodies and messages may take, all together.
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// What bodies of answers may take, all together.
    pub(crate) fn answers(&self) -> &Arc<Budget> {
        self.leaves.as_ref().unwrap_or(&self.budget)
    }

    pub(crate) fn status(&self) -> RecordingStatus {
        let error = lock(&self.state.error).clone();
        let stopped = self.state.stopped.load(Ordering::Acquire);
        RecordingStatus {
            file: lock(&self.state.file).display().to_string(),
            state: match (stopped, &error) {
                (true, _) => "stopped",
                (false, Some(_)) => "failing",
                (false, None) => "recording",
            },
            recorded: self.state.recorded.load(Ordering::Relaxed),
            shed: self.state.shed.load(Ordering::Relaxed),
            shed_sessions: self.state.shedding.lost(),
            files_closed: self.state.closed.load(Ordering::Relaxed),
            files_removed: self.state.removed.load(Ordering::Relaxed),
            loss_window_bytes: self.options.block_bytes,
            loss_window_us: self.options.block_age_us,
            queued_bytes: self.state.queued_bytes.load(Ordering::Relaxed),
            bodies: self.state.bodies.status(),
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

    fn shed(&self, session: SessionId, why: &'static str) -> Recorded {
        self.state.shed.fetch_add(1, Ordering::Relaxed);
        self.state.turned_away.fetch_add(1, Ordering::Relaxed);
        self.state.shedding.lose(session);
        Recorded::Shed(why)
    }
}

impl Item {
    /// Bytes it holds, roughly.
    fn weight(&self) -> usize {
        let messages = self.stream.as_ref().map_or(0, |stream| stream.held());
        let bodies = self.request_body.kept() + self.answer_body.kept();
        self.heads.len() + bodies + messages + ITEM_BYTES
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
/// What answers that are looked into for links may take until they are.
const MAX_LEAVES: usize = 64 << 20;
/// What an item weighs beside its header and body.
const ITEM_BYTES: usize = 512;
