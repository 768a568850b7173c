//! Answers that end before their time: truncated, reset inside, reset with their connection; by bytes, messages and time.

use std::io::Write;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;

use crate::harness::h2::{answer, block_on, piece, whole};
use crate::harness::proxy::ms;
use crate::harness::ways::{http2, read_http2};
use crate::harness::{CLEAR, Gate, H2Origin, How, Origin, Proxy, Then, Way, eventually, pattern};
use crate::shapes::{each_way, origin, rule};

#[test]
fn a_truncated_answer_keeps_the_promised_length() {
    let origin = origin();
    for (at, sized, chunked) in
        [("60%", 6_000, None), ("5000 B", 5_000, Some(5_000)), ("headers", 0, Some(0))]
    {
        each_way(&origin, &rule(&format!("truncate = \"{at}\"")), |way, proxy| {
            let seen = way.get(proxy, "/f/bytes/10000");
            assert_eq!(
                (seen.status, seen.promised, seen.end),
                (200, Some(10_000), How::Short),
                "{way:?} {at}"
            );
            assert!(seen.body == pattern(sized), "{way:?} {at}: {}", seen.body.len());
            assert_eq!(seen.fault.as_deref(), Some("f"));
            let seen = way.get(proxy, "/f/chunked/10000");
            let Some(chunked) = chunked else { return assert_eq!(seen.body.len(), 10_000) };
            // without a promised length HTTP/2 cannot tell a short answer from a whole one
            let end = if way.is_http2() { How::Whole } else { How::Short };
            assert_eq!((seen.body.len(), seen.end), (chunked, end), "{way:?} {at}");
        });
    }
}

#[test]
fn a_reset_says_the_code_that_was_asked_for() {
    let origin = origin();
    let place = |at: &str| rule(&format!("reset = {{ at = \"{at}\", code = \"REFUSED_STREAM\" }}"));
    for (at, bytes) in
        [("before headers", 0), ("after headers", 0), ("after 5000 B of body", 5_000), ("after 50%", 5_000)]
    {
        each_way(&origin, &place(at), |way, proxy| {
            let seen = way.get(proxy, "/f/bytes/10000");
            let end = if way.is_http2() { How::Stream(7) } else { How::Gone };
            assert_eq!((seen.end, seen.body.len()), (end, bytes), "{way:?} {at}");
        });
    }
}

#[test]
fn a_reset_by_time_comes_although_the_origin_is_silent() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |_, tcp| {
        tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").expect("taken");
        wait.pass();
        Then::Close
    });
    each_way(&origin, &rule("reset = \"after 100ms\""), |way, proxy| {
        let seen = way.get(proxy, "/f/x");
        assert_eq!(
            (seen.status, seen.body.as_slice(), seen.end),
            (200, b"abc".as_slice(), way.reset()),
            "{way:?}"
        );
        assert!(ms(100) <= seen.took);
        gate.open();
    });
    each_way(&origin, &rule("stall = \"50ms after 50ms, then close\""), |way, proxy| {
        let seen = way.get(proxy, "/f/x");
        assert_eq!((seen.body.as_slice(), seen.end), (b"abc".as_slice(), How::Short), "{way:?}");
        assert!(ms(100) <= seen.took);
        gate.open();
    });
}

#[test]
fn a_reset_by_time_comes_although_the_client_does_not_read() {
    let origin = origin();
    let proxy = Proxy::before(origin.addr).rules(&rule("reset = \"after 100ms\"")).start();
    let mut client = proxy.client();
    client.send("GET /f/bytes/8000000 HTTP/1.1\r\nHost: t\r\n\r\n");
    block_on(async {
        let client = Way::Http2.h2(&proxy).await;
        let (response, _) = client.start(client.request("GET", "/f/bytes/8000000"), true).await;
        let begun = Instant::now();
        let response = response.await.expect("a header");
        while proxy.status()["in_flight"] != 0 {
            tokio::time::sleep(ms(5)).await; // the window of the stream is full
        }
        assert!(ms(50) < begun.elapsed());
        drop(response);
    });
    assert_eq!(proxy.books()["edges"][0]["cut"]["f"], 2);
}

/// Server-sent events, one a write.
fn events(target: &str, tcp: &mut std::net::TcpStream) -> Then {
    let chunked = target.contains("chunked");
    let coding = if chunked { "Transfer-Encoding: chunked" } else { "Cache-Control: no-store" };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{coding}\r\n\r\n");
    tcp.write_all(head.as_bytes()).expect("taken");
    for nth in 0..20 {
        let event = if nth == 1 { ": alive\n\n".to_owned() } else { format!("id: {nth}\ndata: {nth}\n\n") };
        let written = if chunked {
            tcp.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())
        } else {
            tcp.write_all(event.as_bytes())
        };
        if written.is_err() {
            return Then::Close;
        }
    }
    if chunked {
        let _ = tcp.write_all(b"0\r\n\r\n");
        return Then::Keep;
    }
    Then::Close
}

#[test]
fn events_of_a_stream_are_counted_whole() {
    let origin = Origin::start(|request, tcp| events(request.target(), tcp));
    // a comment is no event
    let expect = "id: 0\ndata: 0\n\n: alive\n\nid: 2\ndata: 2\n\nid: 3\ndata: 3\n\n";
    for fault in ["reset = \"after 3 events\"", "stall = \"50ms after 3 events, then reset\""] {
        each_way(&origin, &rule(fault), |way, proxy| {
            for target in ["/f/chunked", "/f/plain"] {
                let seen = way.get(proxy, target);
                assert_eq!(String::from_utf8_lossy(&seen.body), expect, "{fault} {way:?} {target}");
                assert_eq!((seen.end, seen.fault.as_deref()), (way.reset(), Some("f")));
            }
        });
    }
    each_way(&origin, &rule("stall = \"60ms after 3 events\""), |way, proxy| {
        let seen = way.get(proxy, "/f/chunked");
        assert_eq!((seen.end, seen.body.len()), (How::Whole, whole_stream().len()), "{way:?}");
        assert!(ms(60) <= seen.beyond(expect.len()));
    });
    let proxy = Proxy::before(origin.addr).rules(&rule("reset = \"after 20 events\"")).start();
    CLEAR
        .into_iter()
        .for_each(|way| assert_eq!(way.get(&proxy, "/f/chunked").body.len(), whole_stream().len()));
    proxy.books();
    assert_eq!(proxy.rule_books("f")["suppressed"]["no_such_point"], 2);
}

fn whole_stream() -> String {
    let event = |nth| if nth == 1 { ": alive\n\n".to_owned() } else { format!("id: {nth}\ndata: {nth}\n\n") };
    (0..20).map(event).collect()
}

/// A gRPC server: echoes each message when it comes, with a status behind the last.
fn grpc() -> H2Origin {
    H2Origin::start(|request, mut respond| async move {
        let target = request.uri().path().to_owned();
        let te = request.headers().get("te").is_some_and(|te| te == "trailers");
        assert!(te || !target.contains("stream"), "a proxy on the way may not forward trailers");
        let mut body = request.into_body();
        if target.contains("unary") {
            let body = whole(body).await;
            return answer(respond, body, Some(status()));
        }
        let header = http::Response::builder().header("content-type", "application/grpc");
        let Ok(mut stream) = respond.send_response(header.body(()).expect("a header"), false) else { return };
        while let Some(Ok(message)) = body.data().await {
            let _ = body.flow_control().release_capacity(message.len());
            if stream.send_data(message, false).is_err() {
                return;
            }
        }
        let _ = stream.send_trailers(status());
    })
}

fn status() -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), "0".parse().expect("a value"))])
}

fn message(text: &[u8]) -> Vec<u8> {
    [&[0], u32::try_from(text.len()).expect("short").to_be_bytes().as_slice(), text].concat()
}

#[test]
fn grpc_streams_flow_both_ways_under_shapes_and_end_after_so_many_messages() {
    let origin = grpc();
    let url = format!("h2c://{}", origin.addr);
    let rules = "[[rule]]\nid = \"slow\"\non = \"/slow/**\"\nthrottle = { response = \"1MB/s\", request = \"1MB/s\" }\n\
                 [[rule]]\nid = \"cut\"\non = \"/cut/**\"\nreset = { at = \"after 2 events\", code = \"UNAVAILABLE_IS_NOT_ONE\" }\n"
        .replace("UNAVAILABLE_IS_NOT_ONE", "ENHANCE_YOUR_CALM");
    let proxy = Proxy::before_url(&url).rules(&rules).start();
    block_on(async {
        let client = Way::Http2.h2(&proxy).await;
        for path in ["/slow/stream", "/cut/stream"] {
            let request = client.request("POST", path).header("content-type", "application/grpc");
            let (response, mut stream) = client.start(request.header("te", "trailers"), false).await;
            stream.send_data(message(b"one").into(), false).expect("taken");
            let response = response.await.expect("a header");
            assert_eq!(response.headers()["squall-fault"], path[1..].split('/').next().expect("a name"));
            let mut body = response.into_body();
            // each message is answered before the next is sent
            assert_eq!(piece(&mut body).await, message(b"one"));
            stream.send_data(message(b"second").into(), false).expect("taken");
            assert_eq!(collect(&mut body, 11).await, message(b"second"));
            if path.starts_with("/slow") {
                stream.send_data(message(b"3").into(), true).expect("taken");
                assert_eq!(collect(&mut body, 6).await, message(b"3"));
                assert_eq!(body.trailers().await.expect("no error").expect("trailers")["grpc-status"], "0");
            } else {
                let error = loop {
                    match body.data().await {
                        Some(Ok(bytes)) => assert!(bytes.is_empty(), "nothing behind the second message"),
                        Some(Err(error)) => break error,
                        None => panic!("it was to be reset"),
                    }
                };
                assert_eq!(error.reason(), Some(h2::Reason::ENHANCE_YOUR_CALM));
            }
        }
    });
    let edge = &proxy.books()["edges"][0];
    assert_eq!((&edge["delivered"], &edge["cut"]["cut"]), (&1.into(), &1.into()));
}

async fn collect(body: &mut h2::RecvStream, len: usize) -> Bytes {
    let mut all = Vec::new();
    while all.len() < len {
        all.extend_from_slice(&piece(body).await);
    }
    Bytes::from(all)
}

#[test]
fn trailers_wait_behind_a_stall_and_are_lost_to_a_truncation() {
    let origin = grpc();
    let url = format!("h2c://{}", origin.addr);
    let rules = "[[rule]]\nid = \"stall\"\non = \"/stall/**\"\nstall = \"80ms after 8 B\"\n\
                 [[rule]]\nid = \"short\"\non = \"/short/**\"\ntruncate = \"8 B\"\n";
    let proxy = Proxy::before_url(&url).rules(rules).start();
    block_on(async {
        let client = Way::Http2.h2(&proxy).await;
        let ask = |path: &str| {
            let request = client.request("POST", path).header("content-type", "application/grpc");
            client.send(request, message(b"one"))
        };
        let begun = Instant::now();
        let stalled = ask("/stall/unary").await;
        assert_eq!(stalled.trailers.expect("trailers")["grpc-status"], "0");
        assert!(ms(80) <= begun.elapsed());
        let short = ask("/short/unary").await;
        assert_eq!((short.body, short.trailers), (message(b"one"), None));
    });
    proxy.books();
}

#[test]
fn a_reset_of_the_connection_takes_its_streams_along_and_the_books_say_by_whom() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |request, tcp| {
        if request.target() == "/held" {
            tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").expect("taken");
            wait.pass();
            return Then::Close;
        }
        let _ = tcp.write_all(&crate::harness::origin::sized(&pattern(9_000)));
        Then::Keep
    });
    for at in ["before headers", "after headers", "after 5000 B"] {
        let rules = format!(
            "[[rule]]\nid = \"slow\"\non = \"/slow\"\ndelay = \"1h\"\n\
             [[rule]]\nid = \"f\"\non = \"/f\"\nreset = {{ at = \"{at}\", scope = \"connection\" }}\n"
        );
        for tls in [false, true] {
            let plan = Proxy::before(origin.addr).rules(&rules);
            let (proxy, way) =
                if tls { (plan.tls().start(), Way::Http2Tls) } else { (plan.start(), Way::Http2) };
            block_on(async {
                let client = way.h2(&proxy).await;
                let held = tokio::spawn(neighbour(client.clone(), "/held"));
                let slow = tokio::spawn(neighbour(client.clone(), "/slow"));
                while proxy.status()["in_flight"] != 2 {
                    tokio::time::sleep(ms(2)).await;
                }
                let seen = http2(&client, "GET", "/f", None).await;
                let bytes = if at.contains("5000") { 5_000 } else { 0 };
                assert_eq!((seen.end, seen.body.len()), (How::Gone, bytes), "{at}");
                assert_eq!(held.await.expect("seen"), How::Gone);
                assert_eq!(slow.await.expect("seen"), How::Gone);
            });
            gate.open();
            let edge = &proxy.books()["edges"][0];
            let (cut, dropped) = if at == "before headers" { (1, 2) } else { (2, 1) };
            assert_eq!(
                (&edge["cut"]["f"], &edge["dropped"]["f"]),
                (&cut.into(), &dropped.into()),
                "{at}: {edge}"
            );
        }
    }
}

async fn neighbour(client: crate::harness::H2Client, target: &'static str) -> How {
    let (response, _) = client.start(client.request("GET", target), true).await;
    read_http2(response, Instant::now()).await.end
}

#[test]
fn a_client_that_leaves_before_the_end_comes_is_not_cut() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |_, tcp| {
        tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\nabc").expect("taken");
        wait.pass();
        Then::Close
    });
    for fault in [
        "truncate = \"5000 B\"",
        "reset = \"after 5000 B\"",
        "reset = \"after 1h\"",
        "stall = \"1h after 5000 B\"",
    ] {
        let proxy = Proxy::before(origin.addr).rules(&rule(fault)).start();
        let mut client = proxy.client();
        client.send("GET /f/x HTTP/1.1\r\nHost: t\r\n\r\n");
        client.head();
        drop(client);
        block_on(async {
            let client = Way::Http2.h2(&proxy).await;
            let (response, _) = client.start(client.request("GET", "/f/x"), true).await;
            drop(response.await.expect("a header"));
            while proxy.status()["in_flight"] != 0 {
                tokio::time::sleep(ms(2)).await;
            }
        });
        eventually("both have left", || proxy.status()["in_flight"] == 0);
        let books = proxy.books();
        assert_eq!(books["edges"][0]["client_gone_after"], 2, "{fault}");
        assert_eq!(books["rules"][0]["suppressed"]["client_gone"], 2, "{fault}");
        (0..2).for_each(|_| gate.open());
    }
}

#[test]
fn calls_reach_the_server_while_its_answers_are_held() {
    let origin = grpc();
    let url = format!("h2c://{}", origin.addr);
    let rules = rule("stall = \"forever after 1 events\"");
    let proxy = Proxy::before_url(&url).rules(&rules).recorded().start();
    block_on(async {
        let client = Way::Http2.h2(&proxy).await;
        let request = client.request("POST", "/f/stream").header("content-type", "application/grpc");
        let request = request.header("te", "trailers");
        let (response, mut stream) = client.start(request, false).await;
        stream.send_data(message(b"one").into(), false).expect("taken");
        let mut body = response.await.expect("a header").into_body();
        assert_eq!(piece(&mut body).await, message(b"one"));
        // more than a stream's window each way would hold, if nobody read
        for _ in 0..40 {
            stream.send_data(message(&[b'x'; 1_000]).into(), false).expect("taken");
            stream.reserve_capacity(2_000);
            std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.expect("open").expect("room");
        }
        stream.send_data(message(b"last").into(), true).expect("taken");
        proxy.reload("");
        assert_eq!(collect(&mut body, 40 * 1_005 + 9).await[40 * 1_005..], message(b"last"));
        assert_eq!(body.trailers().await.expect("no error").expect("trailers")["grpc-status"], "0");
    });
    assert_eq!(proxy.books()["edges"][0]["delivered"], 1);
}
