//! What is asked of a connection's write side: end this answer after so many body bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An answer that is to be torn off. Cheap to clone: both the fault path and the stream hold it.
#[derive(Debug, Clone)]
pub(crate) struct Cut {
    /// Body bytes (payload, without chunk framing) that still go out. 0: right after the header.
    pub(crate) after: u64,
    hit: Arc<AtomicBool>,
    made: Arc<AtomicBool>,
}

impl Cut {
    /// A cut after `after` payload bytes.
    pub(crate) fn after(after: u64) -> Self {
        Cut { after, hit: Arc::default(), made: Arc::default() }
    }

    /// The asked byte has been written: the cut is made now, or when its frames reach the wire.
    pub(crate) fn mark_hit(&self) {
        self.hit.store(true, Ordering::Release);
    }

    /// Did it happen? False where the answer ended before the asked byte.
    pub(crate) fn was_hit(&self) -> bool {
        self.hit.load(Ordering::Acquire)
    }

    /// The frame layer has cut the stream.
    pub(crate) fn mark_made(&self) {
        self.made.store(true, Ordering::Release);
    }

    /// Has it? Then nothing that is written to the stream goes anywhere.
    pub(crate) fn was_made(&self) -> bool {
        self.made.load(Ordering::Acquire)
    }
}
