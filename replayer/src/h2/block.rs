//! HEADERS and CONTINUATION: heads of answers and trailers.

use super::answers::{Offence, TOO_SHORT};
use super::feed::{Turn, protocol};
use super::frame::{self, Head};
use super::hpack::Fields;
use super::streams::{ANSWER_ENDED, ANSWERED, UNKNOWN};
use super::{COMPRESSION_ERROR, Connection, ENHANCE_YOUR_CALM, Error, Event, FRAME_SIZE_ERROR};
use super::{PROTOCOL_ERROR, STREAM_CLOSED};
use crate::limits;

/// A header block that is not complete.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) stream: u32,
    end: bool,
    bytes: Vec<u8>,
    continuations: u32,
}

impl Connection {
    pub(super) fn headers(&mut self, head: Head, payload: &[u8], turn: &mut Turn<'_>) -> Result<(), Error> {
        self.must_be_opened(head.stream)?;
        let fragment = fragment(head, payload)?;
        let end = head.has(frame::END_STREAM);
        if head.has(frame::END_HEADERS) {
            return self.section(head.stream, end, fragment, turn);
        }
        let bytes = fragment.to_vec();
        self.block = Some(Open { stream: head.stream, end, bytes, continuations: 0 });
        Ok(())
    }

    /// Goes on with the open block; there is one, and it is this stream's.
    pub(super) fn continuation(
        &mut self,
        head: Head,
        payload: &[u8],
        turn: &mut Turn<'_>,
    ) -> Result<(), Error> {
        let Some(mut block) = self.block.take() else {
            return Err(protocol("CONTINUATION without HEADERS"));
        };
        block.continuations += 1;
        if block.continuations > limits::H2_CONTINUATIONS
            || block.bytes.len() + payload.len() > limits::HEAD_BYTES
        {
            return Err(Error { code: ENHANCE_YOUR_CALM, why: "a header block without end" });
        }
        block.bytes.extend_from_slice(payload);
        if head.has(frame::END_HEADERS) {
            return self.section(block.stream, block.end, &block.bytes, turn);
        }
        self.block = Some(block);
        Ok(())
    }

    /// A complete header section. It is decoded even when nobody wants it: the next one may refer to it.
    fn section(&mut self, stream: u32, end: bool, block: &[u8], turn: &mut Turn<'_>) -> Result<(), Error> {
        if self.decoder.decode(block, &mut self.fields).is_err() {
            return Err(Error { code: COMPRESSION_ERROR, why: "a header block that cannot be decoded" });
        }
        if self.is_stray(stream)? {
            return Ok(());
        }
        let answered = self.streams.get(stream).is_some_and(|record| record.has(ANSWERED));
        let accepted = if self.streams.get(stream).is_some_and(|record| record.has(ANSWER_ENDED)) {
            Err(Offence { code: STREAM_CLOSED, why: "HEADERS after the end of the answer" })
        } else if self.fields.is_too_large() {
            Err(Offence { code: ENHANCE_YOUR_CALM, why: "the header of the answer is too large" })
        } else if answered {
            self.trailers(stream, end, turn)
        } else {
            self.head(stream, end, turn)?
        };
        if let Err(offence) = accepted {
            self.offend(stream, offence, turn);
        }
        Ok(())
    }

    /// A head. The outer error ends the connection.
    fn head(&mut self, stream: u32, end: bool, turn: &mut Turn<'_>) -> Result<Result<(), Offence>, Error> {
        let (status, body_left) = match read_head(&self.fields) {
            Ok(head) => head,
            Err(why) => return Ok(Err(malformed(why))),
        };
        let Some(record) = self.streams.get_mut(stream) else { return Ok(Ok(())) };
        let tag = record.tag;
        if status < 200 {
            if end || status == 101 {
                return Ok(Err(malformed("an interim answer that cannot be one")));
            }
            (turn.on)(Event::Interim { tag, status });
            return self.idle_frame().map(Ok);
        }
        record.flags |= ANSWERED;
        record.body_left = body_left;
        self.idle_frames = 0;
        self.fields.hide(1);
        (turn.on)(Event::Head { tag, status, fields: &self.fields, end });
        if end {
            self.end_answer(stream);
        }
        Ok(Ok(()))
    }

    fn trailers(&mut self, stream: u32, end: bool, turn: &mut Turn<'_>) -> Result<(), Offence> {
        if !end {
            return Err(malformed("a second head, or trailers that do not end the answer"));
        }
        check_fields(&self.fields, 0).map_err(malformed)?;
        let Some(record) = self.streams.get(stream) else { return Ok(()) };
        if record.is_cut() {
            return Err(TOO_SHORT);
        }
        (turn.on)(Event::Trailers { tag: record.tag, fields: &self.fields });
        self.end_answer(stream);
        Ok(())
    }
}

/// The part of a HEADERS frame that is header block.
fn fragment(head: Head, payload: &[u8]) -> Result<&[u8], Error> {
    let short = Error { code: FRAME_SIZE_ERROR, why: "HEADERS too short for what it should hold" };
    let mut fragment = payload;
    if head.has(frame::PADDED) {
        let (padding, rest) = fragment.split_first().ok_or(short)?;
        let length = rest.len().checked_sub(usize::from(*padding));
        fragment = &rest[..length.ok_or(protocol("more padding than frame"))?];
    }
    if head.has(frame::PRIORITIZED) {
        fragment = fragment.get(PRIORITY_BYTES..).ok_or(short)?;
    }
    Ok(fragment)
}

/// The status and the length of the body, as far as it is told.
fn read_head(fields: &Fields) -> Result<(u16, u32), &'static str> {
    let status = match fields.all().next() {
        Some((b":status", [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'])) => {
            [a, b, c].iter().fold(0, |number, digit| number * 10 + u16::from(**digit - b'0'))
        }
        _ => return Err("the answer does not begin with its status"),
    };
    Ok((status, check_fields(fields, 1)?))
}

/// Checks all fields but the first ones, and returns the Content-Length among them.
fn check_fields(fields: &Fields, skipped: usize) -> Result<u32, &'static str> {
    if !fields.is_sound() {
        return Err("a field whose name or value cannot be one");
    }
    let mut length = None;
    for (name, value) in fields.all().skip(skipped) {
        if name.first() == Some(&b':') {
            return Err("a pseudo-header field that has no place there");
        }
        match name.len() {
            14 if name == b"content-length" => {
                let told = content_length(value).ok_or("a Content-Length that is no number")?;
                if length.is_some_and(|before| before != told) {
                    return Err("two different Content-Lengths");
                }
                length = Some(told);
            }
            7 | 10 | 16 | 17 if is_about_connections(name) => {
                return Err("a field that is about a connection of HTTP/1");
            }
            _ => {}
        }
    }
    Ok(length.map_or(UNKNOWN, |length| u32::try_from(length).unwrap_or(UNKNOWN)))
}

fn is_about_connections(name: &[u8]) -> bool {
    let names: [&[u8]; 5] =
        [b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"];
    names.contains(&name)
}

fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |length, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        length.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

fn malformed(why: &'static str) -> Offence {
    Offence { code: PROTOCOL_ERROR, why }
}

/// The part of HEADERS that once said what comes first; nobody uses it any more.
const PRIORITY_BYTES: usize = 5;
