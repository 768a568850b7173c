//! Rules that wait for the answer's status: only exchanges that get it are theirs, in the books too.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::harness::proxy::ms;
use crate::harness::{Client, End, Gate, H2Client, Origin, Proxy, Then, eventually, h2, pattern};

fn rule(id: &str, on: &str, what: &str) -> String {
    format!("[[rule]]\nid = \"{id}\"\non = \"{on}\"\n{what}\n")
}

fn ask(client: &mut Client, target: &str) -> crate::harness::client::Answer {
    client.ask(&format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n"))
}

fn n(count: &Value) -> u64 {
    count.as_u64().unwrap_or(0)
}

#[test]
fn a_delay_for_failures_is_about_failures_only_on_both_protocols() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr)
        .rules(&rule("slow", "/** -> 5xx|404", "delay = \"1ms at response\""))
        .start();
    let mut client = proxy.client();
    for (target, touched) in
        [("/status/503", true), ("/status/404", true), ("/status/403", false), ("/bytes/9", false)]
    {
        let answer = ask(&mut client, target);
        assert_eq!(answer.header("squall-fault"), touched.then_some("slow"), "{target}");
    }
    h2::block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        for (target, touched) in [("/status/500", true), ("/status/204", false)] {
            assert_eq!(client.get(target).await.headers.contains_key("squall-fault"), touched, "{target}");
        }
    });
    let rule = proxy.rule_books("slow");
    assert_eq!((n(&rule["eligible"]), n(&rule["selected"]), n(&rule["applied"])), (3, 3, 3));
    assert_eq!(proxy.ledger().len(), 3, "nothing is said of the others");
}

#[test]
fn an_exchange_without_an_answer_is_not_counted() {
    let origin = Origin::start(|request, tcp| {
        if request.target() == "/half" {
            let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
        }
        Then::Close
    });
    let rules = rule("slow", "/** -> 2xx", "delay = \"1ms at response\"")
        + &rule("own", "/own", "respond = 200")
        + &rule("hour", "/gone", "delay = \"1h\"");
    let proxy = Proxy::before(origin.addr).rules(&rules).start();
    let mut client = proxy.client();
    assert_eq!(ask(&mut client, "/none").status, 502);
    assert_eq!(
        ask(&mut proxy.client(), "/own").header("squall-fault"),
        Some("own"),
        "the origin's status counts"
    );
    let mut gone = proxy.client();
    gone.send("GET /gone HTTP/1.1\r\nHost: t\r\n\r\n");
    proxy.await_in_flight(1);
    drop(gone);
    assert_eq!(n(&proxy.rule_books("slow")["eligible"]), 0);
    let mut half = proxy.client();
    half.send("GET /half HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(half.head().header("squall-fault"), Some("slow"));
    assert_eq!(half.rest(), (b"half".to_vec(), End::Eof));
    let rule = proxy.rule_books("slow");
    assert_eq!((n(&rule["eligible"]), n(&rule["applied"])), (1, 1));
    let nobody = Proxy::before(crate::harness::origin::nobody()).rules(&rules).start();
    assert_eq!(nobody.get("/x").status, 502);
    assert_eq!(n(&nobody.rule_books("slow")["eligible"]), 0);
}

#[test]
fn a_reset_for_one_status_leaves_the_field_to_later_rules() {
    let origin = Origin::plain();
    let rules = rule("torn", "/** -> 5xx", "reset = \"after headers\"")
        + &rule("short", "/status/403 -> 4xx", "reset = \"after headers\"")
        + &rule("own", "/own", "respond = 418");
    let proxy = Proxy::before(origin.addr).rules(&rules).start();
    let torn = |target: &str| {
        let mut client = proxy.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let head = client.head();
        (head.header("squall-fault").map(ToOwned::to_owned), head.status)
    };
    assert_eq!(torn("/status/503"), (Some("torn".to_owned()), 503));
    assert_eq!(torn("/status/403"), (Some("short".to_owned()), 403));
    assert_eq!(torn("/bytes/5"), (None, 200));
    assert_eq!(torn("/own"), (Some("own".to_owned()), 418), "it can still act before the upstream");
    h2::block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        assert!(client.get("/status/500").await.reset.is_some());
        assert_eq!(client.get("/bytes/5").await.body, pattern(5));
    });
    let books = proxy.books();
    assert_eq!((n(&books["edges"][0]["cut"]["torn"]), n(&books["edges"][0]["cut"]["short"])), (2, 1));
    assert_eq!(n(&proxy.rule_books("torn")["eligible"]), 2);
}

#[test]
fn a_storm_for_one_status() {
    let origin = Origin::plain();
    let storm = "storm = { when = [\"2xx\", \"4xx\"], copies = 2, max_amplification = 9.0 }";
    let proxy = Proxy::before(origin.addr).rules(&rule("storm", "/** -> 404", storm)).start();
    let mut client = proxy.client();
    for target in ["/status/404", "/status/403", "/bytes/3"] {
        ask(&mut client, target);
    }
    let rule = proxy.rule_books("storm");
    assert_eq!((n(&rule["eligible"]), n(&rule["applied"])), (1, 1));
    assert_eq!(origin.count(), 5);
}

#[test]
fn every_third_of_those_with_the_status_is_counted() {
    let turn = AtomicUsize::new(0);
    let origin = Origin::start(move |_, tcp| {
        // every second answer is a failure
        let status = if turn.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) { 503 } else { 200 };
        let written = write!(tcp, "HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok");
        written.map_or(Then::Close, |()| Then::Keep)
    });
    let what = "every = \"3rd per header x-key\"\ndelay = \"1ms at response\"";
    let proxy = Proxy::before(origin.addr).rules(&rule("third", "/** -> 5xx", what)).start();
    let mut client = proxy.client();
    let touched: Vec<bool> = (0..18)
        .map(|_| {
            let answer = client.ask("GET /f HTTP/1.1\r\nHost: t\r\nX-Key: k\r\n\r\n");
            answer.header("squall-fault").is_some()
        })
        .collect();
    let places: Vec<_> = (0..18).filter(|at| touched[*at]).collect();
    assert_eq!(places, [4, 10, 16], "the third, sixth and ninth failure");
    let rule = proxy.rule_books("third");
    assert_eq!((n(&rule["eligible"]), n(&rule["applied"]), n(&rule["suppressed"]["not_nth"])), (9, 3, 6));
}

#[test]
fn caps_count_what_a_status_decides() {
    let origin = Origin::plain();
    let rules = "[safety]\nmax_affected = \"20%\"\n".to_owned()
        + &rule("slow", "/** -> 5xx", "delay = \"1ms at response\"");
    let proxy = Proxy::before(origin.addr).rules(&rules).start();
    let mut client = proxy.client();
    (0..200).for_each(|_| drop(ask(&mut client, "/bytes/1")));
    assert!(proxy.status()["lifted"].is_null(), "matched, but not affected");
    (0..200).for_each(|_| drop(ask(&mut client, "/status/500")));
    assert!(proxy.status()["lifted"].as_str().is_some_and(|why| why.contains("max_affected")));
    let applied = n(&proxy.rule_books("slow")["applied"]);
    assert!((1..=51).contains(&applied), "{applied} of 400");
}

#[test]
fn a_client_that_leaves_a_shaped_answer_that_is_held_back_ends_it() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |request, tcp| {
        wait.pass();
        crate::harness::origin::answer_plainly(request, tcp)
    });
    let rules = rule("held", "/** -> 2xx", "delay = \"1h at response\"\nthrottle = \"1MB/s\"");
    let proxy = Proxy::before(origin.addr).rules(&rules).start();
    h2::block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let (response, stream) = client.start(client.request("GET", "/bytes/9"), true).await;
        gate.open();
        while origin.seen().is_empty() {
            tokio::time::sleep(ms(2)).await;
        }
        drop((response, stream));
        while proxy.status()["in_flight"] != 0 {
            tokio::time::sleep(ms(2)).await;
        }
        let (response, _stream) = client.start(client.request("GET", "/bytes/9"), true).await;
        gate.open();
        while origin.seen().len() < 2 {
            tokio::time::sleep(ms(2)).await;
        }
        proxy.post("/lift");
        assert_eq!(h2::finish(response).await.body, pattern(9), "the connection lives");
    });
    let mut client = proxy.client();
    client.send("GET /bytes/9 HTTP/1.1\r\nHost: t\r\n\r\n");
    gate.open();
    assert_eq!(client.answer(false).body, pattern(9));
    eventually("all of it is booked", || proxy.status()["in_flight"] == 0);
    let edge = proxy.books()["edges"][0].clone();
    assert_eq!((n(&edge["client_gone_after"]), n(&edge["delivered"])), (1, 2));
}
