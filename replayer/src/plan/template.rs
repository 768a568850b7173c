//! A recorded request as bytes for the target, with holes for what differs from clone to clone.
//!
//! Only what a client means goes out again: hop-by-hop fields, what proxies added, and our own headers stay behind;
//! no byte of a recording can end a line or a head early.

use bytes::Bytes;
use captures::Exchange;
use smallvec::SmallVec;

use crate::cookies::{Jar, RecordedCookie};
use crate::identity::{self, Key};

/// How requests are written for the target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rewrite {
    /// The Host header.
    pub(crate) host: String,
    /// Sends the recorded host instead.
    pub(crate) keep_host: bool,
    /// Fields in place of recorded ones.
    pub(crate) headers: Vec<(String, String)>,
}

/// The bytes of one step.
#[derive(Debug)]
pub(crate) struct Template {
    head: Box<[u8]>,
    /// Where a key goes into `head`, ascending.
    keys: SmallVec<[(u32, Key); 1]>,
    cookies: Box<[RecordedCookie]>,
    /// The path within `head`, for the paths of cookies.
    path: (u32, u32),
    /// What was recorded of the body.
    pub(crate) body: Bytes,
    /// Bytes of the body that were not recorded, sent as spaces.
    pub(crate) filler: u64,
}

/// Who sends a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender<'a> {
    pub(crate) seed: u64,
    /// Tag of the run, 8 hex digits.
    pub(crate) run: &'a str,
    pub(crate) session: u64,
    pub(crate) clone: u32,
    pub(crate) operation: u64,
}

impl Template {
    /// The request of `exchange`; `issued` names the cookies that the server had set in the session by then.
    pub(crate) fn new(exchange: &Exchange, issued: &[Vec<u8>], rewrite: &Rewrite) -> Template {
        let request = &exchange.request;
        let mut head = Vec::with_capacity(256 + request.headers.byte_len());
        head.extend_from_slice(request.method.as_bytes());
        head.push(b' ');
        let path_start = head.len();
        push_target(&mut head, &request.target);
        let path_len = head[path_start..].iter().position(|b| *b == b'?').unwrap_or(head.len() - path_start);
        head.extend_from_slice(b" HTTP/1.1\r\n");
        push_host(&mut head, exchange, rewrite);
        let mut template = Template {
            head: Box::default(),
            keys: SmallVec::new(),
            cookies: Box::default(),
            path: (path_start as u32, (path_start + path_len) as u32),
            body: request.body.data.clone().unwrap_or_default(),
            filler: 0,
        };
        template.filler = request.body.len.saturating_sub(template.body.len() as u64);
        let dropped = named_by_connection(exchange);
        let mut cookies = Vec::new();
        for (name, value) in request.headers.iter() {
            if name.eq_ignore_ascii_case("cookie") {
                cookies.extend(
                    RecordedCookie::split(value)
                        .filter(|(name, value)| is_clean(name) && is_clean(value))
                        .map(|(name, value)| RecordedCookie {
                            name: name.into(),
                            value: value.into(),
                            issued: issued.iter().any(|known| known == name),
                        }),
                );
            } else if goes_on(name, value, &dropped, rewrite) {
                template.push_field(&mut head, name, value);
            }
        }
        for (name, value) in rewrite.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host")) {
            push_line(&mut head, name, value.as_bytes());
        }
        let length = template.body_len();
        if length > 0 || matches!(request.method.as_str(), "POST" | "PUT" | "PATCH") {
            push_line(&mut head, "Content-Length", itoa::Buffer::new().format(length).as_bytes());
        }
        template.cookies = cookies.into();
        template.head = head.into();
        template
    }

    /// Length of the body on the wire.
    pub(crate) fn body_len(&self) -> u64 {
        self.body.len() as u64 + self.filler
    }

    /// The path of the request, without its query.
    pub(crate) fn path(&self) -> &[u8] {
        &self.head[self.path.0 as usize..self.path.1 as usize]
    }

    /// Memory that it holds.
    pub(crate) fn bytes(&self) -> usize {
        let cookies: usize =
            self.cookies.iter().map(|cookie| cookie.name.len() + cookie.value.len() + 48).sum();
        size_of::<Template>() + self.head.len() + self.body.len() + cookies
    }

    /// Writes the whole head, up to the empty line, for one attempt.
    pub(crate) fn write_head(&self, out: &mut Vec<u8>, sender: Sender<'_>, jar: Option<&Jar>, attempt: u32) {
        let mut from = 0;
        for (place, key) in &self.keys {
            out.extend_from_slice(&self.head[from..*place as usize]);
            key.push(out, sender.seed, sender.session, sender.clone);
            from = *place as usize;
        }
        out.extend_from_slice(&self.head[from..]);
        if jar.is_some() || !self.cookies.is_empty() {
            Jar::push_header(jar, &self.cookies, self.path(), out);
        }
        out.extend_from_slice(b"squall-session: ");
        out.extend_from_slice(sender.run.as_bytes());
        out.push(b'-');
        identity::push_hex(out, sender.session);
        out.push(b'-');
        out.extend_from_slice(itoa::Buffer::new().format(sender.clone).as_bytes());
        out.extend_from_slice(b"\r\nsquall-op: ");
        identity::push_hex16(out, sender.operation);
        out.extend_from_slice(b"\r\nsquall-attempt: ");
        out.extend_from_slice(itoa::Buffer::new().format(attempt).as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
    }

    fn push_field(&mut self, head: &mut Vec<u8>, name: &str, value: &[u8]) {
        let Some(key) = Key::of(name, value) else { return push_line(head, name, value) };
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        self.keys.push((head.len() as u32, key));
        head.extend_from_slice(b"\r\n");
    }
}

/// Whether `name` is a token in the sense of RFC 9110.
pub(crate) fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

/// Whether a value may stand in a header field: no line break, no NUL, no other control character but the tab.
pub(crate) fn is_clean(value: &[u8]) -> bool {
    value.iter().all(|b| *b == b'\t' || (*b >= 0x20 && *b != 0x7f))
}

fn goes_on(name: &str, value: &[u8], dropped: &[String], rewrite: &Rewrite) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let ours = name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("squall-"));
    !(ours
        || LEFT_BEHIND.iter().any(|known| is(known))
        || dropped.iter().any(|known| is(known))
        || rewrite.headers.iter().any(|(known, _)| is(known)))
        && is_token(name.as_bytes())
        && is_clean(value)
}

fn named_by_connection(exchange: &Exchange) -> Vec<String> {
    let values = exchange.request.headers.get_all("connection");
    let text = values.filter_map(|value| std::str::from_utf8(value).ok());
    text.flat_map(|value| value.split(',')).map(|name| name.trim().to_owned()).collect()
}

fn push_host(head: &mut Vec<u8>, exchange: &Exchange, rewrite: &Rewrite) {
    let own = rewrite.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let recorded = || {
        let named = Some(exchange.request.authority.as_bytes()).filter(|host| !host.is_empty());
        let named = named.or_else(|| exchange.request.headers.get("host"));
        named.filter(|host| rewrite.keep_host && is_clean(host))
    };
    let host = match own {
        Some((_, value)) => value.as_bytes(),
        None => recorded().unwrap_or(rewrite.host.as_bytes()),
    };
    push_line(head, "Host", host);
}

/// The target in origin form. What cannot stand in a request line is percent-encoded; a foreign host goes.
fn push_target(out: &mut Vec<u8>, target: &str) {
    if target == "*" {
        out.push(b'*');
        return;
    }
    let target = target.split('#').next().unwrap_or("");
    let origin = match target.split_once("://") {
        Some((scheme, rest)) if is_token(scheme.as_bytes()) && !scheme.contains('.') => {
            rest.find(['/', '?']).map_or("", |at| &rest[at..])
        }
        _ => target,
    };
    if !origin.starts_with('/') {
        out.push(b'/');
    }
    for byte in origin.bytes() {
        if byte > 0x20 && byte < 0x7f {
            out.push(byte);
        } else {
            out.push(b'%');
            out.extend([byte >> 4, byte & 15].map(|nibble| b"0123456789ABCDEF"[usize::from(nibble)]));
        }
    }
}

fn push_line(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}

/// Fields about one connection or one path through proxies, and those that we write ourselves.
const LEFT_BEHIND: [&str; 23] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
    "expect",
    "host",
    "content-length",
    "cookie",
    "via",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-real-ip",
    "x-envoy-external-address",
];

#[cfg(test)]
mod tests {
    use super::*;
    use captures::exchange::Request;
    use captures::{Body, Headers};

    fn exchange(method: &str, target: &str, headers: &[(&str, &str)]) -> Exchange {
        Exchange {
            request: Request {
                method: method.to_owned(),
                authority: "foreign.example.test".to_owned(),
                target: target.to_owned(),
                headers: headers.iter().copied().collect::<Headers>(),
                ..Request::default()
            },
            ..Exchange::default()
        }
    }

    fn written(exchange: &Exchange, rewrite: &Rewrite) -> String {
        let sender = Sender { seed: 1, run: "0a0b0c0d", session: 0x2a, clone: 3, operation: 255 };
        let mut out = Vec::new();
        Template::new(exchange, &[], rewrite).write_head(&mut out, sender, None, 1);
        String::from_utf8(out).expect("test requests are text")
    }

    const IDENTITY: &str =
        "squall-session: 0a0b0c0d-2a-3\r\nsquall-op: 00000000000000ff\r\nsquall-attempt: 1\r\n\r\n";

    fn target() -> Rewrite {
        Rewrite { host: "127.0.0.1:8080".to_owned(), ..Rewrite::default() }
    }

    #[test]
    fn a_plain_request_goes_to_the_target() {
        let recorded = exchange(
            "GET",
            "/a?b=1",
            &[
                ("Host", "foreign.example.test"),
                ("Accept", "*/*"),
                ("Cookie", "a=1;b=2"),
                ("X-Forwarded-For", "1.1.1.1"),
            ],
        );
        let expect = format!(
            "GET /a?b=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: */*\r\nCookie: a=1; b=2\r\n{IDENTITY}"
        );
        assert_eq!(written(&recorded, &target()), expect);
    }

    #[test]
    fn hop_by_hop_and_own_fields_stay_behind() {
        let recorded = exchange(
            "POST",
            "/",
            &[
                ("Connection", "keep-alive, X-Hop"),
                ("X-Hop", "1"),
                ("Transfer-Encoding", "chunked"),
                ("Content-Length", "99"),
                ("Expect", "100-continue"),
                ("Squall-Op", "1"),
                ("Proxy-Authorization", "secret"),
                ("Upgrade", "h2c"),
            ],
        );
        let expect = format!("POST / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Length: 0\r\n{IDENTITY}");
        assert_eq!(written(&recorded, &target()), expect);
    }

    #[test]
    fn no_byte_of_a_recording_ends_a_line() {
        let recorded = exchange(
            "GET",
            "/a b\r\nX: y\u{fc}#frag",
            &[("X-A", "1\r\nX-B: 2"), ("X C", "3"), ("X-D", "\0")],
        );
        let expect = format!("GET /a%20b%0D%0AX:%20y%C3%BC HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n{IDENTITY}");
        assert_eq!(written(&recorded, &target()), expect);
    }

    #[test]
    fn foreign_targets_become_paths() {
        let check = |target: &str, expect: &str| {
            let mut out = Vec::new();
            push_target(&mut out, target);
            assert_eq!(String::from_utf8_lossy(&out), expect, "{target}");
        };
        check("http://evil.example.test/x?y", "/x?y");
        check("http://evil.example.test", "/");
        check("http://evil.example.test?q", "/?q");
        check("//evil/x", "//evil/x");
        check("/r?to=http://a/b", "/r?to=http://a/b");
        check("", "/");
        check("x", "/x");
        check("*", "*");
    }

    #[test]
    fn own_fields_replace_recorded_ones_and_keys_are_the_clones_own() {
        let mut recorded =
            exchange("PUT", "/", &[("X-A", "old"), ("Idempotency-Key", "42"), ("Accept", "b")]);
        recorded.request.body = Body { len: 10, hash: None, data: Some(Bytes::from_static(b"four")) };
        let rewrite =
            Rewrite { keep_host: true, headers: vec![("x-a".to_owned(), "new".to_owned())], ..target() };
        let text = written(&recorded, &rewrite);
        assert!(
            text.starts_with("PUT / HTTP/1.1\r\nHost: foreign.example.test\r\nIdempotency-Key: "),
            "{text}"
        );
        assert!(text.contains("\r\nAccept: b\r\nx-a: new\r\nContent-Length: 10\r\n"), "{text}");
        assert!(!text.contains("42\r\n") && !text.contains("old"), "{text}");
        assert_eq!(Template::new(&recorded, &[], &rewrite).filler, 6);
    }
}
