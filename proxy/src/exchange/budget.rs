//! Memory that all exchanges under way share for what the recording keeps of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How much may be held, and how much is.
#[derive(Debug)]
pub(crate) struct Budget {
    held: AtomicUsize,
    most: usize,
}

/// What one holder has of a budget; given back when dropped. Without a budget everything fits.
#[derive(Debug, Default)]
pub(crate) struct Held {
    budget: Option<Arc<Budget>>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(most: usize) -> Arc<Budget> {
        Arc::new(Budget { held: AtomicUsize::new(0), most })
    }

    /// Bytes that are held now.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl Held {
    pub(crate) fn of(budget: &Arc<Budget>) -> Held {
        Held { budget: Some(budget.clone()), bytes: 0 }
    }

    /// Takes so many bytes more; `false`: they do not fit, and none were taken.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        if let Some(budget) = &self.budget {
            if budget.most < budget.held.fetch_add(bytes, Ordering::Relaxed) + bytes {
                budget.held.fetch_sub(bytes, Ordering::Relaxed);
                return false;
            }
            self.bytes += bytes;
        }
        true
    }

    /// Gives all of it back.
    pub(crate) fn release(&mut self) {
        if let Some(budget) = &self.budget {
            budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
            self.bytes = 0;
        }
    }

    /// Bytes of the budget that it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
    }
}

/// What the bodies and messages of all exchanges under way may take together.
pub(crate) const MAX_HELD: usize = 256 << 20;
