//! What shaped answers of HTTP/2 hold counts in what the proxy may hold for all its clients, and beyond that they pass.

use crate::harness::h2::{Outcome, block_on};
use crate::harness::proxy::ms;
use crate::harness::{H2Client, Proxy, eventually, pattern};
use crate::shapes::{origin, rule};

const MOST: u64 = 2_000_000;
const STREAMS: usize = 60;

fn buffered(proxy: &Proxy) -> u64 {
    proxy.status()["limits"]["buffered"].as_u64().expect("bytes")
}

fn met(proxy: &Proxy) -> u64 {
    proxy.status()["limits"]["met"]["buffered"].as_u64().expect("a count")
}

/// Asks for `target` on so many streams of one connection under a fault that lets nothing go. Once as much is held as may
/// be, and no more than `most` of them wait, gives how many do; then the rule is lifted, and what came of all.
fn flood(proxy: &Proxy, target: &'static str, most: usize) -> (usize, Vec<Outcome>) {
    block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        client.settled().await;
        let ask = |client: H2Client| tokio::spawn(async move { client.get(target).await });
        let answers: Vec<_> = (0..STREAMS).map(|_| ask(client.clone())).collect();
        let waiting = loop {
            let bytes = buffered(proxy);
            let waiting = answers.iter().filter(|answer| !answer.is_finished()).count();
            let is_full = (MOST / 2..=MOST).contains(&bytes);
            if is_full && waiting <= most && proxy.status()["in_flight"] == waiting as u64 {
                break waiting;
            }
            tokio::time::sleep(ms(2)).await;
        };
        assert_eq!(proxy.get("/bytes/7").body, pattern(7), "the door is open");
        proxy.post("/lift");
        let mut outcomes = Vec::new();
        for answer in answers {
            outcomes.push(answer.await.expect("no panic"));
        }
        (waiting, outcomes)
    })
}

fn all_whole(outcomes: &[Outcome], len: usize) {
    for outcome in outcomes {
        assert_eq!(
            (outcome.status, outcome.body.len()),
            (200, len),
            "{:?} {:?}",
            outcome.reset,
            outcome.error
        );
        assert!(outcome.body == pattern(len));
    }
}

#[test]
fn streams_that_wait_share_one_bound_and_pass_beyond_it() {
    let origin = origin();
    for fault in ["delay = \"1h at first_byte\"", "stall = \"forever after 100 B\"", "throttle = \"1B/s\""] {
        let bounded = |config: &mut proxy::Config| config.limits.max_buffered = MOST as usize;
        let proxy = Proxy::before(origin.addr).rules(&rule(fault)).with(bounded).start();
        let (waiting, outcomes) = flood(&proxy, "/f/bytes/60000", 30);
        all_whole(&outcomes, 60_000);
        assert!(20 <= waiting, "{fault}: {waiting} wait");
        assert!((STREAMS - waiting) as u64 <= met(&proxy), "{fault}: each that passed is counted");
        let rule = proxy.rule_books("f");
        assert_eq!(rule["selected"], STREAMS, "{fault}: {rule}");
        if fault.starts_with("delay") {
            assert_eq!(rule["suppressed"]["buffered"], STREAMS - waiting, "{rule}");
            assert!(rule["delay"].is_null(), "a wait that was cut short is none: {rule}");
        }
        eventually("nothing is held", || buffered(&proxy) < 100_000);
    }
}

#[test]
fn answers_longer_than_what_one_may_hold_share_it_too() {
    let origin = origin();
    let bounded = |config: &mut proxy::Config| config.limits.max_buffered = MOST as usize;
    let proxy = Proxy::before(origin.addr).rules(&rule("throttle = \"1KB/s\"")).with(bounded).start();
    let (waiting, outcomes) = flood(&proxy, "/f/chunked/500000", 10);
    all_whole(&outcomes, 500_000);
    // what waits behind each in the pipe counts
    assert!(3 <= waiting, "{waiting} wait");
    eventually("nothing is held", || buffered(&proxy) < 100_000);
}

#[test]
fn below_the_bound_every_stream_is_shaped() {
    let origin = origin();
    let proxy = Proxy::before(origin.addr).rules(&rule("stall = \"100ms after 100 B\"")).start();
    block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let ask = |client: H2Client| tokio::spawn(async move { client.get("/f/bytes/60000").await });
        let answers: Vec<_> = (0..STREAMS).map(|_| ask(client.clone())).collect();
        for answer in answers {
            all_whole(&[answer.await.expect("no panic")], 60_000);
        }
    });
    let rule = proxy.rule_books("f");
    assert_eq!((&rule["applied"], met(&proxy)), (&STREAMS.into(), 0), "{rule}");
}
