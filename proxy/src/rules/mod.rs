//! The rules in force: which set, since when, and whether they may act at all.

mod arming;
mod extra;
mod fit;
mod gauges;
mod guards;
mod latencies;
mod policy;
mod reading;
mod watch;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use fault_rules::action::Direction;
use fault_rules::report::Diagnostic;
use fault_rules::{Decision, Facts, Rule, RuleSet};
use smallvec::SmallVec;
use tokio::sync::watch as channel;

use crate::hooks::HookLog;
use crate::sync::lock;
use crate::upstream::Standins;

pub(crate) use arming::Standing;
pub(crate) use extra::Extra;
pub(crate) use gauges::Gauges;
pub use guards::GuardBooks;
pub(crate) use guards::{Mark, Sentinel, Told, Tripped};
pub use latencies::latencies;
pub(crate) use policy::Policy;
pub use reading::read_at_most;
pub(crate) use watch::{RuleFile, Watching, join};

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
    /// In the order of the set's guards.
    pub(crate) guards: Vec<Arc<Sentinel>>,
    /// What the set was read from; empty where there is no file.
    pub(crate) source: Source,
}

/// Where a set came from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    /// The file, or who sent it.
    pub(crate) name: Arc<str>,
    pub(crate) text: Arc<str>,
}

impl Live {
    fn new(
        generation: u64,
        (set, source): (RuleSet, Source),
        old: Option<&Live>,
        fallback_seed: u64,
    ) -> Self {
        let ids = set.rules().iter().map(|rule| Arc::from(rule.id.as_str())).collect();
        let guards = guards::adopt(&set, old.map_or(&[], |old| old.guards.as_slice()));
        let seed = set.seed.unwrap_or(fallback_seed);
        let (standins, ways) = (Standins::default(), HashMap::new());
        Live { generation, seed, set, ids, standins, ways, guards, source }
    }

    /// The direction of a TCP connection that a rule is about, where its fault does not say it.
    pub(crate) fn way_of(&self, id: &str) -> Option<Direction> {
        self.ways.get(id).copied()
    }

    /// Whether a rule or a hook bears this id.
    fn knows(&self, id: &str) -> bool {
        self.set.by_id(id).is_some() || self.set.hooks.iter().any(|hook| hook.id == id)
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
    policy: Policy,
    origin: Instant,
    /// Microseconds from `origin` to the point that windows count from.
    epoch_us: AtomicU64,
    trips: Mutex<Vec<Tripped>>,
    /// When each rule was last seen armed, with its window open.
    open_at: Mutex<HashMap<Arc<str>, Duration>>,
    pub(crate) standing: Standing,
    pub(crate) gauges: Gauges,
    pub(crate) hooks: HookLog,
}

/// Where the rules come from, beside the command line.
#[derive(Debug, Default)]
struct Sources {
    file: RuleSet,
    source: Source,
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
    pub(crate) fn new(inline: Vec<Rule>, fallback_seed: u64, policy: Policy) -> Self {
        let nothing = (RuleSet::default(), Source::default());
        Rules {
            live: ArcSwap::from_pointee(Live::new(0, nothing, None, fallback_seed)),
            changed: channel::channel(0).0,
            reload: Mutex::default(),
            sources: Mutex::default(),
            inline,
            tcp_edges: Vec::new(),
            fallback_seed,
            policy,
            origin: Instant::now(),
            epoch_us: AtomicU64::new(0),
            trips: Mutex::default(),
            open_at: Mutex::default(),
            standing: Standing::default(),
            gauges: Gauges::default(),
            hooks: HookLog::default(),
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
    /// An id that the command line uses too, a rule that can never act where it is meant to, hooks or an arming that were not
    /// allowed; then the set in force stays.
    pub(crate) fn replace(&self, set: RuleSet, source: Source) -> Result<u64, Vec<Diagnostic>> {
        self.policy.check(&set, &source)?;
        self.fit(&set, &source)?;
        let mut sources = lock(&self.sources);
        let generation =
            self.put((&set, &source), &sources.extra).map_err(|report| report.findings().to_vec())?;
        (sources.file, sources.source) = (set, source);
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
        let generation = self.put((&sources.file, &sources.source), &extra)?;
        sources.extra = extra;
        Ok(generation)
    }

    fn put(&self, (file, source): (&RuleSet, &Source), extra: &Extra) -> Result<u64, fault_rules::Report> {
        let set = file.clone().with_rules(self.inline.clone())?.with_rules(extra.rules.clone())?;
        let now = self.live();
        if now.generation > 0 && now.set.fingerprint() == set.fingerprint() && now.ways == extra.ways {
            return Ok(now.generation);
        }
        let generation = now.generation + 1;
        self.gauges.adopt(&set);
        let standins = Standins::resolve(&set); // may take a while, and no exchange waits for it
        let was_armed = (now.generation > 0).then_some(now.set.safety.armed);
        let armed = set.safety.armed;
        let live = Live::new(generation, (set, source.clone()), Some(&now), self.fallback_seed);
        self.live.store(Arc::new(Live { standins, ways: extra.ways.clone(), ..live }));
        match (was_armed, armed) {
            (Some(before), after) if before != after => self.follow_file(after),
            _ => self.wake_sleepers(),
        }
        Ok(generation)
    }

    /// The word `armed` of the rule file has changed. What an operator, a cap or a guard lifted stays lifted.
    fn follow_file(&self, armed: Option<bool>) {
        match armed {
            Some(false) => self.lift(BY_FILE, false),
            Some(true) if self.standing.arm_unless_lifted(BY_FILE, self.now()) => {
                self.restart_windows();
                tracing::warn!("rules armed: the rule file says armed = true");
            }
            _ => self.wake_sleepers(),
        }
    }

    /// Arms the rules at the start, where the rule file or the place of the listeners says so.
    pub(crate) fn arm_at_start(&self) {
        if self.policy.arms(&self.live().set.safety) {
            self.arm();
        }
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
    /// exchange passes untouched, and the panic is counted. `now` is [`Rules::run_now`], of the caller: whoever asks when the
    /// answer will change must ask of the same moment, or a turn between two looks at the clock is missed.
    pub(crate) fn decide(&self, live: &Live, facts: &Facts<'_>, now: Duration) -> Decision {
        if live.ids.is_empty() || !self.standing.is_armed() {
            return Decision::default();
        }
        self.shielded(|| {
            let mut decision = live.set.decide(live.seed, facts, now);
            if !live.guards.is_empty() {
                guards::measure(&live.set, &live.guards, &mut decision, now);
            }
            decision
        })
    }

    /// Catches and counts a bug: what comes of it is nothing, and no exchange suffers.
    pub(crate) fn shielded<T: Default>(&self, work: impl FnOnce() -> T) -> T {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|_| {
            self.gauges.count_panic();
            T::default()
        })
    }

    /// Time since the start: what the pure state machines are told.
    pub(crate) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// A moment as [`Rules::now`] counts.
    pub(crate) fn since_start(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.origin)
    }

    /// Time that the rules' windows count from: the start of the announced replay, else arming.
    pub(crate) fn run_now(&self) -> Duration {
        self.now().saturating_sub(Duration::from_micros(self.epoch_us.load(Ordering::Acquire)))
    }

    /// Windows count from now, and guards look anew.
    pub(crate) fn restart_windows(&self) {
        let now = crate::time::micros(self.now());
        self.epoch_us.store(now, Ordering::Release);
        self.live().guards.iter().for_each(|guard| guard.reset());
        self.wake_sleepers();
    }

    /// Where an exchange belongs in the eyes of the guards.
    pub(crate) fn marks(&self, live: &Live, facts: &Facts<'_>) -> SmallVec<[Mark; 1]> {
        let at = (&self.standing, self.run_now());
        self.shielded(|| {
            let guards = live.guards.iter().enumerate();
            guards.filter_map(|(place, guard)| guard.mark((place, live.seed), facts, at)).collect()
        })
    }

    /// Is there a guard that looks at connections of this TCP edge?
    pub(crate) fn guards_edge(&self, edge: &str) -> bool {
        self.live.load().guards.iter().any(|guard| guard.names(edge))
    }

    /// Tells the guards that name a TCP edge something of a connection of it.
    pub(crate) fn tell_of_connection(&self, facts: &Facts<'_>, told: Told) {
        let live = self.live();
        let is_of = |guard: &Arc<Sentinel>| guard.is_about(facts.edge, told);
        if !live.guards.iter().any(is_of) || live.set.safety.protect.iter().any(|on| on.matches(facts)) {
            return;
        }
        for mark in self.marks(&live, facts) {
            let guard = &live.guards[mark.guard];
            if is_of(guard) {
                guard.note(&mark, &told.observed(&mark), self.now());
            }
        }
    }

    /// A receiver that turns whenever a sleeper should ask whether its rule still holds.
    pub(crate) fn changes(&self) -> channel::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Counts up with every change; equal at two moments: no rule was lifted, removed or added between them.
    pub(crate) fn turn(&self) -> u64 {
        *self.changed.borrow()
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

    /// Lifts one rule, or one hook; false: there is none of this id.
    pub(crate) fn lift_rule(&self, id: &str) -> bool {
        let known = self.live().knows(id);
        if known {
            self.standing.lift_rule(id);
            self.wake_sleepers();
        }
        known
    }

    /// Lifts what has outlived `max_run` or missed its heartbeat, and lets the guards look; called a few times a second.
    pub(crate) fn tick(&self) {
        let live = self.live();
        let (now, run_now) = (self.now(), self.run_now());
        if let Some(reason) = self.standing.overdue(&live.set.safety, now) {
            self.lift(&reason, false);
        }
        if !self.standing.is_armed() {
            return;
        }
        self.note_open(&live, (now, run_now));
        for guard in &live.guards {
            if let Some(consequence) = self.shielded(|| guard.judge(now, run_now)) {
                let books = guard.books_with(Some(consequence.reading), consequence.left, Some(run_now));
                tracing::warn!(guard = guard.name(), "{}", books.in_words());
                consequence.lift.iter().for_each(|id| self.standing.lift_rule(id));
                let mut trips = lock(&self.trips);
                if trips.len() < MAX_TRIPS {
                    trips.push(Tripped { books, at: now });
                }
                drop(trips);
                self.wake_sleepers();
            }
        }
    }

    fn note_open(&self, live: &Live, (now, run_now): (Duration, Duration)) {
        let mut open_at = lock(&self.open_at);
        for (id, rule) in live.ids.iter().zip(live.set.rules()) {
            if rule.window.is_open(run_now) && !self.standing.is_rule_lifted(id) {
                open_at.insert(id.clone(), now);
            }
        }
        if MAX_OPEN < open_at.len() {
            open_at.retain(|id, _| live.set.by_id(id).is_some());
        }
    }

    /// How long `max_run` still lets the rules stay armed.
    pub(crate) fn run_left(&self, live: &Live) -> Duration {
        live.set.safety.max_run.saturating_sub(self.standing.armed_for(self.now()))
    }

    /// Whether a rule was armed with its window open at some moment since then (counted from the start).
    pub(crate) fn was_open_since(&self, id: &str, since: Duration) -> bool {
        lock(&self.open_at).get(id).is_some_and(|last| since <= *last)
    }

    /// Trips since then, and the guards that held.
    pub(crate) fn guard_books(&self, since: Duration) -> Vec<GuardBooks> {
        let trips = lock(&self.trips);
        let mut books: Vec<_> =
            trips.iter().filter(|trip| since <= trip.at).map(|trip| trip.books.clone()).collect();
        drop(trips);
        let live = self.live();
        let held = live.guards.iter().map(|guard| guard.books());
        let tripped: Vec<String> = books.iter().map(|books| books.name.clone()).collect();
        books.extend(held.filter(|guard| !tripped.contains(&guard.name)));
        books
    }
}

/// Why the rules are lifted when their file says `armed = false`.
const BY_FILE: &str = "the rule file says armed = false";
/// Trips that are remembered: more than a run of a day has.
const MAX_TRIPS: usize = 1_000;
/// Ids of rules that were open, over all reloads.
const MAX_OPEN: usize = 10_000;

/// Why a version of the rule file was refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    Mistakes(Vec<Diagnostic>),
    Unreadable(String),
}
