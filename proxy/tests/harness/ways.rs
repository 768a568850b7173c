//! The same request on every protocol that the proxy speaks, and what its client sees of the answer, piece by piece.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;

use super::client::{Client, End};
use super::h2::{H2Client, block_on};
use super::origin::header;
use super::proxy::Proxy;

/// How a client speaks to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Http1,
    Http1Tls,
    Http2,
    Http2Tls,
}

/// In clear text.
pub(crate) const CLEAR: [Way; 2] = [Way::Http1, Way::Http2];

pub(crate) const WAYS: [Way; 4] = [Way::Http1, Way::Http1Tls, Way::Http2, Way::Http2Tls];

/// What a client saw of an answer. Times count from when it began to send.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// 0: no header came.
    pub(crate) status: u16,
    pub(crate) fault: Option<String>,
    /// The promised length.
    pub(crate) promised: Option<usize>,
    pub(crate) body: Vec<u8>,
    /// When how much of the body was there.
    pub(crate) pieces: Vec<(Duration, usize)>,
    pub(crate) took: Duration,
    pub(crate) end: How,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// As it should, by its own framing.
    Whole,
    /// HTTP/1: FIN before that. HTTP/2: END_STREAM before the promised length.
    Short,
    /// HTTP/1: RST. HTTP/2: the whole connection went.
    Gone,
    /// RST_STREAM with this code.
    Stream(u32),
}

impl Way {
    pub(crate) fn is_http2(self) -> bool {
        matches!(self, Way::Http2 | Way::Http2Tls)
    }

    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Way::Http1Tls | Way::Http2Tls)
    }

    /// What a reset of the answer looks like, with the usual code.
    pub(crate) fn reset(self) -> How {
        if self.is_http2() { How::Stream(Reason::INTERNAL_ERROR.into()) } else { How::Gone }
    }

    pub(crate) fn get(self, proxy: &Proxy, target: &str) -> Seen {
        self.ask(proxy, "GET", target, None)
    }

    /// Sends a request, its body in one piece, and reads the answer as it comes.
    pub(crate) fn ask(self, proxy: &Proxy, method: &str, target: &str, body: Option<Vec<u8>>) -> Seen {
        match self {
            Way::Http1 => http1(&mut proxy.client(), method, target, body),
            Way::Http1Tls => {
                let identity = proxy.identity.as_ref().expect("a proxy with TLS");
                http1(&mut identity.client(proxy.addr), method, target, body)
            }
            Way::Http2 | Way::Http2Tls => {
                block_on(async { http2(&self.h2(proxy).await, method, target, body).await })
            }
        }
    }

    pub(crate) async fn h2(self, proxy: &Proxy) -> H2Client {
        match (self, &proxy.identity) {
            (Way::Http2Tls, Some(identity)) => H2Client::connect_tls(proxy.addr, identity).await,
            _ => H2Client::connect(proxy.addr).await,
        }
    }
}

impl Seen {
    fn new() -> Seen {
        Seen {
            status: 0,
            fault: None,
            promised: None,
            body: Vec::new(),
            pieces: Vec::new(),
            took: Duration::ZERO,
            end: How::Whole,
        }
    }

    /// When the first byte behind so many was there.
    pub(crate) fn beyond(&self, bytes: usize) -> Duration {
        let piece = self.pieces.iter().find(|(_, there)| bytes < *there);
        piece.expect("it has more bytes than that").0
    }

    /// Was no byte there before a link of this speed could have carried it, but for so much of a burst?
    #[track_caller]
    pub(crate) fn never_faster(&self, bytes_per_second: f64, burst: f64) {
        for (at, there) in &self.pieces {
            let budget = at.as_secs_f64() * bytes_per_second + burst + 1.0;
            assert!(*there as f64 <= budget, "{there} bytes after {at:?}");
        }
    }

    fn note(&mut self, begun: Instant, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
        self.pieces.push((begun.elapsed(), self.body.len()));
    }
}

fn http1<S: Read + Write>(client: &mut Client<S>, method: &str, target: &str, body: Option<Vec<u8>>) -> Seen {
    let begun = Instant::now();
    let framing = body.as_ref().map_or(String::new(), |body| format!("Content-Length: {}\r\n", body.len()));
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n"));
    // an answer may come, or the connection end, before the body is out
    let _ = client.stream.write_all(&body.unwrap_or_default()).and_then(|()| client.stream.flush());
    read_http1(client, begun)
}

/// Reads an HTTP/1 answer to its end.
pub(crate) fn read_http1<S: Read + Write>(client: &mut Client<S>, begun: Instant) -> Seen {
    let mut seen = Seen::new();
    let mut wire = std::mem::take(&mut client.buffer);
    let mut chunked = None;
    let mut used = 0;
    seen.end = loop {
        if chunked.is_none()
            && let Some(head) = take_head(&mut wire)
        {
            seen.status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
            seen.fault = header(&head, "squall-fault").map(str::to_owned);
            seen.promised = match seen.status {
                204 | 304 => Some(0),
                _ => header(&head, "content-length").and_then(|length| length.parse().ok()),
            };
            chunked = Some(header(&head, "transfer-encoding").is_some());
        }
        let whole = match chunked {
            Some(true) => unchunk(&wire, &mut used, &mut seen, begun),
            Some(false) => plain(&wire, &mut used, &mut seen, begun),
            None => false,
        };
        if whole {
            break How::Whole;
        }
        let mut piece = [0; 64 * 1024];
        match client.stream.read(&mut piece) {
            Ok(0) => break How::Short,
            Ok(read) => wire.extend_from_slice(&piece[..read]),
            Err(error) if error.raw_os_error() == Some(libc::ECONNRESET) => break How::Gone,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break How::Short,
            Err(error) => panic!("neither FIN nor RST after {} bytes: {error}", seen.body.len()),
        }
    };
    seen.took = begun.elapsed();
    seen
}

fn take_head(wire: &mut Vec<u8>) -> Option<String> {
    let end = wire.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let rest = wire.split_off(end);
    Some(String::from_utf8_lossy(&std::mem::replace(wire, rest)).into_owned())
}

fn plain(wire: &[u8], used: &mut usize, seen: &mut Seen, begun: Instant) -> bool {
    if *used < wire.len() {
        seen.note(begun, &wire[*used..]);
        *used = wire.len();
    }
    seen.promised.is_some_and(|promised| promised <= seen.body.len())
}

/// Decodes what is there of the chunks, whole or torn. True: the last one is.
fn unchunk(wire: &[u8], used: &mut usize, seen: &mut Seen, begun: Instant) -> bool {
    let mut body = Vec::new();
    let mut rest = wire;
    let mut whole = false;
    while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&rest[..at]).expect("text").split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16).expect("a size");
        rest = &rest[at + 2..];
        if size == 0 {
            whole = rest.starts_with(b"\r\n");
            break;
        }
        let there = size.min(rest.len());
        body.extend_from_slice(&rest[..there]);
        match rest.get(there + 2..) {
            Some(behind) => rest = behind,
            None => break,
        }
    }
    if *used < body.len() {
        let more = body[*used..].to_vec();
        *used = body.len();
        seen.note(begun, &more);
    }
    whole
}

/// The same on a stream of an HTTP/2 connection.
pub(crate) async fn http2(client: &H2Client, method: &str, target: &str, body: Option<Vec<u8>>) -> Seen {
    let begun = Instant::now();
    let (response, mut stream) = client.start(client.request(method, target), body.is_none()).await;
    if let Some(body) = body {
        let _ = stream.send_data(Bytes::from(body), true);
    }
    read_http2(response, begun).await
}

/// Reads an HTTP/2 answer to its end.
pub(crate) async fn read_http2(response: h2::client::ResponseFuture, begun: Instant) -> Seen {
    let mut seen = Seen::new();
    seen.end = match response.await {
        Err(error) => how(&error),
        Ok(response) => {
            seen.status = response.status().as_u16();
            let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
            seen.fault = text("squall-fault").map(str::to_owned);
            seen.promised = text("content-length").and_then(|length| length.parse().ok());
            let mut body = response.into_body();
            loop {
                match body.data().await {
                    None => break How::Whole,
                    Some(Err(error)) => break how(&error),
                    Some(Ok(bytes)) => {
                        let _ = body.flow_control().release_capacity(bytes.len());
                        if !bytes.is_empty() {
                            seen.note(begun, &bytes);
                        }
                    }
                }
            }
        }
    };
    seen.took = begun.elapsed();
    seen
}

fn how(error: &h2::Error) -> How {
    match error.reason() {
        Some(reason) if error.is_reset() && error.is_remote() => How::Stream(reason.into()),
        // what the crate makes of an END_STREAM before the promised length
        Some(Reason::PROTOCOL_ERROR) if error.is_reset() && error.is_library() => How::Short,
        _ => How::Gone,
    }
}
