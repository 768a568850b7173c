//! The end of every head: the clone's cookies, and who sends this.

use crate::cookies::{Jar, RecordedCookies};
use crate::h2::hpack;
use crate::identity;
use crate::links::carried::Carried;
use crate::plan::template::Sender;
use crate::traces::Name;

/// What the end of a head says.
pub(crate) struct Tail<'a> {
    pub(crate) sender: Sender<'a>,
    pub(crate) jar: Option<&'a Jar>,
    pub(crate) carried: Option<&'a Carried>,
    pub(crate) attempt: u32,
    /// To be said here: the head says none.
    pub(crate) trace: Option<Name>,
    /// Of the request, for the paths of cookies.
    pub(crate) path: &'a [u8],
    pub(crate) cookies: RecordedCookies<'a>,
}

impl Tail<'_> {
    fn has_cookies(&self) -> bool {
        self.jar.is_some() || !self.cookies.0.is_empty()
    }
}

/// As HTTP/1.1 lines, the empty one included.
pub(crate) fn tail(out: &mut Vec<u8>, tail: &Tail<'_>) {
    if tail.has_cookies() {
        let start = out.len();
        out.extend_from_slice(b"Cookie: ");
        let empty = out.len();
        Jar::push_pairs((tail.jar, tail.carried), tail.cookies, tail.path, out);
        match out.len() == empty {
            true => out.truncate(start),
            false => out.extend_from_slice(b"\r\n"),
        }
    }
    if let Some(name) = tail.trace {
        out.extend_from_slice(b"traceparent: ");
        name.push(out);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"squall-session: ");
    push_session(out, tail.sender);
    out.extend_from_slice(b"\r\nsquall-op: ");
    identity::push_hex16(out, tail.sender.operation);
    out.extend_from_slice(b"\r\nsquall-attempt: ");
    out.extend_from_slice(itoa::Buffer::new().format(tail.attempt).as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
}

/// As HPACK literals.
pub(crate) fn tail_h2(out: &mut Vec<u8>, tail: &Tail<'_>) {
    if tail.has_cookies() {
        let before = out.len();
        hpack::push_name(out, b"cookie");
        let start = out.len();
        Jar::push_pairs((tail.jar, tail.carried), tail.cookies, tail.path, out);
        match out.len() == start {
            true => out.truncate(before),
            false => hpack::close_string(out, start),
        }
    }
    if let Some(name) = tail.trace {
        hpack::push_name(out, b"traceparent");
        let start = out.len();
        name.push(out);
        hpack::close_string(out, start);
    }
    out.extend_from_slice(b"\0\x0esquall-session");
    let start = out.len();
    out.push(0);
    push_session(out, tail.sender);
    let len = out.len() - start - 1;
    debug_assert!(len < 127, "a tag, a session and a clone are short");
    out[start] = len as u8;
    out.extend_from_slice(b"\0\x09squall-op\x10");
    identity::push_hex16(out, tail.sender.operation);
    out.extend_from_slice(b"\0\x0esquall-attempt");
    let mut digits = itoa::Buffer::new();
    hpack::push_value(out, digits.format(tail.attempt).as_bytes());
}

fn push_session(out: &mut Vec<u8>, sender: Sender<'_>) {
    out.extend_from_slice(sender.run.as_bytes());
    out.push(b'-');
    identity::push_hex(out, sender.session);
    out.push(b'-');
    out.extend_from_slice(itoa::Buffer::new().format(sender.clone).as_bytes());
}
