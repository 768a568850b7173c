//! Answers unlike the recorded ones, with the noise that clones of one step make among themselves (the idea of Twitter's
//! Diffy: what differs between two of a kind is noise, and only what is beyond it says something).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::analysis::field::Field;
use crate::analysis::stats::share;
use crate::analysis::{Drift, More, answers};

/// The largest drifts, the most sessions first, and a count of the others.
pub(crate) fn of(field: &Field) -> (Vec<Drift>, More) {
    largest(statuses(field).into_iter().chain(answers::rows(field)).collect())
}

/// As many as a report has room for.
pub(crate) fn largest(mut drifts: Vec<Drift>) -> (Vec<Drift>, More) {
    drifts.sort_by(|a, b| {
        b.sessions.cmp(&a.sessions).then_with(|| (&a.route, &a.what).cmp(&(&b.route, &b.what)))
    });
    let mut more = More::default();
    drifts.drain(DRIFTS.min(drifts.len())..).for_each(|drift| more.add(&drift.what));
    (drifts, more)
}

fn statuses(field: &Field) -> Vec<Drift> {
    let noise = noise(field);
    let mut answers: HashMap<(u16, u16), u64> = HashMap::new();
    let mut differing: BTreeMap<(u16, u16, u16), (u64, BTreeSet<u32>)> = BTreeMap::new();
    for attempt in field.attempts.iter().filter(|attempt| attempt.by == 0) {
        let recorded = field.fact(attempt).status;
        let Some(status) = attempt.fate.as_status().filter(|_| recorded != 0) else { continue };
        *answers.entry((attempt.route, recorded)).or_default() += 1;
        if status != recorded {
            let (count, sessions) = differing.entry((attempt.route, recorded, status)).or_default();
            *count += 1;
            sessions.insert(attempt.session);
        }
    }
    let answered = |route, recorded| answers.get(&(route, recorded)).copied().unwrap_or(0);
    differing
        .into_iter()
        .map(|((route, recorded, status), (count, sessions))| Drift {
            route: field.route(route).to_owned(),
            what: "status".to_owned(),
            recorded: recorded.to_string(),
            replayed: status.to_string(),
            share: share(count, answered(route, recorded)),
            noise: noise.get(&(route, recorded)).copied().unwrap_or(0.0),
            sessions: field.scaled(sessions.len() as u64),
            differing: count,
            answers: answered(route, recorded),
            chance: None,
        })
        .collect()
}

/// How many answers of a route differ from what most clones of their own step were answered, by (route, recorded).
fn noise(field: &Field) -> HashMap<(u16, u16), f64> {
    let mut by_step: HashMap<u32, HashMap<u16, u64>> = HashMap::new();
    for attempt in field.attempts.iter().filter(|attempt| attempt.by == 0) {
        if let Some(status) = attempt.fate.as_status() {
            *by_step.entry(attempt.fact).or_default().entry(status).or_default() += 1;
        }
    }
    let mut sums: HashMap<(u16, u16), (u64, u64)> = HashMap::new();
    for (fact, statuses) in by_step {
        let fact = &field.steps[fact as usize];
        let all: u64 = statuses.values().sum();
        let most = statuses.values().max().copied().unwrap_or(0);
        let (differing, answers) = sums.entry((fact.route, fact.status)).or_default();
        *differing += all - most;
        *answers += all;
    }
    sums.into_iter().map(|(key, (differing, answers))| (key, share(differing, answers))).collect()
}

const DRIFTS: usize = 20;
