//! What Toxiproxy's toxics do on the wire.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::client::{End, connect};
use crate::harness::proxy::ms;
use crate::harness::tcp::{exactly, passes, rest};
use crate::harness::{Origin, Proxy, Upstream, eventually, pattern};

use super::toxiproxy::{ask, bare, made, pair, toxic, untoxic};

#[test]
fn latency_reaches_live_connections_once_a_piece_and_lets_go_at_once() {
    let upstream = Upstream::open();
    let proxy = bare();
    let (mut client, mut server) = pair(made(&proxy, &upstream), &upstream);
    passes(&mut server, &mut client, b"before");
    toxic(&proxy, "db", json!({ "type": "latency", "attributes": { "latency": 100 } }));
    eventually("it is in force", || proxy.rule("toxic-db-latency_downstream")["selected"] == 1);
    let begun = Instant::now();
    let writer = std::thread::spawn(move || server.write_all(&pattern(3_200_000)).map(|()| server));
    assert!(exactly(&mut client, 3_200_000) == pattern(3_200_000));
    let took = begun.elapsed();
    assert!(ms(100) <= took && took < ms(5_000), "one latency, not one for each 32 KB, 10 s: {took:?}");
    let mut server = writer.join().expect("written").expect("written");
    // jitter above the latency, and a change in the middle
    let path = "/proxies/db/toxics/latency_downstream";
    ask(&proxy, "POST", path, json!({ "attributes": { "latency": 10, "jitter": 30 } }), 200);
    for n in 0..20_u8 {
        passes(&mut server, &mut client, &[n; 3]);
    }
    ask(&proxy, "POST", path, json!({ "attributes": { "latency": 3_600_000, "jitter": 0 } }), 200);
    server.write_all(b"held for an hour").expect("taken");
    eventually("it is held", || proxy.rows("db")["response"]["held"] == 16);
    untoxic(&proxy, "db", "latency_downstream");
    assert_eq!(exactly(&mut client, 16), b"held for an hour");
}

#[test]
fn resets_are_resets_on_live_connections_too() {
    let upstream = Upstream::open();
    let proxy = bare();
    let addr = made(&proxy, &upstream);
    let (mut client, mut server) = pair(addr, &upstream);
    passes(&mut client, &mut server, b"before");
    toxic(&proxy, "db", json!({ "type": "reset_peer", "toxicity": 0.0 }));
    passes(&mut server, &mut client, b"a toxicity of 0 resets nobody");
    drop((client, server));
    eventually("that one is over", || proxy.rows("db")["open"] == 0);
    assert_eq!(proxy.rows("db")["finished"], 1, "and it closed in order");
    let (mut client, mut server) = pair(addr, &upstream);
    passes(&mut client, &mut server, b"before");
    ask(&proxy, "POST", "/proxies/db/toxics/reset_peer_downstream", json!({ "toxicity": 1.0 }), 200);
    assert_eq!(rest(&mut client), (Vec::new(), End::Reset));
    assert_eq!(rest(&mut server), (Vec::new(), End::Reset));
    untoxic(&proxy, "db", "reset_peer_downstream");
    toxic(&proxy, "db", json!({ "type": "reset_peer", "attributes": { "timeout": 120 } }));
    let begun = Instant::now();
    let mut client = connect(addr);
    assert_eq!(rest(&mut client), (Vec::new(), End::Reset));
    assert!(ms(120) <= begun.elapsed());
}

#[test]
fn timeouts_stop_one_direction_and_lose_nothing() {
    let upstream = Upstream::open();
    let proxy = bare();
    let addr = made(&proxy, &upstream);
    let (mut client, mut server) = pair(addr, &upstream);
    toxic(&proxy, "db", json!({ "type": "timeout", "attributes": { "timeout": 0 } }));
    eventually("it is in force", || proxy.rule("toxic-db-timeout_downstream")["applied"] == 1);
    passes(&mut client, &mut server, b"the request arrives");
    server.write_all(b"the answer does not").expect("taken");
    eventually("it is held", || proxy.rows("db")["response"]["held"] == 19);
    untoxic(&proxy, "db", "timeout_downstream");
    assert_eq!(exactly(&mut client, 19), b"the answer does not", "until it is gone");
    toxic(&proxy, "db", json!({ "type": "timeout", "stream": "upstream", "attributes": { "timeout": 80 } }));
    client.write_all(b"not even this").expect("taken");
    assert_eq!(rest(&mut client), (Vec::new(), End::Eof), "and closes after its time");
    assert_eq!(rest(&mut server).0, b"");
    untoxic(&proxy, "db", "timeout_upstream");
    // how people cut a connection: no bandwidth at all
    let (mut client, mut server) = pair(addr, &upstream);
    toxic(&proxy, "db", json!({ "type": "bandwidth", "attributes": { "rate": 0 } }));
    eventually("it is in force", || {
        proxy.rule("toxic-db-bandwidth_downstream")["applied"].as_u64() >= Some(1)
    });
    server.write_all(b"stuck").expect("taken");
    eventually("it is held", || proxy.rows("db")["response"]["held"] == 5);
    untoxic(&proxy, "db", "bandwidth_downstream");
    assert_eq!(exactly(&mut client, 5), b"stuck");
}

#[test]
fn limits_slices_and_paces_by_direction() {
    let upstream = Upstream::open();
    let proxy = bare();
    let addr = made(&proxy, &upstream);
    toxic(&proxy, "db", json!({ "type": "limit_data", "stream": "upstream", "attributes": { "bytes": 10 } }));
    let (mut client, mut server) = pair(addr, &upstream);
    client.write_all(&pattern(25)).expect("taken");
    assert_eq!(rest(&mut server), (pattern(10), End::Eof));
    assert_eq!(rest(&mut client), (Vec::new(), End::Eof));
    drop((client, server));
    let rows = proxy.settled("db");
    assert_eq!(rows["request"]["withheld"]["toxic-db-limit_data_upstream"], 15, "{rows:#}");
    untoxic(&proxy, "db", "limit_data_upstream");

    let (mut client, mut server) = pair(addr, &upstream);
    toxic(&proxy, "db", json!({ "type": "bandwidth", "attributes": { "rate": 1_000 } }));
    eventually("it is in force", || proxy.rule("toxic-db-bandwidth_downstream")["selected"] == 1);
    let begun = Instant::now();
    server.write_all(&pattern(200_000)).expect("taken");
    assert!(exactly(&mut client, 200_000) == pattern(200_000));
    assert!(ms(137) <= begun.elapsed(), "1 MB/s, less what the bucket held: {:?}", begun.elapsed());
    untoxic(&proxy, "db", "bandwidth_downstream");

    let slices =
        json!({ "type": "slicer", "attributes": { "average_size": 64, "size_variation": 32, "delay": 10 } });
    toxic(&proxy, "db", slices);
    server.write_all(&pattern(6_400)).expect("taken");
    assert!(exactly(&mut client, 6_400) == pattern(6_400));
    untoxic(&proxy, "db", "slicer_downstream");

    toxic(&proxy, "db", json!({ "type": "slow_close", "attributes": { "delay": 120 } }));
    eventually("it is in force", || proxy.rule("toxic-db-slow_close_downstream")["selected"] == 1);
    let begun = Instant::now();
    client.shutdown(Shutdown::Write).expect("half closed");
    assert_eq!(rest(&mut server).1, End::Eof);
    drop(server);
    assert_eq!(rest(&mut client).1, End::Eof);
    assert!(ms(120) <= begun.elapsed());
}

#[test]
fn a_toxicity_is_a_share_of_connections_rolled_once() {
    let upstream = Upstream::echo();
    let proxy = bare();
    let addr = made(&proxy, &upstream);
    toxic(&proxy, "db", json!({ "type": "reset_peer", "toxicity": 0.3 }));
    let reset = |client: &mut TcpStream| {
        // whichever call meets the reset first has its error
        client.write_all(b"x").is_err()
            || client.shutdown(Shutdown::Write).is_err()
            || rest(client).1 == End::Reset
    };
    let hit = (0..200).filter(|_| reset(&mut connect(addr))).count();
    // three standard deviations of 200 rolls at 0.3 are 20
    assert!((40..=80).contains(&hit), "{hit}");
    let rule = proxy.rule("toxic-db-reset_peer_downstream");
    assert_eq!(
        (&rule["eligible"], &rule["selected"], &rule["applied"]),
        (&200.into(), &hit.into(), &hit.into())
    );
    assert!((rule["asked_rate"].as_f64().expect("a rate") - 0.3).abs() < 1e-9, "{rule}");
    // live connections keep their roll, however often other toxics come and go
    ask(&proxy, "POST", "/proxies/db/toxics/reset_peer_downstream", json!({ "toxicity": 0.0 }), 200);
    let mut clients: Vec<_> = (0..30).map(|_| connect(addr)).collect();
    eventually("all are open", || proxy.rows("db")["open"] == 30);
    toxic(
        &proxy,
        "db",
        json!({ "name": "half", "type": "timeout", "toxicity": 0.5, "attributes": { "timeout": 0 } }),
    );
    let counts = || {
        let rule = proxy.rule("toxic-db-half");
        ["eligible", "selected", "applied"].map(|name| rule[name].as_u64().unwrap_or(0))
    };
    eventually("half are held", || counts()[0] == 30 && counts()[1] == counts()[2]);
    let first = counts();
    assert!((5..=25).contains(&first[1]), "{first:?}");
    for _ in 0..5 {
        toxic(&proxy, "db", json!({ "name": "other", "type": "latency" }));
        untoxic(&proxy, "db", "other");
    }
    assert_eq!(counts(), first);
    ask(&proxy, "POST", "/reset", Value::Null, 204);
    for client in &mut clients {
        client.write_all(b"echo").expect("taken");
        assert_eq!(exactly(client, 4), b"echo");
    }
}

#[test]
fn on_an_http_edge_toxics_are_faults_of_http() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).start();
    let with = |asked: Value| toxic(&proxy, "default", asked)["name"].as_str().expect("a name").to_owned();
    let without = |name: &str| untoxic(&proxy, "default", name);
    let broken = |target: &str| {
        let mut client = proxy.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n"));
        client.rest()
    };
    let name = with(json!({ "type": "limit_data", "attributes": { "bytes": 700 } }));
    let (bytes, end) = broken("/bytes/5000");
    assert!(bytes.ends_with(&pattern(700)) && end == End::Eof, "the promised length, 700 bytes, and FIN");
    without(&name);
    let name = with(json!({ "type": "bandwidth", "attributes": { "rate": 1_000 } }));
    let begun = Instant::now();
    assert_eq!(proxy.get("/bytes/200000").body, pattern(200_000));
    assert!(ms(137) <= begun.elapsed(), "1 MB/s, less what the bucket held: {:?}", begun.elapsed());
    without(&name);
    let name = with(json!({ "type": "slicer", "attributes": { "average_size": 100, "delay": 10 } }));
    assert_eq!(proxy.get("/bytes/20000").body, pattern(20_000));
    without(&name);
    let name = with(json!({ "type": "timeout", "attributes": { "timeout": 60 } }));
    let begun = Instant::now();
    assert_eq!(broken("/"), (Vec::new(), End::Eof));
    assert!(ms(60) <= begun.elapsed());
    without(&name);
    let name = with(json!({ "type": "reset_peer", "attributes": { "timeout": 60 } }));
    assert_eq!(broken("/"), (Vec::new(), End::Reset));
    without(&name);
    let name = with(json!({ "type": "latency", "attributes": { "latency": 70 } }));
    let begun = Instant::now();
    assert_eq!(proxy.get("/").status, 200);
    assert!(ms(70) <= begun.elapsed());
    without(&name);
    ask(&proxy, "POST", "/proxies/default", json!({ "enabled": false }), 200);
    assert_eq!(broken("/"), (Vec::new(), End::Reset), "down, though the listener has to stay");
    ask(&proxy, "POST", "/proxies/default", json!({ "enabled": true }), 200);
    assert_eq!(proxy.get("/").status, 200);
    proxy.books();
}
