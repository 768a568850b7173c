//! What is asked of the frame layer of an HTTP/2 connection: end this stream behind so many body bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// A stream that is to be torn off. Cheap to clone: both who decides where and the frame layer hold it.
#[derive(Debug, Clone)]
pub(crate) struct Cut {
    /// Of RST_STREAM.
    pub(crate) code: u32,
    /// TCP RST of the whole connection instead.
    pub(crate) connection: bool,
    after: Arc<AtomicU64>,
    made: Arc<watch::Sender<bool>>,
}

impl Cut {
    /// A cut at a place that is not known yet.
    pub(crate) fn new(code: u32, connection: bool) -> Self {
        let after = Arc::new(AtomicU64::new(u64::MAX));
        Cut { code, connection, after, made: Arc::new(watch::channel(false).0) }
    }

    /// The stream ends behind so many bytes of its DATA frames; 0: right behind its header.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.after.store(bytes, Ordering::Release);
    }

    /// Bytes that still go out, after so many have.
    pub(super) fn left(&self, passed: u64) -> u64 {
        self.after.load(Ordering::Acquire).saturating_sub(passed)
    }

    /// The frame layer has cut the stream.
    pub(super) fn mark_made(&self) {
        self.made.send_replace(true);
    }

    /// Has it? Then nothing that is written to the stream goes anywhere.
    #[cfg(test)]
    pub(super) fn was_made(&self) -> bool {
        *self.made.borrow()
    }

    /// Resolves when the frame layer has cut the stream.
    ///
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn made(&self) {
        // an error is impossible: the sender is in the same cut
        let _ = self.made.subscribe().wait_for(|made| *made).await;
    }
}
