//! Exchanges of a block that is read, put together from the parts that were found.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::decode::{BodyPart, Decoder, Message, Parts, utf8};
use crate::exchange::{Request, Response};
use crate::wire::Malformed;
use crate::{Body, Exchange, Headers, SessionId};

impl Decoder<'_> {
    /// The exchange that was read last.
    ///
    /// # Errors
    /// As [`Decoder::check_texts`].
    pub(super) fn put_together(&self, parts: Parts) -> Result<Exchange, Malformed> {
        let owned = |place| utf8(self.texts.at(place)).map(str::to_owned);
        let (stream, body) = match parts.stream {
            Some((stream, body)) => (Some(stream), body),
            None => (None, self.body(parts.request.body)),
        };
        Ok(Exchange {
            session: SessionId(self.session),
            connection: parts.connection,
            edge: parts.origin.edge.clone(),
            start_us: self.start_us,
            protocol: parts.marks.protocol,
            request: Request {
                method: owned(parts.method)?,
                scheme: parts.origin.scheme.clone(),
                authority: parts.origin.authority.clone(),
                target: owned(parts.target)?,
                headers: self.headers(&parts.request),
                body,
            },
            response: parts.response.map(|(status, message)| Response {
                status,
                headers: self.headers(&message),
                body: self.body(message.body),
            }),
            ttfb_us: parts.ttfb_us,
            duration_us: parts.duration_us,
            faults: parts.marks.faults.clone(),
            notes: parts.marks.notes,
            stream,
        })
    }

    /// What remains to be checked of an exchange that is not put together.
    ///
    /// # Errors
    /// When method or target are no text.
    pub(super) fn check_texts(&self, parts: &Parts) -> Result<(), Malformed> {
        utf8(self.texts.at(parts.method))?;
        utf8(self.texts.at(parts.target))?;
        Ok(())
    }

    fn headers(&self, message: &Message) -> Headers {
        let shape = &message.shape;
        let places = &self.fields[message.first..][..shape.slots.len()];
        let mut values = Vec::with_capacity(message.bytes);
        let mut ends = Vec::with_capacity(places.len());
        for (place, name_end) in places.iter().zip(&shape.ends) {
            values.extend_from_slice(self.texts.at(*place));
            ends.push((*name_end, values.len()));
        }
        Headers::from_parts(shape.names.clone(), values, ends)
    }

    pub(super) fn body(&self, part: BodyPart) -> Body {
        let data = part.data.map(|place| Bytes::copy_from_slice(self.texts.at(place)));
        let hash = match part.is_hash_of_data {
            true => Some(xxh3_64(data.as_deref().unwrap_or_default())),
            false => part.hash,
        };
        Body { len: part.len, hash, data }
    }
}
