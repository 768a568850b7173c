//! What counts after selection: every n-th, bursts, attempts of clients that are no replay.

use std::process::Command;

use crate::harness::{Client, H2Client, Origin, Proxy, h2};

const EVERY: &str =
    "[[rule]]\nid = \"third\"\non = \"/f/**\"\nevery = \"3rd per header x-key\"\nrespond = 503\n";

fn ask(client: &mut Client, key: &str) -> u16 {
    client.ask(&format!("GET /f/ HTTP/1.1\r\nHost: t\r\nX-Key: {key}\r\n\r\n")).status
}

#[test]
fn every_third_of_each_key_and_the_count_survives_a_reload() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).rules(EVERY).start();
    let mut client = proxy.client();
    let of = |client: &mut Client, key: &str, n: usize| (0..n).map(|_| ask(client, key)).collect::<Vec<_>>();
    assert_eq!(of(&mut client, "red", 5), [200, 200, 503, 200, 200]);
    client = proxy.client();
    assert_eq!(of(&mut client, "blue", 2), [200, 200]);
    proxy.reload(&format!("{EVERY}[[rule]]\nid = \"other\"\non = \"/other\"\nrespond = 500\n"));
    assert_eq!(of(&mut client, "red", 1), [503], "the sixth");
    client = proxy.client();
    assert_eq!(of(&mut client, "blue", 1), [503], "the third");
    h2::block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let mut got = Vec::new();
        for _ in 0..3 {
            got.push(
                client.send(client.request("POST", "/f/").header("x-key", "green"), "body").await.status,
            );
        }
        assert_eq!(got, [200, 200, 503]);
    });
    let rule = proxy.rule_books("third");
    assert_eq!((&rule["selected"], &rule["applied"]), (&12.into(), &4.into()));
    assert_eq!(rule["suppressed"]["not_nth"], 8);
    proxy.reload(&EVERY.replace("3rd", "2nd"));
    assert_eq!(of(&mut proxy.client(), "red", 2), [200, 503], "another count begins anew");
}

#[test]
fn a_delay_that_is_not_the_nth_is_no_delay() {
    let origin = Origin::plain();
    let rules = "[[rule]]\nid = \"r\"\non = \"/f/**\"\nevery = \"1000th\"\ndelay = \"1h\"\nrespond = 500\n";
    let proxy = Proxy::before(origin.addr).rules(rules).start();
    (0..5).for_each(|_| assert_eq!(proxy.get("/f/").status, 200));
    proxy.books(); // the last answer is there before its exchange is over
    let spared = proxy.ledger();
    assert_eq!(spared.len(), 10, "a delay and a fault each");
    assert!(spared.iter().all(|line| line["suppressed"] == "not_nth"));
}

#[test]
fn a_burst_begins_ends_and_is_the_same_in_every_run() {
    let rules = "seed = 7\n[[rule]]\nid = \"b\"\non = \"/f/**\"\n\
                 burst = { enter = \"10%\", leave = \"30%\", rate = \"100%\" }\nrespond = 503\n";
    let run = || {
        let origin = Origin::plain();
        let proxy = Proxy::before(origin.addr).rules(rules).start();
        let mut client = proxy.client();
        let got: Vec<u16> = (0..200).map(|_| ask(&mut client, "k")).collect();
        let rule = proxy.rule_books("b");
        assert_eq!(rule["suppressed"]["no_burst"], got.iter().filter(|status| **status == 200).count());
        assert_eq!(rule["applied"], got.iter().filter(|status| **status == 503).count());
        got
    };
    let first = run();
    let turns = first.windows(2).filter(|two| two[0] != two[1]).count();
    let hit = first.iter().filter(|status| **status == 503).count();
    assert!(20 < hit && hit < 90 && turns < hit, "{hit} hit, {turns} turns: in bursts");
    assert_eq!(first, run());
}

#[test]
fn curl_fails_twice_and_then_succeeds() {
    let origin = Origin::plain();
    let rules = "[[rule]]\nid = \"twice\"\non = \"POST /f/**\"\nattempts = \"1..2\"\nrespond = 503\n";
    let proxy = Proxy::before(origin.addr).rules(rules).start();
    let url = format!("http://{}/f/pay", proxy.addr);
    let told = Command::new("curl")
        .args(["-sS", "--retry", "3", "--retry-delay", "1", "-o", "/dev/null", "-w", "%{http_code}"])
        .args(["-H", "Idempotency-Key: order-1", "-d", "order=1", &url])
        .output()
        .expect("curl (apt-get install curl)");
    assert_eq!(String::from_utf8_lossy(&told.stdout), "200", "{}", String::from_utf8_lossy(&told.stderr));
    assert_eq!(origin.count(), 1);
    h2::block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let mut got = Vec::new();
        for _ in 0..3 {
            let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
            let request = client.request("POST", "/f/pay").header("traceparent", trace);
            got.push(client.send(request, "order=2").await.status);
        }
        assert_eq!(got, [503, 503, 200]);
    });
    let attempts: Vec<_> = proxy.ledger().iter().map(|line| line["attempt"].clone()).collect();
    assert_eq!(attempts, [1, 2, 1, 2]);
    let rule = proxy.rule_books("twice");
    assert_eq!((&rule["eligible"], &rule["applied"]), (&4.into(), &4.into()));
}
