//! Why it broke: from single attempts to at most ten findings, each with what explains it.
//!
//! ```text
//! evidence + plan + what rules ended --field--> attempts --cluster--> units --explain--> pieces --findings--> Analysis
//! ```
//!
//! Everything here is pure and runs once, after the load. A failure that a rule made by itself is counted and is no
//! finding; a finding is what follows from it, or has nothing to do with it. Clones make this exact: those of one
//! recorded step differ in nothing but whom the rules chose, by a hash, so they are a randomised trial.

mod answers;
mod backlog;
mod cluster;
mod concentrate;
mod drift;
mod explain;
mod field;
mod findings;
mod lift;
pub(crate) mod merge;
mod order;
mod parts;
#[cfg(test)]
mod scale;
mod slopes;
pub(crate) mod stats;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod truths;
mod words;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use parts::{
    Analysis, Attribution, Comparison, Drift, Event, Example, Explanation, Finding, Lift, Looked, More,
    Place, Slope,
};

pub(crate) use field::{Field, Told, Touched};
pub(crate) use findings::Names;

use crate::analysis::explain::{Context, Piece};
use crate::analysis::field::Wrong;
use crate::analysis::lift::Moments;
use crate::report::{Failures, Guard, Second};

/// What is known beside the field.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    /// Where failures came from, to the unit.
    pub(crate) failures: &'a Failures,
    pub(crate) guards: &'a [Guard],
    /// The origin's resident memory: microseconds of the run, bytes.
    pub(crate) memory: &'a [(u64, u64)],
    /// The course of the run, and how long its steps are, in microseconds.
    pub(crate) course: (&'a [Second], u64),
    /// This machine ran out of ports or descriptors.
    pub(crate) ran_short: bool,
}

/// What an attempt is put down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Place in the field.
    pub(crate) at: u32,
    pub(crate) explanation: Explanation,
    /// Rank of the finding that it belongs to.
    pub(crate) finding: Option<u64>,
}

/// Analyses a run; the verdicts are on all failures, refusals and slow answers that something explains, by session and
/// time.
pub(crate) fn analyse(field: &Field, known: &Known<'_>, names: &dyn Names) -> (Analysis, Vec<Verdict>) {
    let moments = Moments::new(field);
    let slopes = slopes::of(field, &moments, known);
    let clusters = cluster::find(field);
    let context = Context {
        field,
        moments,
        clusters: &clusters,
        tests: (clusters.len() * (2 * field.rules.len() + 2)).max(1) as f64,
        drifts: slopes.finding.is_some(),
        ran_short: known.ran_short,
    };
    let mut pieces: Vec<Piece> = Vec::new();
    let mut labels: Vec<Option<u32>> = vec![None; field.attempts.len()];
    let mut taken = vec![false; field.attempts.len()];
    for cluster in &clusters {
        let found = explain::explain(&context, *cluster, cluster.units(field, &taken));
        label(field, cluster, (&found, pieces.len()), (&mut labels, &mut taken));
        pieces.extend(found);
    }
    trace_back(field, &mut pieces, &labels);
    let mut found = findings::build(&context, &pieces, &labels, names);
    // errors that grow because the load does were told of already
    let is_told =
        slopes.is_of_errors && found.iter().any(|(finding, _)| finding.explanation == Explanation::Overload);
    let others = slopes.finding.filter(|_| !is_told).into_iter().chain(answers::findings(field, names));
    found.extend(others.map(|finding| (finding, Vec::new())));
    findings::rank(&mut found);
    let verdicts = verdicts(field, &pieces, &labels, &found);
    let findings: Vec<Finding> = found.into_iter().map(|(finding, _)| finding).collect();
    let hurt: BTreeSet<u32> = field
        .attempts
        .iter()
        .filter(|attempt| attempt.wrong.is_failure())
        .map(|attempt| attempt.session)
        .collect();
    let (drift, more) = drift::of(field);
    let analysis = Analysis {
        failures: known.failures.total,
        sessions_hurt: field.scaled(hurt.len() as u64),
        sample: field.share,
        attribution: attribution(field, known.failures, &verdicts),
        order: order::of(field, &findings, known.guards),
        findings,
        drift,
        compared: Comparison { more, ..answers::comparison(&field.compared) },
        slopes: slopes.slopes,
    };
    (analysis, verdicts)
}

/// Puts attempts down to pieces: those on bad ids to that, a session's other hits to where its first one went.
fn label(
    field: &Field,
    cluster: &cluster::Cluster,
    (found, first): (&[Piece], usize),
    (labels, taken): (&mut [Option<u32>], &mut [bool]),
) {
    let of_session: HashMap<u32, u32> = found
        .iter()
        .enumerate()
        .flat_map(|(place, piece)| piece.hits.iter().map(move |at| (*at, (first + place) as u32)))
        .map(|(at, number)| (field.attempts[at as usize].session, number))
        .collect();
    for (at, attempt) in field.attempts.iter().enumerate() {
        if attempt.by == 0 && !taken[at] && cluster.has(attempt) {
            // what is wrong with an id is wrong with all that asks for it, whatever else hit the session first
            let key = field.fact(attempt).key;
            let on_key =
                found.iter().position(|piece| piece.on_keys.as_ref().is_some_and(|part| part.has(key)));
            let by_key = on_key.map(|place| (first + place) as u32);
            labels[at] = by_key.or_else(|| of_session.get(&attempt.session).copied());
            taken[at] = !cluster.is_slow() && labels[at].is_some();
        }
    }
}

/// Finds out what those pieces follow from that follow from earlier failures: it explains them as well.
fn trace_back(field: &Field, pieces: &mut [Piece], labels: &[Option<u32>]) {
    for number in 0..pieces.len() {
        if pieces[number].follows.is_none() {
            continue;
        }
        let mut causes: BTreeMap<u32, u64> = BTreeMap::new();
        let mut earlier = field.earlier();
        let mut last = None;
        for at in &pieces[number].hits {
            let (attempts, is_new) = earlier.before(*at);
            let from = *at as usize - attempts.len();
            let failed = (from..*at as usize).filter(|at| field.attempts[*at].wrong.is_failure());
            let nearest = failed.filter_map(|at| labels[at]).next_back();
            last = nearest.or(if is_new { None } else { last });
            if let Some(cause) = last.filter(|cause| pieces[*cause as usize].follows.is_none()) {
                *causes.entry(cause).or_default() += 1;
            }
        }
        let Some((cause, _)) = causes.into_iter().max_by_key(|(_, count)| *count) else { continue };
        let Piece { explanation, rule, cluster, .. } = pieces[cause as usize];
        let piece = &mut pieces[number];
        (piece.explanation, piece.rule, piece.follows) = (explanation, rule, Some(Some(cluster.route)));
    }
}

fn verdicts(
    field: &Field,
    pieces: &[Piece],
    labels: &[Option<u32>],
    found: &[(Finding, Vec<u32>)],
) -> Vec<Verdict> {
    let ranks: BTreeMap<u32, u64> = found
        .iter()
        .flat_map(|(finding, numbers)| numbers.iter().map(|number| (*number, finding.rank)))
        .collect();
    let verdict = |(at, attempt): (usize, &field::Attempt)| {
        let explanation = match labels[at] {
            _ if attempt.by != 0 && attempt.wrong.is_failure() => Explanation::Injected,
            Some(piece) => pieces[piece as usize].explanation,
            None if attempt.by == 0 && attempt.wrong != Wrong::Nothing => Explanation::Unexplained,
            None => return None,
        };
        let finding = labels[at].and_then(|piece| ranks.get(&piece)).copied();
        Some(Verdict { at: at as u32, explanation, finding })
    };
    field.attempts.iter().enumerate().filter_map(verdict).collect()
}

/// All failures by what explains them. What is known to the unit stays so; the rest is divided as the sample is.
fn attribution(field: &Field, failures: &Failures, verdicts: &[Verdict]) -> Attribution {
    let mut attribution =
        Attribution { injected: failures.injected, generator: failures.generator, ..Attribution::default() };
    let rest = failures.total.saturating_sub(failures.injected + failures.generator);
    let mut counts: BTreeMap<Explanation, u64> = BTreeMap::new();
    for verdict in verdicts.iter().filter(|verdict| field.attempts[verdict.at as usize].wrong.is_failure()) {
        if !matches!(verdict.explanation, Explanation::Injected | Explanation::Generator) {
            *counts.entry(verdict.explanation).or_default() += 1;
        }
    }
    let all: u64 = counts.values().sum();
    let mut left = rest;
    for (explanation, count) in counts {
        let part = ((rest as f64 * count as f64 / all as f64).round() as u64).min(left);
        left -= part;
        *attribution.of(explanation) += part;
    }
    attribution.unexplained += left;
    attribution
}
