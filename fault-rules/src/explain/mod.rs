//! Rules in words, so that what `squall check` prints can be compared with what was meant.

mod fault;
mod file;
mod numbers;
mod wait;
mod who;

use crate::rule::{Outcome, Rule};

pub(crate) use file::{guard, hook};

/// One rule in one line: how many of whom, when, and what happens to them.
pub(crate) fn rule(rule: &Rule) -> String {
    format!("{}: {}{}", who::of(rule), what_happens(rule), who::guarded(rule))
}

fn what_happens(rule: &Rule) -> String {
    let faults = match rule.outcomes.as_slice() {
        [] => None,
        [only] => Some(outcome(only)),
        several => {
            let total: u64 = several.iter().map(|outcome| u64::from(outcome.weight)).sum();
            let part = |it: &Outcome| {
                let share = numbers::rounded(f64::from(it.weight) * 100.0 / total as f64);
                format!("{share}% {}", outcome(it))
            };
            let parts: Vec<_> = several.iter().map(part).collect();
            Some(format!("one of: {}", parts.join("; ")))
        }
    };
    let wait = rule.delay.as_ref().map(wait::of);
    match (wait, faults) {
        (Some(wait), Some(faults)) => format!("{wait}, then {faults}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "nothing".to_owned(),
    }
}

fn outcome(outcome: &Outcome) -> String {
    match (&outcome.delay, &outcome.action) {
        (Some(wait), Some(fault)) => format!("{}, then {}", wait::of(wait), fault::of(fault)),
        (Some(wait), None) => wait::of(wait),
        (None, Some(fault)) => fault::of(fault),
        (None, None) => "nothing".to_owned(),
    }
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
        check(
            "/a reset after 50% of body 3%",
            "3% of requests on any method /a: reset after 50% of body (answers of unknown length pass whole)",
        );
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
