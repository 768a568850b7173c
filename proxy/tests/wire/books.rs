//! Random traffic, exact books.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use captures::opset::OpSet;
use serde_json::Value;

use crate::harness::{Client, Dice, H2Client, Origin, Proxy, Then, eventually, h2, pattern};

const RULES: &str = r#"
[[rule]]
id = "slow"
on = "/**"
rate = "20%"
delay = "1ms..5ms"
[[rule]]
id = "fail"
on = "/**"
rate = "10%"
respond = 503
[[rule]]
id = "conn"
on = "/**"
rate = "20%"
one_of = [{ reset = "before headers" }, { reset = "after headers" }, { reset = "after 700 B of body" }, { reset = "after 50% of body" }]
[[rule]]
id = "hole"
on = "/**"
rate = "3%"
blackhole = "5ms, then reset"
[[rule]]
id = "quota"
on = "/limited/**"
rate_limit = { rate = "1/h", burst = 20 }
[[rule]]
id = "storm"
on = "/**"
rate = "30%"
storm = { when = ["5xx"], copies = 2, max_amplification = 9.0 }
"#;

/// Does as the path says: 1 in 20 requests is met by silence, half an answer, or an error.
fn moody() -> Origin {
    let turns = AtomicUsize::new(0);
    let dice = Mutex::new(Dice(7));
    Origin::start(move |request, tcp| {
        turns.fetch_add(1, Ordering::Relaxed);
        let roll = dice.lock().expect("dice").below(40);
        let size = request.target().rsplit('/').next().and_then(|size| size.parse().ok()).unwrap_or(10);
        let answer = if roll.is_multiple_of(2) {
            crate::harness::origin::sized(&pattern(size))
        } else {
            crate::harness::origin::chunked(&pattern(size), 999)
        };
        let (answer, then) = match roll {
            0 => (Vec::new(), Then::Close),
            1 => (Vec::new(), Then::Reset),
            2 => (answer[..answer.len() / 2].to_vec(), Then::Close),
            3 => (answer[..answer.len() / 2].to_vec(), Then::Reset),
            4..8 => (b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n".to_vec(), Then::Keep),
            8 => (b"garbage\r\n\r\n".to_vec(), Then::Close),
            _ => (answer, Then::Keep),
        };
        if tcp.write_all(&answer).is_err() { Then::Close } else { then }
    })
}

/// What a client of random traffic knows in the end.
#[derive(Default)]
struct Log {
    sent: BTreeSet<(u64, u32)>,
    /// Broke off without an answer, through no doing of the client.
    broken: BTreeSet<(u64, u32)>,
    refused: usize,
}

fn http1_client(proxy: std::net::SocketAddr, seed: u64, requests: u64, log: &Mutex<Log>) {
    let mut dice = Dice(seed);
    let mut client = Client::connect(proxy);
    for n in 0..requests {
        let op = seed << 32 | n;
        let limited = if dice.below(4) == 0 { "limited" } else { "free" };
        let size = dice.below(4_000);
        let identity =
            format!("Squall-Session: 0000beef-{seed:x}-0\r\nSquall-Op: {op:016x}\r\nSquall-Attempt: 1\r\n");
        let get = format!("GET /{limited}/{size} HTTP/1.1\r\nHost: t\r\n{identity}\r\n");
        let body = pattern(dice.below(3_000) as usize);
        let post = format!(
            "POST /{limited}/{size} HTTP/1.1\r\nHost: t\r\n{identity}Content-Length: {}\r\n\r\n",
            body.len()
        );
        log.lock().expect("log").sent.insert((op, 1));
        // writes may fail: a cut at the very end of the answer before leaves a connection that is reset
        let mood = dice.below(20);
        let request = if dice.below(2) == 0 { get.into_bytes() } else { [post.as_bytes(), &body].concat() };
        match mood {
            0 => {
                // leaves at once
                let _ = client.stream.write_all(&request);
                client = Client::connect(proxy);
            }
            1 if body.len() > 10 => {
                // leaves in the middle of a body
                let _ = client.stream.write_all(&[post.as_bytes(), &body[..5]].concat());
                client = Client::connect(proxy);
            }
            2 => {
                log.lock().expect("log").sent.remove(&(op, 1));
                log.lock().expect("log").refused += 1;
                let mut bad = Client::connect(proxy);
                bad.send(b"BAD HEADER LINE\r\n\r\n");
                drop(bad.rest());
            }
            _ => {
                // a rule may reset the connection while the request is still being sent
                if client.stream.write_all(&request).is_err() || !read_whole(&mut client) {
                    log.lock().expect("log").broken.insert((op, 1));
                    client = Client::connect(proxy);
                }
            }
        }
    }
}

/// False: the answer broke off.
fn read_whole(client: &mut Client) -> bool {
    use crate::harness::origin::{header, read_body, read_head};
    let Some(head) = read_head(&mut client.stream, &mut client.buffer) else { return false };
    let whole = read_body(&mut client.stream, &mut client.buffer, &head).is_some();
    if whole && header(&head, "connection") == Some("close") {
        let addr = client.stream.peer_addr().expect("connected");
        *client = Client::connect(addr);
    }
    whole
}

async fn http2_client(proxy: std::net::SocketAddr, seed: u64, requests: u64, log: &Mutex<Log>) {
    let mut dice = Dice(seed);
    let client = H2Client::connect(proxy).await;
    for n in 0..requests {
        let op = seed << 32 | n;
        let request = client
            .request("POST", &format!("/free/{}", dice.below(4_000)))
            .header("squall-session", format!("0000beef-{seed:x}-0"))
            .header("squall-op", format!("{op:016x}"))
            .header("squall-attempt", "1");
        log.lock().expect("log").sent.insert((op, 1));
        let leaves = dice.below(10) == 0;
        let (response, mut stream) = client.start(request, leaves).await;
        if leaves {
            let wait = std::time::Duration::from_micros(dice.below(3_000));
            let _ = tokio::time::timeout(wait, h2::finish(response)).await;
            continue;
        }
        let _ = stream.send_data(pattern(dice.below(3_000) as usize).into(), true);
        let outcome = h2::finish(response).await;
        if outcome.reset.is_some() {
            log.lock().expect("log").broken.insert((op, 1));
        }
    }
}

#[test]
fn random_traffic_balances_every_row() {
    let origin = moody();
    let proxy =
        Proxy::before(origin.addr).rules(RULES).recorded().with(|config| config.record_replays = true);
    let mut proxy = proxy.start();
    proxy.announce("0000beef");
    let log = Arc::new(Mutex::new(Log::default()));
    let addr = proxy.addr;
    let mut clients: Vec<_> = (1..=8)
        .map(|seed| {
            let log = log.clone();
            std::thread::spawn(move || http1_client(addr, seed, 100, &log))
        })
        .collect();
    for seed in 9..=10 {
        let log = log.clone();
        clients.push(std::thread::spawn(move || h2::block_on(http2_client(addr, seed, 100, &log))));
    }
    clients.into_iter().for_each(|client| client.join().expect("a client"));
    let log = log.lock().expect("log");
    eventually("refusals are booked", || sum(&proxy.books()["edges"][0]["refused"]) == log.refused as u64);
    let (total, run) = (proxy.books()["edges"][0].clone(), proxy.run_books("0000beef")["edges"][0].clone());
    // every request that was sent whole was seen, a client that left at once may never have been
    let seen = OpSet::from_bytes(&proxy.ask_admin("GET", "/runs/0000beef/seen", "").body).expect("a sketch");
    let mut sent = OpSet::new();
    log.sent.iter().for_each(|(op, attempt)| sent.insert(*op, *attempt));
    let difference = seen.subtract(&sent).decode().expect("few differences");
    assert_eq!(difference.only_left, Vec::new(), "nothing was seen that was not sent");
    assert_eq!(run["seen"].as_u64().expect("n") as usize, log.sent.len() - difference.only_right.len());
    let n = |edge: &Value, name: &str| edge[name].as_u64().expect("a count");
    let strangers = sum(&total["refused"]) + n(&total, "client_gone") - n(&run, "client_gone");
    assert_eq!(n(&total, "seen"), n(&run, "seen") + strangers, "{total:#} {run:#}");
    // the origin's own count
    let attempts = n(&total, "upstream_attempts");
    let count = origin.count() as u64;
    assert!(
        count <= attempts && attempts <= count + n(&total, "ambiguous"),
        "{count} at the origin: {total:#}"
    );
    // what rules ended is told one by one
    let ended = proxy.ask_admin("GET", "/runs/0000beef/ended", "");
    assert_eq!(ended.header("squall-lost"), Some("0"));
    let mut by_rule = BTreeMap::<String, u64>::new();
    let mut ops = BTreeSet::new();
    let mut held = 0;
    for line in ended.text().lines() {
        let line: Value = serde_json::from_str(line).expect("JSON Lines");
        if line["left"] == true {
            held += 1; // the client ended it, however long a rule had held it
            continue;
        }
        *by_rule.entry(line["rule"].as_str().expect("a rule").to_owned()).or_default() += 1;
        let op = u64::from_str_radix(line["op"].as_str().expect("an op"), 16).expect("hex");
        assert!(ops.insert((op, line["attempt"].as_u64().expect("n") as u32)), "each once");
    }
    let (dropped, cut) = (sum(&run["dropped"]), sum(&run["cut"]));
    assert!(dropped > 20 && cut > 20, "the rules did act: {run:#}");
    assert_eq!(by_rule.values().sum::<u64>(), dropped + cut);
    assert!(held <= n(&run, "client_gone") + n(&run, "client_gone_after"), "{held}: {run:#}");
    let unexplained = log.broken.difference(&ops).count() as u64;
    assert!(unexplained <= n(&run, "upstream_failed"), "{unexplained} broke off: {run:#}");
    for rule in proxy.books()["rules"].as_array().expect("rules") {
        let spared = sum(&rule["suppressed"]);
        assert_eq!(rule["selected"].as_u64(), Some(n(rule, "applied") + spared), "{rule}");
    }
    let books = proxy.stop();
    let verified = captures::verify::verify(proxy.capture()).expect("readable");
    assert_eq!((verified.is_clean(), verified.exchanges), (true, books.recorded));
}

fn sum(counts: &Value) -> u64 {
    counts.as_object().expect("counts").values().map(|count| count.as_u64().expect("a count")).sum()
}

#[test]
fn a_run_counts_only_its_own() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).start();
    proxy.announce("00000001");
    let ask = |run: &str, op: u64| {
        let request =
            format!("GET / HTTP/1.1\r\nHost: t\r\nSquall-Session: {run}-1-0\r\nSquall-Op: {op:016x}\r\n\r\n");
        assert_eq!(Client::once(proxy.addr, &request).status, 200);
    };
    (0..10).for_each(|op| ask("00000001", op));
    (0..5).for_each(|op| ask("00000002", op));
    proxy.get("/");
    assert_eq!(proxy.run_books("00000001")["edges"][0]["seen"], 10);
    proxy.announce("00000002");
    (0..7).for_each(|op| ask("00000002", op));
    assert_eq!(proxy.run_books("00000002")["edges"][0]["seen"], 7, "from its announcement on");
    assert_eq!(proxy.run_books("00000001")["edges"][0]["seen"], 10, "the last one stays readable");
    assert_eq!(proxy.ask_admin("DELETE", "/runs/00000002", "").status, 200);
    ask("00000002", 99);
    assert_eq!(proxy.run_books("00000002")["edges"][0]["seen"], 7, "it is over");
    assert_eq!(proxy.books()["edges"][0]["seen"], 24);
    assert_eq!(proxy.ask_admin("GET", "/books?run=ffffffff", "").status, 404);
    assert_eq!(proxy.ask_admin("POST", "/runs", "{\"run\":\"xyz\"}").status, 400);
}

#[test]
fn http_2_requests_that_reach_no_hook_are_booked() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).start();
    h2::block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let connect = http::Request::builder().method("CONNECT").uri("test:443");
        let outcome = client.send(connect, "").await;
        assert_ne!(outcome.status, 200);
        assert_eq!(client.get("/").await.status, 200);
    });
    let edge = proxy.books()["edges"][0].clone();
    assert_eq!((&edge["seen"], &edge["refused"]["parse"]), (&2.into(), &1.into()));
}

#[test]
fn metrics_are_the_books() {
    let origin = Origin::plain();
    let proxy =
        Proxy::before(origin.addr).rules("[[rule]]\nid = \"f\"\non = \"/f\"\nrespond = 500\n").start();
    proxy.get("/");
    proxy.get("/f");
    proxy.books();
    let text = proxy.ask_admin("GET", "/metrics", "").text();
    for line in [
        "squall_proxy_seen_total{edge=\"default\"} 2",
        "squall_proxy_exchanges_total{edge=\"default\",outcome=\"short_circuited\"} 1",
        "squall_proxy_exchanges_total{edge=\"default\",outcome=\"delivered\"} 1",
        "squall_proxy_in_flight 0",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}
