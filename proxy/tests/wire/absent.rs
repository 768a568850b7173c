//! Every kind of fault that does not act leaves traffic as it is, byte for byte and in both directions, on every protocol:
//! rules that select nobody, whose time has not come, whose turn it is not, or that are about something else.

use std::fmt::Write as _;
use std::io::{Read, Write};

use http::HeaderMap;

use crate::calls::{self, message};
use crate::harness::h2::{block_on, finish};
use crate::harness::tcp::rest;
use crate::harness::{
    Client, H2Client, H2Origin, Origin, Proxy, Then, Upstream, WAYS, Way, origin::answer_plainly, pattern,
};
use crate::streams::{CLOSE, TEXT, UPGRADE, echo, frame, masked};

/// One of each kind, as strong as it can be.
const KINDS: [&str; 27] = [
    "delay = \"1h\"",
    "delay = \"1h at connect\"",
    "delay = \"1h at response\"",
    "delay = \"1h at first_byte\"",
    "delay = \"at least 1h\"",
    "respond = 503",
    "respond = { grpc_status = 14 }",
    "rate_limit = { rate = \"1/1h\", burst = 1 }",
    "reset = \"before headers\"",
    "reset = \"after headers\"",
    "reset = \"after 10 B\"",
    "blackhole = \"forever\"",
    "truncate = \"10 B\"",
    "throttle = { response = \"1B/s\", request = \"1B/s\" }",
    "stall = \"forever after headers\"",
    "stall = \"forever after 1 events\"",
    "loss = { rate = \"100%\", rto = \"1h\", max_rto = \"1h\" }",
    "corrupt = \"zero per 10 B\"",
    "corrupt = { kind = \"zero\", per = \"10 B\", direction = \"request\" }",
    "drop_response = \"reset\"",
    "duplicate = 3",
    "storm = { when = [\"2xx\", \"4xx\"], copies = 3, max_amplification = 9.0 }",
    "outage = \"refuse\"",
    "stale = \"0s\"",
    "goaway = \"INTERNAL_ERROR\"",
    "websocket_close = 1011",
    "one_of = [{ reset = \"before headers\" }, { delay = \"1h\" }]",
];

/// Why a rule does nothing.
const IDLE: [&str; 4] =
    ["rate = \"0%\"", "when = \"1h..\"", "every = \"1000000th\"", "on = \"/elsewhere/**\"\nattempts = 1"];

/// What traffic goes through.
struct Origins {
    web: Origin,
    calls: H2Origin,
    db: Upstream,
}

fn web(request: &crate::harness::origin::Request, tcp: &mut std::net::TcpStream) -> Then {
    match request.target() {
        "/socket" => echo(tcp),
        "/events" => {
            let events: String = (0..9).map(|n| format!("id: {n}\ndata: {n}\n\n")).collect();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
            tcp.write_all([head, &events].concat().as_bytes()).expect("taken");
            Then::Close
        }
        "/hints" => {
            let answer = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nX-Case: Kept\r\nContent-Length: 2\r\n\r\nok";
            tcp.write_all(answer).map_or(Then::Close, |()| Then::Keep)
        }
        _ => answer_plainly(request, tcp),
    }
}

/// Edges in clear text and under TLS before one origin, the same for calls, and one of TCP.
fn proxy(origins: &Origins, rules: &str) -> Proxy {
    let plan = Proxy::before(origins.web.addr).rules(rules).tls().with(|config| {
        let tls = config.edges[0].clone();
        let clear = proxy::EdgeConfig { name: "clear".to_owned(), tls: false, ..tls.clone() };
        let upstream = proxy::Upstream::resolve(&format!("h2c://{}", origins.calls.addr));
        let calls = proxy::EdgeConfig {
            name: "calls".to_owned(),
            upstream: upstream.expect("an upstream"),
            ..clear.clone()
        };
        let calls_tls = proxy::EdgeConfig { name: "calls-tls".to_owned(), tls: true, ..calls.clone() };
        config.edges = vec![tls, clear, calls, calls_tls];
        config.tcp_edges = vec![proxy::TcpEdgeConfig {
            name: "db".to_owned(),
            listen: ([127, 0, 0, 1], 0).into(),
            upstream: origins.db.addr.to_string(),
        }];
    });
    plan.start()
}

/// Headers as they came, but for the moment.
fn told(headers: &HeaderMap) -> String {
    let lines = headers.iter().filter(|(name, _)| *name != "date");
    lines.map(|(name, value)| format!("{name}: {value:?}\n")).collect()
}

fn undated(head: &str) -> String {
    head.split_inclusive("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("date:")).collect()
}

fn http1<S: Read + Write>(mut client: Client<S>, said: &mut String) {
    for request in [
        "GET /bytes/1000?q=1 HTTP/1.1\r\nHost: t\r\nX-Case: Kept\r\n\r\n",
        "GET /chunked/20000 HTTP/1.1\r\nHost: t\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 26\r\n\r\nabcdefghijklmnopqrstuvwxyz",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n",
        "HEAD /bytes/9 HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET /status/304 HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET /status/404 HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET /hints HTTP/1.1\r\nHost: t\r\n\r\n",
    ] {
        let mut answer = client.ask(request);
        if answer.status == 103 {
            said.push_str(&answer.head);
            answer = client.answer(false);
        }
        write!(said, "{}{}", undated(&answer.head), answer.text()).expect("a string");
    }
}

fn socket<S: Read + Write>(mut client: Client<S>, said: &mut String) {
    client.send(UPGRADE);
    said.push_str(&undated(&client.head().head));
    client.send(
        [masked(TEXT, &[b'x'; 50_000]), masked(0x82, b"two"), masked(0x80 | CLOSE, b"\x03\xe8")].concat(),
    );
    let expected = [
        frame(TEXT, &[b'x'; 50_000], None),
        frame(0x82, b"two", None),
        frame(0x80 | CLOSE, b"\x03\xe8", None),
    ];
    let (bytes, end) = client.rest();
    assert!(bytes == expected.concat(), "{} bytes", bytes.len());
    write!(said, "{end:?}").expect("a string");
}

async fn http2(client: H2Client, said: &mut String) {
    for (method, target, body) in [
        ("GET", "/bytes/100000", None),
        ("GET", "/chunked/20000", None),
        ("HEAD", "/bytes/9", None),
        ("GET", "/status/404", None),
        ("GET", "/hints", None),
        ("POST", "/echo", Some(pattern(30_000))),
    ] {
        let (response, mut stream) = client.start(client.request(method, target), body.is_none()).await;
        if let Some(body) = body {
            stream.send_data(body.into(), true).expect("taken");
        }
        let seen = finish(response).await;
        assert_eq!((seen.reset, seen.error), (None, None));
        write!(said, "{} {}{:?} {:?}", seen.status, told(&seen.headers), seen.body, seen.trailers)
            .expect("a string");
    }
}

async fn call(client: H2Client, said: &mut String) {
    let (headers, is_all) = calls::header(&client, "/refused").await;
    write!(said, "{}{is_all}", told(&headers)).expect("a string");
    let request = client.request("POST", "/call").header("content-type", "application/grpc");
    let seen = client.send(request.header("te", "trailers"), message(b"hello").repeat(3)).await;
    assert_eq!(seen.body, message(b"hello").repeat(15));
    write!(said, "{}{:?}", told(&seen.headers), seen.trailers.as_ref().map(told)).expect("a string");
}

/// Everything that clients see and that origins get, with the ways named.
fn talk(origins: &Origins, proxy: &mut Proxy) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let already = origins.web.seen().len();
    let [tls, clear, calls, calls_tls] = [0, 1, 2, 3].map(|at| proxy.edge(at));
    let mut note = |what: String, fill: &mut dyn FnMut(&mut String)| {
        let mut said = String::new();
        fill(&mut said);
        all.push((what, said));
    };
    for way in WAYS {
        proxy.addr = if way.is_tls() { tls } else { clear };
        let identity = proxy.identity.as_ref().expect("TLS");
        note(format!("{way:?}"), &mut |said| match way {
            Way::Http1 => http1(Client::connect(clear), said),
            Way::Http1Tls => http1(identity.client(tls), said),
            Way::Http2 => block_on(async { http2(H2Client::connect(clear).await, said).await }),
            Way::Http2Tls => {
                block_on(async { http2(H2Client::connect_tls(tls, identity).await, said).await });
            }
        });
        note(format!("events over {way:?}"), &mut |said| {
            let seen = way.get(proxy, "/events");
            write!(said, "{} {:?} {:?} {:?}", seen.status, seen.fault, seen.end, seen.body)
                .expect("a string");
        });
    }
    let identity = proxy.identity.as_ref().expect("TLS");
    note("a WebSocket".to_owned(), &mut |said| socket(Client::connect(clear), said));
    note("a WebSocket under TLS".to_owned(), &mut |said| socket(identity.client(tls), said));
    note("calls".to_owned(), &mut |said| {
        block_on(async { call(H2Client::connect(calls).await, said).await });
    });
    note("calls under TLS".to_owned(), &mut |said| {
        block_on(async { call(H2Client::connect_tls(calls_tls, identity).await, said).await });
    });
    note("TCP".to_owned(), &mut |said| {
        let mut tcp = proxy.dial();
        tcp.write_all(&pattern(30_000)).expect("taken");
        tcp.shutdown(std::net::Shutdown::Write).expect("half closed");
        let (bytes, end) = rest(&mut tcp);
        write!(said, "{bytes:?} {end:?}").expect("a string");
    });
    note("what the origin got".to_owned(), &mut |said| {
        for request in &origins.web.seen()[already..] {
            write!(said, "{}{:?}", request.head, request.body).expect("a string");
        }
    });
    all
}

#[test]
fn a_fault_that_does_not_act_changes_nothing_on_any_protocol() {
    let origins = Origins { web: Origin::start(web), calls: calls::server(), db: Upstream::echo() };
    let without = talk(&origins, &mut proxy(&origins, ""));
    for kind in KINDS {
        let rule = |(n, idle): (usize, &&str)| format!("[[rule]]\nid = \"r{n}\"\n{idle}\n{kind}\n");
        let rules: String = IDLE.iter().enumerate().map(rule).collect();
        let mut with = proxy(&origins, &rules);
        for ((what, is), (_, was)) in talk(&origins, &mut with).iter().zip(&without) {
            assert!(is == was, "{kind}, {what}:\n{is:.2000}\n\nwithout:\n{was:.2000}");
        }
        let books = with.books();
        for edge in books["edges"].as_array().expect("edges") {
            assert_eq!(edge["seen"], edge["delivered"], "{kind}: {edge}");
            assert_eq!(edge["seen"], edge["upstream_attempts"], "{kind}: {edge}");
        }
        with.settled("db");
        for rule in books["rules"].as_array().expect("rules") {
            assert_eq!(rule["applied"], 0, "{kind}: {rule}");
        }
    }
}
