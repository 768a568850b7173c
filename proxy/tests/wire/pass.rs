//! With no rule, what passes is what was sent.

use std::io::Write;

use crate::harness::origin::{answer_plainly, sized};
use crate::harness::{Client, End, Gate, Origin, Proxy, Then, eventually, pattern};

#[test]
fn a_request_arrives_as_it_was_written() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).start();
    let request = "GET /a/b%20c?x=1&y=%7E HTTP/1.1\r\nHost: Shop.Example:81\r\nX-MiXed-CASE: a\r\n\
                   accept: */*\r\nX-Twice: 1\r\nx-TWICE: 2\r\nCookie: a=b; c=d\r\n\r\n";
    assert_eq!(proxy.client().ask(request).text(), "ok");
    let seen = origin.seen();
    assert_eq!(seen[0].line(), "GET /a/b%20c?x=1&y=%7E HTTP/1.1");
    let sent: Vec<&str> = request.trim_end().split("\r\n").skip(1).collect();
    let arrived: Vec<&str> = seen[0].head.trim_end().split("\r\n").skip(1).collect();
    assert_eq!(arrived, sent);
}

#[test]
fn an_answer_arrives_as_it_was_written() {
    let answer = "HTTP/1.1 201 Sure Thing\r\nServer: Origin\r\n\
                  X-MiXed: 1\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok";
    let origin = Origin::start(move |_, tcp| {
        tcp.write_all(answer.as_bytes()).expect("taken");
        Then::Keep
    });
    let proxy = Proxy::before(origin.addr).start();
    let got = proxy.get("/");
    let lines = |head: &str| -> Vec<String> {
        let fields = head.split("\r\n").skip(1).filter(|line| !line.is_empty());
        // pingora answers with a date of its own
        let ours = |line: &&str| {
            ["connection:", "date:"].iter().any(|name| line.to_ascii_lowercase().starts_with(name))
        };
        fields.filter(|line| !ours(line)).map(str::to_owned).collect()
    };
    assert_eq!(lines(&got.head), lines(answer.split("\r\n\r\n").next().expect("a head")));
    assert_eq!((got.status, got.text().as_str()), (201, "ok"));
}

#[test]
fn bodies_of_a_megabyte_pass_both_ways() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).start();
    let body = pattern(1_000_003);
    let mut client = proxy.client();
    client.send(format!("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(&body);
    assert!(client.answer(false).body == body, "Content-Length");
    client.send("POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    for chunk in body.chunks(9_973) {
        client.send([format!("{:X}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    }
    client.send("0\r\n\r\n");
    assert!(client.answer(false).body == body, "chunked request");
    assert!(proxy.get("/chunked/1000003").body == body, "chunked answer");
    let seen = origin.seen();
    assert_eq!(seen[0].header("content-length"), Some("1000003"));
    assert_eq!(seen[1].header("transfer-encoding"), Some("chunked"));
    proxy.books();
}

#[test]
fn answers_without_a_body_keep_the_connection() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).start();
    let mut client = proxy.client();
    let head = client.ask("HEAD /bytes/12345 HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!((head.status, head.header("content-length")), (200, Some("12345")));
    for status in [204, 304] {
        let answer = client.ask(&format!("GET /status/{status} HTTP/1.1\r\nHost: t\r\n\r\n"));
        assert_eq!((answer.status, answer.header("content-length")), (status, None));
    }
    assert_eq!(client.ask("GET /bytes/3 HTTP/1.1\r\nHost: t\r\n\r\n").body, pattern(3));
    assert_eq!(origin.connections(), 1, "one upstream connection serves them all");
    assert_eq!(proxy.status()["edges"][0]["connections"], 1);
}

#[test]
fn expect_continue_is_the_origins_to_answer() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).start();
    let mut client = proxy.client();
    let ask = |connection: &str| {
        format!(
            "POST /echo HTTP/1.1\r\nHost: t\r\n{connection}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    for _ in 0..3 {
        client.send(ask(""));
        assert_eq!(client.head().status, 100);
        client.send("hello");
        let answer = client.answer(false);
        assert_eq!((answer.text().as_str(), answer.header("connection")), ("hello", Some("keep-alive")));
    }
    client.send(ask("Connection: close\r\n"));
    assert_eq!(client.head().status, 100);
    client.send("hello");
    assert_eq!(client.answer(false).header("connection"), Some("close"));
    assert_eq!(client.rest(), (Vec::new(), End::Eof));
    proxy.books();
}

#[test]
fn a_length_given_twice_ends_the_connection_after_an_interim_answer() {
    let hinting = Origin::start(|_, tcp| {
        let answer = sized(b"hello");
        let hint = b"HTTP/1.1 103 Early Hints\r\n\r\n";
        tcp.write_all(&[hint, answer.as_slice()].concat()).map_or(Then::Close, |()| Then::Keep)
    });
    for (origin, interim) in [(Origin::plain(), 100), (hinting, 103)] {
        let proxy = Proxy::before(origin.addr).start();
        let mut client = proxy.client();
        let expect = if interim == 100 { "Expect: 100-continue\r\n" } else { "" };
        let lengths = "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n";
        client.send(format!("POST /echo HTTP/1.1\r\nHost: t\r\n{expect}{lengths}\r\n"));
        if interim == 100 {
            assert_eq!(client.head().status, interim);
        }
        client.send("5\r\nhello\r\n0\r\n\r\n");
        if interim == 103 {
            assert_eq!(client.head().status, interim);
        }
        let answer = client.answer(false);
        assert_eq!((answer.text().as_str(), answer.header("connection")), ("hello", Some("close")));
        assert_eq!(client.rest(), (Vec::new(), End::Eof), "{interim}");
        proxy.books();
    }
}

#[test]
fn early_hints_pass_on_http_1() {
    let origin = Origin::start(|_, tcp| {
        tcp.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n").expect("taken");
        tcp.write_all(&sized(b"ok")).expect("taken");
        Then::Keep
    });
    let proxy = Proxy::before(origin.addr).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    let hint = client.head();
    assert_eq!((hint.status, hint.header("link")), (103, Some("</a.css>")));
    assert_eq!(client.answer(false).text(), "ok");
}

#[test]
fn two_requests_in_one_segment_do_not_hang() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).start();
    let mut client = proxy.client();
    client.send("GET /bytes/1 HTTP/1.1\r\nHost: t\r\n\r\nGET /bytes/2 HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.answer(false).body, pattern(1));
    assert_eq!(client.answer(false).body, pattern(2));
    proxy.books();
}

#[test]
fn connection_close_and_http_1_0_are_respected() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).start();
    for request in [
        "GET /bytes/5 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
        "GET /bytes/5 HTTP/1.0\r\nHost: t\r\n\r\n",
    ] {
        let mut client = proxy.client();
        let answer = client.ask(request);
        assert_eq!(
            (answer.body, answer.head.to_lowercase().contains("connection: close")),
            (pattern(5), true)
        );
        assert_eq!(client.rest(), (Vec::new(), End::Eof));
    }
}

#[test]
fn a_header_sent_in_pieces_is_one_request() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).start();
    let mut client = proxy.client();
    for byte in b"PUT /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi" {
        client.send([*byte]);
    }
    assert_eq!(client.answer(false).text(), "hi");
    assert_eq!(proxy.books()["edges"][0]["delivered"], 1);
}

#[test]
fn half_a_header_is_no_request() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).start();
    for start in ["G", "GET / HTTP/1.1\r\nHost: t\r\n", "P", "PRI * HT"] {
        let mut client = proxy.client();
        client.send(start);
        client.close_write();
        let (bytes, _) = client.rest();
        assert!(!bytes.starts_with(b"HTTP/1.1 2"), "{start}");
    }
    eventually("all closed", || proxy.status()["edges"][0]["connections"] == 0);
    let books = proxy.books();
    assert_eq!(books["edges"][0]["forwarded"], 0);
    assert_eq!(origin.count(), 0);
}

#[test]
fn garbage_is_refused_and_says_that_we_did_it() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).start();
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(300));
    let refused = [
        "\u{1}\u{2} / HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: t\r\nno colon here\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "CONNECT t:443 HTTP/1.1\r\nHost: t:443\r\n\r\n",
        many.as_str(),
    ];
    for request in refused {
        let mut client = proxy.client();
        client.send(request);
        let answer = client.answer(false);
        assert!(matches!(answer.status, 400 | 405), "{} for {request:.40}", answer.status);
        assert_eq!(answer.header("squall-error"), Some("bad-request"), "{request:.40}");
    }
    eventually("every refusal is in the books", || proxy.books()["edges"][0]["refused"]["parse"] == 5);
    assert_eq!(proxy.books()["edges"][0]["seen"], 5);
    assert_eq!(origin.count(), 0);
}

#[test]
fn an_upstream_that_is_down_is_our_502() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let proxy = Proxy::before(free).start();
    let answer = proxy.get("/");
    assert_eq!((answer.status, answer.header("squall-error")), (502, Some("upstream-unreachable")));
    let edge = &proxy.books()["edges"][0];
    assert_eq!((&edge["upstream_unreachable"], &edge["upstream_attempts"]), (&1.into(), &0.into()));
}

#[test]
fn an_upstream_that_hangs_up_is_our_502_of_another_kind() {
    for then in [Then::Close, Then::Reset] {
        let origin = Origin::start(move |_, _| then);
        let proxy = Proxy::before(origin.addr).start();
        let answer = proxy.get("/");
        assert_eq!((answer.status, answer.header("squall-error")), (502, Some("upstream-failed")));
        let edge = &proxy.books()["edges"][0];
        assert_eq!((&edge["upstream_failed"], &edge["ambiguous"]), (&1.into(), &1.into()), "{then:?}");
    }
}

#[test]
fn an_upstream_that_dies_in_its_body_truncates_the_answer() {
    for (length, then) in [(true, Then::Close), (true, Then::Reset), (false, Then::Close)] {
        let gate = Gate::new();
        let wait = gate.clone();
        let origin = Origin::start(move |_, tcp| {
            let framing = if length { "Content-Length: 100" } else { "Transfer-Encoding: chunked" };
            let start = if length { "hello" } else { "5\r\nhello\r\n" };
            write!(tcp, "HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{start}").expect("taken");
            wait.pass();
            then
        });
        let proxy = Proxy::before(origin.addr).start();
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.head().status, 200);
        let start = client.exactly(if length { 5 } else { 10 });
        assert!(start.windows(5).any(|five| five == b"hello"));
        gate.open();
        let (rest, _) = client.rest();
        assert!(rest.is_empty(), "no terminator, no padding: {rest:?}");
        let edge = &proxy.books()["edges"][0];
        assert_eq!((&edge["upstream_failed"], &edge["ambiguous"]), (&1.into(), &0.into()));
    }
}

#[test]
fn an_early_answer_reaches_a_client_that_still_sends() {
    let origin = Origin::start(|request, tcp| {
        let _ = request;
        answer_plainly(request, tcp)
    });
    let proxy = Proxy::before(origin.addr).start();
    let mut client = proxy.client();
    client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhello");
    client.send("world");
    assert_eq!(client.answer(false).text(), "helloworld");
}

#[test]
fn a_client_that_leaves_is_booked_as_gone() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |_, _| {
        wait.pass();
        Then::Close
    });
    let proxy = Proxy::before(origin.addr).start();
    for vanish in [false, true] {
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
        eventually("forwarded", || origin.count() == 1 + usize::from(vanish));
        if vanish { client.vanish() } else { drop(client) }
    }
    eventually("noticed", || proxy.status()["in_flight"] == 0);
    gate.open();
    gate.open();
    let edge = &proxy.books()["edges"][0];
    assert_eq!((&edge["client_gone_after"], &edge["ambiguous"]), (&2.into(), &2.into()));
}

#[test]
fn many_clients_at_once() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).start();
    let addr = proxy.addr;
    let work = move |n: usize| {
        let mut client = Client::connect(addr);
        for at in 0..20 {
            let size = n * 20 + at;
            let answer = client.ask(&format!("GET /bytes/{size} HTTP/1.1\r\nHost: t\r\n\r\n"));
            assert_eq!(answer.body, pattern(size));
        }
    };
    let threads: Vec<_> = (0..32).map(|n| std::thread::spawn(move || work(n))).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no client fails"));
    let edge = &proxy.books()["edges"][0];
    assert_eq!((&edge["seen"], &edge["delivered"]), (&640.into(), &640.into()));
    assert_eq!(origin.count(), 640);
}
