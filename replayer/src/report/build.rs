//! From what was counted to what is reported.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};

use crate::report::{
    Cohort, ConnectionsPart, Failures, FunnelStep, Latency, LatencyPart, LinkUse, Report, Requests, Route,
    Sessions, StreamsPart, Threshold, WarmupPart,
};
use crate::tally::{Failure, RouteTally, Tally, Warmup, Why};

/// The figures of a histogram of microseconds.
pub(crate) fn latency(all: &Histogram<u64>) -> Latency {
    // A bucket stands for its upper end; no percentile may exceed the largest value.
    let quantile = |q: f64| if all.is_empty() { 0 } else { all.value_at_quantile(q).min(all.max()) };
    let mut bytes = Vec::new();
    let written = V2DeflateSerializer::new().serialize(all, &mut bytes);
    let hdr = written.map(|_| base64::engine::general_purpose::STANDARD.encode(&bytes)).unwrap_or_default();
    Latency {
        count: all.len(),
        mean: all.mean(),
        p50: quantile(0.5),
        p90: quantile(0.9),
        p95: quantile(0.95),
        p99: quantile(0.99),
        p99_9: quantile(0.999),
        max: all.max(),
        hdr,
    }
}

pub(crate) fn latencies(tally: &Tally) -> LatencyPart {
    LatencyPart {
        response: latency(&tally.latencies.response),
        service: latency(&tally.latencies.service),
        ttfb: latency(&tally.latencies.ttfb),
        lateness: latency(&tally.latencies.lateness),
        wait: latency(&tally.latencies.wait),
        gap_error: latency(&tally.latencies.gap_error),
        start_spread: latency(&tally.latencies.session_starts),
    }
}

pub(crate) fn sessions(tally: &Tally) -> Sessions {
    Sessions {
        started: tally.sessions_started,
        completed: tally.sessions_completed,
        aborted: tally.sessions_aborted,
        abandoned: tally.sessions_abandoned,
        peak: tally.sessions_peak,
    }
}

pub(crate) fn requests(tally: &Tally, planned: u64) -> Requests {
    let never = Why::ALL.iter().map(|why| (why.name().to_owned(), tally.never_sent[*why as usize]));
    let failed =
        Failure::ALL.iter().map(|failure| (failure.name().to_owned(), tally.failed[*failure as usize]));
    let status = tally.status.iter().enumerate().filter(|(_, count)| **count > 0);
    Requests {
        planned,
        retries: tally.retries,
        doubles: tally.doubles,
        retries_denied: tally.retries_denied,
        sent: tally.sent,
        never_sent: never.filter(|(_, count)| *count > 0).collect(),
        answered: tally.answered,
        failed: failed.collect(),
        status: status.map(|(status, count)| (status.to_string(), *count)).collect(),
        injected: tally.injected.clone(),
        proxy_errors: tally.proxy_errors,
        mismatched: tally.mismatched,
        bytes_out: tally.bytes_out,
        bytes_in: tally.bytes_in,
    }
}

pub(crate) fn connections(tally: &Tally) -> ConnectionsPart {
    let wait = &tally.latencies.wait;
    ConnectionsPart {
        opened: tally.conns_opened,
        reused: tally.conns_reused,
        peak: tally.conns_peak,
        tls_full: tally.tls_full,
        tls_resumed: tally.tls_resumed,
        evicted: tally.conns_evicted,
        h2_streams_peak: tally.h2_streams_peak,
        goaways: tally.goaways,
        refused_streams: tally.refused_streams,
        waited: wait.len(),
        wait_p99: if wait.is_empty() { 0 } else { wait.value_at_quantile(0.99).min(wait.max()) },
    }
}

/// `None`: there was no warm-up.
pub(crate) fn warmup(tally: &Tally) -> Option<WarmupPart> {
    let Warmup { sent, answered, failed } = tally.warmup;
    (sent > 0).then_some(WarmupPart { sent, answered, failed })
}

/// `None`: no stream was opened.
pub(crate) fn streams(tally: &Tally) -> Option<StreamsPart> {
    let streams = &tally.streams;
    (streams.opened > 0).then(|| StreamsPart {
        opened: streams.opened,
        ended: streams.ended,
        broken: streams.broken,
        messages_in: streams.messages_in,
        messages_out: streams.messages_out,
        peak_open: streams.peak_open,
        reconnects: streams.reconnects,
        stalls: streams.stalls,
        first_event: latency(&streams.first_event),
        event_gap: latency(&streams.event_gap),
    })
}

pub(crate) fn routes(names: &[String], tally: &Tally) -> Vec<Route> {
    let route = |(name, figures): (&String, &RouteTally)| Route {
        route: name.clone(),
        requests: figures.requests,
        failed: figures.failed,
        injected: figures.injected,
        response: latency(&figures.response),
    };
    let all = names.iter().zip(&tally.routes);
    let mut routes: Vec<Route> = all.filter(|(_, figures)| figures.requests > 0).map(route).collect();
    sort_routes(&mut routes);
    routes
}

pub(crate) fn cohorts(names: &[String], tally: &Tally) -> Vec<Cohort> {
    let cohort = |(name, figures): (&String, &RouteTally)| Cohort {
        cohort: name.clone(),
        requests: figures.requests,
        failed: figures.failed,
        injected: figures.injected,
        response: latency(&figures.response),
    };
    let all = names.iter().zip(&tally.cohorts);
    let mut cohorts: Vec<Cohort> = all.filter(|(_, figures)| figures.requests > 0).map(cohort).collect();
    sort_cohorts(&mut cohorts);
    cohorts
}

/// Those that were met.
pub(crate) fn links(names: &[(String, String)], tally: &Tally) -> Vec<LinkUse> {
    let counted = names.iter().zip(&tally.links).filter(|(_, count)| count.used + count.missed > 0);
    let mut links: Vec<LinkUse> = counted
        .map(|((from, to), count)| LinkUse {
            from: from.clone(),
            to: to.clone(),
            used: count.used,
            missed: count.missed,
        })
        .collect();
    sort_links(&mut links);
    links
}

/// Most used first.
pub(crate) fn sort_links(links: &mut [LinkUse]) {
    links.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| (&a.from, &a.to).cmp(&(&b.from, &b.to))));
}

/// How far sessions got.
pub(crate) fn funnel(routes: &[String], tally: &Tally) -> Vec<FunnelStep> {
    let steps = (0..).zip(tally.funnel.steps()).map(|(place, step)| FunnelStep {
        step: place,
        route: step.route().and_then(|route| routes.get(route)).cloned().unwrap_or_default(),
        reached: step.reached,
        completed: step.completed,
        failed: step.failed,
    });
    steps.collect()
}

/// How many values lie above a time, to the precision of the histogram.
pub(crate) fn later_than(all: &Histogram<u64>, time: Duration) -> u64 {
    let bound = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    all.len() - all.count_between(0, bound.min(all.high()))
}

/// Most requests first.
pub(crate) fn sort_routes(routes: &mut [Route]) {
    routes.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.route.cmp(&b.route)));
}

/// Most requests first.
pub(crate) fn sort_cohorts(cohorts: &mut [Cohort]) {
    cohorts.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.cohort.cmp(&b.cohort)));
}

/// Where failures came from. `ended` is what the proxy's ledger says of attempts without an answer; `lost` how
/// many lines did not fit into it. Rules that ended an attempt are counted into the tally.
pub(crate) fn attribute(tally: &mut Tally, ended: &BTreeMap<(u64, u32), String>, lost: u64) -> Failures {
    let mut failures = Failures {
        total: tally.injected_errors + tally.proxy_failures + tally.origin_errors + tally.failures(),
        injected: tally.injected_errors,
        origin: tally.origin_errors,
        network: tally.proxy_failures,
        generator: 0,
        unknown: tally.unanswered_lost,
    };
    for attempt in std::mem::take(&mut tally.unanswered) {
        if let Some(rule) = ended.get(&(attempt.op, attempt.attempt)) {
            failures.injected += 1;
            tally.inject(rule);
            if let Some(route) = tally.routes.get_mut(usize::from(attempt.route)) {
                route.injected += 1;
            }
        } else if attempt.failure == Failure::Aborted {
            failures.generator += 1;
        } else {
            failures.network += 1;
        }
    }
    let ours = (tally.no_ports + tally.no_files).min(failures.network);
    failures.network -= ours;
    failures.generator += ours;
    let doubtful = lost.min(failures.network);
    failures.network -= doubtful;
    failures.unknown += doubtful;
    failures
}

/// Judges a report that is complete but for them.
pub(crate) fn thresholds(
    wanted: &[crate::Threshold],
    report: &Report,
    baseline: Option<&Report>,
) -> Vec<Threshold> {
    wanted.iter().map(|threshold| threshold.judge(report, threshold.bound(baseline))).collect()
}
