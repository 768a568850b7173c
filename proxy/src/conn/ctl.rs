//! What the HTTP layer and the stream below it tell each other about one connection.

use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::cut::Cut;
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
    refused: AtomicBool,
    reset_on_close: AtomicBool,
    linger: Mutex<Option<TcpStream>>,
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

impl ConnCtl {
    pub(crate) fn new(id: u64, edge: usize, peer: SocketAddr) -> Self {
        ConnCtl {
            id,
            edge,
            peer,
            client: peer.ip().to_string().into(),
            hooked: AtomicU64::new(0),
            request_over: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            reset_on_close: AtomicBool::new(false),
            linger: Mutex::new(None),
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

    pub(super) fn begin_request(&self) {
        self.request_over.store(false, Ordering::Release);
    }

    /// Pingora answers this request by itself: it reaches no hook.
    pub(super) fn refuse(&self) {
        self.refused.store(true, Ordering::Release);
    }

    pub(crate) fn was_refused(&self) -> bool {
        self.refused.load(Ordering::Acquire)
    }

    /// The request was read to its end: whatever comes now is of the next one.
    pub(crate) fn request_over(&self) {
        self.request_over.store(true, Ordering::Release);
    }

    pub(super) fn is_request_over(&self) -> bool {
        self.request_over.load(Ordering::Acquire)
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
