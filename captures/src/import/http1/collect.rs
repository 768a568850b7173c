//! A body as it arrives: length and hash of all of it, its bytes as far as they are kept.

use std::cell::Cell;
use std::rc::Rc;

use xxhash_rust::xxh3::Xxh3;

use crate::Body;

/// Bytes that all bodies, or whatever else waits, of an import may hold at one time.
#[derive(Clone, Debug, Default)]
pub(in crate::import) struct Budget(Rc<Cell<usize>>);

/// One body.
pub(in crate::import) struct Collector {
    len: u64,
    hash: Box<Xxh3>,
    /// Every byte was seen.
    is_whole: bool,
    data: Vec<u8>,
    /// Bytes are still added to `data`.
    is_kept: bool,
    budget: Budget,
}

impl Budget {
    /// Whether so many bytes more would be too many.
    pub(in crate::import) fn is_spent(&self, more: usize) -> bool {
        LIMIT < self.0.get().saturating_add(more)
    }

    pub(in crate::import) fn take(&self, n: usize) {
        self.0.set(self.0.get().saturating_add(n));
    }

    pub(in crate::import) fn give_back(&self, n: usize) {
        self.0.set(self.0.get().saturating_sub(n));
    }
}

impl Collector {
    /// Keeps the bytes too, if `keep` says so.
    pub(in crate::import) fn new(keep: bool, budget: &Budget) -> Collector {
        let hash = Box::new(Xxh3::new());
        Collector { len: 0, hash, is_whole: true, data: Vec::new(), is_kept: keep, budget: budget.clone() }
    }

    pub(in crate::import) fn push(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        self.hash.update(bytes);
        if !self.is_kept {
            return;
        }
        if self.budget.is_spent(bytes.len()) || ONE_BODY < self.data.len() + bytes.len() {
            self.is_kept = false;
            return;
        }
        self.budget.take(bytes.len());
        self.data.extend_from_slice(bytes);
    }

    /// Bytes that were not seen; nothing after them is kept.
    pub(in crate::import) fn miss(&mut self, n: u64) {
        if n != 0 {
            self.len = self.len.saturating_add(n);
            self.is_whole = false;
            self.is_kept = false;
        }
    }

    /// The body, and whether bytes of it are missing that were to be kept.
    pub(in crate::import) fn finish(mut self, keep: bool) -> (Body, bool) {
        let data = std::mem::take(&mut self.data);
        self.budget.give_back(data.len());
        let is_cut = !self.is_whole || keep && data.len() as u64 != self.len;
        let data = (keep && self.len != 0).then(|| data.into());
        let hash = (self.is_whole && self.len != 0).then(|| self.hash.digest());
        (Body { len: self.len, hash, data }, is_cut)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.budget.give_back(self.data.len());
    }
}

/// An exchange with more could not be stored.
const ONE_BODY: usize = 32 << 20;
const LIMIT: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_what_is_seen_is_counted() {
        let budget = Budget::default();
        let mut body = Collector::new(true, &budget);
        body.push(b"hello ");
        body.push(b"world");
        assert_eq!(body.finish(true), (Body::whole(&b"hello world"[..]), false));
        let mut large = Collector::new(true, &budget);
        let chunk = vec![0; 1 << 20];
        (0..40).for_each(|_| large.push(&chunk));
        assert!(budget.0.get() == 32 << 20);
        let (body, is_cut) = large.finish(true);
        assert_eq!((body.len, body.data.map(|data| data.len()), is_cut), (40 << 20, Some(32 << 20), true));
        let mut torn = Collector::new(true, &budget);
        torn.push(b"abc");
        torn.miss(4);
        torn.push(b"xyz");
        let (body, is_cut) = torn.finish(true);
        assert_eq!((body.len, body.hash, body.data.as_deref(), is_cut), (10, None, Some(&b"abc"[..]), true));
        let mut counted = Collector::new(false, &budget);
        counted.push(b"abc");
        assert!(matches!(counted.finish(false), (Body { len: 3, hash: Some(_), data: None }, false)));
        assert_eq!(Collector::new(true, &budget).finish(true).0, Body::default());
        drop(Collector::new(true, &budget));
        assert_eq!(budget.0.get(), 0);
    }
}
