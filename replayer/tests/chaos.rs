//! Whatever an origin does and whenever a run is stopped, every request is in the books exactly once. Chance is
//! seeded; the helper that replays checks the books.
#![allow(clippy::unwrap_used)] // helpers of tests are tests
#![allow(clippy::print_stderr)] // a failure names the plan that failed

mod support;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use captures::Exchange;
use replayer::late::LatePolicy;
use replayer::options::{Connections, Http, Options, Speed};
use support::{Server, Then, answer, capture, options, replay, step};

/// Numbers that look like chance: the same for the same seed.
fn word(seed: u64, number: u64) -> u64 {
    let mut word = (seed << 32 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    word ^= word >> 31;
    word.wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 33
}

/// Twelve sessions of up to nine requests, some side by side, some posting.
fn steps(seed: u64) -> Vec<Exchange> {
    let request = |session: u64, number: u64| {
        let chance = word(seed, session * 100 + number);
        let what = if chance.is_multiple_of(3) { "POST /a" } else { "GET /b" };
        let mut one = step(session, session * 20 + number * 12, 1 + chance % 60, what);
        one.connection = Some(session * 10 + chance % 2);
        one
    };
    (1..=12)
        .flat_map(|session| (0..1 + word(seed, session) % 9).map(move |number| request(session, number)))
        .collect()
}

/// What a user may ask for, by chance.
fn wanted(options: &mut Options, seed: u64) {
    let pick = |number: u64, of: u64| word(seed, 1_000_000 + number) % of;
    options.seed = seed.to_string();
    options.amplify = 1.0 + pick(0, 8) as f64;
    options.speed = if pick(1, 3) == 0 { Speed::Max } else { Speed::Times(2.0) };
    options.timeout = Duration::from_millis(60);
    options.retry = ["none", "naive", "backoff:3,5ms..20ms", "budget"][pick(2, 4) as usize].parse().unwrap();
    let all =
        ["double-submit 50%", "abandon 30% after 20ms", "slow-link 30% 20KB/s", "slow-reader 20% 10KB/s"];
    options.misbehaviours = all
        .iter()
        .enumerate()
        .filter(|(n, _)| pick(3 + *n as u64, 2) == 0)
        .map(|(_, one)| one.parse().unwrap())
        .collect();
    options.late_policy = [LatePolicy::CatchUp, LatePolicy::Skip, LatePolicy::Queue][pick(8, 3) as usize];
    options.connections =
        [Connections::Recorded, Connections::PerSession, Connections::Shared][pick(9, 3) as usize];
    options.max_connections = Some(2 + pick(10, 40) as usize);
    options.max_rate = (pick(11, 3) == 0).then_some(400.0);
    options.duration = (pick(12, 3) == 0).then_some(Duration::from_millis(150));
    options.warmup = (pick(13, 3) == 0).then_some(Duration::from_millis(50));
    options.sessions = (pick(14, 4) == 0).then_some(20);
    if options.sessions.is_some() {
        (options.amplify, options.duration) = (1.0, Some(Duration::from_millis(400)));
    }
    for wishes in 0..pick(15, 3) {
        let (stop, wait) = (options.stop.clone(), 30 + pick(16, 200) + wishes * 40);
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(wait));
            stop.interrupt();
        });
    }
}

#[test]
fn over_http1() {
    for seed in seeds() {
        let count = AtomicU64::new(0);
        let server = Server::start(move |_, stream| {
            let chance = word(seed, 2_000_000 + count.fetch_add(1, Ordering::SeqCst));
            match chance % 16 {
                0 => return Then::Close,
                1 => return Then::Reset,
                2 => answer(stream, "503 No", "", b"no"),
                3 => std::thread::sleep(Duration::from_millis(80)),
                4 => {
                    let _ = std::io::Write::write_all(
                        stream,
                        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
                    );
                    return if chance.is_multiple_of(5) { Then::Reset } else { Then::Close };
                }
                5 => {
                    let _ = std::io::Write::write_all(stream, b"what?\r\n\r\n");
                }
                6 => {
                    answer(stream, "200 OK", "Connection: close\r\n", b"ok");
                    return Then::Close;
                }
                7 => answer(stream, "200 OK", "squall-fault: payday\r\n", &[b'x'; 5000]),
                _ => answer(stream, "200 OK", "", b"ok"),
            }
            Then::Keep
        });
        run(server.address, seed, Http::One);
    }
}

#[test]
fn over_http2() {
    for seed in seeds() {
        run(http2_origin(seed), seed, Http::Two);
    }
}

fn seeds() -> std::ops::Range<u64> {
    let first: u64 = std::env::var("CHAOS_FROM").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let count: u64 = std::env::var("CHAOS_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    first..first + count
}

fn run(address: SocketAddr, seed: u64, http: Http) {
    eprintln!("seed {seed}");
    let dir = tempfile::tempdir().unwrap();
    let path = capture(dir.path(), &steps(seed));
    let mut options =
        Options { target: Some(format!("http://{address}")), http, ..options(&path, &Server::plain()) };
    wanted(&mut options, seed);
    let report = replay(&options);
    assert!(report.elapsed_us < 6_000_000, "{report:#?}");
    let sessions = &report.sessions;
    assert_eq!(sessions.started, sessions.completed + sessions.aborted, "{sessions:#?}");
}

/// A server of another make that refuses, resets, hangs, says goodbye and drops connections.
fn http2_origin(seed: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let count = Arc::new(AtomicU64::new(0));
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(talk(stream, seed, Arc::clone(&count)));
            }
        });
    });
    address
}

async fn talk(stream: tokio::net::TcpStream, seed: u64, count: Arc<AtomicU64>) {
    let chance = || word(seed, 3_000_000 + count.fetch_add(1, Ordering::SeqCst));
    if chance() % 10 == 0 {
        if chance() % 2 == 0 {
            tokio::time::sleep(Duration::from_secs(1)).await; // and never a word
        }
        return;
    }
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1 + (chance() % 8) as u32);
    let Ok(mut connection) = builder.handshake::<_, bytes::Bytes>(stream).await else { return };
    while let Some(Ok((_request, mut respond))) = connection.accept().await {
        let answer = |status: u16| http::Response::builder().status(status).body(()).unwrap();
        match chance() % 20 {
            0 => return,
            1 => connection.graceful_shutdown(),
            2 => connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM),
            3 | 4 => respond.send_reset(h2::Reason::REFUSED_STREAM),
            5 => respond.send_reset(h2::Reason::INTERNAL_ERROR),
            6 => std::mem::forget(respond),
            7 => drop(respond.send_response(answer(503), true)),
            8 => {
                if let Ok(mut body) = respond.send_response(answer(200), false) {
                    let _ = body.send_data(bytes::Bytes::from_static(b"half"), false);
                    body.send_reset(h2::Reason::CANCEL);
                }
            }
            _ => drop(respond.send_response(answer(200), true)),
        }
    }
}
