//! The flags that shape a replay: connections, rate, time, headers, TLS.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::kit::{Met, Replayed, Server, capture, eventually, text};
use crate::support::{Proxy, Shop};

#[test]
fn recorded_connections_are_each_sessions_own() {
    let (_folder, capture) = recording(6, 4, 5);
    let server = Server::plain();
    let run = Replayed::of(&capture, &["--target", &server.url(), "--connections", "recorded"]);
    let run = run.expect_passed().expect_answered(24);
    assert_eq!(connections(&server.met()), 6);
    assert_eq!((run.n("/connections/opened"), run.n("/connections/reused")), (6, 18));
    let per_session = |met: &Met| (met.header("squall-session").unwrap().to_owned(), met.connection);
    assert_eq!(server.met().iter().map(per_session).collect::<BTreeSet<_>>().len(), 6, "one for each");
}

#[test]
fn shared_connections_are_no_more_than_allowed() {
    let (_folder, capture) = recording(12, 4, 5);
    let server = Server::plain();
    let how = ["--connections", "shared", "--max-connections", "4", "--speed", "max"];
    let run = Replayed::of(&capture, &[&["--target", &server.url()], &how[..]].concat());
    let run = run.expect_code(0).expect_answered(48);
    assert!(connections(&server.met()) <= 4, "{}", connections(&server.met()));
    assert!(run.n("/connections/peak") <= 4);
}

#[test]
fn a_rate_is_never_exceeded() {
    let (_folder, capture) = recording(10, 4, 1);
    let server = Server::plain();
    let begun = Instant::now();
    let how = ["--target", &server.url(), "--speed", "max", "--max-rate", "50/s"];
    let run = Replayed::of(&capture, &how).expect_code(0).expect_answered(40);
    for (place, met) in (0..).zip(server.met()) {
        // measured from before the start, nothing can be too early by chance; two threads may pass each other
        let least = Duration::from_millis(20 * place).saturating_sub(Duration::from_millis(20));
        assert!(met.at - begun >= least, "request {place} came after {:?}", met.at - begun);
    }
    assert!(run.n("/elapsed_us") >= 39 * 20_000, "{}", run.n("/elapsed_us"));
    assert_eq!(run.n("/generator/held_back"), 39);
}

#[test]
fn steps_of_a_session_come_in_order_under_a_rate() {
    let (_folder, capture) = recording(4, 6, 1);
    let server = Server::plain();
    Replayed::of(&capture, &["--target", &server.url(), "--speed", "max", "--max-rate", "200/s"])
        .expect_code(0)
        .expect_answered(24);
    for session in 0..4 {
        let prefix = format!("GET /{session}/");
        let met = server.met();
        let own: Vec<_> =
            met.iter().filter(|met| met.what.starts_with(&prefix)).map(|met| &met.what).collect();
        assert!(own.is_sorted() && own.len() == 6, "{own:?}");
    }
}

#[test]
fn within_a_time_the_recording_goes_faster() {
    let (_folder, capture) = recording(1, 3, 60_000);
    let server = Server::plain();
    let begun = Instant::now();
    let run = Replayed::of(&capture, &["--target", &server.url(), "--within", "400ms"]);
    let run = run.expect_passed().expect_answered(3);
    assert!(
        run.json["plan"]["speed"].as_f64().unwrap() >= 299.0,
        "two minutes in 400 ms: {}",
        run.json["plan"]
    );
    assert!(run.n("/plan/span_us") <= 401_000);
    assert!(begun.elapsed() >= Duration::from_micros(run.n("/plan/span_us")));
}

#[test]
fn what_is_not_due_in_time_is_never_sent() {
    let (_folder, capture) = recording(1, 2, 3_600_000);
    let server = Server::plain();
    let run = Replayed::of(&capture, &["--target", &server.url(), "--duration", "300ms"]).expect_passed();
    let run = run.expect_answered(1).expect_not_off();
    assert_eq!((run.n("/requests/planned"), run.n("/requests/never_sent/duration")), (2, 1));
    assert_eq!(server.met().len(), 1);
}

#[test]
fn headers_of_the_users_own_take_the_place_of_recorded_ones() {
    let (_folder, capture) = recording(1, 2, 1);
    let server = Server::plain();
    let ours = ["-H", "user-agent: ours", "-H", "x-team: storm"];
    Replayed::of(&capture, &[&["--target", &server.url()], &ours[..]].concat())
        .expect_passed()
        .expect_answered(2);
    for met in server.met() {
        let named = |name: &str| met.headers.iter().filter(|(known, _)| known == name).count();
        assert_eq!((met.header("user-agent"), met.header("x-team")), (Some("ours"), Some("storm")));
        assert_eq!((named("user-agent"), named("x-team")), (1, 1));
    }
}

#[test]
fn a_target_behind_tls() {
    let (folder, capture) = recording(3, 4, 5);
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let shop = Shop::open(&[]);
    let proxy = Proxy::before(&shop.url(), &["--tls-cert", &text(&cert), "--tls-key", &text(&key)]);
    let (target, admin) = (format!("https://{}", proxy.addr()), format!("http://{}", proxy.admin()));
    let counter = format!("{}/_shop/count", shop.url());
    let to = ["--target", &target, "--proxy", &admin, "--origin-counter", &counter];
    let run = Replayed::of(&capture, &[&to[..], &["-k", "--no-rehearsal", "--amplify", "4x"]].concat());
    let run = run.expect_passed().expect_answered(48).expect_balanced();
    assert_eq!(run.n("/connections/tls_full") + run.n("/connections/tls_resumed"), 12);
    proxy.expect_delivered(48);

    // nobody vouches for this certificate, so that without -k nothing is sent
    let run = Replayed::of(&capture, &to).expect_code(99);
    assert_eq!(run.n("/requests/failed/tls"), 12, "{:#}", run.json["requests"]);
    eventually("the failed handshakes are over", || (proxy.books().in_flight() == 0).then_some(()));
    assert_eq!(proxy.books().total("seen"), 48);
}

fn connections(met: &[Met]) -> usize {
    met.iter().map(|met| met.connection).collect::<BTreeSet<_>>().len()
}

/// Sessions side by side, with steps that many milliseconds apart.
fn recording(sessions: u64, steps: u64, gap_ms: u64) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let named = |session, step| format!("GET /{session}/{step}");
    let names: Vec<(u64, u64, String)> = (0..sessions)
        .flat_map(|session| (0..steps).map(move |step| (session, step, named(session, step))))
        .collect();
    let steps: Vec<_> = names
        .iter()
        .map(|(session, step, what)| (*session, step * gap_ms, 1, &**what, "shop.test"))
        .collect();
    let capture = capture(folder.path(), &steps);
    (folder, capture)
}
