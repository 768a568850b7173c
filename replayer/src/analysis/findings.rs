//! From pieces to findings: pieces of one explanation are put together, and ranked by the sessions they cost.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::analysis::cluster::What;
use crate::analysis::explain::{Context, Piece};
use crate::analysis::field::{Attempt, Field, Wrong};
use crate::analysis::stats::{CONFIDENCE, share};
use crate::analysis::{Example, Explanation, Finding, Lift, Place, words};
use crate::evidence::lot;

/// How an example is named so that it can be replayed.
pub(crate) trait Names {
    /// The session of a program as `--only` knows it, and the operation of a clone's step, in hex.
    fn of(&self, program: u32, clone: u32, step: u32) -> (String, String);

    /// What to type to replay that clone alone.
    fn replay(&self, session: &str, clone: u32) -> String;

    /// A clone's step as an example, which ended so many milliseconds into the run.
    fn example(&self, program: u32, clone: u32, step: u32, at_ms: u32) -> Example {
        let (session, op) = self.of(program, clone, step);
        let t_us = u64::from(at_ms) * 1000;
        Example { replay: self.replay(&session, clone), session, clone, op, step, t_us }
    }
}

/// What the pieces of a finding have in common. Those that concentrate on ids or visits stay apart, by route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Kind {
    explanation: Explanation,
    rule: Option<usize>,
    by_moment: bool,
    follows: bool,
    wrong: Wrong,
    status: Option<u16>,
    failure: Option<u8>,
    print: u32,
    route: Option<u16>,
}

/// The findings, at most ten, and for each the numbers of its pieces. `labels` are the pieces that attempts are in.
pub(crate) fn build(
    context: &Context<'_>,
    pieces: &[Piece],
    labels: &[Option<u32>],
    names: &dyn Names,
) -> Vec<(Finding, Vec<u32>)> {
    let mut kinds: BTreeMap<Kind, Vec<u32>> = BTreeMap::new();
    for (number, piece) in pieces.iter().enumerate().filter(|(_, piece)| piece.is_finding) {
        kinds.entry(kind(piece)).or_default().push(number as u32);
    }
    let places = places(labels);
    let mut found: Vec<(Finding, Vec<u32>)> = kinds
        .into_values()
        .map(|mut numbers| {
            numbers.sort_by_key(|number| std::cmp::Reverse(pieces[*number as usize].hits.len()));
            (finding(context, pieces, (&numbers, &places), names), numbers)
        })
        .collect();
    rank(&mut found);
    found
}

/// Most sessions first, then most failures; ten of them.
pub(crate) fn rank<T>(found: &mut Vec<(Finding, T)>) {
    found.sort_by(|(a, _), (b, _)| {
        (b.sessions, b.failures, &a.title).cmp(&(a.sessions, a.failures, &b.title))
    });
    found.truncate(FINDINGS);
    for (place, (finding, _)) in found.iter_mut().enumerate() {
        finding.rank = place as u64 + 1;
    }
}

fn kind(piece: &Piece) -> Kind {
    let cluster = &piece.cluster;
    let (status, failure, print) = match cluster.what {
        What::Ended { fate, print, .. } => {
            (fate.as_status(), fate.as_failure().map(|failure| failure as u8), print)
        }
        What::Slow { .. } => (None, None, 0),
    };
    let is_apart = piece.on_keys.is_some() || piece.on_visits.is_some();
    Kind {
        explanation: piece.explanation,
        rule: piece.rule,
        by_moment: piece.by_moment,
        follows: piece.follows.is_some(),
        wrong: cluster.wrong,
        status,
        failure,
        print,
        route: is_apart.then_some(cluster.route),
    }
}

/// Places of the attempts of each piece.
fn places(labels: &[Option<u32>]) -> HashMap<u32, Vec<u32>> {
    let mut places: HashMap<u32, Vec<u32>> = HashMap::new();
    for (at, label) in labels.iter().enumerate() {
        if let Some(piece) = label {
            places.entry(*piece).or_default().push(at as u32);
        }
    }
    places
}

fn finding(
    context: &Context<'_>,
    pieces: &[Piece],
    (numbers, places): (&[u32], &HashMap<u32, Vec<u32>>),
    names: &dyn Names,
) -> Finding {
    let field = context.field;
    let parts: Vec<&Piece> = numbers.iter().map(|number| &pieces[*number as usize]).collect();
    let hits: Vec<&Attempt> = numbers
        .iter()
        .filter_map(|number| places.get(number))
        .flatten()
        .map(|at| &field.attempts[*at as usize])
        .collect();
    let sessions: BTreeSet<u32> = hits.iter().map(|attempt| attempt.session).collect();
    let all = field.attempts.iter().filter(|attempt| attempt.wrong.is_failure()).count() as u64;
    let failures = hits.iter().filter(|attempt| attempt.wrong.is_failure()).count() as u64;
    let first = parts[0];
    let lift = first.lift.map(|lift| Lift {
        exposed: lift.table.exposed_risk(),
        control: lift.table.control_risk(),
        ratio: lift.ratio.ratio,
        low: lift.ratio.low,
        high: lift.ratio.high.min(1e9),
        confidence: CONFIDENCE,
    });
    Finding {
        rank: 0,
        title: words::title(context, &parts),
        explanation: first.explanation,
        rule: first.rule.and_then(|bit| field.rules.get(bit).cloned()),
        place: place(field, first, &hits),
        sessions: field.scaled(sessions.len() as u64),
        failures: field.scaled(hits.len() as u64),
        share: share(failures, all),
        lift,
        evidence: words::evidence(context, &parts),
        examples: examples(field, &hits, names),
    }
}

fn place(field: &Field, piece: &Piece, hits: &[&Attempt]) -> Place {
    let cluster = &piece.cluster;
    let (class, status, fingerprint) = match cluster.what {
        What::Slow { .. } => ("slow", None, None),
        What::Ended { fate, print, .. } => {
            let class = match (fate.as_failure(), cluster.wrong) {
                (Some(failure), _) => failure.name(),
                (None, Wrong::Status) => "status",
                (None, _) => "error",
            };
            (class, fate.as_status(), (print != 0).then(|| format!("{print:08x}")))
        }
    };
    let of_keys = piece.on_keys.as_ref().map(|part| part.name.clone());
    let of_visits = piece
        .on_visits
        .as_ref()
        .map(|visits| format!("more than {} visits of {}", visits.more_than, field.route(visits.route)));
    let times = || hits.iter().map(|attempt| u64::from(attempt.at_ms) * 1000);
    Place {
        route: Some(field.route(cluster.route).to_owned()),
        class: class.to_owned(),
        status,
        step: common_step(field, hits),
        key: of_keys.or(of_visits),
        fingerprint,
        from_us: times().min().unwrap_or(0),
        until_us: times().max().unwrap_or(0),
    }
}

/// The step of nine in ten of them.
fn common_step(field: &Field, hits: &[&Attempt]) -> Option<u32> {
    let mut counts: HashMap<u32, usize> = HashMap::new();
    for attempt in hits {
        *counts.entry(field.fact(attempt).step).or_default() += 1;
    }
    let (step, count) = counts.into_iter().max_by_key(|(step, count)| (*count, std::cmp::Reverse(*step)))?;
    (9 * hits.len() <= 10 * count).then_some(step)
}

/// Three sessions, the same in every analysis of the same run.
fn examples(field: &Field, hits: &[&Attempt], names: &dyn Names) -> Vec<Example> {
    let mut first: BTreeMap<u32, &Attempt> = BTreeMap::new();
    for attempt in hits {
        first.entry(attempt.session).or_insert(attempt);
    }
    let mut first: Vec<&Attempt> = first.into_values().collect();
    first.sort_by_key(|attempt| (lot(field.fact(attempt).program, attempt.clone), attempt.session));
    let example = |attempt: &&Attempt| {
        let fact = field.fact(attempt);
        names.example(fact.program, attempt.clone, fact.step, attempt.at_ms)
    };
    first.iter().take(EXAMPLES).map(example).collect()
}

const FINDINGS: usize = 10;
const EXAMPLES: usize = 3;
