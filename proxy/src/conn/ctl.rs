//! What the HTTP layer and the stream below it tell each other about one connection.

use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::cut::Cut;
use super::framing::BodyFraming;
use super::h2_tag::Tag;
use crate::sync::lock;

/// Shared by a connection's stream and the exchanges on it.
#[derive(Debug)]
pub(crate) struct ConnCtl {
    /// Number of the connection, unique in the process.
    pub(crate) id: u64,
    /// Index of the edge that accepted it.
    pub(crate) edge: usize,
    /// The client.
    pub(crate) peer: SocketAddr,
    /// Its address without the port, as rules see it.
    pub(crate) client: Box<str>,
    /// Exchanges that reached our hooks; the accept loop compares it to find requests that did not.
    hooked: AtomicU64,
    request_over: AtomicBool,
    refused: AtomicU8,
    framing: AtomicU64,
    reset_on_close: AtomicBool,
    linger: Mutex<Option<TcpStream>>,
    /// What goes out in place of the last chunk.
    last_chunk: Mutex<Option<Vec<u8>>>,
    trails: AtomicBool,
    streams: AtomicUsize,
    armed: AtomicBool,
    tags: AtomicU32,
    cuts: Mutex<Vec<(StreamKey, Cut)>>,
}

/// Which answer of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum StreamKey {
    /// The only answer under way on an HTTP/1 connection.
    Http1,
    /// An HTTP/2 answer, by its tag.
    Http2(Tag),
}

/// Why a request never reached the hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Pingora could not read it.
    Parse,
    HeaderTime,
    HeaderSize,
}

impl Refusal {
    /// The row of the books.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Refusal::Parse => "parse",
            Refusal::HeaderTime => "header_timeout",
            Refusal::HeaderSize => "header_size",
        }
    }

    /// The whole answer; of what pingora refuses it is pingora's.
    pub(super) fn answer(self) -> &'static str {
        match self {
            Refusal::Parse => "",
            Refusal::HeaderTime => {
                "HTTP/1.1 408 Request Timeout\r\nsquall-error: header-timeout\r\ncontent-length: 0\r\n\
                 connection: close\r\n\r\n"
            }
            Refusal::HeaderSize => {
                "HTTP/1.1 431 Request Header Fields Too Large\r\nsquall-error: header-size\r\n\
                 content-length: 0\r\nconnection: close\r\n\r\n"
            }
        }
    }
}

impl ConnCtl {
    pub(crate) fn new(id: u64, edge: usize, peer: SocketAddr) -> Self {
        ConnCtl {
            id,
            edge,
            peer,
            client: peer.ip().to_string().into(),
            hooked: AtomicU64::new(0),
            request_over: AtomicBool::new(false),
            refused: AtomicU8::new(0),
            framing: AtomicU64::new(NO_FRAMING),
            reset_on_close: AtomicBool::new(false),
            linger: Mutex::new(None),
            last_chunk: Mutex::new(None),
            trails: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
            armed: AtomicBool::new(false),
            tags: AtomicU32::new(0),
            cuts: Mutex::new(Vec::new()),
        }
    }

    /// Is it the first exchange of the connection?
    pub(crate) fn count_hook(&self) -> bool {
        self.hooked.fetch_add(1, Ordering::Relaxed) == 0
    }

    pub(crate) fn hooked(&self) -> u64 {
        self.hooked.load(Ordering::Relaxed)
    }

    /// An HTTP/2 stream opens.
    pub(crate) fn open_stream(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn close_stream(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    /// HTTP/2 streams open now.
    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Answers that may be under way: one on HTTP/1.
    pub(super) fn answers(&self) -> usize {
        self.streams().max(1)
    }

    pub(super) fn begin_request(&self) {
        self.request_over.store(false, Ordering::Release);
        self.framing.store(NO_FRAMING, Ordering::Release);
        if self.has_last_chunk() {
            self.take_last_chunk(); // of an answer that was not written to its end
        }
    }

    /// This request is answered before any hook, and why.
    pub(super) fn refuse(&self, why: Refusal) {
        self.refused.store(why as u8 + 1, Ordering::Release);
    }

    pub(crate) fn refusal(&self) -> Option<Refusal> {
        let at = usize::from(self.refused.load(Ordering::Acquire)).checked_sub(1)?;
        REFUSALS.get(at).copied()
    }

    /// The header of an HTTP/1 request was read: its body ends so. Said again where an answer changes that.
    pub(crate) fn frame(&self, body: BodyFraming) {
        let code = match body {
            BodyFraming::Length(length) => length.min(ENDLESS - 1),
            BodyFraming::Endless => ENDLESS,
            BodyFraming::Chunked => CHUNKED,
        };
        self.framing.store(code, Ordering::Release);
    }

    /// What was said since the last time.
    pub(super) fn take_framing(&self) -> Option<BodyFraming> {
        if self.framing.load(Ordering::Acquire) == NO_FRAMING {
            return None; // most of the time, and without a write
        }
        match self.framing.swap(NO_FRAMING, Ordering::AcqRel) {
            NO_FRAMING => None,
            ENDLESS => Some(BodyFraming::Endless),
            CHUNKED => Some(BodyFraming::Chunked),
            length => Some(BodyFraming::Length(length)),
        }
    }

    /// The request was read to its end: whatever comes now is of the next one.
    pub(crate) fn request_over(&self) {
        self.request_over.store(true, Ordering::Release);
    }

    pub(super) fn is_request_over(&self) -> bool {
        self.request_over.load(Ordering::Acquire)
    }

    /// Ends the chunked answer under way with these bytes.
    pub(crate) fn trail(&self, last_chunk: Vec<u8>) {
        *lock(&self.last_chunk) = Some(last_chunk);
        self.trails.store(true, Ordering::Release);
    }

    /// What is to end the chunked answer under way, once it ends.
    pub(super) fn take_last_chunk(&self) -> Option<Vec<u8>> {
        self.trails.store(false, Ordering::Release);
        lock(&self.last_chunk).take()
    }

    pub(super) fn has_last_chunk(&self) -> bool {
        self.trails.load(Ordering::Acquire)
    }

    /// Keeps the socket open behind the stream, since a close with unread bytes would take the answer back.
    pub(crate) fn linger(&self, socket: TcpStream) {
        *lock(&self.linger) = Some(socket);
    }

    pub(crate) fn take_lingering(&self) -> Option<TcpStream> {
        lock(&self.linger).take()
    }

    /// Close with RST instead of FIN when the stream is dropped.
    pub(crate) fn reset_on_close(&self) {
        self.reset_on_close.store(true, Ordering::Release);
    }

    pub(crate) fn wants_reset(&self) -> bool {
        self.reset_on_close.load(Ordering::Acquire)
    }

    /// Asks the stream to cut an answer whose header has not been written out yet.
    pub(crate) fn arm(&self, key: StreamKey, cut: Cut) {
        let mut cuts = lock(&self.cuts);
        if cuts.len() == MAX_ARMED {
            cuts.remove(0); // of a stream that its client gave up before the header left
        }
        cuts.push((key, cut));
        drop(cuts);
        self.armed.store(true, Ordering::Release);
    }

    /// Takes back a cut that was not reached.
    pub(crate) fn disarm(&self, key: StreamKey) {
        let mut cuts = lock(&self.cuts);
        cuts.retain(|(armed, _)| *armed != key);
        self.armed.store(!cuts.is_empty(), Ordering::Release);
    }

    /// The stream's question on every write: is there anything to cut? One load where there is not.
    pub(crate) fn is_armed(&self) -> bool {
        self.armed.load(Ordering::Acquire)
    }

    /// A tag for an answer whose cut will be armed.
    pub(crate) fn next_tag(&self) -> Tag {
        Tag::new(self.tags.fetch_add(1, Ordering::Relaxed))
    }

    /// Hands over, for good, the cut whose tag an answer's header bears; the tag is taken out of it.
    pub(super) fn take_tagged(&self, block: &mut Vec<u8>) -> Option<Cut> {
        let mut cuts = lock(&self.cuts);
        let bears =
            |(key, _): &(StreamKey, Cut)| matches!(key, StreamKey::Http2(tag) if tag.take_from(block));
        let at = cuts.iter().position(bears)?;
        let (_, cut) = cuts.swap_remove(at);
        self.armed.store(!cuts.is_empty(), Ordering::Release);
        Some(cut)
    }

    pub(crate) fn cut_for(&self, key: StreamKey) -> Option<Cut> {
        lock(&self.cuts).iter().find(|(armed, _)| *armed == key).map(|(_, cut)| cut.clone())
    }
}

/// Cuts that wait for their header, a connection: more than it may have streams.
const MAX_ARMED: usize = 1024;

const REFUSALS: [Refusal; 3] = [Refusal::Parse, Refusal::HeaderTime, Refusal::HeaderSize];

/// Framings as one number: these, and any other for a length.
const NO_FRAMING: u64 = u64::MAX;
const CHUNKED: u64 = u64::MAX - 1;
const ENDLESS: u64 = u64::MAX - 2;
