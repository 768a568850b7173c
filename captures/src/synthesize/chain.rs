//! Which route comes next: a chain of second order where enough was seen, of first order elsewhere.
//!
//! A chain alone gives sessions whose lengths fall off evenly; real ones have many that are short and a few that are very
//! long. So the odds of ending are weighted by how far a session has come, such that the lengths come out as learned.

use std::collections::{BTreeMap, HashMap};

use super::random::Random;
use crate::limits::MAX_TRANSITIONS;
use crate::shape::counted::Counted;
use crate::shape::histogram::{Histogram, Quantiles, bucket};
use crate::shape::routes::{END, START};
use crate::shape::walks::{Gap, Step, Walk};

/// What is counted to learn a chain.
#[derive(Debug)]
pub(super) struct Learner {
    triples: Counted<(u32, u32, u32)>,
    gaps: HashMap<(u32, u32), Gaps>,
    all_gaps: Gaps,
}

/// Times between two requests that follow each other.
#[derive(Clone, Debug, Default)]
struct Gaps {
    think: Histogram,
    overlap: Histogram,
}

/// Gaps to draw from.
#[derive(Clone, Debug, Default)]
struct GapDraws {
    think: Quantiles,
    overlap: Quantiles,
    overlap_share: f64,
}

/// A chain to draw from.
#[derive(Debug)]
pub(super) struct Chain {
    /// By the two routes before; only where [`ENOUGH`] was seen.
    second: HashMap<(u32, u32), Row>,
    /// By the route before: what `second` does not tell.
    backed_off: HashMap<u32, Row>,
    /// By the route before: all of it.
    first: HashMap<u32, Row>,
    gaps: HashMap<(u32, u32), GapDraws>,
    all_gaps: GapDraws,
    /// By bucket of requests so far: what the odds of ending are multiplied with.
    odds: BTreeMap<u16, f64>,
}

/// What comes next, and how often it did.
#[derive(Clone, Debug, Default)]
struct Row {
    /// Routes with their counts summed up.
    upto: Vec<(u64, u32)>,
    ended: u64,
}

/// How sessions that came so far went on.
#[derive(Debug, Default)]
pub(super) struct Stands {
    by_position: BTreeMap<u16, Stand>,
}

#[derive(Debug, Default)]
struct Stand {
    ended: u64,
    /// By what the chain gives for the end, in thousandths.
    by_chance: BTreeMap<u16, u64>,
}

impl Default for Learner {
    fn default() -> Learner {
        Learner { triples: Counted::new(MAX_TRANSITIONS), gaps: HashMap::new(), all_gaps: Gaps::default() }
    }
}

impl Learner {
    pub(super) fn step(&mut self, step: &Step) {
        self.triples.add((step.before, step.from, step.to));
        if step.gap == Gap::First {
            return;
        }
        self.all_gaps.add(step.gap);
        let pair = (step.from, step.to);
        if self.gaps.len() < MAX_TRANSITIONS || self.gaps.contains_key(&pair) {
            self.gaps.entry(pair).or_default().add(step.gap);
        }
    }

    pub(super) fn end(&mut self, walk: &Walk) {
        self.triples.add((walk.before, walk.route, END));
    }

    /// The chain; `pairs` are its transitions of first order.
    pub(super) fn chain(&self, pairs: &Counted<(u32, u32)>) -> Chain {
        let mut first: HashMap<u32, BTreeMap<u32, u64>> = HashMap::new();
        for ((from, to), count) in pairs.sorted() {
            first.entry(from).or_default().insert(to, count);
        }
        let mut second: HashMap<(u32, u32), BTreeMap<u32, u64>> = HashMap::new();
        for ((before, from, to), count) in self.triples.sorted() {
            second.entry((before, from)).or_default().insert(to, count);
        }
        second.retain(|_, next| ENOUGH <= next.values().sum());
        // what is told by two routes is taken from what is told by one: together they give each transition its share
        let mut backed_off = first.clone();
        for ((_, from), next) in &second {
            let Some(rest) = backed_off.get_mut(from) else { continue };
            for (to, count) in next {
                rest.entry(*to).and_modify(|left| *left = left.saturating_sub(*count));
            }
        }
        let rows = |by: HashMap<u32, BTreeMap<u32, u64>>| {
            by.into_iter().map(|(from, next)| (from, Row::of(&next))).collect()
        };
        Chain {
            second: second.iter().map(|(context, next)| (*context, Row::of(next))).collect(),
            backed_off: rows(backed_off),
            first: rows(first),
            gaps: self.gaps.iter().map(|(pair, gaps)| (*pair, gaps.draws())).collect(),
            all_gaps: self.all_gaps.draws(),
            odds: BTreeMap::new(),
        }
    }
}

impl Chain {
    /// Contexts of two routes that it knows.
    pub(super) fn contexts(&self) -> usize {
        self.second.len()
    }

    /// Lets the lengths of sessions come out as they were.
    pub(super) fn weigh(&mut self, stands: &Stands) {
        self.odds = stands.by_position.iter().map(|(position, stand)| (*position, stand.odds())).collect();
    }

    /// Counts a session that had `walked` so many requests, the last two of them `context`, and then ended or not.
    pub(super) fn stand(&self, stands: &mut Stands, walked: u64, context: (u32, u32), ended: bool) {
        let chance = self.row(context).map_or(1.0, Row::end);
        let stand = stands.by_position.entry(bucket(walked)).or_default();
        stand.ended += u64::from(ended);
        *stand.by_chance.entry((chance * THOUSAND).round() as u16).or_default() += 1;
    }

    /// The next route after the two of `context`, `walked` requests into a session; `None` when it ends.
    pub(super) fn next(&self, walked: u64, context: (u32, u32), random: &mut Random) -> Option<u32> {
        let row = self.row(context)?;
        // beyond the longest session of the capture, its odds go on
        let odds = self.odds.range(..=bucket(walked)).next_back().map_or(1.0, |(_, odds)| *odds);
        if random.unit() < weighed(row.end(), odds) {
            return None;
        }
        let (total, _) = row.upto.last()?;
        let wanted = random.below(*total);
        Some(row.upto[row.upto.partition_point(|(upto, _)| *upto <= wanted)].1)
    }

    /// The time from one route to the next.
    pub(super) fn gap(&self, from: u32, to: u32, random: &mut Random) -> Gap {
        let gaps = self.gaps.get(&(from, to)).unwrap_or(&self.all_gaps);
        let overlaps = random.unit() < gaps.overlap_share;
        match overlaps {
            true => Gap::Overlap(gaps.overlap.at(random.unit())),
            false => Gap::Think(gaps.think.at(random.unit())),
        }
    }

    fn row(&self, context: (u32, u32)) -> Option<&Row> {
        let backed_off = || self.backed_off.get(&context.1).filter(|row| !row.is_empty());
        self.second.get(&context).or_else(backed_off).or_else(|| self.first.get(&context.1))
    }
}

impl Row {
    fn of(next: &BTreeMap<u32, u64>) -> Row {
        let mut row = Row { upto: Vec::new(), ended: next.get(&END).copied().unwrap_or_default() };
        let mut total = 0;
        for (to, count) in next.iter().filter(|(to, count)| **to != END && **count != 0) {
            total += count;
            row.upto.push((total, *to));
        }
        row
    }

    fn is_empty(&self) -> bool {
        self.ended == 0 && self.upto.is_empty()
    }

    /// The chance that nothing follows.
    fn end(&self) -> f64 {
        let on = self.upto.last().map_or(0, |(total, _)| *total);
        self.ended as f64 / (self.ended + on).max(1) as f64
    }
}

impl Stand {
    /// The weight under which as many sessions end here as did.
    fn odds(&self) -> f64 {
        let expected = |odds: f64| {
            let of =
                |(chance, count): (&u16, &u64)| weighed(f64::from(*chance) / THOUSAND, odds) * *count as f64;
            self.by_chance.iter().map(of).sum::<f64>()
        };
        let (mut low, mut high) = (LEAST_ODDS.ln(), MOST_ODDS.ln());
        for _ in 0..40 {
            let middle = (low + high) / 2.0;
            match expected(middle.exp()) < self.ended as f64 {
                true => low = middle,
                false => high = middle,
            }
        }
        ((low + high) / 2.0).exp()
    }
}

impl Gaps {
    fn add(&mut self, gap: Gap) {
        match gap {
            Gap::First => {}
            Gap::Think(us) => self.think.add(us),
            Gap::Overlap(us) => self.overlap.add(us),
        }
    }

    fn draws(&self) -> GapDraws {
        let all = self.think.count() + self.overlap.count();
        GapDraws {
            think: self.think.quantiles(),
            overlap: self.overlap.quantiles(),
            overlap_share: self.overlap.count() as f64 / all.max(1) as f64,
        }
    }
}

/// A chance whose odds are multiplied: never and always stay what they are.
fn weighed(chance: f64, odds: f64) -> f64 {
    chance * odds / (1.0 - chance + chance * odds)
}

/// Before the first request.
pub(super) const NOWHERE: (u32, u32) = (START, START);

/// So often two routes must have been seen together before what follows them is told from what follows the second alone.
const ENOUGH: u64 = 30;
const THOUSAND: f64 = 1000.0;
const LEAST_ODDS: f64 = 1e-4;
const MOST_ODDS: f64 = 1e4;
