//! What a run has come to so far, as families of metrics.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use prometheus::Result;
use prometheus::proto::MetricFamily;
use telemetry::otlp::Exporter;
use telemetry::{Buckets, Families, Names, as_i64};

use crate::sys;
use crate::tally::{Failure, Interval, Sums};

/// Sums of all seconds so far, and the last second's gauges.
#[derive(Debug)]
pub(super) struct Figures {
    planned: u64,
    due: u64,
    sent: u64,
    answered: u64,
    touched: u64,
    status: [u64; 5],
    /// Answers that failed: 5xx, and failures told by gRPC; then 429.
    failed: u64,
    too_many: u64,
    unanswered: [u64; Failure::ALL.len()],
    rules: BTreeMap<String, u64>,
    sums: Sums,
    sessions: u64,
    connections: u64,
    response: Buckets,
    service: Buckets,
    lateness: Buckets,
    names: Names,
    started: Duration,
    cpu_before: Duration,
    /// Who counts the spans.
    spans: Weak<Exporter>,
}

impl Figures {
    pub(super) fn new(planned: u64) -> Figures {
        Figures {
            planned,
            due: 0,
            sent: 0,
            answered: 0,
            touched: 0,
            status: [0; 5],
            failed: 0,
            too_many: 0,
            unanswered: [0; Failure::ALL.len()],
            rules: BTreeMap::new(),
            sums: Sums::default(),
            sessions: 0,
            connections: 0,
            response: Buckets::default(),
            service: Buckets::default(),
            lateness: Buckets::default(),
            names: Names::default(),
            started: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            cpu_before: Duration::ZERO,
            spans: Weak::new(),
        }
    }

    /// Spans go out there.
    pub(super) fn count_spans(&mut self, exporter: Weak<Exporter>) {
        self.spans = exporter;
    }

    pub(super) fn push(&mut self, interval: &Interval) {
        self.due += interval.due.iter().map(|count| u64::from(*count)).sum::<u64>();
        self.sent += interval.sent;
        self.answered += interval.answered;
        self.touched += interval.injected;
        for (sum, more) in self.status.iter_mut().zip(interval.status) {
            *sum += more;
        }
        self.failed += interval.failed - interval.unanswered - interval.too_many;
        self.too_many += interval.too_many;
        for (sum, more) in self.unanswered.iter_mut().zip(interval.unanswered_by) {
            *sum += more;
        }
        for (rule, count) in &interval.rules {
            *self.rules.entry(self.names.of(rule).to_owned()).or_default() += count;
        }
        self.sums.add(&interval.sums);
        (self.sessions, self.connections) = (interval.active, interval.connections);
        add(&mut self.response, &interval.response);
        add(&mut self.lateness, &interval.lateness);
        if let Some(service) = &interval.service {
            self.service.merge(service);
        }
    }

    /// The figures as they stand.
    pub(super) fn families(&mut self) -> Result<Vec<MetricFamily>> {
        let families = Families::new();
        self.requests(&families)?;
        self.outcomes(&families)?;
        self.load(&families)?;
        self.generator(&families)?;
        if let Some(exporter) = self.spans.upgrade() {
            let words = "Spans of attempts by what became of them.";
            let spans = families.counter("squall_replay_otlp_spans_total", words, &["result"])?;
            for (result, count) in exporter.counts() {
                spans.with_label_values(&[result]).inc_by(count);
            }
        }
        let mut all = families.gather();
        all.extend([
            self.response.family(
                "squall_replay_response_duration_seconds",
                "From when an answered request was due to the last byte of its last attempt.",
            ),
            self.service.family(
                "squall_replay_service_duration_seconds",
                "From the first byte sent to the last byte of the answer, of each attempt.",
            ),
            self.lateness.family(
                "squall_replay_lateness_seconds",
                "How much later than it could have a request left: the generator's own fault.",
            ),
        ]);
        Ok(all)
    }

    fn requests(&self, families: &Families) -> Result<()> {
        families.counts(&[
            ("squall_replay_requests_due_total", "Requests whose time has come.", self.due),
            (
                "squall_replay_requests_sent_total",
                "Attempts sent, retries and the warm-up included.",
                self.sent,
            ),
            ("squall_replay_requests_answered_total", "Attempts that were answered.", self.answered),
            (
                "squall_replay_retries_total",
                "Attempts beyond the first of their operation.",
                self.sums.retries,
            ),
        ])?;
        families.values(&[(
            "squall_replay_plan_requests",
            "Requests of the whole plan; 0 where it has no end.",
            as_i64(self.planned),
        )])?;
        let progress = families.ratio(
            "squall_replay_progress_ratio",
            "Requests sent of those planned, 0 to 1; without the retries.",
            &[],
        )?;
        progress.with_label_values::<&str>(&[]).set(self.progress());
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "a share of counts far below 2^53")]
    fn progress(&self) -> f64 {
        let first = self.sent.saturating_sub(self.sums.retries);
        if self.planned == 0 { 0.0 } else { (first as f64 / self.planned as f64).min(1.0) }
    }

    fn outcomes(&self, families: &Families) -> Result<()> {
        let answers = families.counter(
            "squall_replay_answers_total",
            "Answers by class of their status.",
            &["class"],
        )?;
        for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().zip(self.status) {
            answers.with_label_values(&[class]).inc_by(count);
        }
        let errors = families.counter(
            "squall_replay_errors_total",
            "Answers of 429 and 5xx, and attempts without an answer, by class.",
            &["class"],
        )?;
        let unanswered = Failure::ALL.iter().map(|class| (class.name(), self.unanswered[*class as usize]));
        for (class, count) in [("5xx", self.failed), ("429", self.too_many)].into_iter().chain(unanswered) {
            errors.with_label_values(&[class]).inc_by(count);
        }
        families.counts(&[(
            "squall_replay_answers_injected_total",
            "Answers that a rule of the proxy touched.",
            self.touched,
        )])?;
        let injected = families.counter(
            "squall_replay_injected_total",
            "Answers by the rule that touched them; several rules may touch one.",
            &["rule"],
        )?;
        for (rule, count) in &self.rules {
            injected.with_label_values(&[rule]).inc_by(*count);
        }
        Ok(())
    }

    fn load(&self, families: &Families) -> Result<()> {
        families.values(&[
            ("squall_replay_sessions", "Sessions alive.", as_i64(self.sessions)),
            (
                "squall_replay_connections",
                "Connections, those that are being opened included.",
                as_i64(self.connections),
            ),
        ])?;
        families.counts(&[
            ("squall_replay_sessions_started_total", "Sessions started.", self.sums.sessions_started),
            ("squall_replay_connections_opened_total", "Connections opened.", self.sums.connections),
            ("squall_replay_sent_bytes_total", "Bytes sent.", self.sums.bytes_out),
            ("squall_replay_received_bytes_total", "Bytes received.", self.sums.bytes_in),
        ])?;
        let ended = families.counter(
            "squall_replay_sessions_ended_total",
            "Sessions by how they ended.",
            &["outcome"],
        )?;
        for (outcome, count) in [
            ("completed", self.sums.sessions_completed),
            ("aborted", self.sums.sessions_aborted),
            ("abandoned", self.sums.sessions_abandoned),
        ] {
            ended.with_label_values(&[outcome]).inc_by(count);
        }
        Ok(())
    }

    /// The process itself, by the names that every program uses.
    fn generator(&mut self, families: &Families) -> Result<()> {
        let built =
            families.gauge("squall_replay_build_info", "1; its label says what was built.", &["version"])?;
        built.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        families.values(&[(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            as_i64(sys::memory()),
        )])?;
        // The system's figure is a sum over threads that may step back by a little; a counter must not.
        self.cpu_before = self.cpu_before.max(sys::cpu_time());
        let cpu = "Total user and system CPU time spent in seconds.";
        let cpu = families.sum("process_cpu_seconds_total", cpu, &[])?;
        cpu.with_label_values::<&str>(&[]).inc_by(self.cpu_before.as_secs_f64());
        let started = "Start time of the process since unix epoch in seconds.";
        let started = families.ratio("process_start_time_seconds", started, &[])?;
        started.with_label_values::<&str>(&[]).set(self.started.as_secs_f64());
        Ok(())
    }
}

fn add(buckets: &mut Buckets, histogram: &Histogram<u64>) {
    for value in histogram.iter_recorded() {
        buckets.add(value.value_iterated_to(), value.count_at_value());
    }
}
