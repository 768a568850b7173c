//! WebSocket: Python's client and server, with the proxy between them.

use std::process::Command;

use crate::inline::{Certificate, Inline};
use crate::support::Process;
use crate::tools;

#[test]
fn websocket_in_the_clear() {
    let Some(python) = python() else { return };
    let (_origin, upstream) = origin(&python);
    let proxy = Inline::before(&upstream);
    let url = format!("ws://{}", proxy.addr());
    check(&python, &[&url], proxy);
}

#[test]
fn websocket_over_tls() {
    let Some(python) = python() else { return };
    let ((_origin, upstream), tls) = (origin(&python), Certificate::new());
    let proxy = Inline::with_tls(&upstream, &tls);
    let url = format!("wss://{}", proxy.addr());
    check(&python, &[&url, &tls.cert], proxy);
}

fn python() -> Option<String> {
    tools::python("websockets", "python3-websockets")
}

fn origin(python: &str) -> (Process, String) {
    let mut command = Command::new(python);
    command.arg(tools::script("websocket_origin.py"));
    let origin = Process::start("websocket_origin.py", command);
    let addr = origin.wait_for("its address", |line| line.strip_prefix("listening on ").map(str::to_owned));
    (origin, format!("http://{addr}"))
}

#[track_caller]
fn check(python: &str, arguments: &[&str], proxy: Inline) {
    let mut client = Command::new(python);
    client.arg(tools::script("websocket_client.py")).args(arguments);
    let said = tools::run(client);
    assert_eq!(said.lines().collect::<Vec<_>>(), SEEN, "what the client saw");
    // the visit that the server ends, and the one that the client ends
    proxy.finish(2);
}

/// What `websocket_client.py` prints.
const SEEN: [&str; 6] = [
    "text: échoed",
    "binary: 200000 bytes there and back",
    "ping: answered",
    "order: 100 messages, each in its place",
    "closed by the server: 4001 as asked",
    "closed by the client: 1000",
];
