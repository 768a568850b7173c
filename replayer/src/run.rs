//! One replay from its options to its report.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::admin::Admin;
use crate::books::{Books, Facts};
use crate::engine::{self, Job};
use crate::error::Error;
use crate::join::{self, Findings, Proxy};
use crate::options::{Options, Speed};
use crate::pacing::RateGate;
use crate::plan::Summary;
use crate::prepare::Prepared;
use crate::report::series::Series;
use crate::report::{Generator, PlanPart, Report, Rule, Second, Source, build};
use crate::tally::Tally;
use crate::{sys, verdict};

/// What a replay tells while it goes on.
#[derive(Clone, Debug)]
pub enum Progress {
    /// The plan stands and nothing has been sent.
    Planned(Box<Outline>),
    /// A second is over.
    Second {
        /// What happened in it.
        second: Second,
        /// Requests sent so far.
        sent: u64,
        /// Requests planned.
        planned: u64,
    },
    /// Something the user should know.
    Note(String),
}

/// A plan, as it is shown before the first packet.
#[derive(Clone, Debug)]
pub struct Outline {
    /// Its figures.
    pub plan: Summary,
    /// URL of the target.
    pub target: String,
    /// Engine threads.
    pub threads: usize,
    /// Most connections at once.
    pub connections: usize,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// What goes into a report.
struct Pieces<'a> {
    options: &'a Options,
    prepared: &'a Prepared,
    run: String,
    started: SystemTime,
    elapsed: Duration,
    tally: Tally,
    series: Series,
    findings: Findings,
    origin: Option<u64>,
    why_unknown: String,
    /// A proxy took the announcement of the run: its books are owed.
    announced: bool,
    notes: Vec<String>,
    cpu: Duration,
}

/// The plan of a replay, checked as for a run, without a packet.
///
/// # Errors
/// Whatever would keep the replay from starting, except what only a socket can tell.
pub fn preview(options: &Options) -> Result<Outline, Error> {
    Ok(outline(&Prepared::new(options)?))
}

/// Replays. Blocks until the run is over; [`Options::stop`] ends it earlier. Installs no signal handler.
///
/// # Errors
/// When the run cannot start: bad options, a capture that cannot be replayed, a peer that is not allowed.
pub fn replay(options: &Options, events: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let prepared = Prepared::new(options)?;
    events(Progress::Planned(Box::new(outline(&prepared))));
    let target = prepared.target(options)?;
    let run = run_tag();
    let mut notes = Vec::new();
    let (proxy, why_unknown) = meet_proxy(options, &prepared, &run, &mut notes)?;
    let counter = prepared.counter.clone().map(Admin::new).transpose()?;
    let before = counter.as_ref().map(count).transpose().map_err(Error::Usage)?;
    for note in &notes {
        events(Progress::Note(note.clone()));
    }
    let job = Arc::new(Job {
        plan: Arc::clone(&prepared.plan),
        target,
        run: run.clone(),
        threads: prepared.threads,
        connections: prepared.connections,
        gate: options.max_rate.map(RateGate::new),
        duration: options.duration,
        timeout: options.timeout,
        stop: options.stop.clone(),
        count_ops: proxy.is_some(),
    });
    let watch = proxy.as_ref().map(|proxy| proxy.watch(&options.stop)).transpose()?;
    let (started, cpu_before) = (SystemTime::now(), sys::cpu_time());
    let (mut series, mut sent) = (Series::new(), 0);
    let planned = prepared.summary.requests;
    let outcome = engine::run(&job, &mut |interval| {
        sent += interval.sent;
        events(Progress::Second { second: series.push(interval), sent, planned });
    })?;
    let cpu = sys::cpu_time().saturating_sub(cpu_before);
    drop(watch);
    let tally = outcome.tally;
    let announced = proxy.is_some();
    let findings = proxy.map_or_else(Findings::default, |proxy| proxy.find(&tally));
    let origin = match (&counter, before) {
        (Some(counter), Some(before)) => match count(counter) {
            Ok(after) => Some(after.saturating_sub(before)),
            Err(err) => {
                notes.push(err);
                None
            }
        },
        _ => None,
    };
    let elapsed = outcome.elapsed;
    let pieces = Pieces {
        options,
        prepared: &prepared,
        run,
        started,
        elapsed,
        tally,
        series,
        findings,
        origin,
        why_unknown,
        announced,
        notes,
        cpu,
    };
    Ok(pieces.report())
}

fn outline(prepared: &Prepared) -> Outline {
    Outline {
        plan: prepared.summary.clone(),
        target: prepared.target_url.clone(),
        threads: prepared.threads,
        connections: prepared.connections,
        warnings: prepared.warnings.clone(),
    }
}

/// The proxy in front of the target, or why there is none.
fn meet_proxy(
    options: &Options,
    prepared: &Prepared,
    run: &str,
    notes: &mut Vec<String>,
) -> Result<(Option<Proxy>, String), Error> {
    let Some((admin, insisted)) = prepared.admin()? else {
        return Ok((None, "no proxy was named (--proxy URL)".to_owned()));
    };
    let announcement = join::announcement(run, &prepared.summary.plan_hash, options);
    match Proxy::announce(admin, insisted, prepared.peer.port, &announcement)? {
        Ok((proxy, more)) => {
            notes.extend(more);
            Ok((Some(proxy), "the proxy's books cannot be read".to_owned()))
        }
        Err(why) => Ok((None, why)),
    }
}

/// The origin's own count: a number, or JSON with `requests`.
fn count(counter: &Admin) -> Result<u64, String> {
    let body = counter.get_own_path().map_err(|err| format!("the origin's counter: {err}"))?;
    let text = String::from_utf8_lossy(&body);
    if let Ok(number) = text.trim().parse() {
        return Ok(number);
    }
    let value: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let number = value.and_then(|value| value.get("requests").and_then(serde_json::Value::as_u64));
    number.ok_or_else(|| "the origin's counter is neither a number nor JSON with \"requests\"".to_owned())
}

/// A tag that no other run has: 8 hex digits of the time and the process.
fn run_tag() -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
    let bytes = (nanos, std::process::id());
    let hash = xxhash_rust::xxh3::xxh3_64(format!("{bytes:?}").as_bytes());
    format!("{:08x}", hash >> 32)
}

impl Pieces<'_> {
    fn report(mut self) -> Report {
        let failures = build::attribute(&mut self.tally, &self.findings.ended, self.findings.ended_lost);
        let books = Books::new(&self.facts());
        let latency = build::latencies(&self.tally);
        let generator = self.generator(&latency);
        let (tally, summary) = (&self.tally, &self.prepared.summary);
        let mut report = Report {
            squall: env!("CARGO_PKG_VERSION").to_owned(),
            argv: self.options.argv.clone(),
            started: jiff::Timestamp::try_from(self.started).map(|at| at.to_string()).unwrap_or_default(),
            elapsed_us: self.elapsed.as_micros() as u64,
            seed: self.options.seed.clone(),
            run: self.run.clone(),
            plan_hash: summary.plan_hash.clone(),
            shard: "1/1".to_owned(),
            verdict: String::new(),
            exit_code: 0,
            reason: String::new(),
            plan: self.plan_part(),
            sessions: build::sessions(tally),
            requests: build::requests(tally, summary.requests),
            warmup: build::warmup(tally),
            failures,
            latency,
            connections: build::connections(tally),
            streams: build::streams(tally),
            shape: None,
            routes: build::routes(&self.prepared.plan.routes, tally),
            cohorts: build::cohorts(&[], tally),
            rules: self.rules(),
            series: Vec::new(),
            books,
            thresholds: Vec::new(),
            generator,
        };
        report.thresholds = build::thresholds(&self.options.thresholds, &report, None);
        let missed = verdict::missed_targets(&report.rules);
        let found = verdict::judge(&report, &missed, self.options.stop.cause().as_ref());
        report.series = self.series.into_entries();
        report.verdict = found.word.to_owned();
        report.exit_code = found.code;
        report.reason = found.reason;
        report
    }

    fn facts(&self) -> Facts {
        Facts {
            planned: self.prepared.summary.requests,
            retries: self.tally.retries,
            sent: self.tally.sent,
            never_sent: self.tally.never_sent.iter().sum(),
            answered: self.tally.answered,
            failed: self.tally.failures(),
            edge: self.findings.edge.clone(),
            joined: self.findings.joined.clone(),
            origin: self.origin,
            why_unknown: self.why_unknown.clone(),
        }
    }

    fn plan_part(&self) -> PlanPart {
        let summary = &self.prepared.summary;
        PlanPart {
            capture: self.options.capture.display().to_string(),
            target: self.prepared.target_url.clone(),
            sessions: summary.sessions,
            requests: summary.requests,
            amplify: summary.amplify,
            speed: summary.speed,
            span_us: summary.span_us,
            skipped: summary.skipped.clone(),
            body_filled: summary.body_filled,
            exact: true,
            captures: vec![Source {
                capture: self.options.capture.display().to_string(),
                amplify: summary.amplify,
            }],
            arrivals: "recorded".to_owned(),
            profile: String::new(),
        }
    }

    /// The proxy's rules, each with the number of different keys it selected among, as far as that is known.
    fn rules(&self) -> Vec<Rule> {
        let of = |books: &crate::admin::types::RuleBooks| {
            let units = match books.by.as_str() {
                "request" | "operation" => Some(books.eligible),
                "session" | "" => Some(books.eligible.min(self.tally.sessions_started)),
                _ => None, // how many different values a header has is not known here
            };
            Rule {
                id: books.id.clone(),
                eligible: books.eligible,
                selected: books.selected,
                suppressed: books.suppressed.clone(),
                applied: books.applied,
                asked_rate: books.asked_rate,
                realised_rate: books.realised_rate,
                units,
            }
        };
        self.findings.books.rules.iter().map(of).collect()
    }

    fn generator(&mut self, latency: &crate::report::LatencyPart) -> Generator {
        let tally = &self.tally;
        let available = self.elapsed.as_micros() as f64 * self.prepared.threads as f64;
        let mut generator = Generator {
            rss_peak: sys::peak_memory(),
            cpu_us: self.cpu.as_micros() as u64,
            cpu_share: if available > 0.0 { tally.cpu_us as f64 / available } else { 0.0 },
            sockets_peak: tally.conns_peak,
            threads: self.prepared.threads as u64,
            held_back: tally.held_back,
            degraded: Vec::new(),
            notes: std::mem::take(&mut self.notes),
        };
        let paced = self.prepared.plan.speed != Speed::Max;
        if paced {
            generator.degraded.extend(verdict::late(&latency.lateness, &latency.response));
            generator.degraded.extend(verdict::saturated(generator.cpu_share, &latency.lateness));
        }
        verdict::shortages(&mut generator, tally, paced);
        if self.announced && self.findings.edge.is_none() {
            let words = "the proxy took the run and did not give its books: it ended, or cannot be reached";
            generator.degraded.push(words.to_owned());
        }
        let mut note = |count: u64, words: &str| {
            if count > 0 {
                generator.notes.push(format!("{count} {words}"));
            }
        };
        note(tally.held_back, "requests were held back by --max-rate");
        note(tally.cookies_refused, "cookies found no room in their clone's jar");
        note(
            self.prepared.summary.body_filled,
            "requests had a body that was not recorded whole: filled with spaces",
        );
        generator.notes.extend(self.prepared.warnings.iter().cloned());
        generator.notes.append(&mut self.findings.notes);
        generator
    }
}
