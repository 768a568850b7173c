//! What the recording keeps of bodies and of the headers of answers is what its policy says, and no answer waits for it.

use std::io::Write;
use std::path::Path;

use captures::notes::Notes;
use captures::{Body, Exchange, Reader};

use crate::harness::origin::{answer_plainly, chunked, sized};
use crate::harness::{Gate, H2Client, Origin, Proxy, Then, eventually, h2, pattern};

fn exchanges(path: &Path) -> Vec<Exchange> {
    let reader = Reader::open(path).expect("a capture");
    let mut all: Vec<_> = reader.exchanges().map(|exchange| exchange.expect("undamaged")).collect();
    all.sort_by_key(|exchange| exchange.start_us);
    all
}

/// The bodies of a request of 3,000 bytes and of its answer of as many, under a policy.
fn recorded(policy: &str) -> (Body, Body, Notes) {
    let origin = Origin::plain();
    let policy = policy.parse().expect("a policy");
    let mut proxy =
        Proxy::before(origin.addr).recorded().with(|config| config.record_bodies = policy).start();
    let mut client = proxy.client();
    client.send("POST /bytes/3000 HTTP/1.1\r\nHost: t\r\nContent-Length: 3000\r\n\r\n");
    client.send(pattern(3_000));
    assert!(client.answer(false).body == pattern(3_000));
    proxy.stop();
    let exchange = exchanges(&proxy.capture()).remove(0);
    (exchange.request.body, exchange.response.expect("an answer").body, exchange.notes)
}

#[test]
fn each_policy_keeps_what_it_says() {
    let whole = Body::whole(pattern(3_000));
    let digest = Body::digest(whole.len, whole.hash);
    let length = Body::digest(whole.len, None);
    let head = Body { data: Some(pattern(1_000).into()), ..digest.clone() };
    let check = |policy: &str, request: &Body, response: &Body| {
        let (asked, answered, notes) = recorded(policy);
        assert_eq!((&asked, &answered), (request, response), "{policy}");
        let lacks = |body: &Body| !body.is_whole();
        assert_eq!(notes.contains(Notes::REQUEST_TRUNCATED), lacks(request), "{policy}");
        // that answers are digests is what was asked for, and nothing that befell them
        let befell = lacks(response) && (policy.contains("head") || policy.contains("full"));
        assert_eq!(notes.contains(Notes::RESPONSE_TRUNCATED), befell, "{policy}");
    };
    check("request=none,response=none", &length, &length);
    check("digest", &digest, &digest);
    check("head:1KB", &head, &head);
    check("full:3KB", &whole, &whole);
    check("full:2KB", &digest, &digest);
    check("response=full", &whole, &whole);
}

#[test]
fn bodies_beyond_the_cap_are_counted() {
    let origin = Origin::plain();
    let policy = "request=full:1KB,response=full:2KB".parse().expect("a policy");
    let proxy = Proxy::before(origin.addr).recorded().with(|config| config.record_bodies = policy).start();
    proxy.get("/bytes/2000");
    proxy.get("/bytes/2001");
    proxy.get("/chunked/50000");
    let mut client = proxy.client();
    client.send("POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: 1001\r\n\r\n");
    client.send(pattern(1_001));
    client.answer(false);
    eventually("all are recorded", || proxy.status()["recording"]["recorded"] == 4);
    let bodies = &proxy.status()["recording"]["bodies"];
    assert_eq!((&bodies["request_over_limit"], &bodies["response_over_limit"]), (&1.into(), &2.into()));
    assert_eq!((&bodies["no_memory"], &bodies["withheld"]), (&0.into(), &0.into()));
    let metrics = String::from_utf8(proxy.ask_admin("GET", "/metrics", "").body).expect("text");
    assert!(
        metrics.contains("squall_proxy_recording_bodies_total{reason=\"response_over_limit\"} 2"),
        "{metrics}"
    );
}

#[test]
fn headers_that_a_replay_may_need_are_kept_and_all_of_them_with_full() {
    let answer = "HTTP/1.1 200 OK\r\nDate: today\r\nX-CSRF-Token: 0123456789abcdef\r\nETag: \"1\"\r\nSet-Cookie: a=0123456789abcdef; Path=/\r\nset-cookie: b=2\r\nX-Plain: 1\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
    let names = |policy: &str| {
        let origin = Origin::start(move |_, tcp| {
            tcp.write_all(answer.as_bytes()).map_or(Then::Close, |()| Then::Keep)
        });
        let policy = policy.parse().expect("a policy");
        let mut proxy =
            Proxy::before(origin.addr).recorded().with(|config| config.record_bodies = policy).start();
        proxy.get("/");
        proxy.stop();
        let answer = exchanges(&proxy.capture()).remove(0).response.expect("an answer");
        assert!(
            answer.headers.iter().all(|(_, value)| !value.ends_with(b"0123456789abcdef")),
            "secrets are none"
        );
        answer.headers.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    let mut few = names("response=digest");
    few.sort();
    assert_eq!(few, ["Content-Type", "ETag", "Set-Cookie", "X-CSRF-Token", "set-cookie"]);
    let all = names("response=full");
    assert!(
        ["Date", "X-Plain", "Content-Length"].iter().all(|name| all.iter().any(|met| met == name)),
        "{all:?}"
    );
    assert_eq!(all.len(), 8);
}

#[test]
fn answers_over_http2_are_kept_too() {
    let origin = Origin::plain();
    let policy = "full".parse().expect("a policy");
    let plan = Proxy::before(origin.addr).recorded().with(|config| config.record_bodies = policy);
    let mut proxy = plan.start();
    h2::block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let answer = client.get("/bytes/70000").await;
        assert!(answer.body == pattern(70_000));
    });
    proxy.stop();
    let answer = exchanges(&proxy.capture()).remove(0).response.expect("an answer");
    assert_eq!(answer.body, Body::whole(pattern(70_000)));
}

/// The origin sends the next event only when the client has the one before: an event that waited for the recording would
/// never arrive.
#[test]
fn a_live_stream_is_recorded_and_not_delayed_by_an_event() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |_, tcp| {
        tcp.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        )
        .expect("taken");
        for number in 0..20 {
            wait.pass();
            tcp.write_all(format!("9\r\ndata: {number:02}\n\r\n").as_bytes()).expect("taken");
        }
        tcp.write_all(b"0\r\n\r\n").map_or(Then::Close, |()| Then::Keep)
    });
    let policy = "response=full:64KB".parse().expect("a policy");
    let mut proxy =
        Proxy::before(origin.addr).recorded().with(|config| config.record_bodies = policy).start();
    let mut client = proxy.client();
    client.send("GET /events HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.head().status, 200);
    for number in 0..20 {
        gate.open();
        let chunk = format!("9\r\ndata: {number:02}\n\r\n");
        assert_eq!(client.exactly(chunk.len()), chunk.as_bytes());
    }
    assert_eq!(client.exactly(5), b"0\r\n\r\n");
    proxy.stop();
    let exchange = exchanges(&proxy.capture()).remove(0);
    let data = exchange.response.expect("an answer").body.data.expect("its body");
    assert_eq!(data.len(), 20 * 9);
    assert!(data.ends_with(b"data: 19\n") && exchange.notes.contains(Notes::STREAM));
}

#[test]
fn what_follows_an_upgrade_is_no_body() {
    let origin = Origin::start(|_, tcp| {
        tcp.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello",
        )
        .expect("taken");
        Then::Close
    });
    let policy = "full".parse().expect("a policy");
    let mut proxy =
        Proxy::before(origin.addr).recorded().with(|config| config.record_bodies = policy).start();
    let mut client = proxy.client();
    client.send("GET /ws HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    assert_eq!(client.head().status, 101);
    assert_eq!(client.exactly(5), b"hello");
    drop(client);
    proxy.stop();
    let exchange = exchanges(&proxy.capture()).remove(0);
    assert_eq!(exchange.response.expect("an answer").body.data, None);
    assert_eq!(exchange.request.body.data, None);
}

#[test]
fn an_answer_that_broke_off_has_no_hash_and_says_so() {
    let origin = Origin::start(|request, tcp| match request.target() {
        "/broken" => {
            let whole = sized(&pattern(100));
            tcp.write_all(&whole[..whole.len() - 40]).expect("taken");
            Then::Reset
        }
        "/pieces" => tcp.write_all(&chunked(&pattern(5_000), 7)).map_or(Then::Close, |()| Then::Keep),
        _ => answer_plainly(request, tcp),
    });
    let policy = "response=full:64KB".parse().expect("a policy");
    let mut proxy =
        Proxy::before(origin.addr).recorded().with(|config| config.record_bodies = policy).start();
    assert!(proxy.get("/pieces").body == pattern(5_000));
    let mut client = proxy.client();
    client.send("GET /broken HTTP/1.1\r\nHost: t\r\n\r\n");
    client.rest();
    proxy.stop();
    let [pieces, broken] = exchanges(&proxy.capture()).try_into().expect("two");
    assert_eq!(pieces.response.expect("an answer").body, Body::whole(pattern(5_000)));
    assert_eq!(pieces.notes, Notes::NONE);
    let body = broken.response.expect("an answer").body;
    assert_eq!((body.hash, body.data), (None, None));
    assert!(broken.notes.contains(Notes::RESPONSE_TRUNCATED));
}
