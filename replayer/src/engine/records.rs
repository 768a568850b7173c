//! The records of a thread: sessions, operations in flight, connections, and the engine that holds them.
//!
//! ```text
//! Start (16 B) -> Session (<= 64 B) -> Op (only in flight) -> Conn
//! ```

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;

use crate::cookies::Jar;
use crate::engine::wire::Wire;
use crate::engine::{Job, Message};
use crate::http::Reader;
use crate::limits;
use crate::plan::Start;
use crate::slab::{NONE, Slab};
use crate::tally::{Interval, Tally, Why};

/// A session between its start and its end. What it is follows from its program and its number.
#[derive(Debug)]
pub(crate) struct Session {
    /// Its due start, in nanoseconds of the run.
    pub(crate) start_ns: u64,
    /// When the predecessor of the next step ended, where the step had to wait for it.
    pub(crate) ready_ns: u64,
    pub(crate) program: u32,
    pub(crate) clone: u32,
    /// Next step to release.
    pub(crate) next: u32,
    /// First of its operations in flight.
    pub(crate) ops: u32,
    /// First of its own connections.
    pub(crate) conns: u32,
    /// Its cookie jar, once the server has set something.
    pub(crate) jar: u32,
    /// The next step waits for an operation in flight.
    pub(crate) blocked: bool,
    /// It was ended before its last step.
    pub(crate) cut: bool,
}

/// An operation that was released and has not ended.
#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) session: u32,
    pub(crate) step: u32,
    /// Next operation in flight of the same session.
    pub(crate) next: u32,
    pub(crate) conn: u32,
    pub(crate) id: u64,
    /// When it was due.
    pub(crate) intended_ns: u64,
    /// When it could go at the earliest: due, and its predecessor answered.
    pub(crate) ready_ns: u64,
    /// When it began to wait for a connection or a place in the rate.
    pub(crate) waiting_ns: u64,
    /// Waits so far that are not our doing.
    pub(crate) waited_ns: u64,
    /// Of these, for a connection.
    pub(crate) conn_wait_ns: u64,
    /// 0 until it was sent.
    pub(crate) sent_ns: u64,
    /// 0 until the first byte of the answer.
    pub(crate) first_ns: u64,
    /// Status of the answer, once its head has come.
    pub(crate) status: u16,
    /// It takes a new connection, never one that was used.
    pub(crate) fresh: bool,
    /// It has its place in the rate.
    pub(crate) paid: bool,
    /// The answer was made by the proxy (`squall-error`).
    pub(crate) by_proxy: bool,
    /// The rules that touched the answer (`squall-fault`).
    pub(crate) fault: Option<Box<str>>,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Connecting,
    Handshake,
    Idle,
    Busy,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Conn {
    /// Tells a task whose connection is gone from the next one in the same slot.
    pub(crate) generation: u32,
    pub(crate) stage: Stage,
    /// The operation it carries, or was opened for.
    pub(crate) op: u32,
    /// The session that owns it; `NONE`: the pool.
    pub(crate) owner: u32,
    /// Which of the session's connections it is.
    pub(crate) lane: u16,
    /// Next connection of the same session.
    pub(crate) next: u32,
    /// It has carried an answer.
    pub(crate) used: bool,
    pub(crate) wire: Option<Wire>,
    pub(crate) reader: Reader,
    pub(crate) task: Option<AbortHandle>,
}

/// Names one connection for its task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// Where the run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// Nothing new is sent; what is in flight may end by then.
    Draining {
        until_ns: u64,
    },
}

/// Everything of one thread.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) me: Weak<RefCell<Engine>>,
    /// Behind an `Rc` so that holding on to it on the hot path touches no memory that threads share.
    #[allow(clippy::redundant_allocation)]
    pub(crate) job: Rc<Arc<Job>>,
    pub(crate) seconds: Sender<Message>,
    pub(crate) origin: Instant,
    pub(crate) duration_ns: u64,
    pub(crate) phase: Phase,

    /// Sessions to start, by time, from `started` on.
    pub(crate) starts: Vec<Start>,
    pub(crate) started: usize,
    pub(crate) sessions: Slab<Session>,
    pub(crate) ops: Slab<Op>,
    pub(crate) conns: Slab<Conn>,
    pub(crate) jars: Slab<Jar>,
    /// Due times of sessions that think.
    pub(crate) timers: BinaryHeap<Reverse<(u64, u32)>>,
    /// Operations that have a connection and wait for their place in the rate.
    pub(crate) held: VecDeque<(u64, u32)>,
    /// Operations that wait for a connection.
    pub(crate) waiting: VecDeque<u32>,
    /// Idle connections of the pool, last used last.
    pub(crate) idle: Vec<u32>,
    /// How many connections of sessions are idle.
    pub(crate) idle_owned: usize,
    /// Where the search for an idle connection to close goes on.
    pub(crate) hand: u32,
    pub(crate) max_conns: usize,
    pub(crate) generation: u32,

    pub(crate) alarm: Rc<AsyncFd<OwnedFd>>,
    pub(crate) armed_ns: u64,
    pub(crate) next_sweep_ns: u64,
    pub(crate) tally: Tally,
    pub(crate) interval: Interval,
    pub(crate) read_buffer: Vec<u8>,
    pub(crate) plain_buffer: Vec<u8>,
    pub(crate) scratch: Vec<u8>,
}

impl Engine {
    /// Nanoseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn fully_paced(&self) -> bool {
        matches!(self.job.plan.speed, crate::options::Speed::Times(_))
    }

    /// Sessions not started, by time.
    pub(crate) fn next_start(&self) -> Option<&Start> {
        self.starts.get(self.started)
    }

    /// Whether everything was sent and has ended.
    pub(crate) fn is_over(&self) -> bool {
        let nothing_flies = self.ops.len() == 0;
        match self.phase {
            Phase::Running => nothing_flies && self.sessions.len() == 0 && self.next_start().is_none(),
            Phase::Draining { .. } => nothing_flies,
        }
    }

    /// Sees to it that the driver wakes up by `due_ns`.
    pub(crate) fn wake_by(&mut self, due_ns: u64) {
        if due_ns < self.armed_ns {
            self.arm(due_ns);
        }
    }

    /// Sets the alarm to `due_ns`, whatever it was.
    pub(crate) fn arm(&mut self, due_ns: u64) {
        self.armed_ns = due_ns;
        let wait = std::time::Duration::from_nanos(due_ns.saturating_sub(self.now()));
        if let Err(err) = crate::sys::arm(self.alarm.get_ref(), wait) {
            tracing::error!(error = %err, "cannot set the timer");
        }
    }

    pub(crate) fn never(&mut self, why: Why, count: u64) {
        self.tally.never_sent[why as usize] += count;
    }

    /// Tells the coordinator what happened in the second that ends.
    pub(crate) fn tell_second(&mut self) {
        let next = Interval::new(self.interval.second + 1);
        let mut done = std::mem::replace(&mut self.interval, next);
        done.active = self.sessions.len() as u64;
        // The coordinator outlives the threads; if it is gone, so is the run.
        let _ = self.seconds.send(Message::Second(Box::new(done)));
    }

    /// The connection of `session` for `lane`, if it has one that is free.
    pub(crate) fn owned(&self, session: u32, lane: u16) -> Option<u32> {
        let mut slot = self.sessions[session].conns;
        while slot != NONE {
            let conn = &self.conns[slot];
            if conn.lane == lane && conn.stage == Stage::Idle {
                return Some(slot);
            }
            slot = conn.next;
        }
        None
    }
}

impl Op {
    pub(crate) fn new(session: u32, step: u32, id: u64) -> Op {
        Op {
            session,
            step,
            next: NONE,
            conn: NONE,
            id,
            intended_ns: 0,
            ready_ns: 0,
            waiting_ns: 0,
            waited_ns: 0,
            conn_wait_ns: 0,
            sent_ns: 0,
            first_ns: 0,
            status: 0,
            fresh: false,
            paid: false,
            by_proxy: false,
            fault: None,
        }
    }
}

const _: () = assert!(size_of::<Session>() <= 64, "ten million thinking sessions fit in 1 GiB");
const _: () = assert!(limits::READ_BYTES >= 16 * 1024, "a TLS record fits into one read");
