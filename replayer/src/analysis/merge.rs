//! The analyses of the shards of a run as one: counts add up, findings that say the same become one.

use std::collections::BTreeMap;

use crate::analysis::{
    Analysis, Attribution, Comparison, Drift, Event, Finding, More, Slope, drift, findings, stats,
};

/// What two findings must have in common to be one.
type Kind<'a> = (String, Option<&'a str>, Option<&'a str>, &'a str, Option<u16>, Option<&'a str>);

/// The analysis of the whole; `None`: no shard has one. Lifts and sentences are those of the shard in which a finding
/// cost the most sessions.
pub(crate) fn merged(parts: &[&Analysis]) -> Option<Analysis> {
    if parts.len() < 2 {
        return parts.first().map(|one| (*one).clone());
    }
    let failures = parts.iter().map(|part| part.failures).sum();
    let mut attribution = Attribution::default();
    for part in parts {
        let more = &part.attribution;
        attribution.injected += more.injected;
        attribution.downstream += more.downstream;
        attribution.overload += more.overload;
        attribution.generator += more.generator;
        attribution.origin += more.origin;
        attribution.unexplained += more.unexplained;
    }
    let mut order: Vec<Event> = parts.iter().flat_map(|part| part.order.clone()).collect();
    order.sort_by(|a, b| a.t_us.cmp(&b.t_us).then(a.event.cmp(&b.event)));
    order.dedup();
    order.truncate(40);
    let (drift, more) = of_drifts(parts);
    Some(Analysis {
        failures,
        sessions_hurt: parts.iter().map(|part| part.sessions_hurt).sum(),
        sample: parts.iter().map(|part| part.sample).fold(1.0, f64::min),
        attribution,
        findings: of_findings(parts),
        drift,
        compared: of_comparisons(parts, more),
        slopes: of_slopes(parts),
        order,
    })
}

fn of_findings(parts: &[&Analysis]) -> Vec<Finding> {
    let mut sums: BTreeMap<Kind<'_>, (Finding, f64)> = BTreeMap::new();
    let all: u64 = parts.iter().map(|part| part.failures).sum();
    for (part, finding) in
        parts.iter().flat_map(|part| part.findings.iter().map(move |finding| (part, finding)))
    {
        let place = &finding.place;
        let kind = (
            format!("{:?}", finding.explanation),
            finding.rule.as_deref(),
            place.route.as_deref(),
            place.class.as_str(),
            place.status,
            place.key.as_deref(),
        );
        let of_failures = finding.share * part.failures as f64;
        match sums.get_mut(&kind) {
            None => drop(sums.insert(kind, (finding.clone(), of_failures))),
            Some((sum, failures)) => {
                *sum = both(sum, finding);
                *failures += of_failures;
            }
        }
    }
    let mut found: Vec<(Finding, ())> = sums
        .into_values()
        .map(|(finding, failures)| {
            (Finding { share: if all == 0 { 0.0 } else { failures / all as f64 }, ..finding }, ())
        })
        .collect();
    findings::rank(&mut found);
    found.into_iter().map(|(finding, ())| finding).collect()
}

fn both(one: &Finding, other: &Finding) -> Finding {
    let (most, least) = if one.sessions < other.sessions { (other, one) } else { (one, other) };
    let mut sum = most.clone();
    sum.sessions += least.sessions;
    sum.failures += least.failures;
    sum.place.from_us = most.place.from_us.min(least.place.from_us);
    sum.place.until_us = most.place.until_us.max(least.place.until_us);
    sum.examples.extend(least.examples.iter().cloned());
    sum.examples.truncate(3);
    sum
}

fn of_comparisons(parts: &[&Analysis], more: More) -> Comparison {
    let mut sum = Comparison { more, ..Comparison::default() };
    for part in parts.iter().map(|part| &part.compared) {
        // every shard has clones of the same recorded exchanges
        sum.exchanges = sum.exchanges.max(part.exchanges);
        sum.without_shape = sum.without_shape.max(part.without_shape);
        sum.answers += part.answers;
        sum.bodies.looked_at += part.bodies.looked_at;
        sum.bodies.busy += part.bodies.busy;
        sum.bodies.large += part.bodies.large;
        sum.bodies.unread += part.bodies.unread;
        sum.more.status += part.more.status;
        sum.more.length += part.more.length;
        sum.more.shape += part.more.shape;
    }
    sum
}

/// Lengths and shapes of a route are one drift, whatever each shard makes of it: the words are those of the shard with the
/// most sessions, and the chance is the least.
fn of_drifts(parts: &[&Analysis]) -> (Vec<Drift>, More) {
    let mut sums: BTreeMap<[String; 4], Drift> = BTreeMap::new();
    for drift in parts.iter().flat_map(|part| &part.drift) {
        let is_status = drift.what == "status";
        let told = |text: &String| if is_status { text.clone() } else { String::new() };
        let key = [drift.route.clone(), drift.what.clone(), told(&drift.recorded), told(&drift.replayed)];
        match sums.get_mut(&key) {
            None => drop(sums.insert(key, drift.clone())),
            Some(sum) => {
                // how many answers there were is not in the report: sessions stand for them
                let weigh = |a: f64, b: f64| {
                    let (n, m) = (sum.sessions as f64, drift.sessions as f64);
                    (a * n + b * m) / (n + m).max(1.0)
                };
                let (share, noise) = (weigh(sum.share, drift.share), weigh(sum.noise, drift.noise));
                let chance = sum.chance.into_iter().chain(drift.chance).reduce(f64::min);
                let most = if sum.sessions < drift.sessions { drift.clone() } else { sum.clone() };
                *sum = Drift {
                    share,
                    noise,
                    chance,
                    sessions: sum.sessions + drift.sessions,
                    differing: sum.differing + drift.differing,
                    answers: sum.answers + drift.answers,
                    ..most
                };
            }
        }
    }
    drift::largest(sums.into_values().collect())
}

/// The median of the shards' slopes, in the widest of their intervals; significant where it is so in each.
fn of_slopes(parts: &[&Analysis]) -> Vec<Slope> {
    let mut by_figure: BTreeMap<&str, Vec<&Slope>> = BTreeMap::new();
    for slope in parts.iter().flat_map(|part| &part.slopes) {
        by_figure.entry(&slope.figure).or_default().push(slope);
    }
    let join = |slopes: Vec<&Slope>| {
        let mut values: Vec<f64> = slopes.iter().map(|slope| slope.per_minute).collect();
        values.sort_by(f64::total_cmp);
        Slope {
            per_minute: stats::median_of(&values),
            low: slopes.iter().map(|slope| slope.low).fold(f64::MAX, f64::min),
            high: slopes.iter().map(|slope| slope.high).fold(f64::MIN, f64::max),
            significant: slopes.iter().all(|slope| slope.significant),
            ..slopes[0].clone()
        }
    };
    by_figure.into_values().map(join).collect()
}
