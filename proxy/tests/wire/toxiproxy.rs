//! Toxiproxy's HTTP API: its shapes, its codes, and what its toxics do on the wire.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::client::{End, connect};
use crate::harness::proxy::ms;
use crate::harness::tcp::{exactly, passes, rest};
use crate::harness::{Origin, PATIENCE, Proxy, Upstream, eventually, pattern};

/// Asks, and wants this status.
#[track_caller]
fn ask(proxy: &Proxy, method: &str, path: &str, body: Value, status: u16) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = proxy.ask_admin(method, path, &body);
    assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.text());
    if status == 204 {
        assert!(answer.body.is_empty());
        return Value::Null;
    }
    let told: Value = serde_json::from_slice(&answer.body).expect("JSON");
    if status >= 400 {
        assert_eq!(told["status"], status, "{told}");
        assert!(told["error"].is_string(), "{told}");
    }
    told
}

#[track_caller]
fn toxic(proxy: &Proxy, of: &str, toxic: Value) -> Value {
    ask(proxy, "POST", &format!("/proxies/{of}/toxics"), toxic, 200)
}

fn untoxic(proxy: &Proxy, of: &str, name: &str) {
    ask(proxy, "DELETE", &format!("/proxies/{of}/toxics/{name}"), Value::Null, 204);
}

/// A proxy without edges, as Toxiproxy starts.
fn bare() -> Proxy {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    Proxy::tcp_before(anywhere)
        .with(|config| {
            config.tcp_edges.clear();
            config.admin = free;
        })
        .start()
}

fn made(proxy: &Proxy, upstream: &Upstream) -> SocketAddr {
    let told =
        ask(proxy, "POST", "/proxies", json!({ "name": "db", "upstream": upstream.addr.to_string() }), 201);
    told["listen"].as_str().expect("an address").parse().expect("an address")
}

fn pair(addr: SocketAddr, upstream: &Upstream) -> (TcpStream, TcpStream) {
    (connect(addr), upstream.take())
}

#[test]
fn proxies_are_made_shown_changed_and_deleted() {
    let upstream = Upstream::open();
    let proxy = bare();
    assert_eq!(ask(&proxy, "GET", "/proxies", Value::Null, 200), json!({}));
    assert!(
        ask(&proxy, "GET", "/version", Value::Null, 200)["version"]
            .as_str()
            .expect("a version")
            .starts_with("2.")
    );
    let addr = made(&proxy, &upstream);
    let shown = ask(&proxy, "GET", "/proxies/db", Value::Null, 200);
    let expect = json!({ "name": "db", "listen": addr.to_string(), "upstream": upstream.addr.to_string(), "enabled": true, "toxics": [] });
    assert_eq!(shown, expect);
    assert_eq!(ask(&proxy, "GET", "/proxies", Value::Null, 200), json!({ "db": expect }));
    let (mut client, mut server) = pair(addr, &upstream);
    passes(&mut client, &mut server, b"hello");

    // down: what is there ends, and nobody gets in
    let told = ask(&proxy, "POST", "/proxies/db", json!({ "enabled": false }), 200);
    assert_eq!((&told["enabled"], &told["listen"]), (&false.into(), &addr.to_string().into()));
    assert_eq!(rest(&mut client).0, b"");
    rest(&mut server);
    assert_eq!(TcpStream::connect(addr).expect_err("refused").raw_os_error(), Some(libc::ECONNREFUSED));
    assert_eq!(ask(&proxy, "PATCH", "/proxies/db", json!({ "enabled": true }), 200)["enabled"], true);
    let (mut client, mut server) = pair(addr, &upstream);
    passes(&mut client, &mut server, b"again");

    // another upstream: connections end, the port stays
    let other = Upstream::open();
    ask(&proxy, "POST", "/proxies/db", json!({ "upstream": other.addr.to_string() }), 200);
    assert_eq!(rest(&mut client).0, b"");
    let (mut client, mut server) = pair(addr, &other);
    passes(&mut client, &mut server, b"elsewhere");

    ask(&proxy, "DELETE", "/proxies/db", Value::Null, 204);
    assert_eq!(rest(&mut client).0, b"");
    assert!(TcpStream::connect(addr).is_err(), "the port is free when the answer is there");
    ask(&proxy, "GET", "/proxies/db", Value::Null, 404);
    // the same place can be had again at once
    let body = json!({ "name": "db", "listen": addr.to_string(), "upstream": upstream.addr.to_string() });
    ask(&proxy, "POST", "/proxies", body, 201);
    let rows = proxy.rows("db");
    assert_eq!((&rows["accepted"], &rows["stopped"]), (&3.into(), &3.into()), "its books go on: {rows:#}");
}

#[test]
fn mistakes_have_their_codes_and_change_nothing() {
    let upstream = Upstream::open();
    let proxy = bare();
    let up = upstream.addr.to_string();
    let bad = |body: Value, words: &str| {
        let told = ask(&proxy, "POST", "/proxies", body, 400);
        assert!(told["error"].as_str().expect("words").contains(words), "{told}");
    };
    bad(json!({}), "missing required field: name");
    bad(json!({ "name": "db" }), "missing required field: upstream");
    bad(json!({ "name": "db", "upstream": "nowhere" }), "there is no port");
    bad(json!({ "name": "db", "upstream": up, "listen": "local373" }), "is no address");
    bad(json!({ "name": "db", "upstream": up, "listen": "0.0.0.0:0" }), "can be reached from outside");
    bad(json!({ "name": "db", "upstream": up, "listne": "127.0.0.1:0" }), "unknown field `listne`");
    bad(json!({ "name": "a/b", "upstream": up }), "a proxy's name");
    bad(json!("db"), "bad request body");
    assert_eq!(proxy.ask_admin("POST", "/proxies", "{\"name\"").status, 400);
    assert_eq!(ask(&proxy, "GET", "/proxies", Value::Null, 200), json!({}));

    made(&proxy, &upstream);
    let told = ask(&proxy, "POST", "/proxies", json!({ "name": "db", "upstream": up }), 409);
    assert_eq!(told["error"], "proxy already exists");
    ask(&proxy, "POST", "/proxies/db", json!({ "name": "other" }), 400);
    ask(&proxy, "POST", "/proxies/none", json!({ "enabled": false }), 404);
    assert_eq!(ask(&proxy, "DELETE", "/proxies/none", Value::Null, 404)["error"], "proxy not found");
    // a place that somebody has: nothing changes
    let told = ask(&proxy, "POST", "/proxies/db", json!({ "listen": up }), 500);
    assert!(told["error"].as_str().expect("words").contains("cannot listen"), "{told}");
    assert_eq!(ask(&proxy, "GET", "/proxies/db", Value::Null, 200)["enabled"], true);

    for (body, words) in [
        (json!({ "type": "lantency" }), "invalid toxic type"),
        (json!({ "type": "latency", "stream": "sideways" }), "stream was invalid"),
        (json!({ "type": "latency", "attributes": { "latency": -5 } }), "no whole number"),
        (json!({ "type": "latency", "attributes": { "latency": 1.5 } }), "no whole number"),
        (
            json!({ "type": "latency", "attributes": { "jiter": 5 } }),
            "no attribute `jiter`; it has latency, jitter",
        ),
        (json!({ "type": "latency", "toxicity": 1.2 }), "write 0 to 1"),
        (json!({ "type": "latency", "toxicity": -0.1 }), "write 0 to 1"),
        (json!({ "type": "latency", "latency": 5 }), "unknown field `latency`"),
        (json!({ "type": "slicer", "attributes": { "average_size": 0 } }), "average_size"),
        (
            json!({ "type": "slicer", "attributes": { "average_size": 5, "size_variation": 5 } }),
            "size_variation",
        ),
        (json!({ "type": "timeout", "attributes": { "timeout": 90_000_000 } }), "24 hours"),
    ] {
        let told = ask(&proxy, "POST", "/proxies/db/toxics", body, 400);
        assert!(told["error"].as_str().expect("words").contains(words), "{told}");
    }
    assert_eq!(ask(&proxy, "GET", "/proxies/db/toxics", Value::Null, 200), json!([]));
    toxic(&proxy, "db", json!({ "type": "noop" }));
    assert_eq!(
        ask(&proxy, "POST", "/proxies/db/toxics", json!({ "type": "noop" }), 409)["error"],
        "toxic already exists"
    );
    ask(&proxy, "POST", "/proxies/none/toxics", json!({ "type": "noop" }), 404);
    ask(&proxy, "POST", "/proxies/db/toxics/none", json!({}), 404);
    assert_eq!(
        ask(&proxy, "DELETE", "/proxies/db/toxics/none", Value::Null, 404)["error"],
        "toxic not found"
    );
    ask(&proxy, "GET", "/proxies/db/toxics/none", Value::Null, 404);
    assert_eq!(proxy.ask_admin("PUT", "/proxies/db", "{}").status, 404);
}

#[test]
fn toxics_are_told_as_they_were_made_and_kept_as_they_are() {
    let upstream = Upstream::open();
    let proxy = bare();
    made(&proxy, &upstream);
    let told = toxic(&proxy, "db", json!({ "type": "latency", "attributes": { "latency": 100 } }));
    let expect = json!({
        "attributes": { "latency": 100, "jitter": 0 },
        "name": "latency_downstream", "type": "latency", "stream": "downstream", "toxicity": 1.0,
    });
    assert_eq!(told, expect);
    assert_eq!(ask(&proxy, "GET", "/proxies/db/toxics/latency_downstream", Value::Null, 200), expect);
    let path = "/proxies/db/toxics/latency_downstream";
    let told = ask(&proxy, "PATCH", path, json!({ "attributes": { "jitter": 7 }, "toxicity": 0.25 }), 200);
    assert_eq!(
        (&told["attributes"], &told["toxicity"]),
        (&json!({ "latency": 100, "jitter": 7 }), &json!(0.25))
    );
    let told = ask(
        &proxy,
        "POST",
        path,
        json!({ "attributes": { "latency": 3 }, "name": "latency_downstream" }),
        200,
    );
    assert_eq!(
        (&told["attributes"]["latency"], &told["toxicity"]),
        (&json!(3), &json!(0.25)),
        "the rest stays"
    );
    ask(&proxy, "POST", path, json!({ "stream": "upstream" }), 400);
    ask(&proxy, "POST", path, json!({ "attributes": { "latency": -1 } }), 400);
    assert_eq!(
        ask(&proxy, "GET", path, Value::Null, 200)["attributes"]["latency"],
        3,
        "a refused change is none"
    );
    toxic(
        &proxy,
        "db",
        json!({ "name": "a b", "type": "timeout", "stream": "UPSTREAM", "attributes": null }),
    );
    let all = ask(&proxy, "GET", "/proxies/db/toxics", Value::Null, 200);
    assert_eq!(all[0]["name"], "a b", "upstream first: {all}");
    assert_eq!(ask(&proxy, "GET", "/proxies/db", Value::Null, 200)["toxics"], all);
    let ids = proxy.status()["rules"]["ids"].to_string();
    assert!(ids.contains("toxic-db-latency_downstream") && ids.contains("toxic-db-a_b-"), "{ids}");
    ask(&proxy, "DELETE", "/proxies/db/toxics/a%20b", Value::Null, 204);
    ask(&proxy, "POST", "/reset", Value::Null, 204);
    assert_eq!(ask(&proxy, "GET", "/proxies/db/toxics", Value::Null, 200), json!([]));
    assert_eq!(proxy.status()["rules"]["count"], 0);
}

#[test]
fn populate_makes_keeps_and_replaces() {
    let (one, two) = (Upstream::open(), Upstream::open());
    let proxy = bare();
    let list = json!([
        { "name": "one", "upstream": one.addr.to_string(), "listen": "127.0.0.1:0" },
        { "name": "two", "upstream": two.addr.to_string(), "enabled": false },
    ]);
    let told = ask(&proxy, "POST", "/populate", list, 201);
    assert_eq!(
        (&told["proxies"][0]["enabled"], &told["proxies"][1]["enabled"]),
        (&true.into(), &false.into())
    );
    let addr = told["proxies"][0]["listen"].as_str().expect("an address").to_owned();
    let (mut client, mut server) = pair(addr.parse().expect("an address"), &one);
    passes(&mut client, &mut server, b"hello");
    let again = json!([{ "name": "one", "upstream": one.addr.to_string(), "listen": addr }]);
    ask(&proxy, "POST", "/populate", again, 201);
    passes(&mut client, &mut server, b"what is the same stays open");
    toxic(&proxy, "one", json!({ "type": "latency" }));
    let other = json!([{ "name": "one", "upstream": two.addr.to_string(), "listen": addr }]);
    let told = ask(&proxy, "POST", "/populate", other, 201);
    assert_eq!(told["proxies"][0]["toxics"], json!([]), "another proxy under the name");
    assert_eq!(rest(&mut client).0, b"");
    // all is checked first
    for (bad, words) in [
        (
            json!([{ "name": "three", "upstream": "127.0.0.1:1" }, { "upstream": "127.0.0.1:1" }]),
            "name at proxy 2",
        ),
        (json!([{ "name": "three", "upstream": "127.0.0.1:1" }, { "name": "four" }]), "upstream at proxy 2"),
        (
            json!([{ "name": "three", "upstream": "127.0.0.1:1" }, { "name": "four", "upstream": "x:1", "listen": "local373" }]),
            "is no address",
        ),
        (json!({ "name": "three" }), "bad request body"),
    ] {
        let told = ask(&proxy, "POST", "/populate", bad, 400);
        assert!(told["error"].as_str().expect("words").contains(words), "{told}");
        ask(&proxy, "GET", "/proxies/three", Value::Null, 404);
    }
    ask(&proxy, "POST", "/reset", Value::Null, 204);
    assert_eq!(ask(&proxy, "GET", "/proxies/two", Value::Null, 200)["enabled"], true, "a reset enables all");
}

#[test]
fn latency_reaches_live_connections_once_a_piece_and_lets_go_at_once() {
    let upstream = Upstream::open();
    let proxy = bare();
    let (mut client, mut server) = pair(made(&proxy, &upstream), &upstream);
    passes(&mut server, &mut client, b"before");
    toxic(&proxy, "db", json!({ "type": "latency", "attributes": { "latency": 100 } }));
    eventually("it is in force", || proxy.rule("toxic-db-latency_downstream")["selected"] == 1);
    let begun = Instant::now();
    let writer = std::thread::spawn(move || server.write_all(&pattern(320_000)).map(|()| server));
    assert!(exactly(&mut client, 320_000) == pattern(320_000));
    let took = begun.elapsed();
    assert!(ms(100) <= took && took < ms(1_000), "one latency, not one for each 32 KB: {took:?}");
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
fn edges_of_the_command_line_are_proxies_that_stay() {
    let (origin, upstream) = (Origin::plain(), Upstream::open());
    let proxy = Proxy::before(origin.addr)
        .with(|config| {
            config.tcp_edges = vec![proxy::TcpEdgeConfig {
                name: "db".into(),
                listen: SocketAddr::from(([127, 0, 0, 1], 0)),
                upstream: upstream.addr.to_string(),
            }];
        })
        .start();
    let all = ask(&proxy, "GET", "/proxies", Value::Null, 200);
    assert_eq!(
        (&all["default"]["listen"], &all["default"]["upstream"]),
        (&proxy.addr.to_string().into(), &origin.addr.to_string().into())
    );
    assert_eq!(all["db"]["listen"], proxy.tcp("db").to_string());
    for name in ["default", "db"] {
        let told = ask(&proxy, "DELETE", &format!("/proxies/{name}"), Value::Null, 403);
        assert!(told["error"].as_str().expect("words").contains("command line"), "{told}");
    }
    ask(&proxy, "POST", "/proxies/default", json!({ "upstream": "127.0.0.1:1" }), 403);
    ask(&proxy, "POST", "/proxies", json!({ "name": "default", "upstream": "127.0.0.1:1" }), 409);
    let told = ask(&proxy, "POST", "/proxies/default", all["default"].clone(), 200);
    assert_eq!(told, all["default"], "what a client read it may send back");

    for (body, words) in [
        (json!({ "type": "slow_close" }), "slow_close"),
        (json!({ "type": "limit_data", "stream": "upstream" }), "limit_data"),
    ] {
        let told = ask(&proxy, "POST", "/proxies/default/toxics", body, 400);
        assert!(told["error"].as_str().expect("words").contains(words), "{told}");
    }
    toxic(
        &proxy,
        "default",
        json!({ "type": "latency", "stream": "upstream", "attributes": { "latency": 80 } }),
    );
    let begun = Instant::now();
    assert_eq!(proxy.get("/").status, 200);
    assert!(ms(80) <= begun.elapsed());
    untoxic(&proxy, "default", "latency_upstream");
    toxic(&proxy, "default", json!({ "type": "reset_peer" }));
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.rest(), (Vec::new(), End::Reset));
    ask(&proxy, "POST", "/reset", Value::Null, 204);
    assert_eq!(proxy.get("/").status, 200);
    proxy.books();
}

#[test]
fn toxics_stand_behind_the_file_and_obey_its_safety() {
    let upstream = Upstream::open();
    let rules =
        "[safety]\nprotect = [\"edge db\"]\n[[rule]]\nid = \"toxic-db-latency_upstream\"\nrespond = 503\n";
    let proxy = Proxy::tcp_before(upstream.addr).rules(rules).start();
    let told =
        ask(&proxy, "POST", "/proxies/db/toxics", json!({ "type": "latency", "stream": "upstream" }), 409);
    assert!(told["error"].as_str().expect("words").contains("is taken"), "{told}");
    toxic(&proxy, "db", json!({ "type": "reset_peer" }));
    let (mut client, mut server) = pair(proxy.tcp("db"), &upstream);
    passes(&mut client, &mut server, b"protected");
    proxy.reload("[[rule]]\nid = \"other\"\nrespond = 503\n");
    assert_eq!(rest(&mut client), (Vec::new(), End::Reset), "the toxic outlives a reload of the file");
    proxy.post("/lift");
    let answer = proxy.ask_admin("POST", "/proxies/db/toxics", &json!({ "type": "timeout" }).to_string());
    assert!(answer.header("squall-warning").expect("a word").contains("not armed"));
    let (mut client, mut server) = pair(proxy.tcp("db"), &upstream);
    passes(&mut client, &mut server, b"lifted");
}

#[test]
fn changes_under_traffic_never_hang() {
    let upstream = Upstream::echo();
    let proxy = bare();
    let addr = made(&proxy, &upstream);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut client = connect(addr);
                let mut writer = client.try_clone().expect("a handle");
                let writing = std::thread::spawn(move || {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        writer.write_all(&pattern(10_000)).expect("taken");
                    }
                    writer.shutdown(Shutdown::Write).expect("half closed");
                });
                let (bytes, end) = rest(&mut client);
                assert_eq!(end, End::Eof);
                assert!(bytes.chunks(10_000).all(|chunk| chunk == pattern(10_000)), "in order and complete");
                writing.join().expect("written");
            })
        })
        .collect();
    let begun = Instant::now();
    for n in 0..40 {
        let kinds = [
            json!({ "name": "t", "type": "latency", "attributes": { "latency": 5, "jitter": 9 } }),
            json!({ "name": "t", "type": "bandwidth", "attributes": { "rate": 500 } }),
            json!({ "name": "t", "type": "slicer", "attributes": { "average_size": 500, "delay": 100 } }),
            json!({ "name": "t", "type": "timeout", "attributes": { "timeout": 0 } }),
        ];
        toxic(&proxy, "db", kinds[n % kinds.len()].clone());
        proxy.rows("db");
        untoxic(&proxy, "db", "t");
    }
    assert!(begun.elapsed() < PATIENCE);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().expect("all arrived"));
    let rows = proxy.settled("db");
    assert_eq!(
        (&rows["finished"], &rows["request"]["out"]),
        (&8.into(), &rows["response"]["out"]),
        "{rows:#}"
    );
}
