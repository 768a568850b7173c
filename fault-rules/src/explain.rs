//! Rules in words, so that what `squall check` prints can be compared with what was meant.

use std::time::Duration;

use crate::action::{Action, Blackhole, End, Per, Point, RateLimit, Respond, Storm, StormWhen};
use crate::delay::{Delay, Dist};
use crate::rule::{Outcome, Rule, Window};
use crate::select::{By, Rate};

/// One rule in one line: how many of whom, when, and what happens to them.
pub(crate) fn rule(rule: &Rule) -> String {
    let share = share(rule.rate, &rule.by);
    format!("{share} on {}{}: {}", rule.on.describe(), window(rule.window), what_happens(rule))
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
    if rate == Rate::ALL {
        format!("all {of}")
    } else {
        format!("{}% of {of}", rounded(rate.fraction() * 100.0))
    }
}

fn window(window: Window) -> String {
    match (window.from, window.to) {
        (Duration::ZERO, None) => String::new(),
        (from, None) => format!(", from {} on", time(from)),
        (Duration::ZERO, Some(to)) => format!(", in the first {}", time(to)),
        (from, Some(to)) => format!(", from {} to {}", time(from), time(to)),
    }
}

fn what_happens(rule: &Rule) -> String {
    let faults = match rule.outcomes.as_slice() {
        [] => None,
        [only] => Some(outcome(only)),
        several => {
            let total: u64 = several.iter().map(|outcome| u64::from(outcome.weight)).sum();
            let parts: Vec<_> = several
                .iter()
                .map(|it| {
                    format!("{}% {}", rounded(f64::from(it.weight) * 100.0 / total as f64), outcome(it))
                })
                .collect();
            Some(format!("one of: {}", parts.join("; ")))
        }
    };
    let wait = rule.delay.as_ref().map(delay);
    match (wait, faults) {
        (Some(wait), Some(faults)) => format!("{wait}, then {faults}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "nothing".to_owned(),
    }
}

fn outcome(outcome: &Outcome) -> String {
    match (&outcome.delay, &outcome.action) {
        (Some(wait), Some(fault)) => format!("{}, then {}", delay(wait), action(fault)),
        (Some(wait), None) => delay(wait),
        (None, Some(fault)) => action(fault),
        (None, None) => "nothing".to_owned(),
    }
}

fn delay(delay: &Delay) -> String {
    match delay.dist() {
        Dist::Fixed(fixed) => format!("wait {}", time(*fixed)),
        Dist::Uniform { low, high } => format!("wait {} to {}, evenly spread", time(*low), time(*high)),
        Dist::Normal { mean, sd } => {
            format!("wait {} with a standard deviation of {}", time(*mean), time(*sd))
        }
        Dist::LogNormal { p50, p99 } => {
            format!("wait {} in the middle and more than {} in one of a hundred", time(*p50), time(*p99))
        }
        other => format!("wait {other:?}"),
    }
}

fn action(action: &Action) -> String {
    match action {
        Action::Respond(respond) => answer(respond),
        Action::RateLimit(limit) => rate_limit(limit),
        Action::Reset(reset) => match reset.at {
            Point::BeforeHeaders => "reset before headers".to_owned(),
            Point::AfterHeaders => "reset after headers".to_owned(),
            Point::AfterBytes(bytes) => format!("reset after {bytes} B of body"),
            Point::AfterFraction(part) => format!("reset after {}% of body", rounded(part * 100.0)),
            other => format!("reset {other:?}"),
        },
        Action::Blackhole(Blackhole { hold, end }) => {
            let hold =
                hold.map_or("until the client leaves".to_owned(), |hold| format!("for {}", time(hold)));
            let end = match end {
                End::Reset => "reset",
                End::Close => "close",
            };
            format!("no answer {hold}, then {end}")
        }
        Action::Storm(storm) => storm_words(storm),
        other => format!("{other:?}"),
    }
}

fn answer(respond: &Respond) -> String {
    match respond.body.len() {
        0 => format!("answer {}", respond.status),
        bytes => format!("answer {} with {bytes} B", respond.status),
    }
}

fn rate_limit(limit: &RateLimit) -> String {
    let per = match &limit.per {
        Per::All => "all together".to_owned(),
        Per::Session => "each session".to_owned(),
        Per::Client => "each client address".to_owned(),
        Per::Header(name) => format!("each value of header {name}"),
        Per::Cookie(name) => format!("each value of cookie {name}"),
    };
    let bucket = limit.bucket;
    let (tokens, period, burst) = (bucket.tokens(), time(bucket.period()), bucket.burst());
    format!(
        "let {tokens} per {period} through for {per} (burst {burst}), {} to the rest",
        answer(&limit.refusal)
    )
}

fn storm_words(storm: &Storm) -> String {
    let when = |when: &StormWhen| match when {
        StormWhen::Class(class) => format!("{class}xx"),
        StormWhen::Status(status) => status.to_string(),
        StormWhen::SlowerThan(limit) => format!("slower than {}", time(*limit)),
        StormWhen::Failure => "failure".to_owned(),
    };
    let when: Vec<_> = storm.when.iter().map(when).collect();
    let cap = storm.max_amplification;
    format!("on {} send {} copies at once, up to {cap}x in all", when.join(" or "), storm.copies)
}

/// As the rule language writes it, in the largest unit that divides it; hours and minutes together.
fn time(duration: Duration) -> String {
    let ns = duration.as_nanos();
    let units: [(u128, &str); 6] = [
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    let mut left = ns;
    let mut text = String::new();
    for (size, unit) in units {
        if size <= left {
            text.push_str(&format!("{}{unit}", left / size));
            left %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// To six digits behind the point, without the zeros.
fn rounded(number: f64) -> String {
    let text = format!("{number:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use crate::{Loader, parse, parse_inline};

    #[test]
    fn rules_of_the_command_line_in_words() {
        let check = |rule: &str, expect: &str| assert_eq!(parse_inline(rule).unwrap().explain(), expect);
        check("GET|PUT /api/** delay 200ms 20%", "20% of requests on GET|PUT /api/**: wait 200ms");
        check("respond 503", "all requests on any method any path: answer 503");
        check(
            "/a reset \"before headers\" 0.1% when ..90s",
            "0.1% of requests on any method /a, in the first 1m30s: reset before headers",
        );
        check("/a reset after 50% of body 3%", "3% of requests on any method /a: reset after 50% of body");
        check("/a blackhole 30s, then reset", "all requests on any method /a: no answer for 30s, then reset");
        check(
            "host a.b header x=\"y z\" edge e blackhole forever 1% of operations",
            "1% of operations, all attempts alike, on any method any path of host a.b on edge e with header x = y z: \
             no answer until the client leaves, then close",
        );
        check(
            "/x rate_limit 50/s per header X-Key burst 100",
            "all requests on any method /x: let 50 per 1s through for each value of header x-key (burst 100), answer 429 to the rest",
        );
        check(
            "/a delay p50 80ms, p99 900ms respond 500 when 1m..2m 5% of header x-api-key",
            "5% of values of header x-api-key on any method /a, from 1m to 2m: \
             wait 80ms in the middle and more than 900ms in one of a hundred, then answer 500",
        );
        check(
            "/a delay 200ms +- 50ms",
            "all requests on any method /a: wait 200ms with a standard deviation of 50ms",
        );
        check(
            "/a delay \"50ms..200ms\" 1% of sessions",
            "1% of sessions on any method /a: wait 50ms to 200ms, evenly spread",
        );
    }

    #[test]
    fn tables_in_words() {
        let source = "[[rule]]\nid = \"a\"\none_of = [{ reset = \"after headers\" }, { respond = { status = 503, body = \"x\" }, weight = 3 }]\n\
                      [[rule]]\nid = \"b\"\nstorm = { when = [\"5xx\", \"slower than 500ms\", \"failure\"], copies = 3, max_amplification = 4 }\n";
        let set = parse(source, "f", &Loader::NOTHING).unwrap();
        let words: Vec<_> = set.rules().iter().map(crate::Rule::explain).collect();
        assert_eq!(
            words,
            [
                "all requests on any method any path: one of: 25% reset after headers; 75% answer 503 with 1 B",
                "all requests on any method any path: on 5xx or slower than 500ms or failure send 3 copies at once, up to 4x in all",
            ]
        );
    }
}
