//! Answers unlike the recorded ones in length or JSON, in words: rows of `drift`, and findings.

use std::collections::BTreeMap;

use crate::analysis::field::Field;
use crate::analysis::findings::Names;
use crate::analysis::stats::share;
use crate::analysis::{Comparison, Drift, Explanation, Finding, Looked, Place, words};
use crate::drift::{Change, Compared, Found, Length, What};
use crate::report::text::number;

/// Who came to a route, and when.
#[derive(Clone, Copy, Debug)]
struct Visits {
    sessions: u64,
    attempts: u64,
    last_session: u32,
    from_ms: u32,
    until_ms: u32,
}

/// What was compared, in counts.
pub(crate) fn comparison(compared: &Compared) -> Comparison {
    let bodies = &compared.bodies;
    Comparison {
        exchanges: compared.exchanges,
        answers: compared.answers,
        without_shape: compared.without_shape,
        bodies: Looked {
            looked_at: bodies.looked_at,
            busy: bodies.busy,
            large: bodies.large,
            unread: bodies.unread,
        },
        ..Comparison::default()
    }
}

/// A row for each route and way in which it answers otherwise.
pub(crate) fn rows(field: &Field) -> Vec<Drift> {
    let visits = visits(field);
    let row = |found: &Found| {
        let (what, recorded, replayed) = match &found.what {
            What::Length(length) => ("length", bytes(length.recorded), format!("{} bytes", now(length))),
            What::Shape(changes) => ("shape", "JSON".to_owned(), format!("JSON that {}", said(changes))),
        };
        Drift {
            route: field.route(found.route).to_owned(),
            what: what.to_owned(),
            recorded,
            replayed,
            share: share(found.differing, found.clones),
            noise: share(found.noisy, found.clones),
            sessions: hurt(field, &visits, found.route, share(found.differing, found.clones)).0,
            differing: found.differing,
            answers: found.clones,
            chance: Some(found.chance),
        }
    };
    field.compared.found.iter().map(row).collect()
}

/// A finding for each of the routes that answer otherwise to the most sessions; the last of them names how many more do.
pub(crate) fn findings(field: &Field, names: &dyn Names) -> Vec<Finding> {
    let visits = visits(field);
    let mut routes: BTreeMap<u16, Vec<&Found>> = BTreeMap::new();
    for found in &field.compared.found {
        routes.entry(found.route).or_default().push(found);
    }
    let mut findings: Vec<Finding> =
        routes.into_iter().map(|(route, found)| finding(field, &visits, (route, &found), names)).collect();
    findings.sort_by(|a, b| b.sessions.cmp(&a.sessions).then(a.title.cmp(&b.title)));
    let more = findings.len().saturating_sub(FINDINGS);
    findings.truncate(FINDINGS);
    if let Some(last) = findings.last_mut().filter(|_| 0 < more) {
        last.evidence
            .push(format!("{more} more routes answer otherwise than recorded: see `drift` in run.json"));
    }
    findings
}

fn finding(
    field: &Field,
    visits: &BTreeMap<u16, Visits>,
    (route, found): (u16, &[&Found]),
    names: &dyn Names,
) -> Finding {
    let parts: Vec<String> = found.iter().map(|found| part(found)).collect();
    let most = found.iter().map(|found| share(found.differing, found.clones)).fold(0.0, f64::max);
    let (sessions, failures) = hurt(field, visits, route, most);
    let of_shape = found.iter().any(|found| matches!(found.what, What::Shape(_)));
    let examples = found.iter().rev().map(|found| &found.examples).find(|examples| !examples.is_empty());
    let example = |(place, answer): &(crate::drift::Place, crate::drift::Answer)| {
        names.example(place.program, answer.clone, place.step, answer.at_ms)
    };
    let times = visits.get(&route).map_or((0, 0), |visits| (visits.from_ms, visits.until_ms));
    Finding {
        rank: 0,
        title: format!("{} answers otherwise than recorded: {}", field.route(route), parts.join("; ")),
        explanation: Explanation::ResponseDrift,
        rule: None,
        place: Place {
            route: Some(field.route(route).to_owned()),
            class: if of_shape { "shape" } else { "length" }.to_owned(),
            from_us: u64::from(times.0) * 1000,
            until_us: u64::from(times.1) * 1000,
            ..Place::default()
        },
        sessions,
        failures,
        share: 0.0,
        lift: None,
        evidence: found.iter().flat_map(|found| evidence(found)).collect(),
        examples: examples.into_iter().flatten().map(example).collect(),
    }
}

/// `length 1,204 recorded, 310 ± 4 now in 1,000 of 1,000 clones`.
fn part(found: &Found) -> String {
    let clones = format!("in {} of {} clones", number(found.differing), number(found.clones));
    match &found.what {
        What::Length(length) => {
            format!("length {} recorded, {} now {clones}", rounded(length.recorded), now(length))
        }
        What::Shape(changes) => format!("JSON {} {clones}", said(changes)),
    }
}

fn evidence(found: &Found) -> Vec<String> {
    let what = match &found.what {
        What::Length(_) => "length",
        What::Shape(_) => "JSON",
    };
    let mut said = vec![format!(
        "{what}: in {} of {} recorded exchanges that were compared, the recorded answer is outside of what their own clones \
         are given; so many are so by chance with probability {}, all comparisons counted",
        number(found.odd),
        number(found.exchanges),
        probability(found.chance)
    )];
    match &found.what {
        What::Length(_) => {
            said.push(format!(
                "clones of one exchange differ among themselves in {} of their answers by more than the least that counts",
                words::percent(share(found.noisy, found.clones))
            ));
            if !found.has_shapes {
                said.push(
                    "the recording holds no JSON of these answers, so only their lengths are compared: `squall proxy \
                     --record-bodies response=full` keeps it"
                        .to_owned(),
                );
            }
        }
        What::Shape(changes) => {
            let change = |(change, count): &(Change, u64)| {
                format!("{} in {} of {}", change.words(), number(*count), number(found.exchanges))
            };
            let all: Vec<String> = changes.iter().take(CHANGES).map(change).collect();
            said.push(format!("JSON, by exchanges: {}{}", all.join(", "), more(changes.len(), CHANGES)));
        }
    }
    said
}

/// `lacks items[].price, has string for number at id`.
fn said(changes: &[(Change, u64)]) -> String {
    let first: Vec<String> = changes.iter().take(CHANGES_SAID).map(|(change, _)| change.words()).collect();
    format!("{}{}", first.join(", "), more(changes.len(), CHANGES_SAID))
}

fn more(all: usize, said: usize) -> String {
    match all.saturating_sub(said) {
        0 => String::new(),
        n => format!(" and {n} more"),
    }
}

fn now(length: &Length) -> String {
    match length.spread.round() as u64 {
        0 => rounded(length.now),
        spread => format!("{} ± {}", rounded(length.now), number(spread)),
    }
}

fn bytes(bytes: f64) -> String {
    format!("{} bytes", rounded(bytes))
}

fn rounded(bytes: f64) -> String {
    number(bytes.round() as u64)
}

fn probability(chance: f64) -> String {
    match chance {
        tiny if tiny < 1e-12 => "below 1e-12".to_owned(),
        small if small < 0.001 => format!("{small:.0e}"),
        other => format!("{other:.3}"),
    }
}

/// Sessions and attempts that so large a share of a route's visits is.
fn hurt(field: &Field, visits: &BTreeMap<u16, Visits>, route: u16, share: f64) -> (u64, u64) {
    let part = |count: u64| (field.scaled(count) as f64 * share).round() as u64;
    visits.get(&route).map_or((0, 0), |visits| (part(visits.sessions), part(visits.attempts)))
}

fn visits(field: &Field) -> BTreeMap<u16, Visits> {
    let mut all: BTreeMap<u16, Visits> = BTreeMap::new();
    for attempt in field.attempts.iter().filter(|attempt| attempt.fate.as_status().is_some()) {
        let none =
            Visits { sessions: 0, attempts: 0, last_session: u32::MAX, from_ms: u32::MAX, until_ms: 0 };
        let visits = all.entry(attempt.route).or_insert(none);
        visits.attempts += 1;
        visits.sessions += u64::from(visits.last_session != attempt.session);
        visits.last_session = attempt.session;
        visits.from_ms = visits.from_ms.min(attempt.at_ms);
        visits.until_ms = visits.until_ms.max(attempt.at_ms);
    }
    all
}

/// Of the ten findings: failures are to be seen, too.
const FINDINGS: usize = 3;
/// Changes that a title names, and those that the evidence does.
const CHANGES_SAID: usize = 3;
const CHANGES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(what: What) -> Found {
        Found {
            route: 0,
            what,
            chance: 3e-9,
            odd: 15,
            exchanges: 16,
            differing: 1000,
            clones: 1000,
            noisy: 10,
            has_shapes: false,
            examples: Vec::new(),
        }
    }

    #[test]
    fn drifts_are_said() {
        let length = found(What::Length(Length { recorded: 1204.0, now: 310.0, spread: 4.4 }));
        assert_eq!(part(&length), "length 1,204 recorded, 310 ± 4 now in 1,000 of 1,000 clones");
        let said = evidence(&length);
        assert!(
            said[0].starts_with("length: in 15 of 16 recorded") && said[0].contains("probability 3e-9"),
            "{said:?}"
        );
        assert!(said[2].contains("--record-bodies response=full"), "{said:?}");
        let lacks = |name: &str| (Change::Lacks(name.to_owned()), 4);
        let shape = found(What::Shape(vec![lacks("items[].price"), lacks("a"), lacks("b"), lacks("c")]));
        assert_eq!(
            part(&shape),
            "JSON lacks items[].price, lacks a, lacks b and 1 more in 1,000 of 1,000 clones"
        );
        assert!(evidence(&shape)[1].contains("lacks c in 4 of 16"));
        assert_eq!(
            [1e-300, 0.04, 5e-4].map(probability),
            ["below 1e-12".to_owned(), "0.040".to_owned(), "5e-4".to_owned()]
        );
    }
}
