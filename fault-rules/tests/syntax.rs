//! The whole syntax: what each form of each key becomes.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::time::Duration;

use fault_rules::action::{
    Backoff, Corrupt, CorruptKind, Direction, DropResponse, Duplicate, End, Failover, Goaway, GrpcStatus,
    Loss, Outage, OutageMode, Per, Point, Reset, Stale, Stall, Throttle, WebsocketClose,
};
use fault_rules::delay::{At, Delay, Dist, Mode, RouteLatency};
use fault_rules::guard::{Base, Limit, Margin, Signal, Trip};
use fault_rules::rule::{Scale, Window};
use fault_rules::select::{Attempts, Burst, By, Every, Hash, Key, Rate, Shard};
use fault_rules::{Action, Loader, Rule, RuleSet, parse, parse_inline};

fn read(source: &str) -> RuleSet {
    let latencies = |_: &str| {
        let path = "/api/cart/{id}".to_owned();
        Ok(vec![RouteLatency { method: "GET".to_owned(), path, durations: vec![(ms(20), 5)] }])
    };
    let loader = Loader { file: &|_| Ok(b"{}".to_vec()), latencies: &latencies };
    parse(source, "f.toml", &loader).unwrap_or_else(|report| panic!("{report}"))
}

/// A rule with these lines and an id, in a file of two groups and a guard.
fn rule(lines: &str) -> Rule {
    let source = format!(
        "[group.eu]\nmembers = [\"127.0.0.1:9101\", \"[::1]:9102\"]\n[group.us]\nmembers = [\"us.local:9201\"]\n\
         [guard.slo]\nsignal = \"p99\"\nlimit = \"500ms\"\n[guard.late]\nsignal = \"p50\"\nlimit = \"1s\"\n\
         [[rule]]\nid = \"a\"\n{lines}\n"
    );
    read(&source).rules()[0].clone()
}

#[track_caller]
fn action(line: &str, expect: Action) {
    assert_eq!(rule(line).actions().cloned().collect::<Vec<_>>(), [expect], "{line}");
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn on_knows_groups_and_statuses() {
    let check = |on: &str, yes: &[u16], no: &[u16]| {
        let on = rule(&format!("truncate = \"60%\"\non = {on}")).on;
        let statuses = on.status().unwrap();
        assert!(yes.iter().all(|status| statuses.has(*status)), "{on:?}");
        assert!(!no.iter().any(|status| statuses.has(*status)), "{on:?}");
    };
    check("\"/a -> 2xx\"", &[200, 299], &[199, 300]);
    check("\"-> 503\"", &[503], &[502, 504]);
    check("\"GET -> 500..502\"", &[500, 502], &[503]);
    check("\"-> 4xx|5xx|302\"", &[404, 503, 302], &[301, 200]);
    check("{ path = \"/a\", status = \"2xx|404\" }", &[200, 404], &[403]);
    check("{ status = [\"2xx\", 404] }", &[200, 404], &[403]);
    check("{ status = 404 }", &[404], &[403]);
    for on in ["\"/a group eu\"", "{ group = \"eu\" }"] {
        let found = rule(&format!("respond = 500\non = {on}"));
        assert!(found.explain().contains("group eu"), "{on}");
    }
}

#[test]
fn selectors_say_who_of_those() {
    let path = rule("on = \"/c/{customer}/**\"\nrate = \"5% of path customer\"\nrespond = 500");
    assert_eq!((path.by, path.rate), (By::Path("customer".to_owned()), Rate::of(5, 100)));
    let attempts = |value: &str, from: u32, to: Option<u32>| {
        let found = rule(&format!("respond = 500\nattempts = {value}")).attempts;
        assert_eq!(found, Some(Attempts { from, to }), "{value}");
    };
    attempts("\"1..2\"", 1, Some(2));
    attempts("\"1\"", 1, Some(1));
    attempts("\"3..\"", 3, None);
    attempts("\"..2\"", 1, Some(2));
    attempts("2", 2, Some(2));
    let every = |value: &str, nth: u64, per: Per| {
        let found = rule(&format!("respond = 500\nevery = \"{value}\"")).every;
        assert_eq!(found, Some(Every { nth, per }), "{value}");
    };
    every("10th", 10, Per::All);
    every("3rd per session", 3, Per::Session);
    every("2nd per header X-Api-Key", 2, Per::Header("x-api-key".to_owned()));
    every("1st per cookie sid", 1, Per::Cookie("sid".to_owned()));
    let burst = |value: &str, rate: Rate| {
        let found = rule(&format!("respond = 500\nburst = {value}")).burst;
        assert_eq!(found, Some(Burst { enter: Rate::of(5, 1_000), leave: Rate::of(1, 10), rate }));
    };
    burst("{ enter = \"0.5%\", leave = \"10%\", rate = \"90%\" }", Rate::of(9, 10));
    burst("{ enter = \"0.5%\", leave = \"10%\" }", Rate::ALL);
    assert_eq!(rule("respond = 500\nguard = \"late\"\nrate = \"5%\"").guard, Some(1));
}

#[test]
fn shards_are_text_or_table() {
    let check = |value: &str, expect: Shard| {
        let line = format!("respond = 500\non = \"/c/{{customer}}\"\nshard = {value}");
        assert_eq!(rule(&line).shard, Some(expect), "{value}");
    };
    let by = |key: Key, hash: Hash| Shard { key, hash, of: 16, is: vec![3, 11] };
    let customer = || Key::Path("customer".to_owned());
    check("\"crc32(path customer) % 16 in [3, 11]\"", by(customer(), Hash::Crc32));
    check("\"xxh64( path {customer} )%16 in [3,11]\"", by(customer(), Hash::Xxh64));
    check("\"java(header X-Tenant) % 16 in [3, 11]\"", by(Key::Header("x-tenant".to_owned()), Hash::Java));
    check("\"murmur3(cookie sid) % 16 in [3, 11]\"", by(Key::Cookie("sid".to_owned()), Hash::Murmur3));
    check("\"number(query user) % 16 in [3, 11]\"", by(Key::Query("user".to_owned()), Hash::Number));
    check("\"crc16(session) % 16 in [3, 11]\"", by(Key::Session, Hash::Crc16));
    check(
        "{ key = \"path customer\", hash = \"fnv1a64\", of = 16, is = [3, 11] }",
        by(customer(), Hash::Fnv1a64),
    );
    for hash in ["crc32c", "fnv1a32", "xxh3"] {
        rule(&format!("respond = 500\nshard = \"{hash}(session) % 2 in [1]\""));
    }
}

#[test]
fn windows_ramp_step_and_repeat() {
    let check = |value: &str, expect: Window| {
        assert_eq!(rule(&format!("delay = \"1s\"\nwhen = {value}")).window, expect, "{value}");
    };
    let nine = Window::between(s(60), Some(s(540)));
    let ramps = Window { ramp: s(120), ramp_down: s(60), ..nine };
    check("\"1m..9m\"", nine);
    check("\"1m..9m, ramp 2m, ramp down 1m\"", ramps);
    check("\"1m..9m, ramp down 1m, ramp 2m, steps 4\"", Window { steps: 4, ..ramps });
    check("\"1m.., ramp 2m\"", Window { to: None, ramp_down: Duration::ZERO, ..ramps });
    check("\"1m..9m, every 10m\"", Window { every: Some(s(600)), ..nine });
    check("\"1m..9m, every 10m 3 times\"", Window { every: Some(s(600)), times: Some(3), ..nine });
    check(
        "{ from = \"1m\", to = \"9m\", ramp = \"2m\", ramp_down = \"1m\", steps = 4, every = \"10m\", times = 3, scale = \"delay\" }",
        Window { steps: 4, every: Some(s(600)), times: Some(3), scale: Scale::Delay, ..ramps },
    );
    check("{ to = \"1m\" }", Window::between(Duration::ZERO, Some(s(60))));
}

#[test]
fn delays_have_shape_place_and_mode() {
    let check = |value: &str, at: At, mode: Mode, dist: Dist| {
        let found = rule(&format!("delay = {value}")).delay.unwrap();
        assert_eq!((found.at, found.mode, found.dist()), (at, mode, &dist), "{value}");
    };
    let fixed = || Dist::Fixed(ms(200));
    let tail = || Dist::LogNormal { p50: ms(80), p99: ms(900) };
    check("\"200ms\"", At::Request, Mode::Add, fixed());
    check("\"200ms at response\"", At::Response, Mode::Add, fixed());
    check("\"200ms at connect\"", At::Connect, Mode::Add, fixed());
    check("\"200ms at close\"", At::Close, Mode::Add, fixed());
    check("\"p50 80ms, p99 900ms at first_byte\"", At::FirstByte, Mode::Add, tail());
    check("\"at least 200ms\"", At::Response, Mode::Floor, fixed());
    check("\"at least p50 80ms, p99 900ms at first_byte\"", At::FirstByte, Mode::Floor, tail());
    check(
        "{ dist = \"fixed\", value = \"200ms\", at = \"response\", mode = \"floor\" }",
        At::Response,
        Mode::Floor,
        fixed(),
    );
    let pareto = Dist::Pareto { scale: ms(50), shape: 1.5 };
    check(
        "{ dist = \"pareto\", scale = \"50ms\", shape = 1.5, max = \"5s\" }",
        At::Request,
        Mode::Add,
        pareto,
    );
    let table = "{ dist = \"table\", points = { p50 = \"80ms\", p90 = \"200ms\", p99_9 = \"900ms\", p100 = \"2s\", p0 = \"1ms\" } }";
    let Dist::Table(points) = rule(&format!("delay = {table}")).delay.unwrap().dist().clone() else {
        panic!("no table")
    };
    let expect = [(0.0, 0.001), (0.5, 0.08), (0.9, 0.2), (0.999, 0.9), (1.0, 2.0)];
    assert!(points.points().iter().zip(expect).all(|(a, b)| (a.0 - b.0).abs() < 1e-12 && a.1 == b.1));
    for like in ["\"like capture.zst x1.5\"", "{ dist = \"like\", capture = \"capture.zst\", scale = 1.5 }"] {
        let found = rule(&format!("delay = {like}")).delay.unwrap();
        let Dist::Recorded(recorded) = found.dist() else { panic!("{like}") };
        assert_eq!((recorded.capture.as_str(), recorded.scale, recorded.routes()), ("capture.zst", 1.5, 1));
        assert_eq!(found.sample(1 << 63), ms(30));
    }
}

#[test]
fn faults_of_the_answer() {
    let reset = |line: &str, at: Point| action(&format!("reset = \"{line}\""), Action::Reset(Reset::at(at)));
    reset("before headers", Point::BeforeHeaders);
    reset("after headers", Point::AfterHeaders);
    reset("after 5000 B of body", Point::AfterBytes(5_000));
    reset("after 5000 B", Point::AfterBytes(5_000));
    reset("after 50% of body", Point::AfterFraction(0.5));
    reset("after 20 events", Point::AfterEvents(20));
    reset("after 1 event", Point::AfterEvents(1));
    reset("after 2s", Point::AfterTime(s(2)));
    let refused = Reset { at: Point::AfterHeaders, code: 7, connection: false };
    action("reset = { at = \"after headers\", code = \"REFUSED_STREAM\" }", Action::Reset(refused));
    action("reset = { at = \"after headers\", code = 7, scope = \"stream\" }", Action::Reset(refused));
    action(
        "reset = { at = \"after headers\", code = 7, scope = \"connection\" }",
        Action::Reset(Reset { connection: true, ..refused }),
    );
    action("truncate = \"60%\"", Action::Truncate(Point::AfterFraction(0.6)));
    action("truncate = \"5000 B\"", Action::Truncate(Point::AfterBytes(5_000)));
    action("truncate = \"headers\"", Action::Truncate(Point::AfterHeaders));
    let stall = |line: &str, at: Point, hold: Option<Duration>, end: Option<End>| {
        action(&format!("stall = \"{line}\""), Action::Stall(Stall { at, hold, end }));
    };
    stall("8s after 20 events", Point::AfterEvents(20), Some(s(8)), None);
    stall("forever after 5000 B", Point::AfterBytes(5_000), None, None);
    stall("8s after headers, then reset", Point::AfterHeaders, Some(s(8)), Some(End::Reset));
    stall("8s after 50%, then close", Point::AfterFraction(0.5), Some(s(8)), Some(End::Close));
    action("goaway = \"graceful\"", Action::Goaway(Goaway { code: 0 }));
    action("goaway = \"ENHANCE_YOUR_CALM\"", Action::Goaway(Goaway { code: 11 }));
    action("goaway = 11", Action::Goaway(Goaway { code: 11 }));
    let close = |code, reason: &str, after_events| {
        Action::WebsocketClose(WebsocketClose { code, reason: reason.to_owned(), after_events })
    };
    action("websocket_close = 1011", close(1011, "", 0));
    action("websocket_close = \"1011 after 20 events\"", close(1011, "", 20));
    action("websocket_close = { code = 1006, reason = \"x\", after_events = 3 }", close(1006, "x", 3));
}

#[test]
fn faults_of_pace_and_bytes() {
    let pace = Throttle { response: Some(10_000), request: None, piece: None, gap: Duration::ZERO };
    action("throttle = \"10KB/s\"", Action::Throttle(pace));
    action(
        "throttle = { response = \"2KB/s\", request = \"1MB/s\", piece = \"64B\", gap = \"10us\" }",
        Action::Throttle(Throttle {
            response: Some(2_000),
            request: Some(1_000_000),
            piece: Some(64),
            gap: Duration::from_micros(10),
        }),
    );
    let usual = Loss {
        rate: Rate::of(2, 100),
        rto: ms(200),
        max_rto: s(60),
        segment: 1_460,
        direction: Direction::Response,
    };
    action("loss = \"2%\"", Action::Loss(usual));
    action(
        "loss = { rate = \"2%\", rto = \"1s\", max_rto = \"30s\", segment = \"536 B\", direction = \"request\" }",
        Action::Loss(Loss {
            rto: s(1),
            max_rto: s(30),
            segment: 536,
            direction: Direction::Request,
            ..usual
        }),
    );
    let flips = Corrupt { kind: CorruptKind::Bitflip, per: 4_000, direction: Direction::Response };
    action("corrupt = \"bitflip per 4KB\"", Action::Corrupt(flips));
    action("corrupt = { per = \"4KB\" }", Action::Corrupt(flips));
    action(
        "corrupt = { kind = \"zero\", per = \"4KB\", direction = \"request\" }",
        Action::Corrupt(Corrupt { kind: CorruptKind::Zero, direction: Direction::Request, ..flips }),
    );
}

#[test]
fn faults_at_the_upstream() {
    let lost = |line: &str, expect: DropResponse| {
        action(&format!("drop_response = {line}"), Action::DropResponse(expect));
    };
    lost("\"reset\"", DropResponse::End(End::Reset));
    lost("\"close\"", DropResponse::End(End::Close));
    lost("\"blackhole\"", DropResponse::Blackhole(None, End::Close));
    lost("\"30s, then reset\"", DropResponse::Blackhole(Some(s(30)), End::Reset));
    let Some(Action::DropResponse(DropResponse::Respond(answer))) =
        rule("drop_response = { respond = { status = 503, body = \"x\" } }").actions().next().cloned()
    else {
        panic!("no answer")
    };
    assert_eq!((answer.status, answer.body.as_ref()), (503, b"x".as_slice()));
    action("duplicate = 1", Action::Duplicate(Duplicate { copies: 1, after: Duration::ZERO }));
    action(
        "duplicate = { copies = 2, after = \"50ms\" }",
        Action::Duplicate(Duplicate { copies: 2, after: ms(50) }),
    );
    action("stale = \"30s\"", Action::Stale(Stale { age: s(30) }));
    let backoff = |text: &str, expect: Backoff| {
        let line = format!(
            "storm = {{ when = [\"5xx\"], copies = 3, backoff = \"{text}\", max_amplification = 4 }}"
        );
        let Some(Action::Storm(storm)) = rule(&line).actions().next().cloned() else { panic!("no storm") };
        assert_eq!(storm.backoff, expect, "{text}");
    };
    backoff("none", Backoff::NONE);
    backoff("100ms", Backoff { first: ms(100), factor: 1.0 });
    backoff("100ms x2", Backoff { first: ms(100), factor: 2.0 });
    for (word, mode) in
        [("refuse", OutageMode::Refuse), ("reset", OutageMode::Reset), ("blackhole", OutageMode::Blackhole)]
    {
        action(&format!("outage = \"{word}\""), Action::Outage(Outage { mode, failover: None }));
    }
    let delay = Delay::new(Dist::Fixed(ms(85)));
    let failover = Failover { to: "us".to_owned(), after: s(20), added_delay: Some(delay), failback: s(30) };
    action(
        "on = \"group eu\"\noutage = \"blackhole\"\n\
         failover = { to = \"us\", after = \"20s\", added_delay = \"85ms\", failback = \"30s\" }",
        Action::Outage(Outage { mode: OutageMode::Blackhole, failover: Some(failover.clone()) }),
    );
    action(
        "one_of = [{ outage = \"refuse\", failover = { to = \"us\" } }]",
        Action::Outage(Outage {
            mode: OutageMode::Refuse,
            failover: Some(Failover {
                after: Duration::ZERO,
                added_delay: None,
                failback: Duration::ZERO,
                ..failover
            }),
        }),
    );
}

#[test]
fn grpc_calls_end_with_a_status() {
    for status in ["\"UNAVAILABLE\"", "14"] {
        let line = format!("respond = {{ grpc_status = {status}, grpc_message = \"50% gone\u{e9}\" }}");
        let Some(Action::Respond(answer)) = rule(&line).actions().next().cloned() else { panic!("{line}") };
        let message = "50%25 gone%C3%A9".to_owned();
        assert_eq!((answer.status, answer.grpc), (200, Some(GrpcStatus { code: 14, message })));
        assert_eq!(answer.headers, [("content-type".to_owned(), "application/grpc".to_owned())]);
    }
}

#[test]
fn guards_have_limits_of_their_signals() {
    let check = |signal: &str, limit: &str, expect: (Signal, Base, Margin)| {
        let source = format!("[guard.g]\nsignal = \"{signal}\"\nlimit = \"{limit}\"\n");
        let guard = read(&source).guards[0].clone();
        let (signal, base, margin) = expect;
        assert_eq!((guard.signal, guard.limit), (signal, Limit { base, margin }), "{limit}");
        assert_eq!((guard.window, guard.trip, guard.min_samples), (s(10), Trip::Lift, 100));
        assert_eq!(guard.confidence, 0.95);
    };
    let errors = Signal::ErrorRatio;
    check("error_ratio", "control + 2%", (errors, Base::Control, Margin::Points(0.02)));
    check("error_ratio", "baseline + 0.5%", (errors, Base::Baseline, Margin::Points(0.005)));
    check("error_ratio", "1%", (errors, Base::Absolute, Margin::Points(0.01)));
    check("p99", "500ms", (Signal::Latency(99), Base::Absolute, Margin::Time(ms(500))));
    check("p90", "control + 50ms", (Signal::Latency(90), Base::Control, Margin::Time(ms(50))));
    check("p50", "baseline + 10%", (Signal::Latency(50), Base::Baseline, Margin::Relative(0.1)));
    check("p95", "baseline x1.5", (Signal::Latency(95), Base::Baseline, Margin::Relative(0.5)));
    check("goodput", "baseline - 10%", (Signal::Goodput, Base::Baseline, Margin::Relative(0.1)));
    check("goodput", "100/s", (Signal::Goodput, Base::Absolute, Margin::Number(100.0)));
    check("attempts_per_op", "1.5", (Signal::AttemptsPerOp, Base::Absolute, Margin::Number(1.5)));
    check("attempts_per_op", "control + 10%", (Signal::AttemptsPerOp, Base::Control, Margin::Relative(0.1)));
    let all = read(
        "[guard.g]\non = \"/api/**\"\nsignal = \"p99\"\nlimit = \"1s\"\nwindow = \"1m\"\ntrip = \"step_down\"\n\
         min_samples = 500\nconfidence = \"99%\"\n",
    );
    let guard = &all.guards[0];
    assert_eq!((guard.name.as_str(), guard.window, guard.trip), ("g", s(60), Trip::StepDown));
    assert_eq!((guard.min_samples, guard.confidence), (500, 0.99));
}

#[test]
fn hooks_and_safety() {
    let set = read(
        "[safety]\narmed = true\nlisten = [\"10.0.0.5:8080\", \"[::1]:9\"]\n\
         [guard.slo]\nsignal = \"p99\"\nlimit = \"1s\"\n\
         [[hook]]\nid = \"db-freeze\"\nwhen = \"2m..3m, every 5m\"\nstart = [\"kill\", \"-STOP\", \"1234\"]\n\
         end = [\"kill\", \"-CONT\", \"1234\"]\ntimeout = \"3s\"\nguard = \"slo\"\n\
         [[hook]]\nid = \"log\"\nstart = [\"logger\", \"begun\"]\n",
    );
    assert_eq!(set.safety.armed, Some(true));
    let listen: Vec<_> = set.safety.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["10.0.0.5:8080", "[::1]:9"]);
    let [freeze, log] = set.hooks.as_slice() else { panic!("two hooks") };
    assert_eq!(
        (freeze.id.as_str(), freeze.timeout, freeze.guard, freeze.line),
        ("db-freeze", s(3), Some(0), 7)
    );
    assert_eq!(freeze.start, ["kill", "-STOP", "1234"]);
    assert_eq!(freeze.end, ["kill", "-CONT", "1234"]);
    assert_eq!(freeze.window.every, Some(s(300)));
    assert!(log.end.is_empty() && log.timeout == s(10) && log.window == Window::default());
    let more = set.with_rules(vec![parse_inline("/a respond 503").unwrap()]).unwrap();
    assert_eq!((more.hooks.len(), more.guards.len(), more.rules().len()), (2, 1, 1), "nothing is lost");
}

#[test]
fn faults_of_the_command_line() {
    let check = |text: &str, expect: &str| {
        let rule = parse_inline(text).unwrap_or_else(|report| panic!("{report}"));
        let asked: Vec<_> = rule.actions().map(|it| format!("{} {}", it.name(), it.asked())).collect();
        assert_eq!(asked, [expect], "{text}");
        rule
    };
    let five = check("/a -> 2xx truncate 60% 5%", "truncate after 60% of body");
    assert_eq!((five.rate, five.on.status().map(|it| it.has(204))), (Rate::of(5, 100), Some(true)));
    assert_eq!(check("/a truncate 60%", "truncate after 60% of body").rate, Rate::ALL);
    assert_eq!(check("/a loss 2%", "loss 2% of segments").rate, Rate::ALL);
    assert_eq!(check("/a loss 2% 10%", "loss 2% of segments").rate, Rate::of(1, 10));
    check("/a stall 8s after 50%", "stall 8000000us after 50% of body");
    check("/a stall 8s after 20 events, then reset 3%", "stall 8000000us after 20 events");
    let first = check("/a outage reset 3% attempts 1..2", "outage reset");
    assert_eq!((first.attempts, first.rate), (Some(Attempts { from: 1, to: Some(2) }), Rate::of(3, 100)));
    check("/a outage blackhole", "outage blackhole");
    check("/a drop_response reset", "drop_response after the upstream's answer");
    check("POST /a -> 2xx drop_response 30s, then reset", "drop_response after the upstream's answer");
    check("/a throttle 10KB/s", "throttle response 10000 B/s");
    check("/a corrupt bitflip per 4KB 1%", "corrupt per 4000 B");
    check("/a duplicate 2", "duplicate 2 copies");
    check("/a stale 30s", "stale 30000000us old");
    check("/a goaway graceful", "goaway code 0");
    check("/a goaway ENHANCE_YOUR_CALM", "goaway code 11");
    check("/a websocket_close 1011 after 20 events 5%", "websocket_close 1011 after 20 events");
    let path = check("/c/{customer} respond 500 5% of path customer", "respond 500");
    assert_eq!(path.by, By::Path("customer".to_owned()));
    let ramp = check("/a respond 500 when \"1m..9m, ramp 2m\" 5%", "respond 500");
    assert_eq!((ramp.window.ramp, ramp.rate), (s(120), Rate::of(5, 100)));
    let late = parse_inline("/a -> 5xx delay 200ms at response 5%").unwrap();
    assert_eq!(late.delay.unwrap().at, At::Response);
}
