//! What an answer gives a client to send back: every value in it, with its place.

use super::place::{Leaf, LeafKind};
use super::walk::{self, Counted};
use super::{html, value};
use crate::limits::{MAX_LINK_BODY, MAX_LINK_VALUES};
use crate::messages::MessageKind;
use crate::redact::{decode_all, form_decode, percent_decode};
use crate::{Exchange, Headers, route};

/// A value that an answer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Where it stands.
    pub leaf: Leaf,
    /// The value, its escapes undone.
    pub value: Vec<u8>,
    /// When it was there, in microseconds since 1970-01-01 UTC.
    pub at_us: u64,
}

/// The values of an answer, as far as it was recorded; at most [`MAX_LINK_VALUES`].
pub fn given(exchange: &Exchange) -> Vec<Given> {
    let Some(response) = &exchange.response else { return Vec::new() };
    let duration = exchange.duration_us.or(exchange.ttfb_us).unwrap_or(0);
    let end_us = exchange.start_us.saturating_add(duration - SLACK_US.min(duration / 4));
    let mut all: Vec<Given> = Vec::new();
    let mut take = |leaf: Leaf, found: &[u8], at_us: u64| {
        if all.len() < MAX_LINK_VALUES && value::is_worth_a_look(found) {
            all.push(Given { leaf, value: found.to_vec(), at_us });
        }
    };
    in_headers(&response.headers, &mut |kind, value| take(Leaf::new(kind), value, end_us));
    let Some(data) = &response.body.data else { return all };
    let Some(plain) = plain(&response.headers, data) else { return all };
    match BodyKind::of(&response.headers, &plain) {
        BodyKind::Json => {
            walk::scalars(&plain, &mut |path, value| {
                take(Leaf::new(LeafKind::Json(path.clone())), value.as_bytes(), end_us);
            });
        }
        BodyKind::Html => {
            let mut counted = Counted::default();
            html::values(&String::from_utf8_lossy(&plain), &mut |kind, value| {
                take(counted.number(kind), value.as_bytes(), end_us);
            });
        }
        BodyKind::Events => {
            let times: Vec<u64> = event_times(exchange).collect();
            let mut counted = Counted::default();
            for (number, event) in events(&plain).into_iter().enumerate() {
                let at_us = times.get(number).map_or(end_us, |at| exchange.start_us.saturating_add(*at));
                walk::scalars(&event, &mut |path, value| {
                    take(counted.number(LeafKind::Event(path.clone())), value.as_bytes(), at_us);
                });
            }
        }
        BodyKind::Other => {}
    }
    all
}

/// The values in the fields of an answer's head.
fn in_headers(headers: &Headers, found: &mut dyn FnMut(LeafKind, &[u8])) {
    for (name, value) in headers.iter() {
        in_header(name, value, found);
    }
}

/// The values in one field of an answer's head.
pub fn in_header(name: &str, value: &[u8], found: &mut dyn FnMut(LeafKind, &[u8])) {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    if is("set-cookie") {
        let pair = value.split(|byte| *byte == b';').next().unwrap_or_default();
        if let Some(equals) = pair.iter().position(|byte| *byte == b'=') {
            let (name, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
            found(LeafKind::SetCookie(String::from_utf8_lossy(name).into_owned()), value);
        }
    } else if is("location") {
        in_location(value, found);
    } else if !DULL.iter().any(|dull| is(dull)) {
        found(LeafKind::Header(name.to_ascii_lowercase()), value.trim_ascii());
    }
}

/// Path segments that are identifiers, and the query.
fn in_location(value: &[u8], found: &mut dyn FnMut(LeafKind, &[u8])) {
    let text = String::from_utf8_lossy(value);
    let text = text.split('#').next().unwrap_or_default();
    let path = text.split_once("://").map_or(text, |(_, rest)| rest.find('/').map_or("", |at| &rest[at..]));
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    for (number, segment) in path.split('/').enumerate().skip(1) {
        found(LeafKind::RedirectPath(number as u32), &percent_decode(segment.as_bytes()));
    }
    for (name, value) in pairs(query.as_bytes()) {
        found(LeafKind::RedirectQuery(name), &value);
    }
}

/// `name=value&…`, decoded.
pub(super) fn pairs(text: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    text.split(|byte| *byte == b'&').filter_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let name = String::from_utf8_lossy(&form_decode(&pair[..equals])).into_owned();
        Some((name, form_decode(&pair[equals + 1..])))
    })
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// JSON.
    Json,
    /// HTML.
    Html,
    /// Server-sent events.
    Events,
    /// Nothing that is looked into.
    Other,
}

impl BodyKind {
    /// By its type; without one, by how it begins.
    pub fn of(headers: &Headers, plain: &[u8]) -> BodyKind {
        BodyKind::of_type(headers.get_str("content-type").unwrap_or_default(), plain)
    }

    /// As [`BodyKind::of`].
    pub fn of_type(content_type: &str, plain: &[u8]) -> BodyKind {
        let kind = content_type.to_ascii_lowercase();
        let first = plain.trim_ascii_start().first();
        match kind.as_str() {
            _ if kind.contains("json") => BodyKind::Json,
            _ if kind.contains("html") => BodyKind::Html,
            _ if kind.contains("event-stream") => BodyKind::Events,
            "" if matches!(first, Some(b'{' | b'[')) => BodyKind::Json,
            _ => BodyKind::Other,
        }
    }
}

/// A body without its content coding; `None` where that cannot be undone, or it is too large.
pub(super) fn plain<'b>(headers: &Headers, data: &'b [u8]) -> Option<std::borrow::Cow<'b, [u8]>> {
    uncoded(headers.get_str("content-encoding").unwrap_or_default(), data)
}

/// As [`plain`], the coding being named.
pub fn uncoded<'b>(coding: &str, data: &'b [u8]) -> Option<std::borrow::Cow<'b, [u8]>> {
    let coding = coding.trim().to_ascii_lowercase();
    match coding.as_str() {
        _ if MAX_LINK_BODY < data.len() => None,
        "" | "identity" => Some(data.into()),
        coding => decode_all(coding, data).filter(|plain| plain.len() <= MAX_LINK_BODY).map(Into::into),
    }
}

/// The value of a leaf in an HTML page.
pub fn in_page(page: &[u8], leaf: &Leaf) -> Option<Vec<u8>> {
    let mut left = leaf.nth;
    let mut value = None;
    html::values(&String::from_utf8_lossy(page), &mut |kind, found| {
        if kind != leaf.kind || value.is_some() {
            return;
        }
        match left {
            0 => value = Some(found.as_bytes().to_vec()),
            _ => left -= 1,
        }
    });
    value
}

/// The data of each event that ended, its lines joined.
pub fn events(text: &[u8]) -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    let mut data: Vec<u8> = Vec::new();
    let mut is_event = false;
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            if std::mem::take(&mut is_event) {
                events.push(std::mem::take(&mut data));
            }
            continue;
        }
        is_event |= !line.starts_with(b":");
        if let Some(value) = line.strip_prefix(b"data:") {
            if !data.is_empty() {
                data.push(b'\n');
            }
            data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        }
    }
    events
}

fn event_times(exchange: &Exchange) -> impl Iterator<Item = u64> {
    let messages = exchange.stream.iter().flat_map(|stream| &stream.messages);
    messages.filter(|message| message.kind == MessageKind::Event).map(|message| message.at_us)
}

/// Whether a segment of a path identifies something, rather than naming it.
pub(super) fn is_id(segment: &str) -> bool {
    route::template(segment) == "{id}"
}

/// How much later than the client a recorder may note the end of an answer.
const SLACK_US: u64 = 1_000;
/// Fields that say how to read the answer, or who answered.
const DULL: [&str; 22] = [
    "accept-ranges",
    "age",
    "allow",
    "cache-control",
    "connection",
    "content-encoding",
    "content-language",
    "content-length",
    "content-type",
    "date",
    "expires",
    "keep-alive",
    "server",
    "server-timing",
    "strict-transport-security",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "x-frame-options",
    "x-powered-by",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Body;
    use crate::exchange::Response;

    fn leaves(headers: &[(&str, &str)], body: &[u8]) -> Vec<String> {
        let response = Response {
            status: 200,
            headers: headers.iter().copied().collect(),
            body: Body::whole(body.to_vec()),
        };
        let exchange = Exchange { response: Some(response), ..Exchange::default() };
        let shown = |given: &Given| format!("{}={}", given.leaf, String::from_utf8_lossy(&given.value));
        given(&exchange).iter().map(shown).collect()
    }

    #[test]
    fn heads_give_cookies_tags_and_redirects() {
        let headers = [
            ("Set-Cookie", "sid = abc123 ; Path=/"),
            ("ETag", "\"v17\""),
            ("Date", "today"),
            ("Location", "https://shop.test/orders/77?state=a%20b&next#frag"),
        ];
        let expected = [
            "set-cookie:sid=abc123",
            "header:etag=\"v17\"",
            "redirect-path:1=orders",
            "redirect-path:2=77",
            "redirect-query:state=a b",
        ];
        assert_eq!(leaves(&headers, b""), expected);
    }

    #[test]
    fn bodies_are_looked_into_by_their_type() {
        let json = br#"{"token":"abc","items":[{"id":1},{"id":22}],"on":true,"no":null,"s":"x"}"#;
        let expected = ["json:$.token=abc", "json:$.items[0].id=1", "json:$.items[1].id=22"];
        assert_eq!(leaves(&[("content-type", "application/problem+json")], json), expected);
        assert_eq!(leaves(&[], json), expected);
        assert_eq!(leaves(&[("content-type", "text/plain")], json), [""; 0]);
        assert_eq!(leaves(&[("content-type", "application/json")], b"{\"a\":"), [""; 0]);
        let page = b"<input name=csrf value=one><input name=csrf value=two>";
        let expected = ["html-field:csrf=one", "html-field:csrf#1=two"];
        assert_eq!(leaves(&[("content-type", "text/html; charset=utf-8")], page), expected);
        let stream =
            b": hello\n\ndata: {\"id\":\ndata: 1}\r\n\r\nevent: x\ndata:{\"id\":22}\n\ndata: {\"id\":3";
        let expected = ["event:$.id=1", "event:$.id#1=22"];
        assert_eq!(leaves(&[("content-type", "text/event-stream")], stream), expected);
    }

    #[test]
    fn coded_bodies_are_decoded_and_unknown_ones_left() {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"{\"token\":\"abc\"}").unwrap();
        let packed = encoder.finish().unwrap();
        let kind = ("content-type", "application/json");
        assert_eq!(leaves(&[kind, ("content-encoding", "gzip")], &packed), ["json:$.token=abc"]);
        assert_eq!(leaves(&[kind, ("content-encoding", "snappy")], &packed), [""; 0]);
        assert_eq!(leaves(&[kind, ("content-encoding", "gzip")], b"no gzip"), [""; 0]);
    }
}
