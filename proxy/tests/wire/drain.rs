//! Stopping: every exchange finishes, idle connections close at once, the deadline is kept.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::harness::{Client, End, Gate, H2Client, Origin, Proxy, Then, eventually, h2, pattern};

const SLEEP: &str = "[[rule]]\nid = \"sleep\"\non = \"/sleep\"\ndelay = \"1h\"\n";

/// `/stream` sends half of its answer, then waits for the gate; the rest is answered plainly.
fn streaming(gate: &Arc<Gate>) -> Origin {
    let wait = gate.clone();
    Origin::start(move |request, tcp| {
        if request.target() == "/stream" {
            tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").expect("taken");
            wait.pass();
            tcp.write_all(b"world").expect("taken");
            return Then::Keep;
        }
        crate::harness::origin::answer_plainly(request, tcp)
    })
}

/// Connections that have each sent that much.
fn clients(proxy: &Proxy, n: usize, sent: &str) -> Vec<Client> {
    let open = |_| {
        let mut client = proxy.client();
        client.send(sent);
        client
    };
    (0..n).map(open).collect()
}

/// The client's exchange ends well, and its connection after it.
fn finishes(client: &mut Client, body: &[u8], what: &str) {
    let answer = client.answer(false);
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{what}");
    assert_eq!((answer.body.as_slice(), client.rest()), (body, (Vec::new(), End::Eof)), "{what}");
}

#[test]
fn every_exchange_finishes_and_idle_connections_close_at_once() {
    let gate = Gate::new();
    let origin = streaming(&gate);
    let mut proxy = Proxy::before(origin.addr).rules(SLEEP).recorded().start();
    let mut idle = clients(&proxy, 20, "");
    idle.iter_mut().for_each(|client| drop(client.ask("GET / HTTP/1.1\r\nHost: t\r\n\r\n")));
    idle.extend(clients(&proxy, 5, ""));
    let mut sleepers = clients(&proxy, 20, "GET /sleep HTTP/1.1\r\nHost: t\r\n\r\n");
    let mut heads = clients(&proxy, 10, "GET /bytes/3 HTTP/1.1\r\nHo");
    let mut bodies = clients(&proxy, 10, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhello");
    let mut stream = clients(&proxy, 1, "GET /stream HTTP/1.1\r\nHost: t\r\n\r\n").remove(0);
    assert_eq!((stream.head().status, stream.exactly(5)), (200, b"hello".to_vec()));
    h2::block_on(async {
        let http2 = H2Client::connect(proxy.addr).await;
        let sleep = |_| {
            let client = http2.clone();
            tokio::spawn(async move { client.get("/sleep").await })
        };
        let streams: Vec<_> = (0..20).map(sleep).collect();
        while proxy.status()["in_flight"] != 51 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        eventually("all are accepted", || proxy.status()["edges"][0]["connections"] == 67);
        let running = proxy.take();
        let stopping = std::thread::spawn(move || running.stop(|| false));
        for client in &mut idle {
            assert_eq!(client.rest(), (Vec::new(), End::Eof), "idle");
        }
        sleepers.iter_mut().for_each(|client| finishes(client, b"ok", "sleeper"));
        for outcome in streams {
            assert_eq!(outcome.await.expect("a stream").status, 200);
        }
        for client in &mut heads {
            client.send("st: t\r\n\r\n");
            finishes(client, &pattern(3), "half a header");
        }
        for client in &mut bodies {
            client.send("world");
            finishes(client, b"helloworld", "half a body");
        }
        gate.open();
        assert_eq!((stream.exactly(5), stream.rest()), (b"world".to_vec(), (Vec::new(), End::Eof)));
        drop(http2);
        let books = stopping.join().expect("stopped");
        let edge = &books.edges[0].books;
        assert_eq!((books.unfinished, edge.seen, edge.delivered, edge.recorded), (0, 81, 81, 81));
    });
    let verified = captures::verify::verify(proxy.capture()).expect("readable");
    assert!(verified.is_clean() && verified.closed && verified.exchanges == 81, "{verified:?}");
    assert!(std::net::TcpStream::connect(proxy.addr).is_err(), "nobody listens");
}

#[test]
fn the_deadline_cuts_the_rest_and_counts_it() {
    let origin = Origin::start(|_, _| {
        std::thread::park();
        Then::Close
    });
    let mut proxy = Proxy::before(origin.addr)
        .recorded()
        .with(|config| config.grace = Duration::from_millis(300))
        .start();
    let mut clients: Vec<_> = (0..7).map(|_| proxy.client()).collect();
    clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n"));
    eventually("forwarded", || origin.count() == 7);
    let begun = Instant::now();
    let books = proxy.stop();
    assert!(Duration::from_millis(300) <= begun.elapsed());
    assert_eq!(books.unfinished, 7);
    for client in &mut clients {
        assert!(client.rest().0.is_empty());
    }
    let edge = &books.edges[0].books;
    assert_eq!((edge.seen, edge.forwarded, edge.ambiguous), (7, 7, 7));
    assert_eq!(edge.recorded, 7);
    assert_eq!(edge.delivered, 0);
}

#[test]
fn silent_connections_do_not_hold_up_a_stop() {
    let origin = Origin::plain();
    let mut proxy = Proxy::before(origin.addr).tls().start();
    let mute = Client::connect(proxy.addr);
    let mut half = Client::connect(proxy.addr);
    half.send([0x16, 0x03, 0x01]);
    let identity = proxy.identity.take().expect("TLS");
    let addr = proxy.addr;
    h2::block_on(async {
        let tcp = tokio::net::TcpStream::connect(addr).await.expect("connected");
        let connector = tokio_rustls::TlsConnector::from(identity.config(&[b"h2"]));
        let prefaceless = connector.connect(crate::harness::tls::name(), tcp).await.expect("a handshake");
        eventually("accepted", || proxy.status()["edges"][0]["connections"] == 3);
        let books = proxy.stop();
        assert_eq!(books.unfinished, 0, "and the grace time of 30 s was not needed");
        drop(prefaceless);
    });
    drop((mute, half));
}

#[test]
fn a_second_request_to_stop_is_heard() {
    let origin = Origin::start(|_, _| {
        std::thread::park();
        Then::Close
    });
    let mut proxy = Proxy::before(origin.addr).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("forwarded", || origin.count() == 1);
    let books = proxy.take().stop(|| true);
    assert_eq!(books.unfinished, 1);
}

#[test]
fn blackholes_let_go_at_a_stop() {
    let origin = Origin::plain();
    let rules = "[[rule]]\nid = \"hole\"\non = \"/hole\"\nblackhole = \"forever\"\n\
                 [[rule]]\nid = \"late\"\non = \"/late\"\ndelay = \"1h\"\nblackhole = \"forever\"\n";
    let mut proxy = Proxy::before(origin.addr).rules(rules).start();
    let mut held = clients(&proxy, 1, "GET /hole HTTP/1.1\r\nHost: t\r\n\r\n");
    held.extend(clients(&proxy, 1, "GET /late HTTP/1.1\r\nHost: t\r\n\r\n"));
    proxy.await_in_flight(2);
    let running = proxy.take();
    let stopping = std::thread::spawn(move || running.stop(|| false));
    held.iter_mut().for_each(|client| finishes(client, b"ok", "held"));
    assert_eq!(stopping.join().expect("stopped").unfinished, 0);
}

#[test]
fn whoever_sent_a_request_before_the_stop_is_answered() {
    let origin = Origin::plain();
    for _ in 0..5 {
        let mut proxy = Proxy::before(origin.addr).start();
        let mut early = clients(&proxy, 100, "GET / HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(proxy.stop().unfinished, 0);
        for client in &mut early {
            assert_eq!(client.answer(false).text(), "ok");
        }
    }
}
