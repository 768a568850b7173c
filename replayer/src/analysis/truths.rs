//! More made-up runs whose truth is known, of shapes that are easily missed.

use std::collections::HashSet;

use super::tests::{analysed, faults, first, noise, route, run};
use super::*;
use crate::evidence::Fate;

/// The rule acts on calls behind the target: no answer bears its mark, and yet its errors are not the target's own.
#[test]
fn a_rule_on_the_calls_behind_a_step() {
    let made = run(|made, _| {
        faults(made);
        let (ended, rules) = made;
        if route(ended.program, ended.step) == 3 {
            let chance = noise([ended.program, ended.clone, ended.step + 50]);
            if chance < 0.3 {
                rules.push("; no-payments");
                ended.fate = Fate::status(502);
            }
        }
    });
    let analysis = analysed(&made, &[]);
    let words = ["where rule no-payments touched a call behind it", "POST /pay fails (502)", "against none"];
    let found = first(&analysis, Explanation::Downstream, &words);
    assert_eq!((found.rule.as_deref(), analysis.findings.len()), (Some("no-payments"), 1), "{analysis:#?}");
    assert_eq!((analysis.attribution.downstream, analysis.attribution.origin), (found.failures, 0));
    let began =
        analysis.order.iter().any(|event| event.event == "rule no-payments touches its first request");
    assert!(began, "{:#?}", analysis.order);
}

/// What is slow because a rule holds its calls is not slow by itself.
#[test]
fn a_rule_that_holds_the_calls_behind_a_step() {
    let made = run(|made, _| {
        let (ended, rules) = made;
        if route(ended.program, ended.step) == 3 && noise([ended.program, ended.clone, 50]) < 0.3 {
            rules.push("; slow-payments");
            ended.took_us += 500_000;
        }
    });
    let analysis = analysed(&made, &[]);
    let words = ["where rule slow-payments touched a call behind it", "POST /pay is slow"];
    first(&analysis, Explanation::Downstream, &words);
    assert_eq!(analysis.findings.len(), 1, "{:#?}", analysis.findings);
}

/// One of two shards: then half of all answers are slow, and the median tells nothing.
#[test]
fn a_slow_half() {
    for remainder in [0, 1] {
        let made = run(|made, _| {
            faults(made);
            let ended = &mut made.0;
            let id = (ended.program * 3 + ended.step) % 24;
            if route(ended.program, ended.step) == 0 && id % 2 == remainder {
                ended.took_us += 90_000;
            }
        });
        let analysis = analysed(&made, &[]);
        let key = format!("id % 2 = {remainder}");
        let found = first(&analysis, Explanation::Origin, &["GET /item/{id} is slow", &key, "the median is"]);
        assert_eq!((found.place.key, analysis.findings.len()), (Some(key), 1), "{:#?}", analysis.findings);
    }
}

/// Everything on a route fails for a while; who came then asked for some ids more than others.
#[test]
fn a_burst_is_not_put_down_to_ids() {
    let burst = 9_000..12_000;
    let mut made = run(|_, _| {});
    for (ended, _) in &mut made {
        // all clones of a session come about when it was recorded
        ended.at_ms = ended.program * 2_000 + ended.clone * 25 + ended.step * 400;
        if route(ended.program, ended.step) == 0 && burst.contains(&ended.at_ms) {
            ended.fate = Fate::status(503);
        }
    }
    made.sort_by_key(|(ended, _)| (ended.program, ended.clone, ended.at_ms, ended.step));
    let analysis = analysed(&made, &[]);
    let words = ["GET /item/{id} fails (503) from 9", " s: 100 % of its requests then", "at other times"];
    first(&analysis, Explanation::Unexplained, &words);
    assert_eq!(analysis.findings.len(), 1, "{:#?}", analysis.findings);
}

/// The same error on many routes, on none of them often, is one finding.
#[test]
fn an_error_that_is_rare_on_each_of_many_routes() {
    let made = run(|made, _| {
        let ended = &mut made.0;
        if noise([ended.program, ended.clone, ended.step + 50]) < 0.008 {
            (ended.fate, ended.print) = (Fate::status(500), 77);
        }
    });
    let analysis = analysed(&made, &[]);
    first(&analysis, Explanation::Origin, &["more routes) fails (500) by itself"]);
    assert_eq!(analysis.findings.len(), 1, "{:#?}", analysis.findings);
}

/// Rules that act on the first steps of sessions have nothing to do later: that does not hide what grows meanwhile.
#[test]
fn a_leak_under_rules_for_first_steps() {
    let made = run(|made, _| {
        let (ended, rules) = made;
        // all have begun after ten seconds, and take as long again
        ended.at_ms = (ended.at_ms - ended.step * 400) / 2 + ended.step * 1_200;
        if ended.step == 0 && noise([ended.program, ended.clone, 9]) < 0.1 {
            rules.push("no-page");
            ended.fate = Fate::status(503);
        }
        ended.took_us += ended.at_ms; // a millisecond a second
    });
    let analysis = analysed(&made, &[]);
    first(&analysis, Explanation::SlowDrift, &["the median of the answers"]);
}

/// Under overload sessions fail over and over, but their first failure is not why.
#[test]
fn failures_of_one_time_do_not_follow_from_one_another() {
    let made = run(|made, _| {
        let ended = &mut made.0;
        let is_busy = (10_000..16_000).contains(&ended.at_ms);
        let share = if is_busy { 0.6 } else { 0.02 };
        if noise([ended.program, ended.clone, ended.step + 50]) < share {
            ended.fate = Fate::status(503);
        }
    });
    let analysis = analysed(&made, &[]);
    for finding in &analysis.findings {
        assert!(!finding.title.contains("failed in a session"), "{:#?}", analysis.findings);
    }
    assert!(!analysis.findings.is_empty());
}

/// Few clones, and many rules, so that hardly any clone is one that none had touched.
#[test]
fn one_of_many_rules_in_a_small_run() {
    const OTHERS: [&str; 4] = ["a", "b", "c", "d"];
    let made = run(|made, before| {
        let (ended, rules) = made;
        for (number, rule) in OTHERS.iter().enumerate() {
            if noise([ended.program, ended.clone, ended.step + 1000 * (number as u32 + 1)]) < 0.2 {
                rules.push(rule);
            }
        }
        if ended.step == 0 && noise([ended.program, ended.clone, 9]) < 0.3 {
            rules.push("culprit");
        }
        if route(ended.program, ended.step) == 3 && before.contains(&"culprit") {
            ended.fate = Fate::status(409);
        }
    });
    let few: Vec<_> = made.into_iter().filter(|(ended, _)| ended.clone < 12).collect();
    let analysis = analysed(&few, &[]);
    first(
        &analysis,
        Explanation::Downstream,
        &["after rule culprit touched a session, POST /pay is refused (409)"],
    );
    assert_eq!(analysis.findings.len(), 1, "{:#?}", analysis.findings);
}

/// A rule that is at work in the midst of the run does not hide what grows before, meanwhile and after.
#[test]
fn a_leak_with_a_window_in_its_midst() {
    let with_window = |grows: bool| {
        run(move |made, _| {
            let (ended, rules) = made;
            let in_window = (6_000..19_000).contains(&ended.at_ms);
            if in_window && ended.step > 4 && noise([ended.program, ended.clone, ended.step + 50]) < 0.3 {
                rules.push("slow-pay");
                ended.took_us += 400_000;
            }
            ended.took_us += match grows {
                true => ended.at_ms,
                false if in_window => 9_000, // all are slower while it is at work, and no other time
                false => 0,
            };
        })
    };
    first(&analysed(&with_window(true), &[]), Explanation::SlowDrift, &["the median of the answers"]);
    let analysis = analysed(&with_window(false), &[]);
    let is_drift = |finding: &Finding| finding.explanation == Explanation::SlowDrift;
    assert!(!analysis.findings.iter().any(is_drift), "{:#?}", analysis.findings);
}

/// The load grows over the run, and errors with it, on some routes more clearly than on others: one finding.
#[test]
fn errors_under_a_load_that_grows() {
    let mut made = run(|_, _| {});
    let mut load = [0_u32; 40];
    for (ended, _) in &mut made {
        let start = (noise([ended.program, ended.clone, 77]).sqrt() * 20_000.0) as u32;
        ended.at_ms = start + ended.step * 400;
        load[(ended.at_ms / 1000) as usize] += 1;
    }
    let most = f64::from(*load.iter().max().expect("there is load"));
    for (ended, _) in &mut made {
        let share = f64::from(load[(ended.at_ms / 1000) as usize]) / most;
        let of_route = if route(ended.program, ended.step) == 1 { 0.15 } else { 0.6 };
        if noise([ended.program, ended.clone, ended.step + 50]) < of_route * share.powi(3) {
            (ended.fate, ended.print) = (Fate::status(503), 9);
        }
    }
    made.sort_by_key(|(ended, _)| (ended.program, ended.clone, ended.at_ms, ended.step));
    let analysis = analysed(&made, &[]);
    first(&analysis, Explanation::Overload, &["more routes) fails (503) the more the higher the load is"]);
    assert_eq!(analysis.findings.len(), 1, "{:#?}", analysis.findings);
}

/// While a rule is at work most carts fail, and who has none is refused at the till: that follows from the cart, and so from
/// the rule, although few of that time were spared.
#[test]
fn what_follows_from_a_failure_of_a_busy_time() {
    let mut without_cart = HashSet::new();
    let made = run(|made, _| {
        let (ended, rules) = made;
        let session = (ended.program, ended.clone);
        let chance = noise([ended.program, ended.clone, ended.step + 50]);
        match route(ended.program, ended.step) {
            1 if (9_000..14_500).contains(&ended.at_ms) && chance < 0.7 => {
                ended.fate = Fate::status(504);
                without_cart.insert(session);
            }
            3 if (8_000..14_000).contains(&ended.at_ms) && chance < 0.6 => {
                rules.push("stuck-pay");
                ended.took_us += 800_000;
            }
            3 if without_cart.contains(&session) && chance < 0.9 => ended.fate = Fate::status(409),
            _ => {}
        }
    });
    let analysis = analysed(&made, &[]);
    first(&analysis, Explanation::Downstream, &["while rule stuck-pay is at work", "POST /cart fails (504)"]);
    let words = "after POST /cart failed in a session (see rule stuck-pay), POST /pay is refused (409)";
    assert!(
        analysis.findings.iter().any(|finding| finding.title.contains(words)),
        "{:#?}",
        analysis.findings
    );
    let is_downstream = |finding: &Finding| finding.explanation == Explanation::Downstream;
    assert!(analysis.findings.iter().all(is_downstream), "{:#?}", analysis.findings);
}
