//! One line of an access log.

use std::net::SocketAddr;

use super::super::time::{Moment, log_time};
use super::ordered;
use super::took::took;
use super::wrapped::unwrapped;
use crate::exchange::{Protocol, Request, Response};
use crate::notes::Notes;
use crate::{Body, Exchange, Headers, SessionId};

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) client: Vec<u8>,
    pub(super) time: Moment,
    /// Empty where the log has none.
    pub(super) user_agent: Vec<u8>,
    pub(super) referer: Vec<u8>,
    pub(super) request: RequestLine,
    /// 0 where no answer was sent.
    pub(super) status: u16,
    pub(super) bytes: u64,
    /// Scheme and authority, from a virtual host before the client or an absolute target.
    pub(super) host: (String, String),
    pub(super) duration_us: Option<u64>,
    pub(super) ttfb_us: Option<u64>,
    /// The server's own number of it.
    pub(super) connection: Option<u64>,
    /// What was sent, where the log says it.
    pub(super) body: Vec<u8>,
}

/// Why a line gives no exchange.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is a line of a log, but no request came.
    Skip(&'static str),
    Damaged(&'static str),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestLine {
    method: String,
    pub(super) target: String,
    protocol: Protocol,
}

impl Line {
    /// Reads a line of any kind.
    pub(super) fn parse(text: &[u8]) -> Result<Line, Unfit> {
        let text = unwrapped(text);
        match text {
            [b'{', ..] => super::json::parse(text),
            _ => match Line::parse_text(text) {
                Err(Unfit::Damaged(why)) => ordered::parse(text).unwrap_or(Err(Unfit::Damaged(why))),
                read => read,
            },
        }
    }

    /// Reads a line that is no JSON.
    pub(super) fn parse_text(text: &[u8]) -> Result<Line, Unfit> {
        let (before, mut time, rest) = split_time(text)?;
        let (client, mut host) = client(before)?;
        let (request, rest) = quoted_request(rest)?;
        let mut request = RequestLine::parse(&request)?;
        if let Some((scheme, authority, target)) = absolute(&request.target) {
            host = (scheme, authority);
            request.target = target;
        }
        let rest = rest.trim_ascii_start();
        let (status, rest) = word(rest);
        let (bytes, mut rest) = word(rest);
        let status = match status {
            b"-" => 0,
            _ => number(status).and_then(|n| u16::try_from(n).ok()).filter(|n| *n < 1000).ok_or(NO_STATUS)?,
        };
        let mut quoted = || -> Vec<u8> {
            let Some(from) = rest.trim_ascii_start().strip_prefix(b"\"") else { return Vec::new() };
            let end = quote_end(from).unwrap_or(from.len());
            rest = from.get(end + 1..).unwrap_or_default();
            let value = unescape(&from[..end]);
            if value == b"-" { Vec::new() } else { value }
        };
        let referer = quoted();
        let user_agent = quoted();
        let bytes = number(bytes).unwrap_or(0);
        let took = took(rest);
        if let Some(took) = took.filter(|took| took.is_end) {
            time.us = time.us.saturating_sub(took.us);
        }
        Ok(Line {
            client: without_port(client).to_vec(),
            time,
            user_agent,
            referer,
            request,
            status,
            bytes,
            host,
            duration_us: took.map(|took| took.us),
            ttfb_us: None,
            connection: None,
            body: Vec::new(),
        })
    }

    pub(super) fn into_exchange(self, session: SessionId, edge: &str) -> Exchange {
        let mut headers = Headers::new();
        for (name, value) in [("User-Agent", &self.user_agent), ("Referer", &self.referer)] {
            if !value.is_empty() {
                headers.push(name, value);
            }
        }
        let mut notes = if self.time.exact { Notes::NONE } else { Notes::COARSE_TIME };
        let body = Body::digest(self.bytes, None);
        let response = match self.status {
            0 => None,
            NGINX_CLIENT_GONE => {
                notes.insert(Notes::CLIENT_GONE);
                None
            }
            status => Some(Response { status, headers: Headers::new(), body }),
        };
        if self.status == 101 || self.request.method == "CONNECT" {
            notes.insert(Notes::UPGRADED);
        }
        let (scheme, authority) = self.host;
        let RequestLine { method, target, protocol } = self.request;
        let sent = if self.body.is_empty() { Body::default() } else { Body::whole(self.body) };
        let request = Request { method, scheme, authority, target, headers, body: sent };
        Exchange {
            session,
            edge: edge.to_owned(),
            start_us: self.time.us,
            protocol,
            request,
            ttfb_us: self.ttfb_us.filter(|_| response.is_some()),
            duration_us: self.duration_us,
            response,
            notes,
            ..Exchange::default()
        }
    }
}

impl RequestLine {
    pub(super) fn parse(text: &[u8]) -> Result<RequestLine, Unfit> {
        let text = text.trim_ascii();
        let is_none = text.iter().all(|byte| matches!(byte, b'-' | b' ')) || text == BAD_REQUEST;
        if is_none {
            return Err(Unfit::Skip("no request was sent"));
        }
        let (method, rest) = word(text);
        if method == b"PRI" {
            return Err(Unfit::Skip("the opening words of HTTP/2, no request"));
        }
        let method = std::str::from_utf8(method).ok().filter(|method| super::super::is_token(method));
        let (Some(method), false) = (method, rest.is_empty()) else { return Err(NO_REQUEST) };
        let last = rest.iter().rposition(|byte| *byte == b' ').map_or(0, |at| at + 1);
        let named = std::str::from_utf8(&rest[last..])
            .ok()
            .filter(|text| text.len() < 12 && text.starts_with("HTTP/"));
        let (target, protocol) = match named.and_then(|text| text.parse().ok()) {
            Some(protocol) => (&rest[..last], protocol),
            // HTTP/0.9 has no version
            None => (rest, Protocol::Http10),
        };
        let target = super::super::encode_target(target.trim_ascii());
        let fits = target.starts_with('/') || target == "*" || target.contains("://") || method == "CONNECT";
        match fits {
            true => Ok(RequestLine { method: method.to_owned(), target, protocol }),
            false => Err(NO_REQUEST),
        }
    }
}

/// What is before the time in brackets, the time, and what follows.
fn split_time(text: &[u8]) -> Result<(&[u8], Moment, &[u8]), Unfit> {
    let mut from = 0;
    while let Some(open) = text[from..].iter().position(|byte| *byte == b'[').map(|n| from + n) {
        let len = text[open..].iter().take(48).position(|byte| *byte == b']');
        let inner = len.and_then(|len| std::str::from_utf8(&text[open + 1..open + len]).ok());
        // an IPv6 address or a user name may stand in brackets too
        if let (Some(len), Some(Ok(time))) = (len, inner.map(log_time)) {
            return Ok((&text[..open], time, &text[open + len + 1..]));
        }
        from = open + 1;
    }
    Err(Unfit::Damaged("no time in brackets can be read"))
}

/// The client, and the virtual host if one stands before it (`%v:%p %h %l %u`, `%v %h %l %u`).
fn client(before: &[u8]) -> Result<(&[u8], (String, String)), Unfit> {
    let words: Vec<&[u8]> = before.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
    let none = (String::new(), String::new());
    match words.as_slice() {
        [] => Err(Unfit::Damaged("no client stands before the time")),
        [host, client, _, _, ..] if is_virtual_host(host, client) => {
            let host = String::from_utf8_lossy(host);
            let (scheme, authority) = match host.rsplit_once(':') {
                Some((name, "443")) => ("https", name),
                Some((name, "80")) => ("http", name),
                _ => ("", host.as_ref()),
            };
            Ok((first_of(client), (scheme.to_owned(), authority.to_owned())))
        }
        [client, ..] => Ok((first_of(client), none)),
    }
}

/// Of a list of forwarders, which may stand in quotes, the first is the client.
fn first_of(client: &[u8]) -> &[u8] {
    let client = client.strip_prefix(b"\"").unwrap_or(client);
    client.strip_suffix(b",").or_else(|| client.strip_suffix(b"\"")).unwrap_or(client)
}

fn is_virtual_host(host: &[u8], client: &[u8]) -> bool {
    let parse =
        |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| text.parse::<std::net::IpAddr>().ok());
    let colons = host.iter().filter(|byte| **byte == b':').count();
    let has_port =
        colons == 1 && host.rsplit(|byte| *byte == b':').next().is_some_and(|port| number(port).is_some());
    !host.ends_with(b",") && (has_port || parse(host).is_none() && parse(first_of(client)).is_some())
}

/// The request in quotes, unescaped, and what follows. Old servers do not escape quotes: the closing one is
/// followed by a status.
fn quoted_request(text: &[u8]) -> Result<(Vec<u8>, &[u8]), Unfit> {
    let from = text
        .trim_ascii_start()
        .strip_prefix(b"\"")
        .ok_or(Unfit::Damaged("no request in quotes follows the time"))?;
    let mut end = quote_end(from).ok_or(Unfit::Damaged("the quotes around the request do not close"))?;
    while !matches!(from.get(end + 1..end + 3), Some([b' ', b'0'..=b'9' | b'-'])) {
        match quote_end(&from[end + 1..]) {
            Some(next) => end += next + 1,
            None => return Err(NO_STATUS),
        }
    }
    Ok((unescape(&from[..end]), &from[end + 1..]))
}

/// Where the next quote stands that is not escaped.
fn quote_end(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// Undoes the escapes of Apache and nginx: `\"`, `\\`, `\xHH`, `\n` and the like.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        let (b'\\', Some((escape, after))) = (*byte, tail.split_first()) else {
            out.push(*byte);
            continue;
        };
        rest = after;
        let hex = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match (escape, hex.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'x', Some(value)) => {
                out.push(value);
                rest = &after[2..];
            }
            (b'n', _) => out.push(b'\n'),
            (b'r', _) => out.push(b'\r'),
            (b't', _) => out.push(b'\t'),
            (b'b', _) => out.push(8),
            (b'v', _) => out.push(11),
            (b'"' | b'\\', _) => out.push(*escape),
            _ => out.extend([b'\\', *escape]),
        }
    }
    out
}

/// The same of a text.
pub(super) fn unescape_text(text: &str) -> String {
    String::from_utf8_lossy(&unescape(text.as_bytes())).into_owned()
}

/// The address of a client without the port behind it, which is another with every connection.
pub(super) fn without_port(client: &[u8]) -> &[u8] {
    let text = std::str::from_utf8(client).unwrap_or_default();
    match text.rsplit_once(':') {
        Some((address, _)) if text.parse::<SocketAddr>().is_ok() => {
            address.trim_matches(['[', ']']).as_bytes()
        }
        _ => client,
    }
}

/// `http://host/path` as scheme, authority and path.
pub(super) fn absolute(target: &str) -> Option<(String, String, String)> {
    let (scheme, rest) = target.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "http" && scheme != "https" {
        return None;
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let slash = if path.starts_with('/') { "" } else { "/" };
    Some((scheme, authority.to_owned(), format!("{slash}{path}")))
}

fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_start();
    let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    (&text[..end], text[end..].trim_ascii_start())
}

fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

const NO_REQUEST: Unfit = Unfit::Damaged("what is in quotes is no request of HTTP");
const NO_STATUS: Unfit = Unfit::Damaged("no status follows the request");
/// HAProxy's word for what it could not read.
const BAD_REQUEST: &[u8] = b"<BADREQ>";
/// nginx's word for a client that left before it was answered.
const NGINX_CLIENT_GONE: u16 = 499;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Exchange, Unfit> {
        Line::parse(text.as_bytes()).map(|line| line.into_exchange(SessionId(1), "default"))
    }

    const TIME: &str = "[17/May/2015:10:05:03 +0000]";

    #[test]
    fn combined_and_common() {
        let line = format!(
            "83.149.9.216 - frank {TIME} \"GET /a?b=c HTTP/1.1\" 200 203023 \"http://r.test/\" \"Moz \\\"x\\\" \\xe9\""
        );
        let exchange = parse(&line).unwrap();
        assert_eq!(exchange.start_us, 1_431_857_103_000_000);
        assert_eq!(exchange.request.method, "GET");
        assert_eq!(exchange.request.target, "/a?b=c");
        assert_eq!(exchange.request.headers.get("referer"), Some(&b"http://r.test/"[..]));
        assert_eq!(exchange.request.headers.get("user-agent"), Some(&b"Moz \"x\" \xe9"[..]));
        let response = exchange.response.unwrap();
        assert_eq!((response.status, response.body.len), (200, 203_023));
        let exchange = parse(&format!("::1 - - {TIME} \"HEAD / HTTP/1.0\" 304 -")).unwrap();
        assert_eq!((exchange.protocol, exchange.request.headers.len()), (Protocol::Http10, 0));
    }

    #[test]
    fn dialects() {
        let target = |line: &str| parse(line).map(|exchange| exchange.request.target).map_err(|_| ());
        let with = |request: &str| {
            format!("1.1.1.1 - - {TIME} \"{request}\" 200 1 \"-\" \"x\" 0.003 \"9.9.9.9\" rt=1")
        };
        let check = |request: &str, expect: &str| {
            assert_eq!(target(&with(request)).as_deref(), Ok(expect), "{request}");
        };
        check("GET / HTTP/2.0", "/");
        check("GET /with space HTTP/1.1", "/with%20space");
        check("GET /\\xc3\\xbc\\\" HTTP/1.1", "/%C3%BC%22");
        check("GET /unescaped\"quote HTTP/1.1", "/unescaped%22quote");
        check("GET /old", "/old");
        check("GET http://a.test/x?y HTTP/1.1", "/x?y");
        check("OPTIONS * HTTP/1.1", "*");
        check("M-SEARCH /x HTTP/1.1", "/x");
        check("CONNECT a.test:443 HTTP/1.1", "a.test:443");
        for wrong in ["GET", "\\x16\\x03\\x01\\x02", "{\"a\":1}", "GET nothing HTTP/1.1", "G{T / HTTP/1.1"] {
            assert!(matches!(parse(&with(wrong)), Err(Unfit::Damaged(_))), "{wrong}");
        }
        for nothing in ["-", "", "- - - ", "<BADREQ>", "PRI * HTTP/2.0"] {
            assert!(matches!(parse(&with(nothing)), Err(Unfit::Skip(_))), "{nothing}");
        }
    }

    #[test]
    fn clients_and_virtual_hosts() {
        let check = |before: &str, client: &str, scheme: &str, authority: &str| {
            let text = format!("{before} {TIME} \"GET / HTTP/1.1\" 200 1");
            let line = Line::parse(text.as_bytes()).unwrap();
            assert_eq!(String::from_utf8_lossy(&line.client), client, "{before}");
            assert_eq!(line.host, (scheme.to_owned(), authority.to_owned()), "{before}");
        };
        check("1.1.1.1 - -", "1.1.1.1", "", "");
        check("2001:db8::1 - john doe", "2001:db8::1", "", "");
        check("a.test:443 1.1.1.1 - -", "1.1.1.1", "https", "a.test");
        check("a.test:8080 ::1 - -", "::1", "", "a.test:8080");
        check("a.test 1.1.1.1 - -", "1.1.1.1", "", "a.test");
        check("1.1.1.1, 2.2.2.2 - -", "1.1.1.1", "", "");
        check("a.test 1.1.1.1, 2.2.2.2, 3.3.3.3 - -", "1.1.1.1", "", "a.test");
        check("a.test:80 \"1.1.1.1, 2.2.2.2\" 3.3.3.3 - -", "1.1.1.1", "http", "a.test");
        check("host.test - frank", "host.test", "", "");
        check("[::1] - -", "[::1]", "", "");
        check("1.1.1.1:50000 - -", "1.1.1.1", "", "");
        check("[2001:db8::1]:50000 - -", "2001:db8::1", "", "");
        check("Nov 14 22:13:20 web nginx: 1.1.1.1 - -", "1.1.1.1", "", "");
    }

    #[test]
    fn times_of_the_end_become_times_of_the_start() {
        let check = |rest: &str, start_us: u64, duration_us: Option<u64>| {
            let line = format!("1.1.1.1 - - {TIME} \"GET / HTTP/1.1\" 200 1 \"-\" \"x\" {rest}");
            let exchange = parse(&line).unwrap();
            assert_eq!((exchange.start_us, exchange.duration_us), (start_us, duration_us), "{rest}");
        };
        check("", 1_431_857_103_000_000, None);
        check("0.003 \"9.9.9.9\" rt=1.250", 1_431_857_101_750_000, Some(1_250_000));
        check("17 \"web@docker\" \"http://10.0.0.5:80\" 12ms", 1_431_857_103_000_000, Some(12_000));
    }

    #[test]
    fn answers_that_were_not_seen() {
        let exchange = parse(&format!("a - - {TIME} \"GET / HTTP/1.1\" 499 0 \"-\" \"-\"")).unwrap();
        assert!(exchange.response.is_none() && exchange.notes.contains(Notes::CLIENT_GONE));
        assert!(parse(&format!("a - - {TIME} \"GET / HTTP/1.1\" - -")).unwrap().response.is_none());
        for wrong in [
            "a - - [never] \"GET / HTTP/1.1\" 200 1",
            "a - - GET /",
            &format!("a - - {TIME} \"GET / HTTP/1.1\" x 1"),
            &format!("{TIME} \"GET /\" 200 1"),
        ] {
            assert!(matches!(parse(wrong), Err(Unfit::Damaged(_))), "{wrong}");
        }
    }

    #[test]
    fn any_bytes_are_a_line_or_not() {
        use proptest::prelude::*;
        let byte = || {
            prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\'), Just(b' '), Just(b'['), Just(b']'), Just(b'x')]
        };
        let bytes = || proptest::collection::vec(byte(), 0..40);
        proptest!(|(before in bytes(), request in bytes(), after in bytes())| {
            let _ = Line::parse(&before);
            let with_time = [&before[..], TIME.as_bytes(), b" \"", &request, b"\" 200 1", &after].concat();
            let _ = Line::parse(&with_time);
        });
    }
}
