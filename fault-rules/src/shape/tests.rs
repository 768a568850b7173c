//! A sender with a clock of its own drives the shaper; nothing here waits.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::action::{Action, CorruptKind, Direction, Point, Reset, Stall, Throttle};
use crate::decide::Why;
use crate::select::Rate;

/// What a receiver sees.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    /// When so many bytes more arrived.
    pieces: Vec<(Duration, usize)>,
    bytes: Vec<u8>,
    /// When and by whom the direction ended; else when its end passed.
    end: Option<usize>,
    at: Duration,
}

/// Sends all of `bytes`, offered in pieces of `piece`, by a sender whose every wake-up is late by `late`.
fn send(shaper: &mut Shaper, bytes: &[u8], piece: usize, late: Duration) -> Seen {
    let mut seen = Seen { at: START, ..Seen::default() };
    shaper.begin(START);
    loop {
        let rest = &bytes[seen.bytes.len()..];
        match shaper.step(rest.len().min(piece), seen.at) {
            Step::Pass(0) => {
                assert!(rest.is_empty(), "bytes that were offered and neither passed nor waited");
                return seen;
            }
            Step::Pass(n) => {
                let mut some = rest[..n].to_vec();
                shaper.pass(&mut some);
                seen.bytes.extend(some);
                seen.pieces.push((seen.at, n));
            }
            Step::Wait(Some(until)) => {
                assert!(seen.at < until, "a wait that is over already");
                seen.at = until + late;
            }
            Step::Wait(None) => {
                seen.end = Some(usize::MAX);
                return seen;
            }
            Step::End(tag) => {
                seen.end = Some(tag);
                return seen;
            }
        }
    }
}

const START: Duration = Duration::from_secs(7);
const ON_TIME: Duration = Duration::ZERO;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

fn one(shape: Shape) -> Shaper {
    let mut shaper = Shaper::default();
    shaper.add(3, shape, KEY);
    shaper
}

const KEY: u64 = 0x5eed;

fn pace(bytes_per_second: u64) -> Shape {
    Shape::Pace { bytes_per_second, piece: None, gap: Duration::ZERO }
}

fn loss(percent: u64) -> Loss {
    Loss {
        rate: Rate::of(percent, 100),
        rto: ms(200),
        max_rto: Duration::from_mins(1),
        segment: 1460,
        direction: Direction::Response,
    }
}

#[test]
fn a_pace_is_kept_within_three_percent_and_without_bursts() {
    for rate in [10_000_u64, 100_000, 1_000_000] {
        for late in [ON_TIME, ms(1), ms(5)] {
            let body = bytes(usize::try_from(rate * 3).expect("small"));
            let mut shaper = one(pace(rate));
            let seen = send(&mut shaper, &body, 65_536, late);
            assert_eq!(seen.bytes, body);
            let measured = body.len() as f64 / (seen.at - START).as_secs_f64();
            assert!((measured / rate as f64 - 1.0).abs() < 0.03, "{rate}: {measured}");
            for (first, (from, _)) in seen.pieces.iter().enumerate() {
                let mut passed = 0;
                for (at, n) in &seen.pieces[first..] {
                    passed += *n as u64;
                    let budget = (*at - *from).as_secs_f64() * rate as f64;
                    assert!(
                        passed as f64 <= budget + rate as f64 / 16.0 + 1.0,
                        "{passed} from {from:?} to {at:?}"
                    );
                }
            }
            let waited = shaper.outcome(3).waited;
            assert!(seen.at - START - waited < ms(1), "all of the time was its doing: {waited:?}");
        }
    }
}

#[test]
fn a_slow_drip_honours_piece_and_gap() {
    let shape =
        Shape::Pace { bytes_per_second: 1_000_000_000, piece: Some(64), gap: Duration::from_micros(10) };
    let seen = send(&mut one(shape), &bytes(6_400), 65_536, ON_TIME);
    assert!(seen.pieces.iter().all(|(_, n)| *n == 64));
    let gaps = seen.pieces.windows(2).map(|pair| pair[1].0 - pair[0].0).collect::<Vec<_>>();
    assert!(gaps.iter().all(|gap| *gap == Duration::from_nanos(10_064)), "{gaps:?}");
    let slow = send(&mut one(pace(1)), b"abc", 10, ON_TIME);
    assert_eq!(slow.pieces, [1, 2, 3].map(|s| (START + Duration::from_secs(s), 1)));
}

#[test]
fn an_idle_link_saves_up_no_more_than_a_sixteenth() {
    let mut shaper = one(pace(16_000));
    assert_eq!(shaper.step(10, START), Step::Wait(Some(START + Duration::from_micros(625))));
    let later = START + Duration::from_hours(1);
    let mut burst = 0;
    while let Step::Pass(n) = shaper.step(10_000, later) {
        shaper.pass(&mut vec![0; n]);
        burst += n;
    }
    assert_eq!(burst, 1_000);
}

#[test]
fn everything_behind_a_lost_segment_waits_and_repeats_double() {
    let all_lost = Loss { rate: Rate::of(1, 1), max_rto: ms(800), ..loss(0) };
    let seen = send(&mut one(Shape::Loss(all_lost)), &bytes(2_000), 65_536, ON_TIME);
    // 200 + 400 + 13 * 800, for each of two segments
    assert_eq!(seen.pieces, [(START + ms(11_000), 1_460), (START + ms(22_000), 540)]);
    let body = bytes(1_460 * 10_000);
    let mut shaper = one(Shape::Loss(loss(2)));
    let seen = send(&mut shaper, &body, 65_536, ON_TIME);
    assert_eq!(seen.bytes, body);
    let waited = (seen.at - START).as_secs_f64();
    // 200 losses of 0.2 s, and a fiftieth of them twice as long again
    assert!((35.0..50.0).contains(&waited), "{waited}");
    assert_eq!(shaper.outcome(3).waited, seen.at - START);
    let other = send(&mut one(Shape::Loss(loss(2))), &body, 1_000, ON_TIME);
    assert_eq!(other.at, seen.at, "in pieces of any size the same segments are lost");
}

#[test]
fn a_stall_holds_once_at_its_place() {
    let stall = |at, hold, end| Shape::Stall { at, hold, end };
    let seen = send(&mut one(stall(Place::Bytes(5), Some(ms(80)), None)), &bytes(9), 4, ON_TIME);
    assert_eq!(seen.pieces, [(START, 4), (START, 1), (START + ms(80), 4)]);
    let seen = send(&mut one(stall(Place::Bytes(0), Some(ms(80)), None)), b"", 4, ON_TIME);
    assert_eq!(seen.at, START + ms(80), "the end of the payload lies behind it too");
    let seen = send(&mut one(stall(Place::Bytes(5), None, None)), &bytes(9), 9, ON_TIME);
    assert_eq!((seen.bytes.len(), seen.end), (5, Some(usize::MAX)), "forever");
    let seen = send(&mut one(stall(Place::Bytes(5), Some(ms(80)), Some(End::Reset))), &bytes(9), 9, ON_TIME);
    assert_eq!((seen.bytes.len(), seen.end, seen.at), (5, Some(3), START + ms(80)));

    let mut shaper = one(stall(Place::Time(ms(50)), Some(ms(80)), Some(End::Close)));
    shaper.begin(START);
    assert_eq!(shaper.step(9, START + ms(49)), Step::Pass(9));
    assert_eq!(shaper.step(9, START + ms(60)), Step::Wait(Some(START + ms(130))));
    assert_eq!(shaper.deadline(), Some(START + ms(130)));
    assert_eq!(shaper.step(0, START + ms(130)), Step::End(3), "although no byte came");
}

#[test]
fn the_first_byte_waits_and_so_does_the_end_of_an_empty_payload() {
    let seen = send(&mut one(Shape::FirstByte(ms(30))), &bytes(9), 4, ON_TIME);
    assert_eq!(seen.pieces, [(START + ms(30), 4), (START + ms(30), 4), (START + ms(30), 1)]);
    assert_eq!(send(&mut one(Shape::FirstByte(ms(30))), b"", 4, ON_TIME).at, START + ms(30));
}

#[test]
fn an_end_comes_at_its_byte_whatever_else_waits() {
    let mut shaper = one(Shape::End(Place::Bytes(5)));
    shaper.add(4, Shape::FirstByte(ms(30)), KEY);
    shaper.add(5, pace(1_000), KEY);
    shaper.add(6, Shape::Stall { at: Place::Bytes(5), hold: Some(ms(9)), end: None }, KEY);
    let seen = send(&mut shaper, &bytes(9), 9, ON_TIME);
    assert_eq!((seen.bytes.len(), seen.end), (5, Some(3)));
    // waits for different reasons run side by side; a stall at the place of the end comes before it
    assert_eq!(seen.at, START + ms(30 + 9));
    assert!([3, 4, 5, 6].iter().all(|tag| shaper.outcome(*tag).reached));

    let mut shaper = one(Shape::End(Place::Time(ms(10))));
    shaper.add(4, Shape::Stall { at: Place::Bytes(0), hold: None, end: None }, KEY);
    let seen = send(&mut shaper, &bytes(9), 9, ON_TIME);
    assert_eq!(
        (seen.bytes.len(), seen.end, seen.at),
        (0, Some(3), START + ms(10)),
        "an end by time waits for nobody"
    );
}

#[test]
fn where_nothing_follows_nothing_waits_and_only_an_end_right_there_comes() {
    let stall = |end| Shape::Stall { at: Place::Bytes(0), hold: None, end };
    for shape in
        [stall(None), stall(Some(End::Reset)), Shape::FirstByte(ms(9)), Shape::End(Place::Bytes(1)), pace(1)]
    {
        let mut shaper = one(shape);
        shaper.begin(START);
        assert_eq!((shaper.step_empty(), shaper.outcome(3)), (None, Outcome::default()), "{shape:?}");
    }
    let mut shaper = one(Shape::End(Place::Bytes(0)));
    shaper.begin(START);
    assert_eq!((shaper.step_empty(), shaper.outcome(3).reached), (Some(3), true));
}

#[test]
fn messages_are_counted_by_whoever_knows_them() {
    let mut shaper = one(Shape::End(Place::Events(2)));
    shaper.begin(START);
    assert!(shaper.wants_events());
    shaper.note_event(4);
    assert_eq!(shaper.step(6, START), Step::Pass(6), "the second has not ended in these");
    shaper.pass(&mut [0; 6]);
    shaper.note_event(8);
    assert!(!shaper.wants_events());
    assert_eq!(shaper.step(6, START), Step::Pass(2));
    shaper.pass(&mut [0; 2]);
    assert_eq!(shaper.step(4, START), Step::End(3));
}

#[test]
fn a_part_that_is_removed_holds_nobody_and_is_remembered() {
    let mut shaper = one(Shape::Stall { at: Place::Bytes(0), hold: None, end: None });
    shaper.add(4, Shape::End(Place::Bytes(2)), KEY);
    shaper.begin(START);
    assert_eq!(shaper.step(6, START), Step::Wait(None));
    shaper.remove(3, START + ms(40));
    assert_eq!(shaper.step(6, START + ms(40)), Step::Pass(2));
    assert_eq!(shaper.outcome(3), Outcome { reached: true, waited: ms(40) });
    shaper.remove(4, START + ms(40));
    assert!(shaper.is_empty());
    assert_eq!(shaper.step(6, START + ms(40)), Step::Pass(6));
    assert!(!shaper.outcome(4).reached);
}

fn corrupted(kind: CorruptKind, per: u64, body: &[u8], length: Option<u64>, piece: usize) -> Vec<u8> {
    let corrupt = Corrupt { kind, per, direction: Direction::Response };
    send(&mut one(Shape::Corrupt(corrupt, length)), body, piece, ON_TIME).bytes
}

#[test]
fn one_byte_of_each_stretch_changes() {
    let body = bytes(10_050);
    let changes = |seen: &[u8]| {
        body.iter()
            .zip(seen)
            .enumerate()
            .filter(|(_, (was, is))| was != is)
            .map(|(at, _)| at)
            .collect::<Vec<_>>()
    };
    let flipped = corrupted(CorruptKind::Bitflip, 100, &body, Some(10_050), 65_536);
    assert_eq!(
        changes(&flipped).iter().map(|at| at / 100).collect::<Vec<_>>(),
        (0..=100).collect::<Vec<_>>()
    );
    for at in changes(&flipped) {
        assert_eq!((flipped[at] ^ body[at]).count_ones(), 1);
    }
    let zeroed = corrupted(CorruptKind::Zero, 100, &body, Some(10_050), 65_536);
    assert_eq!(changes(&zeroed), changes(&flipped));
    assert!(changes(&zeroed).iter().all(|at| zeroed[*at] == u8::from(body[*at] == 0)));
    let short = corrupted(CorruptKind::Bitflip, 4_096, b"abc", Some(3), 65_536);
    assert_eq!(short.iter().zip(b"abc").filter(|(is, was)| is != was).count(), 1);
}

#[test]
fn faults_know_which_payloads_have_their_place() {
    let payload = |length| Payload { direction: Direction::Response, length, events: false };
    let check = |action: &Action, length, expect: Result<Option<Place>, Why>| {
        let place = Shape::of(action, &payload(length)).map(|shape| {
            shape.and_then(|shape| match shape {
                Shape::End(at) | Shape::Stall { at, .. } => Some(at),
                _ => None,
            })
        });
        assert_eq!(place, expect, "{action:?} of {length:?}");
    };
    let reset = |at| Action::Reset(Reset::at(at));
    let stall = |at| Action::Stall(Stall { at, hold: None, end: None });
    check(&reset(Point::BeforeHeaders), None, Ok(None));
    check(&reset(Point::AfterHeaders), Some(0), Ok(Some(Place::Bytes(0))));
    check(&reset(Point::AfterBytes(5)), Some(5), Ok(Some(Place::Bytes(5))));
    check(&reset(Point::AfterBytes(5)), Some(4), Err(Why::NoSuchPoint));
    check(&reset(Point::AfterFraction(0.5)), Some(9), Ok(Some(Place::Bytes(4))));
    check(&reset(Point::AfterFraction(0.5)), None, Err(Why::NoSuchPoint));
    check(&reset(Point::AfterEvents(5)), None, Err(Why::NoSuchPoint));
    check(&reset(Point::AfterTime(ms(5))), Some(0), Ok(Some(Place::Time(ms(5)))));
    for inside in [Action::Truncate, stall] {
        check(&inside(Point::AfterBytes(5)), Some(5), Err(Why::NoSuchPoint));
        check(&inside(Point::AfterBytes(5)), Some(6), Ok(Some(Place::Bytes(5))));
        check(&inside(Point::AfterBytes(5)), None, Ok(Some(Place::Bytes(5))));
        check(&inside(Point::AfterHeaders), Some(0), Err(Why::NoSuchPoint));
    }
    let throttle = Throttle { response: None, request: Some(5), piece: None, gap: Duration::ZERO };
    assert_eq!(Shape::of(&Action::Throttle(throttle), &payload(None)), Ok(None), "it is about the request");
    assert_eq!(Shape::of(&Action::Loss(loss(1)), &payload(Some(0))), Err(Why::NoSuchPoint));
}

fn shapes() -> impl Strategy<Value = Shape> {
    let place =
        || prop_oneof![(0..3_000_u64).prop_map(Place::Bytes), (0..900_u64).prop_map(|n| Place::Time(ms(n)))];
    prop_oneof![
        (1_000..100_000_u64, proptest::option::of(1..500_u64), 0..5_u64).prop_map(
            |(bytes_per_second, piece, gap)| { Shape::Pace { bytes_per_second, piece, gap: ms(gap) } }
        ),
        (0..60_u64, 1..2_000_u64)
            .prop_map(|(percent, segment)| Shape::Loss(Loss { segment, ..loss(percent) })),
        (place(), 0..500_u64).prop_map(|(at, hold)| Shape::Stall { at, hold: Some(ms(hold)), end: None }),
        (0..100_u64).prop_map(|wait| Shape::FirstByte(ms(wait))),
    ]
}

proptest! {
    #[test]
    fn no_byte_is_lost_changed_or_stuck(
        parts in proptest::collection::vec(shapes(), 0..5),
        key in any::<u64>(),
        len in 0..3_000_usize,
        piece in 1..4_000_usize,
        late in 0..3_u64,
    ) {
        let mut shaper = Shaper::default();
        parts.iter().enumerate().for_each(|(tag, shape)| shaper.add(tag, *shape, key));
        let body = bytes(len);
        let seen = send(&mut shaper, &body, piece, ms(late));
        prop_assert_eq!(seen.end, None);
        prop_assert_eq!(seen.bytes, body);
        let waited: Duration = (0..parts.len()).map(|tag| shaper.outcome(tag).waited).sum();
        prop_assert_eq!(waited, seen.at - START);
    }

    #[test]
    fn pieces_do_not_change_what_is_corrupted(
        per in 1..300_u64, known in any::<bool>(), len in 0..2_000_usize, piece in 1..2_000_usize,
    ) {
        let length = known.then_some(len as u64);
        let body = bytes(len);
        let one = corrupted(CorruptKind::Bitflip, per, &body, length, usize::MAX);
        prop_assert_eq!(one, corrupted(CorruptKind::Bitflip, per, &body, length, piece));
    }

    #[test]
    fn an_end_is_exact(at in 0..3_000_u64, shape in shapes(), len in 0..3_000_usize, piece in 1..4_000_usize) {
        let mut shaper = one(Shape::End(Place::Bytes(at)));
        shaper.add(4, shape, KEY);
        let seen = send(&mut shaper, &bytes(len), piece, ON_TIME);
        let there = usize::try_from(at).expect("small");
        prop_assert_eq!(seen.bytes.len(), len.min(there));
        prop_assert_eq!(seen.end, (there <= len).then_some(3));
    }
}
