//! The message of a record.

use crate::exchange::{Protocol, Request, Response};
use crate::import::http1::body::{self, BodyReader, Framing};
use crate::import::http1::{self, head};
use crate::notes::Notes;
use crate::wire::Malformed;
use crate::{Body, Headers};

/// A request as recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) protocol: Protocol,
    pub(crate) notes: Notes,
}

/// An answer as recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) response: Response,
    pub(crate) notes: Notes,
}

/// Reads a request, and says how many bytes it had.
pub(crate) fn request(bytes: &[u8]) -> Result<(Asked, usize), Malformed> {
    let end = head::end(bytes).unwrap_or(bytes.len());
    let head = head::request(&bytes[..end])?;
    let protocol = head.protocol;
    let framing = body::of_request(&head.headers);
    let mut request = http1::request(head, "");
    let read = read_body(framing, &bytes[end..], true);
    let mut notes = read.notes;
    if read.is_cut {
        notes.insert(Notes::REQUEST_TRUNCATED);
    }
    request.body = read.body;
    Ok((Asked { request, protocol, notes }, end + read.used))
}

/// Reads the answer to a request of that method (`GET` where nobody knows), its body too if that is wanted.
pub(crate) fn response(bytes: &[u8], method: &str, keep: bool) -> Result<(Answered, usize), Malformed> {
    let mut start = 0;
    loop {
        let end = head::end(&bytes[start..]).map_or(bytes.len(), |end| start + end);
        let head = head::response(&bytes[start..end])?;
        // what was said ahead of the answer
        if (100..200).contains(&head.status) && head.status != 101 && end < bytes.len() {
            start = end;
            continue;
        }
        let framing = body::of_response(method, head.status, &head.headers);
        let read = read_body(framing, &bytes[end..], keep);
        let mut notes = read.notes;
        if read.is_cut {
            notes.insert(Notes::RESPONSE_TRUNCATED);
        }
        let response = Response { status: head.status, headers: head.headers, body: read.body };
        return Ok((Answered { response, notes }, end + read.used));
    }
}

/// Whether the header says that the body is in chunks.
pub(crate) fn is_chunked(headers: &Headers) -> bool {
    body::of_request(headers) == Framing::Chunked
}

struct ReadBody {
    body: Body,
    used: usize,
    notes: Notes,
    is_cut: bool,
}

fn read_body(framing: Framing, bytes: &[u8], keep: bool) -> ReadBody {
    let mut reader = BodyReader::new(framing);
    let mut data = Vec::new();
    let used = reader.feed(bytes, &mut |piece| data.extend_from_slice(piece));
    let seen = data.len() as u64;
    let is_cut = !reader.is_done() && !reader.is_until_close();
    let mut body = if data.is_empty() { Body::default() } else { Body::whole(data) };
    if is_cut {
        body.hash = None;
        if let Framing::Length(len) = framing {
            body.len = len.max(seen);
        }
    }
    if !keep {
        body.data = None;
    }
    let notes = if reader.has_trailers() { Notes::LOSSY } else { Notes::NONE };
    ReadBody { body, used, notes, is_cut }
}
