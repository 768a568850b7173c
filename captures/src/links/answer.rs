//! What an answer gives a client to send back: every value in it, with its place.

use std::borrow::Cow;

use super::place::{Leaf, LeafKind, Within};
use super::prints::{self, Print};
use super::walk::{self, Counted};
use super::{html, value};
use crate::limits::{MAX_LINK_BODY, MAX_LINK_VALUES};
use crate::messages::MessageKind;
use crate::redact::{decode_to, form_decode, percent_decode};
use crate::{Exchange, Headers, route};

/// A value that an answer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Where it stands.
    pub leaf: Leaf,
    /// The value, its escapes undone; empty where only its print is there.
    pub value: Vec<u8>,
    /// When it was there, in microseconds since 1970-01-01 UTC.
    pub at_us: u64,
    /// What stands for the value where the answer was recorded with prints.
    pub print: Option<Print>,
}

impl Given {
    /// The same for equal values of one capture, in answers and requests.
    pub fn id(&self) -> u64 {
        Print::id(self.print, &self.value)
    }
}

/// The values of an answer, as far as it was recorded; at most [`MAX_LINK_VALUES`]. Where its body is not there, what its
/// prints name: see [`prints`].
pub fn given(exchange: &Exchange) -> Vec<Given> {
    let Some(response) = &exchange.response else { return Vec::new() };
    let times = Times::of(exchange);
    if let Some(all) = prints::given(response, &times) {
        return all;
    }
    let mut all: Vec<Given> = Vec::new();
    let data = response.body.data.as_deref();
    each(&response.headers, data, MAX_LINK_BODY, &value::is_worth_a_look, &mut |leaf, found, event| {
        if all.len() < MAX_LINK_VALUES {
            all.push(Given { leaf, value: found.to_vec(), at_us: times.at(event), print: None });
        }
    });
    all
}

/// When the values of an answer were there.
#[derive(Default)]
pub(super) struct Times {
    start_us: u64,
    end_us: u64,
    events: Vec<u64>,
}

impl Times {
    fn of(exchange: &Exchange) -> Times {
        let duration = exchange.duration_us.or(exchange.ttfb_us).unwrap_or(0);
        Times {
            start_us: exchange.start_us,
            end_us: exchange.start_us.saturating_add(duration - SLACK_US.min(duration / 4)),
            events: event_times(exchange).collect(),
        }
    }

    /// Of a value in event `event`, from 0, or elsewhere.
    pub(super) fn at(&self, event: Option<usize>) -> u64 {
        let known = event.and_then(|event| self.events.get(event));
        known.map_or(self.end_us, |at| self.start_us.saturating_add(*at))
    }
}

/// Told of each value: where it stands, what it is, and the number of its event.
pub(super) type Met<'a> = dyn FnMut(Leaf, &[u8], Option<usize>) + 'a;

/// Names the values of an answer that `wanted` takes, in order, each with the number of the event that it stands in.
/// Whether the body, which is as it was transferred and unpacks to at most `max` bytes, could be looked into.
pub(super) fn each(
    headers: &Headers,
    body: Option<&[u8]>,
    max: usize,
    wanted: &dyn Fn(&[u8]) -> bool,
    found: &mut Met<'_>,
) -> bool {
    in_head(headers, wanted, found);
    let opened = body.and_then(|body| opened(headers, body, max));
    opened.is_some_and(|(kind, plain)| in_body(kind, &plain, wanted, found))
}

/// A body without its content coding, and what it is; `None` where it cannot be looked into, as [`each`] says.
pub(super) fn opened<'b>(headers: &Headers, body: &'b [u8], max: usize) -> Option<(BodyKind, Cow<'b, [u8]>)> {
    let plain = plain(headers, body, max)?;
    Some((BodyKind::of(headers, &plain), plain))
}

/// As [`each`], of a body that is open.
pub(super) fn in_body(
    kind: BodyKind,
    plain: &[u8],
    wanted: &dyn Fn(&[u8]) -> bool,
    found: &mut Met<'_>,
) -> bool {
    if kind == BodyKind::Json {
        return in_json(plain, wanted, found);
    }
    let mut counted = Counted::default();
    let mut take = |kind, value: &[u8], event| {
        let leaf = counted.number(kind);
        if wanted(value) {
            found(leaf, value, event);
        }
    };
    match kind {
        BodyKind::Html => {
            // a page that was cut ends in a tag that was cut
            let end = plain.iter().rposition(|byte| *byte == b'>').map_or(0, |at| at + 1);
            let page = String::from_utf8_lossy(&plain[..end]);
            html::values(&page, &mut |kind, value| take(kind, value, None));
        }
        BodyKind::Events => {
            for (number, event) in events(plain).into_iter().enumerate() {
                walk::scalars(&event, &mut |path, value| {
                    take(LeafKind::Event(path.clone()), value.as_bytes(), Some(number));
                    address_parts(value, &mut |part, value| {
                        take(part.within(Within::Event(path.clone())), value, Some(number));
                    });
                });
            }
        }
        BodyKind::Json | BodyKind::Other => {}
    }
    true
}

fn in_json(plain: &[u8], wanted: &dyn Fn(&[u8]) -> bool, found: &mut Met<'_>) -> bool {
    walk::scalars(plain, &mut |path, value| {
        if wanted(value.as_bytes()) {
            found(Leaf::new(LeafKind::Json(path.clone())), value.as_bytes(), None);
        }
        address_parts(value, &mut |part, value| {
            if wanted(value) {
                found(Leaf::new(part.within(Within::Json(path.clone()))), value, None);
            }
        });
    })
}

/// The values in the fields of an answer's head that `wanted` takes.
pub(super) fn in_head(headers: &Headers, wanted: &dyn Fn(&[u8]) -> bool, found: &mut Met<'_>) {
    for (name, value) in headers.iter() {
        in_header(name, value, &mut |kind, value| {
            if wanted(value) {
                found(Leaf::new(kind), value, None);
            }
        });
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

/// Path segments, and the query.
fn in_location(value: &[u8], found: &mut dyn FnMut(LeafKind, &[u8])) {
    let text = String::from_utf8_lossy(value);
    let (path, query) = path_and_query(&text);
    for (number, segment) in path.split('/').enumerate().skip(1) {
        found(LeafKind::RedirectPath(number as u32), &percent_decode(segment.as_bytes()));
    }
    for (name, value) in pairs(query.as_bytes()) {
        found(LeafKind::RedirectQuery(name), &value);
    }
}

pub(super) fn path_and_query(address: &str) -> (&str, &str) {
    let text = address.split('#').next().unwrap_or_default();
    let host = text.strip_prefix("//").or_else(|| text.split_once("://").map(|(_, rest)| rest));
    let path = host.map_or(text, |rest| rest.find(['/', '?']).map_or("", |at| &rest[at..]));
    path.split_once('?').unwrap_or((path, ""))
}

/// A part of an address.
pub(super) enum AddressPart {
    /// A segment of its path, from 1.
    Path(u32),
    /// A parameter of its query.
    Query(String),
}

impl AddressPart {
    pub(super) fn within(self, within: Within) -> LeafKind {
        match self {
            AddressPart::Path(segment) => LeafKind::AddressPath(segment, within),
            AddressPart::Query(name) => LeafKind::AddressQuery(name, within),
        }
    }
}

/// What a text says if it is an address: path segments that are identifiers, and the query.
pub(super) fn address_parts(text: &str, found: &mut dyn FnMut(AddressPart, &[u8])) {
    if !is_whole(text) || LONGEST_ADDRESS < text.len() || text.contains(char::is_whitespace) {
        return;
    }
    let (path, query) = path_and_query(text);
    for (number, segment) in path.split('/').enumerate().filter(|(_, segment)| is_id(segment)) {
        found(AddressPart::Path(number as u32), &percent_decode(segment.as_bytes()));
    }
    for (name, value) in pairs(query.as_bytes()) {
        found(AddressPart::Query(name), &value);
    }
}

/// Whether a text begins as an address does that says where it is.
pub(super) fn is_whole(text: &str) -> bool {
    ["/", "?", "http://", "https://"].iter().any(|start| text.starts_with(start))
}

/// The value of that part of an address; a new one need not look like an identifier.
pub fn in_address(address: &str, part: &LeafKind) -> Option<Vec<u8>> {
    let (path, query) = path_and_query(address);
    match part {
        LeafKind::AddressPath(segment, _) => {
            path.split('/').nth(*segment as usize).map(|segment| percent_decode(segment.as_bytes()))
        }
        LeafKind::AddressQuery(name, _) => {
            pairs(query.as_bytes()).find(|(found, _)| found == name).map(|(_, value)| value)
        }
        _ => None,
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

/// A body without its content coding; `None` where that cannot be undone, or it is larger than `max` before or after.
pub(super) fn plain<'b>(headers: &Headers, data: &'b [u8], max: usize) -> Option<Cow<'b, [u8]>> {
    uncoded_to(headers.get_str("content-encoding").unwrap_or_default(), data, max)
}

/// A body without the content coding that is named; `None` where that cannot be undone, or it is too large.
pub fn uncoded<'b>(coding: &str, data: &'b [u8]) -> Option<Cow<'b, [u8]>> {
    uncoded_to(coding, data, MAX_LINK_BODY)
}

fn uncoded_to<'b>(coding: &str, data: &'b [u8], max: usize) -> Option<Cow<'b, [u8]>> {
    let coding = coding.trim().to_ascii_lowercase();
    match coding.as_str() {
        _ if max < data.len() => None,
        "" | "identity" => Some(data.into()),
        coding => decode_to(coding, data, max as u64).map(Into::into),
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
            0 => value = Some(found.to_vec()),
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

/// Longer texts are documents.
const LONGEST_ADDRESS: usize = 4096;
/// How much later than the client a recorder may note the end of an answer.
const SLACK_US: u64 = 1_000;
/// Fields that say how to read the answer, or who answered.
const DULL: [&str; 24] = [
    prints::LEAVES,
    prints::SLOTS,
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
    fn a_part_of_an_address_is_taken_whatever_it_looks_like() {
        let taken = |address: &str, part: &str| {
            let leaf: Leaf = part.parse().unwrap();
            in_address(address, &leaf.kind).map(|value| String::from_utf8(value).unwrap())
        };
        let check = |address: &str, part: &str, expect: Option<&str>| {
            assert_eq!(taken(address, part).as_deref(), expect, "{part} of {address}");
        };
        check("https://files.test/put/some-words?sig=a%2Fb", "json-path:2 $.upload", Some("some-words"));
        check("/put/some-words?sig=a%2Fb", "json-query:sig $.upload", Some("a/b"));
        check("/put", "json-path:2 $.upload", None);
        check("/put?sig", "json-query:sig $.upload", None);
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
