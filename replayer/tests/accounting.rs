//! What once went wrong in the engine, and must not again: whose a delay is, who is gone, what waits for ever.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use replayer::late::LatePolicy;
use replayer::options::{Http, Options, Speed};
use support::{Server, Then, answer, capture, options, replay, replay_on, step, with_body};

fn slow_first(met: &support::Met, stream: &mut std::net::TcpStream) -> Then {
    if met.target == "/page" {
        std::thread::sleep(Duration::from_millis(400));
    }
    answer(stream, "200 OK", "", b"ok");
    Then::Keep
}

/// On a connection of its own.
fn on(mut exchange: captures::Exchange, connection: u64) -> captures::Exchange {
    exchange.connection = Some(100 + connection);
    exchange
}

#[test]
fn steps_that_a_late_answer_releases_together_are_not_late_by_our_fault() {
    // Three pictures side by side wait for the page.
    let mut steps = vec![step(1, 0, 5, "GET /page")];
    steps.extend((0..3).map(|n| on(step(1, 10 + n, 20, &format!("GET /picture{n}")), n)));
    let report = replay_on(&Server::start(slow_first), &steps, |options| options.speed = Speed::Times(1.0));
    assert_eq!(report.latency.lateness.count, 4);
    assert!(report.latency.lateness.max < 200_000, "{:#?}", report.latency.lateness);
    assert!(report.latency.response.p50 > 300_000, "they still count from when they were due");
}

#[test]
fn each_step_that_is_overtaken_is_skipped_and_none_is_late() {
    let mut steps = vec![step(1, 0, 5, "GET /page")];
    steps.extend((0..5).map(|n| step(1, 20 + 20 * n, 1, &format!("GET /{n}"))));
    let report = replay_on(&Server::start(slow_first), &steps, |options| {
        options.speed = Speed::Times(1.0);
        options.late_policy = LatePolicy::Skip;
    });
    assert_eq!(report.requests.never_sent["skipped_late"], 4, "{:#?}", report.requests);
    assert!(report.latency.lateness.max < 200_000, "{:#?}", report.latency.lateness);
}

#[test]
fn a_user_leaves_while_its_next_step_is_still_to_come() {
    let server = Server::start(|met, stream| {
        if met.target == "/long" {
            std::thread::sleep(Duration::from_millis(900));
        }
        answer(stream, "200 OK", "", b"ok");
        Then::Keep
    });
    // The second step is due while the first is in flight, and the user leaves before.
    let mut steps = vec![step(1, 0, 2000, "GET /long"), on(step(1, 500, 1, "GET /other"), 1)];
    steps.extend((0..20).map(|n| step(2, n * 50, 1, "GET /calm")));
    let report = replay_on(&server, &steps, |options| {
        options.speed = Speed::Times(1.0);
        options.threads = Some(1);
        options.misbehaviours = vec!["abandon 100% after 100ms".parse().unwrap()];
    });
    assert_eq!(report.sessions.abandoned, 1, "{:#?}", report.sessions);
    assert_eq!(report.requests.never_sent["abandoned"], 1);
    assert_eq!(report.requests.answered, 20);
}

/// A server of another make, over HTTP/2 in the clear, with windows as large as they may be.
fn http2_server() -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let received = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&received);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    let mut builder = h2::server::Builder::new();
                    builder.initial_window_size(1 << 30).initial_connection_window_size(1 << 30);
                    builder.max_concurrent_streams(2);
                    let mut connection = builder.handshake::<_, bytes::Bytes>(stream).await.unwrap();
                    while let Some(Ok((request, mut respond))) = connection.accept().await {
                        let count = Arc::clone(&count);
                        tokio::spawn(async move {
                            let mut body = request.into_body();
                            let answer = || http::Response::new(());
                            while let Some(Ok(bytes)) = body.data().await {
                                // Room for more is told late: the client has to go on by what it may send.
                                count.fetch_add(bytes.len(), Ordering::SeqCst);
                            }
                            respond.send_response(answer(), true).unwrap();
                        });
                    }
                });
            }
        });
    });
    (address, received)
}

fn on_http2(
    address: std::net::SocketAddr,
    steps: &[captures::Exchange],
    change: impl FnOnce(&mut Options),
) -> replayer::Report {
    let dir = tempfile::tempdir().unwrap();
    let path = capture(dir.path(), steps);
    let mut wanted = Options {
        target: Some(format!("http://{address}")),
        http: Http::Two,
        timeout: Duration::from_secs(3),
        ..options(&path, &Server::plain())
    };
    change(&mut wanted);
    replay(&wanted)
}

#[test]
fn a_large_upload_goes_on_when_the_socket_took_what_was_written() {
    let (address, received) = http2_server();
    let steps = [with_body(step(1, 0, 1, "POST /film"), &vec![b'x'; 3 << 20])];
    let report = on_http2(address, &steps, |_| {});
    assert_eq!(report.requests.answered, 1, "{:#?}", report.requests);
    assert_eq!(received.load(Ordering::SeqCst), 3 << 20);
}

#[test]
fn an_upload_on_a_slow_link_takes_its_time_over_http2_too() {
    let (address, received) = http2_server();
    let steps = [with_body(step(1, 0, 1, "POST /film"), &vec![b'x'; 200_000])];
    let begun = Instant::now();
    let report = on_http2(address, &steps, |options| {
        options.misbehaviours = vec!["slow-link 100% 200KB/s".parse().unwrap()];
    });
    assert_eq!(report.requests.answered, 1, "{:#?}", report.requests);
    assert_eq!(received.load(Ordering::SeqCst), 200_000);
    assert!(begun.elapsed() > Duration::from_millis(600), "{:?}", begun.elapsed());
}

/// A server that takes connections and never says a word; how many it took.
fn silent_server() -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            kept.push(stream);
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (address, accepted)
}

fn impatient(options: &mut Options) {
    options.insecure = true;
    options.timeout = Duration::from_millis(250);
    options.speed = Speed::Times(1.0);
    options.threads = Some(1);
    options.connections = replayer::options::Connections::Shared;
}

#[test]
fn a_peer_that_never_greets_is_given_up_with_everything_that_waits_for_it() {
    let (address, accepted) = silent_server();
    let steps: Vec<_> = [0, 50, 60, 900, 950].into_iter().map(|at| step(at, at, 1, "GET /")).collect();
    let report = on_http2(address, &steps, impatient);
    assert_eq!(report.requests.failed["timeout"], 5, "{:#?}", report.requests);
    assert_eq!(accepted.load(Ordering::SeqCst), 2);
}

#[test]
fn a_run_ends_with_its_last_answer_when_its_duration_is_over() {
    let server = Server::start(|met, stream| {
        if met.target == "/long" {
            std::thread::sleep(Duration::from_millis(700));
        }
        answer(stream, "200 OK", "", b"ok");
        Then::Keep
    });
    let steps = [step(1, 0, 30_000, "GET /long"), on(step(1, 20_000, 1, "GET /other"), 1)];
    let report = replay_on(&server, &steps, |options| {
        options.speed = Speed::Times(1.0);
        options.duration = Some(Duration::from_millis(300));
    });
    assert_eq!((report.requests.answered, report.requests.never_sent["duration"]), (1, 1));
    assert!(report.elapsed_us < 3_000_000, "{} us", report.elapsed_us);
}

#[test]
fn a_handshake_that_hangs_is_given_up_and_the_next_request_tries_anew() {
    let (address, accepted) = silent_server();
    let steps: Vec<_> = (0..3).map(|n| step(n, n * 600, 1, "GET /")).collect();
    let report = on_http2(address, &steps, |options| {
        options.target = Some(format!("https://{address}"));
        impatient(options);
    });
    assert_eq!(report.requests.failed["tls"], 3, "{:#?}", report.requests);
    assert_eq!(accepted.load(Ordering::SeqCst), 3);
}
