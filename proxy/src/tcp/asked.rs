//! What the rules ask of one connection, at one moment.
//!
//! Selection is by the connection's number on its edge, so that equal seeds give equal victims as long as clients come in
//! the same order. It does not change while a connection lives: what changes is which rules there are, whether they
//! may act, and whether their window is open. So the question is asked again whenever one of these turns.

use std::sync::Arc;
use std::time::Duration;

use fault_rules::action::{Direction, Failover, Per, Phase};
use fault_rules::decide::{Selected, Why};
use fault_rules::delay::{At, Delay};
use fault_rules::rule::{Rule, Scale, Window};
use fault_rules::{Action, Facts};

use crate::rules::{Live, Rules};

/// A connection as rules see it.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) edge: Arc<str>,
    /// Edge and number: what stands in the ledger as session and operation.
    pub(super) name: String,
    /// Hash of the name: the key of rates that go by connection.
    key: u64,
    client: String,
    upstream: Arc<str>,
}

/// The answer.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Rules that are about the connection.
    pub(super) rules: Vec<Eligible>,
    /// What those ask for that selected it and may act.
    pub(super) wishes: Vec<Wish>,
    /// When, counted from the start of the run, the answer will be another although no rule changed.
    pub(super) turn: Option<Duration>,
}

/// One rule that is about the connection.
#[derive(Debug, Clone)]
pub(super) struct Eligible {
    pub(super) id: Arc<str>,
    pub(super) asked_rate: f64,
    pub(super) by: &'static str,
    pub(super) selected: bool,
    /// What it does, and what it asks for, where it selected the connection.
    pub(super) action: &'static str,
    pub(super) asked: String,
    /// Why it may not act now.
    pub(super) spared: Option<Why>,
}

/// One thing that a rule wants done.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wish {
    pub(super) rule: Arc<str>,
    pub(super) what: What,
    /// Only bytes of this direction, where that is not the fault's own to say.
    pub(super) way: Option<Direction>,
    /// Seed of what is drawn.
    pub(super) key: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    Delay(Lag),
    Fault(Action),
    /// New connections go to another group.
    Detour(Failover),
}

/// A delay, drawn for each piece of bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lag {
    delay: Delay,
    key: u64,
    /// Where the window's ramp scales it.
    ramp: Option<Window>,
}

impl Asked {
    /// The connection is there already: it cannot be slow to connect any more.
    pub(super) fn drop_connects(&mut self) {
        let is_connect = |wish: &Wish| matches!(&wish.what, What::Delay(lag) if lag.at() == At::Connect);
        let (late, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.wishes).into_iter().partition(is_connect);
        for rule in self.rules.iter_mut().filter(|rule| late.iter().any(|wish| wish.rule == rule.id)) {
            if !left.iter().any(|wish| wish.rule == rule.id) {
                rule.spared = rule.spared.or(Some(Why::NotConnecting));
            }
        }
        self.wishes = left;
    }
}

impl Lag {
    pub(super) fn at(&self) -> At {
        self.delay.at
    }

    /// For the piece of this number, at this time of the run.
    pub(super) fn draw(&self, nth: u64, run_now: Duration) -> Duration {
        let roll = xxhash_rust::xxh3::xxh3_64_with_seed(&nth.to_le_bytes(), self.key);
        let time = self.delay.sample(roll);
        self.ramp.map_or(time, |window| time.mul_f64(window.weight(run_now)))
    }
}

impl Wish {
    /// The word of the rule language.
    pub(super) fn name(&self) -> &'static str {
        match &self.what {
            What::Delay(_) => "delay",
            What::Fault(action) => action.name(),
            What::Detour(_) => "failover",
        }
    }

    /// What is asked, as the ledger says it; a delay's is its first draw.
    pub(super) fn asked(&self) -> String {
        match &self.what {
            What::Delay(lag) => format!("{}us", lag.draw(0, Duration::ZERO).as_micros()),
            What::Fault(action) => action.asked(),
            What::Detour(failover) => format!("to {}", failover.to),
        }
    }
}

impl Identity {
    pub(super) fn new(edge: Arc<str>, number: u64, client: String, upstream: Arc<str>) -> Self {
        let name = format!("{edge}#{number}");
        Identity { key: xxhash_rust::xxh3::xxh3_64(name.as_bytes()), edge, name, client, upstream }
    }

    pub(super) fn facts(&self) -> Facts<'_> {
        Facts {
            edge: &self.edge,
            method: "",
            authority: "",
            path: "",
            query: "",
            header: &|_| None,
            operation: &self.name,
            attempt: 1,
            session: &self.name,
            connection: self.key,
            client: &self.client,
            upstream: &self.upstream,
        }
    }

    /// The key under which a rule counts the connection.
    pub(super) fn key_of(&self, per: &Per) -> u64 {
        per.key_hash(&self.facts())
    }

    /// Asks the rules.
    pub(super) fn ask(&self, rules: &Rules, live: &Live) -> Asked {
        let facts = self.facts();
        let run_now = rules.run_now();
        let decision = rules.decide(live, &facts, run_now);
        let mut asked = Asked::default();
        for place in decision.matched.iter().map(|place| *place as usize) {
            let rule = &live.set.rules()[place];
            if rule.tcp_misfit().is_some() {
                continue;
            }
            let selected = decision.selected.iter().find(|selected| selected.rule == place);
            let spared = selected
                .and_then(|selected| selected.suppressed)
                .or_else(|| (selected.is_some() && !rules.holds(&rule.id)).then_some(Why::Lifted));
            if let Some(selected) = selected {
                asked.turn = earliest(asked.turn, next_turn(rule, run_now));
                if spared.is_none() {
                    self.wish(live, (rule, selected), run_now, &mut asked.wishes);
                }
            }
            let action = selected.and_then(|selected| live.set.action(selected.action?));
            let delay = selected.and_then(|selected| selected.delay);
            asked.rules.push(Eligible {
                action: action.map_or("delay", Action::name),
                asked: match (action, delay) {
                    (Some(action), _) => action.asked(),
                    (None, delay) => {
                        delay.map_or(String::new(), |wait| format!("{}us", wait.time.as_micros()))
                    }
                },
                id: live.ids[place].clone(),
                asked_rate: rule.rate.fraction(),
                by: rule.by.name(),
                selected: selected.is_some(),
                spared,
            });
        }
        asked
    }

    fn wish(
        &self,
        live: &Live,
        (rule, selected): (&Rule, &Selected),
        run_now: Duration,
        wishes: &mut Vec<Wish>,
    ) {
        let wish = |what| Wish {
            rule: live.ids[selected.rule].clone(),
            what,
            way: live.way_of(&rule.id),
            key: selected.key,
        };
        if let Some((delay, key)) = rule.delay_of(live.seed, &self.facts()) {
            let ramp = (rule.window.scale == Scale::Delay).then_some(rule.window);
            wishes.push(wish(What::Delay(Lag { delay: delay.clone(), key, ramp })));
        }
        let Some(action) = selected.action.and_then(|action| live.set.action(action)) else { return };
        match action {
            Action::Outage(outage) => match (outage.phase(&rule.window, run_now), &outage.failover) {
                (Phase::Up, _) | (Phase::FailedOver, None) => {}
                (Phase::Dark, _) => wishes.push(wish(What::Fault(action.clone()))),
                (Phase::FailedOver, Some(failover)) => {
                    if let Some(delay) = &failover.added_delay {
                        wishes.push(wish(What::Delay(Lag {
                            delay: delay.clone(),
                            key: selected.key,
                            ramp: None,
                        })));
                    }
                    wishes.push(wish(What::Detour(failover.clone())));
                }
            },
            action => wishes.push(wish(What::Fault(action.clone()))),
        }
    }
}

/// When the rule's part in the connection will next change by time alone.
fn next_turn(rule: &Rule, run_now: Duration) -> Option<Duration> {
    let window = &rule.window;
    let mut turn = window.next_turn(run_now);
    let ramps = window.ramp + window.ramp_down > Duration::ZERO;
    if ramps && window.is_open(run_now) {
        turn = earliest(turn, Some(run_now + RAMP_STEP));
    }
    for action in rule.actions() {
        let Action::Outage(outage) = action else { continue };
        let (Some(failover), Some(opening)) = (&outage.failover, window.opening(run_now)) else { continue };
        let over = Some(opening.from.saturating_add(failover.after));
        let back = opening.to.map(|to| to.saturating_add(failover.failback));
        for at in [over, back].into_iter().flatten().filter(|at| run_now < *at) {
            turn = earliest(turn, Some(at));
        }
    }
    turn
}

fn earliest(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

/// How often a growing rule is asked whom it has reached.
const RAMP_STEP: Duration = Duration::from_millis(100);
