//! What comes out: run.json against its schema, histograms that read back, the text.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use base64::Engine;
use hdrhistogram::serialization::Deserializer;
use replayer::analysis::{Analysis, Drift, Event, Example, Explanation, Finding, Lift, Place, Slope};
use replayer::options::{Arrivals, Speed};
use replayer::report::{
    CallTime, Calls, Cohort, Edge, EdgeRoute, EdgeTimes, FaultWindow, Faults, Guard, Interval, Repeat,
    RepeatFinding, RepeatRun, Rule, RuleAudit, RuleDelay, Slow, Split, Spread, StreamsPart, Times,
    WarmupPart,
};
use serde_json::Value;
use support::{Server, Then, answer, replay_on, step};

fn report() -> replayer::Report {
    let server = Server::start(|met, stream| {
        let status = if met.target.ends_with('7') { "503 No" } else { "200 OK" };
        answer(
            stream,
            status,
            if met.target.ends_with("17") { "squall-fault: payday\r\n" } else { "" },
            b"ok",
        );
        Then::Keep
    });
    let steps: Vec<_> = (0..40).map(|i| step(i % 5, i, 1, &format!("GET /item/{i}"))).collect();
    replay_on(&server, &steps, |options| {
        options.amplify = 5.0;
        options.thresholds = vec!["answered>99%".parse().unwrap(), "response:p(99)<1h".parse().unwrap()];
        options.argv = vec!["replay".to_owned()];
    })
}

#[test]
fn run_json_follows_its_schema() {
    let schema: Value = serde_json::from_str(include_str!("../run.schema.json")).unwrap();
    let json = serde_json::to_value(report()).unwrap();
    let mut wrong = Vec::new();
    check(&schema, &schema, &json, "run", &mut wrong);
    assert!(wrong.is_empty(), "{wrong:#?}");
    // And the checker notices what it should.
    let mut broken = json;
    broken["requests"]["sent"] = Value::from(-1);
    broken["verdict"] = Value::from("great");
    broken["extra"] = Value::from(1);
    broken["plan"].as_object_mut().unwrap().remove("sessions");
    check(&schema, &schema, &broken, "run", &mut wrong);
    assert_eq!(wrong.len(), 4, "{wrong:#?}");
}

#[test]
fn a_paced_run_says_how_close_it_came_to_the_capture() {
    let schema: Value = serde_json::from_str(include_str!("../run.schema.json")).unwrap();
    // 120 sessions, one every 10 ms, of one, two or three requests.
    let steps: Vec<_> = (0..120)
        .flat_map(|n| {
            (0..=n % 3).map(move |k| step(n, n * 10 + k * 25, 1, ["GET /a", "POST /b"][(k % 2) as usize]))
        })
        .collect();
    let run = |amplify: f64, aligned: bool| {
        let report = replay_on(&Server::plain(), &steps, |options| {
            options.speed = Speed::Times(2.0);
            options.amplify = amplify;
            if aligned {
                options.arrivals = Arrivals::Aligned;
            }
        });
        let mut wrong = Vec::new();
        check(&schema, &schema, &serde_json::to_value(&report).unwrap(), "run", &mut wrong);
        assert!(wrong.is_empty(), "{wrong:#?}");
        report
    };
    let once = run(1.0, false);
    let shape = once.shape.as_ref().unwrap();
    assert_eq!((shape.capture.sessions, shape.replay.sessions), (120, 120));
    assert_eq!((shape.mix_distance, shape.length_distance), (Some(0.0), Some(0.0)), "{shape:#?}");
    assert_eq!((shape.capture.mean_steps, shape.replay.mean_steps), (2.0, 2.0));
    assert!((shape.capture.mean_gap_us - 5000.0).abs() < 100.0, "{shape:#?}");
    assert!((shape.replay.mean_gap_us / shape.capture.mean_gap_us - 1.0).abs() < 0.5, "{shape:#?}");
    assert!(!once.text().contains("bursts "), "{}", once.text());

    let (spread, together) = (run(4.0, false), run(4.0, true));
    for report in [&spread, &together] {
        let shape = report.shape.as_ref().unwrap();
        assert_eq!((shape.mix_distance, shape.length_distance), (Some(0.0), Some(0.0)), "{shape:#?}");
        assert_eq!(shape.replay.sessions, 480);
        assert!(report.text().contains("shape      gaps between session starts differ"), "{}", report.text());
    }
    assert!(together.text().lines().any(|line| line.starts_with("starts ")), "{}", together.text());
}

#[test]
fn at_full_speed_there_is_no_shape() {
    assert_eq!(report().shape, None);
}

#[test]
fn the_rare_parts_follow_the_schema_too() {
    let schema: Value = serde_json::from_str(include_str!("../run.schema.json")).unwrap();
    let mut report = report();
    report.warmup = Some(WarmupPart::default());
    report.streams = Some(StreamsPart::default());
    let response = report.latency.response.clone();
    report.cohorts =
        vec![Cohort { cohort: "users".to_owned(), requests: 1, failed: 0, injected: 0, response }];
    report.thresholds[0].bound = None;
    report.edges = edges();
    report.rules = vec![Rule {
        id: "payday".to_owned(),
        eligible: 1,
        selected: 1,
        suppressed: [].into(),
        applied: 1,
        asked_rate: 0.5,
        realised_rate: 1.0,
        units: None,
        audit: RuleAudit {
            rate_low: Some(0.1),
            rate_high: Some(0.9),
            delay: Some(RuleDelay::default()),
            missed: Some("never matched".to_owned()),
        },
    }];
    report.guards = vec![Guard { tripped_at_us: Some(1), limit: Some(0.1), ..Guard::default() }];
    let window =
        FaultWindow { rule: "payday".to_owned(), from_us: 1, until_us: None, what: "503".to_owned() };
    report.faults = Some(Faults { rules_file: None, windows: vec![window], windows_lost: 1 });
    report.series[0].status.switched = 1;
    let text = report.text();
    for words in ["own p99  chain\n", "front, calls: 0.50 to payments", "the slow p99 comes from payments\n"]
    {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    report.repeat = Some(Repeat {
        asked: 2,
        shown: 1,
        runs: vec![RepeatRun { figures: [("errors".to_owned(), 0.1)].into(), ..RepeatRun::default() }],
        spread: vec![Spread { interval: Some(Interval::default()), ..Spread::default() }, Spread::default()],
        findings: vec![RepeatFinding { runs: vec![1], ..RepeatFinding::default() }],
    });
    report.analysis = Some(analysis());
    let mut wrong = Vec::new();
    check(&schema, &schema, &serde_json::to_value(report).unwrap(), "run", &mut wrong);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// One of everything.
fn analysis() -> Analysis {
    let lift = Lift { exposed: 0.5, control: 0.0, ratio: 9.0, low: 2.0, high: 1e9, confidence: 0.99 };
    let example = Example {
        session: "1f".to_owned(),
        clone: 1,
        op: "0a".to_owned(),
        step: 3,
        t_us: 4,
        replay: "replay --only session:1f a.zst".to_owned(),
    };
    let finding = Finding {
        rank: 1,
        title: "a title".to_owned(),
        explanation: Explanation::SlowDrift,
        rule: Some("payday".to_owned()),
        place: Place { status: Some(500), step: Some(3), ..Place::default() },
        sessions: 1,
        failures: 1,
        share: 0.5,
        lift: Some(lift),
        evidence: vec!["a sentence".to_owned()],
        examples: vec![example],
    };
    let drift = Drift {
        route: "GET /".to_owned(),
        what: "status".to_owned(),
        recorded: "200".to_owned(),
        replayed: "404".to_owned(),
        share: 1.0,
        noise: 0.0,
        sessions: 1,
        differing: 1,
        answers: 1,
        chance: None,
    };
    let slope = Slope {
        figure: "origin_memory".to_owned(),
        per_minute: -1.0,
        low: -2.0,
        high: 0.0,
        unit: "bytes".to_owned(),
        significant: false,
    };
    Analysis {
        findings: vec![finding],
        drift: vec![drift],
        slopes: vec![slope],
        order: vec![Event { t_us: 0, event: "a rule".to_owned() }],
        ..Analysis::default()
    }
}

#[test]
fn failures_are_put_down_to_whom_they_belong() {
    let analysis = report().analysis.unwrap();
    assert_eq!((analysis.failures, analysis.sample), (20, 1.0));
    let parts: u64 = analysis.attribution.parts().iter().map(|(_, count)| count).sum();
    assert_eq!(
        (parts, analysis.attribution.injected, analysis.attribution.origin),
        (20, 5, 15),
        "{analysis:#?}"
    );
}

#[test]
fn a_run_of_an_earlier_version_still_reads() {
    let mut json = serde_json::to_value(report()).unwrap();
    for (part, names) in [
        ("", &["cohorts", "guards", "analysis", "series_step_us", "heat", "funnel"][..]),
        ("/series/0", &["planned", "status", "p90", "lateness_p99"]),
        ("/plan", &["exact", "captures", "arrivals", "profile"]),
        ("/sessions", &["abandoned"]),
        ("/requests", &["doubles", "retries_denied"]),
        ("/latency", &["wait", "gap_error", "start_spread"]),
        ("/connections", &["h2_streams_peak", "goaways", "refused_streams"]),
        ("/thresholds/0", &["bound"]),
        ("/generator", &["cpu_share", "cores", "late", "late_us", "drift_us_per_s"]),
    ] {
        let object = json.pointer_mut(part).unwrap().as_object_mut().unwrap();
        names.iter().for_each(|name| assert!(object.remove(*name).is_some(), "{part}/{name}"));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    std::fs::write(&path, json.to_string()).unwrap();
    let report = replayer::Report::load(&path).unwrap();
    assert_eq!((report.requests.answered, report.latency.wait.count), (200, 0));
    // And it can be a baseline, or be merged.
    let merged = replayer::merge::merge(vec![("run.json".to_owned(), report.clone())]).unwrap();
    assert_eq!(merged.latency.response.p99, report.latency.response.p99);
}

#[test]
fn a_report_reads_back_as_itself() {
    let report = report();
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<replayer::Report>(&text).unwrap(), report);
}

#[test]
fn a_route_that_is_all_of_the_run_has_its_latencies() {
    let server = Server::start(|_, stream| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        answer(stream, "200 OK", "", b"ok");
        Then::Keep
    });
    let steps: Vec<_> = (0..10).map(|i| step(1, i, 1, &format!("GET /item/{i}"))).collect();
    let report = replay_on(&server, &steps, |_| {});
    let [route] = report.routes.as_slice() else { panic!("{:?}", report.routes) };
    let all = &report.latency.response;
    assert_eq!((route.response.count, route.response.max), (10, all.max), "{} against {all:?}", route.route);
    assert!(route.response.p50 >= 5_000);
}

#[test]
fn histograms_read_back_with_the_same_figures() {
    let report = report();
    let response = &report.latency.response;
    let bytes = base64::engine::general_purpose::STANDARD.decode(&response.hdr).unwrap();
    let all: hdrhistogram::Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
    assert_eq!((all.len(), all.max()), (response.count, response.max));
    assert_eq!((all.value_at_quantile(0.5), response.count), (response.p50, 200));
    assert!(report.routes.len() == 1 && report.routes[0].route == "GET /item/{id}");
    let route = &report.routes[0].response;
    assert_eq!((route.p50, route.p99, route.max), (response.p50, response.p99, response.max));
    assert_eq!((report.routes[0].requests, report.routes[0].failed, report.routes[0].injected), (200, 20, 5));
}

#[test]
fn the_text_says_whose_failures_they_were_first() {
    let report = report();
    let text = report.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with(
            "failures: 20 of 200 requests (10.0 %): 5 (25.0 %) injected, 15 (75.0 %) the origin's"
        )
    );
    assert!(lines[1].starts_with("verdict: pass (exit code 0)"), "{}", lines[1]);
    for word in ["response", "lateness", "GET /item/{id}", "books", "sent = answered + failed", "next "] {
        assert!(text.contains(word), "{word} is missing in\n{text}");
    }
    let sums: u64 = report.series.iter().map(|second| second.answered).sum();
    assert_eq!(sums, 200);
}

/// A chain of two edges with all that there can be of one.
fn edges() -> Vec<Edge> {
    let call = CallTime { edge: "payments".to_owned(), us: 7 };
    let split = || Split { count: 1, took_us: 9, own_us: 2, calls: vec![call.clone()] };
    let times = EdgeTimes {
        own: Some(Times::default()),
        calls: vec![Calls { edge: "payments".to_owned(), per_request: 0.5, ..Calls::default() }],
        typical: Some(split()),
        routes: vec![
            EdgeRoute { route: "POST /checkout".to_owned(), slow: Some(split()), ..EdgeRoute::default() },
            EdgeRoute::default(),
        ],
        ..EdgeTimes::default()
    };
    let slow = Slow { share: 0.98, words: "the slow p99 comes from payments".to_owned(), ..Slow::default() };
    vec![
        Edge { name: "front".to_owned(), times, ..Edge::default() },
        Edge { name: "payments".to_owned(), slow: Some(slow), ..Edge::default() },
    ]
}

/// The part of JSON Schema that run.schema.json uses.
fn check(root: &Value, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let target = root.pointer(name.trim_start_matches('#')).expect("a reference leads somewhere");
        return check(root, target, value, at, wrong);
    }
    if let Some(known) = schema["enum"].as_array() {
        if !known.contains(value) {
            wrong.push(format!("{at}: {value} is none of {known:?}"));
        }
        return;
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    if !types.iter().any(|name| is_a(value, name)) {
        return wrong.push(format!("{at}: {value} is no {types:?}"));
    }
    if let (Some(least), Some(number)) = (schema["minimum"].as_i64(), value.as_i64())
        && number < least
    {
        wrong.push(format!("{at}: {number} is below {least}"));
    }
    let required = schema["required"].as_array().filter(|_| value.is_object());
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            wrong.push(format!("{at}: {name} is missing"));
        }
    }
    for (name, part) in value.as_object().into_iter().flatten() {
        let place = format!("{at}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(schema), _) => check(root, schema, part, &place, wrong),
            (None, Value::Bool(false)) => wrong.push(format!("{place} is unknown")),
            (None, schema) => check(root, schema, part, &place, wrong),
        }
    }
    for (index, part) in value.as_array().into_iter().flatten().enumerate() {
        check(root, &schema["items"], part, &format!("{at}[{index}]"), wrong);
    }
}

fn is_a(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => panic!("the checker does not know the type {name}"),
    }
}
