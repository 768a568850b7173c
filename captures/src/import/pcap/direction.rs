//! One direction of a TCP connection: puts what its segments hold in order.
//!
//! What comes again is dropped, what comes early waits. Bytes that never come are a gap: they are given up when the
//! receiver says that it has them and still they do not follow, when too much waits behind them, or when the
//! connection ends. Places in the stream are counted in 64 bits from the first byte, so nothing wraps around.

use std::collections::BTreeMap;

use super::packet::Segment;
use crate::import::http1::collect::Budget;

/// What stands next in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    Data {
        bytes: &'a [u8],
        at_us: u64,
        /// How much of the other direction the sender had then; `u64::MAX` where it does not say.
        acked: u64,
    },
    /// Bytes that were not captured: of a packet that was cut, or of packets that are missing.
    Gap { len: u64, in_packet: bool },
}

/// What happened to segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Segments, or parts of them, that had come before.
    pub(super) repeated: u64,
    /// Segments ahead of one that came later, or never.
    pub(super) early: u64,
    pub(super) gaps: u64,
    /// Bytes in those gaps.
    pub(super) missing: u64,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Direction {
    /// Sequence number of the next byte, once one is known.
    next_seq: Option<u32>,
    /// Its place in the stream.
    offset: u64,
    /// Segments that came early, by their place.
    held: BTreeMap<u64, Held>,
    held_bytes: usize,
    /// Where the stream ends.
    end: Option<u64>,
    /// How much the receiver said it has.
    acked: u64,
    /// Number of the connection's packet at which the receiver was found to have more than we.
    hole_since: Option<u64>,
    /// What all directions hold together is bounded, too.
    budget: Budget,
    pub(super) counts: Counts,
}

#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    missing: usize,
    at_us: u64,
    acked: u64,
}

impl Direction {
    pub(super) fn new(budget: &Budget) -> Direction {
        Direction {
            next_seq: None,
            offset: 0,
            held: BTreeMap::new(),
            held_bytes: 0,
            end: None,
            acked: 0,
            hole_since: None,
            budget: budget.clone(),
            counts: Counts::default(),
        }
    }

    /// Says where the stream begins, if nobody said before.
    pub(super) fn begin(&mut self, seq: u32) {
        self.next_seq.get_or_insert(seq);
    }

    /// Nothing of it was seen.
    pub(super) fn is_untouched(&self) -> bool {
        self.offset == 0 && self.held.is_empty()
    }

    /// All of it was seen.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_some_and(|end| end <= self.offset)
    }

    /// The receiver has everything up to `seq`; returns which place that is.
    pub(super) fn ack(&mut self, seq: u32) -> u64 {
        let Some(next) = self.next_seq else { return u64::MAX };
        let ahead = i64::from(seq.wrapping_sub(next) as i32);
        let place = self.offset.saturating_add_signed(ahead);
        self.acked = self.acked.max(place);
        place
    }

    /// Takes a segment, `acked` being what it says of the other direction, and hands on what is in order then.
    pub(super) fn push(
        &mut self,
        segment: &Segment<'_>,
        at_us: u64,
        acked: u64,
        out: &mut dyn FnMut(u64, Event<'_>),
    ) {
        let seq = segment.seq.wrapping_add(u32::from(segment.syn));
        let ahead = i64::from(seq.wrapping_sub(*self.next_seq.get_or_insert(seq)) as i32);
        let len = segment.payload.len() + segment.missing;
        if segment.fin {
            self.end = Some(self.offset.saturating_add_signed(ahead) + len as u64);
        }
        if len == 0 {
            return;
        }
        if 0 < ahead {
            self.counts.early += 1;
            let held = Held { bytes: segment.payload.to_vec(), missing: segment.missing, at_us, acked };
            self.hold(self.offset + ahead as u64, held);
            while MAX_HELD < self.held_bytes || self.budget.is_spent(0) && !self.held.is_empty() {
                self.skip_hole(out);
            }
            return;
        }
        let old = ahead.unsigned_abs() as usize;
        self.counts.repeated += u64::from(old != 0);
        if old < len {
            let known = old.min(segment.payload.len());
            let missing = len - old.max(segment.payload.len());
            self.deliver((&segment.payload[known..], missing), at_us, acked, out);
            self.release(out);
        }
    }

    /// Gives up bytes that the receiver has had for long. `packets` counts those of the connection.
    pub(super) fn look_for_holes(&mut self, packets: u64, out: &mut dyn FnMut(u64, Event<'_>)) {
        // the end counts as a byte
        let had = self.acked.min(self.end.unwrap_or(u64::MAX));
        if had <= self.offset {
            self.hole_since = None;
            return;
        }
        let since = *self.hole_since.get_or_insert(packets);
        if packets - since < PATIENCE {
            return;
        }
        self.hole_since = None;
        let to = self.held.first_key_value().map_or(had, |(place, _)| had.min(*place));
        if to - self.offset == 1 && self.held.is_empty() {
            // a lost FIN looks like this, and a lost byte hardly ever is one
            self.end = Some(self.offset);
            return;
        }
        self.gap(to - self.offset, false, out);
        self.release(out);
    }

    /// No more segments come: hands on all that waits. What lies far beyond anything that was received is a stray.
    pub(super) fn finish(&mut self, out: &mut dyn FnMut(u64, Event<'_>)) {
        if self.offset <= self.acked {
            let beyond = self.acked.saturating_add(MAX_HELD as u64);
            let strays = self.held.split_off(&beyond);
            let bytes: usize = strays.values().map(|held| held.bytes.len() + HELD_OVERHEAD).sum();
            self.held_bytes -= bytes;
            self.budget.give_back(bytes);
        }
        while !self.held.is_empty() {
            self.skip_hole(out);
        }
        let had = self.acked.min(self.end.unwrap_or(u64::MAX));
        if self.offset + 1 < had {
            self.gap(had - self.offset, false, out);
        }
    }

    fn hold(&mut self, place: u64, held: Held) {
        let len = held.bytes.len() + HELD_OVERHEAD;
        match self.held.get(&place) {
            Some(known) if held.bytes.len() <= known.bytes.len() => self.counts.repeated += 1,
            _ => {
                let before =
                    self.held.insert(place, held).map_or(0, |before| before.bytes.len() + HELD_OVERHEAD);
                self.held_bytes = self.held_bytes + len - before;
                self.budget.take(len);
                self.budget.give_back(before);
            }
        }
    }

    /// Hands on what waited for what was just handed on.
    fn release(&mut self, out: &mut dyn FnMut(u64, Event<'_>)) {
        while let Some(entry) = self.held.first_entry().filter(|entry| *entry.key() <= self.offset) {
            let (place, held) = entry.remove_entry();
            self.held_bytes -= held.bytes.len() + HELD_OVERHEAD;
            self.budget.give_back(held.bytes.len() + HELD_OVERHEAD);
            let old = usize::try_from(self.offset - place).unwrap_or(usize::MAX);
            let len = held.bytes.len() + held.missing;
            if old < len {
                let known = old.min(held.bytes.len());
                let missing = len - old.max(held.bytes.len());
                self.deliver((&held.bytes[known..], missing), held.at_us, held.acked, out);
            }
        }
    }

    fn skip_hole(&mut self, out: &mut dyn FnMut(u64, Event<'_>)) {
        if let Some((place, _)) = self.held.first_key_value() {
            self.gap(place.saturating_sub(self.offset), false, out);
            self.release(out);
        }
    }

    /// Bytes that were captured, and how many behind them were not.
    fn deliver(
        &mut self,
        (bytes, missing): (&[u8], usize),
        at_us: u64,
        acked: u64,
        out: &mut dyn FnMut(u64, Event<'_>),
    ) {
        if !bytes.is_empty() {
            let place = self.offset;
            self.advance(bytes.len() as u64);
            out(place, Event::Data { bytes, at_us, acked });
        }
        self.gap(missing as u64, true, out);
    }

    fn gap(&mut self, len: u64, in_packet: bool, out: &mut dyn FnMut(u64, Event<'_>)) {
        if len != 0 {
            self.counts.gaps += 1;
            self.counts.missing += len;
            let place = self.offset;
            self.advance(len);
            out(place, Event::Gap { len, in_packet });
        }
    }

    fn advance(&mut self, len: u64) {
        self.offset += len;
        self.next_seq = self.next_seq.map(|seq| seq.wrapping_add(len as u32));
    }
}

impl Drop for Direction {
    fn drop(&mut self) {
        self.budget.give_back(self.held_bytes);
    }
}

/// More than fits into the window of most connections.
const MAX_HELD: usize = 4 << 20;
const HELD_OVERHEAD: usize = 128;
/// Packets of a connection until what the receiver has counts as not captured. Some captures note an acknowledgement
/// before what it acknowledges.
const PATIENCE: u64 = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segment(seq: u32, payload: &[u8], missing: usize) -> Segment<'_> {
        Segment {
            from: ([10, 0, 0, 1], 1).into(),
            to: ([10, 0, 0, 2], 2).into(),
            seq,
            ack: None,
            syn: false,
            fin: false,
            rst: false,
            payload,
            missing,
        }
    }

    /// What came out: bytes as they are, a dot for each that is missing.
    #[derive(Default)]
    struct Out(String);

    impl Out {
        fn take(&mut self, place: u64, event: Event<'_>) {
            assert_eq!(place, self.0.len() as u64);
            match event {
                Event::Data { bytes, .. } => self.0.push_str(std::str::from_utf8(bytes).unwrap()),
                Event::Gap { len, .. } => self.0.push_str(&".".repeat(len as usize)),
            }
        }
    }

    fn run(start: u32, segments: &[(u32, &str, usize)]) -> (String, Counts) {
        let (mut direction, mut out) = (Direction::new(&Budget::default()), Out::default());
        direction.begin(start);
        for (at, payload, missing) in segments {
            let segment = segment(start.wrapping_add(*at), payload.as_bytes(), *missing);
            direction.push(&segment, 0, u64::MAX, &mut |place, event| out.take(place, event));
        }
        direction.finish(&mut |place, event| out.take(place, event));
        (out.0, direction.counts)
    }

    #[test]
    fn segments_come_in_order() {
        // also where the numbers wrap around
        for start in [0, 1000, u32::MAX - 3] {
            let check = |segments: &[(u32, &str, usize)], expect: &str, counts: (u64, u64, u64, u64)| {
                let (found, n) = run(start, segments);
                assert_eq!(found, expect, "{segments:?}");
                assert_eq!((n.repeated, n.early, n.gaps, n.missing), counts, "{segments:?}");
            };
            check(&[(0, "abc", 0), (3, "def", 0)], "abcdef", (0, 0, 0, 0));
            check(&[(3, "def", 0), (0, "abc", 0)], "abcdef", (0, 1, 0, 0));
            check(&[(0, "abc", 0), (0, "abc", 0), (3, "d", 0)], "abcd", (1, 0, 0, 0));
            check(&[(0, "abc", 0), (1, "bcde", 0), (2, "cd", 0)], "abcde", (2, 0, 0, 0));
            check(&[(6, "g", 0), (2, "cdef", 0), (4, "ef", 0), (0, "abcd", 0)], "abcdefg", (0, 3, 0, 0));
            check(&[(3, "d", 0), (3, "def", 0), (3, "de", 0), (0, "abc", 0)], "abcdef", (1, 3, 0, 0));
            check(&[(0, "abc", 0), (5, "fg", 0)], "abc..fg", (0, 1, 1, 2));
            check(&[(0, "ab", 3), (5, "f", 0)], "ab...f", (0, 0, 1, 3));
            check(&[(5, "f", 0), (0, "ab", 3)], "ab...f", (0, 1, 1, 3));
            check(&[(0, "ab", 3), (1, "bcdef", 0)], "ab...f", (1, 0, 1, 3));
        }
    }

    #[test]
    fn what_the_receiver_has_and_we_have_not_is_given_up() {
        let (mut direction, mut out) = (Direction::new(&Budget::default()), Out::default());
        direction.begin(100);
        direction.push(&segment(100, b"abc", 0), 0, 0, &mut |place, event| out.take(place, event));
        assert_eq!(direction.ack(110), 10);
        direction.push(&segment(108, b"ij", 0), 0, 0, &mut |place, event| out.take(place, event));
        for packets in 1..1 + PATIENCE {
            direction.look_for_holes(packets, &mut |place, event| out.take(place, event));
        }
        assert_eq!(out.0, "abc");
        direction.look_for_holes(1 + PATIENCE, &mut |place, event| out.take(place, event));
        assert_eq!(out.0, "abc.....ij");
        assert_eq!((direction.ack(111), direction.is_over()), (11, false), "a lost end of the stream");
        (0..=PATIENCE).for_each(|packets| direction.look_for_holes(packets, &mut |_, _| panic!("no gap")));
        assert!(direction.is_over());
    }

    #[test]
    fn strays_are_no_gaps_and_what_waits_is_bounded() {
        let (mut direction, mut out) = (Direction::new(&Budget::default()), Out::default());
        direction.begin(0);
        direction.ack(0);
        direction.push(&segment(1 << 30, b"stray", 0), 0, 0, &mut |place, event| out.take(place, event));
        direction.finish(&mut |place, event| out.take(place, event));
        assert_eq!((out.0.as_str(), direction.counts.missing), ("", 0));
        let large = vec![b'x'; 60_000];
        let mut direction = Direction::new(&Budget::default());
        direction.begin(0);
        let mut gaps = 0;
        for n in 0..1000u32 {
            let segment = segment(10 + n * 120_000, &large, 0);
            direction.push(&segment, 0, 0, &mut |_, event| {
                gaps += usize::from(matches!(event, Event::Gap { .. }));
            });
            assert!(direction.held_bytes <= MAX_HELD);
        }
        assert!(900 < gaps);
    }

    proptest! {
        #[test]
        fn any_order_of_any_pieces_is_the_stream(
            len in 1usize..60,
            start in prop_oneof![Just(0u32), Just(u32::MAX - 20), any::<u32>()],
            pieces in proptest::collection::vec((0usize..60, 1usize..20), 0..40),
        ) {
            let stream: String = (0..len).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
            let mut segments: Vec<(u32, &str, usize)> = pieces
                .iter()
                .filter(|(at, _)| *at < len)
                .map(|(at, n)| (*at as u32, &stream[*at..len.min(at + n)], 0))
                .collect();
            let mut seen = vec![false; len];
            for (at, text, _) in &segments {
                seen[*at as usize..][..text.len()].fill(true);
            }
            let last = seen.iter().rposition(|seen| *seen).map_or(0, |at| at + 1);
            let expect: String = stream.chars().zip(&seen).take(last).map(|(c, seen)| if *seen { c } else { '.' }).collect();
            prop_assert_eq!(run(start, &segments).0, expect);
            segments.push((0, &stream, 0));
            segments.reverse();
            prop_assert_eq!(run(start, &segments).0, stream.clone());
        }
    }
}
