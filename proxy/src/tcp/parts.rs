//! The wishes that are in force on a connection, and what became of each: in the books of the rules, in the ledger.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fault_rules::decide::Why;
use smallvec::SmallVec;

use super::asked::{Asked, Eligible, Identity, Wish};
use crate::books::bump;
use crate::ledger::Line;
use crate::rules::Live;
use crate::shared::Shared;
use crate::time::micros;

/// A wish in force on a connection.
#[derive(Debug)]
pub(super) struct Part {
    /// Its name on this connection, never used twice.
    pub(super) tag: usize,
    pub(super) wish: Wish,
    /// Since when.
    pub(super) since: Instant,
    /// What was drawn for its first piece of bytes, where it is a delay.
    drawn: Option<Duration>,
    /// It did something.
    applied: bool,
    /// Its line is in the ledger.
    told: bool,
}

/// What a look at the rules changed.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) gone: Vec<Part>,
    /// Tags of parts that are new.
    pub(super) new: Vec<usize>,
}

/// All of one connection.
pub(super) struct Parts {
    pub(super) shared: Arc<Shared>,
    pub(super) identity: Identity,
    began_wall_us: u64,
    pub(super) list: Vec<Part>,
    next_tag: usize,
    known: Vec<Known>,
    /// Counted in the share of those affected; `Some(true)`: as one of them.
    share: Option<bool>,
    active: Option<Active>,
    /// A slow connect comes too late.
    pub(super) connected: bool,
}

/// A rule that is about the connection.
#[derive(Debug)]
struct Known {
    rule: Eligible,
    applied: bool,
    /// What `every` and `burst` said, once they were asked.
    counted: Option<Option<Why>>,
}

/// Holds a place among the exchanges under a fault.
struct Active(Arc<Shared>);

impl Parts {
    pub(super) fn new(shared: Arc<Shared>, identity: Identity) -> Self {
        Parts {
            shared,
            identity,
            began_wall_us: crate::time::wall_us(),
            list: Vec::new(),
            next_tag: 0,
            known: Vec::new(),
            share: None,
            active: None,
            connected: false,
        }
    }

    /// Asks the rules again. Gives what is to be begun and ended, and when to ask the next time.
    pub(super) fn review(&mut self, now: Instant) -> (Change, Option<Instant>) {
        let rules = self.shared.rules.clone();
        let live = rules.live();
        let mut asked = Asked::default();
        if !self.shared.is_draining() {
            asked = rules.shielded(|| self.identity.ask(&rules, &live));
        }
        if self.connected {
            asked.drop_connects();
        }
        self.post_known(&asked.rules);
        self.count(&mut asked, &live);
        self.respect_caps(&mut asked);
        self.note_spared(&asked.rules);
        let change = self.follow(asked.wishes, now);
        let run_now = rules.run_now();
        (change, asked.turn.map(|turn| now + turn.saturating_sub(run_now)))
    }

    pub(super) fn get(&self, tag: usize) -> Option<&Part> {
        self.list.iter().find(|part| part.tag == tag)
    }

    /// A part did something.
    pub(super) fn applied(&mut self, tag: usize) {
        let Some(part) = self.list.iter_mut().find(|part| part.tag == tag && !part.applied) else { return };
        part.applied = true;
        let (rule, action) = (part.wish.rule.clone(), part.wish.name());
        self.shared.totals.rules(|rules| {
            if let Some(scope) = rules.get_mut(&*rule) {
                *scope.injected.entry(action).or_default() += 1;
            }
        });
        if let Some(known) = self.known.iter_mut().find(|known| known.rule.id == rule && !known.applied) {
            known.applied = true;
            self.shared.totals.rules(|rules| {
                if let Some(scope) = rules.get_mut(&*rule) {
                    scope.books.applied += 1;
                }
            });
        }
    }

    /// A delay begins to act.
    pub(super) fn drew(&mut self, tag: usize, time: Duration) {
        if let Some(part) = self.list.iter_mut().find(|part| part.tag == tag && part.drawn.is_none()) {
            part.drawn = Some(time);
            self.applied(tag);
        }
    }

    /// The part's line goes into the ledger: it did what it does, and took so long.
    pub(super) fn tell(&mut self, tag: usize, took: Duration) {
        self.applied(tag);
        let Some(at) = self.list.iter().position(|part| part.tag == tag && !part.told) else { return };
        self.list[at].told = true;
        self.shared.ledger.note(self.line(&self.list[at], took));
    }

    /// A delay was waited for to its end: `asked` is all that was asked at its place.
    pub(super) fn waited(&mut self, tag: usize, asked: Duration, took: Duration) {
        let Some(part) = self.get(tag).filter(|part| !part.told) else { return };
        self.shared.totals.rules(|rules| {
            if let Some(scope) = rules.get_mut(&*part.wish.rule) {
                scope.note_delay(micros(asked), micros(took));
            }
        });
        self.tell(tag, took);
    }

    /// A part is over; if it did something and has no line yet, it gets one now.
    pub(super) fn over(&self, part: &Part, took: Duration) {
        if part.applied && !part.told {
            self.shared.ledger.note(self.line(part, took));
        }
    }

    /// The connection is over.
    pub(super) fn finish(&mut self, why: Why) {
        for part in std::mem::take(&mut self.list) {
            self.over(&part, part.since.elapsed());
        }
        for known in std::mem::take(&mut self.known) {
            self.forget(&known, why);
        }
        self.active = None;
    }

    fn line(&self, part: &Part, took: Duration) -> Line {
        let asked = part.drawn.map_or_else(|| part.wish.asked(), |drawn| format!("{}us", drawn.as_micros()));
        let spared = (part.wish.rule.clone(), part.wish.name(), asked);
        Line { applied: true, actual_us: micros(took), suppressed: None, ..self.spared(spared, Why::Lifted) }
    }

    /// The line of what a rule asked for and was not done.
    fn spared(&self, (rule, action, asked): (Arc<str>, &'static str, String), why: Why) -> Line {
        Line {
            t_us: self.began_wall_us,
            edge: self.identity.edge.clone(),
            session: self.identity.name.clone(),
            op: self.identity.name.clone(),
            attempt: 1,
            rule,
            action,
            asked,
            applied: false,
            actual_us: 0,
            suppressed: Some(why.as_str()),
            outcome: None,
            run: None,
        }
    }

    /// What is the same goes on as it is; the rest ends or begins.
    fn follow(&mut self, wishes: Vec<Wish>, now: Instant) -> Change {
        let mut change = Change::default();
        let mut left: SmallVec<[Wish; 4]> = wishes.into();
        let mut kept = Vec::new();
        for part in std::mem::take(&mut self.list) {
            match left.iter().position(|wish| *wish == part.wish) {
                Some(at) => {
                    left.remove(at);
                    kept.push(part);
                }
                None => change.gone.push(part),
            }
        }
        for wish in left {
            let tag = self.next_tag;
            self.next_tag += 1;
            change.new.push(tag);
            kept.push(Part { tag, wish, since: now, drawn: None, applied: false, told: false });
        }
        self.list = kept;
        change
    }

    /// Safety comes before every rule: a breached cap lifts them all, and nothing of them happens here.
    fn respect_caps(&mut self, asked: &mut Asked) {
        let affected = !asked.wishes.is_empty();
        if !affected {
            self.active = None;
        }
        if self.share.is_none() || (affected && self.share == Some(false)) {
            self.share = Some(affected);
            if let Some(breach) = self.shared.rules.gauges.note(affected, self.shared.rules.now()) {
                let reason = format!(
                    "max_affected: {} of {} exchanges in 10 s, the cap is {}%",
                    breach.affected,
                    breach.total,
                    breach.cap * 100.0
                );
                return self.breach(asked, &reason);
            }
        }
        if affected && self.active.is_none() {
            let fits = self.shared.rules.gauges.enter();
            self.active = Some(Active(self.shared.clone()));
            if !fits {
                self.breach(asked, "max_active: too many exchanges under a fault at once");
            }
        }
    }

    fn breach(&mut self, asked: &mut Asked, reason: &str) {
        self.shared.rules.lift(reason, true);
        asked.wishes.clear();
        for rule in asked.rules.iter_mut().filter(|rule| rule.selected) {
            rule.spared = rule.spared.or(Some(Why::Cap));
        }
    }

    /// Each rule counts the connection once, for as long as it is about it and asks for the same rate.
    fn post_known(&mut self, rules: &[Eligible]) {
        let is_same = |known: &Known, rule: &Eligible| {
            known.rule.id == rule.id && known.rule.asked_rate.total_cmp(&rule.asked_rate).is_eq()
        };
        let old = std::mem::take(&mut self.known);
        let (kept, gone): (Vec<_>, Vec<_>) =
            old.into_iter().partition(|known| rules.iter().any(|rule| is_same(known, rule)));
        gone.iter().for_each(|known| self.forget(known, Why::Lifted));
        self.known = kept;
        for rule in rules {
            if self.known.iter().any(|known| is_same(known, rule)) {
                continue;
            }
            let applied = self.list.iter().any(|part| part.applied && part.wish.rule == rule.id);
            self.shared.totals.rules(|rules| {
                let scope = rules.entry(rule.id.to_string()).or_default();
                scope.books.id = rule.id.to_string();
                scope.books.by = rule.by;
                scope.note(rule.asked_rate, None, rule.selected);
                scope.books.selected += u64::from(rule.selected);
                scope.books.applied += u64::from(rule.selected && applied);
            });
            self.known.push(Known { rule: rule.clone(), applied, counted: None });
        }
    }

    /// State that comes after selection: is it the n-th, does it fall into a burst? Counted once a connection.
    fn count(&mut self, asked: &mut Asked, live: &Live) {
        for rule in asked.rules.iter_mut().filter(|rule| rule.selected && rule.spared.is_none()) {
            let Some(known) = self.known.iter_mut().find(|known| known.rule.id == rule.id) else { continue };
            let Some((_, definition)) = live.set.by_id(&rule.id) else { continue };
            if definition.every.is_none() && definition.burst.is_none() {
                continue;
            }
            let key = definition.every.as_ref().map_or(0, |every| self.identity.key_of(&every.per));
            let gauges = &self.shared.rules.gauges;
            rule.spared = *known.counted.get_or_insert_with(|| gauges.spares(definition, live.seed, key));
            if rule.spared.is_some() {
                asked.wishes.retain(|wish| wish.rule != rule.id);
            }
        }
    }

    /// Why a rule does nothing now is known last.
    fn note_spared(&mut self, rules: &[Eligible]) {
        for known in &mut self.known {
            if let Some(rule) = rules.iter().find(|rule| rule.id == known.rule.id) {
                known.rule.spared = rule.spared;
            }
        }
    }

    /// A rule is no longer about the connection: if it selected it and did nothing, it was spared.
    fn forget(&self, known: &Known, why: Why) {
        if known.rule.selected && !known.applied {
            let why = known.rule.spared.unwrap_or(why);
            self.shared.totals.rules(|rules| {
                if let Some(scope) = rules.get_mut(&*known.rule.id) {
                    bump(&mut scope.books.suppressed, why.as_str());
                }
            });
            let Eligible { id, action, asked, .. } = &known.rule;
            self.shared.ledger.note(self.spared((id.clone(), action, asked.clone()), why));
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.rules.gauges.leave();
    }
}
