//! A database behind Squall: a plain-TCP edge beside one that speaks HTTP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::kit::{Server, expect_whole, inspect, run_squall};
use crate::support::{Proxy, http};

/// Something that is not HTTP: says so, then sends back what it gets.
fn database() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let serve = |mut tcp: TcpStream| -> std::io::Result<()> {
        tcp.write_all(b"\x00hello\n")?;
        let mut piece = [0; 4096];
        loop {
            let read = tcp.read(&mut piece)?;
            if read == 0 {
                return Ok(());
            }
            tcp.write_all(&piece[..read])?;
        }
    };
    std::thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            std::thread::spawn(move || serve(tcp));
        }
    });
    addr
}

fn read(file: &str) -> String {
    std::fs::read_to_string(file).unwrap()
}

#[test]
fn a_database_beside_a_web_server() {
    let (folder, server, database) = (TempDir::new().unwrap(), Server::plain(), database());
    let [capture, ledger, json] = ["capture.zst", "ledger.jsonl", "books.json"]
        .map(|name| folder.path().join(name).display().to_string());
    let (upstream, to_database) = (server.url(), format!("db=tcp://{database}"));
    let proxy = Proxy::start(
        &[
            ["--listen", "127.0.0.1:0", "--upstream", &upstream],
            ["--listen", "db=tcp://127.0.0.1:0", "--upstream", &to_database],
            ["--record", &capture, "--ledger", &ledger],
            ["--json", &json, "--fault", "edge db delay 60ms at response"],
        ]
        .concat(),
    );
    let mut client = TcpStream::connect(proxy.edge("db")).unwrap();
    let mut word = [0; 7];
    client.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"\x00hello\n");
    let begun = Instant::now();
    client.write_all(b"\x01query\n").unwrap();
    client.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"\x01query\n");
    assert!(Duration::from_millis(60) <= begun.elapsed());
    assert_eq!(http::get(proxy.edge("default"), "/").status, 200, "the rule is for the other edge");
    drop(client);
    let status = proxy.ask("/status");
    assert_eq!(status["tcp_edges"][0]["listen"], proxy.edge("db").to_string());
    let metrics = http::get(proxy.admin(), "/metrics").text();
    assert!(
        metrics.contains(r#"squall_proxy_tcp_bytes_total{edge="db",fate="out",way="request"} 7"#),
        "{metrics}"
    );
    let (status, said) = proxy.stop();
    assert!(status.success(), "{said}");
    for words in [
        "edge db listening on tcp://127.0.0.1:",
        "edge db is plain TCP: it is not recorded",
        "edge db: 1 connections, 1 connected, 0 ended by rules, 7 B to the upstream, 14 B to clients",
    ] {
        assert!(said.contains(words), "`{words}` is not in:\n{said}");
    }
    let books: Value = serde_json::from_str(&read(&json)).unwrap();
    let edge = &books["tcp_edges"][0];
    assert_eq!(
        (&edge["name"], &edge["finished"], &edge["response"]["out"]),
        (&"db".into(), &1.into(), &14.into())
    );
    let line: Value = serde_json::from_str(read(&ledger).lines().next().unwrap()).unwrap();
    assert_eq!(
        (&line["edge"], &line["action"], &line["applied"]),
        (&"db".into(), &"delay".into(), &true.into())
    );
    assert_eq!(line["asked"], "60000us");
    expect_whole(capture.as_ref());
    assert_eq!(inspect(capture.as_ref())["requests"], 1, "the web server's, and nothing of the database");
}

#[test]
fn edges_that_cannot_be_are_refused_with_what_to_type() {
    let check = |args: &[&str], words: &[&str]| {
        run_squall(&[&["proxy"], args].concat()).expect_words(104, words);
    };
    let (listen, upstream) = ("db=tcp://127.0.0.1:0", "db=tcp://127.0.0.1:1");
    check(&["--listen", listen, "--upstream", "db=http://127.0.0.1:1"], &["--listen db=tcp://"]);
    check(&["--listen", "db=127.0.0.1:0", "--upstream", upstream], &["--listen db=tcp://"]);
    check(&["--listen", listen, "--upstream", "db=tcp://127.0.0.1"], &["no port", "tcp://127.0.0.1:5432"]);
    check(&["--listen", listen, "--upstream", "db=tcp://no.such.host.invalid:1"], &["does not resolve"]);
    check(
        &["--listen", listen, "--upstream", upstream, "--fault", "edge db respond 503"],
        &["plain TCP", "`respond` is a fault of HTTP"],
    );
    check(&["--listen", listen], &["--upstream"]);
    check(&[], &["--listen"]);
}
