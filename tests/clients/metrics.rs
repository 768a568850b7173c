//! The metrics of both programs while they are at work: by the conventions, as `promtool` reads them, and as the books say.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::handmade;
use crate::support::prometheus::Scrape;
use crate::support::{DEADLINE, Process, Proxy, Shop, http, replay};
use crate::tools;

/// A shop, a recording proxy with two edges and two rules before it, and a long replay through the proxy.
pub(crate) struct Scene {
    pub(crate) proxy: Proxy,
    pub(crate) replay: SocketAddr,
    replaying: Process,
    _shop: Shop,
    _folder: TempDir,
}

impl Scene {
    /// Everything is under way, and each figure that the dashboard shows has moved.
    pub(crate) fn open() -> Scene {
        let (shop, folder) = (Shop::open(&[]), TempDir::new().unwrap());
        let steps: Vec<handmade::Step<'_>> =
            (0..3000).map(|step| (1 + step % 5, step * 40, 5, "GET /api/products/7", "shop.test")).collect();
        let capture = handmade::capture(folder.path(), &steps);
        let recorded = folder.path().join("again.zst");
        let [to_shop, to_other] = ["shop", "other"].map(|name| format!("{name}={}", shop.url()));
        let proxy = Proxy::start(&[
            "--listen",
            "shop=127.0.0.1:0",
            "--upstream",
            &to_shop,
            "--listen",
            "other=127.0.0.1:0",
            "--upstream",
            &to_other,
            "--record",
            recorded.to_str().unwrap(),
            "--fault",
            "GET /api/** delay 2ms 50%",
            "--fault",
            "GET /api/products/* respond 503 20%",
        ]);
        let mut command = replay(&["--metrics", "0", "--no-rehearsal", "--plain", "--retry", "naive:2"]);
        command.args(["--target", &format!("http://{}", proxy.edge("shop"))]);
        command.args(["--proxy", &format!("http://{}", proxy.admin())]).arg(&capture);
        let replaying = Process::start("replay", command);
        let replay = replaying.wait_for("where its metrics are", |line| {
            line.split_once("metrics on http://")?.1.strip_suffix("/metrics")?.parse().ok()
        });
        let scene = Scene { proxy, replay, replaying, _shop: shop, _folder: folder };
        scene.await_figures();
        scene
    }

    /// What a scrape of the proxy gets, and one of the replay.
    pub(crate) fn scrape(&self) -> [String; 2] {
        [self.proxy.admin(), self.replay].map(|addr| {
            let answer = http::get(addr, "/metrics");
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
            answer.text()
        })
    }

    /// There is no event to wait for: the replay adds its figures up once a second.
    fn await_figures(&self) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let [proxy, replay] = self.scrape().map(|text| Scrape::read(&text));
            let errors = replay.value("squall_replay_errors_total", &[("class", "5xx")]);
            let recorded = proxy.value("squall_proxy_recording_total", &[("result", "recorded")]);
            let delays = proxy.value("squall_proxy_delays_total", &[]);
            if 0.0 < errors && 0.0 < delays && 0.0 <= recorded {
                return;
            }
            assert!(Instant::now() < deadline, "nothing moves: {}", self.replaying.log());
            thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn both_programs_keep_the_conventions_and_tell_what_the_books_tell() {
    let scene = Scene::open();
    for text in scene.scrape() {
        assert_eq!(Scrape::read(&text).problems(), [""; 0], "{text}");
    }
    let [before, replay] = scene.scrape().map(|text| Scrape::read(&text));
    let books = scene.proxy.books();
    let after = Scrape::read(&http::get(scene.proxy.admin(), "/metrics").text());
    for outcome in ["delivered", "short_circuited"] {
        let of = |scrape: &Scrape| scrape.value("squall_proxy_exchanges_total", &[("outcome", outcome)]);
        let told = books.total(outcome) as f64;
        assert!(of(&before) <= told && told <= of(&after), "{outcome}: {told}");
    }
    let injected = |action| after.value("squall_proxy_injected_total", &[("action", action)]);
    assert!(0.0 < injected("delay") && 0.0 < injected("respond"));
    let asked = after.value("squall_proxy_delay_asked_seconds_total", &[]);
    let measured = after.value("squall_proxy_delay_measured_seconds_total", &[]);
    let count = after.value("squall_proxy_delays_total", &[]);
    assert!((asked - count * 0.002).abs() < 1e-9 && asked <= measured, "{count}: {asked} s, {measured} s");
    let edges = after.families["squall_proxy_request_duration_seconds"].samples.iter();
    let counts = edges.filter(|sample| sample.name.ends_with("_count")).map(|sample| &sample.labels["edge"]);
    assert_eq!(counts.collect::<Vec<_>>(), ["other", "shop"], "one family for both edges");
    let [sent, answered] =
        ["sent", "answered"].map(|what| replay.value(&format!("squall_replay_requests_{what}_total"), &[]));
    let classes = replay.value("squall_replay_answers_total", &[]);
    assert!(answered <= sent && classes == answered && 0.0 < answered, "{sent} {answered} {classes}");
    assert!(sent <= after.value("squall_proxy_seen_total", &[]), "the proxy saw all of it");
    let service = replay.value("squall_replay_service_duration_seconds_count", &[]);
    assert_eq!(service, answered, "each answered attempt has a time");
    assert_eq!(replay.value("squall_replay_plan_requests", &[]), 3000.0);
    assert!(0.0 < replay.value("squall_replay_progress_ratio", &[]));
}

#[test]
fn the_linter_sees_what_is_against_the_conventions() {
    let check = |name: &str, kind: &str, sample: &str, words: &str| {
        let text = format!("# HELP {name} Things.\n# TYPE {name} {kind}\n{sample}\n");
        let problems = Scrape::read(&text).problems();
        assert!(problems.iter().any(|problem| problem.contains(words)), "{words}: {problems:?}");
    };
    check("squall_proxy_seen", "counter", "squall_proxy_seen 1", "counters end in _total");
    check("squall_proxy_seen_total", "gauge", "squall_proxy_seen_total 1", "counters end in _total");
    check("seen_total", "counter", "seen_total 1", "begins with the program");
    check("squall_proxy_wait_ms", "gauge", "squall_proxy_wait_ms 1", "base units");
    check("squall_proxy_Wait", "gauge", "squall_proxy_Wait 1", "lower-case");
    check("squall_proxy_a", "untyped", "squall_proxy_a 1", "no type of ours");
    check("squall_proxy_a_total", "counter", "squall_proxy_a_total -1", "is -1");
    let long = format!("squall_proxy_a{{rule=\"{}\"}} 1", "x".repeat(300));
    check("squall_proxy_a", "gauge", &long, "labels");
    let fall =
        "squall_proxy_a_bucket{le=\"1\"} 2\nsquall_proxy_a_bucket{le=\"+Inf\"} 1\nsquall_proxy_a_count 1";
    check("squall_proxy_a", "histogram", fall, "do not add up");
    let sample = "squall_proxy_a{rule=\"x\\\"} 9\\n\\\\\"} 1";
    let text = format!("# HELP squall_proxy_a Things.\n# TYPE squall_proxy_a gauge\n{sample}\n");
    let scrape = Scrape::read(&text);
    assert_eq!(scrape.families["squall_proxy_a"].samples[0].labels["rule"], "x\"} 9\n\\");
}

#[test]
fn promtool_has_nothing_to_say() {
    let Some(promtool) = tools::program("promtool", "prometheus") else { return };
    let scene = Scene::open();
    for text in scene.scrape() {
        let mut command = Command::new(&promtool);
        command
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("it was found before");
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let said = child.wait_with_output().unwrap();
        let words = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        assert!(said.status.success() && words.is_empty(), "{words}\n{text}");
    }
}

#[test]
fn a_replay_answers_what_is_no_scrape_in_words_and_refuses_an_address_that_is_taken() {
    let scene = Scene::open();
    assert_eq!(http::get(scene.replay, "/").status, 404);
    assert_eq!(http::post(scene.replay, "/metrics", b"").status, 405);
    // one that says nothing holds nobody up for long
    let _silent = std::net::TcpStream::connect(scene.replay).unwrap();
    assert_eq!(http::get(scene.replay, "/metrics").status, 200);
    let capture = scene._folder.path().join("capture.zst");
    let taken = scene.replay.to_string();
    let mut second = replay(&["--metrics", &taken, "--target", "http://127.0.0.1:1"]);
    let said = second.arg(capture).output().unwrap();
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(104), "{words}");
    assert!(words.contains(&format!("--metrics {taken}: cannot listen")), "{words}");
}
