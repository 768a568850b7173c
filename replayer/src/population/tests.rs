//! The population as a whole: unions, order, names, rates.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::starts::Remaining;
use super::*;
use crate::limits;

fn cast(session: u64, start_us: u64, length_us: u64) -> Cast {
    Cast { session, start_us, length_us, steps: 1 + (session % 5) as u32, routes: Vec::new(), source: 0 }
}

/// `count` sessions with `gap_us` between their starts.
fn even(count: u64, gap_us: u64) -> Vec<Cast> {
    (0..count).map(|session| cast(session, session * gap_us, 3 * gap_us)).collect()
}

fn wanted(load: Load) -> Wanted {
    Wanted {
        seed: 7,
        speed: Speed::Times(1.0),
        load,
        arrivals: Arrivals::Recorded,
        amplify: vec![1.0; 4],
        boosts: Vec::new(),
        looped: false,
        duration_us: None,
        shard: Shard::WHOLE,
    }
}

fn amplified(times: f64) -> Wanted {
    Wanted { amplify: vec![times; 4], ..wanted(Load::Recorded) }
}

fn profile(text: &str) -> Load {
    Load::Profile(text.parse().expect(text))
}

fn population(casts: &[Cast], wanted: &Wanted) -> Arc<Population> {
    Arc::new(Population::new(casts, wanted).expect("the flags go together"))
}

fn all(casts: &[Cast], wanted: &Wanted) -> Vec<Start> {
    population(casts, wanted).starts(0, 1).collect()
}

/// Checks what must hold of any finite plan of the open model, and returns its starts.
fn checked(casts: &[Cast], wanted: &Wanted) -> Vec<Start> {
    let population = population(casts, wanted);
    let starts: Vec<Start> = population.starts(0, 1).collect();
    assert!(starts.is_sorted_by_key(|start| start.at_ns), "not in order of time");
    assert_eq!(population.sessions(), Some(starts.len() as u64));
    assert_eq!(population.requests(), Some(steps(casts, &starts)));
    let names: BTreeSet<_> = starts.iter().map(|start| (start.program, start.clone)).collect();
    assert_eq!(names.len(), starts.len(), "two sessions of one name");
    let users: BTreeSet<_> = starts.iter().map(|start| start.user).collect();
    assert_eq!(users.len(), starts.len());
    assert!(users.last().is_none_or(|last| *last as usize == starts.len() - 1), "users are not dense");
    starts
}

fn steps(casts: &[Cast], starts: &[Start]) -> u64 {
    starts.iter().map(|start| u64::from(casts[start.program as usize].steps)).sum()
}

fn per_second(starts: &[Start]) -> Vec<usize> {
    let seconds =
        starts.iter().map(|start| (start.at_ns / 1_000_000_000) as usize).max().map_or(0, |s| s + 1);
    let mut counts = vec![0; seconds];
    starts.iter().for_each(|start| counts[(start.at_ns / 1_000_000_000) as usize] += 1);
    counts
}

#[test]
fn the_recording_is_left_as_it_is() {
    let casts = [cast(3, 0, 5), cast(1, 20, 100), cast(2, 20, 100), cast(9, 7000, 0)];
    let starts = checked(&casts, &amplified(1.0));
    let seen: Vec<_> = starts.iter().map(|start| (start.program, start.clone, start.at_ns)).collect();
    assert_eq!(seen, [(0, 0, 0), (1, 0, 20_000), (2, 0, 20_000), (3, 0, 7_000_000)]);
    assert!(all(&[], &amplified(5.0)).is_empty());
}

#[test]
fn clones_spread_until_the_next_start() {
    let casts = even(50, 1_000_000);
    let starts = checked(&casts, &amplified(20.0));
    assert_eq!(starts.len(), 1000);
    for start in &starts {
        let begin = casts[start.program as usize].start_us * 1000;
        assert!((begin..begin + 1_000_000_000).contains(&start.at_ns));
        assert_eq!(start.clone == 0, start.at_ns == begin);
    }
    assert_eq!(per_second(&starts), vec![20; 50]);
    let half = checked(&casts, &Wanted { speed: Speed::Times(2.0), ..amplified(20.0) });
    assert_eq!(per_second(&half), vec![40; 25]);
}

#[test]
fn sessions_of_one_moment_do_not_march_in_step() {
    let casts: Vec<Cast> = (0..10).map(|session| cast(session, session / 5 * 1_000_000, 10)).collect();
    let starts = checked(&casts, &amplified(100.0));
    let moments: BTreeSet<u64> = starts.iter().map(|start| start.at_ns).collect();
    assert!(900 < moments.len(), "{} moments", moments.len());
    let alone = checked(&[cast(1, 0, 0)], &amplified(1000.0));
    assert!(990 < alone.iter().map(|start| start.at_ns).collect::<BTreeSet<_>>().len());
}

#[test]
fn a_fraction_adds_a_clone_here_and_there() {
    let casts = even(10_000, 1000);
    for (times, least, most) in [(0.1, 900, 1100), (1.5, 14_800, 15_200), (2.0, 20_000, 20_000)] {
        let starts = checked(&casts, &amplified(times));
        assert!((least..=most).contains(&starts.len()), "{times}: {}", starts.len());
    }
    let tenth = all(&casts, &amplified(0.1));
    assert!(tenth.iter().all(|start| start.at_ns == casts[start.program as usize].start_us * 1000));
}

#[test]
fn a_huge_window_is_placed_piece_by_piece() {
    let casts = [cast(1, 0, 10_000_000)];
    let mut starts = population(&casts, &amplified(300_000.0)).starts(0, 1);
    let first: Vec<Start> = starts.by_ref().take(150_000).collect();
    assert!(first.is_sorted_by_key(|start| start.at_ns));
    let middle = first.last().expect("there are many").at_ns as f64 / 5e9;
    assert!((middle - 1.0).abs() < 0.01, "half of the clones, {middle} of half of the time");
    assert_eq!(starts.remaining(), Some(Remaining { sessions: 150_000, requests: 300_000 }));
    let seconds = per_second(&checked(&casts, &amplified(100_000.0)));
    assert!(seconds.iter().all(|count| (9_600..10_400).contains(count)), "{seconds:?}");
}

#[test]
fn ten_million_sessions_are_ready_at_once() {
    let begin = Instant::now();
    let population = population(&even(10_000, 60_000), &amplified(1000.0));
    assert_eq!(population.sessions(), Some(10_000_000));
    let starts: Vec<Start> = population.starts(1, 2).take(10_000).collect();
    assert_eq!(starts.len(), 10_000);
    assert!(begin.elapsed() < Duration::from_secs(3), "took {:?}", begin.elapsed());
}

#[test]
fn a_profile_sets_the_load_over_run_time() {
    let casts = even(10, 100_000);
    let check = |text: &str, speed: f64, expect: &[usize]| {
        let wanted = Wanted { speed: Speed::Times(speed), ..wanted(profile(text)) };
        let counts = per_second(&checked(&casts, &wanted));
        assert_eq!(counts.len(), expect.len(), "{text}: {counts:?}");
        let near = |(seen, expect): (&usize, &usize)| seen.abs_diff(*expect) * 50 <= *expect + 50;
        assert!(counts.iter().zip(expect).all(near), "{text}: {counts:?}, not {expect:?}");
    };
    check("ramp:0..100x/2s, hold/1s, spike:300x/1s, step:-50x/1s", 1.0, &[250, 750, 1000, 3000, 500]);
    check("hold/2s", 5.0, &[50, 50]);
    check("ramp:1000/s..1000/s/2s, step:+1000/s/1s", 3.0, &[1000, 1000, 2000]);
}

#[test]
fn looped_load_ends_at_its_duration_or_never() {
    let casts = even(10, 100_000);
    let endless = Wanted { looped: true, ..amplified(3.0) };
    let population = population(&casts, &endless);
    assert_eq!((population.sessions(), population.users_needed()), (None, None));
    let first: Vec<Start> = population.starts(0, 1).take(10_000).collect();
    let names: BTreeSet<_> = first.iter().map(|start| (start.program, start.clone)).collect();
    assert_eq!(names.len(), 10_000);
    assert_eq!(population.starts(0, 1).remaining(), None);
    let ends = Wanted { duration_us: Some(2_450_000), ..endless };
    let starts = checked(&casts, &ends);
    assert!(starts.iter().all(|start| start.at_ns < 2_450_000_000));
    assert!((73..=75).contains(&starts.len()), "{}", starts.len());
}

#[test]
fn a_rate_is_an_amplification() {
    let casts = even(100, 100_000); // 10 sessions, 30 requests a second
    let check = |rate: f64, duration_us: Option<u64>, speed: f64, expect: f64| {
        let speed = Speed::Times(speed);
        let starts = checked(&casts, &Wanted { duration_us, speed, ..wanted(Load::Rate(rate)) });
        let requests = steps(&casts, &starts) as f64;
        assert!((requests / expect - 1.0).abs() < 0.03, "{rate}/s: {requests} requests, not {expect}");
    };
    check(3000.0, None, 1.0, 30_000.0);
    check(200.0, Some(60_000_000), 1.0, 12_000.0);
    check(200.0, Some(60_000_000), 7.0, 12_000.0);
    check(7.0, Some(600_000_000), 1.0, 4200.0);
}

#[test]
fn several_captures_run_side_by_side() {
    let mut casts = even(10, 1_000_000);
    casts.extend(even(100, 40_000).into_iter().map(|cast| Cast { source: 1, ..cast }));
    let wanted = Wanted { amplify: vec![50.0, 2.0], ..wanted(Load::Recorded) };
    let starts = checked(&casts, &wanted);
    let of = |range: std::ops::Range<u32>| starts.iter().filter(|s| range.contains(&s.program)).count();
    assert_eq!((of(0..10), of(10..110)), (500, 200));
    let last = starts.iter().filter(|start| 10 <= start.program).map(|start| start.at_ns).max();
    assert!(last.is_some_and(|at| (3_960_000_000..4_040_000_000).contains(&at)), "{last:?}");
    assert_eq!(identity_word(0, 5), 5);
    assert_ne!(identity_word(1, 5), identity_word(2, 5));
    assert_ne!(identity_word(1, 5), 5);
}

#[test]
fn a_boost_multiplies_the_sessions_that_visit_a_route() {
    let mut casts = even(100, 100_000);
    casts[10].routes = vec![1, 4];
    casts[60].routes = vec![4];
    let count = |window_us: Option<(f64, f64)>, load: Load| {
        let boosts = vec![Boosted { route: 4, times: 50.0, window_us }];
        let starts = checked(&casts, &Wanted { boosts, ..wanted(load) });
        [10, 60, 20].map(|program| starts.iter().filter(|start| start.program == program).count())
    };
    assert_eq!(count(None, Load::Recorded), [50, 50, 1]);
    assert_eq!(count(Some((0.0, 5e6)), Load::Recorded), [50, 1, 1]);
    assert_eq!(count(Some((6.05e6, 8e6)), Load::Recorded)[0], 1);
    assert!((20..=30).contains(&count(Some((6.05e6, 8e6)), Load::Recorded)[1]));
    assert_eq!(count(None, profile("spike:2x/10s")), [100, 100, 2]);
}

#[test]
fn aligned_clones_are_a_stampede() {
    let casts = even(10, 100_000);
    let starts = checked(&casts, &Wanted { arrivals: Arrivals::Aligned, ..amplified(10_000.0) });
    assert_eq!(starts.len(), 100_000);
    assert!(starts.iter().all(|start| start.at_ns == casts[start.program as usize].start_us * 1000));
}

#[test]
fn strangers_come_as_a_poisson_process() {
    let casts = even(1000, 50_000); // marching in step
    for (times, looped) in [(1.0, true), (100.0, false), (2000.0, false)] {
        let wanted = Wanted {
            arrivals: Arrivals::Poisson,
            looped,
            duration_us: Some(2_000_000_000).filter(|_| looped),
            ..amplified(times)
        };
        let starts = checked(&casts, &wanted);
        // As many bins as give about ten starts each.
        let end = if looped { 2e12 } else { 5e10 };
        let width = end / (starts.len() as f64 / 10.0);
        let mut bins = vec![0_u32; (end / width) as usize];
        let last = bins.len() - 1;
        starts.iter().for_each(|start| bins[((start.at_ns as f64 / width) as usize).min(last)] += 1);
        let mean = starts.len() as f64 / bins.len() as f64;
        let variance = bins.iter().map(|n| (f64::from(*n) - mean).powi(2)).sum::<f64>() / bins.len() as f64;
        assert!((variance / mean - 1.0).abs() < 0.05, "{times}x: dispersion {}", variance / mean);
        assert!((mean - 10.0).abs() < 0.1);
        let turns = |start: &Start| start.program;
        if !looped {
            let behind = starts.windows(2).filter(|pair| turns(&pair[1]) + 2 < turns(&pair[0])).count();
            assert!(behind <= starts.len() / 100, "sessions out of recorded order: {behind}");
        }
    }
}

#[test]
fn at_full_speed_all_are_due_at_once_in_order() {
    let casts = even(10, 100_000);
    let starts = all(&casts, &Wanted { speed: Speed::Max, ..amplified(3.0) });
    assert_eq!(starts.len(), 30);
    assert!(starts.iter().all(|start| start.at_ns == 0) && starts.is_sorted_by_key(|start| start.program));
}

#[test]
fn what_does_not_go_together_is_refused() {
    let casts = even(10, 100_000);
    let refused = |wanted: Wanted, word: &str| {
        let words = Population::new(&casts, &wanted).expect_err(word);
        assert!(words.contains(word), "{words}");
    };
    refused(Wanted { speed: Speed::Max, ..wanted(Load::Rate(5.0)) }, "--speed max");
    refused(Wanted { speed: Speed::Max, ..wanted(profile("hold/1m")) }, "--speed max");
    refused(wanted(profile("step:-1000/s/1m")), "below nothing");
    refused(wanted(Load::Stages(Stage::list("1m:0").expect("it is one"))), "replay nothing");
    refused(Wanted { looped: true, ..amplified(1e-9) }, "never come");
    refused(Wanted { looped: true, duration_us: Some(1 << 30), ..amplified(1e7) }, "number");
    refused(Wanted { looped: true, duration_us: Some(1 << 60), ..amplified(1e7) }, "for ages");
    let boosts = vec![Boosted { route: 0, times: 2.0, window_us: Some((0.0, 1.0)) }];
    refused(Wanted { boosts, ..wanted(Load::Sessions(5)) }, "--sessions");
}

#[test]
fn estimates_are_near() {
    let casts = even(600, 100_000); // 10 sessions and 30 requests a second, 0.3 s each
    let near = |seen: u64, expect: f64, what: &str| {
        assert!((seen as f64 / expect - 1.0).abs() < 0.15, "{what}: {seen}, not {expect}");
    };
    let check = |wanted: &Wanted, rate: f64, alive: f64, seconds: Option<f64>| {
        let estimate = population(&casts, wanted).estimate();
        near(estimate.peak_rate.unwrap_or(0), rate, "rate");
        assert!(
            (alive * 0.9..alive * 1.3).contains(&(estimate.peak_sessions as f64)),
            "{}",
            estimate.peak_sessions
        );
        assert_eq!(estimate.span_us.is_some(), seconds.is_some());
        near(estimate.span_us.unwrap_or(0), seconds.map_or(0.0, |s| s * 1e6), "span");
    };
    let spans = |wanted: &Wanted, rate, alive, seconds| check(wanted, rate, alive, Some(seconds));
    spans(&amplified(100.0), 3000.0, 300.0, 60.0);
    spans(&Wanted { speed: Speed::Times(2.0), ..amplified(100.0) }, 6000.0, 300.0, 30.0);
    spans(&wanted(profile("ramp:0..100x/10s, hold/10s")), 3000.0, 300.0, 20.0);
    let days = Wanted { looped: true, duration_us: Some(200_000_000_000), ..amplified(100.0) };
    let days = population(&casts, &days).estimate();
    near(days.peak_rate.unwrap_or(0), 3000.0, "rate");
    near(days.span_us.unwrap_or(0), 200e9, "span");
    assert!(days.arrivals.len() <= limits::ESTIMATE_SLOTS + 1);
    let endless = population(&casts, &Wanted { looped: true, ..amplified(10.0) }).estimate();
    near(endless.peak_rate.unwrap_or(0), 300.0, "rate");
    assert_eq!(endless.span_us, None);
    let closed = population(&casts, &wanted(Load::Sessions(1000))).estimate();
    assert_eq!((closed.peak_sessions, closed.peak_rate), (1000, Some(10_000)));
}

fn casts() -> impl Strategy<Value = Vec<Cast>> {
    let one = (0_u64..5_000_000, 0_u64..9_000_000, 1_u32..9, 0_u16..3);
    proptest::collection::vec(one, 1..20).prop_map(|all| {
        let mut casts: Vec<Cast> = (0_u64..)
            .zip(all)
            .map(|(session, (start_us, length_us, steps, source))| Cast {
                session,
                start_us,
                length_us,
                steps,
                routes: vec![(session % 3) as u16],
                source,
            })
            .collect();
        casts.sort_by_key(|cast| (cast.source, cast.start_us));
        casts
    })
}

fn any_wanted() -> impl Strategy<Value = Wanted> {
    let loads = prop_oneof![
        Just(Load::Recorded),
        (1.0_f64..200.0).prop_map(Load::Rate),
        Just(profile("ramp:0..20x/3s, hold/1s, spike:100x/500ms, step:-19x/2s")),
        (1_u32..300).prop_map(Load::Sessions),
        Just(Load::Stages(Stage::list("2s:50, 1s:10, 0s:80, 1s:0").expect("they are stages"))),
    ];
    let arrivals = prop_oneof![Just(Arrivals::Recorded), Just(Arrivals::Poisson), Just(Arrivals::Aligned)];
    let amplify = proptest::collection::vec(0.05_f64..20.0, 3);
    (loads, arrivals, amplify, 0.2_f64..5.0, any::<bool>(), any::<u64>()).prop_map(
        |(load, arrivals, amplify, speed, looped, seed)| Wanted {
            seed,
            speed: Speed::Times(speed),
            arrivals,
            amplify,
            boosts: vec![Boosted { route: 1, times: 3.0, window_us: None }],
            looped,
            duration_us: looped.then_some(7_000_000),
            ..wanted(load)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn shares_of_shards_and_threads_are_the_whole(
        casts in casts(), wanted in any_wanted(), shards in 1_u32..9, workers in 1_usize..9,
    ) {
        let whole = population(&casts, &wanted);
        let mut expect: Vec<Start> = whole.starts(0, 1).collect();
        if !whole.is_closed() {
            checked(&casts, &wanted);
        }
        let mut union = Vec::new();
        for index in 0..shards {
            let part = Wanted { shard: Shard { index, count: shards }, ..wanted.clone() };
            let part = population(&casts, &part);
            prop_assert_eq!(part.hash(), whole.hash());
            prop_assert_eq!((part.sessions(), part.requests()), (whole.sessions(), whole.requests()));
            for worker in 0..workers {
                let share: Vec<Start> = part.starts(worker, workers).collect();
                prop_assert!(share.is_sorted_by_key(|start| start.at_ns));
                union.extend(share);
            }
        }
        union.sort_unstable();
        expect.sort_unstable();
        prop_assert_eq!(union, expect);
    }

    #[test]
    fn up_to_64_workers_share_a_plan(casts in casts(), wanted in any_wanted(), workers in 1_usize..65) {
        let whole = population(&casts, &wanted);
        let mut union: Vec<Start> = (0..workers).flat_map(|worker| whole.starts(worker, workers)).collect();
        let mut expect: Vec<Start> = whole.starts(0, 1).collect();
        union.sort_unstable();
        expect.sort_unstable();
        prop_assert_eq!(union, expect);
    }

    #[test]
    fn what_remains_is_what_follows(
        casts in casts(), wanted in any_wanted(), taken in 0_usize..200, workers in 1_usize..4,
    ) {
        let mut starts = population(&casts, &wanted).starts(workers - 1, workers);
        starts.by_ref().take(taken).for_each(drop);
        if let Some(remaining) = starts.remaining() {
            let rest: Vec<Start> = starts.collect();
            let expect = Remaining { sessions: rest.len() as u64, requests: steps(&casts, &rest) };
            prop_assert_eq!(remaining, expect);
        }
    }

    #[test]
    fn another_seed_or_flag_is_another_plan(casts in casts(), wanted in any_wanted()) {
        let hash = |wanted: &Wanted| population(&casts, wanted).hash();
        let own = hash(&wanted);
        prop_assert_eq!(own, hash(&wanted.clone()));
        prop_assert_ne!(own, hash(&Wanted { seed: wanted.seed ^ 1, ..wanted.clone() }));
        prop_assert_ne!(own, hash(&Wanted { speed: Speed::Times(7.5), ..wanted.clone() }));
        prop_assert_ne!(own, hash(&Wanted { load: profile("hold/10s"), ..wanted.clone() }));
        prop_assert_ne!(own, hash(&Wanted { load: Load::Sessions(301), ..wanted }));
    }
}
