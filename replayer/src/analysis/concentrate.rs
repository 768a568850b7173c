//! Where hits concentrate: on few ids, on one remainder of them (a shard), or in sessions that did something often.

use std::collections::HashMap;

use crate::analysis::cluster::Unit;
use crate::analysis::field::{Field, NO_KEY};
use crate::analysis::lift;
use crate::analysis::stats::{hypergeometric_tail, share};

/// A part of the units that has nearly all of the hits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    /// As in `id % 4 = 3`, `id = 17`, `12 of 48 ids: 3, 7, 11, …`.
    pub(crate) name: String,
    pub(crate) hits: u64,
    pub(crate) units: u64,
    pub(crate) other_hits: u64,
    pub(crate) other_units: u64,
    /// The ids in it, in order; empty for visits.
    pub(crate) keys: Vec<u32>,
}

/// Sessions that visited a route more often than that.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Visits {
    pub(crate) route: u16,
    pub(crate) more_than: usize,
    pub(crate) part: Part,
}

type Counts = (u64, u64);

/// The ids that the hits concentrate on.
pub(crate) fn on_keys(field: &Field, units: &[Unit]) -> Option<Part> {
    let mut by_key: HashMap<u32, [Counts; 2]> = HashMap::new();
    for unit in units {
        let attempt = &field.attempts[unit.at as usize];
        let key = field.fact(attempt).key;
        if key != NO_KEY {
            let (hits, all) = &mut by_key.entry(key).or_default()[(attempt.session % 2) as usize];
            *hits += u64::from(unit.hit);
            *all += 1;
        }
    }
    let mut keys: Vec<(u32, [Counts; 2])> = by_key.into_iter().collect();
    keys.sort_unstable_by_key(|(key, _)| *key);
    if keys.len() < 2 {
        return None;
    }
    let found = on_one(field, &keys).or_else(|| on_remainder(field, &keys)).or_else(|| on_some(field, &keys));
    found.filter(|part| is_of_ids(field, units, part))
}

/// Whether others who came at the same time were spared: ids that are only asked for while everything fails are none.
fn is_of_ids(field: &Field, units: &[Unit], part: &Part) -> bool {
    let key = |unit: &Unit| field.fact(&field.attempts[unit.at as usize]).key;
    let lift = lift::of_part(field, units, |unit| part.has(key(unit)));
    3.0 <= lift.ratio.ratio && lift.chance < 0.01
}

/// One id has them all.
fn on_one(field: &Field, keys: &[(u32, [Counts; 2])]) -> Option<Part> {
    let (key, _) = keys.iter().max_by_key(|(_, halves)| halves[0].0 + halves[1].0)?;
    let name = format!("id = {}", field.keys[*key as usize]);
    let part = part(name, keys, |other| other == *key);
    part.is_telling(keys.len()).then_some(part)
}

/// The ids that leave one remainder have them all. There may be many ids: each divisor takes one pass over them.
fn on_remainder(field: &Field, keys: &[(u32, [Counts; 2])]) -> Option<Part> {
    let number = |key: u32| field.keys[key as usize].parse::<u64>().ok();
    let count = |halves: &[Counts; 2]| (halves[0].0 + halves[1].0, halves[0].1 + halves[1].1);
    let sum = |(hits, units): Counts, (more_hits, more): Counts| (hits + more_hits, units + more);
    let numbers: Vec<(u64, Counts)> =
        keys.iter().filter_map(|(key, halves)| Some((number(*key)?, count(halves)))).collect();
    if numbers.len() * 10 < keys.len() * 9 || numbers.len() < 6 {
        return None;
    }
    let all = keys.iter().fold((0, 0), |all, (_, halves)| sum(all, count(halves)));
    let mut best: Option<(Part, u64, u64)> = None;
    for divisor in (2..=16_u64).chain([24, 32, 48, 64, 100, 128, 256]) {
        let mut classes = vec![(0, (0, 0)); divisor as usize];
        for (number, counts) in &numbers {
            let (ids, inside) = &mut classes[(number % divisor) as usize];
            (*ids, *inside) = (*ids + 1, sum(*inside, *counts));
        }
        for (remainder, (_, (hits, units))) in (0..).zip(classes).filter(|(_, (ids, _))| 2 <= *ids) {
            let (other_hits, other_units) = (all.0 - hits, all.1 - units);
            let part = Part { name: String::new(), hits, units, other_hits, other_units, keys: Vec::new() };
            let beats = best.as_ref().is_none_or(|(best, ..)| best.separation() + 0.02 < part.separation());
            if beats && part.is_telling(2000) {
                best = Some((part, divisor, remainder));
            }
        }
    }
    let (_, divisor, remainder) = best?;
    let has = |key| number(key).is_some_and(|number| number % divisor == remainder);
    Some(part(format!("id % {divisor} = {remainder}"), keys, has))
}

/// Some ids have them all: chosen by one half of the sessions, judged by the other.
fn on_some(field: &Field, keys: &[(u32, [Counts; 2])]) -> Option<Part> {
    let fails = |(_, halves): &&(u32, [Counts; 2])| 2 <= halves[0].1 && halves[0].1 <= 2 * halves[0].0;
    let bad: Vec<u32> = keys.iter().filter(fails).map(|(key, _)| *key).collect();
    let is_bad = |key: u32| bad.binary_search(&key).is_ok();
    if bad.is_empty() || keys.len() < 4 * bad.len() {
        return None;
    }
    let judging: Vec<(u32, [Counts; 2])> =
        keys.iter().map(|(key, halves)| (*key, [(0, 0), halves[1]])).collect();
    if !part(String::new(), &judging, is_bad).is_telling(1) {
        return None;
    }
    let mut names: Vec<&str> = bad.iter().map(|key| field.keys[*key as usize].as_str()).collect();
    names.sort_unstable();
    let more = if NAMES < names.len() { ", …" } else { "" };
    let shown = names[..names.len().min(NAMES)].join(", ");
    let name = format!("{} of {} ids: {shown}{more}", bad.len(), keys.len());
    Some(part(name, keys, is_bad))
}

fn part(name: String, keys: &[(u32, [Counts; 2])], has: impl Fn(u32) -> bool) -> Part {
    let mut part = Part { name, hits: 0, units: 0, other_hits: 0, other_units: 0, keys: Vec::new() };
    for (key, halves) in keys {
        let (hits, units) = (halves[0].0 + halves[1].0, halves[0].1 + halves[1].1);
        if has(*key) {
            part.hits += hits;
            part.units += units;
            part.keys.push(*key);
        } else {
            part.other_hits += hits;
            part.other_units += units;
        }
    }
    part
}

/// The visits without which there is no hit.
pub(crate) fn on_visits(field: &Field, units: &[Unit]) -> Option<Visits> {
    let routes = busiest(field);
    // by route: units and hits that had 0, 1, 2 … visits before
    let mut tables = vec![[(0_u64, 0_u64); MOST_VISITS + 1]; routes.len()];
    let mut counts = vec![0; routes.len()];
    let mut earlier = field.earlier();
    for unit in units {
        let (attempts, is_new) = earlier.before(unit.at);
        if is_new {
            counts.fill(0);
        }
        for attempt in attempts {
            if let (Some(place), 1) =
                (routes.iter().position(|route| *route == attempt.route), attempt.attempt)
            {
                counts[place] += 1;
            }
        }
        for (table, count) in tables.iter_mut().zip(&counts) {
            let (hits, all) = &mut table[MOST_VISITS.min(*count)];
            *hits += u64::from(unit.hit);
            *all += 1;
        }
    }
    let mut best: Option<Visits> = None;
    for (route, table) in routes.iter().zip(&tables) {
        for more_than in 0..MOST_VISITS {
            let sum =
                |counts: &[Counts]| counts.iter().fold((0, 0), |(hits, all), (x, n)| (hits + x, all + n));
            let ((other_hits, other_units), (hits, units)) =
                (sum(&table[..=more_than]), sum(&table[more_than + 1..]));
            let part = Part { name: String::new(), hits, units, other_hits, other_units, keys: Vec::new() };
            let beats = best.as_ref().is_none_or(|best| best.part.separation() + 0.02 < part.separation());
            if beats && part.is_telling(tables.len() * MOST_VISITS) && other_hits * 20 <= hits {
                best = Some(Visits { route: *route, more_than, part });
            }
        }
    }
    best
}

/// The routes with the most requests.
fn busiest(field: &Field) -> Vec<u16> {
    let mut counts = vec![0_u64; field.routes.len()];
    for attempt in &field.attempts {
        if let Some(count) = counts.get_mut(usize::from(attempt.route)) {
            *count += 1;
        }
    }
    let mut routes: Vec<u16> = (0..counts.len() as u16).collect();
    routes.sort_by_key(|route| std::cmp::Reverse(counts[usize::from(*route)]));
    routes.truncate(VISITED_ROUTES);
    routes
}

impl Part {
    /// Whether an id is in it.
    pub(crate) fn has(&self, key: u32) -> bool {
        self.keys.binary_search(&key).is_ok()
    }

    /// Share of the hits that it has, less the share of all others: 1 where it has all hits and nothing else.
    pub(crate) fn separation(&self) -> f64 {
        let others = self.units + self.other_units - self.hits - self.other_hits;
        share(self.hits, self.hits + self.other_hits) - share(self.units - self.hits, others)
    }

    /// Whether chance, which had `tries`, would not do that.
    fn is_telling(&self, tries: usize) -> bool {
        let all = (self.units, self.hits + self.other_hits, self.units + self.other_units);
        FEWEST_HITS <= self.hits
            && FEWEST_HITS <= self.other_units
            && SEPARATION <= self.separation()
            && 3.0 * share(self.other_hits, self.other_units) <= share(self.hits, self.units)
            && hypergeometric_tail(self.hits, all) * (tries as f64) < 1e-4
    }
}

const FEWEST_HITS: u64 = 8;
/// From here on a part is said to have the hits.
const SEPARATION: f64 = 0.6;
const MOST_VISITS: usize = 16;
const VISITED_ROUTES: usize = 24;
/// Ids that are named.
const NAMES: usize = 5;
