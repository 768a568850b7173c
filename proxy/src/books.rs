//! The proxy's side of the books: what every exchange became, counted once, at its own edge.
//!
//! Rows that hold at any quiet moment (`in_flight` 0):
//!
//! ```text
//! seen              = forwarded + short_circuited + dropped + refused + client_gone + upstream_unreachable + aborted
//! upstream_attempts = forwarded + proxy_repeats + storm_copies
//! forwarded         = delivered + cut + upstream_failed + client_gone_after
//! seen              = recorded + shed + not_recorded
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use captures::opset::OpSet;
use serde::Serialize;

use crate::audit::{DelayBooks, RuleScope};
use crate::chain::{ChainBooks, Detail, EdgeTimes};
use crate::rules::Rules;
use crate::sync::lock;

/// Counts by name: of a rule, or of a reason.
pub type Counts = BTreeMap<String, u64>;

/// One edge's rows. Units: exchanges, except where said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EdgeBooks {
    /// The edge.
    pub name: String,
    /// Requests whose header was read, those refused for what it said, and those whose client left inside it.
    pub seen: u64,
    /// Handed to the upstream at least once.
    pub forwarded: u64,
    /// Answered by a rule, by rule.
    pub short_circuited: Counts,
    /// Ended by a rule without an answer and without the upstream, by rule.
    pub dropped: Counts,
    /// Refused by the proxy itself, by reason.
    pub refused: Counts,
    /// The client left before the upstream was asked.
    pub client_gone: u64,
    /// No connection to the upstream.
    pub upstream_unreachable: u64,
    /// Ended by the drain deadline or by a bug, before any other outcome.
    pub aborted: u64,
    /// The whole answer was written to the client.
    pub delivered: u64,
    /// The upstream's answer was torn off by a rule, by rule.
    pub cut: Counts,
    /// The upstream died, timed out or answered garbage.
    pub upstream_failed: u64,
    /// The client left after the upstream was asked.
    pub client_gone_after: u64,
    /// Requests handed to the upstream: first tries, the proxy's own repeats, copies.
    pub upstream_attempts: u64,
    /// Tries beyond the first, on a pooled connection that had died.
    pub proxy_repeats: u64,
    /// Copies sent by rules that storm or duplicate, by rule.
    pub storm_copies: Counts,
    /// Upstream attempts whose connection died before the first answer byte: the origin may or may not know of them.
    pub ambiguous: u64,
    /// Written to the capture.
    pub recorded: u64,
    /// Meant for the capture and lost, by reason.
    pub shed: Counts,
    /// Not meant for the capture, by reason.
    pub not_recorded: Counts,
}

/// What an edge counted, and what its exchanges took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EdgeSummary {
    /// Its rows.
    #[serde(flatten)]
    pub books: EdgeBooks,
    /// Its times.
    #[serde(flatten)]
    pub(crate) times: ChainBooks,
}

/// One rule's counts. Units: exchanges.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RuleBooks {
    /// The rule.
    pub id: String,
    /// Exchanges that match the rule.
    pub eligible: u64,
    /// Of those, selected.
    pub selected: u64,
    /// Of those, spared, by reason.
    pub suppressed: Counts,
    /// Of those, touched.
    pub applied: u64,
    /// What the rate is a share of: `request`, `operation`, `session`, `connection`, `header`, `cookie`.
    pub by: &'static str,
    /// The rate the rule asks for, 0 to 1; where it was edited meanwhile, its mean over the eligible.
    pub asked_rate: f64,
    /// Selected over eligible, 0 to 1; 0 where nothing was eligible.
    pub realised_rate: f64,
    /// How many different keys were looked at (a sample of at most 1,024 where exchanges share theirs); `None`: not known.
    pub units: Option<u64>,
    /// The 99.9 % interval of the realised rate over these units.
    pub rate_low: Option<f64>,
    /// Its upper end.
    pub rate_high: Option<f64>,
    /// It was armed with its window open at some moment.
    pub was_open: bool,
    /// Its delays; `None`: none was waited for to its end.
    pub delay: Option<DelayBooks>,
    /// Why it did not do what it asked for; `None`: it did, or that cannot be told.
    pub missed: Option<String>,
}

/// Everything counted for one purpose: since the start, or for one replay.
#[derive(Debug)]
pub(crate) struct Scope {
    /// Tag of the replay; `None` for the totals.
    pub(crate) run: Option<String>,
    pub(crate) started: Instant,
    in_flight: AtomicI64,
    edges: Vec<EdgeScope>,
    rules: Mutex<BTreeMap<String, RuleScope>>,
    seen_ops: Option<Mutex<OpSet>>,
    ended: Mutex<Ended>,
}

/// The books of a scope at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Exchanges that the rows do not tell whole.
    pub(crate) in_flight: i64,
    pub(crate) edges: Vec<EdgeBooks>,
}

#[derive(Debug)]
struct EdgeScope {
    seen: AtomicU64,
    books: Mutex<EdgeBooks>,
    times: Mutex<EdgeTimes>,
}

/// Exchanges of a replay that a rule ended without a whole answer, or held until their client left, so that the replayer
/// can tell them from failures.
#[derive(Debug, Default)]
struct Ended {
    list: Vec<EndedExchange>,
    lost: u64,
}

/// One such exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndedExchange {
    pub(crate) op: u64,
    pub(crate) attempt: u32,
    pub(crate) rule: Arc<str>,
    pub(crate) action: &'static str,
    /// The client left, and the rule was what it had waited for.
    pub(crate) left: bool,
    /// The client left, and the rule had touched a call of the exchange.
    pub(crate) below: bool,
}

impl Scope {
    pub(crate) fn new(run: Option<String>, edges: &[String], started: Instant) -> Self {
        let edge = |name: &String| EdgeScope {
            seen: AtomicU64::new(0),
            books: Mutex::new(EdgeBooks { name: name.clone(), ..EdgeBooks::default() }),
            times: Mutex::default(),
        };
        Scope {
            started,
            in_flight: AtomicI64::new(0),
            edges: edges.iter().map(edge).collect(),
            rules: Mutex::default(),
            seen_ops: run.is_some().then(|| Mutex::new(OpSet::new())),
            ended: Mutex::default(),
            run,
        }
    }

    /// An exchange was seen. Its end is told by [`Scope::post`], whatever happens to it.
    pub(crate) fn open(&self, edge: usize) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        self.edges[edge].seen.fetch_add(1, Ordering::AcqRel);
    }

    /// Its outcome, in one piece.
    pub(crate) fn post(&self, edge: usize, post: impl FnOnce(&mut EdgeBooks)) {
        self.note(edge, post);
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }

    /// A count that does not end an exchange.
    pub(crate) fn note(&self, edge: usize, note: impl FnOnce(&mut EdgeBooks)) {
        note(&mut lock(&self.edges[edge].books));
    }

    /// How long something took on an edge.
    pub(crate) fn time(&self, edge: usize, note: impl FnOnce(&mut EdgeTimes)) {
        note(&mut lock(&self.edges[edge].times));
    }

    /// The times of every edge.
    pub(crate) fn times(&self, detail: Detail) -> Vec<ChainBooks> {
        let names: Vec<String> = self.edges.iter().map(|edge| lock(&edge.books).name.clone()).collect();
        self.edges.iter().map(|edge| lock(&edge.times).books(&names, detail)).collect()
    }

    /// Rows and times of every edge.
    pub(crate) fn summaries(&self, rows: Vec<EdgeBooks>, detail: Detail) -> Vec<EdgeSummary> {
        rows.into_iter().zip(self.times(detail)).map(|(books, times)| EdgeSummary { books, times }).collect()
    }

    /// Work that must be over before the books are read: a storm copy, an exchange on its way to the capture.
    pub(crate) fn pend(&self) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn pended(&self) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn rules(&self, post: impl FnOnce(&mut BTreeMap<String, RuleScope>)) {
        post(&mut lock(&self.rules));
    }

    pub(crate) fn saw(&self, op: u64, attempt: u32) {
        if let Some(seen) = &self.seen_ops {
            lock(seen).insert(op, attempt);
        }
    }

    /// The sketch of every (operation, attempt) seen; kept for replays only.
    pub(crate) fn seen_ops(&self) -> Option<Vec<u8>> {
        self.seen_ops.as_ref().map(|seen| lock(seen).to_bytes())
    }

    pub(crate) fn ended(&self, exchange: EndedExchange) {
        let mut ended = lock(&self.ended);
        if ended.list.len() < MAX_ENDED {
            ended.list.push(exchange);
        } else {
            ended.lost += 1;
        }
    }

    /// The exchanges ended by rules, and how many did not fit.
    pub(crate) fn ended_list(&self) -> (Vec<EndedExchange>, u64) {
        let ended = lock(&self.ended);
        (ended.list.clone(), ended.lost)
    }

    pub(crate) fn in_flight(&self) -> i64 {
        self.in_flight.load(Ordering::Acquire)
    }

    pub(crate) fn edge_books(&self) -> Vec<EdgeBooks> {
        let snapshot = |edge: &EdgeScope| {
            let books = lock(&edge.books).clone();
            EdgeBooks { seen: edge.seen.load(Ordering::Acquire), ..books }
        };
        self.edges.iter().map(snapshot).collect()
    }

    /// All of it at one moment, as far as there is one: with `in_flight` 0 every row holds, since no exchange was under
    /// way and none began while the rows were read.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let seen = || -> i64 {
            let of = |edge: &EdgeScope| edge.seen.load(Ordering::Acquire);
            i64::try_from(self.edges.iter().map(of).sum::<u64>()).unwrap_or(i64::MAX)
        };
        let before = seen();
        let in_flight = self.in_flight();
        let edges = self.edge_books();
        Snapshot { in_flight: in_flight + seen() - before, edges }
    }

    /// The books of every rule that was eligible or is in force, judged. A rule of a replay that only others met (`totals` are
    /// the books of everybody) was not left out by mistake.
    pub(crate) fn rule_books(&self, rules: &Rules, totals: &Scope) -> Vec<RuleBooks> {
        let since = rules.since_start(self.started);
        let met_by_others = if self.run.is_some() { totals.met_since(self.started) } else { BTreeSet::new() };
        let judge = |scope: &RuleScope| {
            let id = &scope.books.id;
            scope.judged(rules.was_open_since(id, since) && !met_by_others.contains(id))
        };
        let counted = lock(&self.rules);
        let mut books: Vec<_> = counted.values().map(judge).collect();
        let live = rules.live();
        let silent = live.set.rules().iter().filter(|rule| !counted.contains_key(&rule.id));
        let silent = silent.map(|rule| judge(&RuleScope::unmatched(rule))).collect::<Vec<_>>();
        books.extend(silent);
        books
    }
}

impl Scope {
    /// Rules that an exchange was about since then.
    fn met_since(&self, since: Instant) -> BTreeSet<String> {
        let rules = lock(&self.rules);
        let met = rules.iter().filter(|(_, scope)| scope.met_at.is_some_and(|at| since <= at));
        met.map(|(id, _)| id.clone()).collect()
    }
}

/// What the rules did not do that they asked for, in words.
pub(crate) fn missed(rules: &[RuleBooks]) -> Vec<String> {
    let words = |rule: &RuleBooks| Some(format!("{} {}", rule.id, rule.missed.as_ref()?));
    rules.iter().filter_map(words).collect()
}

/// Adds one under a name.
pub(crate) fn bump(counts: &mut Counts, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => {
            counts.insert(name.to_owned(), 1);
        }
    }
}

/// Ended exchanges kept for a replay to ask about: 48 bytes each.
const MAX_ENDED: usize = 4_000_000;
