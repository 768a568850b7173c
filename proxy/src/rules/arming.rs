//! May the rules act? Armed, lifted, overdue.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fault_rules::safety::Safety;

use crate::sync::lock;

/// Whether faults may fire.
///
/// ```text
/// not armed --arm--> armed --lift, breach, max_run, heartbeat--> lifted --arm--> armed
/// ```
#[derive(Debug, Default)]
pub(crate) struct Standing {
    armed: AtomicBool,
    some_lifted: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone)]
struct State {
    lifted: Option<Lifted>,
    rules: BTreeSet<String>,
    armed_at: Duration,
    last_beat: Duration,
}

/// Why all rules were lifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lifted {
    pub(crate) reason: String,
    /// A safety cap was breached: a replay stops with 108.
    pub(crate) breach: bool,
}

/// Armed, or lifted, or neither yet; never both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) armed: bool,
    pub(crate) lifted: Option<Lifted>,
}

impl Seen {
    /// Now or before.
    pub(crate) fn was_armed(&self) -> bool {
        self.armed || self.lifted.is_some()
    }

    pub(crate) fn is_breach(&self) -> bool {
        self.lifted.as_ref().is_some_and(|lifted| lifted.breach)
    }

    pub(crate) fn reason(&self) -> Option<&str> {
        self.lifted.as_ref().map(|lifted| lifted.reason.as_str())
    }
}

impl Standing {
    pub(crate) fn is_armed(&self) -> bool {
        self.armed.load(Ordering::Acquire)
    }

    /// What holds at this moment. Whoever tells of more than one part of it asks once: two questions have two moments.
    pub(crate) fn seen(&self) -> Seen {
        let state = lock(&self.state);
        Seen { armed: self.is_armed(), lifted: state.lifted.clone() }
    }

    pub(crate) fn is_rule_lifted(&self, id: &str) -> bool {
        self.some_lifted.load(Ordering::Acquire) && lock(&self.state).rules.contains(id)
    }

    pub(super) fn arm(&self, now: Duration) {
        self.arm_in(&mut lock(&self.state), now);
    }

    /// Arms what was never armed, and what was lifted for this reason; false: they are armed, or lifted for another.
    pub(super) fn arm_unless_lifted(&self, but_for: &str, now: Duration) -> bool {
        let mut state = lock(&self.state);
        let may = state.lifted.as_ref().map_or(!self.is_armed(), |lifted| lifted.reason == but_for);
        if may {
            self.arm_in(&mut state, now);
        }
        may
    }

    fn arm_in(&self, state: &mut State, now: Duration) {
        *state = State { armed_at: now, last_beat: now, ..State::default() };
        self.some_lifted.store(false, Ordering::Release);
        self.armed.store(true, Ordering::Release);
    }

    /// True where this call lifted them; the first reason stays.
    pub(super) fn lift(&self, reason: &str, breach: bool) -> bool {
        let mut state = lock(&self.state);
        if self.armed.swap(false, Ordering::AcqRel) {
            state.lifted = Some(Lifted { reason: reason.to_owned(), breach });
            return true;
        }
        false
    }

    pub(super) fn lift_rule(&self, id: &str) {
        lock(&self.state).rules.insert(id.to_owned());
        self.some_lifted.store(true, Ordering::Release);
    }

    /// How long ago they were armed.
    pub(super) fn armed_for(&self, now: Duration) -> Duration {
        now.saturating_sub(lock(&self.state).armed_at)
    }

    /// The operator's client is there.
    pub(crate) fn beat(&self, now: Duration) {
        lock(&self.state).last_beat = now;
    }

    /// Why the rules must go now, if they must.
    pub(super) fn overdue(&self, safety: &Safety, now: Duration) -> Option<String> {
        if !self.is_armed() {
            return None;
        }
        let state = lock(&self.state);
        if now.saturating_sub(state.armed_at) > safety.max_run {
            return Some(format!("max_run of {:?} is over", safety.max_run));
        }
        let silent = now.saturating_sub(state.last_beat);
        let missed = safety.heartbeat.filter(|limit| silent > *limit);
        missed.map(|limit| format!("no heartbeat for {limit:?} (POST /heartbeat to the admin API renews)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_its_own_word_lifted_is_armed_by_the_file() {
        let standing = Standing::default();
        assert!(standing.arm_unless_lifted("the file", Duration::ZERO));
        assert!(!standing.arm_unless_lifted("the file", Duration::ZERO), "they are armed");
        standing.lift("a cap", true);
        assert!(!standing.arm_unless_lifted("the file", Duration::ZERO), "a cap lifted them");
        standing.arm(Duration::ZERO);
        standing.lift("the file", false);
        assert!(standing.arm_unless_lifted("the file", Duration::ZERO));
        assert_eq!(standing.seen(), Seen { armed: true, lifted: None });
    }
}
