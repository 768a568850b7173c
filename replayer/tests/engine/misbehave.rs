//! Users that differ from the recorded ones: what the origin meets, and that the books hold.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use captures::Exchange;
use replayer::Report;
use replayer::options::{Connections, Options, Speed};

use crate::support::{
    Server, Then, answer, capture, options, replay, replay_on, step, with_body, with_header,
};

fn misbehaving<'a>(kinds: &'a [&'a str]) -> impl FnOnce(&mut Options) + 'a {
    |options| options.misbehaviours = kinds.iter().map(|kind| kind.parse().unwrap()).collect()
}

#[test]
fn a_double_submit_is_one_operation_met_twice() {
    let server = Server::plain();
    let key = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
    let steps = [step(1, 0, 1, "GET /a"), with_header(step(1, 5, 1, "POST /pay"), "Idempotency-Key", key)];
    let report = replay_on(&server, &steps, |options| {
        options.amplify = 10.0;
        misbehaving(&["double-submit 100%"])(options);
    });
    let requests = &report.requests;
    assert_eq!((requests.planned, requests.sent, requests.retries, requests.doubles), (20, 30, 10, 10));
    let met = server.met();
    for session in 0..10 {
        let name = format!("{}-1-{session}", report.run);
        let own = met.iter().filter(|one| one.header("squall-session") == Some(name.as_str()));
        let mut pays: Vec<_> = own.filter(|one| one.target == "/pay").collect();
        pays.sort_by_key(|one| one.header("squall-attempt").unwrap().to_owned());
        let of = |header| pays.iter().map(|one| one.header(header).unwrap()).collect::<Vec<_>>();
        assert_eq!(of("squall-attempt"), ["1", "2"]);
        assert_eq!(
            (of("squall-op")[0], of("idempotency-key")[0]),
            (of("squall-op")[1], of("idempotency-key")[1])
        );
    }
}

#[test]
fn both_of_a_double_submit_are_under_way_at_once() {
    // Each is answered only when the other is there.
    let both = std::sync::Barrier::new(2);
    let server = Server::start(move |_, stream| {
        both.wait();
        answer(stream, "200 OK", "", b"ok");
        Then::Keep
    });
    let report = replay_on(&server, &[step(1, 0, 1, "POST /pay")], misbehaving(&["double-submit 100%"]));
    assert_eq!((report.requests.answered, report.requests.doubles), (2, 1));
}

#[test]
fn who_abandons_closes_the_connection_and_does_not_come_back() {
    let (sender, closed) = mpsc::channel();
    let sender = Mutex::new(sender);
    let server = Server::start(move |_, stream| {
        // Never answers: ends when the user has left.
        let left = matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_));
        sender.lock().unwrap().send(left).unwrap();
        Then::Close
    });
    let steps = [step(1, 0, 1, "GET /a"), step(1, 5, 1, "GET /b"), step(1, 10, 1, "GET /c")];
    let report = replay_on(&server, &steps, |options| {
        options.amplify = 4.0;
        misbehaving(&["abandon 100% after 20ms"])(options);
    });
    for _ in 0..4 {
        assert!(closed.recv_timeout(Duration::from_secs(20)).unwrap(), "the connection was closed");
    }
    let requests = &report.requests;
    assert_eq!((requests.sent, requests.failed["aborted"], requests.never_sent["abandoned"]), (4, 4, 8));
    assert_eq!((report.sessions.abandoned, report.sessions.completed), (4, 0), "{:?}", report.sessions);
    assert!(server.met().iter().all(|one| one.target == "/a"));
}

#[test]
fn who_is_answered_in_time_stays() {
    let report =
        replay_on(&Server::plain(), &[step(1, 0, 1, "GET /a"), step(1, 5, 1, "GET /b")], |options| {
            misbehaving(&["abandon 100% after 10s"])(options);
        });
    assert_eq!((report.requests.answered, report.sessions.abandoned), (2, 0));
}

#[test]
fn a_slow_reader_holds_the_origin_up_and_nobody_else() {
    let body = vec![b'x'; 4 << 20]; // more than a socket's buffers take
    let rest = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&rest);
    let server = Server::start(move |met, stream| {
        if met.target != "/big" {
            answer(stream, "200 OK", "", b"ok");
            return Then::Keep;
        }
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        for piece in body.chunks(1 << 16) {
            if stream.write_all(piece).is_err() {
                return Then::Close;
            }
            count.fetch_add(piece.len() as u64, Ordering::SeqCst);
        }
        Then::Keep
    });
    let slow: Report = replay_on(&server, &[step(1, 0, 1, "GET /big")], |options| {
        options.timeout = Duration::from_millis(700);
        misbehaving(&["slow-reader 100% 64KB/s"])(options);
    });
    assert_eq!((slow.requests.sent, slow.requests.failed["timeout"]), (1, 1), "{:?}", slow.requests);
    let taken = rest.load(Ordering::SeqCst);
    assert!(taken < 4 << 20, "the origin could write all of it");
    assert!(slow.requests.bytes_in < 256 << 10, "{} bytes were read", slow.requests.bytes_in);
    let quick = replay_on(&server, &[step(1, 0, 1, "GET /big")], |_| {});
    assert_eq!((quick.requests.answered, quick.requests.bytes_in > 4 << 20), (1, true));
}

#[test]
fn a_slow_link_sends_no_faster_than_it_can() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, read) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let begun = Instant::now();
        let (mut bytes, mut all) = (vec![0; 1 << 16], 0);
        while all < 64_000 {
            let Ok(count @ 1..) = stream.read(&mut bytes) else { break };
            all += count;
        }
        sender.send((all, begun.elapsed())).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        while let Ok(1..) = stream.read(&mut bytes) {}
    });
    let dir = tempfile::tempdir().unwrap();
    let steps: [Exchange; 1] = [with_body(step(1, 0, 1, "POST /upload"), &vec![b'x'; 64_000])];
    let mut options = options(&capture(dir.path(), &steps), &Server::plain());
    options.target = Some(format!("http://{address}"));
    options.misbehaviours = vec!["slow-link 100% 64KB/s".parse().unwrap()];
    let report = replay(&options);
    let (all, took) = read.recv().unwrap();
    assert_eq!((report.requests.answered, all >= 64_000), (1, true), "{:?}", report.requests);
    // A second's worth of bytes; what the link takes at once is a twentieth of that.
    assert!(took >= Duration::from_millis(800), "it took {took:?}");
}

#[test]
fn all_at_once_and_the_books_hold() {
    let server = Server::plain();
    let steps: Vec<_> = (0..50)
        .flat_map(|s| {
            let pays = with_body(step(s, 3 * s + 5, 20, "POST /pay"), b"sum=1");
            [step(s, 3 * s, 20, "GET /a"), pays, step(s, 3 * s + 40, 20, "GET /b")]
        })
        .collect();
    let kinds =
        ["slow-link 20% 64KB/s", "slow-reader 20% 4KB/s", "double-submit 50%", "abandon 30% after 1ms"];
    for connections in [Connections::Recorded, Connections::Shared] {
        let report = replay_on(&server, &steps, |options| {
            options.amplify = 5.0;
            options.speed = Speed::Times(1.0);
            options.connections = connections;
            options.retry = "backoff:2,1ms..2ms".parse().unwrap();
            misbehaving(&kinds)(options);
        });
        assert_eq!(report.sessions.started, 250);
        let sessions = &report.sessions;
        assert_eq!(sessions.started, sessions.completed + sessions.aborted, "{sessions:?}");
        assert!(sessions.aborted == sessions.abandoned && sessions.abandoned > 0, "{sessions:?}");
        assert!(report.requests.doubles > 0 && report.books.balanced, "{:?}", report.requests);
    }
}
