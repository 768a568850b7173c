//! One direction of an exchange under its shapes: the pure [`Shaper`], the clock, the rules it depends on.
//!
//! Held by the exchange, which asks at its end what became of each part, and by whatever moves the bytes: the
//! connection's stream on HTTP/1, the session under pingora on HTTP/2. A rule that is removed or lifted lets its part
//! go, and the bytes pass unshaped from there. A panic in here lets all parts go, and is counted.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use fault_rules::decide::Why;
use fault_rules::shape::{Outcome, Shape, Shaper, Step};
use smallvec::SmallVec;
use tokio::sync::watch;

use super::events::Events;
use crate::config::Stumble;
use crate::limits::Met;
use crate::shared::Shared;

/// Shared by the exchange and the stream that moves its bytes; locked for single steps only.
pub(crate) type SharedShaping = Arc<Mutex<Shaping>>;

/// The shapes of one direction, at work.
pub(crate) struct Shaping {
    shaper: Shaper,
    parts: SmallVec<[Shaped; 2]>,
    /// Finds messages in the payload, where a part depends on them.
    events: Option<Events>,
    /// Payload bytes in which messages were looked for.
    scanned: u64,
    shared: Arc<Shared>,
    origin: Instant,
    ended_by: Option<usize>,
    stumbled: bool,
}

/// One part of a plan in a direction.
struct Shaped {
    /// Place in the plan.
    part: usize,
    rule: Arc<str>,
    shape: Shape,
    /// How the direction ends by it, if it does.
    ending: Option<Cutoff>,
    /// Why it has let go, where it has.
    let_go: Option<Why>,
}

/// How an answer ends before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cutoff {
    /// TCP RST; on HTTP/2 RST_STREAM with this code, or, where asked, RST of the whole connection.
    Reset {
        /// Of RST_STREAM.
        code: u32,
        /// The connection, not only the stream.
        connection: bool,
    },
    /// FIN; on HTTP/2 END_STREAM.
    Close,
    /// This close frame of a WebSocket, then FIN.
    WebsocketClose(Bytes),
}

/// What may happen now, by the clock of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Move {
    /// So many of the offered bytes; 0 where none were offered, then the end of the payload may go.
    Pass(usize),
    /// Nothing before then; `None`: ever. Ask again then, and when the rules change.
    Wait(Option<Instant>),
    /// The direction ends here.
    End(Cutoff),
}

impl Shaping {
    /// Nothing yet.
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Shaping {
            shaper: Shaper::default(),
            parts: SmallVec::new(),
            events: None,
            scanned: 0,
            shared: shared.clone(),
            origin: Instant::now(),
            ended_by: None,
            stumbled: false,
        }
    }

    /// Adds a part of the plan with the seed of its draws.
    pub(crate) fn add(
        &mut self,
        part: usize,
        rule: Arc<str>,
        (shape, key): (Shape, u64),
        ending: Option<Cutoff>,
    ) {
        self.shaper.add(part, shape, key);
        self.parts.push(Shaped { part, rule, shape, ending, let_go: None });
    }

    /// Messages of the payload are to be found by this.
    pub(crate) fn find_events(&mut self, events: Option<Events>) {
        self.events = events.filter(|_| self.shaper.wants_events());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Turns when the rules do. What changed before is taken up here, since it wakes nobody.
    pub(crate) fn changes(&mut self) -> watch::Receiver<u64> {
        let changes = self.shared.rules.changes();
        self.release();
        changes
    }

    /// The header has passed.
    pub(crate) fn begin(&mut self) {
        self.shaper.begin(self.origin.elapsed());
    }

    /// What may happen with the next `bytes` of the payload, none: with what lies behind those that have passed.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Move {
        let step = self.guarded(|this| {
            this.scan(bytes);
            this.shaper.step(bytes.len(), this.origin.elapsed())
        });
        match step {
            None => Move::Pass(bytes.len()),
            Some(Step::Pass(n)) => Move::Pass(n),
            Some(Step::Wait(until)) => Move::Wait(until.map(|until| self.origin + until)),
            Some(Step::End(part)) => Move::End(self.end_by(part)),
        }
    }

    /// What may happen with an answer that is its header alone: it ends by a fault, or it passes as it is.
    pub(crate) fn step_empty(&mut self) -> Option<Cutoff> {
        let part = self.guarded(|this| this.shaper.step_empty())??;
        Some(self.end_by(part))
    }

    /// These bytes go out now.
    pub(crate) fn pass(&mut self, bytes: &mut [u8]) {
        self.guarded(|this| this.shaper.pass(bytes));
    }

    /// When an end will come by time alone.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.stumbled { None } else { self.shaper.deadline().map(|until| self.origin + until) }
    }

    /// The rules have changed: parts whose rule is gone let go.
    pub(crate) fn release(&mut self) {
        let now = self.origin.elapsed();
        let draining = self.shared.is_draining();
        for shaped in self.parts.iter_mut().filter(|shaped| shaped.let_go.is_none()) {
            if draining || !self.shared.rules.holds(&shaped.rule) {
                shaped.let_go = Some(Why::Lifted);
                self.shaper.remove(shaped.part, now);
            }
        }
    }

    /// There is no room for what waits: parts that make it wait let go, for good.
    pub(crate) fn give_way(&mut self) {
        let now = self.origin.elapsed();
        let mut gave_way = false;
        let holding = |shaped: &&mut Shaped| shaped.let_go.is_none() && shaped.shape.holds_back();
        for shaped in self.parts.iter_mut().filter(holding) {
            if self.shaper.remove(shaped.part, now) {
                shaped.let_go = Some(Why::Buffered);
                gave_way = true;
            }
        }
        if gave_way {
            self.shared.meets.note(Met::Buffered);
        }
    }

    /// What became of a part, and why it was let go, where it was. A wait for the first byte that was cut short is none.
    pub(crate) fn outcome(&self, part: usize) -> (Outcome, Option<Why>) {
        let mut outcome = self.shaper.outcome(part);
        let shaped = self.parts.iter().find(|shaped| shaped.part == part);
        let let_go = shaped.and_then(|shaped| shaped.let_go);
        let waits_once = shaped.is_some_and(|shaped| matches!(shaped.shape, Shape::FirstByte(_)));
        outcome.reached &= !(waits_once && let_go == Some(Why::Buffered));
        (outcome, let_go.or(self.stumbled.then_some(Why::Lifted)))
    }

    /// The part that holds bytes back: its place in the plan, and since when.
    pub(crate) fn held(&self) -> Option<(usize, Instant)> {
        let (part, since) = self.shaper.held().filter(|_| !self.stumbled)?;
        Some((part, self.origin + since))
    }

    /// The part that has ended the direction: its place in the plan.
    pub(crate) fn ended_by(&self) -> Option<usize> {
        self.ended_by
    }

    /// The rule that has ended the direction.
    pub(crate) fn ending_rule(&self) -> Option<Arc<str>> {
        let part = self.ended_by?;
        self.parts.iter().find(|shaped| shaped.part == part).map(|shaped| shaped.rule.clone())
    }

    /// The places in the plan of its parts.
    pub(crate) fn parts(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().map(|shaped| shaped.part)
    }

    fn end_by(&mut self, part: usize) -> Cutoff {
        self.ended_by = Some(part);
        let shaped = self.parts.iter().find(|shaped| shaped.part == part);
        shaped.and_then(|shaped| shaped.ending.clone()).unwrap_or(Cutoff::Close)
    }

    fn scan(&mut self, bytes: &[u8]) {
        let Some(events) = &mut self.events else { return };
        let known = usize::try_from(self.scanned.saturating_sub(self.shaper.passed())).unwrap_or(usize::MAX);
        let mut rest = bytes.get(known..).unwrap_or_default();
        while let Some(end) = events.next_end(&mut rest) {
            self.shaper.note_event(self.scanned + end);
            self.scanned += end;
        }
        self.scanned = self.scanned.max(self.shaper.passed() + bytes.len() as u64);
        if !self.shaper.wants_events() {
            self.events = None;
        }
    }

    /// Runs what must never take a request down. `None`: it panicked, now or before.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.stumbled {
            return None;
        }
        let shared = self.shared.clone();
        let done = shared.rules.shielded(|| {
            shared.config.may_stumble(Stumble::Shaping);
            Some(work(self))
        });
        self.stumbled = done.is_none();
        done
    }
}

impl std::fmt::Debug for Shaping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shaping").field("shaper", &self.shaper).finish_non_exhaustive()
    }
}
