//! Runs made up so that the truth is known: what breaks is put in, and must come out as the first finding.

use super::*;
use crate::evidence::{Ended, Fate};
use crate::tally::Failure;

pub(super) struct Plain;

impl Names for Plain {
    fn of(&self, program: u32, clone: u32, step: u32) -> (String, String) {
        (format!("{program:x}"), format!("{program:x}-{clone}-{step}"))
    }

    fn replay(&self, session: &str, clone: u32) -> String {
        format!("replay --only session:{session}-{clone} a.zst")
    }
}

/// A shop with sessions of ten steps: look, add to the cart (as often as the program's number says), show it, pay.
const ROUTES: [&str; 4] = ["GET /item/{id}", "POST /cart", "GET /cart", "POST /pay"];
const PROGRAMS: u32 = 12;
const CLONES: u32 = 60;

pub(super) fn route(program: u32, step: u32) -> u16 {
    let adds = 1 + program % 6;
    match step {
        0..=2 => 0,
        _ if step < 3 + adds => 1,
        _ if step == 3 + adds => 2,
        _ => 3,
    }
}

fn last_step(program: u32) -> u32 {
    3 + 1 + program % 6 + 1
}

pub(super) fn noise(words: [u32; 3]) -> f64 {
    f64::from(lot_of(words)) / f64::from(u32::MAX)
}

fn lot_of([a, b, c]: [u32; 3]) -> u32 {
    crate::evidence::lot(a.wrapping_mul(1_000_003).wrapping_add(c), b)
}

/// One attempt, and the rules that touched it.
pub(super) type Made = (Ended, Vec<&'static str>);

/// The run of the shop: `play` may change an attempt, knowing which rules touched its session before.
pub(super) fn run(mut play: impl FnMut(&mut Made, &[&'static str])) -> Vec<Made> {
    let mut all = Vec::new();
    for program in 0..PROGRAMS {
        for clone in 0..CLONES {
            let mut before: Vec<&'static str> = Vec::new();
            let start = (noise([program, clone, 77]) * 20_000.0) as u32;
            for step in 0..=last_step(program) {
                let ended = Ended {
                    program,
                    clone,
                    step,
                    at_ms: start + step * 400,
                    took_us: 1000 + (noise([program, clone, step]) * 1500.0) as u32,
                    print: 0,
                    fate: Fate::status(200),
                    rules: 0,
                    attempt: 1,
                    flags: 0,
                };
                let mut made = (ended, Vec::new());
                play(&mut made, &before);
                before.extend(&made.1);
                all.push(made);
            }
        }
    }
    all.sort_by_key(|(ended, _)| (ended.program, ended.clone, ended.at_ms, ended.step));
    all
}

fn field(made: &[Made]) -> Field {
    let told = |program, step| {
        let route = route(program, step);
        let key = (route == 0).then(|| ((program * 3 + step) % 24).to_string());
        Told { route, status: 200, key }
    };
    let lists: Vec<String> = made.iter().map(|(_, rules)| rules.join(", ")).collect();
    let touched: Vec<(Ended, Touched<'_>)> = made
        .iter()
        .zip(&lists)
        .map(|((ended, _), list)| {
            let (by, below) = list.split_once("; ").unwrap_or((list, ""));
            (*ended, Touched { by, below })
        })
        .collect();
    Field::new(&touched, &ROUTES.map(str::to_owned), 1.0, told)
}

pub(super) fn analysed(made: &[Made], memory: &[(u64, u64)]) -> Analysis {
    let field = field(made);
    let failed = |injected: bool| {
        let is_one = |attempt: &&field::Attempt| attempt.wrong.is_failure() && (attempt.by != 0) == injected;
        field.attempts.iter().filter(is_one).count() as u64
    };
    let failures = Failures {
        total: failed(true) + failed(false),
        injected: failed(true),
        origin: failed(false),
        ..Failures::default()
    };
    let known = Known { failures: &failures, guards: &[], memory, course: (&[], 1), ran_short: false };
    let (analysis, _) = analyse(&field, &known, &Plain);
    let sum: u64 = analysis.attribution.parts().iter().map(|(_, count)| count).sum();
    assert_eq!((sum, analysis.failures), (failures.total, failures.total), "{analysis:#?}");
    analysis
}

/// 20 % of the first looks at an item are delayed, and 10 % of the carts refused.
pub(super) fn faults(made: &mut Made) {
    let (ended, rules) = made;
    let chance = noise([ended.program, ended.clone, ended.step + 1000]);
    if route(ended.program, ended.step) == 0 && chance < 0.2 {
        rules.push("slow-look");
        ended.took_us += 300_000;
    }
    if route(ended.program, ended.step) == 2 && chance < 0.1 {
        rules.push("no-cart");
        ended.fate = Fate::status(503);
    }
}

#[track_caller]
pub(super) fn first(analysis: &Analysis, explanation: Explanation, words: &[&str]) -> Finding {
    let Some(first) = analysis.findings.first() else { panic!("nothing was found: {analysis:#?}") };
    assert_eq!(first.explanation, explanation, "{first:#?}");
    let said = format!("{} {}", first.title, first.evidence.join(" "));
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    first.clone()
}

#[test]
fn a_healthy_run_under_faults_has_no_finding() {
    let analysis = analysed(&run(|made, _| faults(made)), &[]);
    assert_eq!(analysis.findings, [], "{:#?}", analysis.findings);
    assert!(analysis.attribution.injected > 30);
    assert!(analysis.order.iter().any(|event| event.event.contains("slow-look touches its first")));
}

#[test]
fn an_error_that_has_nothing_to_do_with_the_faults() {
    let made = run(|made, _| {
        faults(made);
        let ended = &mut made.0;
        if route(ended.program, ended.step) == 0
            && made.1.is_empty()
            && noise([ended.program, ended.clone, ended.step + 50]) < 0.02
        {
            ended.fate = Fate::status(500);
        }
    });
    let analysis = analysed(&made, &[]);
    let found =
        first(&analysis, Explanation::Origin, &["GET /item/{id} fails (500) by itself", "no difference"]);
    assert_eq!((found.place.status, found.rule, found.examples.len()), (Some(500), None, 3));
    assert_eq!(analysis.findings.len(), 1, "{:#?}", analysis.findings);
    assert!(analysis.attribution.origin > 20);
    assert!(found.examples[0].replay.starts_with("replay --only session:"));
}

#[test]
fn a_fault_that_harms_only_large_carts() {
    let made = run(|made, before| {
        faults(made);
        let ended = &mut made.0;
        let is_large = ended.program % 6 >= 3;
        if route(ended.program, ended.step) == 3 && is_large && before.contains(&"slow-look") {
            ended.fate = Fate::status(500);
        }
    });
    let analysis = analysed(&made, &[]);
    let words = [
        "after rule slow-look touched a session",
        "POST /pay fails (500)",
        "after more than 3 of POST /cart",
    ];
    let found = first(&analysis, Explanation::Downstream, &words);
    let lift = found.lift.expect("it was compared");
    assert!(lift.low > 5.0 && lift.control == 0.0, "{lift:?}");
    assert_eq!(
        (found.rule.as_deref(), analysis.findings.len()),
        (Some("slow-look"), 1),
        "{:#?}",
        analysis.findings
    );
    assert_eq!(analysis.attribution.downstream, found.failures);
    assert_eq!(analysis.attribution.origin + analysis.attribution.unexplained, 0);
}

#[test]
fn both_at_once_are_told_apart() {
    let made = run(|made, before| {
        faults(made);
        let ended = &mut made.0;
        let chance = noise([ended.program, ended.clone, ended.step + 50]);
        let share = if before.contains(&"no-cart") { 0.9 } else { 0.05 };
        if route(ended.program, ended.step) == 3 && chance < share {
            ended.fate = Fate::status(500);
        }
    });
    let analysis = analysed(&made, &[]);
    let kinds: Vec<Explanation> = analysis.findings.iter().map(|finding| finding.explanation).collect();
    assert!(
        kinds.contains(&Explanation::Downstream) && kinds.contains(&Explanation::Origin),
        "{:#?}",
        analysis.findings
    );
}

#[test]
fn a_rule_that_brings_down_other_routes_while_it_is_at_work() {
    let made = run(|made, _| {
        let ended = &mut made.0;
        let in_window = (8_000..14_000).contains(&ended.at_ms);
        let chance = noise([ended.program, ended.clone, ended.step + 50]);
        match route(ended.program, ended.step) {
            3 if in_window && chance < 0.5 => {
                made.1.push("stuck-pay");
                ended.took_us += 800_000;
            }
            0 | 2 if (9_000..14_500).contains(&ended.at_ms) && chance < 0.4 => {
                ended.fate = Fate::status(504);
                ended.took_us += 300_000;
            }
            _ => {}
        }
    });
    let analysis = analysed(&made, &[]);
    let found = first(
        &analysis,
        Explanation::Downstream,
        &["while rule stuck-pay is at work", "1 more route", "fails (504)"],
    );
    assert_eq!(found.rule.as_deref(), Some("stuck-pay"));
    assert!(
        analysis.findings.iter().all(|finding| finding.explanation == Explanation::Downstream),
        "{:#?}",
        analysis.findings
    );
}

#[test]
fn a_slow_shard() {
    let made = run(|made, _| {
        faults(made);
        let ended = &mut made.0;
        let id = (ended.program * 3 + ended.step) % 24;
        if route(ended.program, ended.step) == 0 && id % 4 == 3 {
            ended.took_us += 90_000;
        }
    });
    let analysis = analysed(&made, &[]);
    let found =
        first(&analysis, Explanation::Origin, &["GET /item/{id} is slow", "id % 4 = 3", "the median is"]);
    assert_eq!((found.place.key.as_deref(), found.place.class.as_str()), (Some("id % 4 = 3"), "slow"));
    assert_eq!(analysis.findings.len(), 1, "{:#?}", analysis.findings);
}

#[test]
fn a_fraction_of_a_second_has_no_drift() {
    let made = run(|made, _| {
        made.0.took_us += made.0.at_ms * 20;
        made.0.at_ms /= 200;
    });
    let analysis = analysed(&made, &[]);
    assert!(analysis.slopes.iter().all(|slope| !slope.significant), "{:#?}", analysis.slopes);
}

#[test]
fn a_leak() {
    let made = run(|made, _| {
        faults(made);
        made.0.took_us += made.0.at_ms; // a millisecond a second
    });
    let memory: Vec<(u64, u64)> = (0..40).map(|n| (n * 500_000, 50_000_000 + n * 3_000_000)).collect();
    let analysis = analysed(&made, &memory);
    first(&analysis, Explanation::SlowDrift, &["the median of the answers", "resident memory went from"]);
    assert_eq!(analysis.findings.len(), 1, "{:#?}", analysis.findings);
    let memory =
        analysis.slopes.iter().find(|slope| slope.figure == "origin_memory").expect("it was looked at");
    assert!(memory.significant && (memory.per_minute - 360e6).abs() < 1e6, "{memory:?}");
}

/// Now and then an answer is slow, a little more often to those whom a rule had touched, as on a machine that is busy with both.
#[test]
fn a_few_slow_answers_are_no_work_of_a_rule() {
    let made = run(|made, before| {
        faults(made);
        let (ended, _) = made;
        let chance = if before.contains(&"slow-look") { 0.08 } else { 0.01 };
        if route(ended.program, ended.step) == 1
            && noise([ended.program, ended.clone, ended.step + 9]) < chance
        {
            ended.took_us += 60_000;
        }
    });
    let analysis = analysed(&made, &[]);
    assert!(analysis.findings.is_empty(), "{:#?}", analysis.findings);
}

/// Most sessions come within a few seconds, and wait the longer the later they come; before and after there are few.
#[test]
fn the_queue_behind_a_burst_is_no_leak() {
    let mut made = run(|_, _| {});
    for (ended, _) in made.iter_mut().filter(|(ended, _)| ended.clone != 0) {
        ended.at_ms = 8_000 + ended.at_ms / 3;
        ended.took_us += ended.at_ms * 100;
    }
    made.sort_by_key(|(ended, _)| (ended.program, ended.clone, ended.at_ms, ended.step));
    let analysis = analysed(&made, &[]);
    assert!(analysis.findings.is_empty(), "{:#?}", analysis.findings);
}

#[test]
fn errors_that_grow_with_the_load() {
    let mut made = run(|_, _| {});
    // three fifths of the sessions come in a third of the time
    for (ended, _) in &mut made {
        if ended.clone % 5 < 3 {
            ended.at_ms = 8_000 + ended.at_ms / 3;
        }
    }
    let mut load = [0_u32; 40];
    made.iter().for_each(|(ended, _)| load[(ended.at_ms / 1000) as usize] += 1);
    let most = f64::from(*load.iter().max().expect("there is load"));
    for (ended, _) in &mut made {
        let share = f64::from(load[(ended.at_ms / 1000) as usize]) / most;
        if noise([ended.program, ended.clone, ended.step + 50]) < 0.3 * share * share {
            ended.fate = Fate::status(503);
        }
    }
    made.sort_by_key(|(ended, _)| (ended.program, ended.clone, ended.at_ms, ended.step));
    let analysis = analysed(&made, &[]);
    first(&analysis, Explanation::Overload, &["the more the higher the load", "Spearman"]);
}

#[test]
fn a_target_of_another_mind_than_the_recording() {
    let made = run(|made, _| {
        if route(made.0.program, made.0.step) == 2 {
            made.0.fate = Fate::status(404);
        }
    });
    let analysis = analysed(&made, &[]);
    first(&analysis, Explanation::ResponseDrift, &["GET /cart is refused (404)"]);
    let drift = &analysis.drift[0];
    assert_eq!(
        (drift.recorded.as_str(), drift.replayed.as_str(), drift.share, drift.noise),
        ("200", "404", 1.0, 0.0)
    );
    assert_eq!(analysis.failures, 0);
}

#[test]
fn our_own_doing_is_not_the_targets() {
    let made = run(|made, _| {
        if made.0.at_ms > 20_000 {
            made.0.fate = Fate::failed(Failure::Aborted);
        }
    });
    let field = field(&made);
    let failures = Failures { total: 5, generator: 5, ..Failures::default() };
    let known = Known { failures: &failures, guards: &[], memory: &[], course: (&[], 1), ran_short: false };
    let (analysis, verdicts) = analyse(&field, &known, &Plain);
    assert_eq!(analysis.attribution, Attribution { generator: 5, ..Attribution::default() });
    assert!(verdicts.iter().all(|verdict| verdict.explanation == Explanation::Generator));
}

#[test]
fn nothing_at_all() {
    let analysis = analysed(&[], &[]);
    assert_eq!((analysis.findings.len(), analysis.order.len(), analysis.sessions_hurt), (0, 0, 0));
}

#[test]
fn shards_become_one() {
    let made = run(|made, _| {
        faults(made);
        if route(made.0.program, made.0.step) == 3 && noise([made.0.program, made.0.clone, 9]) < 0.1 {
            made.0.fate = Fate::status(500);
        }
    });
    let half =
        |odd: u32| made.iter().filter(|(ended, _)| ended.clone % 2 == odd).cloned().collect::<Vec<_>>();
    let (one, two, whole) = (analysed(&half(0), &[]), analysed(&half(1), &[]), analysed(&made, &[]));
    let merged = merge::merged(&[&one, &two]).expect("both have one");
    assert_eq!(merged.attribution, whole.attribution);
    assert_eq!((merged.failures, merged.sessions_hurt), (whole.failures, whole.sessions_hurt));
    assert_eq!(merged.findings.len(), 1, "{:#?}", merged.findings);
    let (sum, all) = (&merged.findings[0], &whole.findings[0]);
    assert_eq!((sum.sessions, sum.failures, sum.rank), (all.sessions, all.failures, 1));
    assert!((sum.share - all.share).abs() < 1e-9);
}

#[test]
fn drifts_of_shards_become_one() {
    let drift = |what: &str, replayed: &str, sessions| Drift {
        route: "GET /a".to_owned(),
        what: what.to_owned(),
        recorded: "100 bytes".to_owned(),
        replayed: replayed.to_owned(),
        share: 1.0,
        noise: 0.0,
        sessions,
        differing: sessions,
        answers: 2 * sessions,
        chance: Some(1.0 / sessions as f64),
    };
    let shard = |drift: Vec<Drift>| {
        let more = More { shape: 1, ..More::default() };
        let compared = Comparison { exchanges: 7, answers: 70, more, ..Comparison::default() };
        Analysis { drift, compared, ..Analysis::default() }
    };
    let one = shard(vec![drift("length", "30 ± 2 bytes", 10), drift("status", "201", 10)]);
    let two = shard(vec![drift("length", "31 bytes", 30), drift("status", "202", 30)]);
    let merged = merge::merged(&[&one, &two]).expect("both have one");
    let said: Vec<(&str, u64)> =
        merged.drift.iter().map(|drift| (drift.replayed.as_str(), drift.sessions)).collect();
    assert_eq!(said, [("31 bytes", 40), ("202", 30), ("201", 10)]);
    let length = &merged.drift[0];
    assert_eq!((length.differing, length.answers, length.chance), (40, 80, Some(1.0 / 30.0)));
    let compared = merged.compared;
    assert_eq!((compared.exchanges, compared.answers, compared.more.shape), (7, 140, 2));
}

#[test]
fn what_a_session_did_before_is_told_once() {
    let field = field(&run(|made, _| faults(made)));
    let (mut earlier, mut told) = (field.earlier(), 0);
    for at in (0..field.attempts.len()).step_by(3) {
        let (part, is_new) = earlier.before(at as u32);
        told = part.len() + if is_new { 0 } else { told };
        let session = field.attempts[at].session;
        let all = field.attempts[..at].iter().filter(|attempt| attempt.session == session).count();
        assert_eq!(told, all, "before {at}");
    }
}

#[test]
fn chance_alone_finds_nothing() {
    // many rules that touch at random and do nothing, and errors that come at random
    const RULES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for seed in 0..20_u32 {
        let made = run(|made, _| {
            let ended = &mut made.0;
            for (number, rule) in RULES.iter().enumerate() {
                if noise([ended.program, ended.clone, ended.step + 1000 * (seed * 10 + number as u32 + 1)])
                    < 0.03
                {
                    made.1.push(rule);
                }
            }
            if made.1.is_empty() && noise([ended.program, ended.clone, ended.step + 500 + seed * 777]) < 0.01
            {
                ended.fate = Fate::status(500);
            }
        });
        let analysis = analysed(&made, &[]);
        let blamed: Vec<&Finding> =
            analysis.findings.iter().filter(|finding| finding.explanation != Explanation::Origin).collect();
        assert!(blamed.is_empty(), "seed {seed}: {blamed:#?}");
    }
}

#[test]
#[ignore = "stress: half a million attempts, with errors of many kinds under many rules"]
fn a_full_sample_is_analysed_in_time() {
    const RULES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let mut all = Vec::new();
    for round in 0..80_u32 {
        all.extend(run(|made, before| {
            let ended = &mut made.0;
            ended.clone += round * CLONES;
            let chance = noise([ended.program, ended.clone, ended.step + 3]);
            if chance < 0.05 {
                made.1.push(RULES[(chance * 240.0) as usize % RULES.len()]);
            } else if chance < 0.2 || before.contains(&"c") && chance < 0.5 {
                ended.fate = Fate::status(500 + (ended.clone % 8) as u16);
                ended.print = 1 + ended.clone % 5;
            }
        }));
    }
    all.sort_by_key(|(ended, _)| (ended.program, ended.clone, ended.at_ms, ended.step));
    let begun = std::time::Instant::now();
    let analysis = analysed(&all, &[]);
    println!("{} attempts: {:?}, {} findings", all.len(), begun.elapsed(), analysis.findings.len());
    assert!(begun.elapsed().as_secs() < 120, "{:?}", begun.elapsed());
}
