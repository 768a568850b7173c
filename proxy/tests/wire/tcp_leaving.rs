//! Peers of a plain-TCP edge that leave before their time, under every fault that exists there.

use std::io::Write;
use std::net::Shutdown;

use super::tcp_faults::{pair, rule};
use crate::harness::client::End;
use crate::harness::tcp::{rest, vanish};
use crate::harness::{Proxy, Upstream, eventually, pattern};

const NOTHING: &str = "[[rule]]\nid = \"none\"\non = \"edge nowhere\"\ndelay = \"1s\"\n";

/// Each holds what was sent before, or lets it pass and waits for more.
const FAULTS: [&str; 16] = [
    "delay = \"1h\"",
    "delay = \"1h at response\"",
    "delay = \"1h at close\"",
    "throttle = { response = \"1MB/s\", piece = \"10 B\", gap = \"1h\" }",
    "throttle = { request = \"1MB/s\", piece = \"10 B\", gap = \"1h\" }",
    "throttle = \"1MB/s\"",
    "stall = \"forever after 10 B\"",
    "stall = \"1h after 10 B, then reset\"",
    "loss = { rate = \"100%\", rto = \"1h\", max_rto = \"1h\" }",
    "loss = { rate = \"100%\", rto = \"1h\", max_rto = \"1h\", direction = \"request\" }",
    "corrupt = \"zero per 1GB\"",
    "reset = \"after 5000 B of body\"",
    "reset = \"after 1h\"",
    "truncate = \"5000 B\"",
    "blackhole = \"forever\"",
    "outage = \"blackhole\"",
];

const SENT: usize = 1_000;

/// A connection that was there before the rule, with bytes under way in both directions.
fn under(fault: &str, upstream: &Upstream) -> (Proxy, std::net::TcpStream, std::net::TcpStream) {
    let proxy = Proxy::tcp_before(upstream.addr).rules(NOTHING).start();
    let (mut client, mut server) = pair(&proxy, upstream);
    proxy.reload(&rule(fault));
    eventually("the rule has the connection", || proxy.rule("r")["selected"] == 1);
    client.write_all(&pattern(SENT)).expect("taken");
    server.write_all(&pattern(SENT)).expect("taken");
    eventually("all of it is with the proxy", || {
        let rows = proxy.rows("db");
        ["request", "response"].iter().all(|way| rows[way]["in"] == SENT)
    });
    (proxy, client, server)
}

fn sum(counts: &serde_json::Value) -> u64 {
    counts.as_object().expect("counts").values().filter_map(serde_json::Value::as_u64).sum()
}

#[test]
fn a_client_that_vanishes_under_any_fault_takes_its_upstream_along() {
    let upstream = Upstream::open();
    for fault in FAULTS {
        let (proxy, client, mut server) = under(fault, &upstream);
        vanish(client);
        if fault.contains("request") || fault == "delay = \"1h\"" {
            proxy.reload(NOTHING); // its last words are still under way, and its reset comes behind them
        }
        eventually(fault, || proxy.rows("db")["open"] == 0);
        // what holds for good ends in good order when the client has had enough
        let in_order = fault.contains("forever") || fault.contains("blackhole");
        let end = rest(&mut server).1;
        assert!(end == End::Reset || in_order, "{fault}: {end:?}");
        let rows = proxy.settled("db");
        let gone = rows["client_gone_after"].as_u64().expect("a count") + sum(&rows["cut"]);
        assert_eq!(gone, 1, "{fault}: {rows:#}");
    }
}

#[test]
fn the_last_words_of_an_upstream_that_dies_arrive_when_the_fault_is_lifted() {
    let upstream = Upstream::open();
    for fault in FAULTS {
        let (proxy, mut client, server) = under(fault, &upstream);
        vanish(server);
        proxy.reload(NOTHING);
        assert_eq!(rest(&mut client), (pattern(SENT), End::Reset), "{fault}");
        let rows = proxy.settled("db");
        assert_eq!((&rows["upstream_failed"], sum(&rows["cut"])), (&1.into(), 0), "{fault}: {rows:#}");
    }
}

#[test]
fn both_sides_may_close_under_any_fault_and_lose_nothing_when_it_is_lifted() {
    let upstream = Upstream::open();
    for fault in FAULTS {
        let (proxy, mut client, mut server) = under(fault, &upstream);
        server.shutdown(Shutdown::Write).expect("half closed");
        if !fault.contains("forever") && !fault.contains("blackhole") {
            client.shutdown(Shutdown::Write).expect("half closed"); // for good is until the client has had enough
        }
        proxy.reload(NOTHING);
        assert_eq!(rest(&mut client), (pattern(SENT), End::Eof), "{fault}");
        let _ = client.shutdown(Shutdown::Write); // where it had not to wait with that
        assert_eq!(rest(&mut server), (pattern(SENT), End::Eof), "{fault}");
        let rows = proxy.settled("db");
        assert_eq!((&rows["finished"], sum(&rows["cut"])), (&1.into(), 0), "{fault}: {rows:#}");
    }
}
