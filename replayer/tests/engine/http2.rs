//! HTTP/2 in good times: streams within the peer's limit, bodies, cookies, names, ends of connections, TLS.

use std::collections::BTreeSet;
use std::time::Duration;

use captures::Exchange;
use h2::Reason;
use replayer::Report;
use replayer::options::{Connections, Http, Options, Retry};

use crate::support::{Server, Then, answer, capture, options, replay, setting, step, with_body, with_header};
use crate::two::{Reply, Setup, Two, fine, tls};

/// Replays over HTTP/2 with one thread and at most one connection, unless changed.
fn replay_two(url: String, exchanges: &[Exchange], change: impl FnOnce(&mut Options)) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&capture(dir.path(), exchanges), &Server::plain());
    options.target = Some(url);
    options.http = Http::Two;
    options.insecure = true;
    options.threads = Some(1);
    options.max_connections = Some(1);
    options.connections = Connections::Shared;
    change(&mut options);
    replay(&options)
}

fn gets(count: u64) -> Vec<Exchange> {
    (0..count).map(|session| step(session, session, 1, "GET /a")).collect()
}

#[test]
fn requests_arrive_whole_and_by_name() {
    let two = Two::plain();
    let big = vec![b'x'; 300_000]; // more than a window and many frames
    let steps = [
        with_header(step(0x2a, 0, 1, "GET /a?b=c"), "Accept", "text/html"),
        with_body(step(0x2a, 5, 1, "POST /b"), &big),
    ];
    let report = replay_two(two.url(), &steps, |options| options.amplify = 3.0);
    assert_eq!((report.requests.answered, report.connections.opened), (6, 1), "{report:#?}");
    let met = two.met();
    let operations: BTreeSet<_> = met.iter().map(|one| one.header("squall-op").unwrap().to_owned()).collect();
    let sessions: BTreeSet<_> =
        met.iter().map(|one| one.header("squall-session").unwrap().to_owned()).collect();
    assert_eq!((operations.len(), sessions.len()), (6, 3));
    assert!(sessions.contains(&format!("{}-2a-2", report.run)), "{sessions:?}");
    for one in &met {
        assert_eq!(one.header("squall-attempt"), Some("1"));
        let own = format!("localhost:{}", two.address.port());
        assert_eq!(one.request.uri().authority().unwrap().as_str(), own);
        match one.path() {
            "/a" => {
                assert_eq!(
                    (one.request.uri().query(), one.header("accept")),
                    (Some("b=c"), Some("text/html"))
                );
                assert!(one.body.is_empty());
            }
            _ => assert!(one.body == big, "{} bytes of the body came", one.body.len()),
        }
    }
}

#[test]
fn what_was_recorded_over_http2_is_replayed_over_it() {
    let two = Two::plain();
    let mut steps = gets(10);
    for step in &mut steps {
        step.protocol = captures::exchange::Protocol::Http2;
    }
    let report = replay_two(two.url(), &steps, |options| options.http = Http::Recorded);
    assert_eq!((report.requests.answered, two.met().len()), (10, 10), "{:?}", report.requests);
}

#[test]
fn bodies_fill_windows_of_any_size() {
    let big: Vec<u8> = (0..5_000_000_u32).map(|n| n as u8).collect();
    let mut filled = with_body(step(2, 5, 1, "POST /filled"), b"begin");
    filled.request.body.len = 4_000_000;
    let steps = [with_body(step(1, 0, 1, "POST /big"), &big), filled];
    for window in [1 << 12, 1 << 16, 1 << 26] {
        for secure in [false, true] {
            let tls = secure.then(|| tls(&[b"h2"]));
            let two = Two::open(Setup { window: Some(window), tls, ..Setup::default() }, |_| fine());
            let report = replay_two(two.url(), &steps, |_| {});
            assert_eq!(report.requests.answered, 2, "{window} {secure}: {:?}", report.requests);
            for met in two.met() {
                match met.path() {
                    "/big" => assert!(met.body == big, "{window}: {} bytes came", met.body.len()),
                    _ => assert_eq!((met.body.len(), &met.body[..6]), (4_000_000, &b"begin "[..])),
                }
            }
        }
    }
}

#[test]
fn an_answer_that_comes_before_the_body_is_over_frees_its_place() {
    let two = Two::open(Setup { window: Some(1 << 12), ..Setup::default() }, |_| Reply::Early);
    let steps: Vec<_> =
        (0..20).map(|n| with_body(step(n, n, 1, "POST /big"), &vec![b'x'; 1_000_000])).collect();
    let report = replay_two(two.url(), &steps, |options| options.streams = 2);
    assert_eq!((report.requests.answered, report.connections.opened), (20, 1), "{:?}", report.requests);
}

#[test]
fn cookies_are_the_clones_own() {
    let two = Two::open(Setup::default(), |met| {
        let name = met.header("squall-session").unwrap().to_owned();
        match met.path() {
            "/login" => Reply::Fine(vec![("set-cookie", format!("sid={name}; Path=/"))], Vec::new()),
            _ => fine(),
        }
    });
    let steps = [
        setting(step(1, 0, 1, "POST /login"), "sid=recorded; Path=/"),
        with_header(step(1, 5, 1, "GET /cart"), "Cookie", "sid=recorded; lang=de"),
    ];
    replay_two(two.url(), &steps, |options| options.amplify = 20.0);
    let cart: Vec<_> = two.met().into_iter().filter(|one| one.path() == "/cart").collect();
    assert_eq!(cart.len(), 20);
    for one in cart {
        let expected = format!("sid={}; lang=de", one.header("squall-session").unwrap());
        let crumbs: Vec<_> =
            one.request.headers().get_all("cookie").iter().map(|crumb| crumb.to_str().unwrap()).collect();
        assert_eq!(crumbs.join("; "), expected);
    }
}

#[test]
fn no_more_streams_are_open_than_the_peer_allows() {
    let two = Two::open(Setup { max_streams: Some(5), ..Setup::default() }, |_| Reply::Gated);
    two.let_through(1000);
    let report = replay_two(two.url(), &gets(40), |_| {});
    assert_eq!((report.requests.answered, report.connections.refused_streams), (40, 0), "{report:#?}");
    assert!(report.connections.h2_streams_peak <= 5, "{:?}", report.connections);
    assert!(two.peak() <= 5, "{} at once", two.peak());
}

#[test]
fn no_more_streams_are_open_than_was_asked_for_and_as_many_as_that() {
    let two = std::sync::Arc::new(Two::open(Setup::default(), |_| Reply::Gated));
    let origin = std::sync::Arc::clone(&two);
    // The gate opens once all seven places are taken: fewer would stand still, more would be seen in the peak.
    std::thread::spawn(move || {
        while origin.peak() < 7 {
            std::thread::sleep(Duration::from_millis(2));
        }
        origin.let_through(1000);
    });
    let report = replay_two(two.url(), &gets(40), |options| options.streams = 7);
    assert_eq!((report.requests.answered, two.peak()), (40, 7), "{report:#?}");
    assert_eq!(report.connections.h2_streams_peak, 7);
}

#[test]
fn goodbyes_in_the_middle_lose_nothing() {
    let two = Two::open(Setup { goodbye_after: Some(10), ..Setup::default() }, |_| fine());
    let report = replay_two(two.url(), &gets(100), |options| options.streams = 4);
    assert_eq!((report.requests.sent, report.requests.answered), (100, 100), "{report:#?}");
    assert!(report.connections.goaways >= 6, "{:?}", report.connections);
    assert_eq!(two.met().len(), 100);
}

#[test]
fn streams_that_are_reset_are_counted_as_that_and_leave_the_others_alone() {
    let two = Two::open(Setup::default(), |met| match met.path() {
        "/reset" => Reply::Reset(Reason::INTERNAL_ERROR),
        "/refused" => Reply::Reset(Reason::REFUSED_STREAM),
        "/cut" => Reply::Cut,
        _ => fine(),
    });
    let targets = ["/reset", "/refused", "/cut", "/fine"];
    let steps: Vec<_> = (0..40).map(|n| step(n, n, 1, &format!("GET {}", targets[n as usize % 4]))).collect();
    let report = replay_two(two.url(), &steps, |_| {});
    assert_eq!(report.requests.answered, 10, "{report:#?}");
    // what was refused is sent again at once, eight times, as nobody has looked at it
    assert_eq!((report.requests.failed["reset"], report.requests.failed["truncated"]), (10 + 90, 10));
    assert_eq!((report.connections.refused_streams, report.requests.retries), (90, 80));
    assert_eq!(report.connections.opened, 1);
}

#[test]
fn a_stream_that_was_reset_is_tried_again_under_the_same_name() {
    let two = Two::open(Setup::default(), |met| match met.header("squall-attempt") {
        Some("1") => Reply::Reset(Reason::REFUSED_STREAM),
        _ => fine(),
    });
    let report = replay_two(two.url(), &gets(10), |options| {
        options.retry = "backoff:3,1ms..2ms".parse::<Retry>().unwrap();
    });
    assert_eq!((report.requests.answered, report.requests.retries), (10, 10), "{report:#?}");
    let met = two.met();
    let names: BTreeSet<_> = met.iter().map(|one| one.header("squall-op").unwrap()).collect();
    assert_eq!((met.len(), names.len()), (20, 10));
}

#[test]
fn over_tls_it_is_agreed_upon_and_sessions_are_resumed() {
    let setup = Setup { tls: Some(tls(&[b"h2"])), goodbye_after: Some(5), ..Setup::default() };
    let two = Two::open(setup, |_| fine());
    let report = replay_two(two.url(), &gets(40), |options| options.streams = 1);
    let conns = &report.connections;
    assert_eq!(report.requests.answered, 40, "{report:#?}");
    assert_eq!(conns.tls_full + conns.tls_resumed, conns.opened);
    assert!(conns.opened >= 5 && conns.tls_full >= 1 && conns.tls_resumed >= 1, "{conns:?}");
}

#[test]
fn a_server_that_speaks_only_http1_over_tls_fails_in_words() {
    let two = Two::open(Setup { tls: Some(tls(&[b"http/1.1"])), ..Setup::default() }, |_| fine());
    let report = replay_two(two.url(), &gets(5), |_| {});
    assert_eq!((report.requests.failed["tls"], report.exit_code), (5, 99), "{report:#?}");
    expect_words(&report);
}

#[test]
fn a_server_that_agrees_on_nothing_over_tls_fails_in_words() {
    let two = Two::open(Setup { tls: Some(tls(&[])), ..Setup::default() }, |_| fine());
    let report = replay_two(two.url(), &gets(5), |_| {});
    assert_eq!((report.requests.failed["tls"], report.exit_code), (5, 99), "{report:#?}");
    expect_words(&report);
}

/// Asserts that the user is told what to do.
fn expect_words(report: &Report) {
    let said = report.text();
    assert!(said.contains("does not speak HTTP/2: use --http1"), "{said}");
}

#[test]
fn a_server_that_speaks_only_http1_in_the_clear_fails_as_a_protocol_error() {
    let server = Server::start(|_, stream| {
        answer(stream, "400 Bad Request", "", b"");
        Then::Close
    });
    let report = replay_two(server.url(), &gets(5), |_| {});
    assert_eq!((report.requests.failed["protocol"], report.exit_code), (5, 99), "{report:#?}");
    expect_words(&report);
}

#[test]
fn answers_are_held_against_the_recorded_ones() {
    let two = Two::open(Setup::default(), |_| Reply::Fine(Vec::new(), br#"{"name":"a"}"#.to_vec()));
    let mut steps = gets(12);
    for step in &mut steps {
        let body = format!(r#"{{"name":"a","price":5,"more":"{}"}}"#, "x".repeat(200));
        step.response.as_mut().unwrap().body = captures::Body::whole(body.into_bytes());
    }
    let report = replay_two(two.url(), &steps, |options| options.amplify = 20.0);
    let analysis = report.analysis.unwrap();
    let said: Vec<&str> = analysis.drift.iter().map(|drift| drift.replayed.as_str()).collect();
    assert_eq!(said, ["12 bytes", "JSON that lacks more, lacks price"], "{analysis:#?}");
}
