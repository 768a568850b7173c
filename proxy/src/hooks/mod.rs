//! Hooks: commands of the user's at the ends of windows, off the data path, on a thread of their own.
//!
//! ```text
//! waiting --window opens, rules armed--> start --ok--> on --window closes, lifted, removed, drained--> end --> over
//!                                          \--failed--> end; all others end; rules lifted
//! ```
//!
//! What was started is always undone, in the reverse order: also when the thread panics, since the undoing is in a drop. When
//! the whole process is killed, an heir of each that waits for that beside it undoes it, in no order.

mod command;
mod heir;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use fault_rules::hook::Hook;
use serde::Serialize;
use tokio::sync::watch;

use crate::Error;
use crate::ledger::{Ledger, Line};
use crate::rules::Rules;
use crate::sync::lock;
use crate::time::{micros, wall_us};

use command::Ran;
use heir::Heir;

/// A hook in books and status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HookBooks {
    /// The hook.
    pub id: String,
    /// `on`, `over`, `failed`: its start did; `not_undone`: its end did.
    pub state: &'static str,
    /// When it last began, from the start of the run (or from arming).
    pub began_us: u64,
    /// How often it began.
    pub runs: u64,
    /// Its start command: `exit 0`, `timed out after 10s`, …
    pub start: String,
    /// Its end command; empty: not run, or there is none.
    pub end: String,
    /// What the newest command printed, up to 4 KB.
    pub output: String,
}

/// What is known of hooks that have begun.
#[derive(Debug, Default)]
pub(crate) struct HookLog {
    by_id: Mutex<BTreeMap<String, HookBooks>>,
}

impl HookLog {
    pub(crate) fn books(&self) -> Vec<HookBooks> {
        lock(&self.by_id).values().cloned().collect()
    }

    fn began(&self, hook: &Hook, run_now: Duration, ran: &Ran) {
        let mut by_id = lock(&self.by_id);
        let runs = by_id.get(&hook.id).map_or(0, |books| books.runs) + 1;
        let books = HookBooks {
            id: hook.id.clone(),
            state: if ran.outcome.is_success() { "on" } else { "failed" },
            began_us: micros(run_now),
            runs,
            start: ran.outcome.in_words(),
            end: String::new(),
            output: ran.output.clone(),
        };
        by_id.insert(hook.id.clone(), books);
    }

    fn ended(&self, hook: &Hook, ran: Option<&Ran>) {
        let mut by_id = lock(&self.by_id);
        let Some(books) = by_id.get_mut(&hook.id) else { return };
        match ran {
            Some(ran) => {
                if !ran.outcome.is_success() {
                    books.state = "not_undone";
                } else if books.state == "on" {
                    books.state = "over";
                }
                (books.end, books.output) = (ran.outcome.in_words(), ran.output.clone());
            }
            None if books.state == "on" => books.state = "over",
            None => {}
        }
    }
}

/// The thread that runs hooks; dropping it undoes what is on and waits for that.
#[derive(Debug)]
pub(crate) struct Hooks {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Hooks {
    /// Starts the thread.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(rules: Arc<Rules>, ledger: Ledger) -> Result<Hooks, Error> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(Error::Thread)?;
        let (stop, stopped) = watch::channel(false);
        let thread = std::thread::Builder::new()
            .name("squall-hooks".into())
            .spawn(move || {
                let keeper = Keeper { on: Vec::new(), rules, ledger, stopped };
                runtime.block_on(keeper.keep());
            })
            .map_err(Error::Thread)?;
        Ok(Hooks { stop, thread: Some(thread) })
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the hooks panicked; what was on has been undone");
        }
    }
}

/// A hook that is on, and who undoes it where we are killed.
struct On {
    hook: Hook,
    heir: Option<Heir>,
}

impl On {
    fn new(hook: Hook) -> On {
        let heir = Heir::of(&hook);
        On { hook, heir }
    }
}

/// Keeps what is on in step with what should be.
struct Keeper {
    /// In the order in which they began.
    on: Vec<On>,
    rules: Arc<Rules>,
    ledger: Ledger,
    stopped: watch::Receiver<bool>,
}

impl Keeper {
    async fn keep(mut self) {
        let mut changes = self.rules.changes();
        while !self.is_stopped() {
            changes.mark_unchanged();
            let looked = self.rules.run_now();
            self.reconcile();
            let pause = pause(&self.rules.live().set.hooks, looked, self.rules.run_now());
            tokio::select! {
                _ = self.stopped.changed() => {}
                _ = changes.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Ends what should not be on, then starts what should be. Asks anew before each command: commands take their time.
    fn reconcile(&mut self) {
        loop {
            let wanted = self.wanted();
            let is_wanted = |on: &Hook| wanted.iter().any(|wanted| is_same(wanted, on));
            if let Some(at) = self.on.iter().rposition(|on| !is_wanted(&on.hook)) {
                let on = self.on.remove(at);
                self.undo(on);
                continue;
            }
            let is_off = |hook: &Hook| !self.on.iter().any(|on| is_same(&on.hook, hook));
            match wanted.into_iter().find(is_off) {
                Some(hook) => self.begin(hook),
                None => return,
            }
        }
    }

    fn wanted(&self) -> Vec<Hook> {
        let (rules, now) = (&self.rules, self.rules.run_now());
        if !rules.standing.is_armed() || self.is_stopped() {
            return Vec::new();
        }
        let acts = |hook: &&Hook| hook.window.is_open(now) && !rules.standing.is_rule_lifted(&hook.id);
        rules.live().set.hooks.iter().filter(acts).cloned().collect()
    }

    /// Where its start fails all is undone and the rules are lifted: an experiment that lacks a part is none.
    fn begin(&mut self, hook: Hook) {
        let run_now = self.rules.run_now();
        // On the list before it runs: whatever happens from here on, it is undone.
        self.on.push(On::new(hook.clone()));
        let ran = command::run(&hook.start, hook.timeout);
        self.rules.hooks.began(&hook, run_now, &ran);
        self.note(&hook, "hook_start", (&hook.start, &ran));
        if ran.outcome.is_success() {
            tracing::info!(hook = hook.id, took = ?ran.took, output = ran.output, "hook started");
            return;
        }
        let outcome = ran.outcome.in_words();
        tracing::error!(hook = hook.id, outcome, output = ran.output, "the start of a hook failed");
        self.undo_all();
        self.rules.lift(&format!("hook {}: its start failed: {outcome}", hook.id), true);
    }

    fn undo_all(&mut self) {
        while let Some(on) = self.on.pop() {
            self.undo(on);
        }
    }

    /// The heir is released last: killed in between, we are followed by one who undoes again.
    fn undo(&self, on: On) {
        self.end(&on.hook);
        if let Some(heir) = on.heir {
            heir.release();
        }
    }

    fn end(&self, hook: &Hook) {
        if hook.end.is_empty() {
            self.rules.hooks.ended(hook, None);
            tracing::info!(hook = hook.id, "hook over; it has no end command");
            return;
        }
        for attempt in 1..=END_ATTEMPTS {
            let ran = command::run(&hook.end, hook.timeout);
            self.rules.hooks.ended(hook, Some(&ran));
            self.note(hook, "hook_end", (&hook.end, &ran));
            let (outcome, output) = (ran.outcome.in_words(), ran.output);
            if ran.outcome.is_success() {
                tracing::info!(hook = hook.id, took = ?ran.took, output, "hook ended");
                return;
            }
            tracing::error!(hook = hook.id, attempt, outcome, output, "the end of a hook failed");
            std::thread::sleep(END_PAUSE);
        }
        tracing::error!(hook = hook.id, "NOT UNDONE; run by hand: {}", hook.end.join(" "));
    }

    fn note(&self, hook: &Hook, action: &'static str, (words, ran): (&[String], &Ran)) {
        self.ledger.note(Line {
            t_us: wall_us(),
            edge: Arc::from(""),
            session: String::new(),
            op: String::new(),
            attempt: 0,
            rule: Arc::from(hook.id.as_str()),
            action,
            asked: words.join(" "),
            applied: ran.outcome.is_success(),
            actual_us: micros(ran.took),
            suppressed: None,
            outcome: Some(ran.outcome.in_words()),
            run: None,
        });
    }
}

/// Also on a panic.
impl Drop for Keeper {
    fn drop(&mut self) {
        self.undo_all();
        if std::thread::panicking() {
            self.rules.lift("the thread of the hooks panicked", true);
        }
    }
}

/// How long nothing is due at `now`, after a look that was no earlier than `looked`: a turn since then is due at once.
fn pause(hooks: &[Hook], looked: Duration, now: Duration) -> Duration {
    let next = hooks.iter().filter_map(|hook| hook.window.next_turn(looked)).min();
    next.map_or(IDLE, |next| next.saturating_sub(now).min(IDLE))
}

/// A reload that changes neither command leaves a hook that is on as it is.
fn is_same(one: &Hook, other: &Hook) -> bool {
    one.id == other.id && one.start == other.start && one.end == other.end
}

/// How long the thread sleeps where nothing is due; every change wakes it.
const IDLE: Duration = Duration::from_hours(1);
/// How often the end of a hook is tried.
const END_ATTEMPTS: u32 = 3;
const END_PAUSE: Duration = Duration::from_millis(200);
