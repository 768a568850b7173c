//! Rate limits: what is granted, and when to come back, against the bucket that each key has.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::harness::{Client, H2Client, Origin, Proxy, h2};

const CLIENTS: usize = 64;
const BURST: usize = 20;
/// A token of a key comes every so many seconds.
const EVERY_S: u64 = 7;

/// One answer, and between which moments its token was asked for, counted from the start of the test.
#[derive(Debug, Clone, Copy)]
struct Told {
    granted: bool,
    retry_after_s: u64,
    sent: Duration,
    answered: Duration,
}

fn told(status: u16, retry_after: Option<&str>, times: (Duration, Duration)) -> Told {
    assert!(matches!(status, 200 | 429), "{status}");
    let retry_after_s = retry_after.map_or(0, |seconds| seconds.parse().expect("whole seconds"));
    Told { granted: status == 200, retry_after_s, sent: times.0, answered: times.1 }
}

fn rules() -> String {
    format!(
        "[[rule]]\nid = \"quota\"\non = \"/f/**\"\n\
         rate_limit = {{ per = \"header x-key\", rate = \"1/{EVERY_S}s\", burst = {BURST} }}\n"
    )
}

/// A full bucket gives its burst at once. From its first grant on it fills, a token every [`EVERY_S`]; so a refusal that came
/// `n` periods after that says how long is left of the period. Neither moment is known better than by the client's own
/// clock, before and after: the seconds told must be those of some moment between.
fn check(key: &str, mut all: Vec<Told>) {
    all.sort_by_key(|told| told.answered);
    let first = all.iter().filter(|told| told.granted).map(|told| (told.sent, told.answered));
    let (earliest, latest) =
        first.reduce(|a, b| (a.0.min(b.0), a.1.min(b.1))).expect("somebody has the first token");
    let n_granted = all.iter().filter(|told| told.granted).count();
    let end = all.iter().map(|told| told.answered).max().expect("answers");
    let came = (end - earliest).as_secs() / EVERY_S;
    assert!((BURST..=BURST + came as usize).contains(&n_granted), "{key}: {n_granted} granted, {came} came");
    for refused in all.iter().filter(|told| !told.granted) {
        let seconds_at = |since: Duration| {
            let left = Duration::from_secs(EVERY_S).as_nanos()
                - since.as_nanos() % u128::from(EVERY_S * 1_000_000_000);
            u64::try_from(left.div_ceil(1_000_000_000)).expect("few")
        };
        let (least, most) = (refused.sent.saturating_sub(latest), refused.answered - earliest);
        let possible: Vec<u64> = steps(least, most).map(seconds_at).collect();
        assert!(possible.contains(&refused.retry_after_s), "{key}: {refused:?}, possible {possible:?}");
    }
}

/// Both ends of a span, and a moment in every 10 ms of it.
fn steps(from: Duration, to: Duration) -> impl Iterator<Item = Duration> {
    let n = (to.saturating_sub(from).as_millis() / 10) as u32;
    (0..=n).map(move |at| from + Duration::from_millis(10) * at).chain([to])
}

#[test]
fn retry_after_is_exact_for_each_key_under_many_clients() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).rules(&rules()).start();
    let (addr, start) = (proxy.addr, Instant::now());
    let (tell, tellings) = mpsc::channel();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let tell = tell.clone();
            std::thread::spawn(move || {
                let mut connection = Client::connect(addr);
                for turn in 0..6 {
                    let key = ["red", "green", "blue"][(client + turn) % 3];
                    let sent = start.elapsed();
                    let answer =
                        connection.ask(&format!("GET /f/ HTTP/1.1\r\nHost: t\r\nX-Key: {key}\r\n\r\n"));
                    let times = (sent, start.elapsed());
                    tell.send((key, told(answer.status, answer.header("retry-after"), times))).expect("told");
                }
            })
        })
        .collect();
    h2::block_on(async {
        let client = H2Client::connect(addr).await;
        for key in ["red", "green", "blue"].repeat(8) {
            let sent = start.elapsed();
            let outcome = client.send(client.request("POST", "/f/").header("x-key", key), "body").await;
            let retry = outcome.headers.get("retry-after").and_then(|value| value.to_str().ok());
            tell.send((key, told(outcome.status, retry, (sent, start.elapsed())))).expect("told");
        }
    });
    clients.into_iter().for_each(|client| client.join().expect("a client"));
    drop(tell);
    let mut by_key = BTreeMap::<&str, Vec<Told>>::new();
    tellings.iter().for_each(|(key, told)| by_key.entry(key).or_default().push(told));
    let granted = by_key.values().flatten().filter(|told| told.granted).count();
    assert_eq!(by_key.values().map(Vec::len).sum::<usize>(), CLIENTS * 6 + 24);
    by_key.into_iter().for_each(|(key, told)| check(key, told));
    assert_eq!(origin.count(), granted);
    let edge = proxy.books()["edges"][0].clone();
    assert_eq!(edge["short_circuited"]["quota"], CLIENTS * 6 + 24 - granted);
    assert_eq!(proxy.rule_books("quota")["suppressed"]["within_limit"], granted);
}

#[test]
fn who_comes_back_when_told_is_served_and_nobody_else() {
    let origin = Origin::plain();
    let rules = "[[rule]]\nid = \"quota\"\non = \"/f/**\"\nrate_limit = { per = \"header x-key\", rate = \"1/1s\", burst = 1 }\n";
    let proxy = Proxy::before(origin.addr).rules(rules).start();
    let addr = proxy.addr;
    let ask =
        move |key: &str| Client::once(addr, &format!("GET /f/ HTTP/1.1\r\nHost: t\r\nX-Key: {key}\r\n\r\n"));
    assert_eq!(ask("red").status, 200);
    let refused = ask("red");
    if refused.status == 429 {
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    std::thread::sleep(Duration::from_secs(1));
    // of all that come back exactly as many are served as tokens have come: one, and one more each second
    let begun = Instant::now();
    let back: Vec<_> = (0..CLIENTS).map(|_| std::thread::spawn(move || ask("red").status)).collect();
    let statuses = back.into_iter().map(|client| client.join().expect("a client"));
    let served = statuses.filter(|status| *status == 200).count();
    assert!((1..=2 + begun.elapsed().as_secs() as usize).contains(&served), "{served}");
    assert_eq!(ask("blue").status, 200, "another key has a bucket of its own");
}

#[test]
fn a_client_that_leaves_has_spent_its_token() {
    let origin = Origin::plain();
    let rules = "[[rule]]\nid = \"slow\"\non = \"/f/**\"\ndelay = \"1h at response\"\n\
                 [[rule]]\nid = \"quota\"\non = \"/f/**\"\nrate_limit = { rate = \"1/h\", burst = 1 }\n";
    let proxy = Proxy::before(origin.addr).rules(rules).start();
    let mut client = proxy.client();
    client.send("GET /f/ HTTP/1.1\r\nHost: t\r\n\r\n");
    crate::harness::eventually("it has its token", || origin.count() == 1);
    drop(client);
    proxy.books();
    proxy.post("/lift/slow");
    assert_eq!(proxy.get("/f/").status, 429);
    assert_eq!(origin.count(), 1);
}
