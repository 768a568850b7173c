//! Which routes answer otherwise than recorded, beyond what their clones differ among themselves.

use std::collections::BTreeMap;

use crate::analysis::stats::median;
use crate::drift::chance::{berk_jones, false_discoveries, simes};
use crate::drift::changes::{Change, Changes, compare};
use crate::drift::choose::{Chosen, Place};
use crate::drift::recorded::Recorded;
use crate::drift::watch::{Answer, Answers, NO_LENGTH};
use crate::drift::{Bodies, Shapes};

/// What was compared, and what was found.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// Recorded exchanges with enough clones.
    pub(crate) exchanges: u64,
    /// Their answers.
    pub(crate) answers: u64,
    /// Of these exchanges, those of whose recorded answer no JSON is at hand.
    pub(crate) without_shape: u64,
    pub(crate) bodies: Bodies,
    /// At most one of each kind for a route.
    pub(crate) found: Vec<Found>,
}

/// A route that answers otherwise.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) route: u16,
    pub(crate) what: What,
    /// That chance alone would do as much, all comparisons counted.
    pub(crate) chance: f64,
    /// Recorded exchanges that are odd, of those that were compared.
    pub(crate) odd: u64,
    pub(crate) exchanges: u64,
    /// Clones that differ from their recorded answer, of those that were compared.
    pub(crate) differing: u64,
    pub(crate) clones: u64,
    /// Clones that differ from most of the clones of their own exchange.
    pub(crate) noisy: u64,
    /// The recording has bodies of that route.
    pub(crate) has_shapes: bool,
    /// Some that differ: the exchange and an answer to it.
    pub(crate) examples: Vec<(Place, Answer)>,
}

/// In what way.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// Of a typical exchange.
    Length(Length),
    /// The most frequent changes, with the number of exchanges that show each.
    Shape(Vec<(Change, u64)>),
}

/// The length of one recorded answer, and of those to its clones, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Length {
    pub(crate) recorded: f64,
    /// The median.
    pub(crate) now: f64,
    /// As a standard deviation, from the median of the distances to it.
    pub(crate) spread: f64,
}

/// One recorded exchange against its clones.
struct Judged {
    place: Place,
    chance: f64,
    differing: u64,
    clones: u64,
    noisy: u64,
    length: Option<Length>,
    /// By how much the length of each clone is off.
    off: Vec<f64>,
    changes: Vec<Change>,
    example: Option<Answer>,
}

/// Whether lengths or shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Length,
    Shape,
}

/// Holds the recorded answers against those to their clones; `recorded` knows those of each place, with `shapes`.
pub(crate) fn judge(
    chosen: &Chosen,
    answers: &mut Answers,
    shapes: &Shapes,
    recorded: impl Fn(Place) -> Recorded,
) -> Compared {
    let mut compared = Compared { bodies: answers.bodies, ..Compared::default() };
    let mut judged: BTreeMap<(u16, Kind), Vec<Judged>> = BTreeMap::new();
    let mut has_shapes: BTreeMap<u16, bool> = BTreeMap::new();
    for (number, place) in (0..).zip(&chosen.list) {
        answers.settle(number, place.program);
        let (of, known) = (answers.of(number), recorded(*place));
        if of.len() < MIN_CLONES {
            continue;
        }
        compared.exchanges += 1;
        compared.answers += of.len() as u64;
        compared.without_shape += u64::from(known.shape == 0);
        *has_shapes.entry(place.route).or_default() |= known.shape != 0;
        if let Some(len) = known.len {
            let one = lengths(*place, len, of);
            judged.entry((place.route, Kind::Length)).or_default().extend(one);
        }
        if let Some(text) = shapes.text(known.shape) {
            let one = shape(*place, text, (of, &answers.shapes));
            judged.entry((place.route, Kind::Shape)).or_default().extend(one);
        }
    }
    for ((_, kind), all) in &mut judged {
        if *kind == Kind::Length {
            allow_for_growth(all);
        }
    }
    let mut all: Vec<Found> = judged
        .into_iter()
        .filter(|(_, all)| !all.is_empty())
        .map(|((route, kind), all)| Found { has_shapes: has_shapes[&route], ..found(route, kind, &all) })
        .collect();
    let chances: Vec<f64> = all.iter().map(|found| found.chance).collect();
    for (found, chance) in all.iter_mut().zip(false_discoveries(&chances)) {
        found.chance = chance;
    }
    all.retain(|found| {
        found.chance <= FALSE_DISCOVERIES && LEAST_SHARE * found.clones as f64 <= found.differing as f64
    });
    compared.found = all;
    compared
}

/// The lengths; `None`: there are too few.
fn lengths(place: Place, recorded: u32, answers: &[Answer]) -> Option<Judged> {
    let known: Vec<&Answer> = answers.iter().filter(|answer| answer.len != NO_LENGTH).collect();
    if known.len() < MIN_CLONES {
        return None;
    }
    let recorded = f64::from(recorded);
    let lens: Vec<f64> = known.iter().map(|answer| f64::from(answer.len)).collect();
    let now = median(lens.iter().copied());
    let spread = TO_DEVIATION * median(lens.iter().map(|len| (len - now).abs()));
    let is_odd = least_effect(recorded, now).max(DEVIATIONS * spread) < (recorded - now).abs();
    let middle = median(lens.iter().copied().chain([recorded]));
    let as_odd = lens.iter().filter(|len| (recorded - middle).abs() <= (**len - middle).abs()).count();
    let differs = |len: f64| least_effect(recorded, len) < (recorded - len).abs();
    let noisy = lens.iter().filter(|len| least_effect(now, **len) < (now - **len).abs()).count();
    Some(Judged {
        place,
        chance: if is_odd { (1 + as_odd) as f64 / (1 + lens.len()) as f64 } else { 1.0 },
        differing: lens.iter().filter(|len| differs(**len)).count() as u64,
        clones: lens.len() as u64,
        noisy: noisy as u64,
        length: is_odd.then_some(Length { recorded, now, spread }),
        off: lens.iter().map(|len| len - recorded).collect(),
        changes: Vec::new(),
        example: known.into_iter().find(|answer| differs(f64::from(answer.len))).copied(),
    })
}

/// The shapes; `None`: too few were looked at.
fn shape(place: Place, recorded: &str, (answers, shapes): (&[Answer], &Shapes)) -> Option<Judged> {
    let looked_at = answers.iter().filter(|answer| answer.shape != 0);
    let texts = looked_at.clone().filter_map(|answer| shapes.text(answer.shape));
    let Changes { chance, changes, differing, clones, noisy } = compare(recorded, texts);
    let differs = |answer: &&Answer| shapes.text(answer.shape) != Some(recorded);
    let example = looked_at.clone().find(differs).filter(|_| !changes.is_empty()).copied();
    (MIN_CLONES as u64 <= clones).then_some(Judged {
        place,
        chance,
        differing,
        clones,
        noisy,
        length: None,
        off: Vec::new(),
        changes,
        example,
    })
}

/// Where clones differ among themselves, those of one exchange may still have come at one time, when a list that grows over
/// the run was of one length: there the recording must be outside of what the clones of all exchanges of the route do.
fn allow_for_growth(all: &mut [Judged]) {
    let (noisy, clones) =
        all.iter().fold((0, 0), |(noisy, clones), one| (noisy + one.noisy, clones + one.clones));
    if (noisy as f64) < NOISY * clones as f64 {
        return;
    }
    let off = || all.iter().flat_map(|one| one.off.iter().copied());
    let middle = median(off());
    let spread = TO_DEVIATION * median(off().map(|off| (off - middle).abs()));
    for one in all {
        if one.length.is_some_and(|length| (length.now - length.recorded).abs() <= DEVIATIONS * spread) {
            (one.chance, one.length) = (1.0, None);
        }
    }
}

/// What all exchanges of a route say together.
fn found(route: u16, kind: Kind, all: &[Judged]) -> Found {
    let mut of_sessions: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for one in all {
        of_sessions.entry(one.place.program).or_default().push(one.chance);
    }
    let mut chances: Vec<f64> = of_sessions.values_mut().map(|chances| simes(chances)).collect();
    let odd = all.iter().filter(|one| one.chance < 1.0);
    let examples = odd.clone().filter_map(|one| Some((one.place, one.example?))).take(EXAMPLES).collect();
    let what = match kind {
        Kind::Length => What::Length(typical(all)),
        Kind::Shape => {
            let mut counts: BTreeMap<&Change, u64> = BTreeMap::new();
            all.iter()
                .flat_map(|one| &one.changes)
                .for_each(|change| *counts.entry(change).or_default() += 1);
            let mut changes: Vec<(Change, u64)> =
                counts.into_iter().map(|(change, count)| (change.clone(), count)).collect();
            changes.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
            What::Shape(changes)
        }
    };
    Found {
        route,
        what,
        chance: berk_jones(&mut chances),
        odd: odd.count() as u64,
        exchanges: all.len() as u64,
        differing: all.iter().map(|one| one.differing).sum(),
        clones: all.iter().map(|one| one.clones).sum(),
        noisy: all.iter().map(|one| one.noisy).sum(),
        has_shapes: false,
        examples,
    }
}

/// The length of the exchange in the middle of those that are odd, by how much it grew.
fn typical(all: &[Judged]) -> Length {
    let mut odd: Vec<Length> = all.iter().filter_map(|one| one.length).collect();
    odd.sort_by(|a, b| ((a.now + 1.0) / (a.recorded + 1.0)).total_cmp(&((b.now + 1.0) / (b.recorded + 1.0))));
    odd.get(odd.len() / 2).copied().unwrap_or(Length { recorded: 0.0, now: 0.0, spread: 0.0 })
}

/// Lengths that differ by less are alike: a time, a number, another name.
fn least_effect(one: f64, other: f64) -> f64 {
    (LEAST_PART * one.max(other)).max(LEAST_BYTES)
}

/// Fewer clones of an exchange are not compared.
pub(crate) const MIN_CLONES: usize = 8;
/// The share of false ones among what is found.
const FALSE_DISCOVERIES: f64 = 0.05;
/// What fewer clones have otherwise is not worth a word.
const LEAST_SHARE: f64 = 0.05;
const LEAST_BYTES: f64 = 16.0;
const LEAST_PART: f64 = 0.05;
/// So far outside of the clones' own spread.
const DEVIATIONS: f64 = 3.0;
/// From this share of clones on that differ from most, they all count together.
const NOISY: f64 = 0.2;
/// From the median distance to the standard deviation of a normal distribution.
const TO_DEVIATION: f64 = 1.482_6;
const EXAMPLES: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { route: 0, program: 0, step: 0 };

    fn answers(lens: impl Iterator<Item = u32>) -> Vec<Answer> {
        (0..).zip(lens).map(|(clone, len)| Answer { clone, at_ms: clone, len, shape: 0 }).collect()
    }

    fn noise(word: u32) -> u32 {
        crate::evidence::lot(word, 7)
    }

    #[track_caller]
    fn check(recorded: u32, lens: impl Iterator<Item = u32>, is_odd: bool) -> Judged {
        let found = lengths(PLACE, recorded, &answers(lens)).expect("enough clones");
        assert_eq!(found.chance < 1.0, is_odd, "{} {:?}", found.chance, found.length);
        found
    }

    #[test]
    fn a_length_outside_of_what_clones_do_is_odd() {
        let found = check(1204, (0..1000).map(|n| 306 + noise(n) % 9), true);
        assert_eq!((found.differing, found.clones, found.noisy), (1000, 1000, 0));
        assert!((found.chance - 1.0 / 1001.0).abs() < 1e-9, "{}", found.chance);
        let length = found.length.expect("it is odd");
        assert_eq!((length.recorded, length.now), (1204.0, 310.0));
        check(310, (0..1000).map(|n| 306 + noise(n) % 9), false);
        check(0, std::iter::repeat_n(500, 20), true);
    }

    #[test]
    fn times_and_ids_and_lists_that_vary_are_noise() {
        check(1_200, (0..100).map(|n| 1_190 + noise(n) % 25), false);
        // a list of anything from 1 to 50 rows
        check(40, (0..300).map(|n| 40 * (1 + noise(n) % 50)), false);
        check(1_960, (0..300).map(|n| 40 * (1 + noise(n) % 50)), false);
        // a list that grows with the load: the recording saw its beginning
        check(100, (0..1000).map(|n| 100 + 40 * n), false);
        check(100, (0..1000).map(|n| 100 + n * n), false);
        // two kinds of answers, of which the recording saw the rarer
        check(900, (0..100).map(|n| if n % 10 == 0 { 900 } else { 300 }), true);
        let found = lengths(PLACE, 900, &answers((0..100).map(|n| if n % 10 == 0 { 900 } else { 300 })));
        assert!(found.expect("enough").chance > 0.1, "one in ten is no wonder");
    }

    #[test]
    fn a_list_that_grows_is_noise_though_clones_come_together() {
        // the clones of each session came within a tenth of the run
        let grown = |session: u32, clone: u32| 500 + 30 * (session * 20 + noise(session * 100 + clone) % 24);
        let mut all: Vec<Judged> = (0..10)
            .map(|program| {
                let lens = (0..20).map(|clone| grown(program, clone));
                lengths(Place { program, ..PLACE }, 500, &answers(lens)).expect("enough")
            })
            .collect();
        assert!(found(0, Kind::Length, &all).chance < 1e-3, "each by itself is odd");
        allow_for_growth(&mut all);
        assert_eq!(found(0, Kind::Length, &all).chance, 1.0);
    }

    fn routes(odd: usize, even: usize, clones: u32) -> Vec<Found> {
        let exchange = |program: u32, recorded: u32| {
            let place = Place { program, ..PLACE };
            lengths(place, recorded, &answers((0..clones).map(|n| 300 + noise(n) % 9))).expect("enough")
        };
        let all: Vec<Judged> = (0..odd as u32)
            .map(|program| exchange(program, 800))
            .chain((0..even as u32).map(|program| exchange(1000 + program, 304)))
            .collect();
        vec![found(0, Kind::Length, &all)]
    }

    #[test]
    fn sessions_add_up_and_a_few_clones_of_one_do_not() {
        assert!(routes(1, 0, 10)[0].chance > 0.05);
        assert!(routes(16, 0, 10)[0].chance < 1e-9);
        assert!(routes(16, 16, 10)[0].chance < 1e-3);
        let found = &routes(16, 4, 100)[0];
        assert_eq!((found.odd, found.exchanges, found.differing, found.clones), (16, 20, 1600, 2000));
        assert_eq!(found.examples.len(), 3);
    }

    #[test]
    fn the_recording_as_one_more_clone_is_hardly_ever_called() {
        // lengths without any bound, of eight sessions with thirty clones each, on a thousand routes
        let mut called = 0;
        let mut chances = Vec::new();
        for route in 0..1000_u32 {
            let length = |program: u32, clone: u32| {
                let unit = f64::from(noise(route * 10_000 + program * 100 + clone) | 1) / f64::from(u32::MAX);
                (500.0 * (1.0 - unit.ln())) as u32
            };
            let all: Vec<Judged> = (0..8)
                .map(|program| {
                    let lens = (1..31).map(|clone| length(program, clone));
                    lengths(Place { program, ..PLACE }, length(program, 0), &answers(lens)).expect("enough")
                })
                .collect();
            chances.push(found(0, Kind::Length, &all).chance);
        }
        for chance in false_discoveries(&chances) {
            called += u32::from(chance <= FALSE_DISCOVERIES);
        }
        assert_eq!(called, 0);
        let small = chances.iter().filter(|chance| **chance <= 0.05).count();
        assert!(small <= 70, "{small} of 1000 at one in twenty");
    }
}
