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

use crate::bind::Sources;
use crate::cookies::Jar;
use crate::engine::flow::Flows;
use crate::engine::mux::{End, Mux};
use crate::engine::starts::Starts;
use crate::engine::taking::Taker;
use crate::engine::wire::Wire;
use crate::engine::{Job, Message};
use crate::http::Reader;
use crate::limits;
use crate::links::carried::Carried;
use crate::misbehave::{Behaviour, behaviour_of};
use crate::population::Start;
use crate::retry::Budget;
use crate::slab::{NONE, Slab};
use crate::tally::{Interval, Sums, Tally, Why};
use crate::wheel::{Links, Wheel};

/// A session between its start and its end. What it is follows from its program and its number.
#[derive(Debug)]
pub(crate) struct Session {
    /// Its due start, in nanoseconds of the run; later than planned where `--late-policy queue` shifted the rest.
    pub(crate) start_ns: u64,
    /// While it thinks: when its next step is due. Else the last time that it was held up to.
    pub(crate) due_ns: u64,
    pub(crate) program: u32,
    pub(crate) clone: u32,
    /// Its row of the users file, and its place where a number of sessions is held alive.
    pub(crate) user: u32,
    /// Next step to release.
    pub(crate) next: u32,
    /// First of its operations in flight.
    pub(crate) ops: u32,
    /// First of its own connections.
    pub(crate) conns: u32,
    /// Its cookie jar, once the server has set something.
    pub(crate) jar: u32,
    /// What answers gave it for later requests, once there is something.
    pub(crate) carried: u32,
    /// Next session in the same slot of the timer wheel.
    pub(crate) timer: u32,
    /// How late its last request left, in microseconds; [`NOT_SENT`] before the first.
    pub(crate) late_us: u32,
    /// The next step waits for an operation in flight.
    pub(crate) blocked: bool,
    /// It was ended before its last step.
    pub(crate) cut: bool,
    /// Its user has left: what is in flight ends, nothing follows.
    pub(crate) gone: bool,
    /// A rule touched an answer to it, or something failed: what it is told from then on is another matter.
    pub(crate) hurt: bool,
    /// It is in the timer wheel, which never gives up what it holds: until it comes out, the record stays.
    pub(crate) thinks: bool,
}

/// [`Session::late_us`] before the first request.
pub(crate) const NOT_SENT: u32 = u32::MAX;

/// An operation that was released and has not ended.
#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) session: u32,
    pub(crate) step: u32,
    /// Next operation in flight of the same session.
    pub(crate) next: u32,
    pub(crate) conn: u32,
    /// Its stream on an HTTP/2 connection; 0: none yet.
    pub(crate) stream: u32,
    /// What is known of it as a stream of messages; `NONE`: it is none.
    pub(crate) flow: u32,
    /// What is collected of its answer; `NONE`: nothing of it is wanted.
    pub(crate) taker: u32,
    /// Tells it from an earlier operation of the same number.
    pub(crate) serial: u32,
    /// From 1.
    pub(crate) attempt: u32,
    pub(crate) id: u64,
    /// When it was due.
    pub(crate) intended_ns: u64,
    /// When this attempt could go at the earliest: due, and its predecessor answered.
    pub(crate) ready_ns: u64,
    /// When it began to wait for a connection or a place in the rate.
    pub(crate) waiting_ns: u64,
    /// Waits of this attempt so far that are not our doing.
    pub(crate) waited_ns: u64,
    /// Of these, for a connection.
    pub(crate) conn_wait_ns: u64,
    /// 0 until this attempt was sent.
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
    /// The answer says that a gRPC call failed (`grpc-status` other than 0).
    pub(crate) grpc_failed: bool,
    /// The peer refused its stream without looking at it.
    pub(crate) was_refused: bool,
    /// It had to wait for the step before it.
    pub(crate) was_blocked: bool,
    /// It is the second of a double submit.
    pub(crate) is_double: bool,
    /// Number of the answer's content coding, see [`crate::engine::compare`]; 0: none.
    pub(crate) coding: u8,
    /// Bytes of the answer's body so far.
    pub(crate) body_len: u64,
    /// What the answer says in Retry-After, in seconds; 0: nothing.
    pub(crate) retry_after_s: u32,
    /// The rules that touched the answer (`squall-fault`).
    pub(crate) fault: Option<Box<str>>,
    /// The rules that touched calls which it caused behind the target (`squall-fault-below`).
    pub(crate) below: Option<Box<str>>,
}

/// Something that an operation does at a time of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Later {
    pub(crate) due_ns: u64,
    pub(crate) op: u32,
    pub(crate) serial: u32,
    pub(crate) what: Act,
}

/// What an operation does later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Act {
    /// Its next attempt.
    Retry,
    /// Its next message.
    Message,
    /// Its user gives up waiting.
    Abandon,
    /// It is ended by us, as it was in the recording.
    Close,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Connecting,
    Handshake,
    /// Open, but the peer has not told its limit of streams: the first goes, the others wait.
    Greeting,
    /// Open, and free for a request.
    Idle,
    /// Open, and carrying as much as it can.
    Busy,
}

impl Stage {
    /// Whether operations may join those that wait for it.
    pub(crate) fn is_opening(self) -> bool {
        matches!(self, Stage::Connecting | Stage::Handshake | Stage::Greeting)
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Conn {
    /// Tells a task whose connection is gone from the next one in the same slot.
    pub(crate) generation: u32,
    pub(crate) stage: Stage,
    /// The operation it carries, or was opened for; `NONE` for one that carries streams.
    pub(crate) op: u32,
    /// The session that owns it; `NONE`: the pool.
    pub(crate) owner: u32,
    /// Which of the session's connections it is.
    pub(crate) lane: u16,
    /// Next connection of the same session.
    pub(crate) next: u32,
    /// Where it stands among the idle ones of the pool, while it is one of them.
    pub(crate) place: u32,
    /// It has carried an answer.
    pub(crate) used: bool,
    /// Bytes a second that its user's link takes, and that its user reads; `None`: as much as there is.
    pub(crate) link: Option<u64>,
    pub(crate) reads: Option<u64>,
    pub(crate) wire: Option<Wire>,
    pub(crate) speaks: Speaks,
    pub(crate) task: Option<AbortHandle>,
}

/// What is spoken on a connection.
#[derive(Debug)]
pub(crate) enum Speaks {
    /// One request at a time.
    Http1(Reader),
    /// Many streams.
    Http2(Box<Mux>),
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
    /// The duration is over, and whoever thought has ended.
    pub(crate) is_expired: bool,
    /// What is due before this is left out of the figures.
    pub(crate) warmup_ns: u64,
    pub(crate) phase: Phase,
    /// Since when the user pauses the run.
    pub(crate) paused_since: Option<u64>,
    /// How much later than planned the rest of the plan lies, by pauses.
    pub(crate) shift_ns: u64,

    /// Sessions to start, by time.
    pub(crate) starts: Starts,
    /// Sessions that take the place of ended ones.
    pub(crate) replacements: BinaryHeap<Reverse<Start>>,
    pub(crate) sessions: Slab<Session>,
    pub(crate) ops: Slab<Op>,
    pub(crate) conns: Slab<Conn>,
    pub(crate) jars: Slab<Jar>,
    /// What answers gave to clones for their later requests.
    pub(crate) carried: Slab<Carried>,
    /// Answers in flight whose bodies hold something for later requests.
    pub(crate) takers: Slab<Taker>,
    /// Operations that are streams of messages.
    pub(crate) flows: Flows,
    /// Sessions that think.
    pub(crate) wheel: Wheel,
    /// Operations that do something at a time of their own.
    pub(crate) later: BinaryHeap<Reverse<Later>>,
    /// Operations that wait for their place in the rate, with their serial numbers.
    pub(crate) held: VecDeque<(u64, u32, u32)>,
    /// Operations that wait for a connection, with their serial numbers.
    pub(crate) waiting: VecDeque<(u32, u32)>,
    /// The serial number of the last operation.
    pub(crate) serial: u32,
    pub(crate) budget: Budget,
    /// Connections of the pool that have room, last used last.
    pub(crate) idle: Vec<u32>,
    /// HTTP/2 connections of the pool that are being opened.
    pub(crate) opening: Vec<u32>,
    /// HTTP/2 connections with bytes to write at the end of the turn.
    pub(crate) dirty: Vec<ConnId>,
    /// Room for the streams that ended in one read: operation, serial number, how.
    pub(crate) ended: Vec<(u32, u32, End)>,
    /// Open HTTP/2 streams.
    pub(crate) open_streams: u64,
    /// How many connections of sessions are idle.
    pub(crate) idle_owned: usize,
    /// Where the search for an idle connection to close goes on.
    pub(crate) hand: u32,
    pub(crate) max_conns: usize,
    /// Most sessions at once at full speed: as many as can have a request in flight.
    pub(crate) max_active: usize,
    /// Where the search for overdue operations goes on.
    pub(crate) swept: u32,
    /// Local addresses to open connections from.
    pub(crate) sources: Option<Sources>,
    pub(crate) generation: u32,

    pub(crate) alarm: Rc<AsyncFd<OwnedFd>>,
    pub(crate) armed_ns: u64,
    pub(crate) next_sweep_ns: u64,
    pub(crate) tally: Tally,
    pub(crate) interval: Interval,
    /// Sums of the tally at the end of the second that was told last.
    pub(crate) told: Sums,
    pub(crate) read_buffer: Vec<u8>,
    pub(crate) plain_buffer: Vec<u8>,
    pub(crate) scratch: Vec<u8>,
    /// The body of a request that values go into.
    pub(crate) body: Vec<u8>,
}

impl Engine {
    /// Nanoseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn fully_paced(&self) -> bool {
        matches!(self.job.speed, crate::options::Speed::Times(_))
    }

    /// Whether everything was sent and has ended.
    pub(crate) fn is_over(&self) -> bool {
        let nothing_flies = self.ops.len() == 0;
        match self.phase {
            Phase::Running => {
                nothing_flies
                    && self.sessions.len() == 0
                    && self.replacements.is_empty()
                    && self.starts.peek().is_none()
            }
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

    /// Tells what happened up to a second that has begun: the sweep that would tell it comes up to 50 ms after its end.
    pub(crate) fn begin_second(&mut self, second: u64) {
        while self.interval.second < second {
            self.tell_second();
        }
    }

    /// Tells the coordinator what happened in the second that ends.
    pub(crate) fn tell_second(&mut self) {
        let next = self.job.interval(self.interval.second + 1);
        let mut done = std::mem::replace(&mut self.interval, next);
        done.active = self.sessions.len() as u64;
        done.connections = self.conns.len() as u64;
        let sums = Sums::of(&self.tally);
        done.sums = sums.since(&std::mem::replace(&mut self.told, sums));
        // The coordinator outlives the threads; if it is gone, so is the run.
        let _ = self.seconds.send(Message::Second(Box::new(done)));
    }

    /// How the user of a session behaves.
    pub(crate) fn behaviour(&self, session: &Session) -> Behaviour {
        let session_word = self.job.plan.program(session.program).session();
        behaviour_of(&self.job.misbehaviours, self.job.plan.seed, session_word, session.clone)
    }
}

impl Links for Slab<Session> {
    fn due(&self, id: u32) -> u64 {
        self[id].due_ns
    }

    fn next(&self, id: u32) -> u32 {
        self[id].timer
    }

    fn set_next(&mut self, id: u32, next: u32) {
        self[id].timer = next;
    }
}

impl Op {
    pub(crate) fn new(session: u32, step: u32, id: u64) -> Op {
        Op {
            session,
            step,
            next: NONE,
            conn: NONE,
            stream: 0,
            flow: NONE,
            taker: NONE,
            serial: 0,
            attempt: 1,
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
            grpc_failed: false,
            was_refused: false,
            was_blocked: false,
            is_double: false,
            coding: 0,
            body_len: 0,
            retry_after_s: 0,
            fault: None,
            below: None,
        }
    }
}

const _: () = assert!(size_of::<Session>() <= 64, "ten million thinking sessions fit in 1 GiB");
const _: () = assert!(limits::READ_BYTES >= 16 * 1024, "a TLS record fits into one read");
