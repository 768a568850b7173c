//! The closed model: so many sessions alive, and when one ends another takes its slot.
//!
//! A slot enters in the midst of a session, as if the run had been going on for ever: a long session is met more
//! often than a short one (its share of the time), anywhere along its length with the same chance. Its successors
//! start at their beginning, each recorded session as often as the next. So requests flow evenly from the start
//! instead of in waves of sessions that began together.

use crate::limits;
use crate::population::chance::{self, Purpose};
use crate::population::curve::Curve;
use crate::population::{Cast, Estimate, Start, Wanted, identity_word, lasting, nanos, pace};

/// Slots, and who may take them.
#[derive(Debug)]
pub(crate) struct Closed {
    /// Sessions that should be alive.
    target: Curve,
    slots: u32,
    seed: u64,
    pace: f64,
    /// Sums of the weights of the casts so far: how often each follows.
    by_count: Vec<f64>,
    /// Sums of weight times length: how often each is met.
    by_length: Vec<f64>,
    lengths_us: Vec<u64>,
    /// Mean steps and mean length of a session, in recorded microseconds.
    mean: (f64, f64),
    /// Hash of the casts.
    who: u64,
}

/// `sessions` alive from five seconds on.
pub(crate) fn settling(sessions: u32) -> Curve {
    Curve::of([(SETTLE_US, 0.0, f64::from(sessions))], f64::from(sessions))
}

impl Closed {
    pub(crate) fn new(casts: &[Cast], wanted: &Wanted, target: Curve) -> Result<Closed, String> {
        let peak = target.peak().round();
        if peak < 1.0 {
            return Err("no stage has a session alive: it would replay nothing".to_owned());
        }
        if limits::SESSIONS as f64 <= peak {
            return Err(format!("{peak} sessions alive are too many: at most {}", limits::SESSIONS));
        }
        let amplify = |cast: &Cast| wanted.amplify.get(usize::from(cast.source)).copied().unwrap_or(1.0);
        let (mut count, mut length, mut steps) = (0.0, 0.0, 0.0);
        let (mut by_count, mut by_length) = (Vec::new(), Vec::new());
        let mut who = xxhash_rust::xxh3::Xxh3::new();
        for cast in casts {
            let weight = amplify(cast) * lasting(cast, &wanted.boosts);
            count += weight;
            length += weight * cast.length_us as f64;
            steps += weight * f64::from(cast.steps);
            by_count.push(count);
            by_length.push(length);
            let word = identity_word(cast.source, cast.session);
            for value in [word, weight.to_bits(), cast.length_us, u64::from(cast.steps)] {
                who.update(&value.to_le_bytes());
            }
        }
        Ok(Closed {
            target,
            slots: if casts.is_empty() { 0 } else { peak as u32 },
            seed: wanted.seed,
            pace: pace(wanted.speed),
            by_count,
            by_length,
            lengths_us: casts.iter().map(|cast| cast.length_us).collect(),
            mean: (steps / count.max(f64::MIN_POSITIVE), length / count.max(f64::MIN_POSITIVE)),
            who: who.digest(),
        })
    }

    /// Slots of the run.
    pub(crate) fn slots(&self) -> u32 {
        self.slots
    }

    /// The first session of a slot; `None`: there is no such slot.
    pub(crate) fn entry(&self, slot: u32) -> Option<Start> {
        if self.slots <= slot {
            return None;
        }
        let at = self.target.reaches(level(slot), 0.0)?;
        let part = |purpose| chance::draw(self.seed, purpose, [u64::from(slot), 0]);
        let whole = self.by_length.last().copied().unwrap_or(0.0);
        // Sessions without a length are over when they begin: nobody is ever met in their midst.
        let sums = if 0.0 < whole { &self.by_length } else { &self.by_count };
        let program = pick(sums, part(Purpose::Entry));
        let skip_us = (self.lengths_us[program] as f64 * part(Purpose::Skip)) as u64;
        Some(Start { at_ns: nanos(at), user: slot, program: program as u32, clone: slot, skip_us })
    }

    /// Who follows in a slot.
    pub(crate) fn replacement(&self, slot: u32, clone: u32, now_ns: u64) -> Option<Start> {
        let clone = clone.checked_add(self.slots)?;
        let at = self.target.reaches(level(slot), now_ns as f64 / 1000.0)?;
        let part = chance::draw(self.seed, Purpose::Successor, [u64::from(slot), u64::from(clone)]);
        let program = pick(&self.by_count, part) as u32;
        Some(Start { at_ns: nanos(at).max(now_ns), user: slot, program, clone, skip_us: 0 })
    }

    /// Whether a slot should be taken.
    #[cfg(test)]
    pub(crate) fn is_wanted(&self, slot: u32, at_ns: u64) -> bool {
        level(slot) <= self.target.at(at_ns as f64 / 1000.0)
    }

    /// When the last stage ends, in microseconds.
    pub(crate) fn end_us(&self) -> Option<f64> {
        let end = self.target.end();
        (self.target.at(end) <= 0.0).then_some(end)
    }

    /// What the run will need.
    pub(crate) fn estimate(&self) -> Estimate {
        let (steps, length_us) = self.mean;
        let per_us = f64::from(self.slots) * self.pace / length_us;
        let rate = Some(per_us * 1e6 * steps).filter(|rate| rate.is_finite());
        Estimate {
            span_us: self.end_us().map(|end| end as u64),
            peak_sessions: u64::from(self.slots),
            peak_rate: rate.map(|rate| rate.ceil() as u64),
            ..Estimate::default()
        }
    }

    /// Everything that decides who starts when.
    pub(crate) fn words(&self, word: &mut impl FnMut(u64)) {
        word(u64::MAX); // no open model begins so
        word(self.who);
        self.target.words().for_each(word);
    }
}

/// A slot is wanted while at least half of its session is.
fn level(slot: u32) -> f64 {
    f64::from(slot) + 0.5
}

/// The place of a share of the last of some growing sums.
fn pick(sums: &[f64], part: f64) -> usize {
    let whole = sums.last().copied().unwrap_or(0.0);
    sums.partition_point(|sum| *sum <= whole * part).min(sums.len().saturating_sub(1))
}

/// How long `--sessions` may take until all are alive.
const SETTLE_US: f64 = 5e6;

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::{BTreeSet, BinaryHeap};

    use crate::options::Speed;
    use crate::population::{Arrivals, Load, Shard, Stage, stage};

    use super::*;

    /// Short and long sessions, 7 s on average.
    fn casts() -> Vec<Cast> {
        let lengths = [1, 2, 3, 4, 5, 6, 28];
        let cast = |(session, seconds): (usize, &u64)| Cast {
            session: session as u64,
            start_us: 0,
            length_us: seconds * 1_000_000,
            steps: 1,
            routes: Vec::new(),
            source: 0,
        };
        lengths.iter().enumerate().map(cast).collect()
    }

    fn closed(target: Curve) -> Closed {
        let wanted = Wanted {
            seed: 3,
            speed: Speed::Times(1.0),
            load: Load::Recorded,
            arrivals: Arrivals::Recorded,
            amplify: vec![1.0],
            boosts: Vec::new(),
            looped: false,
            duration_us: None,
            shard: Shard::WHOLE,
        };
        Closed::new(&casts(), &wanted, target).expect("it has sessions")
    }

    /// Sessions alive and sessions ended in each second, when answers take as long as recorded.
    fn simulate(closed: &Closed, seconds: usize) -> (Vec<f64>, Vec<u32>) {
        let casts = casts();
        let end =
            |start: &Start| start.at_ns + (casts[start.program as usize].length_us - start.skip_us) * 1000;
        let mut running: BinaryHeap<_> = (0..closed.slots())
            .filter_map(|slot| closed.entry(slot))
            .map(|s| Reverse((end(&s), s)))
            .collect();
        let (mut alive, mut ended) = (vec![0.0; seconds], vec![0; seconds]);
        let mut names = BTreeSet::new();
        while let Some(Reverse((end_ns, start))) = running.pop() {
            assert!(names.insert((start.program, start.clone)), "a name comes twice");
            for (second, alive) in alive.iter_mut().enumerate() {
                let (from, to) = (second as u64 * SECOND, (second as u64 + 1) * SECOND);
                *alive += end_ns.min(to).saturating_sub(start.at_ns.max(from)) as f64 / SECOND as f64;
            }
            if let Some(ended) = ended.get_mut((end_ns / SECOND) as usize) {
                *ended += 1;
                if let Some(next) = closed.replacement(start.user, start.clone, end_ns) {
                    running.push(Reverse((end(&next), next)));
                }
            }
        }
        (alive, ended)
    }

    #[test]
    fn as_many_are_alive_and_they_end_as_evenly_as_ever() {
        let (alive, ended) = simulate(&closed(settling(7000)), 40);
        assert!(alive[5..].iter().all(|alive| (alive / 7000.0 - 1.0).abs() < 0.01), "{alive:?}");
        // 7,000 sessions of 7 s: 1,000 end each second, from the first full second on.
        for (second, ended) in ended.iter().enumerate().skip(5) {
            assert!(ended.abs_diff(1000) < 150, "second {second}: {ended} ended");
        }
        let mean = ended[5..].iter().sum::<u32>() / 35;
        assert!(mean.abs_diff(1000) < 20, "{mean} end each second");
    }

    #[test]
    fn stages_are_followed_up_and_down() {
        let stages =
            Stage::list("10s:1000, 20s:1000, 0s:100, 60s:100, 10s:500, 10s:500").expect("they are stages");
        let closed = closed(stage::target(&stages));
        let (alive, _) = simulate(&closed, 110);
        let check = |second: usize, expect: f64| {
            assert!((alive[second] / expect - 1.0).abs() < 0.05, "second {second}: {} alive", alive[second]);
        };
        check(4, 450.0);
        check(15, 1000.0);
        check(29, 1000.0);
        check(80, 100.0); // whoever is too many ends in his own time
        check(95, 320.0);
        check(105, 500.0);
        assert!(closed.is_wanted(99, 40 * SECOND) && !closed.is_wanted(100, 40 * SECOND));
        assert!(closed.replacement(300, 300, 40 * SECOND).is_some_and(|next| next.at_ns > 90 * SECOND));
        assert_eq!(closed.replacement(700, 700, 40 * SECOND), None);
        assert_eq!(closed.end_us(), Some(110e6));
    }

    const SECOND: u64 = 1_000_000_000;
}
