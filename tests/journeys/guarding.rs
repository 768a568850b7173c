//! Guards look at the harm that faults do: a rule that harms is lifted, one that does not stays, and the report says so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tempfile::TempDir;

use crate::kit::{Replayed, Server, Then, answer, capture, eventually, run_squall, text};
use crate::support::{Proxy, http};

#[test]
fn a_rule_that_harms_is_lifted_and_one_that_does_not_stays() {
    let (origin, folder) = (impatient(), TempDir::new().unwrap());
    let [rules, books] = ["faults.toml", "books.json"].map(|name| folder.path().join(name));
    std::fs::write(&rules, TWO).unwrap();
    let how = ["--rules", &text(&rules), "--json", &text(&books), "--ci"];
    let mut proxy = Proxy::before(&origin.url(), &how);
    let crowd = Crowd::before(proxy.addr());
    let guard = |proxy: &Proxy, name: &str| -> Value {
        let status = proxy.ask("/status");
        let guards = status["guards"].as_array().unwrap();
        guards.iter().find(|guard| guard["name"] == name).cloned().unwrap()
    };
    eventually("the harm is noticed", || {
        (!guard(&proxy, "patience")["tripped_at_us"].is_null()).then_some(())
    });
    let state = |proxy: &Proxy, id: &str| -> Value {
        let status = proxy.ask("/status");
        let list = status["rules"]["list"].as_array().unwrap();
        list.iter().find(|rule| rule["id"] == id).unwrap()["state"].clone()
    };
    assert_eq!((state(&proxy, "too-slow"), state(&proxy, "slow")), ("lifted".into(), "acting".into()));
    assert_eq!(proxy.ask("/status")["armed"], true, "one rule is lifted, not all");
    // what was under way when it was lifted has its say; then the origin is content
    let settled = |proxy: &Proxy| proxy.books().total("seen");
    let before = settled(&proxy);
    eventually("traffic goes on", || (before + 500 < settled(&proxy)).then_some(()));
    drop(crowd);
    let metrics = http::get(proxy.admin(), "/metrics").text();
    assert!(
        metrics.contains("squall_proxy_guard_trips_total{action=\"lift\",guard=\"patience\"} 1"),
        "{metrics}"
    );
    let shown = run_squall(&["status", &proxy.admin().to_string()]);
    shown.expect_words(
        1,
        &["too-slow [lifted]", "slow [acting]", "guard patience tripped", "guard calm held"],
    );
    proxy.process().wait_for("the log of it", |line| line.contains("guard patience tripped").then_some(()));
    let (ended, said) = proxy.stop();
    assert_eq!(ended.code(), Some(108), "{said}");
    let books: Value = serde_json::from_str(&std::fs::read_to_string(&books).unwrap()).unwrap();
    let [tripped, held] = books["guards"].as_array().unwrap().as_slice() else { panic!("{books:#}") };
    assert_eq!((&tripped["name"], &tripped["action"]), (&"patience".into(), &"lift".into()));
    let n = |name: &str| tripped[name].as_f64().unwrap();
    assert!(n("value") > n("limit") && n("limit") > n("base") && n("samples") >= 20.0, "{tripped}");
    assert_eq!((&held["name"], &held["tripped_at_us"]), (&"calm".into(), &Value::Null));
}

#[test]
fn a_trip_is_in_the_report_of_the_run() {
    let folder = TempDir::new().unwrap();
    let origin = Server::open(|_, stream| {
        let _ = std::io::Write::write_all(stream, b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n");
        Then::Keep
    });
    let rules = folder.path().join("faults.toml");
    std::fs::write(&rules, STEPS).unwrap();
    let proxy = Proxy::before(&origin.url(), &["--rules", &text(&rules)]);
    let steps: Vec<_> = (0..600).map(|n| (n % 20, n * 10, 1, "GET /api/products", "shop.test")).collect();
    let capture = capture(folder.path(), &steps);
    let (target, admin) = (format!("http://{}", proxy.addr()), format!("http://{}", proxy.admin()));
    let how = ["--target", &target, "--proxy", &admin, "--no-rehearsal"];
    let run = Replayed::of(&capture, &how).expect_code(108).expect_not_off();
    assert_eq!(
        (run.n("/requests/sent"), &run.json["verdict"]),
        (600, &"stopped".into()),
        "it ran to its end"
    );
    let guards = run.json["guards"].as_array().unwrap();
    assert!(guards.iter().all(|guard| guard["name"] == "errors" && !guard["tripped_at_us"].is_null()));
    let left: Vec<_> = guards.iter().map(|guard| guard["left"].as_f64().unwrap()).collect();
    assert_eq!(left, [0.5, 0.25, 0.125, 0.0][..left.len()], "{guards:#?}");
    let suppressed = &run.json["rules"][0]["suppressed"];
    assert_ne!(suppressed["stepped_down"], Value::Null, "{suppressed}");
    run.finished.expect_words(108, &["guard      errors tripped", "the proxy's guard errors tripped"]);
}

/// Fails every request that is older than 150 ms, by the client's own stamp.
fn impatient() -> Server {
    Server::open(|met, stream| {
        let sent: u128 = met.header("x-sent-ms").and_then(|sent| sent.parse().ok()).unwrap_or(0);
        if now_ms() < sent + 150 {
            return answer(stream, b"ok");
        }
        let _ = std::io::Write::write_all(stream, b"HTTP/1.1 503 Too Late\r\ncontent-length: 0\r\n\r\n");
        Then::Keep
    })
}

fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

/// Clients that ask and ask, until it is dropped.
struct Crowd {
    over: Arc<AtomicBool>,
    clients: Vec<thread::JoinHandle<()>>,
}

impl Crowd {
    fn before(door: SocketAddr) -> Crowd {
        let over = Arc::<AtomicBool>::default();
        let client = |n: usize| {
            let over = Arc::clone(&over);
            thread::spawn(move || {
                let path = if n.is_multiple_of(4) { "GET /calm" } else { "GET /late" };
                while !over.load(Ordering::Acquire) {
                    http::send(door, path, &[("x-sent-ms", &now_ms().to_string())], b"");
                    thread::sleep(Duration::from_millis(2));
                }
            })
        };
        let clients = (0..16).map(client).collect();
        Crowd { over, clients }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        for client in self.clients.drain(..) {
            assert!(client.join().is_ok() || thread::panicking());
        }
    }
}

const TWO: &str = r#"
version = 1
[guard.patience]
on = "/late"
signal = "error_ratio"
limit = "control + 5%"
window = "2s"
min_samples = 20
[guard.calm]
on = "/calm"
signal = "error_ratio"
limit = "control + 5%"
window = "2s"
min_samples = 20
[[rule]]
id = "too-slow"
on = "/late"
rate = "40%"
delay = "200ms"
guard = "patience"
[[rule]]
id = "slow"
on = "/calm"
rate = "40%"
delay = "5ms"
guard = "calm"
"#;

const STEPS: &str = r#"
version = 1
[guard.errors]
signal = "error_ratio"
limit = "5%"
window = "1s"
min_samples = 20
trip = "step_down"
[[rule]]
id = "slow"
rate = "50%"
delay = "1ms"
guard = "errors"
"#;
