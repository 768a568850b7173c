//! A recorded request as bytes for the target, with holes for what differs from clone to clone: as an HTTP/1.1 head,
//! or as an HTTP/2 header block of literals that is the same on any connection.
//!
//! Only what a client means goes out again: hop-by-hop fields, what proxies added, and our own headers stay behind;
//! no byte of a recording can end a line or a head early.

pub(crate) mod write;

use bytes::Bytes;
use captures::Exchange;
use captures::messages::StreamKind;

use crate::cookies::{RecordedCookie, RecordedCookies};
use crate::h2::hpack;
use crate::identity::{Key, KeyShape};
use crate::plan::compile::links::Use;
use crate::plan::substitute::{BodyWork, Escape, Holes, Pieces, Rules, Spot, push_with_spots};
use crate::traces::Name;

/// How requests are written for the target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rewrite {
    /// The Host header.
    pub(crate) host: String,
    /// The target is spoken to over TLS.
    pub(crate) https: bool,
    /// Sends the recorded host instead.
    pub(crate) keep_host: bool,
    /// Fields in place of recorded ones.
    pub(crate) headers: Vec<(String, String)>,
}

/// How all requests of a plan are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style<'a> {
    pub(crate) rewrite: &'a Rewrite,
    pub(crate) rules: &'a Rules,
    pub(crate) http2: bool,
}

/// What a request owes to the answers before it in its session.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Own<'a> {
    /// Names of the cookies that the server had set by then.
    pub(crate) issued: &'a [Vec<u8>],
    /// What links carry into it.
    pub(crate) uses: &'a [Use],
}

/// The bytes of one step, each part as it is stored.
#[derive(Debug, Default)]
pub(crate) struct Template {
    /// All up to the cookies; of a substituted step only its target.
    pub(crate) head: Vec<u8>,
    /// Where in the head the path lies.
    pub(crate) path: (u32, u32),
    /// Where keys go into the head, ascending.
    pub(crate) keys: Vec<u8>,
    /// A packed list of recorded cookies.
    pub(crate) cookies: Vec<u8>,
    /// Of a substituted step: the length of the head's operations, those, and those of the body.
    pub(crate) pieces: Vec<u8>,
    /// What was recorded of the body.
    pub(crate) body: Bytes,
    /// Bytes of the body that were not recorded, sent as spaces.
    pub(crate) filler: u64,
    /// The head says a `traceparent`, recorded or set.
    pub(crate) traced: bool,
    /// A substitution might concern the body, which was not recorded whole and in the clear.
    pub(crate) unreadable: bool,
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
    /// The span that goes out for it, where it is sampled.
    pub(crate) trace: Option<Name>,
}

impl Sender<'_> {
    /// Appends its own value of a recorded key.
    pub(crate) fn push_key(&self, out: &mut Vec<u8>, key: &Key) {
        match self.trace.filter(|_| key.shape == KeyShape::Trace) {
            Some(name) => name.push(out),
            None => key.push(out, self.seed, self.session, self.clone),
        }
    }
}

/// The value of a field.
enum Value<'a> {
    Bytes(&'a [u8]),
    Key(Key),
    Slot(&'a [u8]),
    /// Length of the body.
    Length,
}

/// Writes a head field by field.
struct Head {
    http2: bool,
    traced: bool,
    pieces: Pieces,
    /// Where the path begins in its text.
    path_at: usize,
}

impl Template {
    /// The request of `exchange`.
    pub(crate) fn new(exchange: &Exchange, own: Own<'_>, style: Style<'_>) -> Template {
        let request = &exchange.request;
        let holes = Holes::new(own.uses);
        let body_work = holes.in_body(exchange, style.rules.in_body(exchange));
        let mut target = Vec::with_capacity(request.target.len() + 1);
        push_target(&mut target, &request.target);
        let mut head = Head { http2: style.http2, traced: false, pieces: Pieces::default(), path_at: 0 };
        let host = host(exchange, style.rewrite);
        let spots = holes.in_target(&target, style.rules.in_target(&target));
        head.request_line(&request.method, (&target, &spots), (host, style.rewrite.https));
        fields(&mut head, exchange, &holes, style);
        if !holes.is_empty() {
            head.pieces.make_dynamic();
        }
        let body = request.body.data.clone().unwrap_or_default();
        let filler = request.body.len.saturating_sub(body.len() as u64);
        let length = body.len() as u64 + filler;
        if matches!(body_work, BodyWork::Spots(_)) {
            head.field("Content-Length", Value::Length);
        } else if length > 0 || says_empty(exchange) {
            let mut digits = itoa::Buffer::new();
            head.field("Content-Length", Value::Bytes(digits.format(length).as_bytes()));
        }
        let path_len = target.iter().position(|b| *b == b'?').unwrap_or(target.len());
        let mut template = Template {
            cookies: cookies(exchange, own.issued, &holes),
            body,
            filler,
            traced: head.traced,
            unreadable: body_work == BodyWork::Unreadable,
            ..Template::default()
        };
        if head.pieces.is_dynamic() {
            template.head = target;
            template.path = (0, path_len as u32);
            template.pieces = stored(&head.pieces, &template.body, &body_work);
        } else {
            let flat = head.pieces.flatten();
            template.path = (head.path_at as u32, (head.path_at + path_len) as u32);
            (template.head, template.keys) = (flat.head, flat.keys);
        }
        template
    }
}

impl Head {
    fn request_line(
        &mut self,
        method: &str,
        (target, spots): (&[u8], &[Spot<'_>]),
        (host, https): (&[u8], bool),
    ) {
        if !self.http2 {
            self.pieces.text(method.as_bytes());
            self.pieces.text(b" ");
            self.path_at = self.pieces.text_len();
            push_with_spots(&mut self.pieces, target, spots);
            self.pieces.text(b" HTTP/1.1\r\n");
            return self.field("Host", Value::Bytes(host));
        }
        let mut block = Vec::with_capacity(64 + target.len());
        hpack::push(&mut block, b":method", method.as_bytes());
        hpack::push(&mut block, b":scheme", if https { b"https" } else { b"http" });
        hpack::push_name(&mut block, b":authority");
        hpack::push_value(&mut block, host);
        hpack::push_name(&mut block, b":path");
        if spots.is_empty() {
            // in full even where the static table has it: the path is read from here
            hpack::push_value(&mut block, target);
            self.path_at = block.len() - target.len();
            return self.pieces.text(&block);
        }
        self.pieces.text(&block);
        self.pieces.open();
        push_with_spots(&mut self.pieces, target, spots);
        self.pieces.close();
    }

    fn field(&mut self, name: &str, value: Value<'_>) {
        self.traced |= name.eq_ignore_ascii_case("traceparent");
        if self.http2 {
            return self.field_h2(name, value);
        }
        self.pieces.text(name.as_bytes());
        self.pieces.text(b": ");
        match value {
            Value::Bytes(value) => self.pieces.text(value),
            Value::Key(key) => self.pieces.key(&key),
            Value::Slot(template) => self.pieces.slot(Escape::Field, template),
            Value::Length => self.pieces.length(),
        }
        self.pieces.text(b"\r\n");
    }

    fn field_h2(&mut self, name: &str, value: Value<'_>) {
        let mut literal = Vec::with_capacity(name.len() + 8);
        hpack::push_name(&mut literal, name.to_ascii_lowercase().as_bytes());
        match value {
            Value::Bytes(value) => {
                hpack::push_value(&mut literal, value.trim_ascii());
                self.pieces.text(&literal);
            }
            Value::Key(key) => {
                hpack::push_integer(&mut literal, 0, 7, key.shape.len());
                self.pieces.text(&literal);
                self.pieces.key(&key);
            }
            Value::Slot(_) | Value::Length => {
                self.pieces.text(&literal);
                self.pieces.open();
                match value {
                    Value::Slot(template) => self.pieces.slot(Escape::Field, template),
                    _ => self.pieces.length(),
                }
                self.pieces.close();
            }
        }
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

/// The fields of a request, recorded ones first, then those that are set.
fn fields(head: &mut Head, exchange: &Exchange, holes: &Holes<'_>, style: Style<'_>) {
    let dropped = named_by_connection(exchange);
    for (name, value) in exchange.request.headers.iter() {
        let trailers = style.http2 && name.eq_ignore_ascii_case("te") && value == b"trailers"; // gRPC insists on it
        if trailers || goes_on(name, value, &dropped, style) {
            let hole = holes.in_header(name, value);
            let value = match (Key::of(name, value), &hole) {
                (Some(key), _) => Value::Key(key),
                (None, Some(template)) => Value::Slot(template),
                (None, None) => Value::Bytes(value),
            };
            head.field(name, value);
        }
    }
    for (name, value) in &style.rewrite.headers {
        if !name.eq_ignore_ascii_case("host") && !style.rules.sets_header(name) {
            head.field(name, Value::Bytes(value.as_bytes()));
        }
    }
    for (name, template) in style.rules.headers() {
        head.field(name, Value::Slot(template));
    }
}

fn goes_on(name: &str, value: &[u8], dropped: &[String], style: Style<'_>) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let ours = name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("squall-"));
    !(ours
        || LEFT_BEHIND.iter().any(|known| is(known))
        || dropped.iter().any(|known| is(known))
        || style.rewrite.headers.iter().any(|(known, _)| is(known))
        || style.rules.sets_header(name))
        && is_token(name.as_bytes())
        && is_clean(value)
}

fn cookies(exchange: &Exchange, issued: &[Vec<u8>], holes: &Holes<'_>) -> Vec<u8> {
    let mut packed = Vec::new();
    for header in exchange.request.headers.get_all("cookie") {
        for (name, value) in RecordedCookie::split(header) {
            if is_clean(name) && is_clean(value) {
                let issued = issued.iter().any(|known| known == name);
                let value = if issued { b"" } else { value }; // it is never sent
                let linked = holes.in_cookie(name).filter(|_| !issued);
                RecordedCookies::push(&mut packed, RecordedCookie { name, value, issued, linked });
            }
        }
    }
    packed
}

/// Head and body of a substituted step as they are stored.
fn stored(head: &Pieces, body: &[u8], work: &BodyWork<'_>) -> Vec<u8> {
    let mut in_body = Pieces::default();
    if let BodyWork::Spots(spots) = work {
        push_with_spots(&mut in_body, body, spots);
    }
    let head = head.bytes();
    let length = (head.len() as u32).to_le_bytes();
    [&length, head, in_body.bytes()].concat()
}

/// Whether a request without a body says so. That of a gRPC call may come later, message by message.
fn says_empty(exchange: &Exchange) -> bool {
    let is_call = exchange.stream.as_ref().is_some_and(|stream| stream.kind == StreamKind::Grpc);
    !is_call && matches!(exchange.request.method.as_str(), "POST" | "PUT" | "PATCH")
}

fn named_by_connection(exchange: &Exchange) -> Vec<String> {
    let values = exchange.request.headers.get_all("connection");
    let text = values.filter_map(|value| std::str::from_utf8(value).ok());
    text.flat_map(|value| value.split(',')).map(|name| name.trim().to_owned()).collect()
}

fn host<'a>(exchange: &'a Exchange, rewrite: &'a Rewrite) -> &'a [u8] {
    let own = rewrite.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let recorded = || {
        let named = Some(exchange.request.authority.as_bytes()).filter(|host| !host.is_empty());
        let named = named.or_else(|| exchange.request.headers.get("host"));
        named.filter(|host| rewrite.keep_host && is_clean(host))
    };
    match own {
        Some((_, value)) => value.as_bytes(),
        None => recorded().unwrap_or(rewrite.host.as_bytes()),
    }
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

/// Fields about one connection or one path through proxies, and those that we write ourselves.
const LEFT_BEHIND: [&str; 26] = [
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
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
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
mod tests;
