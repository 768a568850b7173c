//! The rules in force: which set, since when, and whether they may act at all.

mod arming;
mod extra;
mod fit;
mod gauges;
mod latencies;
mod watch;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use fault_rules::action::Direction;
use fault_rules::report::Diagnostic;
use fault_rules::{Decision, Facts, Rule, RuleSet};
use tokio::sync::watch as channel;

use crate::sync::lock;
use crate::upstream::Standins;

pub(crate) use arming::Standing;
pub(crate) use extra::Extra;
pub(crate) use gauges::Gauges;
pub use latencies::latencies;
pub(crate) use watch::{RuleFile, Watching};

/// One set of rules, whole. An exchange keeps the one it began with.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) generation: u64,
    pub(crate) set: RuleSet,
    pub(crate) seed: u64,
    /// The rules' ids, shared by every ledger line and header that names them.
    pub(crate) ids: Vec<Arc<str>>,
    /// Who takes over in outages.
    pub(crate) standins: Standins,
    ways: HashMap<String, Direction>,
}

impl Live {
    fn new(generation: u64, set: RuleSet, fallback_seed: u64) -> Self {
        let ids = set.rules().iter().map(|rule| Arc::from(rule.id.as_str())).collect();
        let seed = set.seed.unwrap_or(fallback_seed);
        Live { generation, seed, set, ids, standins: Standins::default(), ways: HashMap::new() }
    }

    /// The direction of a TCP connection that a rule is about, where its fault does not say it.
    pub(crate) fn way_of(&self, id: &str) -> Option<Direction> {
        self.ways.get(id).copied()
    }
}

/// The rules of a proxy: the live set, what came of the last reload, and the state that outlives a set.
#[derive(Debug)]
pub(crate) struct Rules {
    live: ArcSwap<Live>,
    changed: channel::Sender<u64>,
    reload: Mutex<Reload>,
    sources: Mutex<Sources>,
    inline: Vec<Rule>,
    tcp_edges: Vec<String>,
    fallback_seed: u64,
    origin: Instant,
    /// Microseconds from `origin` to the point that windows count from.
    epoch_us: AtomicU64,
    pub(crate) standing: Standing,
    pub(crate) gauges: Gauges,
}

/// Where the rules come from, beside the command line.
#[derive(Debug, Default)]
struct Sources {
    file: RuleSet,
    extra: Extra,
}

/// What is known of the rule file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reload {
    /// When the live set was read; `None` where there is no file.
    pub(crate) loaded_at: Option<SystemTime>,
    /// Why the newest version of the file is not live.
    pub(crate) errors: Vec<Diagnostic>,
    /// Why the file could not be read at all.
    pub(crate) unreadable: Option<String>,
    /// How many versions of the file were refused since the start.
    pub(crate) refused: u64,
}

impl Rules {
    /// The rules of the command line; those of a file come by [`Rules::replace`].
    pub(crate) fn new(inline: Vec<Rule>, fallback_seed: u64) -> Self {
        Rules {
            live: ArcSwap::from_pointee(Live::new(0, RuleSet::default(), fallback_seed)),
            changed: channel::channel(0).0,
            reload: Mutex::default(),
            sources: Mutex::default(),
            inline,
            tcp_edges: Vec::new(),
            fallback_seed,
            origin: Instant::now(),
            epoch_us: AtomicU64::new(0),
            standing: Standing::default(),
            gauges: Gauges::default(),
        }
    }

    pub(crate) fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    pub(crate) fn reload_state(&self) -> Reload {
        lock(&self.reload).clone()
    }

    /// Puts a set in force, with the rules of the command line behind its own. Sleepers of rules that are gone
    /// wake. Gives the new generation, or the old one where nothing changed.
    ///
    /// # Errors
    /// An id that the command line uses too; then the set in force stays.
    pub(crate) fn replace(&self, set: RuleSet) -> Result<u64, fault_rules::Report> {
        let mut sources = lock(&self.sources);
        let generation = self.put(&set, &sources.extra)?;
        sources.file = set;
        let mut reload = lock(&self.reload);
        reload.loaded_at = Some(SystemTime::now());
        reload.errors.clear();
        reload.unreadable = None;
        Ok(generation)
    }

    /// Puts other rules behind those of the file and of the command line.
    ///
    /// # Errors
    /// An id that one of those uses too, or too many rules; then the set in force stays.
    pub(crate) fn replace_extra(&self, extra: Extra) -> Result<u64, fault_rules::Report> {
        let mut sources = lock(&self.sources);
        let generation = self.put(&sources.file, &extra)?;
        sources.extra = extra;
        Ok(generation)
    }

    fn put(&self, file: &RuleSet, extra: &Extra) -> Result<u64, fault_rules::Report> {
        let set = file.clone().with_rules(self.inline.clone())?.with_rules(extra.rules.clone())?;
        let now = self.live();
        if now.generation > 0 && now.set.fingerprint() == set.fingerprint() && now.ways == extra.ways {
            return Ok(now.generation);
        }
        let generation = now.generation + 1;
        self.gauges.adopt(&set);
        let standins = Standins::resolve(&set); // may take a while, and no exchange waits for it
        let live = Live::new(generation, set, self.fallback_seed);
        self.live.store(Arc::new(Live { standins, ways: extra.ways.clone(), ..live }));
        self.wake_sleepers();
        Ok(generation)
    }

    /// Keeps the set in force and remembers why the file's newest version is not it.
    pub(crate) fn refuse(&self, why: Refusal) {
        let mut reload = lock(&self.reload);
        reload.refused += 1;
        match why {
            Refusal::Mistakes(errors) => (reload.errors, reload.unreadable) = (errors, None),
            Refusal::Unreadable(error) => (reload.errors, reload.unreadable) = (Vec::new(), Some(error)),
        }
    }

    /// What the rules say of an exchange; nothing where they may not act. A panic in a rule is caught: the
    /// exchange passes untouched, and the panic is counted.
    pub(crate) fn decide(&self, live: &Live, facts: &Facts<'_>) -> Decision {
        if live.ids.is_empty() || !self.standing.is_armed() {
            return Decision::default();
        }
        let now = self.run_now();
        let decide = std::panic::AssertUnwindSafe(|| live.set.decide(live.seed, facts, now));
        std::panic::catch_unwind(decide).unwrap_or_else(|_| {
            self.gauges.count_panic();
            Decision::default()
        })
    }

    /// Time since the start: what the pure state machines are told.
    pub(crate) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Time that the rules' windows count from: the start of the announced replay, else arming.
    pub(crate) fn run_now(&self) -> Duration {
        self.now().saturating_sub(Duration::from_micros(self.epoch_us.load(Ordering::Acquire)))
    }

    /// Windows count from now.
    pub(crate) fn restart_windows(&self) {
        let now = crate::time::micros(self.now());
        self.epoch_us.store(now, Ordering::Release);
        self.wake_sleepers();
    }

    /// A receiver that turns whenever a sleeper should ask whether its rule still holds.
    pub(crate) fn changes(&self) -> channel::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) fn wake_sleepers(&self) {
        self.changed.send_modify(|turn| *turn += 1);
    }

    /// Is the rule of this id still in force?
    pub(crate) fn holds(&self, id: &str) -> bool {
        self.standing.is_armed()
            && !self.standing.is_rule_lifted(id)
            && self.live.load().set.by_id(id).is_some()
    }

    pub(crate) fn arm(&self) {
        self.standing.arm(self.now());
        self.restart_windows();
    }

    /// Lifts every rule, for a reason that people will read.
    pub(crate) fn lift(&self, reason: &str, breach: bool) {
        if self.standing.lift(reason, breach) {
            tracing::warn!(reason, "rules lifted");
        }
        self.wake_sleepers();
    }

    pub(crate) fn lift_rule(&self, id: &str) -> bool {
        let known = self.live().set.by_id(id).is_some();
        if known {
            self.standing.lift_rule(id);
            self.wake_sleepers();
        }
        known
    }

    /// Lifts what has outlived `max_run` or missed its heartbeat; called a few times a second.
    pub(crate) fn tick(&self) {
        let safety = self.live().set.safety.clone();
        if let Some(reason) = self.standing.overdue(&safety, self.now()) {
            self.lift(&reason, false);
        }
    }
}

/// Why a version of the rule file was refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    Mistakes(Vec<Diagnostic>),
    Unreadable(String),
}
