//! Captures for the tests to read, damage and mend.
#![allow(dead_code, reason = "not every test file uses every helper")]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a helper of tests")]

pub(crate) mod handmade;

use std::path::{Path, PathBuf};
use std::process::Command;

use captures::exchange::{Protocol, Request, Response};
use captures::header::{EdgeInfo, FileHeader, Options};
use captures::messages::{Message, MessageKind, Stream, StreamKind};
use captures::{Body, Exchange, Headers, SessionId, Writer};

/// An exchange that differs from every other `n` in most of its parts.
pub(crate) fn exchange(n: u64) -> Exchange {
    let headers: Headers =
        [("Host", "shop.test"), ("User-Agent", "test/1"), ("X-Number", &n.to_string())].into_iter().collect();
    Exchange {
        session: SessionId(n % 5),
        connection: Some(n % 3),
        edge: "default".to_owned(),
        start_us: 1_700_000_000_000_000 + n * 1_000,
        protocol: Protocol::Http11,
        request: Request {
            method: "GET".to_owned(),
            scheme: "http".to_owned(),
            authority: "shop.test".to_owned(),
            target: format!("/products/{n}?page={}", n % 4),
            headers,
            body: Body::whole(format!("body {n}")),
        },
        response: Some(Response {
            status: 200,
            headers: [("Content-Type", "text/plain")].into_iter().collect(),
            body: Body::digest(n, Some(n)),
        }),
        ttfb_us: Some(n),
        duration_us: Some(n * 2),
        stream: (n % 7 == 3).then(|| stream(n)),
        ..Exchange::default()
    }
}

/// A stream of a few messages.
pub(crate) fn stream(n: u64) -> Stream {
    let said = format!("message of {n}");
    let message = |at_us, from_client, kind, data: Option<&str>| Message {
        at_us,
        from_client,
        kind,
        compressed: false,
        len: data.map_or(n, |data| data.len() as u64),
        data: data.map(|data| data.to_owned().into()),
    };
    Stream {
        kind: StreamKind::WebSocket,
        messages: vec![
            message(n, true, MessageKind::Text, Some(&said)),
            message(n + 5, false, MessageKind::Binary, None),
            message(n + 5, true, MessageKind::Close, Some("")),
        ],
        truncated: n % 2,
    }
}

/// A header with an edge.
pub(crate) fn header() -> FileHeader {
    let edge = EdgeInfo {
        name: "default".to_owned(),
        listen_url: "http://127.0.0.1:8080".to_owned(),
        admin_url: Some("http://127.0.0.1:9999".to_owned()),
    };
    FileHeader { edges: vec![edge], ..FileHeader::new("test", 1_700_000_000_000_000) }
}

/// Blocks of `per_block` exchanges, the numbers `range`, pushed into `writer`.
pub(crate) fn fill(writer: &mut Writer, range: std::ops::Range<u64>, per_block: u64) {
    for n in range {
        writer.push(&exchange(n), 0).unwrap();
        if n % per_block == per_block - 1 {
            writer.flush(n).unwrap();
        }
    }
}

/// A closed capture of `exchanges` in blocks of `per_block`.
pub(crate) fn capture(path: &Path, exchanges: u64, per_block: u64) {
    let mut writer = Writer::create(path, header(), Options::default()).unwrap();
    fill(&mut writer, 0..exchanges, per_block);
    writer.finish(1).unwrap();
}

/// All exchanges that can be read, in the order of their numbers.
pub(crate) fn numbers(path: &Path) -> Vec<u64> {
    let mut numbers: Vec<u64> = captures::Reader::open(path)
        .unwrap()
        .exchanges()
        .filter_map(Result::ok)
        .map(|read| {
            let n = (read.start_us - 1_700_000_000_000_000) / 1_000;
            assert_eq!(read, exchange(n), "exchange {n} came back changed");
            n
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

/// Whether the stock tool accepts the file; says so and passes where there is none.
pub(crate) fn assert_zstd_accepts(path: &Path) {
    for flags in [["-t", "-q"], ["-dc", "-q"]] {
        match Command::new("zstd").args(flags).arg(path).output() {
            Ok(output) => {
                let stderr = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "zstd {flags:?} refuses: {stderr}");
            }
            Err(err) => eprintln!("skipped: zstd {flags:?} cannot be run: {err}"),
        }
    }
}

/// The shared data files, or a word on stderr that they are missing.
pub(crate) fn data(name: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("SQUALL_DATA") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
    };
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is missing; set SQUALL_DATA to the directory of the data files", path.display());
    None
}
