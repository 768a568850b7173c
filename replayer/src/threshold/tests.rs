use proptest::prelude::*;

use super::*;
use crate::report::sample;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// 1,000 answers of 1 to 1,000 ms: even milliseconds are users on the first route, odd ones jobs on the second. Each
/// hundredth answer is an error, all of them users.
fn thousand() -> Report {
    let mut tally = sample::tally();
    for ms in 1..=1000_u64 {
        let part = (ms % 2) as usize;
        sample::answer(&mut tally, ms * 1000, ms % 100 == 0, part, part);
    }
    sample::report(&tally, "1/1")
}

#[test]
fn demands_are_judged() {
    let report = thousand();
    let check = |expr: &str, ok: bool| {
        let judged = expr.parse::<Threshold>().map(|demand| demand.judge(&report, demand.bound(None)).ok);
        assert_eq!(judged, Ok(ok), "{expr}");
    };
    check("response:p(95)<960ms", true);
    check("response:p(95)<940ms", false);
    check("response : max <= 1.1s", true);
    check("response:p99.9 > 1s", false);
    check("service:mean<0.6s", true);
    check("lateness:max<1ms", true);
    check("errors<1.1%", true);
    check("errors<0.9%", false);
    check("answered>99%", true);
    check("failed<=0", true);
    check("response{route=GET /cart/{id}}:min<2ms", true);
    check("response{route=GET /}:min<2ms", false);
    check("errors{cohort=users}<2.1%", true);
    check("errors{ cohort = jobs }<=0", true);
    check("errors{route=GET /}<1%", false);
    // Nothing went there, and streams there were none.
    check("response{route=POST /v1/items:batch}:p(95)<1h", false);
    check("first_event:p(95)<1h", false);
}

#[test]
fn the_warm_up_is_no_part_of_a_share() {
    let mut tally = sample::tally();
    (0..100).for_each(|_| sample::answer(&mut tally, 1000, false, 0, 0));
    tally.sent += 100;
    tally.answered += 90;
    tally.failed[0] += 10;
    tally.warmup = crate::tally::Warmup { sent: 100, answered: 90, failed: 10 };
    let mut report = sample::report(&tally, "1/1");
    report.failures.total = 10;
    for expr in ["errors<=0", "answered>=100%", "failed<=0"] {
        let demand: Threshold = expr.parse().expect(expr);
        assert!(demand.judge(&report, demand.bound(None)).ok, "{expr}");
    }
}

#[test]
fn a_baseline_moves_the_bound() {
    let baseline = thousand();
    let check = |expr: &str, bound: f64| {
        let demand: Threshold = expr.parse().expect(expr);
        let found = demand.bound(Some(&baseline)).expect(expr);
        assert!((found - bound).abs() < bound / 500.0 + 1e-9, "{expr}: {found}");
        assert_eq!(demand.check(&names(&sample::ROUTES), &names(&sample::COHORTS), Some(&baseline)), Ok(()));
    };
    check("response:p(50)<baseline+10%", 550_000.0);
    check("response:p(50)<baseline - 10 %", 450_000.0);
    check("response:p(50)<baseline", 500_000.0);
    check("response:p(50)<=baseline+20ms", 520_000.0);
    check("errors<baseline+0.5%", 0.015);
    check("errors{cohort=users}<baseline+0.01", 0.03);
    let refused = |expr: &str, baseline: Option<&Report>, words: &str| {
        let demand: Threshold = expr.parse().expect(expr);
        let err = demand.check(&names(&sample::ROUTES), &names(&sample::COHORTS), baseline).expect_err(expr);
        assert!(err.contains(words), "{expr}: {err}");
    };
    refused("response:p(50)<baseline+10%", None, "--baseline");
    refused("event_gap:p(50)<baseline+10%", Some(&baseline), "measured nothing");
    refused("errors{route=POST /v1/items:batch}<baseline", Some(&baseline), "measured nothing");
}

#[test]
fn names_of_the_plan_are_checked() {
    let check = |expr: &str, words: &str| {
        let demand: Threshold = expr.parse().expect(expr);
        let result = demand.check(&names(&sample::ROUTES), &names(&["users"]), None);
        match words {
            "" => assert_eq!(result, Ok(()), "{expr}"),
            _ => assert!(result.as_ref().is_err_and(|err| err.contains(words)), "{expr}: {result:?}"),
        }
    };
    check("response{route=GET /cart/{id}}:p(95)<1s", "");
    check("errors{route=POST /v1/items:batch}<1%", "");
    check("errors{cohort=users}<1%", "");
    check("errors{route=GET /crat/{id}}<1%", "the nearest is `GET /cart/{id}`");
    check("errors{cohort=user}<1%", "the nearest is `users`");
    let demand: Threshold = "errors{cohort=users}<1%".parse().expect("it parses");
    assert!(demand.check(&[], &[], None).is_err_and(|err| err.contains("it has none")));
}

#[test]
fn typos_are_told() {
    let refused = |expr: &str, word: &str| {
        let err = expr.parse::<Threshold>().expect_err(expr);
        assert!(err.contains(word), "{expr}: {err}");
    };
    refused("respnse:p(95)<300ms", "did you mean `response`");
    refused("respnse:p(95)<300ms", "nown are response");
    refused("response:p(95)<300", "unit");
    refused("response<300ms", "p(95)");
    refused("response:p(101)<300ms", "p(100)");
    refused("errors:p(95)<1%", "share");
    refused("errors<150%", "share");
    refused("errors<baseline+150%", "share");
    refused("response:p(95)", "compares nothing");
    refused("errors", "compares nothing");
    refused("", "compares nothing");
    refused("response:p(95)<baseline*2", "baseline+10%");
    refused("response:p(95)<baseline-200%", "baseline+10%");
    refused("response:p(95)<basline", "duration");
    refused("errors{path=/}<1%", "route and cohort");
    refused("errors{route=}<1%", "names none");
    refused("errors{route=GET /cart/{id}<1%", "closing brace");
    refused("ttfb{route=GET /}:p(95)<1s", "whole run");
    refused("answered{cohort=users}>99%", "whole run");
}

#[test]
fn what_was_not_measured_does_not_hold() {
    let report = sample::report(&sample::tally(), "1/1");
    for expr in ["response:p(95)<1h", "errors<100%"] {
        let demand: Threshold = expr.parse().expect(expr);
        let judged = demand.judge(&report, demand.bound(None));
        assert!(!judged.ok && judged.value.is_none());
    }
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC{0,60}") {
        let _ = text.parse::<Threshold>();
    }

    #[test]
    fn any_demand_like_text_is_parsed_or_refused(
        text in "(response|errors|wait)?[{]?(route|cohort)?=?[A-Z{} /:é]{0,12}[}]?:?(p\\(9{0,3}\\))?[<>]?=?(baseline)?[+-]?[0-9]{0,3}(ms|%)?",
    ) {
        if let Ok(demand) = text.parse::<Threshold>() {
            prop_assert_eq!(demand.expr(), text.trim());
        }
    }
}
