use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use proptest::prelude::*;

use super::*;

/// Records as the engine has them: due time and link.
#[derive(Default)]
struct Records(Vec<(u64, u32)>);

impl Records {
    fn add(&mut self, due: u64) -> u32 {
        self.0.push((due, NONE));
        (self.0.len() - 1) as u32
    }
}

impl Links for Records {
    fn due(&self, id: u32) -> u64 {
        self.0[id as usize].0
    }

    fn next(&self, id: u32) -> u32 {
        self.0[id as usize].1
    }

    fn set_next(&mut self, id: u32, next: u32) {
        self.0[id as usize].1 = next;
    }
}

/// A wheel that has its slots from the first entry on.
fn built(current_ns: u64) -> Wheel {
    Wheel { levels: Some(Levels::new(slot(current_ns))), ..Wheel::new() }
}

/// Pops from the wheel and from a plain heap must agree on the due times, and each entry comes out once.
struct Pair {
    wheel: Wheel,
    records: Records,
    model: BinaryHeap<Reverse<u64>>,
    out: BTreeSet<u32>,
}

impl Pair {
    fn new(wheel: Wheel) -> Pair {
        Pair { wheel, records: Records::default(), model: BinaryHeap::new(), out: BTreeSet::new() }
    }

    fn insert(&mut self, due: u64) {
        let id = self.records.add(due);
        self.wheel.insert(id, &mut self.records);
        self.model.push(Reverse(due));
    }

    fn peek(&mut self) -> Option<u64> {
        let seen = self.wheel.peek(&mut self.records);
        assert_eq!(seen, self.model.peek().map(|Reverse(due)| *due));
        assert_eq!(self.wheel.len(), self.model.len());
        seen
    }

    fn pop(&mut self) -> Option<u64> {
        let popped = self.wheel.pop(&mut self.records);
        assert_eq!(popped.map(|(due, _)| due), self.model.pop().map(|Reverse(due)| due));
        let (due, id) = popped?;
        assert_eq!(self.records.due(id), due);
        assert!(self.out.insert(id), "{id} came out twice");
        Some(due)
    }

    fn pop_all(&mut self) {
        while self.pop().is_some() {}
        assert_eq!((self.wheel.len(), self.peek()), (0, None));
        assert_eq!(self.out.len(), self.records.0.len());
    }
}

#[derive(Clone, Debug)]
enum Action {
    /// Inserts so many nanoseconds after what was popped last, or before it.
    Insert(u64),
    InsertPast(u64),
    Pop,
    Peek,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let ahead = prop_oneof![
        Just(0),
        0..100_000_u64,
        0..2_000_000_000_u64,
        67_000_000_000..70_000_000_000_u64, // about the end of the fine ring
        0..200_000_000_000_u64,
        4_397_000_000_000..4_400_000_000_000_u64, // about the end of the coarse ring
        0..40_000_000_000_000_u64,
        (0..8_u64).prop_map(|turns| turns << 36), // whole turns of the ring, equal dues
    ];
    let action = prop_oneof![
        4 => ahead.prop_map(Action::Insert),
        1 => (0..10_000_000_000_u64).prop_map(Action::InsertPast),
        3 => Just(Action::Pop),
        1 => Just(Action::Peek),
    ];
    prop::collection::vec(action, 1..400)
}

proptest! {
    #[test]
    fn the_wheel_is_a_heap(actions in actions(), start in prop_oneof![Just(0), 0..u64::MAX / 4]) {
        for wheel in [Wheel::new(), built(start)] {
            let mut pair = Pair::new(wheel);
            let mut now = start;
            for action in &actions {
                match action {
                    Action::Insert(ahead) => pair.insert(now + ahead),
                    Action::InsertPast(before) => pair.insert(now.saturating_sub(*before)),
                    Action::Pop => now = pair.pop().unwrap_or(now).max(now),
                    Action::Peek => drop(pair.peek()),
                }
            }
            pair.pop_all();
        }
    }
}

#[test]
fn many_sessions_that_think_come_out_in_order() {
    let mut pair = Pair::new(Wheel::new());
    let mut word = 1_u64;
    let mut random = || {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        word >> 24
    };
    for _ in 0..3 * limits::WHEEL_FROM {
        pair.insert(random() % 300_000_000_000);
    }
    assert!(pair.wheel.levels.is_some(), "so many have slots");
    for turn in 0..4 * limits::WHEEL_FROM {
        if turn % 3 == 0 {
            pair.peek();
        }
        let now = pair.pop().expect("as many go in as come out");
        pair.insert(now + random() % 120_000_000_000);
    }
    pair.pop_all();
}

#[test]
fn few_sessions_pay_for_no_slots() {
    let mut pair = Pair::new(Wheel::new());
    (0..limits::WHEEL_FROM as u64).for_each(|due| pair.insert(due << 30));
    assert!(pair.wheel.levels.is_none());
    pair.pop_all();
}

#[test]
fn equal_dues_come_out_once_each_at_either_end_of_time() {
    for due in [0, 1, (1 << 36) - 1, 1 << 36, u64::MAX] {
        let mut pair = Pair::new(built(0));
        (0..1000).for_each(|_| pair.insert(due));
        pair.pop_all();
    }
}

#[test]
fn a_look_ahead_does_not_hurry_what_is_inserted_later() {
    let mut pair = Pair::new(built(0));
    pair.insert(60_000_000_000);
    assert_eq!(pair.peek(), Some(60_000_000_000));
    pair.insert(5_000_000);
    assert!(pair.wheel.near.is_empty(), "looking moved nothing");
    assert_eq!(pair.peek(), Some(5_000_000));
    pair.pop_all();
}

#[test]
fn draining_names_each_once_and_leaves_a_wheel_that_works() {
    let mut pair = Pair::new(built(1 << 40));
    let dues = [0, 1, 1 << 39, 1 << 40, (1 << 40) + 70_000, (1 << 40) + (1 << 37), 1 << 50, 1 << 60];
    dues.iter().for_each(|due| pair.insert(*due));
    pair.pop();
    let mut seen = BTreeSet::new();
    pair.wheel.drain(&mut pair.records, |records, id| {
        records.set_next(id, 12_345); // as if the record was freed
        assert!(seen.insert(id));
    });
    assert_eq!(seen.len(), dues.len() - 1);
    assert_eq!((pair.wheel.len(), pair.wheel.peek(&mut pair.records)), (0, None));
    let mut again = Pair::new(pair.wheel);
    dues.iter().for_each(|due| again.insert(*due));
    again.pop_all();
}

#[test]
#[ignore = "stress: prints how many pops and inserts a second there are, in release"]
fn stress_a_million_and_ten_million() {
    for entries in [1_000_000_u64, 10_000_000] {
        let mut records = Records::default();
        let mut wheel = Wheel::new();
        let think =
            |word: u64| crate::identity::prf(1, crate::identity::Lane::Start, [word, 0, 0]) % 60_000_000_000;
        let started = std::time::Instant::now();
        for number in 0..entries {
            let id = records.add(think(number));
            wheel.insert(id, &mut records);
        }
        let ready = started.elapsed();
        let started = std::time::Instant::now();
        let turns = 10_000_000_u64;
        for turn in 0..turns {
            wheel.peek(&mut records);
            let (due, id) = wheel.pop(&mut records).expect("as many go in as come out");
            records.0[id as usize].0 = due + think(turn);
            wheel.insert(id, &mut records);
        }
        let each = started.elapsed() / turns as u32;
        println!("{entries} entries: ready in {ready:?}, {each:?} for a peek, a pop and an insert");
    }
}
