//! gRPC: Python's client and server, with the proxy between them.

use std::process::Command;

use captures::messages::StreamKind;

use crate::inline::{Inline, messages};
use crate::support::{Process, Proxy};
use crate::tools;

#[test]
fn grpc_calls_of_every_kind() {
    let Some(python) = tools::python("grpc", "python3-grpcio") else { return };
    let mut command = Command::new(&python);
    command.arg(tools::script("grpc_origin.py"));
    let origin = Process::start("grpc_origin.py", command);
    let addr = origin.wait_for("its address", |line| line.strip_prefix("listening on ").map(str::to_owned));

    let proxy = Inline::before(&format!("h2c://{addr}"));
    let mut client = Command::new(&python);
    client.arg(tools::script("grpc_client.py")).arg(proxy.addr());
    let said = tools::run(client);
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        CALLS,
        "the calls that the client made, each with what it saw"
    );
    let recorded = proxy.finish(CALLS.len() as u64);
    let counts: Vec<_> = recorded.iter().map(|call| messages(call, StreamKind::Grpc)).collect();
    // unary twice, server stream, client stream, both ways, refused, refused late
    assert_eq!(counts, [(1, 1), (1, 1), (1, 10), (10, 1), (10, 10), (1, 0), (1, 3)]);
    let said = |call: usize, at: usize| recorded[call].stream.as_ref().unwrap().messages[at].data.as_deref();
    assert_eq!((said(0, 0), said(1, 0)), (Some(&[b'x'; 5][..]), Some(&[b'x'; 300_000][..])));
    assert_eq!((said(3, 9), said(6, 0)), (Some(&b"9"[..]), Some(&b"3"[..])));
}

/// Whatever the wire says, what counts is the status that a client of gRPC reads from it.
#[test]
fn a_status_arrives_that_a_rule_gives_or_lets_pass() {
    let Some(python) = tools::python("grpc", "python3-grpcio") else { return };
    let mut command = Command::new(&python);
    command.arg(tools::script("grpc_origin.py"));
    let origin = Process::start("grpc_origin.py", command);
    let addr = origin.wait_for("its address", |line| line.strip_prefix("listening on ").map(str::to_owned));
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.toml");
    for (fault, said) in [
        (
            "respond = { grpc_status = \"UNAVAILABLE\", grpc_message = \"50 % of us\" }",
            "UNAVAILABLE 50 % of us",
        ),
        (
            "drop_response = { respond = { grpc_status = 8, grpc_message = \"lost\" } }",
            "RESOURCE_EXHAUSTED lost",
        ),
        ("respond = 503", "UNAVAILABLE Received http2 header with status: 503"),
        ("throttle = \"1MB/s\"", "FAILED_PRECONDITION as asked"),
        ("stall = \"1h after 1 events\"", "FAILED_PRECONDITION as asked"),
        ("delay = \"1ms at response\"", "FAILED_PRECONDITION as asked"),
    ] {
        std::fs::write(&rules, format!("version = 1\n[[rule]]\nid = \"r\"\n{fault}\n")).unwrap();
        let proxy = Proxy::before(&format!("h2c://{addr}"), &["--rules", rules.to_str().unwrap()]);
        let mut client = Command::new(&python);
        client.arg(tools::script("grpc_client.py")).arg(proxy.addr().to_string()).arg("refused");
        assert_eq!(tools::run(client).trim_end(), format!("refused: {said}"), "{fault}");
    }
}

/// What `grpc_client.py` prints, a line for each call.
const CALLS: [&str; 7] = [
    "unary: 5 bytes there and back, trailer checksum=5",
    "unary: 300000 bytes there and back, trailer checksum=300000",
    "server stream: 0 1 2 3 4 5 6 7 8 9",
    "client stream: 10 messages counted",
    "both ways: 10 answers, each before the next question",
    "refused: FAILED_PRECONDITION as asked",
    "late refusal: 3 messages, then DATA_LOSS in the middle",
];
