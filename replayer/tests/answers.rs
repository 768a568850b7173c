//! Answers of every shape, and peers that misbehave: each ends in the right class, with bounded memory.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use replayer::analysis::Explanation;
use replayer::options::Speed;
use support::{Server, Then, answer, replay_on, step};

/// Sends these bytes for each request, then does that.
fn raw(bytes: &'static [u8], then: Then) -> Server {
    Server::start(move |_, stream| {
        let _ = stream.write_all(bytes);
        std::thread::sleep(Duration::from_millis(if then == Then::Reset { 50 } else { 0 }));
        then
    })
}

fn two() -> [captures::Exchange; 2] {
    [step(1, 0, 1, "GET /a"), step(1, 5, 1, "GET /b")]
}

#[test]
fn every_kind_of_body_is_an_answer() {
    let check = |bytes: &'static [u8], then, opened| {
        let report = replay_on(&raw(bytes, then), &two(), |_| {});
        let words = String::from_utf8_lossy(bytes);
        assert_eq!(
            (report.requests.answered, report.connections.opened),
            (2, opened),
            "{words}: {report:#?}"
        );
        assert_eq!(report.exit_code, 0, "{words}");
    };
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Then::Keep, 1);
    check(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Then::Keep, 1);
    check(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", Then::Keep, 1);
    check(b"HTTP/1.1 200 OK\r\n\r\nuntil the end", Then::Close, 2);
    check(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Then::Close, 2);
    check(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", Then::Close, 2);
}

#[test]
fn misbehaviour_has_a_class() {
    let check = |bytes: &'static [u8], then, class: &str| {
        let report =
            replay_on(&raw(bytes, then), &two(), |options| options.timeout = Duration::from_millis(400));
        let words = String::from_utf8_lossy(bytes);
        assert_eq!(report.requests.failed[class], 2, "{words}: {report:#?}");
        assert_eq!((report.requests.answered, report.exit_code), (0, 99), "{words}");
        assert_eq!(report.reason, "nothing was answered");
    };
    check(b"", Then::Close, "reset");
    check(b"", Then::Reset, "reset");
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut", Then::Close, "truncated");
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut", Then::Reset, "reset");
    check(b"HTTP/1.1 20", Then::Close, "truncated");
    check(b"SSH-2.0-OpenSSH_9.2\r\n", Then::Keep, "protocol");
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Then::Keep, "protocol");
    check(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", Then::Keep, "protocol");
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nslow", Then::Keep, "timeout");
}

#[test]
fn a_peer_that_never_answers_ends_in_a_timeout() {
    let server = Server::start(|_, _| {
        std::thread::sleep(Duration::from_secs(20));
        Then::Close
    });
    let report = replay_on(&server, &two(), |options| options.timeout = Duration::from_millis(200));
    assert_eq!((report.requests.failed["timeout"], report.exit_code), (2, 99));
}

#[test]
fn nobody_at_home_is_a_failed_connection() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut server = Server::plain();
    server.address = closed.local_addr().unwrap();
    drop(closed);
    let report = replay_on(&server, &two(), |options| options.amplify = 50.0);
    assert_eq!((report.requests.failed["connect"], report.requests.sent, report.exit_code), (100, 100, 99));
    assert_eq!((report.failures.network, report.failures.total), (100, 100));
}

#[test]
fn an_endless_head_and_a_gigabyte_stay_within_memory() {
    let server = Server::start(|met, stream| {
        if met.target == "/a" {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
            while stream.write_all(format!("X: {}\r\n", "y".repeat(8000)).as_bytes()).is_ok() {}
            return Then::Close;
        }
        let block = vec![b'x'; 1 << 20];
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n");
        for _ in 0..1024 {
            if stream.write_all(&block).is_err() {
                break;
            }
        }
        Then::Keep
    });
    let report = replay_on(&server, &two(), |options| options.timeout = Duration::from_secs(60));
    assert_eq!((report.requests.failed["protocol"], report.requests.answered), (1, 1));
    assert!(report.requests.bytes_in > 1 << 30);
    assert!(report.generator.rss_peak < 300 << 20, "{}", report.generator.rss_peak);
}

#[test]
fn a_server_that_closes_idle_connections_costs_nothing() {
    let server = Server::start(|_, stream| {
        answer(stream, "200 OK", "", b"ok");
        Then::Close // without saying so: the next request finds the connection closed
    });
    let steps = [step(1, 0, 1, "GET /a"), step(1, 150, 1, "GET /b")];
    let report = replay_on(&server, &steps, |options| options.speed = Speed::Times(1.0));
    assert_eq!((report.requests.answered, report.connections.opened), (2, 2));
}

#[test]
fn failures_are_told_apart() {
    let server = Server::start(|met, stream| {
        let (status, headers) = match met.target.as_str() {
            "/injected" => ("503 Service Unavailable", "squall-fault: payday, slow\r\n"),
            "/slow" => ("200 OK", "squall-fault: slow\r\n"),
            "/proxy" => ("502 Bad Gateway", "squall-error: upstream-unreachable\r\n"),
            "/own" => ("500 Oops", ""),
            "/limit" => ("429 Too Many", ""),
            "/gone" => ("404 Not Found", ""),
            _ => return Then::Close,
        };
        answer(stream, status, headers, b"x");
        Then::Keep
    });
    let targets = ["/injected", "/slow", "/proxy", "/own", "/limit", "/gone", "/reset"];
    let steps: Vec<_> = targets.iter().zip(0..).map(|(t, i)| step(i, i, 1, &format!("GET {t}"))).collect();
    let report =
        replay_on(&server, &steps, |options| options.thresholds = vec!["errors<70%".parse().unwrap()]);
    let failures = &report.failures;
    let parts = (failures.injected, failures.origin, failures.network, failures.generator, failures.unknown);
    assert_eq!((failures.total, parts), (5, (1, 2, 2, 0, 0)));
    assert_eq!((report.requests.injected["payday"], report.requests.injected["slow"]), (1, 2));
    assert_eq!((report.requests.proxy_errors, report.requests.mismatched), (1, 3));
    assert!((report.thresholds[0].value.unwrap() - 5.0 / 7.0).abs() < 1e-9 && !report.thresholds[0].ok);
    assert_eq!(report.exit_code, 99);
    let text = report.text();
    let first = text.lines().next().unwrap();
    assert!(first.contains("5 of 7 requests") && first.contains("1 (20.0 %) injected"), "{first}");
}

/// Where a rule holds a call behind the target, the proxy may have to answer in the target's place: neither of them is at fault.
#[test]
fn an_answer_of_the_proxy_follows_from_a_rule_behind_the_target() {
    let server = Server::start(|met, stream| {
        let op = u64::from_str_radix(met.header("squall-op").unwrap(), 16).unwrap();
        match met.target == "/pay" && op % 5 < 2 {
            true => answer(
                stream,
                "504 Gateway Timeout",
                "squall-error: upstream-failed\r\nsquall-fault-below: stuck\r\n",
                b"",
            ),
            false => answer(stream, "200 OK", "", b"ok"),
        }
        Then::Keep
    });
    let steps: Vec<_> =
        (0..20).flat_map(|n| [step(n, n, 1, "GET /look"), step(n, n + 2, 1, "POST /pay")]).collect();
    let report = replay_on(&server, &steps, |options| options.amplify = 20.0);
    let analysis = report.analysis.unwrap();
    let [found] = &analysis.findings[..] else { panic!("{analysis:#?}") };
    assert_eq!((found.explanation, found.rule.as_deref()), (Explanation::Downstream, Some("stuck")));
    assert!(found.title.starts_with("where rule stuck touched a call behind it, POST /pay"), "{found:#?}");
    assert_eq!((found.failures, analysis.attribution.downstream), (report.failures.total, found.failures));
}
