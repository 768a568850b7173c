//! What of the language there is on a connection that is not HTTP: a plain-TCP edge.
//!
//! There an exchange is a connection: rates by request, operation, session and connection all mean connections. It has
//! no method, path, host, header or status, and bytes without a length.

use std::time::Duration;

use crate::action::{Action, Point, Protocol};
use crate::decide::Facts;
use crate::delay::{At, Delay, Mode};
use crate::matcher::{Matcher, Methods};
use crate::rule::{Rule, RuleSet, Scale};
use crate::select::{self, By, Lane};
use crate::shard::Key;

impl Matcher {
    /// Everything on one edge.
    #[must_use]
    pub fn of_edge(name: &str) -> Self {
        Self { edge: Some(name.to_owned()), ..Self::default() }
    }

    /// The edge that it is about, where it names one.
    #[must_use]
    pub fn edge(&self) -> Option<&str> {
        self.edge.as_deref()
    }

    /// What it asks for that only HTTP has.
    fn of_http(&self) -> Option<&'static str> {
        let asks = [
            (self.methods != Methods::ALL, "a method"),
            (self.path.is_some(), "a path"),
            (self.host.is_some(), "a host"),
            (!self.headers.is_empty(), "a header"),
            (self.status.is_some(), "a status"),
        ];
        asks.into_iter().find_map(|(asked, what)| asked.then_some(what))
    }
}

impl Rule {
    /// What of the rule there is not on a TCP connection, so that it never acts on one; `None`: it may.
    #[must_use]
    pub fn tcp_misfit(&self) -> Option<String> {
        let of_http = |what: &str| Some(format!("`on` asks for {what}"));
        if let Some(misfit) = self.on.of_http().and_then(of_http).or_else(|| self.key_misfit()) {
            return Some(misfit);
        }
        let delays =
            self.delay.iter().chain(self.outcomes.iter().filter_map(|outcome| outcome.delay.as_ref()));
        delays.into_iter().find_map(delay_misfit).or_else(|| self.actions().find_map(action_misfit))
    }

    fn key_misfit(&self) -> Option<String> {
        if let By::Header(_) | By::Cookie(_) | By::Path(_) = self.by {
            return Some(format!("its rate goes by {}", self.by.name()));
        }
        if self.attempts.is_some() {
            return Some("it counts attempts".to_owned());
        }
        let shards = self.shard.as_ref().is_some_and(|shard| shard.key != Key::Session);
        shards.then(|| "its shards go by a key of the request".to_owned())
    }

    /// The delay that this connection has of the rule, and the seed of its draws, one a piece of bytes.
    #[must_use]
    pub fn delay_of(&self, seed: u64, facts: &Facts<'_>) -> Option<(&Delay, u64)> {
        let roll = |lane| select::request_roll(seed, &self.id, lane, facts);
        let outcome = self.outcome(|| roll(Lane::Outcome)).and_then(|idx| self.outcomes.get(idx));
        let delay = self.delay.as_ref().or_else(|| outcome.and_then(|outcome| outcome.delay.as_ref()))?;
        Some((delay, roll(Lane::Delay)))
    }

    /// How much of a drawn delay there is at this time of the run.
    #[must_use]
    pub fn delay_weight(&self, run_now: Duration) -> f64 {
        match self.window.scale {
            Scale::Rate => 1.0,
            Scale::Delay => self.window.weight(run_now),
        }
    }
}

impl RuleSet {
    /// Rules that can act on TCP edges only and have something that there is not: their places, and what it is.
    pub fn tcp_misfits(&self, is_tcp: impl Fn(&str) -> bool) -> Vec<(usize, String)> {
        let named = |rule: &Rule| rule.on.edge().is_some_and(&is_tcp);
        let misfits = self.rules().iter().enumerate().filter(|(_, rule)| named(rule));
        misfits.filter_map(|(place, rule)| Some((place, rule.tcp_misfit()?))).collect()
    }
}

fn delay_misfit(delay: &Delay) -> Option<String> {
    match (delay.at, delay.mode) {
        (At::FirstByte, _) => Some("a connection has no first byte of a body to delay".to_owned()),
        (_, Mode::Floor) => Some("a connection has no start of an answer to count a floor from".to_owned()),
        _ => None,
    }
}

fn action_misfit(action: &Action) -> Option<String> {
    if !action.is_on(Protocol::Tcp) {
        return Some(format!("`{}` is a fault of HTTP", action.name()));
    }
    let point = match action {
        Action::Reset(reset) => reset.at,
        Action::Truncate(point) => *point,
        Action::Stall(stall) => stall.at,
        _ => return None,
    };
    let what = match point {
        Point::BeforeHeaders | Point::AfterBytes(_) | Point::AfterTime(_) => return None,
        Point::AfterHeaders => "headers",
        Point::AfterFraction(_) => "length to take a part of",
        Point::AfterEvents(_) => "events",
    };
    Some(format!("`{}`: a connection has no {what}", action.name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_inline;

    #[test]
    fn what_there_is_on_a_connection() {
        let check = |rule: &str, misfit: Option<&str>| {
            let found = parse_inline(rule).expect(rule).tcp_misfit();
            assert_eq!(found.is_some(), misfit.is_some(), "{rule}: {found:?}");
            assert!(found.unwrap_or_default().contains(misfit.unwrap_or_default()), "{rule}");
        };
        check("edge db delay 200ms 20%", None);
        check("delay p50 80ms, p99 900ms", None);
        check("edge db reset \"before headers\" 1% of connections", None);
        check("edge db reset after 5000 B of body", None);
        check("edge db blackhole 30s, then reset", None);
        check("edge db respond 503", Some("respond"));
        check("edge db /a delay 1s", Some("a path"));
        check("GET edge db delay 1s", Some("a method"));
        check("edge db header x-a delay 1s", Some("a header"));
        check("edge db host a.b delay 1s", Some("a host"));
        check("edge db reset after headers", Some("headers"));
        check("edge db reset after 50% of body", Some("length"));
        check("edge db delay 1s 5% of header x-key", Some("header"));
    }

    #[test]
    fn only_rules_that_name_a_tcp_edge_are_mistakes() {
        let rules = ["edge db respond 503", "respond 503", "edge web respond 500", "edge db delay 1s"];
        let rules = rules.iter().map(|rule| parse_inline(rule).expect(rule)).collect();
        let set = RuleSet::default().with_rules(rules).expect("four rules");
        let misfits = set.tcp_misfits(|name| name == "db");
        assert_eq!(misfits.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [0]);
    }
}
