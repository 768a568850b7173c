//! What passes is in the capture, complete and as it was, but for its secrets.

use std::io::Write;
use std::path::Path;

use captures::exchange::Protocol;
use captures::notes::Notes;
use captures::{Exchange, Reader};

use crate::harness::{Client, Gate, H2Client, Origin, Proxy, Then, eventually, h2, pattern};

/// Every exchange of a capture, by its start.
pub(crate) fn exchanges(path: &Path) -> Vec<Exchange> {
    let reader = Reader::open(path).expect("a capture");
    let mut all: Vec<_> = reader.exchanges().map(|exchange| exchange.expect("undamaged")).collect();
    all.sort_by_key(|exchange| exchange.start_us);
    all
}

fn fields(exchange: &Exchange) -> Vec<String> {
    let fields = exchange.request.headers.iter();
    fields.map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value))).collect()
}

#[test]
fn a_request_is_recorded_as_it_was_written() {
    let origin = Origin::plain();
    let mut proxy = Proxy::before(origin.addr).recorded().start();
    let mut client = proxy.client();
    let before = now_us();
    client.ask("POST /echo?q=%20a&x HTTP/1.1\r\nHost: Shop.example:1\r\nX-MiXed: 1\r\naccept: */*\r\nx-MIXED: 2\r\nSquall-Fault: no\r\nContent-Length: 5\r\n\r\nhello");
    client.send("POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    client.answer(false);
    client.ask("HEAD /bytes/7 HTTP/1.1\r\nHost: t\r\n\r\n");
    client.ask("GET http://other.example/bytes/7?z HTTP/1.1\r\nHost: other.example\r\n\r\n");
    let after = now_us();
    proxy.stop();
    let all = exchanges(&proxy.capture());
    assert_eq!(all.len(), 4);
    let [post, chunked, head, absolute] = all.as_slice() else { panic!("four") };
    assert_eq!((post.request.method.as_str(), post.request.target.as_str()), ("POST", "/echo?q=%20a&x"));
    assert_eq!((post.request.authority.as_str(), post.request.scheme.as_str()), ("Shop.example:1", "http"));
    assert_eq!(
        fields(post),
        ["Host: Shop.example:1", "X-MiXed: 1", "accept: */*", "x-MIXED: 2", "Content-Length: 5"]
    );
    assert_eq!(post.request.body.data.as_deref(), Some(b"hello".as_slice()));
    assert_eq!(chunked.request.body.data.as_deref(), Some(b"abcde".as_slice()));
    let answer = post.response.as_ref().expect("an answer");
    assert_eq!((answer.status, answer.body.len, answer.body.hash), (200, 5, post.request.body.hash));
    assert_eq!(head.response.as_ref().map(|answer| (answer.status, answer.body.len)), Some((200, 0)));
    assert_eq!(
        (absolute.request.authority.as_str(), absolute.request.target.as_str()),
        ("other.example", "/bytes/7?z")
    );
    for exchange in &all {
        assert_eq!((exchange.protocol, exchange.notes), (Protocol::Http11, Notes::NONE));
        assert!((before..=after).contains(&exchange.start_us));
        assert!(exchange.ttfb_us.expect("known") <= exchange.duration_us.expect("known"));
        assert_eq!((exchange.edge.as_str(), exchange.connection), ("default", all[0].connection));
    }
    let header = Reader::open(proxy.capture()).expect("a capture").header().clone();
    assert_eq!(header.edges[0].listen_url, format!("http://{}", proxy.addr));
    assert_eq!(header.edges[0].admin_url, Some(format!("http://{}", proxy.admin)));
}

fn now_us() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    since.as_micros() as u64
}

#[test]
fn sessions_follow_cookies_and_connections() {
    let origin = Origin::start(|request, tcp| {
        let cookie =
            if request.target() == "/login" { "Set-Cookie: sid=0123456789abcdef; Path=/\r\n" } else { "" };
        write!(tcp, "HTTP/1.1 200 OK\r\n{cookie}Content-Length: 0\r\n\r\n")
            .map_or(Then::Close, |()| Then::Keep)
    });
    let mut proxy = Proxy::before(origin.addr).recorded().start();
    let mut first = proxy.client();
    first.ask("GET /a HTTP/1.1\r\nHost: t\r\n\r\n");
    first.ask("GET /login HTTP/1.1\r\nHost: t\r\n\r\n");
    Client::once(proxy.addr, "GET /b HTTP/1.1\r\nHost: t\r\nCookie: sid=0123456789abcdef\r\n\r\n");
    Client::once(proxy.addr, "GET /c HTTP/1.1\r\nHost: t\r\n\r\n");
    proxy.stop();
    let all = exchanges(&proxy.capture());
    let of = |target: &str| all.iter().find(|exchange| exchange.request.target == target).expect("recorded");
    assert_eq!(of("/a").session, of("/login").session);
    assert_eq!(of("/b").session, of("/login").session, "by its cookie");
    assert_ne!(of("/c").session, of("/a").session);
    assert_eq!(of("/a").connection, of("/login").connection);
    assert_ne!(of("/b").connection, of("/a").connection);
    let bytes = std::fs::read(proxy.capture()).expect("readable");
    assert!(!decoded(&bytes).contains("0123456789abcdef"), "the cookie is a secret");
}

#[test]
fn sessions_go_by_the_keys_that_were_asked_for() {
    let origin = Origin::start(|request, tcp| {
        let user = request.target().trim_start_matches("/login/");
        let cookie = match user.starts_with('/') {
            true => String::new(),
            false => format!("Set-Cookie: sid=secret-of-{user}; Path=/\r\n"),
        };
        write!(tcp, "HTTP/1.1 200 OK\r\n{cookie}Content-Length: 0\r\n\r\n")
            .map_or(Then::Close, |()| Then::Keep)
    });
    let keys = ["cookie:sid", "header:x-user", "connection"].map(|key| key.parse().expect("a key"));
    let plan = Proxy::before(origin.addr).recorded().with(|config| config.session_keys = keys.into());
    let mut proxy = plan.start();
    // two users share a connection, as behind a load balancer
    let mut shared = proxy.client();
    for (user, target) in [("ann", "/a"), ("bob", "/b")] {
        shared.ask(&format!("GET /login/{user} HTTP/1.1\r\nHost: t\r\n\r\n"));
        shared.ask(&format!("GET {target} HTTP/1.1\r\nHost: t\r\nCookie: sid=secret-of-{user}\r\n\r\n"));
    }
    Client::once(
        proxy.addr,
        "GET /c HTTP/1.1\r\nHost: t\r\nCookie: sid=secret-of-ann\r\nX-User: eve\r\n\r\n",
    );
    Client::once(proxy.addr, "GET /d HTTP/1.1\r\nHost: t\r\nX-User: eve\r\n\r\n");
    Client::once(proxy.addr, "GET /e HTTP/1.1\r\nHost: t\r\nX-User: eve\r\n\r\n");
    proxy.stop();
    let all = exchanges(&proxy.capture());
    let of = |target: &str| {
        all.iter().find(|exchange| exchange.request.target == target).expect("recorded").session
    };
    assert_eq!(of("/login/ann"), of("/a"), "who was given the cookie is who brings it back");
    assert_eq!(of("/login/bob"), of("/b"));
    assert_ne!(of("/a"), of("/b"));
    assert_eq!((of("/c"), of("/d")), (of("/a"), of("/e")));
    assert_ne!(of("/c"), of("/d"));
    let bytes = std::fs::read(proxy.capture()).expect("readable");
    assert!(!decoded(&bytes).contains("secret-of-"), "a key that is a secret is not in the file");
}

/// All blocks, decompressed, with everything between them.
fn decoded(capture: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(capture).into_owned();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("c.zst");
    std::fs::write(&path, capture).expect("written");
    for exchange in exchanges(&path) {
        text.push_str(&format!("{exchange:?}"));
        text.push_str(&fields(&exchange).join("\n"));
        text.push_str(&String::from_utf8_lossy(exchange.request.body.data.as_deref().unwrap_or_default()));
    }
    text
}

#[test]
fn secrets_do_not_reach_the_disk() {
    let origin = Origin::plain();
    let mut proxy = Proxy::before(origin.addr).recorded().start();
    let mut client = proxy.client();
    let form = "user=ann&password=hunter2-secret";
    client.ask(&format!("POST /login HTTP/1.1\r\nHost: t\r\nContent-Type: application/x-www-form-urlencoded\r\nAuthorization: Bearer tok-secret-1\r\nX-Api-Key: key-secret-2\r\nCookie: sid=cookie-secret-3\r\nContent-Length: {}\r\n\r\n{form}", form.len()));
    let json = "{\"email\":\"a@b.c\",\"password\":\"json-secret-4\"}";
    client.ask(&format!("POST /signup HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}", json.len()));
    proxy.stop();
    let text = decoded(&std::fs::read(proxy.capture()).expect("readable"));
    for secret in ["hunter2-secret", "tok-secret-1", "key-secret-2", "cookie-secret-3", "json-secret-4"] {
        assert!(!text.contains(secret), "{secret}");
    }
    assert!(text.contains("user=ann"), "what is no secret stays");
    assert!(!text.contains("a@b.c"), "an address is one");
}

#[test]
fn secrets_are_recorded_where_that_is_asked_for_and_what_a_policy_names_is_not() {
    let record = |change: &dyn Fn(&mut proxy::Config)| {
        let origin = Origin::plain();
        let mut proxy = Proxy::before(origin.addr).recorded().with(|config| change(config)).start();
        Client::once(
            proxy.addr,
            "GET /x?password=hunter2-secret&customer=c-17-secret HTTP/1.1\r\nHost: t\r\n\r\n",
        );
        proxy.stop();
        let header = Reader::open(proxy.capture()).expect("a capture").header().clone();
        (exchanges(&proxy.capture()).remove(0).request.target, header)
    };
    let (target, header) = record(&|config| config.redaction = None);
    assert_eq!(target, "/x?password=hunter2-secret&customer=c-17-secret");
    assert_eq!((header.redaction.as_str(), header.key_id), ("none", None));
    let policy =
        captures::redact::Policy::parse("names = ['customer']\nallow = ['password']").expect("a policy");
    let (target, header) = record(&|config| config.redaction = Some(policy.clone()));
    assert!(target.starts_with("/x?password=hunter2-secret&customer=squall_"), "{target}");
    assert!(header.redaction.starts_with("pseudonyms-2+") && header.key_id.is_some());
}

#[test]
fn faults_are_noted_and_replays_left_out() {
    let origin = Origin::plain();
    let rules = "[[rule]]\nid = \"slow\"\non = \"/slow\"\ndelay = \"1ms\"\n\
                 [[rule]]\nid = \"fail\"\non = \"/fail\"\nrespond = 503\n\
                 [[rule]]\nid = \"cut\"\non = \"/bytes/**\"\nreset = \"after 5 B of body\"\n\
                 [[rule]]\nid = \"quota\"\non = \"/quota\"\nrate_limit = \"1/h burst 9\"\n";
    for record_replays in [false, true] {
        let mut proxy = Proxy::before(origin.addr)
            .rules(rules)
            .recorded()
            .with(|config| config.record_replays = record_replays)
            .start();
        for target in ["/slow", "/fail", "/quota", "/fine"] {
            proxy.get(target);
        }
        let mut client = proxy.client();
        client.send("GET /bytes/100 HTTP/1.1\r\nHost: t\r\n\r\n");
        client.rest();
        Client::once(
            proxy.addr,
            "GET /fine HTTP/1.1\r\nHost: t\r\nSquall-Op: 00000000000000aa\r\nSquall-Session: 00000000-1-0\r\n\r\n",
        );
        let books = proxy.stop();
        assert_eq!(books.recorded, 5 + u64::from(record_replays));
        let all = exchanges(&proxy.capture());
        let faults = |target: &str| {
            all.iter().find(|exchange| exchange.request.target == target).expect("recorded").faults.clone()
        };
        assert_eq!(
            (faults("/slow"), faults("/fail"), faults("/bytes/100")),
            (vec!["slow".into()], vec!["fail".into()], vec!["cut".into()])
        );
        assert!(faults("/quota").is_empty() && faults("/fine").is_empty());
        let replayed: Vec<_> =
            all.iter().filter(|exchange| exchange.notes.contains(Notes::REPLAYED)).collect();
        assert_eq!(replayed.len(), usize::from(record_replays));
        assert!(all.iter().all(|exchange| {
            exchange.request.headers.iter().all(|(name, _)| !name.to_lowercase().starts_with("squall"))
        }));
        let own = all.iter().find(|exchange| exchange.request.target == "/fail").expect("recorded");
        assert!(own.notes.contains(Notes::PROXY_ANSWER));
    }
}

#[test]
fn http_2_and_streams_are_recorded_for_what_they_are() {
    let origin = Origin::start(|_, tcp| {
        tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n").expect("taken");
        Then::Keep
    });
    let mut proxy = Proxy::before(origin.addr).tls().recorded().start();
    h2::block_on(async {
        let client = H2Client::connect_tls(proxy.addr, proxy.identity.as_ref().expect("TLS")).await;
        let request = client.request("POST", "/events?x=1").header("x-one", "1");
        assert_eq!(client.send(request, "body").await.body, b"hi");
    });
    proxy.stop();
    let all = exchanges(&proxy.capture());
    let [one] = all.as_slice() else { panic!("one") };
    assert_eq!((one.protocol, one.request.scheme.as_str()), (Protocol::Http2, "https"));
    assert_eq!((one.request.authority.as_str(), one.request.target.as_str()), ("test", "/events?x=1"));
    assert_eq!(fields(one), ["x-one: 1"]);
    assert_eq!(one.request.body.data.as_deref(), Some(b"body".as_slice()));
    assert_eq!(one.notes, Notes::STREAM);
}

#[test]
fn large_bodies_are_kept_in_part_and_say_so() {
    let origin = Origin::plain();
    let mut proxy = Proxy::before(origin.addr).recorded().with(|config| config.body_limit = 1_000).start();
    let mut client = proxy.client();
    client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n");
    client.send(pattern(100_000));
    client.answer(false);
    proxy.stop();
    let all = exchanges(&proxy.capture());
    let body = &all[0].request.body;
    let whole = captures::Body::whole(pattern(100_000));
    assert_eq!((body.len, body.hash), (whole.len, whole.hash));
    assert_eq!(body.data.as_deref(), Some(&pattern(100_000)[..1_000]));
    assert!(all[0].notes.contains(Notes::REQUEST_TRUNCATED));
}

#[test]
fn who_left_and_who_failed_is_noted() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |request, tcp| {
        if request.target() == "/fails" {
            return Then::Close;
        }
        let _ = tcp;
        wait.pass();
        Then::Close
    });
    let mut proxy = Proxy::before(origin.addr).recorded().start();
    assert_eq!(proxy.get("/fails").status, 502);
    let mut client = proxy.client();
    client.send("GET /leaves HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("forwarded", || origin.count() == 2);
    drop(client);
    eventually("noticed", || proxy.status()["in_flight"] == 0);
    gate.open();
    proxy.stop();
    let all = exchanges(&proxy.capture());
    assert!(all[0].notes.contains(Notes::UPSTREAM_FAILED) && all[0].notes.contains(Notes::PROXY_ANSWER));
    assert!(all[1].notes.contains(Notes::CLIENT_GONE));
    assert!(all[1].response.is_none());
}

#[test]
fn an_existing_capture_is_continued_and_anything_else_refused() {
    let origin = Origin::plain();
    let mut proxy = Proxy::before(origin.addr).recorded().start();
    proxy.get("/one");
    proxy.stop();
    let path = proxy.capture();
    let mut again = Proxy::before(origin.addr).with(|config| config.record = Some(path.clone())).start();
    again.get("/two");
    again.stop();
    let all = exchanges(&path);
    assert_eq!(
        all.iter().map(|exchange| exchange.request.target.as_str()).collect::<Vec<_>>(),
        ["/one", "/two"]
    );
    assert_ne!(all[0].connection, all[1].connection, "connections are told apart across restarts");
    assert!(captures::verify::verify(&path).expect("readable").is_clean());
    let other = proxy.folder.path().join("notes.txt");
    std::fs::write(&other, "dear diary").expect("written");
    let config = Proxy::before(origin.addr).with(|config| config.record = Some(other.clone())).config;
    assert!(proxy::start(config).is_err());
    assert_eq!(std::fs::read_to_string(other).expect("readable"), "dear diary");
}

#[test]
fn a_stopped_recording_is_whole_while_traffic_goes_on() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).recorded().start();
    let addr = proxy.addr;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let traffic = std::thread::spawn(move || {
        let mut client = Client::connect(addr);
        let mut sent = 0;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            assert_eq!(client.ask("GET /x HTTP/1.1\r\nHost: t\r\n\r\n").status, 200);
            sent += 1;
        }
        sent
    });
    eventually("something is recorded", || proxy.status()["recording"]["recorded"].as_u64() > Some(50));
    proxy.post("/recording/stop");
    let verified = captures::verify::verify(proxy.capture()).expect("readable");
    assert!(verified.is_clean() && verified.closed);
    let after = proxy.books()["edges"][0]["delivered"].as_u64();
    eventually("traffic goes on", || proxy.books()["edges"][0]["delivered"].as_u64() > after);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let sent = traffic.join().expect("no request fails");
    let edge = proxy.books()["edges"][0].clone();
    assert_eq!(edge["seen"], sent);
    assert_eq!(edge["recorded"], verified.exchanges);
    assert_eq!(proxy.status()["recording"]["state"], "stopped");
}

#[test]
fn an_upgrade_is_noted() {
    let origin = Origin::start(|_, tcp| {
        tcp.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello",
        )
        .expect("taken");
        Then::Close
    });
    let mut proxy = Proxy::before(origin.addr).recorded().start();
    let mut client = proxy.client();
    client.send("GET /ws HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    assert_eq!(client.head().status, 101);
    assert_eq!(client.exactly(5), b"hello");
    drop(client);
    proxy.stop();
    let all = exchanges(&proxy.capture());
    assert!(all[0].notes.contains(Notes::UPGRADED));
    assert_eq!(all[0].response.as_ref().map(|answer| answer.status), Some(101));
}

#[test]
fn what_does_not_fit_the_queue_is_shed_with_its_connection_and_counted() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).recorded().with(|config| config.body_limit = 200 << 20);
    let mut proxy = proxy.start();
    let mut client = proxy.client();
    client.ask("GET /before HTTP/1.1\r\nHost: t\r\n\r\n");
    client.send("POST /large HTTP/1.1\r\nHost: t\r\nContent-Length: 140000000\r\n\r\n");
    let piece = vec![7; 1_000_000];
    (0..140).for_each(|_| client.send(&piece));
    assert_eq!(client.answer(false).status, 200);
    assert_eq!(client.ask("GET /after HTTP/1.1\r\nHost: t\r\n\r\n").status, 200);
    proxy.get("/other");
    let books = proxy.stop();
    assert_eq!(
        (books.recorded, &books.shed),
        (2, &[("queue_bytes".into(), 1), ("session".into(), 1)].into())
    );
    let all = exchanges(&proxy.capture());
    assert_eq!(
        all.iter().map(|exchange| exchange.request.target.as_str()).collect::<Vec<_>>(),
        ["/before", "/other"]
    );
    let verified = captures::verify::verify(proxy.capture()).expect("readable");
    assert_eq!(verified.shed["queue"], 2);
}
