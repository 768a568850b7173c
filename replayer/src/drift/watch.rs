//! What a thread keeps of the answers to chosen exchanges: their lengths, and of a bounded number a second the shapes.
//!
//! Memory is bounded by the number of chosen exchanges and of what is kept of each: where that is full, the half of its
//! clones with the larger hashes leaves, so that what stays is spread over the whole run. Bodies are held while they are
//! read, up to a bound, and of all of a thread together; their shape is found where they lie.

use std::collections::HashMap;

use captures::links::uncoded;

use crate::drift::numbers::Shapes;
use crate::drift::shape::{self, Body};
use crate::evidence::lot;
use crate::limits;

/// An answer to a chosen exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) clone: u32,
    /// When it ended, in milliseconds from the start of the run.
    pub(crate) at_ms: u32,
    /// Bytes of its body as they came; [`NO_LENGTH`]: not to be compared.
    pub(crate) len: u32,
    /// Number of its shape; 0: it was not looked at.
    pub(crate) shape: u16,
}

/// In place of a length.
pub(crate) const NO_LENGTH: u32 = u32::MAX;

/// What is kept of one exchange.
#[derive(Debug)]
struct Kept {
    /// Clones with a larger hash have left.
    threshold: u32,
    answers: Vec<Answer>,
}

/// Bodies by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bodies {
    pub(crate) looked_at: u64,
    /// There had been enough of that route in that second, or of all.
    pub(crate) busy: u64,
    /// Too large, or with too many paths.
    pub(crate) large: u64,
    /// Of a coding that cannot be undone.
    pub(crate) unread: u64,
}

/// What a thread has seen, or all of them.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    kept: Vec<Kept>,
    /// Answers to keep of each exchange.
    room: usize,
    pub(crate) shapes: Shapes,
    pub(crate) bodies: Bodies,
    /// Bodies that are being read, by operation.
    reading: HashMap<u32, Vec<u8>>,
    budget: Budget,
}

/// What may be looked at: so much at first, and so much more a second.
#[derive(Debug, Default)]
struct Budget {
    second: u64,
    /// Bodies, by route.
    looks: Vec<u64>,
    bytes: u64,
}

impl Answers {
    /// For so many exchanges on so many routes; `threads` share the room.
    pub(crate) fn new(exchanges: usize, routes: usize, threads: usize) -> Answers {
        let each = limits::COMPARED_ANSWERS / exchanges.max(1) / threads.max(1);
        Answers {
            kept: (0..exchanges).map(|_| Kept { threshold: u32::MAX, answers: Vec::new() }).collect(),
            room: each.clamp(MIN_ROOM, MAX_ROOM),
            budget: Budget {
                second: 0,
                looks: vec![limits::SHAPES_AT_FIRST; routes],
                bytes: limits::SHAPE_BYTES_AT_FIRST,
            },
            ..Answers::default()
        }
    }

    /// Whether the answer of a clone would be kept.
    pub(crate) fn wants(&self, exchange: u32, program: u32, clone: u32) -> bool {
        self.kept.get(exchange as usize).is_some_and(|kept| lot(program, clone) <= kept.threshold)
    }

    /// The head of an answer came whose shape is of interest. True: its body is for [`Answers::body`].
    pub(crate) fn begin(&mut self, op: u32, route: u16, now_ns: u64) -> bool {
        self.reading.remove(&op);
        let is_free = self.reading.len() < limits::SHAPES_AT_ONCE && self.budget.take(route, now_ns);
        match is_free {
            true => drop(self.reading.insert(op, Vec::new())),
            false => self.bodies.busy += 1,
        }
        is_free
    }

    /// A piece of a body came.
    pub(crate) fn body(&mut self, op: u32, bytes: &[u8]) {
        if self.reading.is_empty() {
            return;
        }
        let Some(body) = self.reading.get_mut(&op) else { return };
        self.budget.spend(bytes.len());
        if limits::SHAPE_BODY_BYTES < body.len() + bytes.len() {
            self.reading.remove(&op);
            self.bodies.large += 1;
            return;
        }
        body.extend_from_slice(bytes);
    }

    /// Lets go of a body that is not to be looked at.
    pub(crate) fn forget(&mut self, op: u32) {
        if !self.reading.is_empty() {
            self.reading.remove(&op);
        }
    }

    /// The shape of the body of an operation that has its answer; 0: it was not looked at.
    pub(crate) fn finish(&mut self, op: u32, coding: &str) -> u16 {
        if self.reading.is_empty() {
            return 0;
        }
        let Some(body) = self.reading.remove(&op) else { return 0 };
        let plain = uncoded(coding, &body);
        let Some(plain) = plain.filter(|plain| plain.len() <= limits::SHAPE_PLAIN_BYTES) else {
            self.bodies.unread += 1;
            return 0;
        };
        self.budget.spend(plain.len());
        let number = match shape::of(&plain) {
            Body::Json(text) => self.shapes.number(&text),
            Body::Other => self.shapes.number(&shape::no_json()),
            Body::Beyond => 0,
        };
        *(if number == 0 { &mut self.bodies.large } else { &mut self.bodies.looked_at }) += 1;
        number
    }

    /// Keeps an answer of a clone that [`Answers::wants`].
    pub(crate) fn keep(&mut self, exchange: u32, program: u32, answer: Answer) {
        let Some(kept) = self.kept.get_mut(exchange as usize) else { return };
        kept.answers.push(answer);
        if self.room < kept.answers.len() {
            kept.threshold /= 2;
            kept.answers.retain(|answer| lot(program, answer.clone) <= kept.threshold);
        }
    }

    /// What is kept of an exchange, by clone.
    pub(crate) fn of(&self, exchange: u32) -> &[Answer] {
        self.kept.get(exchange as usize).map_or(&[], |kept| &kept.answers)
    }

    /// Adds what another thread kept. Which clones those are is left to [`Answers::settle`].
    pub(crate) fn merge(&mut self, other: Answers) {
        let numbers = self.shapes.adopt(&other.shapes);
        for (kept, more) in self.kept.iter_mut().zip(other.kept) {
            kept.threshold = kept.threshold.min(more.threshold);
            kept.answers.extend(more.answers.into_iter().map(|answer| {
                let shape = numbers.get(usize::from(answer.shape)).copied().unwrap_or(0);
                Answer { shape, ..answer }
            }));
        }
        let Bodies { looked_at, busy, large, unread } = other.bodies;
        self.bodies.looked_at += looked_at;
        self.bodies.busy += busy;
        self.bodies.large += large;
        self.bodies.unread += unread;
    }

    /// Lets the clones leave of an exchange of that program which have left in some thread; puts the others in order.
    pub(crate) fn settle(&mut self, exchange: u32, program: u32) {
        let Some(kept) = self.kept.get_mut(exchange as usize) else { return };
        kept.answers.retain(|answer| lot(program, answer.clone) <= kept.threshold);
        kept.answers.sort_unstable_by_key(|answer| (answer.clone, answer.at_ms));
    }
}

impl Budget {
    /// Whether one more body of a route may be looked at.
    fn take(&mut self, route: u16, now_ns: u64) -> bool {
        let second = now_ns / 1_000_000_000;
        let passed = second.saturating_sub(self.second);
        if 0 < passed {
            self.second = second;
            let grown =
                |had: u64, more: u64, most: u64| had.saturating_add(passed.saturating_mul(more)).min(most);
            for looks in &mut self.looks {
                *looks = grown(*looks, limits::SHAPES_A_SECOND, limits::SHAPES_AT_FIRST);
            }
            self.bytes = grown(self.bytes, limits::SHAPE_BYTES_A_SECOND, limits::SHAPE_BYTES_AT_FIRST);
        }
        let Some(looks) = self.looks.get_mut(usize::from(route)) else { return false };
        let is_free = 0 < *looks && 0 < self.bytes;
        *looks -= u64::from(is_free);
        is_free
    }

    /// Counts what was looked at.
    fn spend(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes as u64);
    }
}

/// Answers of an exchange and thread: so many tell a spread...
const MIN_ROOM: usize = 16;
/// ...and more than so many tell no more of it.
const MAX_ROOM: usize = 1024;

const _: () = assert!(size_of::<Answer>() == 16, "half a million of them take 8 MiB");

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn answer(clone: u32) -> Answer {
        Answer { clone, at_ms: clone, len: 7, shape: 0 }
    }

    #[test]
    fn clones_are_kept_up_to_a_bound_and_from_the_whole_run() {
        let mut answers = Answers::new(1, 1, 1);
        for clone in 0..1_000_000 {
            if answers.wants(0, 3, clone) {
                answers.keep(0, 3, answer(clone));
            }
        }
        let kept = answers.of(0);
        assert!((MAX_ROOM / 4..=MAX_ROOM).contains(&kept.len()), "{}", kept.len());
        let late = kept.iter().filter(|answer| 500_000 <= answer.clone).count();
        assert!((kept.len() / 3..kept.len() * 2 / 3).contains(&late), "{late} of {}", kept.len());
    }

    #[test]
    fn all_exchanges_together_are_bounded() {
        for threads in [1, 2] {
            let mut answers = Answers::new(limits::COMPARED, 256, threads);
            for exchange in 0..limits::COMPARED as u32 {
                for clone in 0..300 {
                    if answers.wants(exchange, exchange, clone) {
                        answers.keep(exchange, exchange, answer(clone));
                    }
                }
            }
            let kept: usize = (0..limits::COMPARED as u32).map(|exchange| answers.of(exchange).len()).sum();
            assert!(kept <= limits::COMPARED_ANSWERS, "{kept}");
        }
    }

    #[test]
    fn shapes_are_looked_at_up_to_a_bound_a_second_and_the_rest_is_counted() {
        let mut answers = Answers::new(1, 2, 1);
        let mut look = |op, route, second: u64| {
            let wanted = answers.begin(op, route, second * SECOND);
            answers.body(op, br#"{"a":"#);
            answers.body(op, br#"1}"#);
            (wanted, answers.finish(op, ""))
        };
        for op in 0..limits::SHAPES_AT_FIRST as u32 {
            assert_eq!(look(op, 0, 0), (true, 1));
        }
        assert_eq!(look(99, 0, 0), (false, 0));
        assert_eq!(look(99, 1, 0), (true, 1), "another route has its own");
        for op in 0..limits::SHAPES_A_SECOND as u32 {
            assert_eq!(look(op, 0, 1), (true, 1));
        }
        assert_eq!(look(99, 0, 1), (false, 0));
        let looked_at = limits::SHAPES_AT_FIRST + 1 + limits::SHAPES_A_SECOND;
        assert_eq!(answers.bodies, Bodies { looked_at, busy: 2, large: 0, unread: 0 });
    }

    #[test]
    fn bytes_are_bounded_a_second_too() {
        let mut answers = Answers::new(1, 1, 1);
        let body = [&b"\""[..], &vec![b'x'; limits::SHAPE_BODY_BYTES - 2], b"\""].concat();
        let mut looked_at = 0;
        for op in 0..limits::SHAPES_AT_FIRST as u32 {
            looked_at += u64::from(answers.begin(op, 0, 0));
            answers.body(op, &body);
            answers.finish(op, "");
        }
        // once as it came, and once more when it was looked at
        assert_eq!(looked_at, limits::SHAPE_BYTES_AT_FIRST / (2 * body.len() as u64));
        assert!(answers.begin(1, 0, SECOND));
    }

    #[test]
    fn large_bodies_and_odd_codings_are_left() {
        let mut answers = Answers::new(1, 1, 1);
        assert!(answers.begin(1, 0, 0));
        answers.body(1, &vec![b' '; limits::SHAPE_BODY_BYTES]);
        answers.body(1, b"{}");
        assert_eq!(answers.finish(1, ""), 0);
        assert!(answers.begin(1, 0, 0));
        answers.body(1, b"{}");
        assert_eq!(answers.finish(1, "rot13"), 0);
        for op in 0..2 * limits::SHAPES_AT_ONCE as u32 {
            answers.begin(op, 0, 0);
        }
        assert_eq!(answers.reading.len(), limits::SHAPES_AT_ONCE);
        let Bodies { looked_at, busy, large, unread } = answers.bodies;
        assert_eq!((looked_at, busy, large, unread), (0, limits::SHAPES_AT_ONCE as u64, 1, 1));
    }

    #[test]
    fn what_is_no_json_is_a_shape_too() {
        let mut answers = Answers::new(1, 1, 1);
        assert!(answers.begin(1, 0, 0));
        answers.body(1, b"<html>");
        let number = answers.finish(1, "");
        assert_eq!(answers.shapes.text(number), Some(shape::no_json().as_str()));
    }

    #[test]
    fn threads_become_one() {
        let (mut one, mut two) = (Answers::new(1, 1, 2), Answers::new(1, 1, 2));
        for clone in 0..5000 {
            let thread = if clone % 5 == 0 { &mut one } else { &mut two };
            if thread.wants(0, 9, clone) {
                let shape = thread.shapes.number(if clone % 2 == 0 { "even" } else { "odd" });
                thread.keep(0, 9, Answer { shape, ..answer(clone) });
            }
        }
        let mut all = Answers::new(1, 1, 2);
        all.merge(two);
        all.merge(one);
        all.settle(0, 9);
        assert!(all.of(0).is_sorted_by_key(|answer| answer.clone));
        let threshold = all.kept[0].threshold;
        assert!(all.of(0).iter().all(|answer| lot(9, answer.clone) <= threshold));
        for answer in all.of(0) {
            let expect = if answer.clone % 2 == 0 { "even" } else { "odd" };
            assert_eq!(all.shapes.text(answer.shape), Some(expect));
        }
    }
}
