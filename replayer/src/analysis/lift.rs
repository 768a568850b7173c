//! Did a rule make it likelier? Clones are the control group: a clone that the rule had touched is compared with clones of
//! the same recorded step that nothing had touched, and moments in which the rule was at work with the others.

use crate::analysis::cluster::Unit;
use crate::analysis::field::{Field, OWN_FAILURE};
use crate::analysis::stats::{
    Ratio, Table, chance_of, clustered_ratio, normal_tail, plain_ratio, pooled_ratio, quantile_of, share,
};

/// What a comparison came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lift {
    pub(crate) table: Table,
    pub(crate) ratio: Ratio,
    /// The chance of as many hits among the exposed, had the exposure done nothing.
    pub(crate) chance: f64,
}

/// The run in moments of equal length.
#[derive(Debug)]
pub(crate) struct Moments {
    pub(crate) width_ms: u32,
    /// Attempts sent.
    pub(crate) load: Vec<u64>,
    /// Whether each rule was at work then or just before, by its bit.
    at_work: Vec<Vec<bool>>,
    /// Whether each rule was at work nearly all the time that it could be.
    steady: Vec<bool>,
}

impl Moments {
    pub(crate) fn new(field: &Field) -> Moments {
        let end_ms = field.end_ms();
        let width_ms = (end_ms / MOMENTS).max(SHORTEST_MS);
        let count = (end_ms / width_ms) as usize + 1;
        let mut moments = Moments {
            width_ms,
            load: vec![0; count],
            at_work: vec![vec![false; count]; field.rules.len()],
            steady: Vec::new(),
        };
        for attempt in &field.attempts {
            let sent = moments.of(attempt.sent_ms());
            moments.load[sent] += 1;
        }
        for (attempt, rules) in field.touched() {
            let sent = moments.of(attempt.sent_ms());
            let until = moments.of(attempt.at_ms.saturating_add(LINGER_MS));
            for (bit, at_work) in moments.at_work.iter_mut().enumerate() {
                if rules >> bit & 1 == 1 {
                    at_work[sent..=until].fill(true);
                }
            }
        }
        moments.steady = (0..field.rules.len()).map(|bit| moments.is_always(field, bit)).collect();
        moments
    }

    /// Whether a rule was at work in nearly all moments in which there was something for it to do: requests on the routes
    /// that it touches. One that acts on the first step of sessions has nothing to do once the last of them has begun.
    fn is_always(&self, field: &Field, bit: usize) -> bool {
        let mut is_touched = vec![false; usize::from(u16::MAX) + 1];
        for (attempt, _) in field.touched().filter(|(_, rules)| rules >> bit & 1 == 1) {
            is_touched[usize::from(attempt.route)] = true;
        }
        let mut could = self.at_work[bit].clone();
        for attempt in field.attempts.iter().filter(|attempt| is_touched[usize::from(attempt.route)]) {
            could[self.of(attempt.sent_ms())] = true;
        }
        let count = |moments: &[bool]| moments.iter().filter(|is| **is).count();
        3 * count(&could) <= 4 * count(&self.at_work[bit])
    }

    /// The moment of a time; the last for later ones.
    pub(crate) fn of(&self, at_ms: u32) -> usize {
        ((at_ms / self.width_ms) as usize).min(self.load.len() - 1)
    }

    /// Whether any rule was at work then that is not always so.
    pub(crate) fn is_disturbed(&self, at_ms: u32) -> bool {
        let moment = self.of(at_ms);
        (0..self.at_work.len()).any(|bit| self.at_work[bit][moment] && !self.is_steady(bit))
    }

    /// Whether a rule was at work nearly all the time that it could be.
    pub(crate) fn is_steady(&self, bit: usize) -> bool {
        self.steady[bit]
    }

    /// Whether the rule of that bit was at work.
    pub(crate) fn is_at_work(&self, bit: usize, at_ms: u32) -> bool {
        self.at_work.get(bit).is_some_and(|at_work| at_work[self.of(at_ms)])
    }

    /// Loads as they are while the rule is at work: a tenth to nine tenths of its moments, and half as much around.
    fn loads_like(&self, bit: usize) -> std::ops::RangeInclusive<u64> {
        let at_work = self.load.iter().zip(&self.at_work[bit]).filter(|(_, at_work)| **at_work);
        let mut loads: Vec<f64> = at_work.map(|(load, _)| *load as f64).collect();
        loads.sort_by(f64::total_cmp);
        let (low, high) = (quantile_of(&loads, 0.1), quantile_of(&loads, 0.9));
        (low / 1.5) as u64..=(high * 1.5).ceil() as u64
    }

    /// Hits and units in each moment.
    pub(crate) fn counts(&self, field: &Field, units: &[Unit]) -> Vec<(u64, u64)> {
        let mut counts = vec![(0, 0); self.load.len()];
        for unit in units {
            let (hits, all) = &mut counts[self.of(field.attempts[unit.at as usize].at_ms)];
            *hits += u64::from(unit.hit);
            *all += 1;
        }
        counts
    }
}

/// Sessions that the rule had touched before, against those that none had: step by recorded step where there are enough
/// clones, else over the whole route. Where many rules leave few whom none had touched, the others are those whom this
/// rule had not touched: what other rules do falls on both alike, as they choose by hashes of their own.
pub(crate) fn by_session(field: &Field, units: &[Unit], bit: usize) -> Lift {
    let fact = |unit: &Unit| field.attempts[unit.at as usize].fact as usize;
    let found = among_untouched(strata(field, units, bit, fact));
    if found.chance < CLEAR {
        return found;
    }
    let wide = over(&strata_of(units, |unit| is_exposed(field, unit, bit), fact));
    let chance = (2.0 * wide.chance).min(1.0); // there were two looks
    if chance < found.chance { Lift { chance, ..wide } } else { found }
}

fn among_untouched(fine: Vec<Table>) -> Lift {
    let sum = |tables: &[Table]| tables.iter().fold(Table::default(), |sum, table| sum.plus(table));
    let all = sum(&fine);
    let telling: Vec<Table> = fine.into_iter().filter(Table::compares).collect();
    if all.exposed_hits <= 2 * sum(&telling).exposed_hits {
        return over(&telling);
    }
    over(&[all])
}

/// The same within the moments in which the rule was at work, second by second or so: what is left of the lift is the
/// session's own.
pub(crate) fn by_session_at_work(field: &Field, units: &[Unit], moments: &Moments, bit: usize) -> Lift {
    let then: Vec<Unit> = units
        .iter()
        .filter(|unit| moments.is_at_work(bit, field.attempts[unit.at as usize].at_ms))
        .copied()
        .collect();
    let width_ms = moments.width_ms.max(LINGER_MS);
    let then_ish = |unit: &Unit| (field.attempts[unit.at as usize].at_ms / width_ms) as usize;
    over(&strata(field, &then, bit, then_ish))
}

/// The same moment by moment, whether the rule was at work or not.
pub(crate) fn by_session_then(field: &Field, units: &[Unit], moments: &Moments, bit: usize) -> Lift {
    over(&strata(field, units, bit, |unit| moments.of(field.attempts[unit.at as usize].at_ms)))
}

/// A part of the units against the others of its time, so that what befell all who came then is not put down to what they
/// asked for. The spans are long enough for others to be in most of them.
pub(crate) fn of_part(field: &Field, units: &[Unit], is_inside: impl Fn(&Unit) -> bool) -> Lift {
    let width_ms =
        (u64::from(field.end_ms()) * UNITS_OF_A_TIME / units.len().max(1) as u64).max(u64::from(LINGER_MS));
    let then = |unit: &Unit| (u64::from(field.attempts[unit.at as usize].at_ms) / width_ms) as usize;
    over(&strata_of(units, is_inside, then))
}

fn is_exposed(field: &Field, unit: &Unit, bit: usize) -> bool {
    field.attempts[unit.at as usize].before >> bit & 1 == 1
}

/// Whom a rule had touched, against whom none had.
fn strata(field: &Field, units: &[Unit], bit: usize, of: impl Fn(&Unit) -> usize) -> Vec<Table> {
    // whom rules had touched is no control of a rule, but a fair one of a failure
    let is_control = |unit: &Unit| bit == OWN_FAILURE || field.attempts[unit.at as usize].before == 0;
    let both: Vec<Unit> =
        units.iter().filter(|unit| is_exposed(field, unit, bit) || is_control(unit)).copied().collect();
    strata_of(&both, |unit| is_exposed(field, unit, bit), of)
}

fn strata_of(units: &[Unit], is_exposed: impl Fn(&Unit) -> bool, of: impl Fn(&Unit) -> usize) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for unit in units {
        let stratum = of(unit);
        if tables.len() <= stratum {
            tables.resize(stratum + 1, Table::default());
        }
        tables[stratum].add(is_exposed(unit), unit.hit);
    }
    tables
}

fn over(tables: &[Table]) -> Lift {
    let telling = || tables.iter().filter(|table| table.compares());
    let table = telling().fold(Table::default(), |sum, table| sum.plus(table));
    Lift { table, ratio: pooled_ratio(tables), chance: chance_of(tables) }
}

/// Moments in which the rule was at work, against others with a load like that; `None`: there are too few of either.
pub(crate) fn by_moment(field: &Field, units: &[Unit], moments: &Moments, bit: usize) -> Option<Lift> {
    let (mut exposed, mut control) = (Vec::new(), Vec::new());
    let mut table = Table::default();
    let loads = moments.loads_like(bit);
    for (moment, (hits, all)) in moments.counts(field, units).into_iter().enumerate() {
        if all == 0 || !loads.contains(&moments.load[moment]) {
            continue;
        }
        if moments.at_work[bit][moment] {
            exposed.push((hits, all));
            table.exposed_hits += hits;
            table.exposed += all;
        } else {
            control.push((hits, all));
            table.control_hits += hits;
            table.control += all;
        }
    }
    if exposed.len() < MOMENTS_OF_EACH || control.len() < MOMENTS_OF_EACH {
        return None;
    }
    let ratio = clustered_ratio(&exposed, &control);
    // the interval is 2.58 standard errors wide on either side
    let error = (ratio.high / ratio.ratio).ln() / 2.575_829_3;
    let z = ratio.ratio.ln() / error.max(1e-9);
    Some(Lift { table, ratio, chance: normal_tail(z) })
}

/// Hits and units while the rule was at work, and at all other times.
pub(crate) fn at_work(field: &Field, units: &[Unit], moments: &Moments, bit: usize) -> Table {
    let mut table = Table::default();
    for unit in units {
        table.add(moments.is_at_work(bit, field.attempts[unit.at as usize].at_ms), unit.hit);
    }
    table
}

/// Whether hits set in when the rule goes to work, and leave off when it has done: most of its bouts have both edges. That
/// tells what it does from whatever else happened to happen while it was at work.
pub(crate) fn has_edges(field: &Field, units: &[Unit], moments: &Moments, bit: usize) -> bool {
    let counts = moments.counts(field, units);
    let at_work = &moments.at_work[bit];
    let linger = (LINGER_MS / moments.width_ms) as usize;
    let is_higher = |inside: std::ops::Range<usize>, outside: std::ops::Range<usize>| {
        let sum = |range: std::ops::Range<usize>| {
            counts[range].iter().fold((0, 0), |(hits, all), (x, n)| (hits + x, all + n))
        };
        let ((hits, all), (other_hits, others)) = (sum(inside), sum(outside));
        EDGE_HITS <= hits && EDGE_HITS <= others && 3.0 * share(other_hits, others) <= share(hits, all)
    };
    let (mut bouts, mut sharp, mut from) = (0, 0, 0);
    while let Some(start) = (from..at_work.len()).find(|moment| at_work[*moment]) {
        let end = (start..at_work.len()).find(|moment| !at_work[*moment]).unwrap_or(at_work.len());
        let reach = ((end - start) / 2).clamp(1, (EDGE_MS / moments.width_ms).max(1) as usize);
        let last = end.saturating_sub(linger).max(start + 1);
        let sets_in = reach <= start && is_higher(start..(start + reach).min(end), start - reach..start);
        let leaves_off = end + reach <= counts.len()
            && is_higher(last.saturating_sub(reach).max(start)..last, end..end + reach);
        bouts += 1;
        sharp += usize::from(sets_in && leaves_off);
        from = end;
    }
    bouts < 2 * sharp
}

/// Hits among touched and untouched sessions, whatever the rule, for the sentence that the rules make no difference.
pub(crate) fn by_any(field: &Field, units: &[Unit]) -> (Table, Ratio) {
    let mut table = Table::default();
    for unit in units {
        let rules = field.attempts[unit.at as usize].before & !(1 << OWN_FAILURE);
        table.add(rules != 0, unit.hit);
    }
    (table, plain_ratio(&table))
}

/// Moments that a long run is divided into.
const MOMENTS: u32 = 240;
const SHORTEST_MS: u32 = 250;
/// How long after its last touch a rule still counts as at work: what it filled has to drain.
const LINGER_MS: u32 = 1000;
const MOMENTS_OF_EACH: usize = 4;
/// Chance below which no other comparison is looked for.
const CLEAR: f64 = 1e-6;
const UNITS_OF_A_TIME: u64 = 20;
/// How much before and after an edge is compared.
const EDGE_MS: u32 = 3000;
const EDGE_HITS: u64 = 5;
