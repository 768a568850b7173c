//! Toxiproxy's HTTP API: its shapes, its codes, and how it lives with edges and rules. What toxics do: `toxics.rs`.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::client::{End, connect};
use crate::harness::proxy::ms;
use crate::harness::tcp::{passes, rest};
use crate::harness::{Origin, PATIENCE, Proxy, Upstream, pattern};

/// Asks, and wants this status.
#[track_caller]
pub(super) fn ask(proxy: &Proxy, method: &str, path: &str, body: Value, status: u16) -> Value {
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
pub(super) fn toxic(proxy: &Proxy, of: &str, toxic: Value) -> Value {
    ask(proxy, "POST", &format!("/proxies/{of}/toxics"), toxic, 200)
}

pub(super) fn untoxic(proxy: &Proxy, of: &str, name: &str) {
    ask(proxy, "DELETE", &format!("/proxies/{of}/toxics/{name}"), Value::Null, 204);
}

/// A proxy without edges, as Toxiproxy starts.
pub(super) fn bare() -> Proxy {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    Proxy::tcp_before(anywhere)
        .with(|config| {
            config.tcp_edges.clear();
            config.admin = free;
        })
        .start()
}

pub(super) fn made(proxy: &Proxy, upstream: &Upstream) -> SocketAddr {
    let told =
        ask(proxy, "POST", "/proxies", json!({ "name": "db", "upstream": upstream.addr.to_string() }), 201);
    told["listen"].as_str().expect("an address").parse().expect("an address")
}

pub(super) fn pair(addr: SocketAddr, upstream: &Upstream) -> (TcpStream, TcpStream) {
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
