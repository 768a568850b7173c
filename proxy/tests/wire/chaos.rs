//! Random traffic against random rules that change underneath it: whatever happens, every row of the books holds, nothing
//! stays in flight, no thread panics.
//!
//! `SQUALL_CHAOS_ROUNDS` (2 unless said) and `SQUALL_CHAOS_SEED` choose how long and which; a failure names its seed.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::harness::h2::{block_on, finish};
use crate::harness::origin::answer_plainly;
use crate::harness::{Dice, H2Client, Origin, Proxy, Then, pattern};

#[test]
fn the_books_balance_whatever_happens() {
    let asked = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let first = asked("SQUALL_CHAOS_SEED").unwrap_or(1);
    for seed in first..first + asked("SQUALL_CHAOS_ROUNDS").unwrap_or(2) {
        round(seed);
    }
}

fn round(seed: u64) {
    let mut dice = Dice(seed);
    let origin = origin();
    let tls = dice.below(3) == 0;
    let plan = Proxy::before(origin.addr).rules(&rules(&mut dice)).recorded().with(|config| {
        config.connect_timeout = Duration::from_millis(300);
        config.upstream_timeout = Duration::from_secs(5);
    });
    let mut proxy = if tls { plan.tls().start() } else { plan.start() };
    let addr = proxy.addr;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let dice = Dice(seed * 1_000 + n);
            std::thread::spawn(move || {
                if !tls {
                    http1(addr, dice);
                }
            })
        })
        .collect();
    let streams = std::thread::scope(|scope| {
        let streaming = scope.spawn(|| block_on(http2(&proxy, seed, tls)));
        for _ in 0..EDITS {
            std::thread::sleep(Duration::from_millis(dice.below(60)));
            disturb(&proxy, &mut dice);
        }
        proxy.post("/lift"); // whoever still sleeps wakes
        streaming.join()
    });
    streams.unwrap_or_else(|_| panic!("seed {seed}: a stream hung"));
    for client in clients {
        client.join().unwrap_or_else(|_| panic!("seed {seed}: a client hung"));
    }
    let books = proxy.books();
    check_rules(&books, seed);
    let status = proxy.status();
    assert_eq!(status["fault_panics"], 0, "seed {seed}");
    assert_eq!(status["faults_active"], 0, "seed {seed}");
    let last = proxy.stop();
    assert_eq!(last.unfinished, 0, "seed {seed}");
}

/// Rules come, go, are lifted and armed again, and replays begin.
fn disturb(proxy: &Proxy, dice: &mut Dice) {
    match dice.below(5) {
        0 | 1 => proxy.edit(&rules(dice)),
        2 => {
            proxy.post("/lift");
            proxy.post("/arm");
        }
        3 => proxy.announce(&format!("{:08x}", dice.next() as u32)),
        _ => proxy.edit("this is no rule file"),
    }
}

/// What each rule selected was applied or spared, and no more was selected than met.
fn check_rules(books: &Value, seed: u64) {
    for rule in books["rules"].as_array().expect("rules") {
        let n = |name: &str| rule[name].as_u64().expect("a count");
        let spared: u64 = rule["suppressed"]
            .as_object()
            .expect("counts")
            .values()
            .map(|count| count.as_u64().expect("a count"))
            .sum();
        assert_eq!(n("selected"), n("applied") + spared, "seed {seed}: {rule}");
        assert!(n("selected") <= n("eligible"), "seed {seed}: {rule}");
    }
}

/// Some rules of every kind, with measures small enough that a round ends soon.
fn rules(dice: &mut Dice) -> String {
    let mut text = format!("seed = {}\n[safety]\nprotect = [\"/safe/**\"]\n", dice.below(1 << 40));
    for n in 0..2 + dice.below(6) {
        let whom = ["", "/bytes/**", "POST", "GET|HEAD", "/chunked/{n}", "header x-a=1", "/echo"];
        let of = ["", " of operations", " of sessions", " of connections", " of header x-a"];
        let status =
            if dice.below(4) == 0 { Some(["2xx", "200", "5xx"][dice.below(3) as usize]) } else { None };
        let (what, waits) = what(dice, status.is_some());
        let status = status.filter(|_| waits).map(|status| format!(" -> {status}")).unwrap_or_default();
        text += &format!(
            "[[rule]]\nid = \"r{n}-{}\"\non = \"{}{status}\"\nrate = \"{}%{}\"\n{what}\n",
            dice.below(1_000),
            whom[dice.below(7) as usize],
            5 + dice.below(60),
            of[dice.below(5) as usize],
        );
        text += match dice.below(8) {
            0 => "when = \"10ms..200ms, ramp 50ms, every 300ms\"\n",
            1 => "every = \"3rd\"\n",
            2 => "burst = { enter = \"10%\", leave = \"30%\", rate = \"90%\" }\n",
            _ => "",
        };
    }
    text
}

/// What a rule does; true: it may wait for a status.
fn what(dice: &mut Dice, answers_only: bool) -> (String, bool) {
    let (request, answer) = (REQUEST_FAULTS.len() as u64, ANSWER_FAULTS.len() as u64);
    let place = if answers_only { request + dice.below(answer) } else { dice.below(request + answer) };
    match place.checked_sub(request) {
        None => (REQUEST_FAULTS[place as usize].to_owned(), false),
        Some(place) => (ANSWER_FAULTS[place as usize].to_owned(), true),
    }
}

const REQUEST_FAULTS: [&str; 15] = [
    "delay = \"1ms..40ms\"",
    "delay = \"20ms at connect\"",
    "respond = { status = 503, body = \"no\" }",
    "delay = \"5ms\"\nrespond = 429",
    "rate_limit = \"50/s per session burst 3\"",
    "reset = \"before headers\"",
    "blackhole = \"30ms, then reset\"",
    "blackhole = \"20ms, then close\"",
    "duplicate = 1",
    "outage = \"refuse\"",
    "outage = \"blackhole\"",
    "stale = \"10ms\"",
    "drop_response = \"reset\"",
    "throttle = { request = \"2MB/s\" }",
    "one_of = [{ reset = \"before headers\" }, { delay = \"3ms\", respond = 500, weight = 2 }]",
];

const ANSWER_FAULTS: [&str; 17] = [
    "reset = \"after headers\"",
    "reset = \"after 5000 B of body\"",
    "reset = \"after 50% of body\"",
    "truncate = \"60%\"",
    "truncate = \"100 B\"",
    "throttle = \"4MB/s\"",
    "throttle = { response = \"2MB/s\", piece = \"1KB\" }",
    "stall = \"20ms after 1000 B\"",
    "stall = \"20ms after headers, then reset\"",
    "corrupt = \"bitflip per 4KB\"",
    "loss = { rate = \"1%\", rto = \"5ms\" }",
    "drop_response = \"close\"",
    "drop_response = { respond = 503 }",
    "goaway = \"graceful\"",
    "goaway = \"ENHANCE_YOUR_CALM\"",
    "delay = \"10ms at response\"",
    "storm = { when = [\"2xx\"], copies = 2, max_amplification = 2.0 }",
];

/// Plain answers; under `/die` the connection dies at a place that the target names.
fn origin() -> Origin {
    Origin::start(|request, tcp| {
        let target = request.target().to_owned();
        let Some(how) = target.strip_prefix("/die/") else { return answer_plainly(request, tcp) };
        if how != "early" {
            let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n");
            let _ = tcp.write_all(&pattern(7_000));
        }
        if how == "close" { Then::Close } else { Then::Reset }
    })
}

const TARGETS: [&str; 9] = [
    "/bytes/0",
    "/bytes/10",
    "/bytes/30000",
    "/chunked/20000",
    "/status/204",
    "/status/503",
    "/safe/x",
    "/die/early",
    "/die/close",
];

/// A user of HTTP/1: asks, sometimes with a body, sometimes leaves in the middle.
fn http1(addr: SocketAddr, mut dice: Dice) {
    for turn in 0..TURNS {
        let Ok(mut tcp) = TcpStream::connect(addr) else { return };
        tcp.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        tcp.set_write_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        for _ in 0..1 + dice.below(4) {
            let target = TARGETS[dice.below(TARGETS.len() as u64) as usize];
            let op = format!("{:016x}", dice.next());
            let named = format!("Host: t\r\nx-a: {}\r\nidempotency-key: {op}\r\n", dice.below(3));
            let request = match dice.below(4) {
                0 => {
                    let body = pattern(dice.below(9_000) as usize);
                    let head =
                        format!("POST /echo HTTP/1.1\r\n{named}Content-Length: {}\r\n\r\n", body.len());
                    [head.as_bytes(), &body].concat()
                }
                1 => format!("HEAD {target} HTTP/1.1\r\n{named}\r\n").into_bytes(),
                _ => format!("GET {target} HTTP/1.1\r\n{named}\r\n").into_bytes(),
            };
            let leaves_inside = dice.below(12) == 0;
            let sent = if leaves_inside { dice.below(request.len() as u64) as usize } else { request.len() };
            if tcp.write_all(&request[..sent]).is_err() || leaves_inside {
                break;
            }
            if dice.below(10) == 0 || !read_an_answer(&mut tcp, request.starts_with(b"HEAD")) {
                break; // leaves before the answer, or the connection is over
            }
        }
        match turn % 3 {
            0 => drop(tcp),
            1 => drop(tcp.shutdown(Shutdown::Both)),
            _ => drop(socket2::SockRef::from(&tcp).set_linger(Some(Duration::ZERO))),
        }
    }
}

/// Reads until the answer is whole by its own words. False: the connection ended first, or says that it will.
fn read_an_answer(tcp: &mut TcpStream, bodyless: bool) -> bool {
    let mut bytes = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..at]).to_lowercase();
            let length = head
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.split("\r\n").next()?.parse().ok());
            let chunked_end = head.contains("chunked") && bytes.ends_with(b"0\r\n\r\n");
            let whole = length.is_some_and(|length: usize| at + 4 + length <= bytes.len());
            if bodyless || chunked_end || whole || (length.is_none() && !head.contains("chunked")) {
                return !head.contains("connection: close");
            }
        }
        match tcp.read(&mut piece) {
            Ok(0) => return false,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no answer and no end"),
            Err(_) => return false,
        }
    }
}

/// Users of HTTP/2, several streams side by side; some give a stream up.
async fn http2(proxy: &Proxy, seed: u64, tls: bool) {
    let mut dice = Dice(seed + 77);
    for _ in 0..H2_CONNECTIONS {
        let client = match &proxy.identity {
            Some(identity) if tls => H2Client::connect_tls(proxy.addr, identity).await,
            _ => H2Client::connect(proxy.addr).await,
        };
        let mut streams = Vec::new();
        for _ in 0..H2_STREAMS {
            let target = TARGETS[dice.below(TARGETS.len() as u64) as usize];
            let op = format!("{:016x}", dice.next());
            let posts = dice.below(4) == 0;
            let (method, target) = if posts { ("POST", "/echo") } else { ("GET", target) };
            let request = client
                .request(method, target)
                .header("idempotency-key", op)
                .header("x-a", dice.below(3).to_string());
            let (body, gives_up) = (dice.below(60_000), dice.below(8) == 0);
            let Some((response, mut stream)) = client.try_start(request, !posts).await else { break };
            streams.push(tokio::spawn(async move {
                if posts {
                    let _ = stream.send_data(Bytes::from(pattern(body as usize)), true);
                }
                if gives_up {
                    stream.send_reset(h2::Reason::CANCEL);
                    return;
                }
                let _ =
                    tokio::time::timeout(Duration::from_secs(60), finish(response)).await.expect("it ends");
            }));
        }
        for stream in streams {
            stream.await.expect("no stream hangs");
        }
    }
}

const CLIENTS: u64 = 8;
const TURNS: u64 = 25;
const EDITS: u64 = 12;
const H2_CONNECTIONS: u64 = 6;
const H2_STREAMS: u64 = 25;
