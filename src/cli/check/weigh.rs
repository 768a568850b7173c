//! Recorded traffic past the rules, at its own speed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use captures::reader::Capture;
use captures::{Exchange, SessionId};
use fault_rules::state::{Breach, ShareGuard};
use fault_rules::{Decision, Facts, RuleSet};

use super::guards::{Samples, Watch};
use super::states::{Active, Spared, States};

/// What the rules would have done.
#[derive(Debug, Default)]
pub(super) struct Weighed {
    pub(super) seed: u64,
    pub(super) exchanges: u64,
    pub(super) sessions: usize,
    pub(super) damaged: usize,
    pub(super) span: Duration,
    /// Exchanges that each entry of `protect` keeps the rules away from.
    pub(super) protected: Vec<u64>,
    pub(super) affected: u64,
    pub(super) rules: Vec<Tally>,
    /// The first time that `max_affected` was over, and how.
    pub(super) breach: Option<(Duration, Breach)>,
    /// The first time that `max_active` was reached.
    pub(super) crowd: Option<Duration>,
    pub(super) most_active: u64,
    /// What each guard had to judge by.
    pub(super) guards: Vec<Samples>,
    /// Recorded paths without what only identifies, the first [`MOST_ROUTES`] of them.
    pub(super) routes: BTreeSet<String>,
}

/// What one rule would have done.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// Exchanges that its `on` is about.
    pub(super) meant: u64,
    /// Those of them whose attempt, shard and key fit too.
    pub(super) matched: u64,
    pub(super) selected: u64,
    /// Selected, and answered by another status than the rule waits for.
    pub(super) other_status: u64,
    /// Selected and spared, by reason.
    pub(super) spared: BTreeMap<&'static str, u64>,
    pub(super) hits: u64,
    pub(super) sessions: BTreeSet<SessionId>,
    /// Selected answers of unknown length.
    pub(super) lengthless: u64,
}

/// Sends a capture past the rules.
pub(super) fn weigh(set: &RuleSet, capture: &Capture) -> Weighed {
    // A capture does not say which upstream an exchange was meant for.
    let set = set.without_groups();
    let mut exchanges: Vec<&Exchange> =
        capture.sessions.iter().flat_map(|session| &session.exchanges).collect();
    exchanges.sort_by_key(|exchange| exchange.start_us);
    let start_us = exchanges.first().map_or(0, |first| first.start_us);
    let end_us = exchanges.last().map_or(0, |last| last.start_us);
    let mut weighing = Weighing::new(&set, capture, Duration::from_micros(end_us - start_us));
    for exchange in exchanges {
        weighing.one(exchange, Duration::from_micros(exchange.start_us - start_us));
    }
    weighing.finish()
}

struct Weighing<'r> {
    set: &'r RuleSet,
    states: States<'r>,
    share: Option<ShareGuard>,
    active: Active,
    watches: Vec<Watch>,
    names: Names,
    sum: Weighed,
}

impl<'r> Weighing<'r> {
    fn new(set: &'r RuleSet, capture: &Capture, span: Duration) -> Self {
        let sum = Weighed {
            seed: set.seed.unwrap_or_default(),
            sessions: capture.sessions.len(),
            damaged: capture.damage.len(),
            span,
            protected: vec![0; set.safety.protect.len()],
            rules: vec![Tally::default(); set.rules().len()],
            ..Weighed::default()
        };
        Self {
            set,
            states: States::new(set, sum.seed),
            share: set.safety.max_affected.map(ShareGuard::new),
            active: Active::default(),
            watches: Watch::all(set),
            names: Names::default(),
            sum,
        }
    }

    fn one(&mut self, exchange: &Exchange, now: Duration) {
        let request = &exchange.request;
        // As clone 0 of a replay will be called, so that the same sessions are selected there.
        let session = format!("{}-0", exchange.session);
        let (operation, attempt) = self.names.operation(exchange);
        let header = |name: &str| request.headers.get_str(name);
        let authority = Some(request.authority.as_str()).filter(|it| !it.is_empty());
        let facts = Facts {
            edge: &exchange.edge,
            method: &request.method,
            authority: authority.or_else(|| header("host")).unwrap_or(""),
            path: request.path(),
            query: request.target.split_once('?').map_or("", |(_, query)| query),
            header: &header,
            operation: &operation,
            attempt,
            session: &session,
            connection: exchange.connection.unwrap_or_default(),
            client: &session,
            upstream: "",
        };
        let decision = self.set.decide(self.sum.seed, &facts, now);
        self.sum.exchanges += 1;
        if self.sum.routes.len() < MOST_ROUTES {
            self.sum.routes.insert(captures::route::template(request.path()).into_owned());
        }
        self.count(&decision, &facts);
        let affected = self.carry_out(&decision, exchange, &facts, now);
        self.sum.affected += u64::from(affected);
        for watch in &mut self.watches {
            watch.note(self.set, &decision, &facts, now);
        }
        let breach = self.share.as_mut().and_then(|share| share.note(affected, now));
        self.sum.breach = self.sum.breach.or(breach.map(|breach| (now, breach)));
        let crowded = self.set.safety.max_active.is_some_and(|cap| cap < self.active.now());
        self.sum.crowd = self.sum.crowd.or(crowded.then_some(now));
    }

    /// Who is meant at all.
    fn count(&mut self, decision: &Decision, facts: &Facts<'_>) {
        for (matcher, count) in self.set.safety.protect.iter().zip(&mut self.sum.protected) {
            *count += u64::from(matcher.matches(facts));
        }
        for (rule, tally) in self.set.rules().iter().zip(&mut self.sum.rules) {
            tally.meant += u64::from(!decision.protected && rule.on.matches(facts));
        }
        for place in &decision.matched {
            if let Some(tally) = self.sum.rules.get_mut(*place as usize) {
                tally.matched += 1;
            }
        }
    }

    /// Whether any rule hits.
    fn carry_out(
        &mut self,
        decision: &Decision,
        exchange: &Exchange,
        facts: &Facts<'_>,
        now: Duration,
    ) -> bool {
        let mut so_far = self.states.begin(exchange);
        let mut affected = false;
        for selected in &decision.selected {
            let spared = self.states.spared(selected, exchange, facts, (now, &mut so_far));
            let Some(tally) = self.sum.rules.get_mut(selected.rule) else { continue };
            tally.note(spared, exchange);
            affected |= spared.is_none();
        }
        self.states.end(exchange, facts, now);
        self.active.note(affected, now, so_far.lasts(exchange));
        affected
    }

    fn finish(mut self) -> Weighed {
        self.sum.most_active = self.active.most();
        self.sum.guards = self.watches.into_iter().map(Watch::finish).collect();
        self.sum
    }
}

impl Tally {
    fn note(&mut self, spared: Option<Spared>, exchange: &Exchange) {
        self.selected += 1;
        self.lengthless += u64::from(super::answer::promised_length(exchange).is_none());
        match spared {
            None => {
                self.hits += 1;
                self.sessions.insert(exchange.session);
            }
            Some(Spared::OtherStatus) => self.other_status += 1,
            Some(Spared::Because(why)) => *self.spared.entry(why.as_str()).or_default() += 1,
        }
    }
}

/// The names that the proxy gives operations of clients without `squall-op`, and which attempt of one a request is.
#[derive(Debug, Default)]
struct Names {
    /// How often each operation without a name of its own came so far.
    turns: HashMap<String, u64>,
    /// How often each named one did.
    attempts: HashMap<String, u32>,
}

impl Names {
    fn operation(&mut self, exchange: &Exchange) -> (String, u32) {
        let request = &exchange.request;
        let route = format!("{} {}", request.method, request.path());
        let named = ["idempotency-key", "traceparent"].iter().find_map(|name| request.headers.get_str(name));
        if let Some(own) = named {
            // Within an edge, a method and a path: a trace makes different requests under one parent.
            let key = format!("{} {route} {own}", exchange.edge);
            let attempt = self.attempts.entry(key).or_default();
            *attempt = attempt.saturating_add(1);
            return (own.to_owned(), *attempt);
        }
        let name = format!("{} {route}", exchange.session);
        let turns = self.turns.entry(name.clone()).or_default();
        let turn = *turns;
        *turns += 1;
        (format!("{name} {turn}"), 1)
    }
}

/// More routes than an application has.
const MOST_ROUTES: usize = 10_000;
