//! WebSocket: Python's client and server, with the proxy between them.

use std::process::Command;

use captures::messages::{MessageKind, StreamKind};

use crate::inline::{Certificate, Inline, messages};
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
    let recorded = proxy.finish(2);
    // text, binary, ping or pong, 100 texts, the request to close, close; the server does not repeat the request
    assert_eq!(messages(&recorded[0], StreamKind::WebSocket), (105, 104));
    assert_eq!(messages(&recorded[1], StreamKind::WebSocket), (2, 2));
    let visit = recorded[0].stream.as_ref().unwrap();
    // this client compresses what it says, but for control frames
    for message in visit.messages.iter().filter(|message| message.from_client) {
        let control = matches!(message.kind, MessageKind::Ping | MessageKind::Pong | MessageKind::Close);
        assert_eq!((message.compressed, message.data.is_some()), (!control, control), "{message:?}");
    }
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
