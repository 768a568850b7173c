//! A report as something that thresholds are judged on: the run itself, a baseline, or merged shards.

use crate::report::{self, Report};
use crate::threshold::{Latency, Measured, Metric, Scope, Share};

impl Measured for Report {
    fn value(&self, metric: Metric, scope: &Scope) -> Option<f64> {
        match metric {
            // A histogram that cannot be read measures nothing, and what is not measured does not hold.
            Metric::Latency(kind, figure) => figure.of(&self.latency_of(kind, scope)?.histogram().ok()?),
            Metric::Share(kind) => {
                let (part, whole) = self.counts(kind, scope)?;
                (whole > 0).then(|| part as f64 / whole as f64)
            }
        }
    }
}

impl Report {
    fn latency_of(&self, kind: Latency, scope: &Scope) -> Option<&report::Latency> {
        let (all, streams) = (&self.latency, self.streams.as_ref());
        let whole = match kind {
            Latency::Response => Some(&all.response),
            Latency::Service => Some(&all.service),
            Latency::Ttfb => Some(&all.ttfb),
            Latency::Lateness => Some(&all.lateness),
            Latency::Wait => Some(&all.wait),
            Latency::GapError => Some(&all.gap_error),
            Latency::StartSpread => Some(&all.start_spread),
            Latency::FirstEvent => streams.map(|streams| &streams.first_event),
            Latency::EventGap => streams.map(|streams| &streams.event_gap),
        };
        match (scope, kind) {
            (Scope::Run, _) => whole,
            (Scope::Route(name), Latency::Response) => self.route(name).map(|route| &route.response),
            (Scope::Cohort(name), Latency::Response) => self.cohort(name).map(|cohort| &cohort.response),
            _ => None,
        }
    }

    /// A part of the requests and the whole of them.
    fn counts(&self, kind: Share, scope: &Scope) -> Option<(u64, u64)> {
        let warmup = self.warmup.unwrap_or_default();
        let sent = self.requests.sent.saturating_sub(warmup.sent);
        match (scope, kind) {
            (Scope::Run, Share::Errors) => Some((self.failures.total.saturating_sub(warmup.failed), sent)),
            (Scope::Run, Share::Answered) => {
                Some((self.requests.answered.saturating_sub(warmup.answered), sent))
            }
            (Scope::Run, Share::Failed) => {
                let before = warmup.sent.saturating_sub(warmup.answered);
                Some((self.failed().saturating_sub(before), sent))
            }
            (Scope::Route(name), Share::Errors) => {
                self.route(name).map(|route| (route.failed, route.requests))
            }
            (Scope::Cohort(name), Share::Errors) => {
                self.cohort(name).map(|cohort| (cohort.failed, cohort.requests))
            }
            _ => None,
        }
    }

    fn route(&self, name: &str) -> Option<&report::Route> {
        self.routes.iter().find(|route| route.route == name)
    }

    fn cohort(&self, name: &str) -> Option<&report::Cohort> {
        self.cohorts.iter().find(|cohort| cohort.cohort == name)
    }
}
