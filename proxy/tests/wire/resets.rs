//! Torn answers, by errno on HTTP/1 and by code and count on HTTP/2.

use std::io::{Read, Write};

use ::h2::Reason;
use http::HeaderMap;

use crate::harness::h2::{answer, block_on, whole};
use crate::harness::{Client, End, Gate, H2Client, H2Origin, Origin, Proxy, Then, pattern};

fn rules() -> String {
    let rule =
        |id: &str, at: &str| format!("[[rule]]\nid = \"{id}\"\non = \"/*/*/{id}\"\nreset = \"{at}\"\n");
    // the path says which: /bytes/N/ID is answered by N bytes
    [
        rule("before", "before headers"),
        rule("after", "after headers"),
        rule("n5000", "after 5000 B of body"),
        rule("half", "after 50% of body"),
    ]
    .concat()
}

/// `/bytes/N/…` and `/chunked/N/…`.
fn origin() -> Origin {
    Origin::start(|request, tcp| {
        let mut parts = request.target().trim_start_matches('/').split('/');
        let (kind, n) =
            (parts.next().unwrap_or_default(), parts.next().and_then(|n| n.parse().ok()).unwrap_or(0));
        let answer = match kind {
            "chunked" => crate::harness::origin::chunked(&pattern(n), 3_333),
            _ => crate::harness::origin::sized(&pattern(n)),
        };
        tcp.write_all(&answer).map_or(Then::Close, |()| Then::Keep)
    })
}

fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

#[test]
fn before_headers_on_a_fresh_and_on_a_live_connection() {
    let origin = origin();
    let proxy = Proxy::before(origin.addr).rules(&rules()).start();
    for warm in [0, 1, 5] {
        let mut client = proxy.client();
        (0..warm).for_each(|_| assert_eq!(client.ask(&request("/bytes/10/ok")).body, pattern(10)));
        client.send(request("/bytes/10/before"));
        assert_eq!(client.rest(), (Vec::new(), End::Reset), "after {warm} requests");
    }
    let mut client = proxy.client();
    client.send("POST /bytes/10/before HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\nonly the start");
    assert_eq!(client.rest(), (Vec::new(), End::Reset), "with a body under way");
    assert_eq!(origin.count(), 6);
    let edge = &proxy.books()["edges"][0];
    assert_eq!((&edge["dropped"]["before"], &edge["upstream_attempts"]), (&4.into(), &6.into()));
}

/// What came before the RST, split into header and payload.
fn torn<S: Read + Write>(client: &mut Client<S>, target: &str, chunked: bool) -> (String, Vec<u8>) {
    client.send(request(target));
    let (bytes, end) = client.rest();
    assert_eq!(end, End::Reset, "{target}");
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole header") + 4;
    let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
    let body = if chunked { unchunk(&bytes[at..]) } else { bytes[at..].to_vec() };
    (head, body)
}

/// The payload of chunks of which the last may be torn.
fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    while let Some(at) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size =
            usize::from_str_radix(std::str::from_utf8(&bytes[..at]).expect("text"), 16).expect("a size");
        bytes = &bytes[at + 2..];
        let there = size.min(bytes.len());
        payload.extend_from_slice(&bytes[..there]);
        bytes = bytes.get(there + 2..).unwrap_or(&[]);
    }
    payload
}

fn tears_at_the_byte<S: Read + Write>(proxy: &Proxy, connect: impl Fn() -> Client<S>) {
    let mut asked = 0;
    for kind in ["bytes", "chunked"] {
        let chunked = kind == "chunked";
        for (size, rule, n) in [
            (10, "after", 0),
            (100_000, "after", 0),
            (100_000, "n5000", 5_000),
            (5_000, "n5000", 5_000),
            (1_000_000, "n5000", 5_000),
        ] {
            let (head, body) = torn(&mut connect(), &format!("/{kind}/{size}/{rule}"), chunked);
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            assert!(head.to_lowercase().contains(&format!("squall-fault: {rule}\r\n")), "{head}");
            assert!(body == pattern(size)[..n], "{kind} {size} {rule}: {} bytes", body.len());
            asked += 1;
        }
    }
    for size in [10, 4_001, 1_000_000] {
        let (_, body) = torn(&mut connect(), &format!("/bytes/{size}/half"), false);
        assert!(body == pattern(size)[..size / 2], "half of {size}: {}", body.len());
        asked += 1;
    }
    let mut client = connect();
    for (target, size) in
        [("/bytes/4999/n5000", 4_999), ("/chunked/4999/n5000", 4_999), ("/chunked/60000/half", 60_000)]
    {
        let answer = client.ask(&request(target));
        assert!(
            answer.body == pattern(size),
            "{target} has no such byte: it passes whole, and the connection lives"
        );
    }
    assert!(client.ask(&request("/bytes/70000/ok")).body == pattern(70_000), "nothing of the cut is left");
    let books = proxy.books();
    let cut: u64 =
        books["edges"][0]["cut"].as_object().expect("cuts").values().map(|n| n.as_u64().expect("n")).sum();
    assert_eq!((cut, books["edges"][0]["delivered"].as_u64()), (asked, Some(4)));
    for rule in books["rules"].as_array().expect("rules") {
        let spared = if rule["id"] == "n5000" { 2 } else { 1 };
        let missed = rule["suppressed"]["no_such_point"].as_u64().unwrap_or(0);
        assert!(missed == 0 || missed == spared, "{rule}");
    }
}

#[test]
fn inside_an_answer_on_http_1() {
    let origin = origin();
    let proxy = Proxy::before(origin.addr).rules(&rules()).start();
    tears_at_the_byte(&proxy, || proxy.client());
}

#[test]
fn inside_an_answer_under_tls() {
    let origin = origin();
    let proxy = Proxy::before(origin.addr).rules(&rules()).tls().start();
    tears_at_the_byte(&proxy, || proxy.identity.as_ref().expect("TLS").client(proxy.addr));
    let mut client = proxy.identity.as_ref().expect("TLS").client(proxy.addr);
    client.send(request("/bytes/10/before"));
    assert_eq!(client.rest(), (Vec::new(), End::Reset));
}

#[test]
fn the_cut_comes_while_the_origin_still_sends() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |_, tcp| {
        tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n").expect("taken");
        tcp.write_all(&pattern(5_000)).expect("taken");
        wait.pass();
        Then::Close
    });
    let proxy = Proxy::before(origin.addr).rules(&rules()).start();
    let (_, body) = torn(&mut proxy.client(), "/bytes/1/n5000", false);
    assert_eq!(body, &pattern(5_000)[..]);
    assert_eq!(proxy.books()["edges"][0]["cut"]["n5000"], 1, "before the origin went on");
    gate.open();
}

#[test]
fn head_and_empty_answers_have_no_such_byte() {
    let origin = Origin::plain();
    let rules = "[[rule]]\nid = \"n1\"\non = \"/**\"\nreset = \"after 1 B of body\"\n";
    let proxy = Proxy::before(origin.addr).rules(rules).start();
    let mut client = proxy.client();
    assert_eq!(client.ask("HEAD /bytes/10 HTTP/1.1\r\nHost: t\r\n\r\n").status, 200);
    assert_eq!(client.ask("GET /status/204 HTTP/1.1\r\nHost: t\r\n\r\n").status, 204);
    assert_eq!(client.ask("GET /bytes/0 HTTP/1.1\r\nHost: t\r\n\r\n").status, 200);
    let books = proxy.books();
    assert_eq!(books["rules"][0]["suppressed"]["no_such_point"], 3);
    assert_eq!(books["edges"][0]["delivered"], 3);
}

#[test]
fn single_streams_are_reset_and_their_neighbours_are_not() {
    let origin = origin();
    let clear = Proxy::before(origin.addr).rules(&rules()).start();
    let tls = Proxy::before(origin.addr).rules(&rules()).tls().start();
    block_on(async {
        resets_among_neighbours(H2Client::connect(clear.addr).await).await;
        let identity = tls.identity.as_ref().expect("TLS");
        resets_among_neighbours(H2Client::connect_tls(tls.addr, identity).await).await;
    });
    for proxy in [clear, tls] {
        let edge = proxy.books()["edges"][0].clone();
        assert_eq!(edge["dropped"]["before"], ROUNDS);
        for rule in ["after", "n5000", "half"] {
            assert_eq!(edge["cut"][rule], 2 * ROUNDS, "{rule}: {edge}");
        }
    }
}

const ROUNDS: u64 = 4;

async fn resets_among_neighbours(client: H2Client) {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let neighbours: Vec<_> = (0..8)
        .map(|_| {
            let (client, stopped) = (client.clone(), stopped.clone());
            tokio::spawn(async move {
                let mut downloads = 0;
                while !*stopped.borrow() || downloads == 0 {
                    let outcome = client.get("/bytes/1000000/ok").await;
                    assert!(outcome.body == pattern(1_000_000), "{:?} {:?}", outcome.reset, outcome.error);
                    downloads += 1;
                }
            })
        })
        .collect();
    for _ in 0..ROUNDS {
        let before = client.get("/bytes/10/before").await;
        assert_eq!((before.status, before.reset, before.error), (0, Some(Reason::INTERNAL_ERROR), None));
        for kind in ["bytes", "chunked"] {
            for (size, rule, n) in [(70_000, "after", 0), (70_000, "n5000", 5_000)] {
                let outcome = client.get(&format!("/{kind}/{size}/{rule}")).await;
                assert_eq!(
                    (outcome.status, outcome.reset),
                    (200, Some(Reason::INTERNAL_ERROR)),
                    "{rule} {:?}",
                    outcome.error
                );
                assert!(outcome.body == pattern(size)[..n], "{rule}: {} bytes", outcome.body.len());
                assert_eq!(outcome.headers["squall-fault"], rule);
            }
        }
        for size in [20, 900_000] {
            let outcome = client.get(&format!("/bytes/{size}/half")).await;
            assert_eq!(
                outcome.reset,
                Some(Reason::INTERNAL_ERROR),
                "half of {size}: {} bytes",
                outcome.body.len()
            );
            assert!(outcome.body == pattern(size)[..size / 2], "half: {} bytes", outcome.body.len());
        }
    }
    for target in ["/bytes/4999/n5000", "/chunked/4999/n5000"] {
        let outcome = client.get(target).await;
        assert!(
            outcome.body == pattern(4_999),
            "it has no such byte: {:?} {:?}",
            outcome.reset,
            outcome.error
        );
    }
    stop.send_replace(true);
    for neighbour in neighbours {
        neighbour.await.expect("no neighbour is harmed");
    }
}

#[test]
fn a_cut_grpc_stream_leaves_the_connections_header_table_intact() {
    let origin = H2Origin::start(|request, respond| async move {
        let target = request.uri().path().to_owned();
        let body = whole(request.into_body()).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().expect("a value"));
        trailers.insert("x-trailer", format!("value of {target}").parse().expect("a value"));
        answer(respond, body, Some(trailers));
    });
    let rules = "[[rule]]\nid = \"cut\"\non = \"/cut/**\"\nreset = \"after headers\"\n\
                 [[rule]]\nid = \"n3\"\non = \"/three/**\"\nreset = \"after 3 B of body\"\n";
    let proxy = Proxy::before_url(&format!("h2c://{}", origin.addr)).rules(rules).start();
    block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        for n in 0..30 {
            let ask = |path: String, body: Vec<u8>| {
                let request = client.request("POST", &path).header("content-type", "application/grpc");
                client.send(request, body)
            };
            for path in ["cut", "three"] {
                let body = if n % 2 == 0 { Vec::new() } else { pattern(10) };
                let whole = path == "three" && body.is_empty();
                let outcome = ask(format!("/{path}/{n}"), body).await;
                assert_eq!(outcome.status, 200, "{:?}", outcome.error);
                assert_eq!(
                    outcome.reset,
                    (!whole).then_some(Reason::INTERNAL_ERROR),
                    "{path} {n} {:?}",
                    outcome.error
                );
                assert_eq!(outcome.trailers.is_some(), whole, "{path} {n}");
            }
            let fine = ask(format!("/fine/{n}"), pattern(10)).await;
            assert_eq!(fine.body, pattern(10));
            assert_eq!(fine.trailers.expect("trailers")["x-trailer"], format!("value of /fine/{n}"));
        }
    });
    proxy.books();
}
