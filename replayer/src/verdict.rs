//! The judgement of a run: the first reason that applies, in the order of the exit codes.
//!
//! | code | verdict | when |
//! |---|---|---|
//! | 113 | invalid | a row of the books is off, or a rule missed its target |
//! | 105 | interrupted | Ctrl-C |
//! | 108 | stopped | a guard or a cap: it ended the run, or the proxy's faults in it |
//! | 111 | degraded | the generator did not do what was planned |
//! | 99 | fail | a threshold does not hold, or nothing was answered |
//! | 0 | pass | none of these |

use crate::limits;
use crate::report::{Generator, Latency, Report, Rule};
use crate::stop::Cause;
use crate::tally::Tally;

/// What a run comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) word: &'static str,
    pub(crate) code: u8,
    pub(crate) reason: String,
}

/// Judges a report whose verdict is still open. `missed` names the rules that missed their target.
pub(crate) fn judge(report: &Report, missed: &[String], cause: Option<&Cause>) -> Verdict {
    let verdict = |word, code, reason: String| Verdict { word, code, reason };
    let off: Vec<&str> = report.books.off().map(|row| row.row.as_str()).collect();
    if !off.is_empty() {
        return verdict("invalid", 113, format!("the books do not balance: {}", off.join("; ")));
    }
    if !missed.is_empty() {
        return verdict("invalid", 113, format!("a rule missed its target: {}", missed.join("; ")));
    }
    match cause {
        Some(Cause::Interrupted) => return verdict("interrupted", 105, "stopped by the user".to_owned()),
        Some(Cause::Guard(reason)) => return verdict("stopped", 108, reason.clone()),
        None => {}
    }
    let tripped = report.guards.iter().filter(|guard| guard.tripped_at_us.is_some());
    let tripped: Vec<String> =
        tripped.map(|guard| format!("the proxy's guard {}", guard.in_words())).collect();
    if !tripped.is_empty() {
        return verdict("stopped", 108, some(&tripped));
    }
    if !report.generator.degraded.is_empty() {
        return verdict("degraded", 111, some(&report.generator.degraded));
    }
    if report.requests.answered == 0 {
        let reason = if report.requests.sent == 0 { "nothing was sent" } else { "nothing was answered" };
        return verdict("fail", 99, reason.to_owned());
    }
    let broken: Vec<&str> = report.thresholds.iter().filter(|t| !t.ok).map(|t| t.expr.as_str()).collect();
    if !broken.is_empty() {
        return verdict("fail", 99, format!("does not hold: {}", broken.join("; ")));
    }
    let books = report.books.in_words();
    let reason = match report.thresholds.len() {
        0 => format!("books {books}; no thresholds were set"),
        count => format!("books {books}; {count} thresholds hold"),
    };
    verdict("pass", 0, reason)
}

/// How bad a verdict is: the order in which they are judged, the worst highest.
pub(crate) fn severity(word: &str) -> usize {
    let order = ["pass", "fail", "degraded", "stopped", "interrupted", "invalid"];
    order.iter().position(|known| *known == word).unwrap_or(order.len())
}

/// The first reasons in one, and how many more there are.
fn some(reasons: &[String]) -> String {
    let shown = reasons[..reasons.len().min(limits::REASONS)].join("; ");
    match reasons.len().saturating_sub(limits::REASONS) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

/// The rules that did not do what they ask for, in words: by the proxy's own judgement, or, where it gives none, since their
/// selection is far from it.
///
/// A rule's `units` is how many different keys it selected among: the exchanges themselves where it selects by
/// request or operation, at least the sessions otherwise. Six standard deviations of the binomial distribution and
/// one unit are granted; fewer than [`UNITS`] say nothing.
pub(crate) fn missed_targets(rules: &[Rule]) -> Vec<String> {
    let missed = |rule: &Rule| {
        if let Some(why) = &rule.audit.missed {
            return Some(format!("{} {why}", rule.id));
        }
        if rule.audit.rate_low.is_some() {
            return None; // judged by the proxy, which knows the keys
        }
        let units = rule.units.filter(|units| *units >= UNITS)? as f64;
        let asked = rule.asked_rate.clamp(0.0, 1.0);
        let spread = 6.0 * (asked * (1.0 - asked) / units).sqrt() + 1.0 / units;
        let far = (rule.realised_rate - asked).abs() > spread;
        far.then(|| {
            format!("{} asks for {:.3} % and got {:.3} %", rule.id, asked * 100.0, rule.realised_rate * 100.0)
        })
    };
    rules.iter().filter_map(missed).collect()
}

/// Whether our own lateness is large against what was measured: at least [`limits::LATENESS_FLOOR`] at the
/// 99th percentile, and at least a quarter of the 99th percentile of the response.
pub(crate) fn late(lateness: &Latency, response: &Latency) -> Option<String> {
    let large = above_floor(lateness) && lateness.p99 * 4 >= response.p99;
    large.then(|| {
        format!(
            "the generator was late: {:.1} ms at the 99th percentile, against a response of {:.1} ms",
            lateness.p99 as f64 / 1000.0,
            response.p99 as f64 / 1000.0
        )
    })
}

/// Whether the engine's threads had no time left and were late for it: at full speed that is what is wanted, in a paced
/// run the load was another than planned.
pub(crate) fn saturated(cpu_share: f64, lateness: &Latency) -> Option<String> {
    (cpu_share > limits::CPU_SHARE && above_floor(lateness)).then(|| {
        format!(
            "the generator was late, being saturated: its threads were busy {:.0} % of the time; {:.1} ms at the 99th \
             percentile",
            cpu_share * 100.0,
            lateness.p99 as f64 / 1000.0
        )
    })
}

/// What the generator lacked, in words. At full speed nobody planned how many sockets there are.
pub(crate) fn shortages(generator: &mut Generator, tally: &Tally, paced: bool) {
    let mut say = |count: u64, words: &str| {
        if count > 0 {
            generator.degraded.push(format!("{count} {words}"));
        }
    };
    let evicted = if paced { tally.conns_evicted } else { 0 };
    say(tally.no_ports, "connections failed because no local port was free (EADDRNOTAVAIL; see --bind)");
    say(tally.no_files, "connections failed because too many files are open (EMFILE; raise `ulimit -n`)");
    say(evicted, "idle connections were closed early: fewer sockets than planned (raise --max-connections)");
    say(
        tally.unanswered_lost,
        "attempts without an answer found no room in the list: whose failures they are is not known",
    );
}

fn above_floor(lateness: &Latency) -> bool {
    lateness.count > 0 && limits::LATENESS_FLOOR.as_micros() as u64 <= lateness.p99
}

/// Fewer different keys say nothing of a rate.
pub(crate) const UNITS: u64 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(asked: f64, realised: f64, units: Option<u64>) -> Rule {
        Rule {
            id: "r".to_owned(),
            eligible: 0,
            selected: 0,
            suppressed: std::collections::BTreeMap::new(),
            applied: 0,
            asked_rate: asked,
            realised_rate: realised,
            units,
            audit: crate::report::RuleAudit::default(),
        }
    }

    #[test]
    fn the_proxys_own_judgement_comes_first() {
        let audit = |missed: Option<&str>| crate::report::RuleAudit {
            rate_low: Some(0.0),
            missed: missed.map(str::to_owned),
            ..crate::report::RuleAudit::default()
        };
        let mut judged = rule(0.05, 0.06, Some(1_000_000));
        judged.audit = audit(None);
        assert!(missed_targets(&[judged.clone()]).is_empty());
        judged.audit = audit(Some("never matched"));
        assert_eq!(missed_targets(&[judged]), ["r never matched"]);
    }

    #[test]
    fn a_guard_that_tripped_is_in_the_verdict() {
        let mut tally = crate::report::sample::tally();
        crate::report::sample::answer(&mut tally, 1000, false, 0, 0);
        let mut report = crate::report::sample::report(&tally, "1/1");
        let guard = crate::report::Guard {
            name: "slo".to_owned(),
            signal: "error_ratio".to_owned(),
            action: "lift".to_owned(),
            rules: vec!["bad".to_owned()],
            value: Some(0.2),
            limit: Some(0.02),
            ..crate::report::Guard::default()
        };
        report.guards = vec![guard.clone()];
        assert_eq!(judge(&report, &[], None).code, 0, "it held");
        report.guards.push(crate::report::Guard { tripped_at_us: Some(3_000_000), ..guard });
        let found = judge(&report, &[], None);
        assert_eq!((found.word, found.code), ("stopped", 108));
        assert!(
            found.reason.contains("guard slo tripped at 3.0 s") && found.reason.ends_with("lift bad"),
            "{found:?}"
        );
        assert_eq!(judge(&report, &["r never matched".to_owned()], None).code, 113);
    }

    #[test]
    fn only_what_chance_does_not_explain_is_a_miss() {
        let check = |asked, realised, units, expect: usize| {
            assert_eq!(
                missed_targets(&[rule(asked, realised, units)]).len(),
                expect,
                "{asked} {realised} {units:?}"
            );
        };
        check(0.05, 0.05, Some(1_000_000), 0);
        check(0.05, 0.051, Some(1_000_000), 0);
        check(0.05, 0.06, Some(1_000_000), 1);
        check(0.05, 0.06, Some(100), 0);
        check(1.0, 1.0, Some(1000), 0);
        check(1.0, 0.9, Some(1000), 1);
        check(0.5, 0.0, Some(10), 0);
        check(0.5, 0.0, None, 0);
    }

    #[test]
    fn busy_alone_is_no_fault() {
        let late = |p99| Latency { count: 1, p99, ..Latency::default() };
        let check = |share, p99, expect: bool| {
            assert_eq!(saturated(share, &late(p99)).is_some(), expect, "{share} {p99}");
        };
        check(0.99, 30_000, true);
        check(0.99, 5_000, false);
        check(0.90, 30_000, false);
        assert_eq!(saturated(1.0, &Latency { p99: 30_000, ..Latency::default() }), None);
    }
}
