//! What a request carries that may have come from an answer: every value in it, with its place.

use super::answer::{BodyKind, is_id, pairs, plain};
use super::place::Slot;
use super::prints::{self, Print};
use super::{value, walk};
use crate::exchange::Request;
use crate::limits::{MAX_LINK_BODY, MAX_LINK_VALUES};
use crate::redact::percent_decode;
use crate::{Exchange, multipart};

/// A value that a request carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Where it stands.
    pub slot: Slot,
    /// The value, its escapes undone.
    pub value: Vec<u8>,
    /// What stands for the value where the exchange was recorded with prints.
    pub print: Option<Print>,
}

impl Carried {
    /// The same for equal values of one capture, in answers and requests.
    pub fn id(&self) -> u64 {
        Print::id(self.print, &self.value)
    }
}

/// The values of the request of an exchange, with their prints where it was recorded with such.
pub fn sent(exchange: &Exchange) -> Vec<Carried> {
    let mut all = carried(&exchange.request);
    if let Some(response) = &exchange.response {
        prints::add(response, &mut all);
    }
    all
}

/// The values of a request; at most [`MAX_LINK_VALUES`].
pub fn carried(request: &Request) -> Vec<Carried> {
    let mut all = Vec::new();
    let mut take = |slot: Slot, found: &[u8]| {
        if all.len() < MAX_LINK_VALUES && value::is_worth_a_look(found) {
            all.push(Carried { slot, value: found.to_vec(), print: None });
        }
    };
    for (number, segment) in request.path().split('/').enumerate().filter(|(_, segment)| is_id(segment)) {
        take(Slot::Path(number as u32), &percent_decode(segment.as_bytes()));
    }
    if let Some((_, query)) = request.target.split_once('?') {
        pairs(query.as_bytes()).for_each(|(name, value)| take(Slot::Query(name), &value));
    }
    for (name, value) in request.headers.iter() {
        let is = |known: &&str| name.eq_ignore_ascii_case(known);
        if is(&"cookie") {
            cookies(value).for_each(|(name, value)| take(Slot::Cookie(name), value));
        } else if !OWN.iter().any(is)
            && !name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("squall-"))
        {
            let (word, value) = scheme(name, value);
            take(Slot::Header(name.to_ascii_lowercase(), word), value);
        }
    }
    in_body(request, &mut take);
    all
}

fn in_body(request: &Request, take: &mut dyn FnMut(Slot, &[u8])) {
    let Some(data) = request.body.data.as_ref().filter(|_| request.body.is_whole()) else { return };
    let Some(body) = plain(&request.headers, data, MAX_LINK_BODY) else { return };
    let kind = request.headers.get_str("content-type").unwrap_or_default();
    if kind.to_ascii_lowercase().contains("form-urlencoded") {
        pairs(&body).for_each(|(name, value)| take(Slot::Form(name), &value));
    } else if multipart::is_form(kind) {
        for (name, range) in multipart::fields(kind, &body) {
            take(Slot::Form(name), &body[range]);
        }
    } else if BodyKind::of(&request.headers, &body) == BodyKind::Json {
        walk::scalars(&body, &mut |path, value| take(Slot::Json(path.clone()), value.as_bytes()));
    }
}

/// The word before the credentials in `Authorization: Bearer …`, in lower case, and what follows it.
pub fn scheme<'v>(name: &str, value: &'v [u8]) -> (String, &'v [u8]) {
    let value = value.trim_ascii();
    let ends = name.len().saturating_sub("authorization".len());
    let is_authorization = name.as_bytes()[ends..].eq_ignore_ascii_case(b"authorization");
    let space = value.iter().position(|byte| *byte == b' ').filter(|_| is_authorization);
    match space {
        Some(at) => {
            let word = String::from_utf8_lossy(&value[..at]).to_ascii_lowercase();
            (word, value[at..].trim_ascii_start())
        }
        None => (String::new(), value),
    }
}

/// `a=1; b=2`.
fn cookies(header: &[u8]) -> impl Iterator<Item = (String, &[u8])> {
    header.split(|byte| *byte == b';').filter_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let name = String::from_utf8_lossy(pair[..equals].trim_ascii()).into_owned();
        Some((name, pair[equals + 1..].trim_ascii()))
    })
}

/// Fields that no answer gives: what the client is, what it takes, names that it makes up for one operation.
const OWN: [&str; 26] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "dnt",
    "expect",
    "host",
    "idempotency-key",
    "origin",
    "pragma",
    "referer",
    "te",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-correlation-id",
    "x-idempotency-key",
    "x-request-id",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Body;

    #[test]
    fn every_part_of_a_request_is_looked_at() {
        let slots = |target: &str, headers: &[(&str, &str)], body: &str| {
            let request = Request {
                target: target.to_owned(),
                headers: headers.iter().copied().collect(),
                body: Body::whole(body.as_bytes().to_vec()),
                ..Request::default()
            };
            let shown =
                |carried: &Carried| format!("{}={}", carried.slot, String::from_utf8_lossy(&carried.value));
            carried(&request).iter().map(shown).collect::<Vec<_>>()
        };
        let headers = [
            ("Host", "shop.test"),
            ("Authorization", "Bearer  abc"),
            ("If-Match", "\"v1\""),
            ("Cookie", "sid=s1d; theme=dark"),
            ("Idempotency-Key", "made-up"),
            ("content-type", "application/json"),
        ];
        let body = r#"{"items":[{"id":7}],"ok":true}"#;
        let expected = [
            "path:2=77",
            "query:q=a b",
            "header:authorization bearer=abc",
            "header:if-match=\"v1\"",
            "cookie:sid=s1d",
            "cookie:theme=dark",
            "json:$.items[0].id=7",
        ];
        assert_eq!(slots("/orders/77/pay?q=a+b&x", &headers, body), expected);
        let form = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        assert_eq!(slots("/", &form, "csrf=t%20k&b=22"), ["form:csrf=t k", "form:b=22"]);
    }
}
