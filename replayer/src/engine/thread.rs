//! One engine thread: its runtime, its share of the plan, its driver.

use std::cell::{Cell, RefCell};
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use tokio::io::unix::AsyncFd;

use crate::bind::Sources;
use crate::engine::connect;
use crate::engine::flow::Flows;
use crate::engine::records::{Engine, Phase};
use crate::engine::schedule::Next;
use crate::engine::starts::Starts;
use crate::engine::{Gun, Job, Message};
use crate::limits;
use crate::options::Speed;
use crate::retry::Budget;
use crate::slab::Slab;
use crate::sys;
use crate::tally::{Sums, Tally};
use crate::wheel::Wheel;

/// Runs the share `index` of the job; the tally is the last message.
pub(crate) fn main(
    job: &Arc<Job>,
    index: usize,
    gun: &Gun,
    messages: &Sender<Message>,
) -> std::io::Result<()> {
    let runtime = runtime(job);
    let prepared = runtime.and_then(|runtime| {
        let inside = runtime.enter();
        let alarm = sys::alarm()?;
        let mut engine = Engine::new(job, index, messages, alarm);
        if job.rehearsal.is_none() && job.plan.population.is_closed() {
            // They all enter within seconds.
            engine.sessions.warm();
        }
        drop(inside);
        Ok((runtime, engine))
    });
    gun.ready.wait(); // also after a failure: the others must not wait for ever
    gun.go.wait();
    let (runtime, mut engine) = prepared?;
    engine.origin = *gun.origin.get().expect("the coordinator sets the origin between the two barriers");
    let engine = Rc::new_cyclic(|me| {
        engine.me = me.clone();
        RefCell::new(engine)
    });
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, drive(&engine));
    drop(local); // its tasks hold the engine
    let mut engine = engine.borrow_mut();
    engine.tell_second();
    engine.tally.paused_us = engine.paused_us();
    engine.tally.cpu_us = u64::try_from(crate::sys::thread_cpu_time().as_micros()).unwrap_or(u64::MAX);
    let tally = std::mem::replace(&mut engine.tally, Tally::new(0, false));
    let _ = messages.send(Message::Done(Box::new(tally)));
    Ok(())
}

fn runtime(job: &Job) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    if job.speed == Speed::Max {
        let nap = if job.http2 { limits::NAP_HTTP2 } else { limits::NAP };
        builder.on_thread_park(move || {
            if IS_CROWDED.get() {
                std::thread::sleep(nap);
            }
        });
    }
    builder.enable_all().build()
}

thread_local! {
    /// At full speed, and with many requests in flight: a server writes each answer by itself, and reading several of
    /// them a little later costs a fraction of reading each at once. Never where anything is paced: the nap would be
    /// in every latency; and never with few in flight, who would wait for it.
    static IS_CROWDED: Cell<bool> = const { Cell::new(false) };
}

/// Releases what is due, sleeps until the next due time, to the end of the run.
async fn drive(engine: &Rc<RefCell<Engine>>) {
    let alarm = Rc::clone(&engine.borrow().alarm);
    loop {
        assert!(!connect::has_panicked(), "a connection task panicked");
        let next = {
            let mut engine = engine.borrow_mut();
            let next = engine.tick();
            IS_CROWDED.set(limits::CROWD <= engine.ops.len());
            next
        };
        match next {
            Next::Again => tokio::task::yield_now().await,
            Next::Over => return,
            Next::At(due_ns) => {
                // Set before the first wait: a timer that was never armed would never wake us.
                engine.borrow_mut().arm(due_ns);
                match alarm.readable().await {
                    Ok(mut guard) => guard.clear_ready(),
                    Err(err) => {
                        tracing::error!(error = %err, "the timer failed");
                        return;
                    }
                }
            }
        }
    }
}

impl Engine {
    fn new(
        job: &Arc<Job>,
        index: usize,
        messages: &Sender<Message>,
        alarm: AsyncFd<std::os::fd::OwnedFd>,
    ) -> Engine {
        let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let share = job.connections / job.threads + usize::from(index < job.connections % job.threads);
        let share = share.max(1);
        let max_active = if job.http2 { share * job.streams as usize } else { share };
        let sessions = match job.speed {
            Speed::Times(_) => (job.peak_sessions as usize).div_ceil(job.threads),
            Speed::Max => max_active,
        };
        Engine {
            me: std::rc::Weak::new(),
            job: Rc::new(Arc::clone(job)),
            seconds: messages.clone(),
            origin: Instant::now(),
            duration_ns: job.duration.map_or(u64::MAX, nanos),
            phase: Phase::Running,
            is_expired: false,
            paused_since: None,
            shift_ns: 0,
            warmup_ns: job.warmup.map_or(0, nanos),
            starts: match &job.rehearsal {
                Some(list) => Starts::Listed(list.iter().copied().collect()),
                None => Starts::planned(&job.plan.population, index, job.threads),
            },
            replacements: BinaryHeap::new(),
            // Growing would copy what is there, and hold it twice meanwhile.
            sessions: Slab::with_capacity(sessions),
            ops: Slab::new(),
            conns: Slab::new(),
            jars: Slab::new(),
            carried: Slab::new(),
            takers: Slab::new(),
            flows: Flows::new(),
            wheel: Wheel::new(),
            later: BinaryHeap::new(),
            held: VecDeque::new(),
            waiting: VecDeque::new(),
            serial: 0,
            budget: Budget::new(),
            idle: Vec::new(),
            opening: Vec::new(),
            dirty: Vec::new(),
            ended: Vec::new(),
            open_streams: 0,
            idle_owned: 0,
            hand: 0,
            max_conns: share,
            max_active,
            swept: 0,
            sources: Sources::of_worker(&job.bind, index, job.threads),
            generation: 0,
            alarm: Rc::new(alarm),
            armed_ns: u64::MAX,
            next_sweep_ns: 0,
            tally: job.tally(),
            interval: job.interval(0),
            told: Sums::default(),
            read_buffer: vec![0; limits::READ_BYTES],
            plain_buffer: vec![0; limits::READ_BYTES],
            scratch: Vec::with_capacity(4096),
            body: Vec::new(),
        }
    }
}
