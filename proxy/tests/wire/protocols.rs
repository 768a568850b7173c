//! Upgrades, HTTP/2 and gRPC through the proxy.

use std::io::{Read, Write};

use http::HeaderMap;

use crate::harness::h2::{answer, block_on, whole};
use crate::harness::{Client, H2Client, H2Origin, Origin, Proxy, Then, pattern};

/// An origin that switches protocols and then echoes every byte.
fn echoing() -> Origin {
    Origin::start(|request, tcp| {
        assert_eq!(request.header("upgrade"), Some("websocket"));
        tcp.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        )
        .expect("taken");
        let mut piece = [0; 4096];
        while let Ok(read) = tcp.read(&mut piece) {
            if read == 0 || tcp.write_all(&piece[..read]).is_err() {
                break;
            }
        }
        Then::Close
    })
}

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn an_upgraded_connection_carries_thousands_of_small_writes_in_order() {
    let origin = echoing();
    let proxy = Proxy::before(origin.addr).start();
    let mut client = proxy.client();
    client.send(UPGRADE);
    assert_eq!(client.head().status, 101);
    let mut reader = client.stream.try_clone().expect("a clone");
    let reading = std::thread::spawn(move || {
        let mut all = vec![0; 5_000 * 7];
        reader.read_exact(&mut all).expect("every echo");
        all
    });
    let sent: Vec<u8> = (0..5_000).flat_map(|n| format!("{n:06}\n").into_bytes()).collect();
    for message in sent.chunks(7) {
        client.send(message);
    }
    assert!(reading.join().expect("read") == sent);
    drop(client);
    let edge = &proxy.books()["edges"][0];
    assert_eq!(edge["seen"], 1);
    assert_eq!(edge["aborted"], 0);
}

#[test]
fn a_client_that_speaks_first_after_its_upgrade_loses_nothing() {
    let origin = echoing();
    let proxy = Proxy::before(origin.addr).start();
    for _ in 0..50 {
        let mut client = proxy.client();
        client.send(UPGRADE);
        assert_eq!(client.head().status, 101);
        client.send("hello");
        assert_eq!(client.exactly(5), b"hello");
    }
    let edge = &proxy.books()["edges"][0];
    assert_eq!((&edge["seen"], &edge["aborted"]), (&50.into(), &0.into()));
}

#[test]
fn http_2_by_prior_knowledge_and_by_alpn() {
    let origin = Origin::plain();
    let clear = Proxy::before(origin.addr).start();
    let tls = Proxy::before(origin.addr).tls().start();
    let check = async |client: H2Client| {
        let got = client.get("/bytes/300000").await;
        assert!(got.body == pattern(300_000), "{:?} {:?}", got.reset, got.error);
        let sent = client.send(client.request("POST", "/echo"), pattern(200_000)).await;
        assert!(sent.body == pattern(200_000), "{:?} {:?}", sent.reset, sent.error);
        assert_eq!(client.get("/status/204").await.status, 204);
        let head = client.start(client.request("HEAD", "/bytes/77"), true).await;
        let head = crate::harness::h2::finish(head.0).await;
        assert_eq!(
            (head.status, head.headers["content-length"].as_bytes(), head.body.len()),
            (200, b"77".as_slice(), 0)
        );
    };
    block_on(async {
        check(H2Client::connect(clear.addr).await).await;
        let identity = tls.identity.as_ref().expect("TLS");
        check(H2Client::connect_tls(tls.addr, identity).await).await;
    });
    for proxy in [clear, tls] {
        let edge = &proxy.books()["edges"][0];
        assert_eq!((&edge["seen"], &edge["delivered"]), (&4.into(), &4.into()));
    }
}

/// An end in an empty DATA frame, as curl sends it behind what it reads from a pipe, is one last chunk towards an HTTP/1
/// origin: another would be the beginning of the next request on that connection.
#[test]
fn an_end_that_comes_by_itself_is_one_last_chunk() {
    let origin = Origin::plain();
    let rules = "[[rule]]\nid = \"f\"\non = \"/echo\"\nrate = \"50% of requests\"\nthrottle = { request = \"1MB/s\" }\n";
    let proxy = Proxy::before(origin.addr).rules(rules).with(|config| config.threads = 1).start();
    block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        for body in [b"".as_slice(), b"hello"].repeat(6) {
            let (response, mut stream) = client.start(client.request("POST", "/echo"), false).await;
            if !body.is_empty() {
                stream.send_data(body.into(), false).expect("taken");
            }
            stream.send_data(bytes::Bytes::new(), true).expect("taken");
            let seen = crate::harness::h2::finish(response).await;
            assert_eq!((seen.status, seen.body.as_slice()), (200, body));
        }
    });
    assert!(
        origin.seen().iter().all(|request| request.line() == "POST /echo HTTP/1.1"),
        "{:?}",
        origin.seen()
    );
    assert_eq!((origin.count(), origin.connections()), (12, 1));
    proxy.books();
}

#[test]
fn http_1_under_tls() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).tls().start();
    let mut client = proxy.identity.as_ref().expect("TLS").client(proxy.addr);
    for size in [1, 100_000, 0, 1_000_003] {
        let answer = client.ask(&format!("GET /bytes/{size} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert!(answer.body == pattern(size));
        let mut request =
            format!("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: {size}\r\n\r\n").into_bytes();
        request.extend(pattern(size));
        client.send(request);
        assert!(client.answer(false).body == pattern(size));
    }
}

#[test]
fn grpc_keeps_its_trailers() {
    let origin = H2Origin::start(|request, respond| async move {
        assert_eq!(request.headers()["te"], "trailers");
        let body = whole(request.into_body()).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().expect("a value"));
        trailers.insert("grpc-message", "fine".parse().expect("a value"));
        answer(respond, body, Some(trailers));
    });
    let proxy = Proxy::before(origin.addr).start();
    block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        for size in [0, 5, 100_000] {
            let request = client.request("POST", "/shop.Cart/Add");
            let request = request.header("content-type", "application/grpc+proto").header("te", "trailers");
            let outcome = client.send(request, pattern(size)).await;
            assert!(outcome.body == pattern(size), "{:?} {:?}", outcome.reset, outcome.error);
            let trailers = outcome.trailers.expect("trailers");
            assert_eq!(
                (&trailers["grpc-status"], &trailers["grpc-message"]),
                (&"0".parse().expect("v"), &"fine".parse().expect("v"))
            );
        }
    });
    assert_eq!(origin.count(), 3);
    assert_eq!(proxy.books()["edges"][0]["delivered"], 3);
}

/// An origin that says its body back with trailers behind it.
fn trailing() -> H2Origin {
    H2Origin::start(|request, respond| async move {
        let body = whole(request.into_body()).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1 2".parse().expect("a value"));
        trailers.insert("content-length", "9".parse().expect("a value")); // has no place there
        answer(respond, body, Some(trailers));
    })
}

fn lost(proxy: &Proxy, what: &str) -> u64 {
    proxy.status()["limits"]["met"][what].as_u64().expect("a count")
}

#[test]
fn trailers_reach_an_http_1_client_that_asks_for_them() {
    let origin = trailing();
    let proxy = Proxy::before_url(&format!("h2c://{}", origin.addr)).start();
    let mut client = proxy.client();
    for body in ["hello", "0\r\n\r\n", "5\r\n"] {
        let length = body.len();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: t\r\nTE: deflate, Trailers\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        assert_eq!(client.head().header("transfer-encoding"), Some("chunked"));
        let expect = format!("{length:X}\r\n{body}\r\n0\r\nx-sum: 1 2\r\n\r\n");
        assert_eq!(String::from_utf8_lossy(&client.exactly(expect.len())), expect);
    }
    assert_eq!(lost(&proxy, "lost_trailers"), 0);
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(client.answer(false).text(), "hi", "whoever does not ask gets none");
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: t\r\n\r\n").status, 200);
    assert_eq!(lost(&proxy, "lost_trailers"), 2);
}

#[test]
fn what_a_protocol_cannot_carry_is_counted() {
    let origin = Origin::start(|_, tcp| {
        tcp.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n").expect("taken");
        tcp.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
            .expect("taken");
        tcp.write_all(b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n").expect("taken");
        Then::Keep
    });
    let proxy = Proxy::before(origin.addr).start();
    block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let outcome = client.get("/").await;
        assert_eq!((outcome.status, outcome.body.as_slice()), (200, b"ok".as_slice()));
        assert_eq!(outcome.trailers, None);
    });
    assert_eq!((lost(&proxy, "lost_interim"), lost(&proxy, "lost_trailers")), (1, 1));
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.head().status, 103);
    assert_eq!(client.answer(false).text(), "ok");
    assert_eq!((lost(&proxy, "lost_interim"), lost(&proxy, "lost_trailers")), (1, 2));
}

#[test]
fn http_2_all_the_way_with_an_h2c_upstream() {
    let origin = H2Origin::start(|request, respond| async move {
        let body = whole(request.into_body()).await;
        answer(respond, body, None);
    });
    let proxy = Proxy::before_url(&format!("h2c://{}", origin.addr)).start();
    block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let outcome = client.send(client.request("POST", "/"), pattern(50_000)).await;
        assert!(outcome.body == pattern(50_000));
    });
    let answer =
        crate::harness::Client::once(proxy.addr, "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hi"));
}

#[test]
fn a_hundred_streams_on_one_connection() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).start();
    block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let gets = (0..100).map(|n| {
            let client = client.clone();
            tokio::spawn(async move {
                let outcome = client.get(&format!("/bytes/{}", n * 1000)).await;
                assert!(outcome.body == pattern(n * 1000), "{:?} {:?}", outcome.reset, outcome.error);
            })
        });
        for get in gets.collect::<Vec<_>>() {
            get.await.expect("no stream fails");
        }
    });
    assert_eq!(proxy.books()["edges"][0]["delivered"], 100);
}

#[test]
fn a_chain_of_proxies_over_tls_with_one_identity() {
    let origin = Origin::plain();
    let rules = "[[rule]]\nid = \"inner\"\non = \"/f\"\nrespond = 503\n";
    let inner = Proxy::before(origin.addr).rules(rules).tls().start();
    let ca = inner.identity.as_ref().expect("TLS").files.cert.clone();
    let chain = |trusted: bool| {
        let url = format!("https://localhost:{}", inner.addr.port());
        let plan = Proxy::before_url(&url).with(|config| {
            config.upstream_ca = trusted.then(|| ca.clone());
            config.pass_squall_headers = true;
            config.trust_upstream_squall = true;
        });
        plan.start()
    };
    let outer = chain(true);
    inner.announce("0000cafe");
    for target in ["/bytes/300000", "/f"] {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nSquall-Session: 0000cafe-1-0\r\nSquall-Op: 00000000000000{:02x}\r\n\r\n",
            target.len()
        );
        let answer = Client::once(outer.addr, &request);
        match target {
            "/f" => assert_eq!((answer.status, answer.header("squall-fault")), (503, Some("inner"))),
            _ => assert!(answer.body == pattern(300_000)),
        }
    }
    assert_eq!(inner.run_books("0000cafe")["edges"][0]["seen"], 2);
    assert_eq!(outer.books()["edges"][0]["delivered"], 2);
    let distrustful = chain(false);
    let answer = distrustful.get("/");
    assert_eq!((answer.status, answer.header("squall-error")), (502, Some("upstream-unreachable")));
}
