//! Toxiproxy's client libraries, against our admin API.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use crate::support::Proxy;
use crate::tools;

#[test]
fn toxiproxy_python() {
    let Some(python) = tools::installed("python3", ("PYTHONPATH", "python"), &["-c", "import toxiproxy"])
    else {
        return;
    };
    check(python, "toxiproxy_client.py");
}

#[test]
fn toxiproxy_node_client() {
    let has_it = ["-e", "require('toxiproxy-node-client')"];
    let Some(node) = tools::installed("node", ("NODE_PATH", "node/node_modules"), &has_it) else { return };
    check(node, "toxiproxy_client.js");
}

/// The script makes proxies and toxics, and sees on its own sockets what they do.
fn check(mut client: Command, script: &str) {
    let proxy = Proxy::start(&["--admin", "127.0.0.1:0"]);
    let upstream = echo();
    client.arg(tools::script(script)).args([proxy.admin().to_string(), upstream.to_string()]);
    let said = tools::run(client);
    assert_eq!(said.lines().collect::<Vec<_>>(), SEEN, "what the client saw");
    let books = proxy.ask("/books");
    let edge = &books["tcp_edges"][0];
    assert_eq!((&edge["name"], &edge["upstream_unreachable"]), (&"redis".into(), &0.into()), "{edge:#}");
    let rules = books["rules"].as_array().expect("rules");
    let latency = rules.iter().find(|rule| rule["id"] == "toxic-redis-latency_downstream");
    assert_eq!(latency.expect("the toxic is a rule")["applied"], 1, "{rules:?}");
    let (status, said) = proxy.stop();
    assert!(status.success(), "the proxy ended with {status}:\n{said}");
}

/// Sends back what it gets.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound");
    let serve = |mut tcp: TcpStream| {
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = tcp.read(&mut piece) {
            if tcp.write_all(&piece[..read]).is_err() {
                return;
            }
        }
    };
    std::thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            std::thread::spawn(move || serve(tcp));
        }
    });
    addr
}

const SEEN: [&str; 12] = [
    "no proxies at first",
    "made and listed",
    "twice: refused",
    "echo",
    "latency: 100 ms, once",
    "toxic listed",
    "toxic gone: at once",
    "unknown type: refused",
    "down: refused; up: echo",
    "reset_peer: reset",
    "reset: no toxics",
    "deleted",
];
