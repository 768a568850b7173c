//! The join with a proxy's books, against a proxy that is played by two small servers.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use captures::opset::OpSet;
use replayer::Report;
use replayer::report::Report as FullReport;
use serde_json::{Value, json};
use support::{Server, Then, answer, replay_on, step};

/// A proxy of which every fifth exchange is dropped by rule `payday` and every seventh is answered by it.
struct FakeProxy {
    edge: Server,
    admin: Server,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    ops: Vec<u64>,
    dropped: Vec<u64>,
    short: u64,
    forwarded: u64,
    /// Exchanges that the books forget, to make a row off.
    forget: u64,
    lifted: Option<&'static str>,
    lift_after: Option<usize>,
    rate: f64,
    calls: Vec<String>,
    in_flight_polls: u64,
    /// The edge of the run stands first: nothing else tells it apart when the target is not its listener.
    front_first: bool,
    /// The proxy ended before its books were read.
    books_gone: bool,
    /// The rule did not end what it dropped: it held it as the connection went.
    left: bool,
}

impl FakeProxy {
    fn start(seen: Seen) -> FakeProxy {
        let seen = Arc::new(Mutex::new(seen));
        let noted = Arc::clone(&seen);
        let edge = Server::start(move |met, stream| {
            let op = u64::from_str_radix(met.header("squall-op").unwrap(), 16).unwrap();
            let mut seen = noted.lock().unwrap();
            seen.ops.push(op);
            if seen.lift_after == Some(seen.ops.len()) {
                seen.lifted = Some("max_affected 20 % was exceeded");
            }
            if seen.ops.len().is_multiple_of(5) {
                seen.dropped.push(op);
                return Then::Reset;
            }
            let short = seen.ops.len().is_multiple_of(7);
            let (status, header) =
                if short { ("503 No", "squall-fault: payday\r\n") } else { ("200 OK", "") };
            *(if short { &mut seen.short } else { &mut seen.forwarded }) += 1;
            drop(seen);
            answer(stream, status, header, b"ok");
            Then::Keep
        });
        let (noted, listen) = (Arc::clone(&seen), edge.address.to_string());
        let admin = Server::start(move |met, stream| {
            let mut seen = noted.lock().unwrap();
            seen.calls.push(format!("{} {}", met.method, met.target));
            let body = admin_answer(&mut seen, &met.method, &met.target, &listen, &met.body);
            let lost = if met.target.ends_with("/ended") { "squall-lost: 0\r\n" } else { "" };
            match body {
                Some(body) => answer(stream, "200 OK", lost, &body),
                None => answer(stream, "404 Not Found", "", b""),
            }
            Then::Close
        });
        FakeProxy { edge, admin, seen }
    }

    fn replay(&self, requests: u64, change: impl FnOnce(&mut replayer::Options)) -> Report {
        let steps: Vec<_> = (0..requests).map(|i| step(i, i, 1, "GET /a")).collect();
        replay_on(&self.edge, &steps, |options| {
            options.proxy = Some(self.admin.url());
            options.threads = Some(1);
            change(options);
        })
    }
}

fn admin_answer(seen: &mut Seen, method: &str, target: &str, listen: &str, body: &[u8]) -> Option<Vec<u8>> {
    let text = |value: Value| Some(value.to_string().into_bytes());
    match (method, target.split('?').next()?) {
        ("GET", "/status") => text(json!({
            "version": "0.1.0", "armed": true, "lifted": seen.lifted, "rules": { "count": 1 },
            "edges": [ { "name": "other", "listen": "127.0.0.1:1" }, { "name": "front", "listen": listen } ],
        })),
        ("POST", "/runs") => {
            let announced: Value = serde_json::from_slice(body).unwrap();
            assert_eq!(announced["run"].as_str().unwrap().len(), 8);
            assert_eq!(announced["plan_hash"].as_str().unwrap().len(), 16);
            text(json!({ "run": announced["run"], "started_us": 1 }))
        }
        ("GET", "/books") if seen.books_gone => None,
        ("GET", "/books") => {
            let all = seen.ops.len() as u64;
            seen.in_flight_polls = seen.in_flight_polls.saturating_sub(1);
            let mut edges = vec![
                json!({ "name": "other", "seen": 12345 }),
                json!({
                    "name": "front", "seen": all, "forwarded": seen.forwarded - seen.forget,
                    "short_circuited": { "payday": seen.short }, "dropped": { "payday": seen.dropped.len() },
                    "delivered": seen.forwarded - seen.forget, "upstream_attempts": seen.forwarded - seen.forget,
                    "not_recorded": { "replayed": all },
                }),
            ];
            if seen.front_first {
                edges.reverse();
            }
            text(json!({
                "in_flight": seen.in_flight_polls, "ledger_lost": 0, "lifted": seen.lifted, "edges": edges,
                "rules": [ { "id": "payday", "eligible": all, "selected": all / 3, "suppressed": { "window": 1 },
                    "applied": all / 3, "asked_rate": seen.rate, "realised_rate": 0.33, "by": "request" },
                    { "id": "never", "asked_rate": 0.5 } ],
            }))
        }
        ("GET", path) if path.ends_with("/seen") => {
            let mut set = OpSet::new();
            seen.ops.iter().for_each(|op| set.insert(*op, 1));
            Some(set.to_bytes())
        }
        ("GET", path) if path.ends_with("/ended") => {
            let line = |op| {
                let op = format!("{op:016x}");
                json!({ "op": op, "attempt": 1, "rule": "payday", "action": "reset", "left": seen.left })
            };
            let all = seen.dropped.iter().chain(&[1, 2, 3]).map(|op| format!("{}\n", line(op)));
            Some(all.collect::<String>().into_bytes())
        }
        ("DELETE", _) => text(json!({})),
        _ => None,
    }
}

fn row<'a>(report: &'a FullReport, start: &str) -> (Option<u64>, Option<u64>, &'a Value) {
    static STATES: std::sync::OnceLock<[Value; 3]> = std::sync::OnceLock::new();
    let states = STATES.get_or_init(|| ["balanced", "off", "unknown"].map(Value::from));
    let row = report.books.rows.iter().find(|row| row.row.starts_with(start)).unwrap();
    let state = serde_json::to_value(row.state).unwrap();
    (row.left, row.right, states.iter().find(|known| **known == state).unwrap())
}

#[test]
fn every_row_balances_and_failures_are_the_rules() {
    let proxy = FakeProxy::start(Seen { rate: 0.33, in_flight_polls: 3, ..Seen::default() });
    let counted = AtomicU64::new(0);
    let state = Arc::clone(&proxy.seen);
    let counter = Server::start(move |_, stream| {
        let before = counted.fetch_add(1, Ordering::SeqCst) == 0;
        let count = if before { 0 } else { state.lock().unwrap().forwarded };
        answer(stream, "200 OK", "", format!("{{\"requests\": {}}}", 1000 + count).as_bytes());
        Then::Close
    });
    let report =
        proxy.replay(210, |options| options.origin_counter = Some(format!("{}/_count", counter.url())));
    for start in
        ["planned", "sent = a", "sent = s", "seen = f", "upstream", "forwarded", "origin", "seen = r"]
    {
        let (left, right, state) = row(&report, start);
        assert_eq!(state, "balanced", "{start}: {left:?} {right:?}");
    }
    assert_eq!((report.exit_code, report.books.balanced), (0, true), "{}", report.reason);
    let failures = &report.failures;
    assert_eq!((failures.total, failures.injected, failures.network), (210 / 5 + 24, 210 / 5 + 24, 0));
    assert_eq!(report.requests.injected["payday"], 210 / 5 + 24);
    assert_eq!((report.rules.len(), report.rules[0].suppressed["window"]), (2, 1));
    assert!(report.text().contains("never (never matched)"));
    let calls = proxy.seen.lock().unwrap().calls.clone();
    assert_eq!((calls[0].as_str(), calls[1].as_str()), ("GET /status", "POST /runs"));
    assert_eq!(calls.last().unwrap(), &format!("DELETE /runs/{}", report.run));
}

#[test]
fn a_rule_that_held_an_attempt_has_not_made_its_reset() {
    let proxy = FakeProxy::start(Seen { rate: 0.33, left: true, ..Seen::default() });
    let failures = proxy.replay(210, |_| {}).failures;
    assert_eq!((failures.total, failures.injected, failures.network), (210 / 5 + 24, 24, 210 / 5));
}

#[test]
fn one_exchange_that_the_proxy_forgot_makes_the_run_invalid() {
    let proxy = FakeProxy::start(Seen { rate: 0.33, forget: 1, ..Seen::default() });
    let report = proxy.replay(100, |_| {});
    assert_eq!(row(&report, "seen = f").2, "off");
    assert_eq!((report.exit_code, report.verdict.as_str()), (113, "invalid"));
}

#[test]
fn a_rule_that_missed_its_target_makes_the_run_invalid() {
    let proxy = FakeProxy::start(Seen { rate: 0.9, ..Seen::default() });
    let report = proxy.replay(100, |_| {});
    assert_eq!(report.exit_code, 113);
    assert!(report.reason.contains("payday asks for 90.000 % and got 33.000 %"), "{}", report.reason);
}

#[test]
fn what_was_lost_before_the_proxy_is_found_by_operation() {
    let proxy = FakeProxy::start(Seen { rate: 0.33, front_first: true, ..Seen::default() });
    let wall = Server::start({
        let edge = proxy.edge.address;
        let passed = AtomicU64::new(0);
        move |met, stream| {
            if passed.fetch_add(1, Ordering::SeqCst) % 10 == 9 {
                return Then::Reset; // the network before the proxy eats every tenth
            }
            let mut onward = std::net::TcpStream::connect(edge).unwrap();
            let op = met.header("squall-op").unwrap();
            write!(onward, "GET /a HTTP/1.1\r\nsquall-op: {op}\r\n\r\n").unwrap();
            let mut bytes = [0; 4096];
            let count = std::io::Read::read(&mut onward, &mut bytes).unwrap_or(0);
            if count == 0 {
                return Then::Reset;
            }
            let _ = stream.write_all(&bytes[..count]);
            Then::Keep
        }
    });
    let report = proxy.replay(100, |options| options.target = Some(wall.url()));
    let (left, right, state) = row(&report, "sent = s");
    assert_eq!((left, right, state.as_str()), (Some(100), Some(100), Some("balanced")));
    assert_eq!(report.books.rows[2].note.as_deref(), Some("10 lost before the proxy"));
    assert!(report.failures.network >= 10, "{:?}", report.failures);
}

#[test]
fn a_lifted_cap_stops_the_run() {
    let proxy = FakeProxy::start(Seen { rate: 0.33, lift_after: Some(20), ..Seen::default() });
    let report = proxy.replay(10, |options| {
        options.amplify = 1000.0;
        options.max_rate = Some(100.0);
        options.timeout = Duration::from_secs(5);
    });
    assert_eq!((report.exit_code, report.verdict.as_str()), (108, "stopped"), "{}", report.reason);
    assert!(report.reason.contains("max_affected"), "{}", report.reason);
    assert!(report.requests.never_sent["guard"] > 9000);
}

#[test]
fn without_a_proxy_its_rows_are_unknown() {
    let server = Server::plain();
    let report = replay_on(&server, &[step(1, 0, 1, "GET /a")], |_| {});
    let states: Vec<_> =
        report.books.rows.iter().map(|row| serde_json::to_value(row.state).unwrap()).collect();
    assert_eq!(states[..2], ["balanced", "balanced"].map(Value::from));
    assert!(states[2..].iter().all(|state| state == "unknown"), "{states:?}");
    assert_eq!(report.exit_code, 0);
}

#[test]
fn a_proxy_that_took_the_run_owes_its_books() {
    let proxy = FakeProxy::start(Seen { books_gone: true, ..Seen::default() });
    let report = proxy.replay(20, |_| {});
    assert_eq!((report.exit_code, report.verdict.as_str()), (111, "degraded"), "{}", report.reason);
    assert!(report.reason.contains("did not give its books"), "{}", report.reason);
    assert!(report.books.balanced);
    assert!(report.generator.notes.iter().any(|note| note.contains("cannot be read")));
}
