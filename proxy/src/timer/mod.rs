//! A precise wake-up for waits that are injected.
//!
//! The runtime's own timer counts whole milliseconds and rounds up: a delay would be a millisecond too long at the
//! median. Here each worker thread has one timerfd in its runtime's set of descriptors, armed for the earliest of its
//! sleepers. Never early: the kernel's timer is not, and each sleeper compares the clock again. A sleeper that is
//! dropped takes its entry with it. On a thread without a timer of its own the runtime's is used, which is never early
//! either.

mod alarm;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::sync::lock;

use alarm::Alarm;

/// Resolves at a moment, or as soon after it as the thread is free.
///
/// # Cancel safety
/// Safe: dropping it takes it out of the timer.
#[derive(Debug)]
#[must_use = "it does nothing unless it is polled"]
pub(crate) struct Sleep {
    until: Instant,
    wait: Wait,
}

/// ```text
/// New --polled too early--> Timer | Runtime
/// ```
#[derive(Debug)]
enum Wait {
    New,
    /// With the thread's timer, under this number.
    Timer(Arc<Timer>, u64),
    /// With the runtime's.
    Runtime(Pin<Box<tokio::time::Sleep>>),
}

/// The timer of one worker thread. Locked for single operations only, and all but never by another thread.
#[derive(Debug)]
struct Timer {
    alarm: Alarm,
    sleepers: Mutex<Sleepers>,
}

#[derive(Debug, Default)]
struct Sleepers {
    /// By the time each wants to be woken, and a number that tells those of the same time apart.
    waiting: BTreeMap<(Instant, u64), Waker>,
    next_number: u64,
    /// When the alarm will fire: never later than the earliest sleeper.
    armed: Option<Instant>,
}

thread_local! {
    static TIMER: RefCell<Option<Arc<Timer>>> = const { RefCell::new(None) };
}

/// Sleeps until a moment; usable on any thread that runs tokio.
pub(crate) fn sleep_until(until: impl Into<Instant>) -> Sleep {
    Sleep { until: until.into(), wait: Wait::New }
}

/// Gives the present thread its timer. To be called once, inside the thread's runtime, which lives as long as it does.
///
/// # Errors
/// The system has no descriptor left.
pub(crate) fn install() -> io::Result<()> {
    let timer = Arc::new(Timer { alarm: Alarm::new()?, sleepers: Mutex::default() });
    TIMER.set(Some(timer.clone()));
    tokio::spawn(async move { timer.run().await });
    Ok(())
}

impl Timer {
    /// Wakes whoever is due, for as long as the runtime lives.
    async fn run(&self) {
        loop {
            if let Err(error) = self.alarm.fired().await {
                return tracing::error!(%error, "the timer failed");
            }
            lock(&self.sleepers).armed = None;
            while let Some(due) = self.take_due() {
                due.wake(); // outside the lock: it may drop a task, and a sleeper with it
            }
        }
    }

    /// The earliest sleeper if it is due. Where none is, the alarm is set for the next.
    fn take_due(&self) -> Option<Waker> {
        let mut sleepers = lock(&self.sleepers);
        let first = sleepers.waiting.first_entry()?;
        let until = first.key().0;
        if until <= Instant::now() {
            return Some(first.remove());
        }
        self.arm(&mut sleepers, until);
        None
    }

    fn enter(&self, until: Instant, waker: &Waker) -> u64 {
        let mut sleepers = lock(&self.sleepers);
        let number = sleepers.next_number;
        sleepers.next_number += 1;
        sleepers.waiting.insert((until, number), waker.clone());
        self.arm(&mut sleepers, until);
        number
    }

    /// Is it still asleep? Then it is woken by this waker.
    fn renew(&self, until: Instant, number: u64, waker: &Waker) -> bool {
        match lock(&self.sleepers).waiting.get_mut(&(until, number)) {
            Some(known) => {
                known.clone_from(waker);
                true
            }
            None => false,
        }
    }

    fn leave(&self, until: Instant, number: u64) {
        let waker = lock(&self.sleepers).waiting.remove(&(until, number));
        drop(waker); // outside the lock, as above
    }

    /// Sees to it that the alarm fires by `until`.
    fn arm(&self, sleepers: &mut Sleepers, until: Instant) {
        if sleepers.armed.is_some_and(|armed| armed <= until) {
            return;
        }
        match self.alarm.arm(until.saturating_duration_since(Instant::now())) {
            Ok(()) => sleepers.armed = Some(until),
            Err(error) => tracing::error!(%error, "cannot set the timer"),
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.until <= Instant::now() {
            this.leave();
            return Poll::Ready(());
        }
        match &mut this.wait {
            Wait::Timer(timer, number) if timer.renew(this.until, *number, cx.waker()) => Poll::Pending,
            Wait::New | Wait::Timer(..) => this.enter(cx),
            Wait::Runtime(sleep) => sleep.as_mut().poll(cx),
        }
    }
}

impl Sleep {
    fn enter(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match TIMER.with_borrow(Clone::clone) {
            Some(timer) => {
                let number = timer.enter(self.until, cx.waker());
                self.wait = Wait::Timer(timer, number);
                Poll::Pending
            }
            None => {
                let mut sleep = Box::pin(tokio::time::sleep_until(self.until.into()));
                let polled = sleep.as_mut().poll(cx);
                self.wait = Wait::Runtime(sleep);
                polled
            }
        }
    }

    fn leave(&mut self) {
        if let Wait::Timer(timer, number) = std::mem::replace(&mut self.wait, Wait::New) {
            timer.leave(self.until, number);
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    /// Runs on a worker's kind of runtime, with its timer.
    fn run<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let done = runtime.block_on(async {
            install().expect("a timer");
            test.await
        });
        TIMER.take();
        done
    }

    fn waiting() -> usize {
        TIMER.with_borrow(|timer| lock(&timer.as_ref().expect("installed").sleepers).waiting.len())
    }

    fn in_ms(ms: u64) -> Instant {
        Instant::now() + Duration::from_millis(ms)
    }

    #[test]
    fn sleepers_wake_in_the_order_of_their_times_and_never_early() {
        let order = run(async {
            let order = Rc::new(RefCell::new(Vec::new()));
            let sleepers = tokio::task::LocalSet::new();
            let begun = Instant::now();
            for ms in [40, 5, 25, 0, 10, 10, 70] {
                let order = order.clone();
                sleepers.spawn_local(async move {
                    let until = begun + Duration::from_millis(ms);
                    sleep_until(until).await;
                    assert!(until <= Instant::now(), "{ms} ms were too short");
                    order.borrow_mut().push(ms);
                });
            }
            sleepers.await;
            assert_eq!(waiting(), 0);
            order.take()
        });
        assert_eq!(order, [0, 5, 10, 10, 25, 40, 70]);
    }

    #[test]
    fn dropped_sleepers_leave_nothing_and_keep_nobody_up() {
        run(async {
            let hour = Instant::now() + Duration::from_secs(3600);
            let mut sleepers: Vec<_> = (0..1000).map(|_| sleep_until(hour)).collect();
            for sleeper in &mut sleepers {
                assert!(sleeper.now_or_never().is_none());
            }
            assert_eq!(waiting(), 1000);
            let mut early = sleep_until(in_ms(1));
            assert!((&mut early).now_or_never().is_none());
            drop(early); // the alarm fires for nobody, and must be armed again
            sleepers.clear();
            assert_eq!(waiting(), 0);
            sleep_until(in_ms(20)).await;
        });
    }

    #[test]
    fn ten_thousand_sleepers_all_wake() {
        run(async {
            let sleepers = (0..10_000u64).map(|n| {
                let until = in_ms(n * 7919 % 200);
                tokio::spawn(async move {
                    sleep_until(until).await;
                    assert!(until <= Instant::now());
                })
            });
            for sleeper in sleepers.collect::<Vec<_>>() {
                sleeper.await.expect("woken, and not early");
            }
            assert_eq!(waiting(), 0);
        });
    }

    #[test]
    fn a_sleeper_that_moves_to_another_task_is_woken_there() {
        run(async {
            let mut sleeper = sleep_until(in_ms(20));
            assert!((&mut sleeper).now_or_never().is_none()); // with a waker that wakes nobody
            tokio::spawn(sleeper).await.expect("woken");
        });
    }

    #[test]
    fn a_thread_without_a_timer_sleeps_by_the_runtimes() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let until = in_ms(3);
            sleep_until(until).await;
            assert!(until <= Instant::now());
        });
    }
}
