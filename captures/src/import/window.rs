//! A moving view of an input: as much as is asked for lies in memory, and where it is in the file is known.

use std::io::{BufRead, Read};

/// The part of an input that is looked at.
pub(super) struct Window<R> {
    input: R,
    buffer: Vec<u8>,
    /// Where in `buffer` the view begins.
    start: usize,
    /// Where in the input that is.
    offset: u64,
    /// Why the input ended, if not because it was over.
    failed: Option<String>,
    ended: bool,
}

impl<R: BufRead> Window<R> {
    pub(super) fn new(input: R) -> Window<R> {
        Window { input, buffer: Vec::new(), start: 0, offset: 0, failed: None, ended: false }
    }

    /// Makes `wanted` bytes available, or all that are left; returns how many there are.
    pub(super) fn fill(&mut self, wanted: usize) -> usize {
        if DEAD < self.start {
            self.buffer.drain(..self.start);
            self.start = 0;
            self.buffer.shrink_to(4 * DEAD);
        }
        while !self.ended && self.buffer.len() - self.start < wanted {
            let step = (wanted - (self.buffer.len() - self.start)).clamp(STEP, DEAD) as u64;
            match self.input.by_ref().take(step).read_to_end(&mut self.buffer) {
                Ok(0) => self.ended = true,
                Ok(_) => {}
                Err(err) => {
                    self.failed = Some(err.to_string());
                    self.ended = true;
                }
            }
        }
        self.buffer.len() - self.start
    }

    /// What is available.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// What was passed over last; valid until the next [`Window::fill`].
    pub(super) fn passed(&self, len: usize) -> &[u8] {
        &self.buffer[self.start - len..self.start]
    }

    /// Passes over bytes that are available.
    pub(super) fn advance(&mut self, n: usize) {
        let n = n.min(self.buffer.len() - self.start);
        self.start += n;
        self.offset += n as u64;
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Why the input broke off, once.
    pub(super) fn take_failure(&mut self) -> Option<String> {
        self.failed.take()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }
}

/// Bytes that may lie before the view before they are given up.
const DEAD: usize = 1 << 20;
const STEP: usize = 64 << 10;
