//! HTTP/2 peers that mean ill: each ends in its class, in time, and in bounded memory.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use replayer::Report;
use replayer::options::{Connections, Http};

use crate::support::{Server, capture, options, replay, step};
use crate::two::{Reply, Setup, Two, fine};

/// A peer that does this with each connection once it has been greeted; what it wrote is counted.
fn peer(act: impl Fn(&mut TcpStream, &AtomicU64) + Send + Sync + 'static) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (act, wrote) = (Arc::new(act), Arc::new(AtomicU64::new(0)));
    let count = Arc::clone(&wrote);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (act, count) = (Arc::clone(&act), Arc::clone(&count));
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                act(&mut stream, &count);
            });
        }
    });
    (address, wrote)
}

/// Writes the same bytes until the other side has had enough.
fn pour(stream: &mut TcpStream, bytes: &[u8], count: &AtomicU64) {
    while stream.write_all(bytes).is_ok() {
        count.fetch_add(bytes.len() as u64, Ordering::SeqCst);
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn replay_to(address: SocketAddr, timeout: Duration) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let steps = [step(1, 0, 1, "GET /a"), step(2, 5, 1, "GET /b")];
    let mut options = options(&capture(dir.path(), &steps), &Server::plain());
    options.target = Some(format!("http://{address}"));
    options.http = Http::Two;
    options.connections = Connections::Shared;
    options.threads = Some(1);
    options.streams = 1;
    options.timeout = timeout;
    replay(&options)
}

/// Asserts how both requests end.
#[track_caller]
fn check(class: &str, act: impl Fn(&mut TcpStream, &AtomicU64) + Send + Sync + 'static) -> u64 {
    let (address, wrote) = peer(act);
    let report = replay_to(address, Duration::from_secs(20));
    assert_eq!(report.requests.failed.get(class), Some(&2), "{:?}", report.requests);
    assert_eq!((report.requests.answered, report.exit_code), (0, 99));
    assert_eq!(report.reason, "nothing was answered");
    wrote.load(Ordering::SeqCst)
}

#[test]
fn garbage_is_no_http2() {
    check("protocol", |stream, count| pour(stream, b"SSH-2.0-OpenSSH_9.2\r\n", count));
    check("protocol", |stream, count| pour(stream, &[0xff; 1000], count));
    check("protocol", |stream, count| {
        // A frame that claims to be 16 MB.
        pour(stream, &[SETTINGS, &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1], &[0; 1 << 16]].concat(), count);
    });
}

#[test]
fn a_peer_that_resets_or_closes_at_once() {
    check("reset", |stream, _| {
        let _ = stream.write_all(SETTINGS);
    });
    check("reset", |stream, _| {
        socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
}

#[test]
fn a_peer_that_is_silent_before_or_after_its_greeting() {
    for greeting in [&b""[..], SETTINGS] {
        let (address, _) = peer(move |stream, _| {
            let _ = stream.write_all(greeting);
            while let Ok(1..) = stream.read(&mut [0; 4096]) {}
        });
        let report = replay_to(address, Duration::from_millis(200));
        assert_eq!(report.requests.failed["timeout"], 2, "{:?}", report.requests);
        assert_eq!((report.requests.sent, report.exit_code), (2, 99));
    }
}

#[test]
fn an_endless_header_ends_early() {
    let wrote = check("protocol", |stream, count| {
        let _ = stream.write_all(SETTINGS);
        // :status 200, and a block that goes on and on with the same literal field.
        let mut block = vec![0x88];
        block.extend(frame_of_fields());
        let _ = stream.write_all(&frame(HEADERS, 0, 1, &block));
        pour(stream, &frame(CONTINUATION, 0, 1, &frame_of_fields()), count);
    });
    assert!(wrote < 64 << 20, "{wrote} bytes were taken");
}

#[test]
fn endless_empty_frames_end_early() {
    let wrote = check("protocol", |stream, count| {
        let _ = stream.write_all(SETTINGS);
        let _ = stream.write_all(&frame(HEADERS, 0, 1, &[0x88]));
        pour(stream, &frame(CONTINUATION, 0, 1, &[]).repeat(100), count);
    });
    assert!(wrote < 64 << 20, "{wrote} bytes were taken");
    let wrote = check("protocol", |stream, count| {
        let _ = stream.write_all(SETTINGS);
        let _ = stream.write_all(&frame(HEADERS, END_HEADERS, 1, &[0x88]));
        pour(stream, &frame(DATA, 0, 1, &[]).repeat(100), count);
    });
    assert!(wrote < 64 << 20, "{wrote} bytes were taken");
}

#[test]
fn a_peer_that_asks_and_asks_and_never_listens() {
    let wrote = check("protocol", |stream, count| {
        let _ = stream.write_all(SETTINGS);
        pour(stream, &frame(PING, 0, 0, &[7; 8]).repeat(1000), count);
    });
    assert!(wrote < 1 << 30, "{wrote} bytes were taken");
}

#[test]
fn more_than_the_window_allows_is_an_offence() {
    check("protocol", |stream, count| {
        let _ = stream.write_all(SETTINGS);
        let _ = stream.write_all(&frame(HEADERS, END_HEADERS, 1, &[0x88]));
        pour(stream, &frame(DATA, 0, 3, &[0; 16384]), count);
    });
}

#[test]
fn a_gigabyte_is_counted_and_not_kept() {
    let two =
        Two::open(Setup::default(), |met| if met.path() == "/a" { Reply::Mebibytes(1024) } else { fine() });
    let report = replay_to(two.address, Duration::from_secs(120));
    assert_eq!(report.requests.answered, 2, "{:?}", report.requests);
    assert!(report.requests.bytes_in > 1 << 30);
    // Of this whole process, in which other tests run.
    assert!(report.generator.rss_peak < 500 << 20, "{}", report.generator.rss_peak);
}

#[test]
fn a_peer_that_never_shakes_hands() {
    for http in [Http::One, Http::Two] {
        let (address, _) = peer(|stream, _| while let Ok(1..) = stream.read(&mut [0; 4096]) {});
        let dir = tempfile::tempdir().unwrap();
        let steps = [step(1, 0, 1, "GET /a"), step(2, 5, 1, "GET /b")];
        let mut options = options(&capture(dir.path(), &steps), &Server::plain());
        options.target = Some(format!("https://localhost:{}", address.port()));
        options.insecure = true;
        options.http = http;
        options.timeout = Duration::from_millis(200);
        let report = replay(&options);
        assert_eq!((report.requests.failed["tls"], report.exit_code), (2, 99), "{:?}", report.requests);
    }
}

fn frame_of_fields() -> Vec<u8> {
    let mut field = vec![0x00, 1, b'x', 100];
    field.extend([b'y'; 100]);
    field.repeat(100)
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// An empty SETTINGS frame.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
