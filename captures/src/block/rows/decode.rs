//! Reads a block back. Total: any bytes give exchanges or an error, within the bounds of [`crate::limits`].

use bytes::Bytes;

use super::*;
use crate::block::cost::{Budget, FIELD_OVERHEAD};
use crate::exchange::{Protocol, Request, Response};
use crate::limits::ENCODING_STREAMS;
use crate::notes::Notes;
use crate::wire::{Cursor, Malformed};
use crate::{Body, Exchange, Headers, SessionId};

/// The exchanges of a block of that encoding, session by session.
///
/// # Errors
/// When the bytes are not a block of exactly `records` exchanges, or unfold beyond the limits.
pub(in crate::block) fn decode(
    raw: &[u8],
    records: usize,
    encoding: u16,
) -> Result<Vec<Exchange>, Malformed> {
    let mut cursor = Cursor::new(raw);
    let strings = take_strings(&mut cursor)?;
    let places = take_directory(&mut cursor, records)?;
    let mut decoder =
        Decoder { cursor, strings, has_streams: encoding == ENCODING_STREAMS, budget: Budget::new() };
    let exchanges = places.into_iter().map(|place| decoder.exchange(place)).collect::<Result<_, _>>()?;
    match decoder.cursor.remaining() {
        0 => Ok(exchanges),
        _ => Err(Malformed("bytes are left over after the last record")),
    }
}

fn take_strings<'a>(cursor: &mut Cursor<'a>) -> Result<Vec<&'a [u8]>, Malformed> {
    let n = cursor.count()?;
    let lengths = (0..n).map(|_| cursor.length()).collect::<Result<Vec<usize>, _>>()?;
    lengths.into_iter().map(|length| cursor.take(length)).collect()
}

/// Session and start of each record, in order.
fn take_directory(cursor: &mut Cursor<'_>, records: usize) -> Result<Vec<(u64, u64)>, Malformed> {
    let n_sessions = cursor.length()?;
    let first_us = cursor.varint()?;
    // each record has at least a byte of time and nine of record, each session at least one record
    if records < n_sessions || cursor.remaining() / 10 < records {
        return Err(Malformed("the directory names more sessions or records than there can be"));
    }
    let mut places = Vec::with_capacity(records);
    let mut id = 0u64;
    for _ in 0..n_sessions {
        id = id.checked_add(cursor.varint()?).ok_or(Malformed("a session id overflows"))?;
        let n = cursor.length()?;
        if n == 0 || records - places.len() < n {
            return Err(Malformed("the directory does not add up to the number of records"));
        }
        places.extend(std::iter::repeat_n((id, 0), n));
    }
    if places.len() != records {
        return Err(Malformed("the directory does not add up to the number of records"));
    }
    let mut last = (None, 0);
    for place in &mut places {
        let from = if last.0 == Some(place.0) { last.1 } else { first_us };
        place.1 = from.checked_add(cursor.varint()?).ok_or(Malformed("a time overflows"))?;
        last = (Some(place.0), place.1);
    }
    Ok(places)
}

struct Decoder<'a> {
    cursor: Cursor<'a>,
    strings: Vec<&'a [u8]>,
    /// Encoding 2: the messages of streams stand behind the records.
    has_streams: bool,
    /// What the rest of the block may still unfold to.
    budget: Budget,
}

impl<'a> Decoder<'a> {
    fn exchange(&mut self, (session, start_us): (u64, u64)) -> Result<Exchange, Malformed> {
        self.budget.begin_exchange()?;
        let flags = self.cursor.byte()?;
        let edge = self.string()?;
        let request = self.request()?;
        let connection = self.optional(flags & HAS_CONNECTION)?;
        let ttfb_us = self.optional(flags & HAS_TTFB)?;
        let duration_us = self.optional(flags & HAS_DURATION)?;
        let faults = match flags & HAS_FAULTS {
            0 => Vec::new(),
            _ => self.faults()?,
        };
        let notes = self.optional(flags & HAS_NOTES)?.unwrap_or(0);
        let notes = u32::try_from(notes).map_err(|_| Malformed("the notes are too large"))?;
        let response = match flags & HAS_RESPONSE {
            0 => None,
            _ => Some(self.response()?),
        };
        let stream = match self.has_streams {
            true => streams::take(&mut self.cursor, &mut self.budget, &request.body)?,
            false => None,
        };
        Ok(Exchange {
            session: SessionId(session),
            connection,
            edge,
            start_us,
            protocol: protocol(flags >> PROTOCOL_SHIFT),
            request,
            response,
            ttfb_us,
            duration_us,
            faults,
            notes: Notes::from_bits(notes),
            stream,
        })
    }

    fn request(&mut self) -> Result<Request, Malformed> {
        Ok(Request {
            method: self.string()?,
            scheme: self.string()?,
            authority: self.string()?,
            target: self.string()?,
            headers: self.headers()?,
            body: self.body()?,
        })
    }

    fn response(&mut self) -> Result<Response, Malformed> {
        let status = u16::try_from(self.cursor.varint()?).map_err(|_| Malformed("a status is too large"))?;
        Ok(Response { status, headers: self.headers()?, body: self.body()? })
    }

    fn faults(&mut self) -> Result<Vec<String>, Malformed> {
        let n = self.cursor.count()?;
        self.budget.spend(n.saturating_mul(FIELD_OVERHEAD))?;
        (0..n).map(|_| self.string()).collect()
    }

    fn headers(&mut self) -> Result<Headers, Malformed> {
        let n = self.cursor.count()?;
        self.budget.spend(n.saturating_mul(FIELD_OVERHEAD))?;
        let mut headers = if n == 0 { Headers::new() } else { Headers::with_capacity(n) };
        for _ in 0..n {
            let name = self.bytes()?;
            let value = self.bytes()?;
            headers.push(text(name)?, value);
        }
        Ok(headers)
    }

    fn body(&mut self) -> Result<Body, Malformed> {
        let flags = self.cursor.byte()?;
        let len = self.cursor.varint()?;
        let hash = match flags & BODY_HASH {
            0 => None,
            _ => Some(self.cursor.u64()?),
        };
        let n = match flags & (BODY_WHOLE | BODY_PART) {
            0 => return Ok(Body { len, hash, data: None }),
            BODY_WHOLE => usize::try_from(len).map_err(|_| Malformed("a body is too large"))?,
            BODY_PART => self.cursor.length()?,
            _ => return Err(Malformed("a body is both whole and in part")),
        };
        self.budget.spend(n)?;
        let data = Bytes::copy_from_slice(self.cursor.take(n)?);
        Ok(Body { len, hash, data: Some(data) })
    }

    fn optional(&mut self, flag: u8) -> Result<Option<u64>, Malformed> {
        match flag {
            0 => Ok(None),
            _ => self.cursor.varint().map(Some),
        }
    }

    fn string(&mut self) -> Result<String, Malformed> {
        let bytes = self.bytes()?;
        text(bytes).map(str::to_owned)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let number = self.cursor.length()?;
        let bytes = *self.strings.get(number).ok_or(Malformed("a string that is not in the block"))?;
        self.budget.spend(bytes.len())?;
        Ok(bytes)
    }
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed("a text is not UTF-8"))
}

fn protocol(bits: u8) -> Protocol {
    match bits {
        0 => Protocol::Http10,
        1 => Protocol::Http11,
        2 => Protocol::Http2,
        _ => Protocol::Http3,
    }
}
