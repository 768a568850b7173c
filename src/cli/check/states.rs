//! What comes after selection: windows, counts, bursts, buckets, storms, the order of faults, and what the answer offers.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::time::Duration;

use captures::Exchange;
use fault_rules::action::Kind;
use fault_rules::decide::{Selected, Why};
use fault_rules::delay::{At, Mode, Wait};
use fault_rules::state::{BucketTable, BurstState, Counted, NthCounter, StormCap, Take};
use fault_rules::{Action, Facts, Rule, RuleSet};

use super::answer;

/// Why a rule would leave an exchange alone after all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spared {
    /// The answer had another status than it waits for.
    OtherStatus,
    /// As the proxy's books will say.
    Because(Why),
}

/// The state machines of all rules while a capture runs through them.
pub(super) struct States<'r> {
    set: &'r RuleSet,
    seed: u64,
    buckets: BucketTable,
    storms: HashMap<usize, StormCap>,
    counts: HashMap<usize, NthCounter>,
    bursts: HashMap<usize, BurstState>,
    connections: HashSet<u64>,
    /// When the first answer to a request of a user was complete: method, authority, target and session.
    answered: HashMap<(String, String, String, u64), Duration>,
}

/// What has become of one exchange by the rules before.
#[derive(Debug, Default)]
pub(super) struct SoFar {
    /// A rule has decided how it ends.
    ended: bool,
    /// And the upstream never sees it.
    unseen: bool,
    connects: bool,
    waits: Duration,
}

impl SoFar {
    /// How long the exchange would take, as far as that is known.
    pub(super) fn lasts(&self, exchange: &Exchange) -> Duration {
        let took = if self.unseen { 0 } else { exchange.duration_us.unwrap_or_default() };
        self.waits.saturating_add(Duration::from_micros(took))
    }
}

impl<'r> States<'r> {
    pub(super) fn new(set: &'r RuleSet, seed: u64) -> Self {
        let mut buckets = BucketTable::new();
        buckets.adopt(set.rules().iter().flat_map(|rule| {
            rule.actions().filter_map(|action| match action {
                Action::RateLimit(limit) => Some((rule.id.as_str(), limit.bucket)),
                _ => None,
            })
        }));
        Self {
            set,
            seed,
            buckets,
            storms: HashMap::new(),
            counts: HashMap::new(),
            bursts: HashMap::new(),
            connections: HashSet::new(),
            answered: HashMap::new(),
        }
    }

    /// The next exchange comes in.
    pub(super) fn begin(&mut self, exchange: &Exchange) -> SoFar {
        // Without a number every exchange may have come by a connection of its own.
        let connects = exchange.connection.is_none_or(|connection| self.connections.insert(connection));
        SoFar { connects, ..SoFar::default() }
    }

    /// It is over: its answer may be served again.
    pub(super) fn end(&mut self, exchange: &Exchange, facts: &Facts<'_>, now: Duration) {
        let keeps =
            self.set.rules().iter().any(|rule| rule.actions().any(|it| matches!(it, Action::Stale(_))));
        if keeps && may_be_kept(exchange) {
            let done = now.saturating_add(Duration::from_micros(exchange.duration_us.unwrap_or_default()));
            let first = self.answered.entry(key(exchange, facts)).or_insert(done);
            *first = done.min(*first);
        }
    }

    /// Why the rule would leave the exchange alone; `None`: it is hit.
    pub(super) fn spared(
        &mut self,
        selected: &Selected,
        exchange: &Exchange,
        facts: &Facts<'_>,
        (now, so_far): (Duration, &mut SoFar),
    ) -> Option<Spared> {
        let rule = self.set.rules().get(selected.rule)?;
        let status = exchange.response.as_ref().map(|response| response.status);
        if let Some(why) = selected.suppressed {
            return Some(Spared::Because(why));
        }
        if rule.on.status().is_some_and(|wanted| !status.is_some_and(|status| wanted.has(status))) {
            return Some(Spared::OtherStatus);
        }
        if let Some(why) = self.uncounted(selected.rule, rule, facts) {
            return Some(Spared::Because(why));
        }
        let late = selected.delay.map(|wait| spares_delay(wait, exchange, so_far));
        if let (Some(None), Some(wait)) = (late, selected.delay) {
            so_far.waits = so_far.waits.saturating_add(wait.time);
        }
        let action = selected.action.and_then(|at| self.set.action(at));
        let idle =
            action.map(|action| self.spares_fault((selected.rule, action), exchange, facts, (now, so_far)));
        match (late, idle) {
            (Some(None), _) | (_, Some(None)) => None,
            (_, Some(Some(why))) | (Some(Some(why)), None) => Some(Spared::Because(why)),
            (None, None) => None,
        }
    }

    /// It is not the n-th, or falls into no burst.
    fn uncounted(&mut self, place: usize, rule: &Rule, facts: &Facts<'_>) -> Option<Why> {
        if let Some(every) = &rule.every {
            let counted = self.counts.entry(place).or_default().count(every, every.per.key_hash(facts));
            match counted {
                Counted::Hit => {}
                Counted::Spared => return Some(Why::NotNth),
                Counted::Overflow => return Some(Why::CounterOverflow),
            }
        }
        let burst = rule.burst.as_ref()?;
        let hit = self.bursts.entry(place).or_default().hits(self.seed, &rule.id, burst);
        (!hit).then_some(Why::NoBurst)
    }

    fn spares_fault(
        &mut self,
        (place, action): (usize, &Action),
        exchange: &Exchange,
        facts: &Facts<'_>,
        (now, so_far): (Duration, &mut SoFar),
    ) -> Option<Why> {
        let terminal = action.kind() == Kind::Terminal;
        if so_far.unseen || (so_far.ended && terminal) {
            let storms = matches!(action, Action::Storm(_));
            return Some(if storms { Why::NotSetOff } else { Why::EarlierTerminal });
        }
        let why = match action {
            Action::Storm(storm) => {
                let status = exchange.response.as_ref().map(|response| response.status);
                let took = Duration::from_micros(exchange.duration_us.unwrap_or_default());
                let cap = self.storms.entry(place).or_insert_with(|| StormCap::new(storm.max_amplification));
                cap.forwarded();
                match storm.is_set_off_by(status, took) {
                    false => Some(Why::NotSetOff),
                    true => (cap.grant(storm.copies) == 0).then_some(Why::Amplification),
                }
            }
            Action::RateLimit(limit) => {
                let rule_id = self.set.rules().get(place).map_or("", |rule| rule.id.as_str());
                match self.buckets.take(rule_id, limit.per.key_hash(facts), now) {
                    Take::Granted => Some(Why::WithinLimit),
                    Take::Overflow => Some(Why::BucketOverflow),
                    Take::Denied { .. } => None,
                }
            }
            Action::Stale(stale) => {
                let first = self.answered.get(&key(exchange, facts));
                let old = first.is_some_and(|first| first.saturating_add(stale.age) <= now);
                (!old).then_some(Why::NothingStale)
            }
            other => answer::refuses(other, exchange),
        };
        if why.is_none() && terminal {
            so_far.ended = true;
            so_far.unseen = !action.acts_on_answer();
        }
        if let (None, Some(hold)) = (why, hold(action)) {
            so_far.waits = so_far.waits.saturating_add(hold);
        }
        why
    }
}

fn spares_delay(wait: Wait, exchange: &Exchange, so_far: &SoFar) -> Option<Why> {
    // Delays of the request come before all faults, wherever they stand in the file.
    if so_far.unseen && matches!(wait.at, At::Response | At::FirstByte) {
        return Some(Why::EarlierTerminal);
    }
    let passed = exchange.ttfb_us.or(exchange.duration_us).map(Duration::from_micros);
    match (wait.at, wait.mode) {
        (At::Connect, _) if !so_far.connects => Some(Why::NotConnecting),
        (At::Close, _) => Some(Why::WrongProtocol),
        (_, Mode::Floor) if passed.is_some_and(|passed| wait.time <= passed) => Some(Why::LateEnough),
        _ => None,
    }
}

/// How long a fault holds an exchange beyond its own time.
fn hold(action: &Action) -> Option<Duration> {
    match action {
        Action::Blackhole(hole) => hole.hold,
        Action::Stall(stall) => stall.hold,
        _ => None,
    }
}

/// Whole answers of the origin to reads, as the proxy keeps them for `stale`.
fn may_be_kept(exchange: &Exchange) -> bool {
    let status = exchange.response.as_ref().map(|response| response.status);
    let good = status.is_some_and(|status| (200..500).contains(&status) && !matches!(status, 206 | 304));
    good && exchange.stream.is_none() && matches!(exchange.request.method.as_str(), "GET" | "HEAD")
}

fn key(exchange: &Exchange, facts: &Facts<'_>) -> (String, String, String, u64) {
    let request = &exchange.request;
    (request.method.clone(), facts.authority.to_owned(), request.target.clone(), exchange.session.0)
}

/// Exchanges under a fault at once.
#[derive(Debug, Default)]
pub(super) struct Active {
    ends: BinaryHeap<Reverse<Duration>>,
    most: u64,
}

impl Active {
    /// One more exchange, under a fault or not.
    pub(super) fn note(&mut self, affected: bool, now: Duration, lasts: Duration) {
        while self.ends.peek().is_some_and(|Reverse(end)| *end <= now) {
            self.ends.pop();
        }
        if affected {
            self.ends.push(Reverse(now.saturating_add(lasts)));
        }
        self.most = self.most.max(self.now());
    }

    pub(super) fn now(&self) -> u64 {
        self.ends.len() as u64
    }

    pub(super) fn most(&self) -> u64 {
        self.most
    }
}
