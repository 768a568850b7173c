//! A shop that calls payments and search, all of it through one proxy: where a slow p99 comes from is said, the books of all
//! edges balance, and a replay sends what clients sent, not what the shop did.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::kit::{Finished, Replayed, Shopper, VISIT, inspect, run_squall, text};
use crate::support::{Proxy, Shop, http};

/// The slowness that is planted: far beyond what a busy machine does, far below the shop's patience.
const SLOW: &str = "1s";
const SLOW_US: u64 = 1_000_000;
/// Visits that are recorded; the replay makes 20 clones of each.
const VISITS: u64 = 2;
const CLONES: u64 = 20;

/// Payments, search, and a shop that calls both through the edges of a proxy.
struct Chain {
    shop: Shop,
    payments: Shop,
    search: Shop,
    proxy: Proxy,
}

impl Chain {
    /// The shop gets a port first, since proxy and shop need to know each other's.
    fn open(of_shop: &[&str], of_proxy: &[&str]) -> Chain {
        let payments = Shop::open(&["--role", "payments"]);
        let search = Shop::open(&["--role", "search"]);
        let addr = free_port();
        let upstreams = [
            format!("front=http://{addr}"),
            format!("payments={}", payments.url()),
            format!("search={}", search.url()),
        ];
        let listen = ["front=127.0.0.1:0", "payments=127.0.0.1:0", "search=127.0.0.1:0"];
        let edges = listen.iter().zip(&upstreams);
        let edges = edges.flat_map(|(listen, upstream)| ["--listen", listen, "--upstream", upstream]);
        let more = of_proxy.iter().copied();
        let args: Vec<&str> = edges.chain(["--pass-squall-headers"]).chain(more).collect();
        let proxy = Proxy::start(&args);
        let [to_payments, to_search] =
            ["payments", "search"].map(|edge| format!("http://{}", proxy.edge(edge)));
        let called = ["--payments", &to_payments, "--search", &to_search, "--listen", &addr];
        let shop = Shop::with(&called.iter().chain(of_shop).copied().collect::<Vec<_>>());
        Chain { shop, payments, search, proxy }
    }

    /// Visits and searches at the front, as clients make them.
    fn shop_around(&self) {
        for visit in 0..VISITS {
            let mut shopper = Shopper::at(self.proxy.edge("front"));
            shopper.visit(&format!("c{visit}"));
            let found = http::get(self.proxy.edge("front"), "/api/products?q=lamp");
            assert_eq!(found.status, 200);
            assert_eq!(found.json()["products"].as_array().unwrap().len(), 6, "{}", found.text());
        }
    }

    /// A replay of `capture` through the front, 20 times.
    fn replay(&self, capture: &Path) -> Replayed {
        self.replay_part(capture, "1/1")
    }

    /// One shard of it.
    fn replay_part(&self, capture: &Path, shard: &str) -> Replayed {
        let target = format!("http://{}", self.proxy.edge("front"));
        let admin = format!("http://{}", self.proxy.admin());
        let counter = format!("{}/_shop/count", self.shop.url());
        let (amplify, threads) = (format!("{CLONES}x"), "1");
        Replayed::of(
            capture,
            &[
                "--target",
                &target,
                "--proxy",
                &admin,
                "--origin-counter",
                &counter,
                "--amplify",
                &amplify,
                "--threads",
                threads,
                "--within",
                "4s",
                "--no-rehearsal",
                "--shard",
                shard,
            ],
        )
    }
}

/// A port that was free a moment ago.
fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn edge<'a>(run: &'a Replayed, name: &str) -> &'a Value {
    let edges = run.json["edges"].as_array().unwrap_or_else(|| panic!("no edges in {:#}", run.json));
    edges.iter().find(|edge| edge["name"] == name).unwrap()
}

fn n(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

/// The edge that the report names, if any.
fn named(run: &Replayed) -> Option<&str> {
    let edges = run.json["edges"].as_array().unwrap();
    let named: Vec<&str> = edges
        .iter()
        .filter(|edge| edge.get("slow").is_some())
        .map(|edge| edge["name"].as_str().unwrap())
        .collect();
    assert!(named.len() < 2, "{named:?}");
    let said = run.finished.out.contains("the slow p99 comes from");
    assert_eq!(said, !named.is_empty(), "{}", run.finished.out);
    named.first().copied()
}

/// Records a few visits; returns the capture, which is gone with its folder.
fn recorded() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let capture = folder.path().join("chain.zst");
    let chain = Chain::open(&[], &["--record", &text(&capture)]);
    chain.shop_around();
    let clients = VISITS * (VISIT + 1);
    let books = chain.proxy.settled(clients + 2 * VISITS);
    books.expect_balanced();
    assert_eq!((chain.payments.requests(), chain.search.requests()), (VISITS, VISITS));
    let (status, log) = chain.proxy.stop();
    assert!(status.success(), "{log}");
    let inspected = inspect(&capture);
    assert_eq!(inspected["requests"], clients + 2 * VISITS, "both sides of the shop are in it");
    assert_eq!(inspected["edges"][0], serde_json::json!({ "name": "front", "requests": clients }));
    (folder, capture)
}

/// What holds whatever is slow: counts, joins and books.
#[track_caller]
fn expect_joined(chain: &Chain, run: &Replayed) {
    let clients = CLONES * VISITS * (VISIT + 1);
    let calls = CLONES * VISITS;
    assert_eq!(run.n("/plan/skipped/other_edge"), 2 * VISITS, "internal calls are not replayed");
    let front = edge(run, "front");
    assert_eq!((n(&front["seen"]), n(&front["latency"]["count"])), (clients, clients));
    for (name, service) in [("payments", &chain.payments), ("search", &chain.search)] {
        assert_eq!(n(&edge(run, name)["seen"]), calls, "the run's own books know the calls of the shop");
        let call = front["calls"].as_array().unwrap().iter().find(|call| call["edge"] == name).unwrap();
        assert_eq!((n(&call["count"]), service.requests()), (calls, calls));
        assert_eq!(n(&edge(run, name)["unjoined"]), 0);
    }
    chain.proxy.settled(clients + 2 * calls).expect_balanced();
    for words in ["chain", "client (sent to last byte)", "front, calls: 0.11 to payments"] {
        assert!(run.finished.out.contains(words), "{words} is not in\n{}", run.finished.out);
    }
}

#[test]
fn the_edge_that_a_slow_p99_comes_from_is_named() {
    let (_folder, capture) = recorded();
    let rule = format!("POST /charge edge payments delay {SLOW}");
    let slow_payments = Chain::open(&[], &["--fault", &rule]);
    let run = slow_payments.replay(&capture).expect_balanced();
    expect_joined(&slow_payments, &run);
    assert_eq!(named(&run), Some("payments"), "{}", run.finished.out);
    let slow = &edge(&run, "payments")["slow"];
    assert_eq!(slow["route"], "POST /api/checkout");
    assert!(SLOW_US <= n(&slow["p99_us"]) && SLOW_US / 2 <= n(&slow["excess_us"]), "{slow}");
    assert!(SLOW_US <= n(&edge(&run, "payments")["latency"]["p50"]));

    let slow_shop = Chain::open(&["--delay", SLOW], &[]);
    let run = slow_shop.replay(&capture).expect_balanced();
    expect_joined(&slow_shop, &run);
    assert_eq!(named(&run), Some("front"), "{}", run.finished.out);
    assert!(SLOW_US <= n(&edge(&run, "front")["own"]["max"]));
}

/// Without a planted slowness nobody is named; a machine that stood still for so long that the front really was slow is no
/// reason to fail.
#[test]
fn where_nothing_is_slow_no_edge_is_named() {
    let (_folder, capture) = recorded();
    let chain = Chain::open(&[], &[]);
    let run = chain.replay(&capture).expect_balanced();
    expect_joined(&chain, &run);
    let worst = n(&edge(&run, "front")["latency"]["max"]);
    assert!(named(&run).is_none() || 100_000 < worst, "{}", run.finished.out);
}

/// What a rule does to a call behind the shop is no error of the shop's own, although the shop's answer bears no mark of a
/// fault: clones whose calls it spared are served.
#[test]
fn what_a_rule_does_to_calls_is_put_down_to_it() {
    let (_folder, capture) = recorded();
    let chain = Chain::open(&[], &["--fault", "POST /charge edge payments respond 503 40%", "--seed", "7"]);
    let run = chain.replay(&capture);
    let analysis = &run.json["analysis"];
    let first = &analysis["findings"][0];
    let title = first["title"].as_str().unwrap_or_default();
    assert_eq!(
        (&first["explanation"], &first["where"]["status"]),
        (&"downstream".into(), &502.into()),
        "{analysis:#}"
    );
    assert!(title.contains("touched a call behind it, POST /api/checkout fails (502)"), "{title}");
    let lift = &first["lift"];
    assert_eq!((lift["exposed"].as_f64(), lift["control"].as_f64()), (Some(1.0), Some(0.0)), "{first:#}");
    assert_eq!(analysis["attribution"]["origin"], 0, "{analysis:#}");
}

/// Each part has counts and buckets of its own; together they are those of one run.
#[test]
fn the_edges_of_shards_are_merged() {
    let (folder, capture) = recorded();
    let rule = format!("POST /charge edge payments delay {SLOW}");
    let chain = Chain::open(&[], &["--fault", &rule]);
    let parts = ["1/2", "2/2"].map(|shard| chain.replay_part(&capture, shard).expect_balanced());
    let files = [1, 2].map(|part| folder.path().join(format!("{part}.json")));
    for (part, file) in parts.iter().zip(&files) {
        std::fs::write(file, part.json.to_string()).unwrap();
    }
    let json = folder.path().join("whole.json");
    let [one, two] = files.map(|file| text(&file));
    let merged = Finished::of(crate::support::squall(&["merge", &one, &two, "--json", &text(&json)]));
    let whole = Replayed::read(merged, &json);
    let (clients, calls) = (CLONES * VISITS * (VISIT + 1), CLONES * VISITS);
    let names: Vec<&str> =
        whole.json["edges"].as_array().unwrap().iter().map(|edge| edge["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["front", "payments", "search"]);
    for (name, count) in [("front", clients), ("payments", calls), ("search", calls)] {
        let edge = edge(&whole, name);
        for place in ["/seen", "/latency/count", "/own/count", "/upstream/count"] {
            assert_eq!(n(edge.pointer(place).unwrap()), count, "{name}{place}");
        }
        let buckets = edge["latency"]["buckets"].as_array().unwrap();
        assert_eq!(buckets.chunks(2).map(|pair| n(&pair[1])).sum::<u64>(), count);
        let most = parts.iter().map(|part| n(&self::edge(part, name)["latency"]["max"])).max();
        assert_eq!(Some(n(&edge["latency"]["max"])), most);
    }
    let front = edge(&whole, "front");
    for call in front["calls"].as_array().unwrap() {
        let per_request = call["per_request"].as_f64().unwrap() - calls as f64 / clients as f64;
        assert!(n(&call["count"]) == calls && per_request.abs() < 1e-9, "{call}");
    }
    let of_routes: u64 =
        front["routes"].as_array().unwrap().iter().map(|route| n(&route["latency"]["count"])).sum();
    assert_eq!(of_routes, clients);
    assert_eq!(named(&whole), Some("payments"), "the cause is found in the whole: {}", whole.finished.out);
}

/// What the proxy itself says at its end: how long upstreams took, whatever rules added.
#[test]
fn the_proxys_own_books_hold_the_times_of_upstreams() {
    let folder = TempDir::new().unwrap();
    let json = folder.path().join("proxy.json");
    let rule = format!("POST /charge edge payments delay {SLOW}");
    let chain = Chain::open(&[], &["--fault", &rule, "--json", &text(&json)]);
    chain.shop_around();
    let clients = VISITS * (VISIT + 1);
    chain.proxy.settled(clients + 2 * VISITS).expect_balanced();
    let (_, said) = chain.proxy.stop();
    let books: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    for (edge, (name, count)) in books["edges"].as_array().unwrap().iter().zip([
        ("front", clients),
        ("payments", VISITS),
        ("search", VISITS),
    ]) {
        assert_eq!((edge["name"].as_str(), n(&edge["seen"])), (Some(name), count));
        let [upstream, latency] = ["upstream", "latency"].map(|times| &edge[times]);
        assert_eq!((n(&upstream["count"]), n(&latency["count"])), (count, count), "{edge:#}");
        assert!(n(&upstream["p50"]) <= n(&upstream["p99"]) && n(&upstream["p99"]) <= n(&upstream["max"]));
        assert!(said.contains(&format!("edge {name}: {count} answers of the upstream, p50 ")), "{said}");
        if name == "payments" {
            assert!(
                n(&upstream["max"]) + SLOW_US <= n(&latency["max"]),
                "the rule's time is not the upstream's: {edge:#}"
            );
        }
    }
}

/// The proxy cannot read operations where nobody passes them along; a trace that the service continues will do.
#[test]
fn a_trace_joins_what_no_replay_marked() {
    let chain = Chain::open(&[], &[]);
    let front = chain.proxy.edge("front");
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(http::send(front, "GET /api/products?q=oak", &[("traceparent", trace)], b"").status, 200);
    assert_eq!(http::send(front, "GET /api/products?q=oak", &[], b"").status, 200);
    chain.proxy.settled(4).expect_balanced();
    let books = chain.proxy.ask("/books");
    let front = &books["edges"].as_array().unwrap()[0];
    assert_eq!((front["calls"][0]["edge"].as_str(), n(&front["calls"][0]["count"])), (Some("search"), 1));
    assert_eq!(front["routes"][0]["route"], "GET /api/products");
}

#[test]
fn failures_and_silence_behind_the_shop_are_its_own_502_and_504() {
    for (rule, expected) in [("edge search respond 503", 502), ("edge search delay 1m", 504)] {
        let chain = Chain::open(&[], &["--fault", rule]);
        let front = chain.proxy.edge("front");
        assert_eq!(http::get(front, "/api/products?q=oak").status, expected, "{rule}");
        assert_eq!(http::get(front, "/api/products").status, 200, "all of them are the shop's own to tell");
    }
    let refused = run_squall(&["shop", "--role", "search", "--payments", "http://127.0.0.1:1"]);
    refused.expect_words(104, &["only the shop calls others"]);
    let wrong = Finished::of(crate::support::squall(&["shop", "--payments", "https://127.0.0.1:1"]));
    assert!(wrong.err.contains("write http://HOST:PORT"), "{}", wrong.err);
}

/// `--edge` picks another edge, at its own listener.
#[test]
fn another_edge_can_be_replayed_alone() {
    let (_folder, capture) = recorded();
    let chain = Chain::open(&[], &[]);
    let target = format!("http://{}", chain.proxy.edge("payments"));
    let admin = format!("http://{}", chain.proxy.admin());
    let counter = format!("{}/_shop/count", chain.payments.url());
    let through = ["--target", &target, "--proxy", &admin, "--origin-counter", &counter];
    let run = Replayed::of(&capture, &[&["--edge", "payments", "--no-rehearsal"], &through[..]].concat());
    let run = run.expect_balanced();
    assert_eq!((run.n("/requests/sent"), chain.payments.requests()), (VISITS, VISITS));
    assert_eq!((edge(&run, "payments")["seen"].as_u64(), chain.shop.requests()), (Some(VISITS), 0));
    let unknown = Finished::of(crate::support::replay(&["--edge", "payment", &text(&capture)]));
    unknown.expect_words(104, &["front, payments, search"]);
}
