//! Faults on plain-TCP edges: exact on the wire, on connections that are there already too.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::client::End;
use crate::harness::proxy::ms;
use crate::harness::tcp::{exactly, passes, rest};
use crate::harness::{Proxy, Upstream, eventually, pattern};

pub(super) fn rule(what: &str) -> String {
    format!("[[rule]]\nid = \"r\"\non = \"edge db\"\n{what}\n")
}

pub(super) fn with(upstream: &Upstream, what: &str) -> Proxy {
    Proxy::tcp_before(upstream.addr).rules(&rule(what)).start()
}

/// A rule that is about nobody.
const NOTHING: &str = "[[rule]]\nid = \"none\"\non = \"edge nowhere\"\ndelay = \"1s\"\n";

pub(super) fn pair(proxy: &Proxy, upstream: &Upstream) -> (TcpStream, TcpStream) {
    (proxy.dial(), upstream.take())
}

#[test]
fn a_delay_is_waited_for_once_and_caps_no_bandwidth() {
    let upstream = Upstream::open();
    let proxy = with(&upstream, "delay = \"200ms at response\"");
    let (mut client, mut server) = pair(&proxy, &upstream);
    passes(&mut client, &mut server, b"not delayed");
    let begun = Instant::now();
    let writer = std::thread::spawn(move || {
        server.write_all(&pattern(3_200_000)).expect("taken");
        server
    });
    assert!(exactly(&mut client, 3_200_000) == pattern(3_200_000));
    let took = begun.elapsed();
    // added up a piece of 32 KB at a time it would be 20 s
    assert!(ms(200) <= took && took < ms(5_000), "{took:?}");
    drop((writer.join().expect("written"), client));
    proxy.settled("db");
    let line = &proxy.ledger()[0];
    assert_eq!((&line["rule"], &line["action"], &line["edge"]), (&"r".into(), &"delay".into(), &"db".into()));
    assert_eq!((&line["asked"], &line["applied"]), (&"200000us".into(), &true.into()), "{line}");
    assert!(200_000 <= line["actual_us"].as_u64().expect("a time"), "{line}");
}

#[test]
fn a_delay_towards_the_upstream_moves_the_end_too() {
    let upstream = Upstream::open();
    let proxy = with(&upstream, "delay = \"150ms\"");
    let (mut client, mut server) = pair(&proxy, &upstream);
    let begun = Instant::now();
    client.write_all(&pattern(100_000)).expect("taken");
    client.shutdown(Shutdown::Write).expect("half closed");
    passes(&mut server, &mut client, b"not delayed");
    assert_eq!(rest(&mut server), (pattern(100_000), End::Eof));
    assert!(ms(150) <= begun.elapsed());
}

#[test]
fn jitter_may_be_greater_than_the_delay_and_keeps_the_order() {
    let upstream = Upstream::echo();
    let both = "[[rule]]\nid = \"a\"\non = \"edge db\"\ndelay = \"0ms..30ms at request\"\n\
                [[rule]]\nid = \"b\"\non = \"edge db\"\ndelay = { dist = \"normal\", mean = \"1ms\", sd = \"5ms\", min = \"0ms\", at = \"response\" }\n";
    let proxy = Proxy::tcp_before(upstream.addr).rules(both).start();
    let mut client = proxy.dial();
    let mut writer = client.try_clone().expect("a handle");
    let words = std::thread::spawn(move || {
        for word in 0..20_000_u16 {
            writer.write_all(&word.to_be_bytes()).expect("taken");
        }
    });
    for word in 0..20_000_u16 {
        assert_eq!(exactly(&mut client, 2), word.to_be_bytes());
    }
    words.join().expect("written");
}

/// What Toxiproxy, noxious and others lose or reorder: small writes while rules come and go.
#[test]
fn small_writes_arrive_in_order_while_rules_toggle() {
    let upstream = Upstream::echo();
    let proxy = Proxy::tcp_before(upstream.addr).rules(NOTHING).start();
    let mut client = proxy.dial();
    let mut writer = client.try_clone().expect("a handle");
    let done = Arc::new(AtomicBool::new(false));
    let over = done.clone();
    let words = std::thread::spawn(move || {
        for word in 0..=65_534_u16 {
            writer.write_all(&word.to_be_bytes()).expect("taken");
        }
    });
    let reader = std::thread::spawn(move || {
        for word in 0..=65_534_u16 {
            assert_eq!(exactly(&mut client, 2), word.to_be_bytes());
        }
        over.store(true, Ordering::SeqCst);
        client
    });
    let toggles = [
        "delay = \"20ms at response\"",
        "throttle = \"200KB/s\"",
        "delay = \"1ms..9ms\"\nblackhole = \"forever\"",
        "stall = \"forever after 10 B\"",
        "loss = { rate = \"20%\", rto = \"5ms\" }",
        "outage = \"blackhole\"",
        "throttle = { request = \"1MB/s\", piece = \"7B\", gap = \"10us\" }",
    ];
    let mut turns = 0;
    while !done.load(Ordering::SeqCst) && !reader.is_finished() {
        proxy.reload(&rule(toggles[turns % toggles.len()]));
        proxy.reload(NOTHING);
        turns += 1;
    }
    words.join().expect("written");
    drop(reader.join().expect("all words, in order"));
    let rows = proxy.settled("db");
    assert_eq!(
        (&rows["request"]["out"], &rows["response"]["out"]),
        (&131_070.into(), &131_070.into()),
        "{rows:#}"
    );
    assert_eq!(rows["finished"], 1, "after {turns} turns: {rows:#}");
}

#[test]
fn a_reset_at_connect_meets_new_connections_and_those_that_are_there() {
    let upstream = Upstream::open();
    let proxy = Proxy::tcp_before(upstream.addr).rules(NOTHING).start();
    let (mut client, mut server) = pair(&proxy, &upstream);
    passes(&mut client, &mut server, b"hello");
    proxy.reload(&rule("reset = \"before headers\""));
    assert_eq!(rest(&mut client), (Vec::new(), End::Reset));
    assert_eq!(rest(&mut server), (Vec::new(), End::Reset));
    assert_eq!(rest(&mut proxy.dial()), (Vec::new(), End::Reset));
    let rows = proxy.settled("db");
    assert_eq!((&rows["cut"]["r"], &rows["refused"]["r"]), (&1.into(), &1.into()), "{rows:#}");
    assert_eq!(upstream.waiting(), 0, "the second never reached it");
    let rule = proxy.rule("r");
    assert_eq!(
        (&rule["eligible"], &rule["selected"], &rule["applied"]),
        (&2.into(), &2.into(), &2.into()),
        "{rule}"
    );
}

#[test]
fn a_reset_after_n_bytes_comes_right_there() {
    let upstream = Upstream::open();
    for n in [0, 1, 5_000, 65_536, 200_000] {
        let proxy = with(&upstream, &format!("reset = \"after {n} B of body\""));
        let (mut client, mut server) = pair(&proxy, &upstream);
        let writer = std::thread::spawn(move || {
            let _ = server.write_all(&pattern(400_000)); // the reset meets it in the middle
            rest(&mut server).1
        });
        assert_eq!(rest(&mut client), (pattern(n), End::Reset), "{n}");
        let _ = writer.join();
        let rows = proxy.settled("db");
        assert_eq!((&rows["cut"]["r"], &rows["response"]["out"]), (&1.into(), &n.into()), "{rows:#}");
    }
}

#[test]
fn a_reset_after_a_time_counts_from_the_connection_or_from_the_rule() {
    let upstream = Upstream::open();
    let proxy = Proxy::tcp_before(upstream.addr).rules(NOTHING).start();
    let (mut old, _server) = pair(&proxy, &upstream);
    let begun = Instant::now();
    proxy.reload(&rule("reset = \"after 150ms\""));
    assert_eq!(rest(&mut old), (Vec::new(), End::Reset));
    assert!(ms(150) <= begun.elapsed());
    let begun = Instant::now();
    let (mut new, mut server) = pair(&proxy, &upstream);
    passes(&mut server, &mut new, b"until then all is well");
    assert_eq!(rest(&mut new), (Vec::new(), End::Reset));
    assert!(ms(150) <= begun.elapsed());
}

#[test]
fn a_truncation_is_a_fin_after_n_bytes() {
    let upstream = Upstream::open();
    let proxy = with(&upstream, "truncate = \"5000 B\"");
    let (mut client, mut server) = pair(&proxy, &upstream);
    client.write_all(b"a request that is not cut").expect("taken");
    server.write_all(&pattern(9_000)).expect("taken");
    assert_eq!(rest(&mut client), (pattern(5_000), End::Eof));
    assert_eq!(rest(&mut server), (b"a request that is not cut".to_vec(), End::Eof));
    drop((client, server));
    let rows = proxy.settled("db");
    assert_eq!(
        (&rows["cut"]["r"], &rows["response"]["withheld"]["r"]),
        (&1.into(), &4_000.into()),
        "{rows:#}"
    );
}

#[test]
fn a_black_hole_keeps_everything_and_gives_it_back() {
    let upstream = Upstream::open();
    let proxy = Proxy::tcp_before(upstream.addr).rules(NOTHING).start();
    let (mut client, mut server) = pair(&proxy, &upstream);
    proxy.reload(&rule("blackhole = \"forever\""));
    client.write_all(&pattern(40_000)).expect("taken");
    server.write_all(&pattern(40_000)).expect("taken");
    eventually("the proxy holds both", || {
        let rows = proxy.rows("db");
        rows["request"]["held"] == 40_000 && rows["response"]["held"] == 40_000
    });
    let mut new = proxy.dial();
    new.write_all(b"me too").expect("taken");
    eventually("the new one is held", || proxy.rows("db")["connecting"] == 1);
    assert_eq!(upstream.waiting(), 0, "the upstream does not know of it");
    proxy.reload(NOTHING);
    assert!(
        exactly(&mut client, 40_000) == pattern(40_000) && exactly(&mut server, 40_000) == pattern(40_000)
    );
    assert_eq!(exactly(&mut upstream.take(), 6), b"me too");
}

#[test]
fn a_black_hole_ends_as_its_rule_says_or_when_the_client_leaves() {
    let upstream = Upstream::open();
    for (hole, end) in [("50ms, then reset", End::Reset), ("50ms, then close", End::Eof)] {
        let proxy = Proxy::tcp_before(upstream.addr).rules(NOTHING).start();
        let (mut old, _server) = pair(&proxy, &upstream);
        proxy.reload(&rule(&format!("blackhole = \"{hole}\"")));
        assert_eq!(rest(&mut old), (Vec::new(), end), "{hole}");
        assert_eq!(rest(&mut proxy.dial()), (Vec::new(), end), "{hole}, new");
        let rows = proxy.settled("db");
        assert_eq!((&rows["cut"]["r"], &rows["dropped"]["r"]), (&1.into(), &1.into()), "{rows:#}");
    }
    let proxy = Proxy::tcp_before(upstream.addr).rules(NOTHING).start();
    let (old, mut server) = pair(&proxy, &upstream);
    proxy.reload(&rule("blackhole = \"forever\""));
    let new = proxy.dial();
    eventually("both are held", || proxy.rule("r")["selected"] == 2);
    drop((old, new));
    let rows = proxy.settled("db");
    assert_eq!((&rows["cut"]["r"], &rows["dropped"]["r"]), (&1.into(), &1.into()), "{rows:#}");
    rest(&mut server);
}

#[test]
fn a_stall_holds_the_answer_behind_n_bytes() {
    let upstream = Upstream::open();
    let proxy = with(&upstream, "stall = \"forever after 100 B\"");
    let (mut client, mut server) = pair(&proxy, &upstream);
    server.write_all(&pattern(250)).expect("taken");
    assert_eq!(exactly(&mut client, 100), pattern(100));
    passes(&mut client, &mut server, b"the request passes");
    eventually("the rest is held", || proxy.rows("db")["response"]["held"] == 150);
    proxy.reload(NOTHING);
    assert_eq!(exactly(&mut client, 150), pattern(250)[100..]);
    let proxy = with(&upstream, "stall = \"50ms after 10 B, then reset\"");
    let (mut client, mut server) = pair(&proxy, &upstream);
    server.write_all(&pattern(250)).expect("taken");
    assert_eq!(rest(&mut client), (pattern(10), End::Reset));
}

#[test]
fn a_throttle_holds_its_pace_both_ways_and_loses_nothing() {
    let upstream = Upstream::echo();
    let proxy = with(&upstream, "throttle = { response = \"1MB/s\", request = \"2MB/s\" }");
    let mut client = proxy.dial();
    let mut writer = client.try_clone().expect("a handle");
    let begun = Instant::now();
    let writing = std::thread::spawn(move || {
        writer.write_all(&pattern(400_000)).expect("taken");
        writer.shutdown(Shutdown::Write).expect("half closed");
    });
    assert!(rest(&mut client) == (pattern(400_000), End::Eof));
    // 400 ms at that pace, less what the bucket of a sixteenth of a second held
    assert!(Duration::from_millis(337) <= begun.elapsed(), "{:?}", begun.elapsed());
    writing.join().expect("written");
    proxy.settled("db");
    assert_eq!(proxy.rule("r")["applied"], 1);
}

#[test]
fn small_pieces_with_small_gaps_stay_fast() {
    let upstream = Upstream::open();
    let proxy = with(&upstream, "throttle = { response = \"100MB/s\", piece = \"1000B\", gap = \"10us\" }");
    let (mut client, mut server) = pair(&proxy, &upstream);
    let begun = Instant::now();
    let writer = std::thread::spawn(move || server.write_all(&pattern(4_800_000)).map(|()| server));
    assert!(exactly(&mut client, 4_800_000) == pattern(4_800_000));
    // 4,800 gaps are 48 ms; a timer of whole milliseconds makes them five seconds or more
    assert!(begun.elapsed() < ms(4_000), "{:?}", begun.elapsed());
    drop(writer.join().expect("written"));
}

#[test]
fn corruption_changes_a_byte_in_each_stretch_and_no_length() {
    let upstream = Upstream::open();
    let proxy = with(&upstream, "corrupt = \"bitflip per 4KB\"");
    let (mut client, mut server) = pair(&proxy, &upstream);
    let sent = pattern(40_000);
    server.write_all(&sent).expect("taken");
    let got = exactly(&mut client, sent.len());
    let changed: Vec<_> = (0..sent.len()).filter(|at| got[*at] != sent[*at]).collect();
    assert_eq!(changed.len(), 10, "{changed:?}");
    assert!(changed.iter().all(|at| (got[*at] ^ sent[*at]).count_ones() == 1));
    passes(&mut client, &mut server, &sent);
}

#[test]
fn losses_keep_the_rest_waiting_and_lose_nothing() {
    let upstream = Upstream::open();
    let proxy = with(
        &upstream,
        "loss = { rate = \"100%\", rto = \"20ms\", max_rto = \"20ms\", segment = \"100KB\" }",
    );
    let (mut client, mut server) = pair(&proxy, &upstream);
    let begun = Instant::now();
    server.write_all(&pattern(50_000)).expect("taken");
    assert!(exactly(&mut client, 50_000) == pattern(50_000));
    assert!(ms(20) <= begun.elapsed());
}

#[test]
fn outages_refuse_reset_and_swallow() {
    let upstream = Upstream::open();
    let proxy = Proxy::tcp_before(upstream.addr).rules(NOTHING).start();
    let (mut client, mut server) = pair(&proxy, &upstream);
    proxy.reload(&rule("outage = \"refuse\""));
    assert_eq!(rest(&mut proxy.dial()), (Vec::new(), End::Reset));
    passes(&mut client, &mut server, b"who is in stays in");
    proxy.reload(&rule("outage = \"blackhole\""));
    client.write_all(b"anybody?").expect("taken");
    let mut new = proxy.dial();
    new.write_all(b"hello?").expect("taken");
    eventually("both are held", || {
        let rows = proxy.rows("db");
        rows["connecting"] == 1 && rows["request"]["held"] == 8
    });
    proxy.reload(NOTHING);
    assert_eq!(exactly(&mut server, 8), b"anybody?");
    let mut new_server = upstream.take();
    assert_eq!(exactly(&mut new_server, 6), b"hello?");
    proxy.reload(&rule("outage = \"reset\""));
    assert_eq!(rest(&mut client), (Vec::new(), End::Reset));
    assert_eq!(rest(&mut new), (Vec::new(), End::Reset));
    assert_eq!(rest(&mut proxy.dial()), (Vec::new(), End::Reset));
    let rows = proxy.settled("db");
    assert_eq!((&rows["refused"]["r"], &rows["cut"]["r"]), (&2.into(), &2.into()), "{rows:#}");
}

#[test]
fn connecting_and_closing_may_be_slow() {
    let upstream = Upstream::open();
    let proxy = with(&upstream, "delay = \"150ms at connect\"");
    let begun = Instant::now();
    let (mut client, mut server) = pair(&proxy, &upstream);
    assert!(ms(150) <= begun.elapsed());
    passes(&mut client, &mut server, b"fast from then on");
    proxy.reload(&rule("delay = \"150ms at close\""));
    let begun = Instant::now();
    passes(&mut server, &mut client, b"still fast");
    drop(server);
    assert_eq!(rest(&mut client), (Vec::new(), End::Eof));
    assert!(ms(150) <= begun.elapsed());
    let late = with(&upstream, "delay = \"1h at connect\"");
    let mut client = late.dial();
    client.write_all(b"x").expect("taken");
    client.shutdown(Shutdown::Write).expect("half closed, and waiting");
    eventually("it waits", || late.rows("db")["connecting"] == 1);
    late.reload(NOTHING);
    assert_eq!(rest(&mut upstream.take()), (b"x".to_vec(), End::Eof));
}
