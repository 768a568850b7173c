//! One direction's bytes between the sockets, and when each may go.
//!
//! ```text
//! socket -> [ waiting | due | cleared ] -> socket
//! ```
//!
//! A piece of bytes, as one read gave it, is due at its arrival plus the delays in force, and never before the piece in
//! front of it: a delay moves bytes, it does not thin them out. What is cleared has passed every rule.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};

/// The bytes of one direction.
#[derive(Debug, Default)]
pub(super) struct Line {
    bytes: BytesMut,
    /// Of those, from the front, how many are cleared.
    cleared: usize,
    /// What lies behind the cleared bytes.
    pieces: VecDeque<Piece>,
    /// Number of the next piece.
    next: u64,
}

/// What one read gave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) nth: u64,
    pub(super) arrived: Instant,
    pub(super) due: Instant,
    len: usize,
    pub(super) what: Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Bytes,
    /// The sender's FIN.
    Fin,
    /// The sender's RST.
    Reset,
}

impl Line {
    /// Bytes that are here, cleared or not.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.pieces.is_empty()
    }

    pub(super) fn cleared(&self) -> &[u8] {
        &self.bytes[..self.cleared]
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Bytes (or an end) have arrived, to be due after a delay.
    pub(super) fn push(&mut self, bytes: &[u8], what: Content, arrived: Instant, delay: Duration) {
        let due = self.pieces.back().map_or(arrived, |last| last.due).max(arrived + delay);
        self.bytes.extend_from_slice(bytes);
        self.pieces.push_back(Piece { nth: self.next, arrived, due, len: bytes.len(), what });
        self.next += 1;
    }

    /// Bytes that no rule holds, behind others that are cleared.
    pub(super) fn push_cleared(&mut self, bytes: &[u8]) {
        debug_assert!(self.pieces.is_empty(), "order");
        self.bytes.extend_from_slice(bytes);
        self.cleared += bytes.len();
    }

    /// The delays are others now.
    pub(super) fn reckon(&mut self, mut delay: impl FnMut(&Piece) -> Duration) {
        let mut last = None;
        for piece in &mut self.pieces {
            let due = piece.arrived + delay(piece);
            piece.due = last.map_or(due, |last: Instant| last.max(due));
            last = Some(piece.due);
        }
    }

    /// No rule holds anything any more, in whatever state one has left this.
    pub(super) fn let_go(&mut self) {
        self.cleared = self.bytes.len();
        self.pieces.retain(|piece| piece.what != Content::Bytes);
        self.pieces.iter_mut().for_each(|piece| piece.due = piece.arrived);
    }

    /// Bytes that are due, up to the end of the direction.
    pub(super) fn due(&self, now: Instant) -> usize {
        self.pieces
            .iter()
            .take_while(|piece| piece.what == Content::Bytes && piece.due <= now)
            .map(|piece| piece.len)
            .sum()
    }

    /// When the piece in front will be due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.pieces.front().map(|piece| piece.due)
    }

    /// The bytes in front that are not cleared.
    pub(super) fn front(&mut self, n: usize) -> &mut [u8] {
        let (from, to) = (self.cleared, (self.cleared + n).min(self.bytes.len()));
        &mut self.bytes[from..to]
    }

    /// So many bytes in front may go. Calls `whole` for each piece whose last byte is among them.
    pub(super) fn clear(&mut self, n: usize, mut whole: impl FnMut(&Piece)) {
        self.cleared += n;
        let mut left = n;
        while let Some(piece) =
            self.pieces.front_mut().filter(|piece| piece.what == Content::Bytes && 0 < left)
        {
            let some = left.min(piece.len);
            piece.len -= some;
            left -= some;
            if piece.len == 0 {
                whole(piece);
                self.pieces.pop_front();
            }
        }
    }

    /// Whether the end of the direction is next, and due.
    pub(super) fn is_ending(&self, now: Instant) -> bool {
        self.pieces.front().is_some_and(|piece| piece.what != Content::Bytes && piece.due <= now)
    }

    /// The end of the direction, if it is next and due.
    pub(super) fn take_end(&mut self, now: Instant) -> Option<Piece> {
        let end =
            self.pieces.front().filter(|piece| piece.what != Content::Bytes && piece.due <= now).copied()?;
        self.pieces.pop_front();
        Some(end)
    }

    /// The socket took so many cleared bytes.
    pub(super) fn sent(&mut self, n: usize) {
        self.cleared -= n;
        self.bytes.advance(n);
    }

    /// Gives the memory back once nothing is here.
    pub(super) fn rest(&mut self) {
        if self.is_empty() && 0 < self.bytes.capacity() {
            self.bytes = BytesMut::new();
            self.pieces = VecDeque::new();
        }
    }

    /// Nothing of it will go: how many bytes that are.
    pub(super) fn give_up(&mut self) -> usize {
        let lost = self.len();
        self.bytes = BytesMut::new();
        self.pieces.clear();
        self.cleared = 0;
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_delay_moves_bytes_and_keeps_their_order() {
        let start = Instant::now();
        let mut line = Line::default();
        line.push(b"aa", Content::Bytes, start, ms(100));
        line.push(b"bb", Content::Bytes, start + ms(10), ms(20)); // jitter must not let it overtake
        line.push(b"", Content::Fin, start + ms(11), Duration::ZERO);
        assert_eq!(line.due(start + ms(99)), 0);
        assert_eq!(line.due(start + ms(100)), 4, "both at once: no second delay behind the first");
        assert_eq!(line.next_due(), Some(start + ms(100)));
        assert!(line.take_end(start + ms(100)).is_none(), "bytes first");
        let mut whole = Vec::new();
        line.clear(3, |piece| whole.push(piece.nth));
        assert_eq!((whole.as_slice(), line.cleared()), ([0].as_slice(), b"aab".as_slice()));
        line.clear(1, |piece| whole.push(piece.nth));
        assert_eq!(line.take_end(start + ms(100)).map(|end| end.what), Some(Content::Fin));
        line.sent(4);
        assert!(line.is_empty());
    }

    #[test]
    fn a_delay_that_is_gone_lets_all_go_at_once() {
        let start = Instant::now();
        let mut line = Line::default();
        for n in 0..10 {
            line.push(&[n; 100], Content::Bytes, start + ms(n.into()), ms(1_000));
        }
        line.reckon(|_| Duration::ZERO);
        assert_eq!(line.due(start + ms(9)), 1_000);
        line.reckon(|piece| ms(if piece.nth == 0 { 50 } else { 0 }));
        assert_eq!((line.due(start + ms(49)), line.due(start + ms(50))), (0, 1_000));
        assert_eq!(line.give_up(), 1_000);
    }

    #[test]
    fn what_a_bug_has_left_half_done_goes_on_whole() {
        let start = Instant::now();
        let mut line = Line::default();
        line.push(b"aa", Content::Bytes, start, ms(100));
        line.push(b"bb", Content::Bytes, start, ms(100));
        line.push(b"", Content::Fin, start, ms(100));
        let told = std::panic::AssertUnwindSafe(|| line.clear(3, |_| panic!("in the fault path")));
        assert!(std::panic::catch_unwind(told).is_err());
        line.let_go();
        assert_eq!(line.cleared(), b"aabb");
        line.sent(4);
        assert_eq!(line.take_end(start).map(|end| end.what), Some(Content::Fin));
        assert!(line.is_empty());
    }
}
