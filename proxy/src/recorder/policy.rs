//! What a recording keeps of bodies, and of the headers of answers.

use std::fmt;
use std::str::FromStr;

use captures::limits::MAX_PRINT_BODY;
use captures::links::{LEAVES, SLOTS, is_kind_looked_into};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use pingora_http::ResponseHeader;

use crate::cli::bytes;
use crate::exchange::{Heads, is_squall_header};

/// What is kept of the bodies of one direction. Where a size is left open it is [`crate::Config::body_limit`], of
/// leaves [`MAX_PRINT_BODY`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyPolicy {
    /// The length.
    None,
    /// Length and hash.
    Digest,
    /// Of answers: the same, and prints of the values that later requests may carry ([`captures::links::Printer`]), of the
    /// first bytes, at most so many.
    Leaves(Option<usize>),
    /// The first bytes, at most so many, with length and hash of all of it.
    Head(Option<usize>),
    /// All of a body of at most so many bytes; of a larger one length and hash. Of answers, all header fields too.
    Full(Option<usize>),
}

/// What is kept of bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordBodies {
    /// Of requests.
    pub request: BodyPolicy,
    /// Of answers.
    pub response: BodyPolicy,
}

/// What a copy of a body keeps while it passes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keep {
    /// At most so many bytes.
    pub(crate) limit: usize,
    /// Nothing of a body that has more.
    pub(crate) whole_only: bool,
    /// A hash of what is not kept whole.
    pub(crate) hash: bool,
}

impl Default for RecordBodies {
    /// Requests can be sent again; answers can be compared.
    fn default() -> RecordBodies {
        RecordBodies { request: BodyPolicy::Head(None), response: BodyPolicy::Leaves(None) }
    }
}

impl BodyPolicy {
    pub(crate) fn keep(self, body_limit: usize) -> Keep {
        let of = |limit: usize, whole_only: bool| Keep { limit, whole_only, hash: true };
        match self {
            BodyPolicy::None => Keep::default(),
            BodyPolicy::Digest | BodyPolicy::Leaves(_) => of(0, false),
            BodyPolicy::Head(limit) => of(limit.unwrap_or(body_limit), false),
            BodyPolicy::Full(cap) => of(cap.unwrap_or(body_limit), true),
        }
    }

    /// What a copy of the body of an answer with these header fields keeps until it is recorded.
    pub(crate) fn keep_answer(self, headers: &HeaderMap, body_limit: usize) -> Keep {
        let BodyPolicy::Leaves(cap) = self else { return self.keep(body_limit) };
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| std::str::from_utf8(kind.as_bytes()).ok());
        let kind = kind.unwrap_or_default();
        if !is_kind_looked_into(kind) {
            return self.keep(body_limit);
        }
        // of pages and events the beginning will do, if it can be read by itself
        let is_text = has(kind, "html") || has(kind, "event-stream");
        let whole_only = !is_text || headers.contains_key(CONTENT_ENCODING);
        Keep { limit: cap.unwrap_or(MAX_PRINT_BODY), whole_only, hash: true }
    }

    /// Copies the header fields of an answer that are recorded, as they were written.
    pub(crate) fn copy_fields(self, answer: &ResponseHeader, kept: &mut Heads) {
        kept.forget_answer();
        // what only we write must not come from elsewhere
        let is_ours = |name: &str| {
            is_squall_header(name) || [LEAVES, SLOTS].iter().any(|ours| name.eq_ignore_ascii_case(ours))
        };
        let is_kept = |name: &str| (matches!(self, BodyPolicy::Full(_)) || is_kept(name)) && !is_ours(name);
        if answer.has_case() {
            for (name, value) in answer.case_header_iter() {
                let name = String::from_utf8_lossy(name.as_slice());
                if is_kept(&name) {
                    kept.push(&name, value.as_bytes());
                }
            }
        } else {
            for (name, value) in answer.headers.iter().filter(|(name, _)| is_kept(name.as_str())) {
                kept.push(name.as_str(), value.as_bytes());
            }
        }
    }
}

/// Whether a replay, or a link from an answer to later requests, may need a field of that name, whatever its case.
fn is_kept(name: &str) -> bool {
    let is = |known: &&str| name.eq_ignore_ascii_case(known);
    // nearly all answers have these, and looking for parts of names costs most
    if COMMON.iter().any(is) {
        return false;
    }
    let has = |part: &&str| has(name, part);
    KEPT.iter().any(is) || KEPT_PARTS.iter().any(has) || ends_in_id(name) && !TRACES.iter().any(has)
}

/// Whether `part` stands in a text, whatever the case of both.
fn has(text: &str, part: &str) -> bool {
    text.as_bytes().windows(part.len()).any(|at| at.eq_ignore_ascii_case(part.as_bytes()))
}

fn ends_in_id(name: &str) -> bool {
    let tail = name.len().saturating_sub(3);
    name.as_bytes()[tail..].eq_ignore_ascii_case(b"-id")
}

impl FromStr for RecordBodies {
    type Err = String;

    /// `full:64KB`, or `request=head:1MB,response=full:256KB`; what is not named stays as it is by default.
    fn from_str(text: &str) -> Result<RecordBodies, String> {
        let mut bodies = RecordBodies::default();
        for part in text.split(',').map(str::trim) {
            match part.split_once('=') {
                None => (bodies.request, bodies.response) = (of_requests(part)?, part.parse()?),
                Some(("request", policy)) => bodies.request = of_requests(policy)?,
                Some(("response", policy)) => bodies.response = policy.parse()?,
                Some((other, _)) => {
                    return Err(format!("`{other}` is no direction: write request=POLICY,response=POLICY"));
                }
            }
        }
        Ok(bodies)
    }
}

/// A policy for requests, from whose values alone nothing would be learnt.
fn of_requests(text: &str) -> Result<BodyPolicy, String> {
    match text.parse()? {
        BodyPolicy::Leaves(_) => Err("leaves are those of answers: write response=leaves".to_owned()),
        policy => Ok(policy),
    }
}

impl FromStr for BodyPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<BodyPolicy, String> {
        let (word, size) = match text.split_once([':', ' ']) {
            Some((word, size)) => (word, Some(body_limit(size.trim())?)),
            None => (text, None),
        };
        match (word, size) {
            ("none", None) => Ok(BodyPolicy::None),
            ("digest", None) => Ok(BodyPolicy::Digest),
            ("leaves", size) => Ok(BodyPolicy::Leaves(size)),
            ("head", size) => Ok(BodyPolicy::Head(size)),
            ("full", size) => Ok(BodyPolicy::Full(size)),
            _ => Err(format!("`{text}` is no policy: write none, digest, leaves, head:64KB or full:256KB")),
        }
    }
}

impl fmt::Display for RecordBodies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request={},response={}", self.request, self.response)
    }
}

impl fmt::Display for BodyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, size) = match self {
            BodyPolicy::None => ("none", None),
            BodyPolicy::Digest => ("digest", None),
            BodyPolicy::Leaves(size) => ("leaves", *size),
            BodyPolicy::Head(size) => ("head", *size),
            BodyPolicy::Full(size) => ("full", *size),
        };
        f.write_str(word)?;
        size.map_or(Ok(()), |size| write!(f, ":{size}B"))
    }
}

/// A size of bodies that may wait in memory until they are written.
pub(crate) fn body_limit(text: &str) -> Result<usize, String> {
    let size = bytes(text)?;
    if size <= MAX_BODY_LIMIT { Ok(size) } else { Err("at most 16MB".to_owned()) }
}

/// Bodies wait in memory until they are written.
const MAX_BODY_LIMIT: usize = 16_000_000;

/// What the answer says of itself alone.
const COMMON: [&str; 9] = [
    "date",
    "server",
    "content-length",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "cache-control",
    "vary",
    "accept-ranges",
];
/// What says how to read the answer, where to go next, what to send back.
const KEPT: [&str; 12] = [
    "content-type",
    "content-encoding",
    "location",
    "content-location",
    "set-cookie",
    "etag",
    "last-modified",
    "link",
    "www-authenticate",
    "grpc-encoding",
    "refresh",
    "retry-after",
];
/// Names that say that a client is to send the value back.
const KEPT_PARTS: [&str; 7] = ["csrf", "xsrf", "token", "nonce", "session", "authorization", "ticket"];
/// Ids that say which request it was, and are never sent back.
const TRACES: [&str; 6] = ["request", "trace", "correlation", "span", "amz", "runtime"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_as_they_are_typed() {
        let check = |text: &str, expect: &str| {
            let parsed: RecordBodies = text.parse().expect(text);
            assert_eq!((parsed.to_string().as_str(), expect.parse()), (expect, Ok(parsed)), "{text}");
        };
        check("full:64KB", "request=full:64000B,response=full:64000B");
        check("response=full:256KB", "request=head,response=full:256000B");
        check("request=none, response=digest", "request=none,response=digest");
        check("request=digest", "request=digest,response=leaves");
        check("response=leaves:8KB", "request=head,response=leaves:8000B");
        check("request=head 1KB,response=full", "request=head:1000B,response=full");
        for wrong in [
            "",
            "all",
            "none:1KB",
            "head:1",
            "full:17MB",
            "answer=full",
            "request=",
            "response=full:",
            "leaves",
            "request=leaves",
        ] {
            assert!(wrong.parse::<RecordBodies>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn headers_that_a_replay_may_need() {
        for name in
            ["Set-Cookie", "content-type", "X-CSRF-Token", "X-Order-Id", "ETag", "Location", "Replay-Nonce"]
        {
            assert!(is_kept(name), "{name}");
        }
        for name in
            ["Date", "Server", "X-Request-Id", "x-amzn-trace-id", "Content-Length", "Cache-Control", "id"]
        {
            assert!(!is_kept(name), "{name}");
        }
        let says_more = |name: &&str| KEPT.contains(name) || KEPT_PARTS.iter().any(|part| has(name, part));
        assert!(
            !COMMON.iter().any(|name| says_more(name) || ends_in_id(name)),
            "what is passed over at once"
        );
    }

    #[test]
    fn answers_are_kept_by_what_they_say_that_they_are() {
        let check = |fields: &[(http::HeaderName, &str)], limit: usize, whole_only: bool| {
            let value = |text: &&str| text.parse().expect("a value");
            let headers = fields.iter().map(|(name, text)| (name.clone(), value(text))).collect();
            let kept = BodyPolicy::Leaves(Some(9)).keep_answer(&headers, 1_000);
            assert_eq!(kept, Keep { limit, whole_only, hash: true }, "{fields:?}");
        };
        check(&[], 9, true);
        check(&[(CONTENT_TYPE, "Application/Problem+JSON")], 9, true);
        check(&[(CONTENT_TYPE, "text/HTML; charset=utf-8")], 9, false);
        check(&[(CONTENT_TYPE, "text/html"), (CONTENT_ENCODING, "gzip")], 9, true);
        check(&[(CONTENT_TYPE, "image/png")], 0, false);
    }
}
