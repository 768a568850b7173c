//! Whom a rule is about, and when.

use std::time::Duration;

use super::numbers::{ordinal, percent, time};
use crate::rule::{Rule, Scale, Window};
use crate::select::{Attempts, Burst, By, Every, Key, Per, Rate, Shard};

/// `20% of requests on GET /api/**, attempts 1 to 2, from 1m to 9m`.
pub(super) fn of(rule: &Rule) -> String {
    let mut text = format!("{} on {}", share(rule.rate, &rule.by), rule.on.describe());
    let mut more = |part: Option<String>| part.into_iter().for_each(|part| text += &format!(", {part}"));
    more(rule.attempts.map(attempts));
    more(rule.shard.as_ref().map(shard));
    more(window(&rule.window));
    more(rule.every.as_ref().map(every));
    more(rule.burst.map(burst));
    text
}

/// What is said of a guard; its name is the set's to know.
pub(super) fn guarded(rule: &Rule) -> &'static str {
    if rule.guard.is_some() { " (under a guard)" } else { "" }
}

/// `each session`.
pub(super) fn per(per: &Per) -> String {
    match per {
        Per::All => "all together".to_owned(),
        Per::Session => "each session".to_owned(),
        Per::Client => "each client address".to_owned(),
        Per::Header(name) => format!("each value of header {name}"),
        Per::Cookie(name) => format!("each value of cookie {name}"),
    }
}

fn share(rate: Rate, by: &By) -> String {
    let of = match by {
        By::Request => "requests".to_owned(),
        By::Operation => "operations, all attempts alike,".to_owned(),
        By::Session => "sessions".to_owned(),
        By::Connection => "connections".to_owned(),
        By::Header(name) => format!("values of header {name}"),
        By::Cookie(name) => format!("values of cookie {name}"),
        By::Path(name) => format!("values of {{{name}}} in the path"),
    };
    if rate == Rate::ALL { format!("all {of}") } else { format!("{} of {of}", percent(rate.fraction())) }
}

fn attempts(attempts: Attempts) -> String {
    match (attempts.from, attempts.to) {
        (from, Some(to)) if from == to => format!("attempt {from} only"),
        (from, Some(to)) => format!("attempts {from} to {to}"),
        (from, None) => format!("from attempt {from} on"),
    }
}

fn shard(shard: &Shard) -> String {
    let key = match &shard.key {
        Key::Path(name) => format!("{{{name}}} in the path"),
        Key::Header(name) => format!("header {name}"),
        Key::Cookie(name) => format!("cookie {name}"),
        Key::Query(name) => format!("query parameter {name}"),
        Key::Session => "the session".to_owned(),
    };
    let numbers: Vec<_> = shard.is.iter().map(u64::to_string).collect();
    format!("whose {} of {key} falls on shard {} of {}", shard.hash.name(), numbers.join(" or "), shard.of)
}

fn every(every: &Every) -> String {
    let nth = ordinal(every.nth);
    match &every.per {
        Per::All => format!("every {nth} of them"),
        keyed => format!("every {nth} of them for {}", per(keyed)),
    }
}

fn burst(burst: Burst) -> String {
    // A state that is left with this chance at each step lasts its inverse on average.
    let long = match burst.leave.fraction() {
        0.0 => "that never end".to_owned(),
        leave => format!("of about {:.0} exchanges", 1.0 / leave),
    };
    let (enter, rate) = (percent(burst.enter.fraction()), percent(burst.rate.fraction()));
    format!("in bursts {long} that begin with {enter} of them and hit {rate}")
}

/// When a rule or a hook acts; `None`: always.
pub(super) fn window(window: &Window) -> Option<String> {
    let ends = match (window.from, window.to) {
        (Duration::ZERO, None) => None,
        (from, None) => Some(format!("from {} on", time(from))),
        (Duration::ZERO, Some(to)) => Some(format!("in the first {}", time(to))),
        (from, Some(to)) => Some(format!("from {} to {}", time(from), time(to))),
    };
    let steps = if window.steps == 0 { String::new() } else { format!(" in {} steps", window.steps) };
    let what = match window.scale {
        Scale::Rate => "",
        Scale::Delay => ", the delay growing,",
    };
    let ramp = |name: &str, over: Duration| {
        (!over.is_zero()).then(|| format!("{name} over {}{steps}{what}", time(over)))
    };
    let again = window.every.map(|every| {
        let times = window.times.map_or(String::new(), |times| format!(", {times} times in all"));
        format!("again every {}{times}", time(every))
    });
    let parts = [ends, ramp("rising", window.ramp), ramp("falling", window.ramp_down), again];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", ").replace(",,", ","))
}
