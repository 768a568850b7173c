//! Spans and metrics of the proxy at a collector of OTLP: whose children, which rules, how many; and a collector that dies.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::handmade;
use crate::support::collector::{Collector, attribute, text};
use crate::support::prometheus::Scrape;
use crate::support::{DEADLINE, Origin, Process, Proxy, Shop, http, replay};

#[test]
fn spans_are_the_callers_children_and_name_the_rules_and_as_many_as_the_books() {
    let (shop, collector) = (Shop::open(&[]), Collector::open());
    let url = collector.url();
    let rules = ["--fault", "GET /api/products/* respond 503 40%", "--otlp", &url, "--otlp-sample", "100%"];
    let proxy = Proxy::before(&shop.url(), &rules);
    for n in 0..50 {
        traced(proxy.addr(), n);
    }
    let books = proxy.settled(50);
    let injected = books.total("short_circuited");
    assert!(0 < injected && injected < 50, "{books}");
    proxy.stop();
    let spans = collector.spans();
    assert_eq!(spans.len(), 50, "one for each exchange");
    let mut ids = BTreeSet::new();
    for (service, span) in &spans {
        assert_eq!(service, "squall-proxy");
        let trace = span["traceId"].as_str().unwrap();
        let n = u64::from_str_radix(trace, 16).unwrap() - TRACE;
        assert_eq!(span["parentSpanId"], format!("{:016x}", n + 1), "the caller's own span");
        assert!(ids.insert(span["spanId"].as_str().unwrap().to_owned()), "a number of its own");
        assert!(span["spanId"].as_str().is_some_and(|id| id.len() == 16 && id != "0000000000000000"));
        let [start, end] = ["startTimeUnixNano", "endTimeUnixNano"].map(|key| number(&span[key]));
        assert!(start <= end, "{span}");
        assert_eq!(text(span, "url.path"), "/api/products/7");
        let by_rule = text(span, "squall.outcome") == "short_circuited";
        let status = number(&attribute(span, "http.response.status_code")["intValue"]);
        assert_eq!(status, if by_rule { 503 } else { 200 });
        assert_eq!(span["status"]["code"], if by_rule { Value::from(2) } else { Value::Null });
        let rules = attribute(span, "squall.rule");
        assert_eq!(!rules.is_null(), by_rule, "{span}");
        if by_rule {
            assert_eq!(attribute(span, "squall.action")["arrayValue"]["values"][0]["stringValue"], "respond");
            assert!(!text(span, "squall.session").is_empty() && !text(span, "squall.op").is_empty());
        }
    }
    let of_rules = spans.iter().filter(|(_, span)| !attribute(span, "squall.rule").is_null()).count();
    assert_eq!(of_rules as u64, injected, "as many as the books have");
    let seen = collector.metric("squall_proxy_seen_total").expect("the last figures come at the end");
    assert_eq!(
        (&seen["sum"]["isMonotonic"], &seen["sum"]["aggregationTemporality"]),
        (&true.into(), &2.into())
    );
    assert_eq!(seen["sum"]["dataPoints"][0]["asDouble"], 50.0);
    let times = collector.metric("squall_proxy_request_duration_seconds").expect("a histogram");
    let point = &times["histogram"]["dataPoints"][0];
    let counts = point["bucketCounts"].as_array().unwrap();
    assert_eq!(counts.len(), point["explicitBounds"].as_array().unwrap().len() + 1);
    assert_eq!(counts.iter().map(number).sum::<u64>(), number(&point["count"]));
}

#[test]
fn without_a_sample_only_what_a_rule_touched_has_a_span() {
    let (shop, collector) = (Shop::open(&[]), Collector::open());
    let url = collector.url();
    let rules = ["--fault", "GET /api/products/* respond 503 40%", "--otlp", &url, "--otlp-sample", "0%"];
    let proxy = Proxy::before(&shop.url(), &rules);
    for n in 0..50 {
        traced(proxy.addr(), n);
    }
    let injected = proxy.settled(50).total("short_circuited");
    proxy.stop();
    assert_eq!(collector.spans().len() as u64, injected);
}

#[test]
fn the_callers_traceparent_goes_on_untouched() {
    let (origin, collector) = (Origin::open(), Collector::open());
    let proxy = Proxy::before(&origin.url(), &["--otlp", &collector.url(), "--otlp-sample", "100%"]);
    let addr = proxy.addr();
    let client = thread::spawn(move || traced(addr, 1));
    let head = origin.request();
    assert!(head.contains(&format!("traceparent: {}\r\n", traceparent(1))), "{head}");
    origin.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(client.join().unwrap(), 200);
}

#[test]
fn a_collector_that_dies_costs_spans_that_are_counted_and_no_request() {
    let (shop, collector) = (Shop::open(&[]), Collector::open());
    let url = collector.url();
    let proxy = Proxy::before(&shop.url(), &["--otlp", &url, "--otlp-sample", "100%"]);
    let told = |result: &str| {
        let scrape = Scrape::read(&http::get(proxy.admin(), "/metrics").text());
        assert_eq!(scrape.problems(), [""; 0]);
        scrape.value("squall_proxy_otlp_spans_total", &[("result", result)])
    };
    let wait = |what: &dyn Fn() -> bool| {
        let deadline = Instant::now() + DEADLINE;
        while !what() {
            assert!(Instant::now() < deadline, "sent {}, lost {}", told("sent"), told("lost"));
            thread::sleep(Duration::from_millis(20));
        }
    };
    for n in 0..10 {
        assert_eq!(traced(proxy.addr(), n), 200);
    }
    wait(&|| told("sent") == 10.0);
    assert_eq!(collector.spans().len(), 10);
    drop(collector);
    for n in 10..30 {
        assert_eq!(traced(proxy.addr(), n), 200);
    }
    proxy.expect_delivered(30);
    wait(&|| told("lost") == 20.0);
    assert_eq!((told("sent"), told("shed")), (10.0, 0.0));
    assert!(proxy.stop().0.success());
}

#[test]
fn a_replay_sends_its_figures_at_the_end_whether_or_not_somebody_takes_them() {
    let (shop, folder) = (Shop::open(&[]), tempfile::TempDir::new().unwrap());
    let step = |n: u64| (1 + n % 3, n * 20, 5, "GET /api/products/7", "shop.test");
    let capture = handmade::capture(folder.path(), &(0..30).map(step).collect::<Vec<_>>());
    let run = |url: &str| {
        let mut command = replay(&["--otlp", url, "--plain", "--target", &shop.url()]);
        command.arg(&capture);
        let before = shop.requests();
        let mut replaying = Process::start("replay", command);
        replaying.wait();
        assert_eq!(shop.requests() - before, 30, "{}", replaying.log());
    };
    let collector = Collector::open();
    run(&collector.url());
    let metric = |name: &str| collector.metric(name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(metric("squall_replay_requests_sent_total")["sum"]["dataPoints"][0]["asDouble"], 30.0);
    let times = &metric("squall_replay_service_duration_seconds")["histogram"]["dataPoints"][0];
    assert_eq!(number(&times["count"]), 30);
    let gone = collector.url();
    drop(collector);
    run(&gone);
}

#[test]
fn the_traceparent_that_goes_on_may_name_the_proxys_span() {
    let collector = Collector::open();
    let url = collector.url();
    for (said, n) in [(true, 1), (false, 2)] {
        let origin = Origin::open();
        let continued = ["--otlp", &url, "--otlp-sample", "100%", "--otlp-continue"];
        let proxy = Proxy::before(&origin.url(), &continued);
        let addr = proxy.addr();
        let client = thread::spawn(move || match said {
            true => traced(addr, n),
            false => http::get(addr, "/api/products/7").status,
        });
        let head = origin.request();
        origin.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(client.join().unwrap(), 200);
        let span = eventually(&|| collector.spans().get(n as usize - 1).map(|(_, span)| span.clone()));
        let goes_on = format!(
            "traceparent: 00-{}-{}-01\r\n",
            span["traceId"].as_str().unwrap(),
            span["spanId"].as_str().unwrap()
        );
        assert_eq!(
            (head.contains(&goes_on), head.matches("traceparent").count()),
            (true, 1),
            "{goes_on} in {head}"
        );
        if said {
            assert_eq!(span["traceId"], format!("{:032x}", TRACE + n));
            assert_eq!(span["parentSpanId"], format!("{:016x}", n + 1));
        }
    }
}

/// Rules name their spans also where there is no answer that could name them.
#[test]
fn a_delay_that_the_client_did_not_sit_out_is_in_its_span() {
    let (shop, collector) = (Shop::open(&[]), Collector::open());
    let url = collector.url();
    let proxy =
        Proxy::before(&shop.url(), &["--fault", "/** delay 1h", "--otlp", &url, "--otlp-sample", "0%"]);
    let folder = tempfile::TempDir::new().unwrap();
    let capture = handmade::capture(folder.path(), &[(1, 0, 5, "GET /api/products/7", "shop.test")]);
    let target = format!("http://{}", proxy.addr());
    let mut command = replay(&["--plain", "--no-rehearsal", "--timeout", "300ms", "--target", &target]);
    command.arg(&capture);
    Process::start("replay", command).wait();
    proxy.settled(1);
    proxy.stop();
    let spans = collector.spans();
    assert_eq!(spans.len(), 1, "no share of all, and always what a rule did");
    let (_, span) = &spans[0];
    assert_eq!(text(span, "squall.outcome"), "client_gone");
    let (rules, actions) = (attribute(span, "squall.rule"), attribute(span, "squall.action"));
    assert_eq!(rules["arrayValue"]["values"].as_array().map(Vec::len), Some(1), "{span}");
    assert_eq!(actions["arrayValue"]["values"][0]["stringValue"], "delay");
}

/// From the client through the proxy to the origin: one trace, each below the one before.
#[test]
fn a_replay_begins_the_traces_that_proxy_and_origin_continue() {
    for http2 in [false, true] {
        let (shop, collector, folder) =
            (Shop::open(&[]), Collector::open(), tempfile::TempDir::new().unwrap());
        let url = collector.url();
        let step = |n: u64| (1 + n % 2, n * 20, 5, "GET /api/products/7", "shop.test");
        let capture = handmade::capture(folder.path(), &(0..6).map(step).collect::<Vec<_>>());
        let rules =
            ["--fault", "GET /api/products/* respond 503 40%", "--otlp", &url, "--otlp-sample", "100%"];
        let proxy = Proxy::before(&shop.url(), &rules);
        let target = format!("http://{}", proxy.addr());
        let mut command = replay(&[
            "--otlp",
            &url,
            "--otlp-sample",
            "100%",
            "--plain",
            "--no-rehearsal",
            "--amplify",
            "5x",
        ]);
        command.args(["--target", &target]).args(http2.then_some("--http2")).arg(&capture);
        Process::start("replay", command).wait();
        let books = proxy.settled(30);
        proxy.stop();
        let spans = collector.spans();
        let of = |service: &'static str| {
            spans.iter().filter(move |(known, _)| known == service).map(|(_, span)| span)
        };
        assert_eq!((of("squall-replay").count(), of("squall-proxy").count()), (30, 30));
        let traces: BTreeSet<&str> =
            of("squall-replay").map(|span| span["traceId"].as_str().unwrap()).collect();
        assert_eq!(traces.len(), 30, "an operation of a clone is a trace of its own");
        for client in of("squall-replay") {
            assert_eq!((&client["kind"], &client["parentSpanId"]), (&3.into(), &Value::Null));
            assert_eq!(
                (&client["name"], text(client, "url.path")),
                (&"GET /api/products/{id}".into(), "/api/products/7".into())
            );
            let server = of("squall-proxy").find(|span| span["parentSpanId"] == client["spanId"]);
            let server = server.unwrap_or_else(|| panic!("nobody continued {client}"));
            assert_eq!((&server["traceId"], &server["kind"]), (&client["traceId"], &2.into()));
            for same in ["squall.op", "squall.session"] {
                assert_eq!(text(client, same), text(server, same));
            }
            assert_eq!(attribute(client, "squall.rule"), attribute(server, "squall.rule"), "{client}");
            let [begun, ended] = ["startTimeUnixNano", "endTimeUnixNano"].map(|key| number(&client[key]));
            assert!(begun < ended, "{client}");
        }
        let touched = of("squall-replay").filter(|span| !attribute(span, "squall.rule").is_null()).count();
        assert_eq!(touched as u64, books.total("short_circuited"));
    }
}

/// Recorded trace ids are those of the recorded client: no clone may go out with them, nor with another's.
#[test]
fn a_recorded_traceparent_is_replaced_and_stands_once() {
    let (origin, collector, folder) = (Origin::open(), Collector::open(), tempfile::TempDir::new().unwrap());
    let recorded = folder.path().join("recorded.zst");
    let recorder = Proxy::before(&origin.url(), &["--record", recorded.to_str().unwrap()]);
    let addr = recorder.addr();
    let client = thread::spawn(move || traced(addr, 1));
    origin.request();
    origin.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(client.join().unwrap(), 200);
    recorder.settled(1);
    recorder.stop();

    let origin = Origin::open();
    let mut command =
        replay(&["--otlp", &collector.url(), "--otlp-sample", "100%", "--plain", "--no-rehearsal"]);
    command.args(["--target", &origin.url()]).arg(&recorded);
    let mut replaying = Process::start("replay", command);
    let head = origin.request().to_ascii_lowercase();
    origin.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    replaying.wait();
    let (_, span) = &collector.spans()[0];
    let said = format!("00-{}-{}-01", span["traceId"].as_str().unwrap(), span["spanId"].as_str().unwrap());
    assert_eq!((head.contains(&said), head.matches("traceparent").count()), (true, 1), "{said} in {head}");
    assert!(!head.contains(&traceparent(1)[..35]), "{head}");
}

/// The queue has room for 4,096 spans, and the collector takes none: everything is sent and answered all the same, and each
/// span is accounted for, in the metrics as in run.json.
#[test]
fn a_collector_that_says_nothing_costs_spans_that_are_counted_and_no_request() {
    const REQUESTS: u64 = 12_000;
    let (shop, folder) = (Shop::open(&[]), tempfile::TempDir::new().unwrap());
    let (_silent, url) = Collector::silent();
    let steps: Vec<_> =
        (0..REQUESTS / 100).map(|n| (1 + n % 10, n, 1, "GET /api/products/7", "shop.test")).collect();
    let capture = handmade::capture(folder.path(), &steps);
    let json = folder.path().join("run.json");
    let mut command =
        replay(&["--otlp", &url, "--otlp-sample", "100%", "--metrics", "0", "--plain", "--no-rehearsal"]);
    command.args(["--amplify", "100x", "--speed", "max", "--target", &shop.url()]);
    command.arg("--json").arg(&json).arg(&capture);
    let mut replaying = Process::start("replay", command);
    let metrics: SocketAddr = replaying.wait_for("where its metrics are", |line| {
        line.split_once("metrics on http://")?.1.strip_suffix("/metrics")?.parse().ok()
    });
    // while the thread that sends still waits for its first answer, all requests have been answered and spans were shed
    let scrape = || Scrape::read(&http::get(metrics, "/metrics").text());
    let told =
        |scrape: &Scrape, result| scrape.value("squall_replay_otlp_spans_total", &[("result", result)]);
    let seen = eventually(&|| {
        let scrape = scrape();
        (shop.requests() == REQUESTS && 0.0 < told(&scrape, "shed")).then_some(scrape)
    });
    assert_eq!(seen.problems(), [""; 0]);
    assert_eq!(told(&seen, "sent"), 0.0);
    replaying.wait();
    let run: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let n = |place: &str| run.pointer(place).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {place}"));
    assert_eq!((n("/requests/sent"), n("/requests/answered")), (REQUESTS, REQUESTS));
    let [sent, shed, lost] = ["sent", "shed", "lost"].map(|name| n(&format!("/generator/spans/{name}")));
    assert_eq!((sent, shed + lost), (0, REQUESTS), "each is accounted for");
    assert!(0 < shed && 0 < lost, "{shed} {lost}");
    let notes = run["generator"]["notes"].to_string();
    assert!(notes.contains("12000 of 12000 spans did not come to the collector"), "{notes}");
}

/// The `n`-th request of a trace of its own; its status.
fn traced(addr: SocketAddr, n: u64) -> u16 {
    let answer = http::send(addr, "GET /api/products/7", &[("traceparent", &traceparent(n))], b"");
    answer.status
}

fn traceparent(n: u64) -> String {
    format!("00-{:032x}-{:016x}-01", TRACE + n, n + 1)
}

/// What comes to be known; there is no event to wait for.
fn eventually<T>(ask: &dyn Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(known) = ask() {
            return known;
        }
        assert!(Instant::now() < deadline, "it never came");
        thread::sleep(Duration::from_millis(10));
    }
}

/// 64-bit numbers are texts in OTLP's JSON.
fn number(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no number: {value}"))
}

const TRACE: u64 = 0x1000;
