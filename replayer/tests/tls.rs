//! TLS: any certificate with -k, none without; sessions are resumed; what is no TLS fails in its own class.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use replayer::Options;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use support::{Server, capture, replay, step, with_body};

/// Answers each request with 200, in TLS, on a free port.
fn tls_server() -> SocketAddr {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            std::thread::spawn(move || answer_all(StreamOwned::new(connection, socket)));
        }
    });
    address
}

fn answer_all(mut stream: StreamOwned<ServerConnection, std::net::TcpStream>) {
    let mut seen = Vec::new();
    let mut bytes = [0; 65536];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        seen.extend_from_slice(&bytes[..count]);
        // A request ends with its empty line and its body, which here is either nothing or many x and a final y.
        let text = String::from_utf8_lossy(&seen);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if head.starts_with("POST") && !body.ends_with('y') {
            continue;
        }
        seen.clear();
        let big = "z".repeat(100_000);
        if write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{big}", big.len()).is_err() {
            return;
        }
    }
}

fn run(address: SocketAddr, insecure: bool) -> replayer::Report {
    let dir = tempfile::tempdir().unwrap();
    let mut body = vec![b'x'; 1_000_000];
    body.push(b'y');
    let steps =
        [step(1, 0, 1, "GET /a"), with_body(step(1, 5, 1, "POST /b"), &body), step(1, 9, 1, "GET /c")];
    let path = capture(dir.path(), &steps);
    let options = Options {
        target: Some(format!("https://localhost:{}", address.port())),
        insecure,
        amplify: 5.0,
        threads: Some(1),
        max_connections: Some(1),
        speed: replayer::options::Speed::Max,
        rehearsal: false,
        ..Options::new(path)
    };
    replay(&options)
}

#[test]
fn requests_pass_and_sessions_are_resumed() {
    let report = run(tls_server(), true);
    assert_eq!(report.requests.answered, 15, "{report:#?}");
    let conns = &report.connections;
    assert_eq!((conns.opened, conns.tls_full + conns.tls_resumed), (5, 5));
    assert!(conns.tls_resumed > 0, "{conns:?}");
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let report = run(tls_server(), false);
    assert_eq!((report.requests.failed["tls"], report.exit_code), (15, 99), "{report:#?}");
}

#[test]
fn a_peer_without_tls_fails_in_its_own_class() {
    let report = run(Server::plain().address, true);
    assert_eq!((report.requests.failed["tls"], report.requests.answered), (15, 0), "{report:#?}");
}
