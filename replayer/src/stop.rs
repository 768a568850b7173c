//! The wish to stop or to pause, shared by everybody who may have it: the user, a guard, the clock.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// A handle that stops or pauses a replay from another thread. Clones share one wish.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    inner: Arc<Inner>,
}

/// How urgently a run has been asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wish {
    /// Nobody asked.
    Run,
    /// No new request; what is in flight may finish.
    Drain,
    /// At once: what is in flight is aborted.
    Abort,
}

/// Who stopped a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Ctrl-C, or the caller.
    Interrupted,
    /// A guard or a cap, with its words.
    Guard(String),
}

#[derive(Debug, Default)]
struct Inner {
    wish: AtomicU8,
    is_paused: AtomicBool,
    cause: Mutex<Option<Cause>>,
}

impl Stop {
    /// A handle that nobody has used yet.
    pub fn new() -> Stop {
        Stop::default()
    }

    /// The first call stops new requests (within 100 ms) and lets those in flight finish; the second aborts them.
    pub fn interrupt(&self) {
        self.ask(Cause::Interrupted);
    }

    /// Stops new requests because a guard was breached.
    pub(crate) fn guard(&self, reason: String) {
        if self.wish() == Wish::Run {
            self.ask(Cause::Guard(reason));
        }
    }

    /// While `paused` nothing new is sent (within 50 ms); what is in flight goes on, and streams that are open speak on.
    /// Afterwards the rest of the plan lies later by as long as the pause took. A stop ends a pause.
    pub fn pause(&self, paused: bool) {
        self.inner.is_paused.store(paused, Ordering::Relaxed);
    }

    /// Whether the user wants a pause.
    pub fn is_paused(&self) -> bool {
        self.inner.is_paused.load(Ordering::Relaxed) && self.wish() == Wish::Run
    }

    pub(crate) fn wish(&self) -> Wish {
        match self.inner.wish.load(Ordering::Relaxed) {
            0 => Wish::Run,
            1 => Wish::Drain,
            _ => Wish::Abort,
        }
    }

    pub(crate) fn cause(&self) -> Option<Cause> {
        self.inner.cause.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn ask(&self, cause: Cause) {
        let mut slot = self.inner.cause.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        slot.get_or_insert(cause);
        let now = self.inner.wish.load(Ordering::Relaxed);
        self.inner.wish.store(now.saturating_add(1).min(2), Ordering::Relaxed);
    }
}
