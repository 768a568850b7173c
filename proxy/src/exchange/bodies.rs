//! What is kept of bodies while they pass: a bounded copy of the request's, a digest of the answer's.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// A copy of a request body up to a limit. Chunks are shared with the data path, not copied again.
#[derive(Debug, Clone)]
pub(crate) struct BodyCopy {
    chunks: Vec<Bytes>,
    kept: usize,
    len: u64,
    limit: usize,
    ended: bool,
}

impl BodyCopy {
    /// Keeps at most `limit` bytes; 0 keeps none and only counts.
    pub(crate) fn new(limit: usize) -> Self {
        BodyCopy { chunks: Vec::new(), kept: 0, len: 0, limit, ended: false }
    }

    pub(crate) fn push(&mut self, chunk: &Bytes) {
        self.len += chunk.len() as u64;
        let room = (self.limit - self.kept).min(chunk.len());
        if room > 0 {
            self.chunks.push(chunk.slice(..room));
            self.kept += room;
        }
    }

    /// The client has sent all of it.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// The request is sent again from its start.
    pub(crate) fn restart(&mut self) {
        let bodyless = self.ended && self.len == 0;
        *self = BodyCopy { ended: bodyless, ..BodyCopy::new(self.limit) };
    }

    /// Bytes seen.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes kept.
    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    /// Whether the client has sent all of it.
    pub(crate) fn is_over(&self) -> bool {
        self.ended
    }

    /// Whether the client has sent all of it, and all was kept.
    pub(crate) fn is_whole(&self) -> bool {
        self.ended && self.kept as u64 == self.len
    }

    /// What was kept, as one piece.
    pub(crate) fn bytes(&self) -> Bytes {
        match self.chunks.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            many => {
                let mut all = BytesMut::with_capacity(self.kept);
                many.iter().for_each(|chunk| all.extend_from_slice(chunk));
                all.freeze()
            }
        }
    }
}

/// What is known of an answer while it passes.
#[derive(Default)]
pub(crate) struct AnswerDigest {
    known: Answer,
    /// An HTTP/2 answer that says its length: on HTTP/1 nothing can follow its body.
    pub(crate) sized: bool,
    hash: BodyHash,
}

/// XXH3-64 of a body while it passes. Most answers are one small piece, and the state for several costs more than they do.
#[derive(Default)]
enum BodyHash {
    #[default]
    Off,
    Empty,
    One(Bytes),
    Many(Box<Xxh3>),
}

impl BodyHash {
    fn update(&mut self, chunk: &Bytes) {
        match self {
            BodyHash::Off => {}
            BodyHash::Empty if chunk.len() <= SMALL => *self = BodyHash::One(chunk.clone()),
            BodyHash::Empty => *self = BodyHash::several(&[chunk]),
            BodyHash::One(first) => *self = BodyHash::several(&[first, chunk]),
            BodyHash::Many(hash) => hash.update(chunk),
        }
    }

    fn several(chunks: &[&Bytes]) -> BodyHash {
        let mut hash = Box::new(Xxh3::new());
        chunks.iter().for_each(|chunk| hash.update(chunk));
        BodyHash::Many(hash)
    }

    fn digest(&self) -> Option<u64> {
        match self {
            BodyHash::Off => None,
            BodyHash::Empty => Some(xxh3_64(&[])),
            BodyHash::One(chunk) => Some(xxh3_64(chunk)),
            BodyHash::Many(hash) => Some(hash.digest()),
        }
    }
}

/// A piece that may be kept until its hash is wanted.
const SMALL: usize = 4096;

/// What is known of an answer.
#[derive(Debug, Default, Clone)]
pub(crate) struct Answer {
    /// 0: no answer header was seen.
    pub(crate) status: u16,
    pub(crate) ttfb: Option<Duration>,
    /// Body bytes, as the upstream sent them.
    pub(crate) len: u64,
    /// XXH3-64 of the body; `None` where nobody asked for one.
    pub(crate) hash: Option<u64>,
    pub(crate) content_type: Option<Bytes>,
    /// The proxy made it itself.
    pub(crate) own: bool,
    /// It was 101: what follows is not HTTP.
    pub(crate) upgraded: bool,
    /// It had trailers, or announced them, that the way to the client cannot carry.
    pub(crate) lossy: bool,
}

impl AnswerDigest {
    /// The answer's header.
    pub(crate) fn head(&mut self, status: u16, took: Duration) {
        self.known.status = status;
        self.known.ttfb = Some(took);
        self.known.upgraded = status == 101;
    }

    /// Its trailers do not reach the client.
    pub(crate) fn lose_trailers(&mut self) {
        self.known.lossy = true;
    }

    /// Somebody will want the body's hash and type.
    pub(crate) fn keep(&mut self, headers: &HeaderMap) {
        self.hash = BodyHash::Empty;
        self.known.content_type =
            headers.get(http::header::CONTENT_TYPE).map(|value| Bytes::copy_from_slice(value.as_bytes()));
    }

    /// The proxy answered by itself.
    pub(crate) fn own(&mut self, status: u16, took: Duration) {
        self.known.status = status;
        self.known.ttfb = Some(took);
        self.known.own = true;
    }

    /// A piece of its body, as the upstream sent it.
    pub(crate) fn body(&mut self, chunk: &Bytes) {
        self.known.len += chunk.len() as u64;
        self.hash.update(chunk);
    }

    /// Is what follows no HTTP?
    pub(crate) fn is_upgraded(&self) -> bool {
        self.known.upgraded
    }

    /// The upstream's status; `None` where it gave none.
    pub(crate) fn origin_status(&self) -> Option<u16> {
        (self.known.status != 0 && !self.known.own).then_some(self.known.status)
    }

    /// All of it, with the hash so far.
    pub(crate) fn summary(&self) -> Answer {
        Answer { hash: self.hash.digest(), ..self.known.clone() }
    }
}
