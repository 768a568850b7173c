//! Sends a plan and measures what comes back: one thread per core, each with its own runtime, sessions and sockets.
//!
//! Threads share the plan, the wish to stop and the gate of the rate, all without a lock; what they count is
//! merged once a second and at the end. Nothing here knows the capture, the proxy's books or the report.

mod compare;
mod connect;
mod drain;
mod flow;
mod mux;
mod pause;
mod pool;
mod records;
mod schedule;
mod send;
mod settle;
mod starts;
mod taking;
mod thread;
mod trace;
mod wire;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use crate::drift::Answers;
use crate::engine::starts::Starts;
use crate::error::Error;
use crate::late::LatePolicy;
use crate::limits;
use crate::misbehave::Misbehaviour;
use crate::options::Speed;
use crate::pacing::RateGate;
use crate::plan::Plan;
use crate::population::Start;
use crate::reconnect::Reconnect;
use crate::retry::Retry;
use crate::stop::{Stop, Wish};
use crate::tally::{Interval, Tally, Why};
use crate::traces::Traces;
use crate::users::Users;

/// What the threads are to do.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) plan: Arc<Plan>,
    pub(crate) target: Target,
    /// Tag of the run, 8 hex digits.
    pub(crate) run: String,
    pub(crate) threads: usize,
    /// Most connections over all threads.
    pub(crate) connections: usize,
    pub(crate) gate: Option<RateGate>,
    pub(crate) duration: Option<Duration>,
    pub(crate) warmup: Option<Duration>,
    pub(crate) timeout: Duration,
    /// Requests go as streams of HTTP/2 connections.
    pub(crate) http2: bool,
    /// Most streams that we open on one connection.
    pub(crate) streams: u32,
    pub(crate) late_policy: LatePolicy,
    pub(crate) retry: Retry,
    pub(crate) misbehaviours: Vec<Misbehaviour>,
    pub(crate) reconnect: Reconnect,
    /// Sessions that are replayed alone, in place of the plan's; what comes back to them is kept.
    pub(crate) rehearsal: Option<Vec<Start>>,
    /// How fast time passes.
    pub(crate) speed: Speed,
    /// Most sessions alive at once, roughly.
    pub(crate) peak_sessions: u64,
    /// Identities, a row for each session.
    pub(crate) users: Option<Arc<Users>>,
    /// Local addresses to open connections from.
    pub(crate) bind: Arc<[IpAddr]>,
    /// When the run begins; `None`: now.
    pub(crate) start_at: Option<SystemTime>,
    pub(crate) stop: Stop,
    /// Whether to keep the set of sent operations for the join with a proxy.
    pub(crate) count_ops: bool,
    /// Whether seconds hold what only metrics want.
    pub(crate) metered: bool,
    /// Where spans of attempts go, if anywhere.
    pub(crate) traces: Option<Traces>,
}

/// Whom the threads speak to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) tls: Option<Tls>,
}

/// How TLS is spoken to the target.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) config: Arc<rustls::ClientConfig>,
    pub(crate) name: rustls::pki_types::ServerName<'static>,
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    /// From the first due time to the last event.
    pub(crate) elapsed: Duration,
}

impl Outcome {
    /// What comes out of a run that was called off.
    pub(crate) fn nothing(job: &Job) -> Outcome {
        let mut tally = job.tally();
        for worker in 0..job.threads {
            tally.planned += Starts::planned(&job.plan.population, worker, job.threads).drop_rest();
        }
        tally.never_sent[Why::Guard as usize] = tally.planned;
        Outcome { tally, elapsed: Duration::ZERO }
    }
}

/// What the threads share to begin at the same instant.
#[derive(Debug)]
struct Gun {
    ready: Barrier,
    go: Barrier,
    origin: OnceLock<Instant>,
}

enum Message {
    Second(Box<Interval>),
    Done(Box<Tally>),
}

/// Runs the job to its end. `on_second` sees each second once all threads have told theirs.
pub(crate) fn run(job: &Arc<Job>, on_second: &mut dyn FnMut(&Interval)) -> Result<Outcome, Error> {
    let gun = Arc::new(Gun {
        ready: Barrier::new(job.threads + 1),
        go: Barrier::new(job.threads + 1),
        origin: OnceLock::new(),
    });
    let (sender, receiver) = mpsc::channel();
    let mut threads = Vec::with_capacity(job.threads);
    for index in 0..job.threads {
        let (job, gun, sender) = (Arc::clone(job), Arc::clone(&gun), sender.clone());
        let thread = std::thread::Builder::new().name(format!("replay-{index}"));
        threads.push(thread.spawn(move || thread::main(&job, index, &gun, &sender))?);
    }
    drop(sender);
    gun.ready.wait();
    wait_for_start(job);
    let origin = *gun.origin.get_or_init(Instant::now);
    gun.go.wait();
    let mut tally = job.tally();
    collect(&receiver, job.threads, &mut tally, on_second);
    for thread in threads {
        join(thread)?;
    }
    Ok(Outcome { tally, elapsed: origin.elapsed() })
}

/// Sleeps until the time that the user asked for, or until the user loses patience.
fn wait_for_start(job: &Job) {
    let Some(at) = job.start_at else { return };
    while let Ok(left) = at.duration_since(SystemTime::now()) {
        if left.is_zero() || job.stop.wish() != Wish::Run {
            return;
        }
        std::thread::sleep(left.min(limits::SWEEP));
    }
}

impl Job {
    /// An empty tally with room for what the plan names.
    pub(crate) fn tally(&self) -> Tally {
        let room = if self.rehearsal.is_none() { limits::EVIDENCE / self.threads } else { 0 };
        Tally::new(self.plan.routes.len(), self.count_ops)
            .with_cohorts(self.plan.cohorts.len())
            .with_links(self.plan.links.len())
            .with_evidence(room)
            .with_answers(self.answers())
    }

    /// Room for the answers that are compared with the recorded ones.
    fn answers(&self) -> Answers {
        match self.rehearsal {
            Some(_) => Answers::default(),
            None => Answers::new(self.plan.chosen.list.len(), self.plan.routes.len(), self.threads),
        }
    }

    /// An empty second.
    fn interval(&self, second: u64) -> Interval {
        Interval { service: self.metered.then(Box::default), ..Interval::new(second) }
    }
}

fn collect(
    receiver: &mpsc::Receiver<Message>,
    threads: usize,
    tally: &mut Tally,
    on_second: &mut dyn FnMut(&Interval),
) {
    let mut seconds: BTreeMap<u64, (usize, Interval)> = BTreeMap::new();
    loop {
        match receiver.recv_timeout(Duration::from_secs(1)) {
            Ok(Message::Second(interval)) => {
                let second = interval.second;
                let (told, sum) = seconds.entry(second).or_insert_with(|| (0, Interval::new(second)));
                *told += 1;
                sum.merge(&interval);
            }
            Ok(Message::Done(more)) => tally.merge(*more),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        // A second is complete when all have told it, or when it is well past: a thread that is done tells no more.
        let newest = seconds.last_key_value().map_or(0, |(second, _)| *second);
        while let Some(entry) = seconds.first_entry() {
            if entry.get().0 < threads && *entry.key() + 1 >= newest {
                break;
            }
            on_second(&entry.remove().1);
        }
    }
    for (_, (_, interval)) in seconds {
        on_second(&interval);
    }
}

fn join(thread: JoinHandle<std::io::Result<()>>) -> Result<(), Error> {
    match thread.join() {
        Ok(done) => Ok(done?),
        Err(_) => Err(Error::System(std::io::Error::other("an engine thread panicked; please report it"))),
    }
}
