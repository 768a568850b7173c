//! Clones are different users: names, cookies, keys, connections.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use replayer::options::{Connections, Speed};
use support::{Server, Then, answer, replay_on, setting, step, with_body, with_header};

#[test]
fn every_clone_has_a_name_and_every_operation_an_id() {
    let server = Server::plain();
    let steps = [step(0x2a, 0, 1, "GET /a"), step(0x2a, 5, 1, "GET /b"), step(7, 1, 1, "GET /c")];
    let report = replay_on(&server, &steps, |options| options.amplify = 50.0);
    assert_eq!((report.requests.answered, report.sessions.completed), (150, 100));
    let met = server.met();
    let ops: BTreeSet<&str> = met.iter().map(|one| one.header("squall-op").unwrap()).collect();
    let sessions: BTreeSet<&str> = met.iter().map(|one| one.header("squall-session").unwrap()).collect();
    assert_eq!((ops.len(), sessions.len()), (150, 100));
    assert!(ops.iter().all(|op| op.len() == 16 && op.bytes().all(|b| b.is_ascii_hexdigit())));
    assert!(sessions.contains(format!("{}-2a-49", report.run).as_str()), "{sessions:?}");
    assert!(met.iter().all(|one| one.header("squall-attempt") == Some("1")));
    assert!(met.iter().all(|one| one.header("host") == Some(&server.address.to_string())));
}

#[test]
fn the_same_seed_gives_the_same_operations_at_any_thread_count() {
    let steps: Vec<_> =
        (0..20).flat_map(|s| [step(s, s, 1, "GET /a"), step(s, s + 3, 1, "GET /b")]).collect();
    let ops = |threads, seed: &str| {
        let server = Server::plain();
        let report = replay_on(&server, &steps, |options| {
            options.amplify = 3.5;
            options.threads = Some(threads);
            options.seed = seed.to_owned();
        });
        let met = server.met();
        let ops: BTreeSet<String> =
            met.iter().map(|one| one.header("squall-op").unwrap().to_owned()).collect();
        (report.plan_hash, ops)
    };
    assert_eq!(ops(1, "9"), ops(2, "9"));
    assert_ne!(ops(1, "9"), ops(1, "ten"));
}

#[test]
fn cookies_are_those_the_server_set_for_the_clone() {
    let next = AtomicU64::new(0);
    let server = Server::start(move |met, stream| {
        let headers = match met.target.as_str() {
            "/login" => {
                format!("Set-Cookie: sid=s{}; Path=/; HttpOnly\r\n", next.fetch_add(1, Ordering::SeqCst))
            }
            "/logout" => "Set-Cookie: sid=; Path=/; Max-Age=0\r\n".to_owned(),
            _ => String::new(),
        };
        answer(stream, "200 OK", &headers, b"ok");
        Then::Keep
    });
    let steps = [
        setting(step(1, 0, 1, "POST /login"), "sid=pseudonym; Path=/"),
        with_header(step(1, 5, 1, "GET /cart"), "Cookie", "sid=pseudonym; lang=de"),
        with_header(step(1, 10, 1, "POST /logout"), "Cookie", "sid=pseudonym"),
        with_header(step(1, 15, 1, "GET /after"), "Cookie", "sid=pseudonym; lang=de"),
    ];
    replay_on(&server, &steps, |options| options.amplify = 20.0);
    let met = server.met();
    let cookies = |target: &str| {
        let all = met.iter().filter(|one| one.target == target);
        all.map(|one| {
            (one.header("squall-session").unwrap().to_owned(), one.header("cookie").map(str::to_owned))
        })
        .collect::<BTreeMap<_, _>>()
    };
    let (cart, logout, after) = (cookies("/cart"), cookies("/logout"), cookies("/after"));
    let distinct: BTreeSet<_> = cart.values().collect();
    assert_eq!((cart.len(), distinct.len()), (20, 20), "{cart:?}");
    for (session, cookie) in &cart {
        let cookie = cookie.as_deref().unwrap();
        assert!(
            cookie.starts_with('s') && cookie.ends_with("; lang=de") && !cookie.contains("pseudonym"),
            "{cookie}"
        );
        assert_eq!(logout[session].as_deref(), cookie.strip_suffix("; lang=de"));
        assert_eq!(after[session].as_deref(), Some("lang=de"));
    }
}

#[test]
fn keys_are_the_clones_own_and_equal_where_they_were_equal() {
    let server = Server::plain();
    let key = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
    let pay =
        |at| with_body(with_header(step(1, at, 1, "POST /pay"), "Idempotency-Key", key), b"{\"sum\": 1}");
    replay_on(&server, &[pay(0), pay(10)], |options| options.amplify = 30.0);
    let mut by_session: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for met in server.met() {
        assert_eq!(met.body, b"{\"sum\": 1}");
        let session = met.header("squall-session").unwrap().to_owned();
        by_session.entry(session).or_default().push(met.header("idempotency-key").unwrap().to_owned());
    }
    let distinct: BTreeSet<&String> = by_session.values().map(|keys| &keys[0]).collect();
    assert_eq!((by_session.len(), distinct.len()), (30, 30));
    assert!(by_session.values().all(|keys| keys.len() == 2 && keys[0] == keys[1] && keys[0] != key));
}

#[test]
fn recorded_connections_are_each_sessions_own() {
    let server = Server::plain();
    let steps =
        [step(1, 0, 1, "GET /a"), step(1, 5, 1, "GET /b"), step(2, 1, 1, "GET /a"), step(2, 6, 1, "GET /b")];
    let report = replay_on(&server, &steps, |options| options.amplify = 10.0);
    let mut sessions: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for met in server.met() {
        sessions.entry(met.connection).or_default().insert(met.header("squall-session").unwrap().to_owned());
    }
    assert_eq!((sessions.len(), report.connections.opened, report.connections.reused), (20, 20, 20));
    assert!(sessions.values().all(|on_it| on_it.len() == 1));
}

#[test]
fn a_pool_is_shared_and_bounded() {
    let server = Server::plain();
    let steps: Vec<_> =
        (0..50).flat_map(|s| [step(s, s, 1, "GET /a"), step(s, s + 3, 1, "GET /b")]).collect();
    for speed in [Speed::Max, Speed::Times(1.0)] {
        let report = replay_on(&server, &steps, |options| {
            options.amplify = 10.0;
            options.speed = speed;
            options.connections = Connections::Shared;
            options.max_connections = Some(3);
        });
        assert_eq!(report.requests.answered, 1000);
        assert!(report.connections.peak <= 3 && report.connections.opened <= 3, "{:?}", report.connections);
    }
}

#[test]
fn sessions_that_hold_more_connections_than_allowed_still_end() {
    let server = Server::plain();
    // Each needs two connections at different times and keeps the first: without eviction this would stand still.
    let mut steps = Vec::new();
    for session in 0..30_u64 {
        for (place, connection) in [(0, 0), (1, 1), (2, 0), (3, 1)] {
            let mut step = step(session, 20 * place + session, 1, "GET /a");
            step.connection = Some(session * 2 + connection);
            steps.push(step);
        }
    }
    let report = replay_on(&server, &steps, |options| {
        options.speed = Speed::Times(1.0);
        options.max_connections = Some(2);
    });
    assert_eq!(report.requests.answered, 120);
    assert!(report.connections.peak <= 2 && report.connections.evicted > 0);
    assert_eq!((report.exit_code, report.verdict.as_str()), (111, "degraded"));
}

#[test]
fn a_body_that_was_not_recorded_whole_keeps_its_length() {
    let server = Server::plain();
    let mut cut = with_body(step(1, 0, 1, "POST /upload"), b"begin");
    cut.request.body.len = 300_000;
    let mut withheld = step(1, 10, 1, "PUT /blob");
    withheld.request.body.len = 9;
    let big = with_body(step(1, 20, 1, "POST /big"), &vec![b'x'; 3_000_000]);
    let report = replay_on(&server, &[cut, withheld, big], |_| {});
    let met = server.met();
    assert_eq!((met[0].body.len(), &met[0].body[..6], met[1].body.len()), (300_000, &b"begin "[..], 9));
    assert_eq!((met[2].body.len(), report.plan.body_filled), (3_000_000, 2));
    assert!(report.generator.notes.iter().any(|note| note.contains("filled with spaces")));
}
