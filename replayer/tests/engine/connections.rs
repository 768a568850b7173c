//! Connections as a policy, and what the preflight says of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use captures::Exchange;
use replayer::Options;
use replayer::options::{Connections, Speed};

use crate::support::{Server, Then, answer, capture, options, replay, replay_on, step};

/// Two sessions, one with a connection and one with two that it uses in turn.
fn steps() -> Vec<Exchange> {
    let mut second: Vec<_> = (0..4).map(|n| step(2, 10 * n, 1, "GET /b")).collect();
    for (place, exchange) in second.iter_mut().enumerate() {
        exchange.connection = Some(20 + place as u64 % 2);
    }
    (0..4).map(|n| step(1, 10 * n, 1, "GET /a")).chain(second).collect()
}

/// How many connections each session used, and how many sessions each connection carried.
fn spread(server: &Server) -> (Vec<usize>, usize) {
    let (mut of_session, mut on) = (BTreeMap::<_, BTreeSet<_>>::new(), BTreeMap::<_, BTreeSet<_>>::new());
    for met in server.met() {
        let name = met.header("squall-session").unwrap().to_owned();
        of_session.entry(name.clone()).or_default().insert(met.connection);
        on.entry(met.connection).or_default().insert(name);
    }
    let mut counts: Vec<_> = of_session.values().map(BTreeSet::len).collect();
    counts.sort_unstable();
    (counts, on.values().map(BTreeSet::len).max().unwrap())
}

#[test]
fn recorded_connections_are_kept_as_they_were() {
    let server = Server::plain();
    let report = replay_on(&server, &steps(), |options| options.amplify = 5.0);
    assert_eq!(spread(&server), ([[1; 5], [2; 5]].concat(), 1));
    assert_eq!((report.connections.opened, report.connections.evicted), (15, 0));
}

#[test]
fn a_session_may_have_one_of_its_own() {
    let server = Server::plain();
    let report = replay_on(&server, &steps(), |options| {
        options.amplify = 5.0;
        options.connections = Connections::PerSession;
    });
    assert_eq!(spread(&server), (vec![1; 10], 1));
    assert_eq!((report.connections.opened, report.connections.reused), (10, 30));
}

#[test]
fn all_may_share_a_few() {
    let server = Server::plain();
    let report = replay_on(&server, &steps(), |options| {
        options.amplify = 5.0;
        options.connections = Connections::Shared;
        options.max_connections = Some(2);
    });
    assert_eq!(report.requests.answered, 40);
    assert!(report.connections.opened <= 2 && spread(&server).1 >= 5, "{:?}", report.connections);
}

#[test]
fn connections_come_from_the_addresses_that_were_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(BTreeMap::<IpAddr, usize>::new()));
    let notes = Arc::clone(&seen);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            *notes.lock().unwrap().entry(stream.peer_addr().unwrap().ip()).or_default() += 1;
            std::thread::spawn(move || {
                while let Ok(1..) = std::io::Read::read(&mut stream, &mut [0; 4096]) {
                    answer(&mut stream, "200 OK", "", b"ok");
                }
            });
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&capture(dir.path(), &steps()), &Server::plain());
    options.target = Some(format!("http://{address}"));
    options.connections = Connections::PerSession;
    options.amplify = 20.0;
    options.bind = Some("127.0.1.0/30".parse().unwrap());
    let report = replay(&options);
    assert_eq!((report.requests.answered, report.connections.opened), (160, 40));
    let seen = seen.lock().unwrap();
    let from: Vec<String> = seen.keys().map(ToString::to_string).collect();
    assert!(from.iter().all(|address| address.starts_with("127.0.1.")), "{from:?}");
    assert!((2..=4).contains(&from.len()), "{from:?}");
    // In turn, so each got its share; two threads each take theirs.
    let (least, most) = (seen.values().min().unwrap(), seen.values().max().unwrap());
    assert!(most - least <= 20, "{seen:?}");
}

#[test]
fn more_sockets_than_there_may_be_are_refused_with_what_to_do() {
    let server = Server::plain();
    let dir = tempfile::tempdir().unwrap();
    // All alive at once for a minute, each with a connection of its own.
    let steps = [step(1, 0, 10, "GET /a"), step(1, 60_000, 10, "GET /b")];
    let options = Options {
        speed: Speed::Times(1.0),
        amplify: 5_000_000.0,
        connections: Connections::PerSession,
        ..options(&capture(dir.path(), &steps), &server)
    };
    for outcome in [replayer::preview(&options).err(), replayer::replay(&options, &mut |_| {}).err()] {
        let err = outcome.expect("it was not refused");
        let words = err.to_string();
        assert_eq!(err.exit_code(), 104, "{words}");
        assert!(words.contains("this plan does not fit this machine"), "{words}");
        assert!(words.contains("ulimit -n") && words.contains("--connections shared"), "{words}");
    }
    assert!(server.met().is_empty());
}

#[test]
fn a_preview_tells_need_and_have() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::plain();
    let options = Options { amplify: 10.0, ..options(&capture(dir.path(), &steps()), &server) };
    let table = replayer::preview(&options).unwrap().preflight;
    for word in ["sockets", "ports", "memory", "threads", "open files", " of ", "ok"] {
        assert!(table.contains(word), "no {word} in\n{table}");
    }
    assert!(server.met().is_empty(), "a preview sends nothing");
}

#[test]
fn a_connection_that_the_server_ends_is_opened_anew_for_the_session() {
    let server = Server::start(|met, stream| {
        answer(stream, "200 OK", "Connection: close\r\n", b"ok");
        if met.target == "/a" { Then::Close } else { Then::Keep }
    });
    let report = replay_on(&server, &steps(), |options| {
        options.connections = Connections::PerSession;
        options.timeout = Duration::from_secs(20);
    });
    assert_eq!((report.requests.answered, report.connections.opened), (8, 8));
}
