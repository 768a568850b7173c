//! The rule file under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::harness::{Client, H2Client, Origin, Proxy, eventually, h2, pattern};

const SLEEP: &str = "[[rule]]\nid = \"sleep\"\non = \"/sleep\"\ndelay = \"1h\"\n";
const OTHER: &str = "[[rule]]\nid = \"other\"\non = \"/other\"\nrespond = 500\n";

#[test]
fn a_removed_rule_wakes_its_sleepers_and_none_of_them_fails() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).rules(SLEEP).start();
    let mut sleepers: Vec<_> = (0..200).map(|_| proxy.client()).collect();
    sleepers.iter_mut().for_each(|client| client.send("GET /sleep HTTP/1.1\r\nHost: t\r\n\r\n"));
    h2::block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let streams: Vec<_> = (0..20)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.get("/sleep").await })
            })
            .collect();
        while proxy.status()["in_flight"] != 220 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        proxy.reload(OTHER);
        for stream in streams {
            assert_eq!(stream.await.expect("a stream").status, 200);
        }
    });
    for client in &mut sleepers {
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
    let mut old = sleepers.pop().expect("a sleeper");
    assert_eq!(
        old.ask("GET /other HTTP/1.1\r\nHost: t\r\n\r\n").status,
        500,
        "live on connections that are open"
    );
    let edge = &proxy.books()["edges"][0];
    assert_eq!((&edge["delivered"], &edge["upstream_attempts"]), (&220.into(), &220.into()));
}

#[test]
fn a_rule_that_stays_keeps_its_sleepers() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).rules(SLEEP).start();
    let mut sleeper = proxy.client();
    sleeper.send("GET /sleep HTTP/1.1\r\nHost: t\r\n\r\n");
    proxy.await_in_flight(1);
    for n in 0..3 {
        proxy.reload(&format!("{SLEEP}[[rule]]\nid = \"n{n}\"\non = \"/n\"\nrespond = 500\n"));
    }
    assert_eq!(proxy.status()["in_flight"], 1);
    assert_eq!(origin.count(), 0);
    proxy.reload(OTHER);
    assert_eq!(sleeper.answer(false).status, 200);
}

#[test]
fn a_broken_file_changes_nothing_and_is_explained() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).rules(OTHER).start();
    let generation = proxy.status()["generation"].clone();
    proxy.edit("[[rule]]\nid = \"other\"\non = \"/other\"\nresponde = 500\n");
    eventually("the mistake is reported", || !proxy.status()["rules"]["error"].is_null());
    let status = proxy.status();
    let error = &status["rules"]["error"];
    assert_eq!((&error["line"], &error["column"]), (&5.into(), &1.into()), "{error}");
    assert!(error["help"].as_str().expect("help").contains("respond"), "{error}");
    assert_eq!((&status["generation"], &status["rules"]["refused"]), (&generation, &1.into()));
    assert_eq!(proxy.get("/other").status, 500, "the old rules act on");
    proxy.edit("not even = = TOML");
    eventually("the next mistake is reported", || proxy.status()["rules"]["refused"] == 2);
    std::fs::remove_file(proxy.folder.path().join("rules.toml")).expect("removed");
    eventually("a file that is gone is reported", || proxy.status()["rules"]["error"]["message"].is_string());
    assert_eq!(proxy.get("/other").status, 500);
    proxy.reload(SLEEP);
    let status = proxy.status();
    assert!(status["rules"]["error"].is_null() && generation.as_u64() < status["generation"].as_u64());
    assert_eq!(proxy.get("/other").status, 200);
}

#[test]
fn saving_without_a_change_is_no_new_generation() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).rules(OTHER).start();
    let before = proxy.status();
    proxy.edit(OTHER);
    eventually("the file was read", || {
        proxy.status()["rules"]["loaded_at_us"] != before["rules"]["loaded_at_us"]
    });
    assert_eq!(proxy.status()["generation"], before["generation"]);
}

#[test]
fn reloads_under_traffic_lose_no_request() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).rules(OTHER).start();
    let (addr, stop, done) = (proxy.addr, Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (stop, done) = (stop.clone(), done.clone());
            std::thread::spawn(move || {
                let mut client = Client::connect(addr);
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.ask("GET /x HTTP/1.1\r\nHost: t\r\n\r\n");
                    assert!(matches!(answer.status, 200 | 418), "{}", answer.head);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for n in 0..30 {
        let rate = n % 2 * 50;
        proxy.reload(&format!("[[rule]]\nid = \"r{n}\"\non = \"/x\"\nrate = \"{rate}%\"\nrespond = 418\n"));
        let seen = done.load(Ordering::Relaxed);
        eventually("traffic goes on", || seen + 20 < done.load(Ordering::Relaxed));
    }
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().expect("no request fails"));
    let books = proxy.books();
    assert_eq!(books["edges"][0]["seen"], done.load(Ordering::Relaxed));
    assert_eq!(books["edges"][0]["upstream_failed"], 0);
}

#[test]
fn what_a_removed_rule_would_have_done_after_its_delay_is_not_done() {
    let origin = Origin::plain();
    let rules = |what: &str| format!("[[rule]]\nid = \"both\"\non = \"/sleep\"\ndelay = \"1h\"\n{what}\n");
    for what in [
        "blackhole = \"forever\"",
        "respond = 503",
        "reset = \"before headers\"",
        "reset = \"after headers\"",
    ] {
        let proxy = Proxy::before(origin.addr).rules(&rules(what)).start();
        let mut sleeper = proxy.client();
        sleeper.send("GET /sleep HTTP/1.1\r\nHost: t\r\n\r\n");
        proxy.await_in_flight(1);
        proxy.reload(OTHER);
        assert_eq!(sleeper.answer(false).status, 200, "{what}");
        proxy.books();
    }
}

#[test]
fn a_blackhole_whose_rule_is_removed_lets_go() {
    let origin = Origin::plain();
    let hole = "[[rule]]\nid = \"hole\"\non = \"/hole\"\nblackhole = \"forever\"\n";
    let proxy = Proxy::before(origin.addr).rules(hole).start();
    let mut get = proxy.client();
    get.send("GET /hole HTTP/1.1\r\nHost: t\r\n\r\n");
    let mut post = proxy.client();
    post.send("POST /hole HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc");
    proxy.await_in_flight(2);
    proxy.reload(OTHER);
    assert_eq!(get.answer(false).status, 200, "it has no body, so it can go on");
    let apology = post.answer(false);
    assert_eq!((apology.status, apology.header("squall-fault")), (503, Some("hole")));
    assert_eq!(origin.count(), 1);
    proxy.books();
}

/// Sleepers of every kind, each with a body of its own, which comes back whole once their rules are gone.
#[test]
fn a_thousand_sleepers_of_every_kind_go_on_and_lose_no_byte() {
    const EACH: usize = 250;
    let origin = Origin::plain();
    let rule =
        |id: &str, what: &str| format!("[[rule]]\nid = \"{id}\"\non = \"header x-held={id}\"\n{what}\n");
    let rules = format!("[group.all]\nmembers = [\"{}\"]\n", origin.addr)
        + &rule("connect", "delay = \"1h at connect\"")
        + &rule("request", "delay = \"1h\"")
        + &rule("response", "delay = \"1h at response\"")
        + "[[rule]]\nid = \"outage\"\non = \"header x-held=outage group all\"\noutage = \"blackhole\"\n";
    let proxy = Proxy::before(origin.addr).rules(&rules);
    let proxy = proxy.with(|config| config.connect_timeout = std::time::Duration::from_secs(3600)).start();
    let body = |at: usize| pattern(at * 37);
    let mut sleepers = Vec::new();
    for (nth, held) in ["connect", "request", "response", "outage"].into_iter().enumerate() {
        for at in nth * EACH..(nth + 1) * EACH {
            let body = body(at);
            let mut client = proxy.client();
            client.send(format!(
                "POST /echo HTTP/1.1\r\nHost: t\r\nX-Held: {held}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            ));
            client.send(&body);
            sleepers.push((client, held, at));
        }
    }
    proxy.await_in_flight(4 * EACH as i64);
    eventually("those whose answer is held back were answered", || origin.seen().len() == EACH);
    proxy.reload(OTHER);
    for (mut client, held, at) in sleepers {
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.header("squall-fault")), (200, Some(held)));
        assert!(answer.body == body(at), "byte for byte");
    }
    let edge = proxy.books()["edges"][0].clone();
    let all = 4 * EACH;
    assert_eq!(
        (&edge["delivered"], &edge["upstream_attempts"], origin.count()),
        (&all.into(), &all.into(), all)
    );
    for held in ["connect", "request", "response", "outage"] {
        assert_eq!(proxy.rule_books(held)["applied"], EACH);
    }
}
