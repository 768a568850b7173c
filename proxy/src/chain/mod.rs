//! Where the time of a request goes when the service behind an edge calls other services through edges of the same proxy.
//!
//! The request that comes first under a key is the root; requests under the same key on other edges, while it is open, are
//! calls that it caused. The key is the operation and attempt of a replay (`squall-op`, passed along by the service), and
//! the trace id of a W3C `traceparent`. A root's own time is what it took less the time in which at least one of its calls
//! was open. Calls of calls count as calls of the root: the time of a service in the middle includes what it waits for.
//!
//! ```text
//! front     |-------- root --------|
//! payments      |--- call ---|            own time of front = root - call
//! ```
//!
//! With one edge there are no chains, and nothing here is asked. The table of open roots is bounded and counts what it sheds.

mod histogram;
mod times;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::HeaderMap;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::books::Scope;
use crate::exchange::{ATTEMPT, OP, bears_ours, text};
use crate::sync::lock;

pub(crate) use histogram::Detail;
pub(crate) use times::{ChainBooks, EdgeTimes};

/// Roots that are open, by key.
#[derive(Debug)]
pub(crate) struct Chain {
    shards: Vec<Mutex<HashMap<u128, Holder>>>,
    open: AtomicUsize,
}

/// What an exchange is in a chain.
#[derive(Debug, Default)]
pub(crate) enum Link {
    /// It bears no key, or there is one edge only.
    #[default]
    None,
    /// There was no room, or its key is that of several open roots.
    Lost(Loss),
    /// It came first under its keys.
    Root { trace: Arc<Trace>, keys: SmallVec<[u128; 2]>, route: String },
    /// Another exchange caused it.
    Call(Arc<Trace>),
}

/// Why an exchange is not joined with those it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    Unclear,
    Shed,
}

/// A root, as its calls see it.
#[derive(Debug)]
pub(crate) struct Trace {
    edge: usize,
    scopes: Scopes,
    spent: Mutex<Spent>,
}

/// Time in which calls were open: of any edge, and by edge. And the rules that touched calls, each once.
#[derive(Debug, Default)]
struct Spent {
    any: Busy,
    by_edge: SmallVec<[(usize, Busy); 2]>,
    rules: SmallVec<[Arc<str>; 1]>,
}

/// Time in which at least one of something was open.
#[derive(Debug, Default, Clone, Copy)]
struct Busy {
    open: u32,
    since: Option<Instant>,
    total: Duration,
}

/// An open root, and how many there are under its key.
#[derive(Debug)]
struct Holder {
    trace: Arc<Trace>,
    roots: u32,
}

/// The books that an exchange is counted in.
type Scopes = SmallVec<[Arc<Scope>; 2]>;

impl Chain {
    /// For a proxy with so many edges.
    pub(crate) fn new(edges: usize) -> Chain {
        let shards = if edges < 2 { 0 } else { SHARDS };
        Chain { shards: (0..shards).map(|_| Mutex::default()).collect(), open: AtomicUsize::new(0) }
    }

    /// An exchange begins on `edge`; `route` is asked only of a root.
    pub(crate) fn enter(
        &self,
        edge: usize,
        headers: &HeaderMap,
        scopes: &Scopes,
        route: impl FnOnce() -> String,
    ) -> Link {
        if self.shards.is_empty() {
            return Link::None;
        }
        let keys = keys(headers);
        for key in &keys {
            let shard = lock(self.shard(*key));
            match shard.get(key) {
                Some(held) if held.trace.edge == edge => {}
                Some(held) if held.roots == 1 => {
                    let trace = held.trace.clone();
                    drop(shard);
                    lock(&trace.spent).begin(edge);
                    return Link::Call(trace);
                }
                Some(_) => return Link::Lost(Loss::Unclear),
                None => {}
            }
        }
        if keys.is_empty() {
            return Link::None;
        }
        if MAX_OPEN <= self.open.fetch_add(1, Ordering::AcqRel) {
            self.open.fetch_sub(1, Ordering::AcqRel);
            return Link::Lost(Loss::Shed);
        }
        let trace = Arc::new(Trace { edge, scopes: scopes.clone(), spent: Mutex::default() });
        for key in &keys {
            match lock(self.shard(*key)).entry(*key) {
                Entry::Occupied(mut held) => held.get_mut().roots += 1,
                Entry::Vacant(free) => drop(free.insert(Holder { trace: trace.clone(), roots: 1 })),
            }
        }
        Link::Root { trace, keys, route: route() }
    }

    /// The exchange is over. It took this long (of a stream, until its answer began), of which the upstream took so long
    /// to answer, if it did.
    pub(crate) fn leave(
        &self,
        link: Link,
        edge: usize,
        (took, upstream): (Duration, Option<Duration>),
        scopes: &Scopes,
    ) {
        let note = |note: &dyn Fn(&mut EdgeTimes)| {
            let both = |times: &mut EdgeTimes| {
                upstream.iter().for_each(|took| times.upstream(*took));
                note(times);
            };
            scopes.iter().for_each(|scope| scope.time(edge, both));
        };
        match link {
            Link::None if self.shards.is_empty() => note(&|times| times.alone(took)),
            Link::None => note(&|times| times.leaf(took)),
            Link::Lost(loss) => note(&|times| times.lost(took, loss)),
            Link::Call(trace) => {
                lock(&trace.spent).end(edge);
                trace.scopes.iter().for_each(|scope| scope.time(trace.edge, |times| times.call(edge, took)));
                note(&|times| times.leaf(took));
            }
            Link::Root { trace, keys, route } => {
                keys.iter().for_each(|key| self.forget(*key));
                self.open.fetch_sub(1, Ordering::AcqRel);
                let (any, by_edge) = lock(&trace.spent).so_far();
                let own = took.saturating_sub(any);
                note(&|times| times.root(&route, (took, own), &by_edge));
            }
        }
    }

    fn forget(&self, key: u128) {
        if let Entry::Occupied(mut held) = lock(self.shard(key)).entry(key) {
            held.get_mut().roots -= 1;
            if held.get().roots == 0 {
                held.remove();
            }
        }
    }

    fn shard(&self, key: u128) -> &Mutex<HashMap<u128, Holder>> {
        let place = usize::from(key.to_be_bytes()[0]) % self.shards.len();
        &self.shards[place]
    }
}

impl Link {
    /// Rules touch this exchange. Where it is a call, the root that caused it knows them from now on.
    pub(crate) fn touched<'a>(&self, rules: impl Iterator<Item = &'a Arc<str>>) {
        let Link::Call(trace) = self else { return };
        let known = &mut lock(&trace.spent).rules;
        for rule in rules {
            if known.len() < MAX_RULES && !known.contains(rule) {
                known.push(rule.clone());
            }
        }
    }

    /// The rules that have touched calls of this root so far.
    pub(crate) fn below(&self) -> SmallVec<[Arc<str>; 1]> {
        match self {
            Link::Root { trace, .. } => lock(&trace.spent).rules.clone(),
            _ => SmallVec::new(),
        }
    }
}

impl Spent {
    fn begin(&mut self, edge: usize) {
        let now = Instant::now();
        self.any.begin(now);
        match self.by_edge.iter_mut().find(|(of, _)| *of == edge) {
            Some((_, busy)) => busy.begin(now),
            None => {
                let mut busy = Busy::default();
                busy.begin(now);
                self.by_edge.push((edge, busy));
            }
        }
    }

    fn end(&mut self, edge: usize) {
        let now = Instant::now();
        self.any.end(now);
        if let Some((_, busy)) = self.by_edge.iter_mut().find(|(of, _)| *of == edge) {
            busy.end(now);
        }
    }

    fn so_far(&self) -> (Duration, SmallVec<[(usize, Duration); 2]>) {
        let now = Instant::now();
        let by_edge = self.by_edge.iter().map(|(edge, busy)| (*edge, busy.so_far(now)));
        (self.any.so_far(now), by_edge.collect())
    }
}

impl Busy {
    fn begin(&mut self, now: Instant) {
        if self.open == 0 {
            self.since = Some(now);
        }
        self.open += 1;
    }

    fn end(&mut self, now: Instant) {
        self.open = self.open.saturating_sub(1);
        if self.open == 0 {
            self.total = self.so_far(now);
            self.since = None;
        }
    }

    fn so_far(&self, now: Instant) -> Duration {
        self.total + self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

/// What an exchange can be joined by, the surest first.
fn keys(headers: &HeaderMap) -> SmallVec<[u128; 2]> {
    let mut keys = SmallVec::new();
    if let Some(op) = bears_ours(headers).then(|| text(headers, OP)).flatten() {
        let attempt = text(headers, ATTEMPT).and_then(|text| text.parse().ok()).unwrap_or(1_u64);
        keys.push(xxh3_128_with_seed(op.as_bytes(), OF_OPERATION ^ attempt));
    }
    // version, trace id, parent id, flags: two hex digits, 32, 16, 2
    let trace = text(headers, "traceparent").and_then(|text| text.split('-').nth(1));
    if let Some(trace) = trace.filter(|id| id.len() == 32 && id.bytes().any(|digit| digit != b'0')) {
        keys.push(xxh3_128_with_seed(trace.as_bytes(), OF_TRACE));
    }
    keys
}

/// Roots open at once: about 300 bytes each.
const MAX_OPEN: usize = 65_536;
/// Rules that a root bears the names of.
const MAX_RULES: usize = 8;
/// Locks the table is split over.
const SHARDS: usize = 32;
/// Keeps the two kinds of keys apart.
const OF_OPERATION: u64 = 0x6368_6169_0000_0000;
const OF_TRACE: u64 = 0x7472_6163_6500_0000;

#[cfg(test)]
mod tests;
