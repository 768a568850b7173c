//! What a recording knows of an answer that others can be held against: its length, and the shape of its JSON where the
//! body was recorded whole. Most recordings hold digests of answers: then there is a length and no shape.

use captures::links::{BodyKind, uncoded};
use captures::notes::Notes;
use captures::{Body, Exchange};

use crate::drift::numbers::Shapes;
use crate::drift::shape;
use crate::limits;

/// A recorded answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// Bytes of its body as they were transferred, where that is known.
    pub(crate) len: Option<u32>,
    /// Number of the shape of its JSON; 0: not known.
    pub(crate) shape: u16,
    /// The length is that of a body without a content coding, whether or not it was sent so.
    pub(crate) is_plain: bool,
}

/// The shapes of recorded answers.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) shapes: Shapes,
    looked_at: u64,
}

impl Recorder {
    /// What is known of an answer.
    pub(crate) fn of(&mut self, exchange: &Exchange) -> Recorded {
        let cut = [
            Notes::RESPONSE_TRUNCATED,
            Notes::CLIENT_GONE,
            Notes::UPGRADED,
            Notes::STREAM,
            Notes::PROXY_ANSWER,
        ];
        let is_whole =
            exchange.stream.is_none() && !cut.into_iter().any(|note| exchange.notes.contains(note));
        let Some(response) = exchange.response.as_ref().filter(|_| is_whole) else {
            return Recorded::default();
        };
        let body = &response.body;
        let coding = response.headers.get_str("content-encoding").unwrap_or_default();
        let is_coded = !matches!(coding.trim(), "" | "identity");
        // what is not known to be empty is not known: logs and archives say nothing of many bodies
        let len =
            (body.len != 0 || body.hash.is_some()).then(|| u32::try_from(body.len).unwrap_or(u32::MAX - 1));
        let Some(data) = body.data.as_ref() else { return Recorded { len, shape: 0, is_plain: false } };
        let plain = uncoded(coding, data).unwrap_or_default();
        Recorded {
            // a pseudonym is longer than what it stands for
            len: len.filter(|_| !holds_pseudonym(&plain)),
            shape: if body.is_whole() {
                self.shape(response.headers.get_str("content-type"), &plain)
            } else {
                0
            },
            is_plain: !is_coded,
        }
    }

    fn shape(&mut self, content_type: Option<&str>, plain: &[u8]) -> u16 {
        let is_json = BodyKind::of_type(content_type.unwrap_or_default(), plain) == BodyKind::Json;
        let is_fit = is_json && !plain.is_empty() && plain.len() <= limits::SHAPE_PLAIN_BYTES;
        if !is_fit || limits::SHAPED_ANSWERS <= self.looked_at {
            return 0;
        }
        self.looked_at += 1;
        match shape::of(plain) {
            shape::Body::Json(text) => self.shapes.number(&text),
            shape::Body::Other | shape::Body::Beyond => 0,
        }
    }
}

impl Recorded {
    /// As it travels through the compiler in place of the body; `data` is what else is kept of that.
    pub(crate) fn into_body(self, data: Option<bytes::Bytes>) -> Body {
        let len = self.len.map_or(0, |len| u64::from(len) + 1);
        Body { len, hash: Some(u64::from(self.shape) << 1 | u64::from(self.is_plain)), data }
    }

    pub(crate) fn of_body(body: &Body) -> Recorded {
        let word = body.hash.unwrap_or(0);
        Recorded {
            len: body.len.checked_sub(1).and_then(|len| u32::try_from(len).ok()),
            shape: u16::try_from(word >> 1).unwrap_or(0),
            is_plain: word & 1 == 1,
        }
    }
}

fn holds_pseudonym(plain: &[u8]) -> bool {
    plain.windows(PSEUDONYM.len()).any(|at| at == PSEUDONYM)
}

/// What every pseudonym for text begins with (`captures/FORMAT.md`).
const PSEUDONYM: &[u8] = b"squall_";

#[cfg(test)]
mod tests {
    use captures::Headers;
    use captures::exchange::Response;

    use super::*;

    fn answer(headers: &[(&str, &str)], body: Body) -> Exchange {
        let headers: Headers =
            headers.iter().map(|(name, value)| (*name, value.as_bytes().to_vec())).collect();
        Exchange { response: Some(Response { status: 200, headers, body }), ..Exchange::default() }
    }

    fn of(exchange: &Exchange) -> Recorded {
        Recorder::default().of(exchange)
    }

    const JSON: (&str, &str) = ("Content-Type", "application/json");

    #[test]
    fn a_body_gives_length_and_shape_a_digest_the_length() {
        let whole = of(&answer(&[JSON], Body::whole(&br#"{"a":1}"#[..])));
        assert_eq!(whole, Recorded { len: Some(7), shape: 1, is_plain: true });
        let digest = of(&answer(&[JSON], Body::digest(7, Some(5))));
        assert_eq!(digest, Recorded { len: Some(7), shape: 0, is_plain: false });
        let cut = Body { len: 9000, hash: Some(1), data: Some(bytes::Bytes::from_static(br#"{"a":1}"#)) };
        assert_eq!(of(&answer(&[JSON], cut)), Recorded { len: Some(9000), shape: 0, is_plain: true });
        let page = of(&answer(&[("content-type", "text/html")], Body::whole(&b"{}"[..])));
        assert_eq!(page, Recorded { len: Some(2), shape: 0, is_plain: true });
    }

    #[test]
    fn what_is_not_known_is_not_known() {
        assert_eq!(of(&answer(&[], Body::default())).len, None);
        assert_eq!(of(&answer(&[], Body::whole(&b""[..]))).len, Some(0));
        let secret = Body::whole(&br#"{"token":"squall_0123456789abcdef0"}"#[..]);
        let redacted = of(&answer(&[JSON], secret));
        assert_eq!((redacted.len, redacted.shape), (None, 1));
        let gone = Exchange { notes: Notes::CLIENT_GONE, ..answer(&[], Body::digest(7, Some(1))) };
        assert_eq!(of(&gone), Recorded::default());
        assert_eq!(of(&Exchange::default()), Recorded::default());
    }

    #[test]
    fn it_travels_in_place_of_a_body() {
        for len in [None, Some(0), Some(7), Some(u32::MAX - 1)] {
            for (shape, is_plain) in [(0, false), (0, true), (u16::MAX, true)] {
                let recorded = Recorded { len, shape, is_plain };
                assert_eq!(Recorded::of_body(&recorded.into_body(None)), recorded);
            }
        }
        assert_eq!(Recorded::of_body(&Body::default()), Recorded::default());
    }
}
