//! An earlier answer is served again.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::client::Answer;
use crate::harness::origin::{Request, chunked};
use crate::harness::proxy::ms;
use crate::harness::{Client, H2Client, Origin, Proxy, Then, eventually, h2, pattern};

/// Every second request is to get an earlier answer; the ones between pass, and are kept.
fn rules(age: &str) -> String {
    format!("[[rule]]\nid = \"lag\"\non = \"/f/**\"\nevery = \"2nd\"\nstale = \"{age}\"\n")
}

/// Answers with the version that the test has set.
struct Replica {
    origin: Origin,
    version: Arc<AtomicUsize>,
}

impl Replica {
    fn start() -> Replica {
        let version = Arc::new(AtomicUsize::new(1));
        let now = version.clone();
        let origin = Origin::start(move |request, tcp| answer(request, now.load(Ordering::SeqCst), tcp));
        Replica { origin, version }
    }

    fn write(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
    }
}

fn answer(request: &Request, version: usize, tcp: &mut TcpStream) -> Then {
    let body = format!("v{version} for {}", request.header("authorization").unwrap_or("anybody"));
    let (status, more, body) = match request.target().trim_start_matches("/f/") {
        "cookie" => ("200 OK", "Set-Cookie: sid=0123456789\r\n", body),
        "no-store" => ("200 OK", "Cache-Control: no-store\r\n", body),
        "created" if version == 1 => ("404 Not Found", "", "no such order".to_owned()),
        "busy" => ("503 Busy", "", body),
        "part" => ("206 Partial Content", "Content-Range: bytes 0-1/9\r\n", "ab".to_owned()),
        "large" => ("200 OK", "", "x".repeat((1 << 20) + 1)),
        "old" => ("200 OK", "Age: 100\r\n", body),
        "half" => ("200 OK", "X-Half: 1\r\n", body + &" ".repeat(1000)),
        "chunked" => {
            let written = tcp.write_all(&chunked(&pattern(50_000), 999));
            return written.map_or(Then::Close, |()| Then::Keep);
        }
        _ => ("200 OK", "X-Replica: eu\r\nKeep-Alive: timeout=5\r\n", body),
    };
    let head = format!("HTTP/1.1 {status}\r\n{more}Content-Length: {}\r\n\r\n", body.len());
    let shown = match (request.method(), more) {
        ("HEAD", _) => "",
        (_, "X-Half: 1\r\n") => &body[..10],
        _ => body.as_str(),
    };
    let written = tcp.write_all([head.as_bytes(), shown.as_bytes()].concat().as_slice());
    let whole = !more.starts_with("X-Half");
    if whole && written.is_ok() { Then::Keep } else { Then::Close }
}

fn ask(proxy: &Proxy, method: &str, target: &str, more: &str) -> Answer {
    let request = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{more}\r\n");
    Client::once(proxy.addr, &request)
}

fn is_stale(answer: &Answer) -> bool {
    let said = (answer.header("squall-error"), answer.header("squall-fault"), answer.header("age").is_some());
    assert!(matches!(said, (Some("injected"), Some("lag"), true) | (None, None, false)), "{}", answer.head);
    said.2
}

#[test]
fn a_read_after_a_write_sees_the_state_before_it_on_both_protocols() {
    let replica = Replica::start();
    let proxy = Proxy::before(replica.origin.addr).rules(&rules("50ms")).start();
    assert_eq!(ask(&proxy, "GET", "/f/x", "").text(), "v1 for anybody");
    std::thread::sleep(ms(60));
    replica.write();
    let stale = ask(&proxy, "GET", "/f/x", "");
    assert!(is_stale(&stale));
    assert_eq!((stale.status, stale.text().as_str()), (200, "v1 for anybody"));
    assert_eq!((stale.header("x-replica"), stale.header("keep-alive")), (Some("eu"), None));
    h2::block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        assert_eq!(client.get("/f/x").await.body, b"v2 for anybody");
        std::thread::sleep(ms(60));
        replica.write();
        let outcome = client.get("/f/x").await;
        assert_eq!((outcome.status, outcome.body.as_slice()), (200, b"v2 for anybody".as_slice()));
        assert_eq!(
            (&outcome.headers["squall-error"], &outcome.headers["x-replica"]),
            (&"injected".parse().expect("v"), &"eu".parse().expect("v"))
        );
    });
    let edge = proxy.books()["edges"][0].clone();
    assert_eq!((&edge["short_circuited"]["lag"], &edge["delivered"]), (&2.into(), &2.into()));
    assert_eq!((replica.origin.count(), &proxy.rule_books("lag")["applied"]), (2, &2.into()));
}

#[test]
fn without_an_answer_that_is_old_enough_the_request_goes_on() {
    let replica = Replica::start();
    let proxy = Proxy::before(replica.origin.addr).rules(&rules("1h")).start();
    for n in 1..=4 {
        let answer = ask(&proxy, "GET", "/f/x", "");
        assert!(!is_stale(&answer));
        assert_eq!(answer.text(), format!("v{n} for anybody"));
        replica.write();
    }
    let rule = proxy.rule_books("lag");
    assert_eq!(
        (&rule["suppressed"]["nothing_stale"], &rule["suppressed"]["not_nth"]),
        (&2.into(), &2.into())
    );
    assert_eq!(replica.origin.count(), 4);
}

/// Whether the second of two requests gets the first one's answer.
fn is_kept(method: &str, target: &str, [first, second]: [&str; 2]) -> bool {
    let replica = Replica::start();
    let proxy = Proxy::before(replica.origin.addr).rules(&rules("1ms")).start();
    let request = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{first}\r\n");
    let mut client = proxy.client();
    client.send(request);
    if target == "/f/half" {
        drop(client.rest());
    } else {
        client.answer(method == "HEAD");
    }
    eventually("it is over", || proxy.status()["in_flight"] == 0);
    std::thread::sleep(ms(2));
    replica.write();
    let mut client = proxy.client();
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{second}\r\n"));
    let answer = client.head();
    let stale = is_stale(&answer);
    if stale && target == "/f/created" {
        assert_eq!(answer.status, 404);
    }
    if stale && target == "/f/chunked" {
        assert_eq!(answer.header("content-length"), Some("50000"));
        assert_eq!(client.exactly(50_000), pattern(50_000));
    }
    if stale && target == "/f/old" {
        assert_eq!(answer.header("age"), Some("100"));
    }
    if stale && method == "HEAD" {
        assert_eq!(answer.header("content-length"), Some("14"));
    }
    drop(client);
    eventually("it is over", || proxy.status()["in_flight"] == 0);
    let metrics = proxy.ask_admin("GET", "/metrics", "").text();
    assert_eq!(metrics.contains("squall_proxy_stale_shed_total 0"), target != "/f/large", "{target}");
    stale
}

#[test]
fn which_answers_are_kept_and_for_whom() {
    let same = ["", ""];
    for target in ["/f/x", "/f/no-store", "/f/created", "/f/chunked", "/f/old", "/f/x?page=2"] {
        assert!(is_kept("GET", target, same), "{target}");
    }
    assert!(is_kept("HEAD", "/f/x", same));
    for target in ["/f/cookie", "/f/busy", "/f/part", "/f/large", "/f/half"] {
        assert!(!is_kept("GET", target, same), "{target}");
    }
    assert!(!is_kept("POST", "/f/x", ["Content-Length: 0\r\n", "Content-Length: 0\r\n"]));
    let (anna, bert) = ("Authorization: Bearer anna\r\n", "Authorization: Bearer bert\r\n");
    assert!(is_kept("GET", "/f/x", [anna, anna]));
    assert!(!is_kept("GET", "/f/x", [anna, bert]));
    assert!(!is_kept("GET", "/f/x", [anna, ""]));
    assert!(!is_kept("GET", "/f/x", ["Cookie: sid=1\r\n", "Cookie: sid=2\r\n"]));
    assert!(!is_kept("GET", "/f/x", ["Accept-Encoding: gzip\r\n", ""]));
}

#[test]
fn what_was_kept_goes_with_the_rule() {
    let replica = Replica::start();
    let proxy = Proxy::before(replica.origin.addr).rules(&rules("1ms")).start();
    assert!(!is_stale(&ask(&proxy, "GET", "/f/x", "")));
    proxy.reload("[[rule]]\nid = \"other\"\non = \"/other\"\nrespond = 500\n");
    proxy.reload(&rules("1ms").replace("2nd", "1st"));
    std::thread::sleep(ms(2));
    assert!(!is_stale(&ask(&proxy, "GET", "/f/x", "")), "the store is empty");
    eventually("kept anew", || is_stale(&ask(&proxy, "GET", "/f/x", "")));
}

#[test]
fn a_client_that_leaves_a_download_leaves_nothing_behind() {
    let origin = Origin::start(|_, tcp| {
        // more than the sockets between here and the client hold
        let written = tcp.write_all(&crate::harness::origin::sized(&pattern(8_000_000)));
        written.map_or(Then::Close, |()| Then::Keep)
    });
    let proxy = Proxy::before(origin.addr).rules(&rules("1ms")).start();
    let mut client = proxy.client();
    client.send("GET /f/x HTTP/1.1\r\nHost: test\r\n\r\n");
    client.head();
    client.vanish();
    let edge = proxy.books()["edges"][0].clone();
    assert_eq!(edge["client_gone_after"], 1);
    let mut client = proxy.client();
    client.send("GET /f/x HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(!is_stale(&client.head()));
}
