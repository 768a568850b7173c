//! Reports for tests, made from a tally the way a run makes them.

use crate::books::{Books, Facts};
use crate::report::{Generator, PlanPart, Report, Source, build};
use crate::tally::Tally;

/// The report of a run without a proxy, judged to have passed.
pub(crate) fn report(tally: &Tally, shard: &str) -> Report {
    let mut tally_of_failures = Tally::new(0, false);
    tally_of_failures.origin_errors = tally.origin_errors;
    let failures = build::attribute(&mut tally_of_failures, &Default::default(), 0);
    let planned = tally.sent - tally.retries + tally.never_sent.iter().sum::<u64>();
    let facts = Facts {
        planned,
        retries: tally.retries,
        sent: tally.sent,
        never_sent: tally.never_sent.iter().sum(),
        answered: tally.answered,
        failed: tally.failures(),
        why_unknown: "no proxy was named (--proxy URL)".to_owned(),
        ..Facts::default()
    };
    Report {
        squall: env!("CARGO_PKG_VERSION").to_owned(),
        argv: vec!["replay".to_owned()],
        started: "2026-01-01T00:00:00Z".to_owned(),
        elapsed_us: 2_000_000,
        seed: "1".to_owned(),
        run: format!("{:08x}", shard.len()),
        plan_hash: "00000000000000aa".to_owned(),
        shard: shard.to_owned(),
        verdict: "pass".to_owned(),
        exit_code: 0,
        reason: String::new(),
        plan: plan(planned),
        sessions: build::sessions(tally),
        requests: build::requests(tally, planned),
        warmup: build::warmup(tally),
        failures,
        latency: build::latencies(tally),
        connections: build::connections(tally),
        streams: build::streams(tally),
        shape: None,
        routes: build::routes(&ROUTES.map(str::to_owned), tally),
        cohorts: build::cohorts(&COHORTS.map(str::to_owned), tally),
        links: Vec::new(),
        rules: Vec::new(),
        guards: Vec::new(),
        edges: Vec::new(),
        series: Vec::new(),
        series_step_us: 1_000_000,
        heat: None,
        funnel: build::funnel(&ROUTES.map(str::to_owned), tally),
        faults: None,
        repeat: None,
        books: Books::new(&facts),
        thresholds: Vec::new(),
        generator: generator(),
        analysis: None,
    }
}

fn plan(requests: u64) -> PlanPart {
    PlanPart {
        capture: "a.zst".to_owned(),
        target: "http://127.0.0.1:1".to_owned(),
        sessions: 1,
        requests,
        amplify: 1.0,
        speed: 1.0,
        span_us: 1,
        skipped: Default::default(),
        body_filled: 0,
        exact: true,
        captures: vec![Source { capture: "a.zst".to_owned(), amplify: 1.0 }],
        arrivals: "recorded".to_owned(),
        profile: String::new(),
    }
}

fn generator() -> Generator {
    Generator {
        rss_peak: 1000,
        cpu_us: 10,
        cpu_share: 0.5,
        cores: 2,
        late: 0,
        late_us: 20_000,
        drift_us_per_s: Some(0.0),
        sockets_peak: 1,
        threads: 1,
        held_back: 0,
        spans: None,
        degraded: Vec::new(),
        notes: Vec::new(),
    }
}

/// An empty tally of [`ROUTES`] and [`COHORTS`].
pub(crate) fn tally() -> Tally {
    Tally::new(ROUTES.len(), false).with_cohorts(COHORTS.len())
}

/// Counts an answered request.
pub(crate) fn answer(tally: &mut Tally, response_us: u64, failed: bool, route: usize, cohort: usize) {
    tally.sent += 1;
    tally.answered += 1;
    tally.origin_errors += u64::from(failed);
    tally.latencies.response.saturating_record(response_us);
    tally.latencies.service.saturating_record(response_us / 2);
    tally.latencies.lateness.saturating_record(7);
    for part in [&mut tally.routes[route], &mut tally.cohorts[cohort]] {
        part.requests += 1;
        part.failed += u64::from(failed);
        part.response.record(response_us).expect("it grows by itself");
    }
}

pub(crate) const ROUTES: [&str; 3] = ["GET /", "GET /cart/{id}", "POST /v1/items:batch"];
pub(crate) const COHORTS: [&str; 2] = ["users", "jobs"];
