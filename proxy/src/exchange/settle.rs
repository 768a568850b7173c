//! The end of an exchange: its place in the books, its lines in the ledger, its way to the capture.

use std::sync::Arc;
use std::time::Duration;

use fault_rules::action::Kind;
use fault_rules::decide::Why;
use fault_rules::select::By;
use fault_rules::state::guard::{self, Observed};
use pingora_error::{Error, ErrorSource, ErrorType};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::plan::WaitedOut;
use super::{Became, Exchange, Fate, Identity, Open, Part};
use crate::books::{EdgeBooks, EndedExchange, RuleBooks, bump};
use crate::faults::copies::Launches;
use crate::faults::storm;
use crate::ledger::Line;
use crate::recorder::Item;
use crate::shared::Shared;
use crate::time::micros;

/// How an exchange ended, as the books name it. `usize`: place in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    ShortCircuited(usize),
    Dropped(usize),
    Refused(&'static str),
    ClientGone,
    UpstreamUnreachable,
    Aborted,
    Delivered,
    Cut(usize),
    UpstreamFailed,
    ClientGoneAfter,
    /// Another exchange's rule ended the connection, and this one with it.
    Collateral,
}

impl Ending {
    /// The word of the books.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Ending::ShortCircuited(_) => "short_circuited",
            Ending::Dropped(_) => "dropped",
            Ending::Refused(_) => "refused",
            Ending::ClientGone => "client_gone",
            Ending::UpstreamUnreachable => "upstream_unreachable",
            Ending::Aborted => "aborted",
            Ending::Delivered => "delivered",
            Ending::Cut(_) | Ending::Collateral => "cut",
            Ending::UpstreamFailed => "upstream_failed",
            Ending::ClientGoneAfter => "client_gone_after",
        }
    }
}

impl Exchange {
    /// Posts the exchange, once. `error` is pingora's, if it had one. Gives the storms that its outcome sets off;
    /// their copies are already pending in the books.
    pub(crate) fn settle(&mut self, error: Option<&Error>) -> Launches {
        let Some(mut open) = self.open.take() else { return Launches::new() };
        let ending = open.ending(error);
        open.note_shapes(ending);
        if let (Ending::Delivered, Some(key), Some(keeping)) = (ending, open.stale_key, open.keeping.take()) {
            keeping.keep(key, &self.shared.rules.gauges.stale);
        }
        let launches = storm::set_off(&mut open, ending, &self.shared);
        self.shared.timings.observe(open.edge, open.elapsed());
        if !open.marks.is_empty() {
            self.shared.rules.shielded(|| open.tell_guards(ending, &self.shared));
        }
        open.post(ending, &self.shared);
        launches
    }
}

impl Open {
    /// The task was dropped: by the drain deadline, or because a hook panicked.
    pub(super) fn abort(mut self: Box<Self>, shared: &Arc<Shared>) {
        let ending = if self.tries > 0 { Ending::UpstreamFailed } else { Ending::Aborted };
        self.note_shapes(ending);
        self.post(ending, shared);
    }

    /// What became of everything that acted on the answer, or on the body of the request.
    fn note_shapes(&mut self, ending: Ending) {
        self.ctl.unshape();
        let otherwise = match ending {
            Ending::ClientGone | Ending::ClientGoneAfter => Why::ClientGone,
            _ => Why::NoSuchPoint,
        };
        for (part, became) in self.shapes.outcomes(otherwise) {
            self.plan.parts[part].became = became;
        }
        if let Some(part) = self.shapes.ended_by() {
            self.plan.parts[part].became = Became::Applied(self.started.elapsed());
        }
    }

    fn ending(&self, error: Option<&Error>) -> Ending {
        match (self.fate, self.shapes.ended_by()) {
            (Fate::ShortCircuited(part), _) => return Ending::ShortCircuited(part),
            (Fate::Dropped(part), _) => return Ending::Dropped(part),
            (Fate::Undecided, Some(part)) => return Ending::Cut(part),
            (Fate::Undecided, None) => {}
        }
        let Some(error) = error else {
            return if self.tries > 0 { Ending::Delivered } else { Ending::Refused("proxy") };
        };
        if *error.esource() == ErrorSource::Downstream && is_gone(error) && self.ctl.ended_by().is_some() {
            return Ending::Collateral;
        }
        match (error.esource(), self.tries) {
            (ErrorSource::Downstream, 0) if is_gone(error) => Ending::ClientGone,
            (ErrorSource::Downstream, _) if is_gone(error) => Ending::ClientGoneAfter,
            (ErrorSource::Downstream, 0) => Ending::Refused("parse"),
            (ErrorSource::Upstream, 0) => Ending::UpstreamUnreachable,
            (_, 0) => Ending::Refused("proxy"),
            (ErrorSource::Downstream, _) => Ending::ClientGoneAfter,
            _ => Ending::UpstreamFailed,
        }
    }

    fn post(&mut self, ending: Ending, shared: &Arc<Shared>) {
        let took = self.answer.stream_began().unwrap_or_else(|| self.elapsed());
        let upstream = self.upstream_took();
        let below = self.link.below();
        self.tell_root();
        shared.chain.leave(std::mem::take(&mut self.link), self.edge, (took, upstream), &self.scopes);
        self.plan.answered(self.answer.origin_status(), &self.live);
        if self.share_open {
            self.note_share(self.is_touched(), shared);
        }
        if matches!(ending, Ending::ClientGone | Ending::ClientGoneAfter) {
            self.plan.suppress_open(Why::ClientGone);
        }
        let live = self.live.clone();
        let is_beside = |part: &Part| part.action(&live).is_some_and(|action| action.kind() == Kind::Side);
        self.plan.suppress(Why::NotSetOff, is_beside);
        self.plan.suppress_open(Why::NoSuchPoint);
        self.post_rules(shared);
        self.post_ended(ending, below.first());
        if let Some(trace) = self.trace.take() {
            trace.end(self, ending, shared);
        }
        let ambiguous = u64::from(self.unanswered + u32::from(self.answer.origin_status().is_none()));
        let record = self.record(ending, shared);
        for scope in &self.scopes {
            scope.post(self.edge, |books| {
                self.enter(ending, books);
                if self.tries > 0 {
                    books.ambiguous += ambiguous;
                }
                match record {
                    Recorded::Sent => {}
                    Recorded::Not(why) => bump(&mut books.not_recorded, why),
                    Recorded::Shed(why) => bump(&mut books.shed, why),
                }
            });
        }
    }

    /// From when the request was handed to the upstream to its answer's header, whatever rules did before and after;
    /// `None`: it gave no answer.
    fn upstream_took(&self) -> Option<Duration> {
        let (asked, began) = (self.asked_at?, self.answer.origin_began()?);
        Some((self.started + began).saturating_duration_since(asked))
    }

    /// Protected exchanges and such that no guard is about never come here.
    fn tell_guards(&self, ending: Ending, shared: &Shared) {
        let ending = match (ending, self.answer.origin_status()) {
            (Ending::Delivered, Some(status)) if status < 500 => guard::Ending::Good,
            (Ending::Delivered, Some(_)) | (Ending::UpstreamUnreachable | Ending::UpstreamFailed, _) => {
                guard::Ending::Failed
            }
            (
                Ending::Delivered
                | Ending::ShortCircuited(_)
                | Ending::Dropped(_)
                | Ending::Cut(_)
                | Ending::Collateral,
                _,
            ) => guard::Ending::ByRule,
            (Ending::ClientGone | Ending::ClientGoneAfter, _) => guard::Ending::ClientGone,
            (Ending::Refused(_) | Ending::Aborted, _) => return,
        };
        let time = self.plan.waited(&self.live).map(|waited| self.elapsed().saturating_sub(waited));
        let attempt = self.identity.as_ref().map_or(1, |identity| identity.attempt);
        for mark in &self.marks {
            let observed = Observed { lot: mark.side, cluster: mark.cluster, ending, time, attempt };
            if let Some(guard) = self.live.guards.get(mark.guard) {
                guard.note(mark, &observed, shared.rules.now());
            }
        }
    }

    fn enter(&self, ending: Ending, books: &mut EdgeBooks) {
        let rule = |part: usize| &*self.live.ids[self.plan.parts[part].rule];
        match ending {
            Ending::ShortCircuited(part) => bump(&mut books.short_circuited, rule(part)),
            Ending::Dropped(part) => bump(&mut books.dropped, rule(part)),
            Ending::Refused(why) => bump(&mut books.refused, why),
            Ending::ClientGone => books.client_gone += 1,
            Ending::UpstreamUnreachable => books.upstream_unreachable += 1,
            Ending::Aborted => books.aborted += 1,
            Ending::Delivered => books.delivered += 1,
            Ending::Cut(part) => bump(&mut books.cut, rule(part)),
            Ending::UpstreamFailed => books.upstream_failed += 1,
            Ending::ClientGoneAfter => books.client_gone_after += 1,
            Ending::Collateral => {
                let ended = if self.tries > 0 { &mut books.cut } else { &mut books.dropped };
                bump(ended, self.ctl.ended_by().map_or("", |ended| &*ended.rule));
            }
        }
        if self.tries > 0 {
            books.forwarded += 1;
            books.upstream_attempts += u64::from(self.tries);
            books.proxy_repeats += u64::from(self.tries - 1);
        }
    }

    fn post_rules(&self, shared: &Arc<Shared>) {
        if self.plan.matched.is_empty() {
            return;
        }
        let delays = self.waited_out(shared);
        for scope in &self.scopes {
            scope.rules(|rules| {
                for matched in &self.plan.matched {
                    let Some(rule) = self.live.set.rules().get(*matched as usize) else { continue };
                    let scope = match rules.get_mut(&rule.id) {
                        Some(scope) => scope,
                        None => rules.entry(rule.id.clone()).or_default(),
                    };
                    scope.books.by = rule.by.name();
                    if scope.books.id.is_empty() {
                        scope.books.id.clone_from(&rule.id);
                    }
                    let selected = self.post_rule(*matched as usize, &mut scope.books);
                    scope.note(rule.rate.fraction(), self.unit(&rule.by), selected);
                    for action in self.applied_by(*matched as usize) {
                        *scope.injected.entry(action).or_default() += 1;
                    }
                    for delay in delays.iter().filter(|delay| delay.rule == *matched as usize) {
                        scope.note_delay(micros(delay.asked), micros(delay.took));
                    }
                }
            });
        }
        for (place, part) in self.plan.parts.iter().enumerate() {
            if part.became != Became::NotMeant {
                shared.ledger.note(self.line((place, part), shared));
            }
        }
    }

    /// What the audit counts as one under a rule's rate; `None` where that is not at hand.
    fn unit(&self, by: &By) -> Option<u64> {
        let identity = self.identity.as_ref()?;
        match by {
            By::Request => {
                Some(xxh3_64_with_seed(identity.op.as_bytes(), u64::from(identity.attempt) ^ UNIT_SEED))
            }
            By::Operation => Some(xxh3_64_with_seed(identity.op.as_bytes(), UNIT_SEED)),
            By::Session => Some(xxh3_64_with_seed(identity.session.as_bytes(), UNIT_SEED)),
            By::Connection | By::Header(_) | By::Cookie(_) | By::Path(_) => None,
        }
    }

    /// The delays that were waited for to their end. A wait that ended when its rule was lifted is none: where the rules have
    /// changed since the exchange began, a wait that is too short is not counted.
    fn waited_out(&self, shared: &Shared) -> SmallVec<[WaitedOut; 2]> {
        let steady = self.turn == shared.rules.turn() && !shared.is_draining();
        let waited = self.plan.waited_out().into_iter();
        waited.filter(|waited| steady || waited.asked <= waited.took).collect()
    }

    /// A rule with several parts counts once: applied where any part was done. True: it selected the exchange.
    fn post_rule(&self, rule: usize, books: &mut RuleBooks) -> bool {
        let mut spared = None;
        let mut applied = false;
        for part in self.plan.parts.iter().filter(|part| part.rule == rule) {
            match part.became {
                Became::Applied(_) => applied = true,
                Became::Suppressed(why) => spared = Some(why),
                Became::Open | Became::NotMeant => {}
            }
        }
        if applied {
            books.selected += 1;
            books.applied += 1;
        } else if let Some(why) = spared {
            books.selected += 1;
            bump(&mut books.suppressed, why.as_str());
        }
        applied || spared.is_some()
    }

    /// What the rule did to the exchange, each action once.
    fn applied_by(&self, rule: usize) -> SmallVec<[&'static str; 2]> {
        let mut actions = SmallVec::new();
        for part in self.plan.parts.iter().filter(|part| part.rule == rule) {
            let action = part.name(&self.live);
            if matches!(part.became, Became::Applied(_)) && !actions.contains(&action) {
                actions.push(action);
            }
        }
        actions
    }

    fn line(&self, (place, part): (usize, &Part), shared: &Arc<Shared>) -> Line {
        let identity = self.identity.as_ref();
        let (applied, took, suppressed) = match part.became {
            Became::Applied(took) => (true, took, None),
            Became::Suppressed(why) => (false, self.held_for(place), Some(why.as_str())),
            Became::Open | Became::NotMeant => (false, Duration::ZERO, None),
        };
        Line {
            t_us: self.started_wall_us,
            edge: shared.edges[self.edge].name.clone(),
            session: identity.map(Identity::told_session).unwrap_or_default(),
            op: identity.map(Identity::told_op).unwrap_or_default(),
            attempt: identity.map_or(1, |identity| identity.attempt),
            rule: self.live.ids[part.rule].clone(),
            action: part.name(&self.live),
            asked: self.asked(part),
            applied,
            actual_us: micros(took),
            suppressed,
            outcome: None,
            run: self.run.as_ref().map(|run| run.tag.clone()),
        }
    }

    /// Tells the replay of exchanges that will look like failures to it, and of those that it gave up while a rule held
    /// them, or after a rule had touched calls of theirs (`below`).
    fn post_ended(&self, ending: Ending, below: Option<&Arc<str>>) {
        let (Some(run), Some(identity)) = (&self.run, &self.identity) else { return };
        let Some(op) = identity.op_number else { return };
        let is_gone = matches!(ending, Ending::ClientGone | Ending::ClientGoneAfter);
        let part = match ending {
            Ending::Dropped(part) | Ending::Cut(part) => Some(part),
            _ if is_gone => self.held_by(),
            _ => None,
        };
        let (rule, action, below) = match (part, self.ctl.ended_by(), below) {
            (Some(part), ..) => {
                let part = &self.plan.parts[part];
                (self.live.ids[part.rule].clone(), part.name(&self.live), false)
            }
            (None, Some(ended), _) if ending == Ending::Collateral => {
                (ended.rule.clone(), ended.action, false)
            }
            (None, _, Some(rule)) if is_gone => (rule.clone(), "call", true),
            (None, ..) => return,
        };
        run.scope.ended(EndedExchange { op, attempt: identity.attempt, rule, action, left: is_gone, below });
    }

    fn record(&mut self, ending: Ending, shared: &Arc<Shared>) -> Recorded {
        let Some(recorder) = &shared.recorder else { return Recorded::Not("off") };
        let Some(identity) = &self.identity else { return Recorded::Not("unnamed") };
        if !self.is_recorded(shared) {
            return Recorded::Not("replayed");
        }
        let Some(heads) = self.heads.take() else { return Recorded::Not("no_header") };
        let touched = self.plan.touched(&self.live).into_iter().map(|rule| self.live.ids[rule].clone());
        let collateral = self.ctl.ended_by().filter(|_| ending == Ending::Collateral);
        let faults = touched.chain(collateral.map(|ended| ended.rule.clone())).collect();
        if ending == Ending::Delivered {
            self.answer.end();
        }
        let (answer, answer_body) = self.answer.take();
        recorder.offer(Box::new(Item {
            session: identity.who.id,
            replayed: identity.op_number.is_some(),
            ctl: self.ctl.clone(),
            edge: self.edge,
            start_us: self.started_wall_us,
            duration: self.elapsed(),
            heads,
            http2: self.http2,
            request_body: std::mem::take(&mut self.request_body),
            answer,
            answer_body,
            stream: self.stream.take(),
            ending,
            faults,
            scopes: self.scopes.clone(),
        }))
    }
}

/// What the recorder made of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// On its way; the writer posts what comes of it.
    Sent,
    Not(&'static str),
    Shed(&'static str),
}

/// Keeps the audit's sample apart from every selection.
const UNIT_SEED: u64 = 0x0a0d_1700_0000_0000;

/// Did the client leave, rather than say something wrong?
fn is_gone(error: &Error) -> bool {
    matches!(
        error.etype(),
        ErrorType::ReadError
            | ErrorType::WriteError
            | ErrorType::ConnectionClosed
            | ErrorType::H2Error
            | ErrorType::ReadTimedout
            | ErrorType::WriteTimedout
            | ErrorType::ConnectError
    )
}
