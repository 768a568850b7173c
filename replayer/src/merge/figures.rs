//! Counts and histograms of several runs, added up.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::report::{
    Cohort, ConnectionsPart, Failures, Guard, Latency, LatencyPart, LinkUse, Report, Requests, Route, Rule,
    RuleDelay, Sessions, StreamsPart, WarmupPart, build,
};
use crate::tally::histogram;

pub(super) fn latencies(all: &[&Report]) -> Result<LatencyPart, String> {
    let sum = |part: fn(&LatencyPart) -> &Latency| latency(all.iter().map(|report| part(&report.latency)));
    Ok(LatencyPart {
        response: sum(|part| &part.response)?,
        service: sum(|part| &part.service)?,
        ttfb: sum(|part| &part.ttfb)?,
        lateness: sum(|part| &part.lateness)?,
        wait: sum(|part| &part.wait)?,
        gap_error: sum(|part| &part.gap_error)?,
        start_spread: sum(|part| &part.start_spread)?,
    })
}

/// Bucket by bucket.
fn latency<'r>(all: impl Iterator<Item = &'r Latency>) -> Result<Latency, String> {
    let mut sum = empty();
    for one in all {
        add(&mut sum, one)?;
    }
    Ok(build::latency(&sum))
}

fn empty() -> Histogram<u64> {
    let mut sum = histogram();
    sum.auto(true);
    sum
}

fn add(sum: &mut Histogram<u64>, one: &Latency) -> Result<(), String> {
    sum.add(&one.histogram()?).map_err(|err| format!("a histogram cannot be added: {err}"))
}

pub(super) fn sessions(all: &[&Report]) -> Sessions {
    let sum = |part: fn(&Sessions) -> u64| all.iter().map(|report| part(&report.sessions)).sum();
    Sessions {
        started: sum(|sessions| sessions.started),
        completed: sum(|sessions| sessions.completed),
        aborted: sum(|sessions| sessions.aborted),
        abandoned: sum(|sessions| sessions.abandoned),
        peak: sum(|sessions| sessions.peak),
    }
}

pub(super) fn requests(all: &[&Report]) -> Requests {
    let sum = |part: fn(&Requests) -> u64| all.iter().map(|report| part(&report.requests)).sum();
    let counts = |part: fn(&Requests) -> &BTreeMap<String, u64>| {
        added(all.iter().map(|report| part(&report.requests)))
    };
    Requests {
        planned: sum(|requests| requests.planned),
        retries: sum(|requests| requests.retries),
        doubles: sum(|requests| requests.doubles),
        retries_denied: sum(|requests| requests.retries_denied),
        sent: sum(|requests| requests.sent),
        never_sent: counts(|requests| &requests.never_sent),
        answered: sum(|requests| requests.answered),
        failed: counts(|requests| &requests.failed),
        status: counts(|requests| &requests.status),
        injected: counts(|requests| &requests.injected),
        proxy_errors: sum(|requests| requests.proxy_errors),
        mismatched: sum(|requests| requests.mismatched),
        bytes_out: sum(|requests| requests.bytes_out),
        bytes_in: sum(|requests| requests.bytes_in),
    }
}

fn added<'r>(all: impl Iterator<Item = &'r BTreeMap<String, u64>>) -> BTreeMap<String, u64> {
    let mut sum = BTreeMap::new();
    for (name, count) in all.flatten() {
        *sum.entry(name.clone()).or_default() += count;
    }
    sum
}

/// `None`: no run had one.
pub(super) fn warmup(all: &[&Report]) -> Option<WarmupPart> {
    all.iter().filter_map(|report| report.warmup).reduce(|sum, more| WarmupPart {
        sent: sum.sent + more.sent,
        answered: sum.answered + more.answered,
        failed: sum.failed + more.failed,
    })
}

pub(super) fn failures(all: &[&Report]) -> Failures {
    let sum = |part: fn(&Failures) -> u64| all.iter().map(|report| part(&report.failures)).sum();
    Failures {
        total: sum(|failures| failures.total),
        injected: sum(|failures| failures.injected),
        origin: sum(|failures| failures.origin),
        network: sum(|failures| failures.network),
        generator: sum(|failures| failures.generator),
        unknown: sum(|failures| failures.unknown),
    }
}

/// `wait` is the latency of the whole.
pub(super) fn connections(all: &[&Report], wait: &Latency) -> ConnectionsPart {
    let sum = |part: fn(&ConnectionsPart) -> u64| all.iter().map(|report| part(&report.connections)).sum();
    ConnectionsPart {
        opened: sum(|conns| conns.opened),
        reused: sum(|conns| conns.reused),
        peak: sum(|conns| conns.peak),
        tls_full: sum(|conns| conns.tls_full),
        tls_resumed: sum(|conns| conns.tls_resumed),
        evicted: sum(|conns| conns.evicted),
        h2_streams_peak: sum(|conns| conns.h2_streams_peak),
        goaways: sum(|conns| conns.goaways),
        refused_streams: sum(|conns| conns.refused_streams),
        waited: sum(|conns| conns.waited),
        wait_p99: wait.p99,
    }
}

/// `None`: no run opened one.
pub(super) fn streams(all: &[&Report]) -> Result<Option<StreamsPart>, String> {
    let parts: Vec<&StreamsPart> = all.iter().filter_map(|report| report.streams.as_ref()).collect();
    if parts.is_empty() {
        return Ok(None);
    }
    let sum = |part: fn(&StreamsPart) -> u64| parts.iter().map(|streams| part(streams)).sum();
    Ok(Some(StreamsPart {
        opened: sum(|streams| streams.opened),
        ended: sum(|streams| streams.ended),
        broken: sum(|streams| streams.broken),
        messages_in: sum(|streams| streams.messages_in),
        messages_out: sum(|streams| streams.messages_out),
        peak_open: sum(|streams| streams.peak_open),
        reconnects: sum(|streams| streams.reconnects),
        stalls: sum(|streams| streams.stalls),
        first_event: latency(parts.iter().map(|streams| &streams.first_event))?,
        event_gap: latency(parts.iter().map(|streams| &streams.event_gap))?,
    }))
}

pub(super) fn links(all: &[&Report]) -> Vec<LinkUse> {
    let mut sums: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    for link in all.iter().flat_map(|report| &report.links) {
        let (used, missed) = sums.entry((&link.from, &link.to)).or_default();
        *used += link.used;
        *missed += link.missed;
    }
    let sum = |((from, to), (used, missed)): ((&str, &str), (u64, u64))| LinkUse {
        from: from.to_owned(),
        to: to.to_owned(),
        used,
        missed,
    };
    let mut links: Vec<LinkUse> = sums.into_iter().map(sum).collect();
    build::sort_links(&mut links);
    links
}

pub(super) fn routes(all: &[&Report]) -> Result<Vec<Route>, String> {
    let mut sums: BTreeMap<&str, (Route, Histogram<u64>)> = BTreeMap::new();
    for route in all.iter().flat_map(|report| &report.routes) {
        let blank = || Route {
            route: route.route.clone(),
            requests: 0,
            failed: 0,
            injected: 0,
            response: Latency::default(),
        };
        let (sum, response) = sums.entry(&route.route).or_insert_with(|| (blank(), empty()));
        sum.requests += route.requests;
        sum.failed += route.failed;
        sum.injected += route.injected;
        add(response, &route.response)?;
    }
    let done =
        |(route, response): (Route, Histogram<u64>)| Route { response: build::latency(&response), ..route };
    let mut routes: Vec<Route> = sums.into_values().map(done).collect();
    build::sort_routes(&mut routes);
    Ok(routes)
}

pub(super) fn cohorts(all: &[&Report]) -> Result<Vec<Cohort>, String> {
    let mut sums: BTreeMap<&str, (Cohort, Histogram<u64>)> = BTreeMap::new();
    for cohort in all.iter().flat_map(|report| &report.cohorts) {
        let blank = || Cohort {
            cohort: cohort.cohort.clone(),
            requests: 0,
            failed: 0,
            injected: 0,
            response: Latency::default(),
        };
        let (sum, response) = sums.entry(&cohort.cohort).or_insert_with(|| (blank(), empty()));
        sum.requests += cohort.requests;
        sum.failed += cohort.failed;
        sum.injected += cohort.injected;
        add(response, &cohort.response)?;
    }
    let done = |(cohort, response): (Cohort, Histogram<u64>)| Cohort {
        response: build::latency(&response),
        ..cohort
    };
    let mut cohorts: Vec<Cohort> = sums.into_values().map(done).collect();
    build::sort_cohorts(&mut cohorts);
    Ok(cohorts)
}

/// In their order where all runs have the same rules, else sorted: a rule file may change while runs go on.
pub(super) fn rules(all: &[&Report]) -> Vec<Rule> {
    let mut sums: BTreeMap<&str, Rule> = BTreeMap::new();
    for rule in all.iter().flat_map(|report| &report.rules) {
        match sums.get_mut(rule.id.as_str()) {
            Some(sum) => add_rule(sum, rule),
            None => drop(sums.insert(&rule.id, rule.clone())),
        }
    }
    let ids = |report: &Report| report.rules.iter().map(|rule| rule.id.clone()).collect::<Vec<_>>();
    let order = ids(all[0]);
    if all.iter().all(|report| ids(report) == order) {
        return order.iter().filter_map(|id| sums.get(id.as_str()).cloned()).collect();
    }
    sums.into_values().collect()
}

/// Each run has a proxy, or books of its own in the same proxy: exchanges and keys of two runs are never the same.
fn add_rule(sum: &mut Rule, more: &Rule) {
    if sum.asked_rate != more.asked_rate {
        // The rule changed while the runs went on: what was asked on the whole is weighed.
        let weighed = sum.asked_rate * sum.eligible as f64 + more.asked_rate * more.eligible as f64;
        sum.asked_rate = weighed / (sum.eligible + more.eligible).max(1) as f64;
    }
    sum.eligible += more.eligible;
    sum.selected += more.selected;
    sum.applied += more.applied;
    for (why, count) in &more.suppressed {
        *sum.suppressed.entry(why.clone()).or_default() += count;
    }
    add_audit(sum, more);
    sum.units = sum.units.zip(more.units).map(|(units, more)| units + more);
    if sum.eligible > 0 {
        sum.realised_rate = sum.selected as f64 / sum.eligible as f64;
    }
}

/// The intervals are those of parts, so the whole is judged anew by its units. What one run's traffic did not match, another's
/// may have.
fn add_audit(sum: &mut Rule, more: &Rule) {
    (sum.audit.rate_low, sum.audit.rate_high) = (None, None);
    sum.audit.delay = match (sum.audit.delay, more.audit.delay) {
        (Some(sum), Some(more)) => Some(both_delays(sum, more)),
        (sum, more) => sum.or(more),
    };
    let is_judged_anew = |missed: &str| {
        (missed.starts_with(NEVER) && 0 < sum.eligible)
            || (missed.starts_with(RATE) && !missed.starts_with(DELAYS))
    };
    let missed = [sum.audit.missed.take(), more.audit.missed.clone()];
    sum.audit.missed = missed.into_iter().flatten().find(|missed| !is_judged_anew(missed));
}

fn both_delays(sum: RuleDelay, more: RuleDelay) -> RuleDelay {
    let count = sum.count + more.count;
    let mean = |of: fn(&RuleDelay) -> f64| {
        (of(&sum) * sum.count as f64 + of(&more) * more.count as f64) / count.max(1) as f64
    };
    RuleDelay {
        count,
        asked_mean_us: mean(|delay| delay.asked_mean_us),
        actual_mean_us: mean(|delay| delay.actual_mean_us),
        // of parts no percentile of the whole is known: at most the larger
        error_p50_us: sum.error_p50_us.max(more.error_p50_us),
        error_p99_us: sum.error_p99_us.max(more.error_p99_us),
        error_max_us: sum.error_max_us.max(more.error_max_us),
        early: sum.early + more.early,
    }
}

/// Every trip once: shards that ran into one proxy were told of the same.
pub(super) fn guards(all: &[&Report]) -> Vec<Guard> {
    let mut guards: Vec<Guard> = Vec::new();
    let told = all.iter().flat_map(|report| &report.guards);
    for guard in told.clone().filter(|guard| guard.tripped_at_us.is_some()).chain(told) {
        let known = guards.iter().any(|known| match guard.tripped_at_us {
            Some(_) => known == guard,
            None => known.name == guard.name,
        });
        if !known {
            guards.push(guard.clone());
        }
    }
    guards
}

/// How the proxy's sentences on a rule begin that nothing matched, or whose rate or delays are not what was asked.
const NEVER: &str = "never matched";
const RATE: &str = "asks for ";
const DELAYS: &str = "asks for delays";
