//! What the HTTP layer and the stream below it tell each other about one connection.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::cut::Cut;
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
    /// Exchanges that reached our hooks; the accept loop compares it to find requests that did not.
    hooked: AtomicU64,
    reset_on_close: AtomicBool,
    armed: AtomicBool,
    cuts: Mutex<Vec<(StreamKey, Cut)>>,
}

/// Which answer of a connection: HTTP/1 has one at a time, HTTP/2 one a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum StreamKey {
    /// The only answer under way on an HTTP/1 connection.
    Http1,
    /// An HTTP/2 stream id.
    Http2(u32),
}

impl ConnCtl {
    pub(crate) fn new(id: u64, edge: usize, peer: SocketAddr) -> Self {
        ConnCtl {
            id,
            edge,
            peer,
            hooked: AtomicU64::new(0),
            reset_on_close: AtomicBool::new(false),
            armed: AtomicBool::new(false),
            cuts: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn count_hook(&self) {
        self.hooked.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn hooked(&self) -> u64 {
        self.hooked.load(Ordering::Relaxed)
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
        lock(&self.cuts).push((key, cut));
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

    /// Hands an HTTP/2 cut over for good.
    pub(crate) fn take_cut(&self, key: StreamKey) -> Option<Cut> {
        let mut cuts = lock(&self.cuts);
        let at = cuts.iter().position(|(armed, _)| *armed == key)?;
        let (_, cut) = cuts.swap_remove(at);
        self.armed.store(!cuts.is_empty(), Ordering::Release);
        Some(cut)
    }

    pub(crate) fn cut_for(&self, key: StreamKey) -> Option<Cut> {
        lock(&self.cuts).iter().find(|(armed, _)| *armed == key).map(|(_, cut)| cut.clone())
    }
}
