//! What is asked of the frame layer of an HTTP/2 connection: end this stream behind so many body bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use tokio::sync::watch;

/// A stream that may be torn off. Cheap to clone: both who decides where and the frame layer hold it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Bytes that still go out. Says all else, too: written last.
    after: AtomicU64,
    code: AtomicU32,
    connection: AtomicBool,
    made: watch::Sender<bool>,
}

impl Cut {
    /// The stream ends behind so many bytes of its DATA frames (0: right behind its header), by RST_STREAM with this code;
    /// or by RST of the whole connection.
    pub(crate) fn cut_after(&self, bytes: u64, code: u32, connection: bool) {
        self.0.code.store(code, Ordering::Relaxed);
        self.0.connection.store(connection, Ordering::Relaxed);
        self.0.after.store(bytes, Ordering::Release);
    }

    /// Bytes that still go out, after so many have.
    pub(super) fn left(&self, passed: u64) -> u64 {
        self.0.after.load(Ordering::Acquire).saturating_sub(passed)
    }

    pub(super) fn code(&self) -> u32 {
        self.0.code.load(Ordering::Relaxed)
    }

    pub(super) fn takes_connection(&self) -> bool {
        self.0.connection.load(Ordering::Relaxed)
    }

    /// The frame layer has cut the stream.
    pub(super) fn mark_made(&self) {
        self.0.made.send_replace(true);
    }

    /// Has it? Then nothing that is written to the stream goes anywhere.
    #[cfg(test)]
    pub(super) fn was_made(&self) -> bool {
        *self.0.made.borrow()
    }

    /// Resolves when the frame layer has cut the stream.
    ///
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn made(&self) {
        // an error is impossible: the sender is in the same cut
        let _ = self.0.made.subscribe().wait_for(|made| *made).await;
    }
}

impl Default for Shared {
    /// Nowhere yet.
    fn default() -> Self {
        Shared {
            after: AtomicU64::new(u64::MAX),
            code: AtomicU32::new(0),
            connection: AtomicBool::new(false),
            made: watch::channel(false).0,
        }
    }
}
