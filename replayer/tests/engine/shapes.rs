//! Load shapes: how many sessions there are, and when they start.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use captures::Exchange;
use replayer::options::{Arrivals, Connections, Source, Speed};
use replayer::{Options, Report};

use crate::census::Census;
use crate::support::{Server, capture, options, replay, replay_on, step};

const PACED: Speed = Speed::Times(1.0);

/// Sessions of four requests in 300 ms, one every 100 ms.
fn visits(count: u64) -> Vec<Exchange> {
    let visit = |s: u64| (0..4).map(move |n| step(s, 100 * s + 100 * n, 1, &format!("GET /{n}")));
    (0..count).flat_map(visit).collect()
}

/// One request for each session, so many milliseconds apart.
fn single(count: u64, apart_ms: u64, request: &str) -> Vec<Exchange> {
    (0..count).map(|s| step(s, s * apart_ms, 1, request)).collect()
}

/// Replays at recorded speed against an origin that counts.
fn counted(exchanges: &[Exchange], change: impl FnOnce(&mut Options)) -> (Report, Census) {
    let (dir, census) = (tempfile::tempdir().unwrap(), Census::open());
    let mut options = options(&capture(dir.path(), exchanges), &Server::plain());
    options.target = Some(census.url());
    options.speed = PACED;
    options.connections = Connections::Shared;
    change(&mut options);
    (replay(&options), census)
}

/// Asserts that the run did what it should, but for a generator that other tests kept busy.
#[track_caller]
fn expect_passed(report: &Report) {
    assert!([0, 111].contains(&report.exit_code), "{}: {}", report.exit_code, report.reason);
    assert_eq!(report.requests.sent, report.requests.answered, "{:?}", report.requests);
}

#[test]
fn so_many_sessions_are_alive_and_each_that_ends_is_replaced() {
    let (report, census) = counted(&visits(10), |options| {
        options.sessions = Some(20);
        options.duration = Some(Duration::from_secs(8));
    });
    expect_passed(&report);
    let sessions = &report.sessions;
    assert_eq!(sessions.peak, 20, "{sessions:?}");
    // Each lasts 300 ms: more than twenty generations in the last seconds.
    assert!(sessions.started > 200, "{sessions:?}");
    assert_eq!(census.seen.lock().unwrap().sessions.len() as u64, sessions.started, "each with its own name");
    // Within five seconds all are there; the last second is the one in which they go.
    let settled: Vec<u64> = report.series[5..7].iter().map(|second| second.active).collect();
    assert!(settled.iter().all(|active| (15..=20).contains(active)), "{settled:?}");
    assert!(report.elapsed_us >= 7_900_000);
}

#[test]
fn stages_hold_what_they_reach() {
    let (report, _) = counted(&visits(10), |options| {
        options.stages = vec!["1s:10".parse().unwrap(), "2s:10".parse().unwrap()];
    });
    expect_passed(&report);
    assert_eq!(report.sessions.peak, 10, "{:?}", report.sessions);
    assert!(report.sessions.started > 40, "{:?}", report.sessions);
}

#[test]
fn a_rate_is_met_on_average() {
    let (report, _) = counted(&visits(30), |options| {
        options.rate = Some(200.0);
        options.looped = true;
        options.duration = Some(Duration::from_secs(4));
    });
    expect_passed(&report);
    let sent = report.requests.sent;
    assert!((640..960).contains(&sent), "{sent} in 4 s at 200/s");
}

#[test]
fn a_loop_begins_anew_with_new_users_until_the_duration_is_over() {
    let (report, census) = counted(&single(5, 100, "GET /a"), |options| {
        options.looped = true;
        options.duration = Some(Duration::from_secs(3));
    });
    expect_passed(&report);
    let started = report.sessions.started;
    assert!((20..=35).contains(&started), "{started} of five in half a second, for three");
    assert_eq!(census.seen.lock().unwrap().sessions.len() as u64, started);
}

#[test]
fn a_profile_is_the_curve_of_the_load() {
    let (report, _) = counted(&single(30, 100, "GET /a"), |options| {
        options.profile = Some("ramp:0..20x/2s, hold/1s".parse().unwrap());
    });
    expect_passed(&report);
    // Ten sessions a second at 1x: 10x on average for two seconds, then 20x.
    let sent = report.requests.sent;
    assert!((360..440).contains(&sent), "{sent}");
    let seconds: Vec<u64> = report.series.iter().map(|second| second.sent).collect();
    assert!(seconds[0] < seconds[2], "{seconds:?}");
}

#[test]
fn the_warm_up_is_in_the_books_and_in_no_figure() {
    let (report, census) = counted(&single(20, 100, "GET /a"), |options| {
        options.warmup = Some(Duration::from_millis(950));
    });
    expect_passed(&report);
    let warmup = report.warmup.unwrap();
    assert_eq!((warmup.sent, warmup.answered, report.requests.sent), (10, 10, 20));
    assert_eq!((report.latency.response.count, report.routes[0].requests), (10, 10));
    assert_eq!(census.seen.lock().unwrap().requests, 20);
}

#[test]
fn a_boost_multiplies_the_visitors_of_a_route() {
    let steps: Vec<_> = (0..100).map(|s| step(s, 10 * s, 1, ["GET /a", "GET /b"][s as usize % 2])).collect();
    let (report, _) = counted(&steps, |options| {
        options.amplify = 2.0;
        options.boosts = vec!["GET /b:5x".parse().unwrap()];
    });
    expect_passed(&report);
    let of = |route: &str| report.routes.iter().find(|known| known.route == route).unwrap().requests;
    assert_eq!((of("GET /a"), of("GET /b")), (100, 500));
}

#[test]
fn several_captures_are_cohorts_each_with_its_own_amplification() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let named = |dir: usize, name: &str, steps: &[Exchange]| -> PathBuf {
        let path = dirs[dir].path().join(name);
        std::fs::rename(capture(dirs[dir].path(), steps), &path).unwrap();
        path
    };
    let users = named(0, "users.zst", &single(10, 50, "GET /shop"));
    let jobs = named(1, "jobs.zst", &single(4, 100, "POST /job"));
    let server = Server::plain();
    let mut options = options(&users, &server);
    options.captures =
        vec![Source { path: users, amplify: Some(30.0) }, Source { path: jobs, amplify: None }];
    let report = replay(&options);
    let cohorts: BTreeMap<_, _> =
        report.cohorts.iter().map(|cohort| (cohort.cohort.as_str(), cohort.requests)).collect();
    assert_eq!(cohorts, BTreeMap::from([("users", 300), ("jobs", 4)]));
    let met = server.met();
    let sessions: BTreeSet<_> = met.iter().map(|one| one.header("squall-session").unwrap()).collect();
    assert_eq!(
        sessions.len(),
        304,
        "sessions of both captures that bear the same number are still different"
    );
    let ops: BTreeSet<_> = met.iter().map(|one| one.header("squall-op").unwrap()).collect();
    assert_eq!(ops.len(), 304);
}

#[test]
fn arrivals_are_as_recorded_or_random_or_a_stampede() {
    let dispersion = |arrivals| {
        let (report, _) = counted(&single(20, 100, "GET /a"), |options| {
            options.amplify = 50.0;
            options.arrivals = arrivals;
        });
        expect_passed(&report);
        let shape = report.shape.as_ref().expect("an amplified run is compared with its capture");
        let shape = serde_json::to_value(shape).unwrap();
        let dispersion = shape["replay"]["dispersion"].as_f64().unwrap();
        (report.plan_hash, report.requests.sent, dispersion)
    };
    let (recorded, poisson, aligned) =
        (dispersion(Arrivals::Recorded), dispersion(Arrivals::Poisson), dispersion(Arrivals::Aligned));
    assert_eq!((recorded.1, aligned.1), (1000, 1000));
    assert!((850..1150).contains(&poisson.1), "{}", poisson.1);
    assert!(recorded.0 != poisson.0 && poisson.0 != aligned.0);
    // Fifty in lockstep every 100 ms, against one every two.
    assert!(aligned.2 > 5.0 * recorded.2.max(poisson.2), "{recorded:?} {poisson:?} {aligned:?}");
}

#[test]
fn idle_time_is_shortened_and_order_kept() {
    let server = Server::plain();
    let steps = [step(1, 0, 1, "GET /a"), step(1, 100, 1, "GET /b"), step(1, 3_600_000, 1, "GET /c")];
    let report = replay_on(&server, &steps, |options| {
        options.speed = PACED;
        options.max_gap = Some(Duration::from_millis(200));
    });
    let met = server.met();
    let order: Vec<_> = met.iter().map(|one| one.target.as_str()).collect();
    assert_eq!((order, report.requests.answered), (vec!["/a", "/b", "/c"], 3));
    assert!(report.elapsed_us >= 300_000 && met[2].at - met[0].at >= Duration::from_millis(290));
}

#[test]
fn routes_and_sessions_are_chosen_or_left_out() {
    let steps: Vec<_> =
        (1..=4).flat_map(|s| [step(s, s, 1, "GET /cart/17"), step(s, s + 9, 1, "POST /pay")]).collect();
    let check = |only: &[&str], exclude: &[&str], expected: &[&str]| {
        let server = Server::plain();
        replay_on(&server, &steps, |options| {
            options.only = only.iter().map(|text| text.parse().unwrap()).collect();
            options.exclude = exclude.iter().map(|text| text.parse().unwrap()).collect();
        });
        let mut met: Vec<_> = server
            .met()
            .iter()
            .map(|one| {
                let session = one.header("squall-session").unwrap().split('-').nth(1).unwrap().to_owned();
                format!("{session} {}", one.target)
            })
            .collect();
        met.sort();
        assert_eq!(met, expected, "{only:?} {exclude:?}");
    };
    let carts = ["1 /cart/17", "2 /cart/17", "3 /cart/17", "4 /cart/17"];
    check(&["GET /cart/{id}"], &[], &carts);
    check(&["GET /cart/*"], &[], &carts);
    check(&[], &["GET /cart/{id}"], &["1 /pay", "2 /pay", "3 /pay", "4 /pay"]);
    check(&["session:2"], &[], &["2 /cart/17", "2 /pay"]);
    check(&["session:2"], &["POST /pay"], &["2 /cart/17"]);
}

#[test]
fn the_union_of_shards_is_the_plan() {
    let steps = visits(40);
    let run = |shard: &str| {
        let (report, census) = counted(&steps, |options| {
            options.amplify = 7.5;
            options.speed = Speed::Max;
            options.shard = shard.parse().unwrap();
        });
        assert_eq!(report.requests.sent, report.requests.planned);
        (report, census.operations())
    };
    let (whole, all) = run("1/1");
    for count in [2, 3] {
        let shards: Vec<_> = (1..=count).map(|index| run(&format!("{index}/{count}"))).collect();
        let mut union = HashSet::new();
        for (report, operations) in &shards {
            assert_eq!(report.plan_hash, whole.plan_hash);
            assert!(operations.iter().all(|operation| union.insert(*operation)), "two shards sent the same");
            assert!(!operations.is_empty());
        }
        assert_eq!(union, all);
        let runs =
            shards.into_iter().enumerate().map(|(n, (report, _))| (format!("{n}.json"), report)).collect();
        let merged = replayer::merge::merge(runs).unwrap();
        let requests = &merged.requests;
        assert_eq!((requests.sent, requests.answered), (whole.requests.sent, whole.requests.answered));
        assert_eq!(merged.latency.response.count, whole.latency.response.count);
        assert_eq!((merged.exit_code, merged.shard.as_str()), (0, &*format!("1-{count}/{count}")));
        assert!(merged.books.balanced, "{:?}", merged.books);
    }
}

#[test]
fn shards_share_the_sessions_that_are_held() {
    let mut names = HashSet::new();
    let peaks: Vec<u64> = (1..=2)
        .map(|index| {
            let (report, census) = counted(&visits(10), |options| {
                options.sessions = Some(7);
                options.duration = Some(Duration::from_secs(6));
                options.shard = format!("{index}/2").parse().unwrap();
            });
            expect_passed(&report);
            let operations = census.operations();
            assert!(operations.into_iter().all(|operation| names.insert(operation)), "both sent the same");
            report.sessions.peak
        })
        .collect();
    assert_eq!(peaks.iter().sum::<u64>(), 7, "{peaks:?}");
}

#[test]
fn at_full_speed_so_many_are_held_as_well() {
    let (report, _) = counted(&visits(10), |options| {
        options.sessions = Some(5);
        options.duration = Some(Duration::from_secs(6));
        options.speed = Speed::Max;
        options.max_rate = Some(500.0);
    });
    expect_passed(&report);
    assert!(report.sessions.peak <= 5 && report.sessions.started > 100, "{:?}", report.sessions);
}

#[test]
fn nothing_leaves_before_the_start() {
    let server = Server::plain();
    let at = SystemTime::now() + Duration::from_secs(1);
    let report = replay_on(&server, &single(5, 10, "GET /a"), |options| {
        options.speed = PACED;
        options.start_at = Some(at);
    });
    assert_eq!(report.requests.answered, 5);
    // The origin's clock is monotonic: what it met now is measured against both clocks as they stand.
    let now = (SystemTime::now(), std::time::Instant::now());
    let first = server.met()[0].at;
    assert!(now.0 - (now.1 - first) >= at - Duration::from_millis(5));
    assert!(report.latency.lateness.max < 1_000_000, "the wait is nobody's lateness");
}
