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

/// The `n`-th request of a trace of its own; its status.
fn traced(addr: SocketAddr, n: u64) -> u16 {
    let answer = http::send(addr, "GET /api/products/7", &[("traceparent", &traceparent(n))], b"");
    answer.status
}

fn traceparent(n: u64) -> String {
    format!("00-{:032x}-{:016x}-01", TRACE + n, n + 1)
}

/// 64-bit numbers are texts in OTLP's JSON.
fn number(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no number: {value}"))
}

const TRACE: u64 = 0x1000;
