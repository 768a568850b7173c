//! Captures made by hand.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use captures::exchange::{Protocol, Request, Response};
use captures::header::{FileHeader, Options};
use captures::notes::Notes;
use captures::{Body, Exchange, Headers, SessionId, Writer};

/// One exchange: session, start and duration in milliseconds, `METHOD TARGET`, host.
pub(crate) type Step<'a> = (u64, u64, u64, &'a str, &'a str);

/// Writes a capture that names no listener.
pub(crate) fn capture(folder: &Path, steps: &[Step<'_>]) -> PathBuf {
    let path = folder.join("capture.zst");
    let header = FileHeader::new("import", START_US);
    let mut writer = Writer::create(&path, header, Options::for_import()).unwrap();
    for step in steps {
        writer.push(&exchange(*step), START_US).unwrap();
    }
    writer.finish(START_US).unwrap();
    path
}

fn exchange((session, at_ms, took_ms, what, host): Step<'_>) -> Exchange {
    let (method, target) = what.split_once(' ').unwrap();
    let mut headers = Headers::new();
    headers.push("Host", host);
    headers.push("User-Agent", "journey");
    Exchange {
        session: SessionId(session),
        connection: Some(session),
        edge: "default".to_owned(),
        start_us: START_US + at_ms * 1000,
        protocol: Protocol::Http11,
        request: Request {
            method: method.to_owned(),
            scheme: "http".to_owned(),
            authority: host.to_owned(),
            target: target.to_owned(),
            headers,
            body: Body::default(),
        },
        response: Some(Response { status: 200, headers: Headers::new(), body: Body::default() }),
        ttfb_us: Some(took_ms * 1000),
        duration_us: Some(took_ms * 1000),
        faults: Vec::new(),
        notes: Notes::NONE,
        stream: None,
    }
}

/// An access log of a shop's visitors, always the same: most read, some fail, a few write.
pub(crate) fn generated_log(lines: u64) -> String {
    let mut log = String::new();
    for line in 0..lines {
        let chance = (line + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
        let (host, minute, second) = (chance % 23, line / 60, line % 60);
        let what = match chance % 5 {
            0 => "GET / HTTP/1.1".to_owned(),
            1 | 2 => format!("GET /api/products/{} HTTP/1.1", chance % 40 + 1),
            3 => format!("GET /search?q={chance} HTTP/1.1"),
            _ => "POST /api/events HTTP/1.1".to_owned(),
        };
        let _ = writeln!(
            log,
            "10.0.0.{host} - - [17/May/2025:10:{minute:02}:{second:02} +0000] \"{what}\" 200 {} \"-\" \"agent/{}\"",
            chance % 5000,
            host % 3
        );
    }
    log
}

/// 2026-01-01 00:00:00 UTC.
const START_US: u64 = 1_767_225_600_000_000;
