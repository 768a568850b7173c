//! Traffic of many kinds is recorded and replayed as what it was.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use tempfile::TempDir;

use crate::kit::{Met, Replayed, Server, Then, answer, eventually, expect_whole, inspect, text};
use crate::support::{DEADLINE, Proxy, Shop, http};

#[test]
fn methods_bodies_and_framings_come_back() {
    let folder = TempDir::new().unwrap();
    let capture = folder.path().join("capture.zst");
    let server = Server::open(|met, stream| match met.what.starts_with("HEAD") {
        true => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n";
            stream.write_all(head).map_or(Then::Close, |()| Then::Keep)
        }
        false => answer(stream, b"ok"),
    });
    let proxy = Proxy::before(&server.url(), &["--record", &text(&capture), "--body-limit", "2KB"]);
    let large = "x".repeat(5000);
    let sent = [
        "HEAD /head HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        "DELETE /gone HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        "PROPFIND /dav HTTP/1.1\r\nhost: a\r\ndepth: 1\r\n\r\n".to_owned(),
        "POST /sized HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody".to_owned(),
        "POST /none HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "GET /odd?a=%20b&&c=+&d=%C3%A4#not HTTP/1.1\r\nhost: a\r\n\r\n".replace("#not", ""),
        "GET //double/../slash%2F HTTP/1.1\r\nhost: a\r\nx-twice: 1\r\nX-Twice: 2\r\n\r\n".to_owned(),
        "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        format!("PUT /large HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{large}", large.len()),
    ];
    for request in &sent {
        talk(proxy.addr(), &request.replace("host: a\r\n", "host: a\r\nconnection: close\r\n"));
    }
    let n = sent.len() as u64;
    proxy.expect_delivered(n);
    http::post(proxy.admin(), "/recording/stop", b"");
    expect_whole(&capture);
    assert_eq!(inspect(&capture)["requests"], n);

    Replayed::of(&capture, &["--speed", "max"]).expect_code(0).expect_answered(n).expect_not_off();
    let met = server.met();
    let lines = |met: &[Met]| {
        let mut lines: Vec<_> = met
            .iter()
            .map(|met| {
                (
                    met.what.clone(),
                    met.header("content-length").map(str::to_owned),
                    met.header("depth").is_some(),
                )
            })
            .collect();
        lines.sort();
        lines
    };
    let (recorded, replayed) = met.split_at(sent.len());
    assert_eq!(lines(recorded), lines(replayed));
    let twice = |met: &[Met]| {
        let slash = met.iter().find(|met| met.what.starts_with("GET //")).unwrap();
        slash
            .headers
            .iter()
            .filter(|(name, _)| name == "x-twice")
            .map(|(_, value)| value.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (twice(recorded), twice(replayed)),
        (vec!["1".into(), "2".into()], vec!["1".into(), "2".into()])
    );
}

#[test]
fn chunked_uploads_and_event_streams_come_back() {
    let (shop, folder) = (Shop::open(&[]), TempDir::new().unwrap());
    let capture = folder.path().join("capture.zst");
    let proxy = Proxy::before(&shop.url(), &["--record", &text(&capture)]);
    let signup = r#"{"name":"ada","email":"ada@example.test","password":"rain"}"#;
    let said = talk(
        proxy.addr(),
        &format!(
            "POST /api/signup HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
             a\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
            &signup[..10],
            signup.len() - 10,
            &signup[10..]
        ),
    );
    assert!(said.starts_with("HTTP/1.1 201"), "{said}");
    assert_eq!(http::get(proxy.addr(), "/api/events?n=4&gap_ms=5").status, 200);
    proxy.expect_delivered(2);
    http::post(proxy.admin(), "/recording/stop", b"");
    let counter = format!("{}/_shop/count", shop.url());
    let run = Replayed::of(&capture, &["--amplify", "10x", "--origin-counter", &counter]);
    let run = run.expect_passed().expect_answered(20).expect_balanced();
    assert_eq!(
        (run.n("/requests/status/200"), run.n("/requests/status/201")),
        (10, 10),
        "{:#}",
        run.json["requests"]
    );
}

#[test]
fn replayed_traffic_is_not_recorded() {
    let (shop, folder) = (Shop::open(&[]), TempDir::new().unwrap());
    let capture = folder.path().join("capture.zst");
    let proxy = Proxy::before(&shop.url(), &["--record", &text(&capture)]);
    assert_eq!(http::get(proxy.addr(), "/").status, 200);
    // a capture that is still being written can be replayed, once a block of it is closed
    eventually("the block is closed", || (inspect(&capture)["requests"] == 1).then_some(()));
    Replayed::of(&capture, &["--amplify", "3x", "--no-rehearsal"]).expect_passed().expect_answered(3);
    let books = proxy.settled(4);
    books.expect_balanced();
    assert_eq!((books.total("recorded"), books.total("not_recorded")), (1, 3), "{books}");
    assert!(proxy.stop().0.success());
    assert_eq!(inspect(&capture)["requests"], 1);
}

/// Writes a request; gives all that comes back until the connection closes.
fn talk(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    String::from_utf8_lossy(&said).into_owned()
}
