//! A message body: always its length, where known its hash, and its bytes when they were recorded.

use std::fmt;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

/// A message body as recorded.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Body {
    /// Length of the whole body in bytes, as it was transferred (before any decoding of `Content-Encoding`),
    /// or of the redacted body where redaction changed it.
    pub len: u64,
    /// xxh3-64 of the whole body; `None` where it was not seen whole. Of the redacted body where redaction
    /// changed it, so that nothing can be guessed from it.
    pub hash: Option<u64>,
    /// The bytes, when recorded. Shorter than `len` when the recording was cut.
    pub data: Option<Bytes>,
}

impl Body {
    /// A body recorded whole: length and hash follow from `data`.
    pub fn whole(data: impl Into<Bytes>) -> Body {
        let data = data.into();
        Body { len: data.len() as u64, hash: Some(xxh3_64(&data)), data: Some(data) }
    }

    /// A body of which only length and hash are known.
    pub fn digest(len: u64, hash: Option<u64>) -> Body {
        Body { len, hash, data: None }
    }

    /// Whether the bytes are there, all of them.
    pub fn is_whole(&self) -> bool {
        match &self.data {
            Some(data) => data.len() as u64 == self.len,
            None => self.len == 0,
        }
    }
}

impl fmt::Debug for Body {
    /// Sizes only: a body in a log line is a leak.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let recorded = self.data.as_ref().map(Bytes::len);
        f.debug_struct("Body")
            .field("len", &self.len)
            .field("hash", &self.hash)
            .field("recorded", &recorded)
            .finish()
    }
}
