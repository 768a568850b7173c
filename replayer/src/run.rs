//! One replay from its options to its report.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::admin::Admin;
use crate::books::{Books, Facts};
use crate::engine::{self, Job, Target};
use crate::error::Error;
use crate::guard::Guard;
use crate::join::{self, Findings, Proxy, Watch};
use crate::metrics::Metrics;
use crate::options::{self, AbortOn, Options, Speed};
use crate::origin_counter::OriginCounter;
use crate::origin_metrics::OriginMetrics;
use crate::population::shape::{Bins, Shape};
use crate::prepare::Prepared;
use crate::progress::{Kinds, Outline, Progress};
use crate::rehearsal::Advice;
use crate::report::heat::HeatMap;
use crate::report::series::Series;
use crate::report::{Failures, Generator, PlanPart, Report, Rule, Second, Source, build, edges};
use crate::tally::{Interval, Tally};
use crate::{analysis, limits, rehearse, sys, verdict, why};

/// What goes into a report.
struct Pieces<'a> {
    options: &'a Options,
    prepared: &'a Prepared,
    baseline: Option<Report>,
    run: String,
    started: SystemTime,
    elapsed: Duration,
    tally: Tally,
    series: Series,
    heat: HeatMap,
    bins: Bins,
    findings: Findings,
    origin: Option<u64>,
    /// The origin's resident memory: microseconds of the run, bytes.
    memory: Vec<(u64, u64)>,
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
    let prepared = Prepared::new(options)?;
    judged_by(options, &prepared)?;
    Ok(outline(options, &prepared))
}

/// Replays. Blocks until the run is over; [`Options::stop`] ends it earlier. Installs no signal handler.
///
/// # Errors
/// When the run cannot start: bad options, a capture that cannot be replayed, a peer that is not allowed.
pub fn replay(options: &Options, events: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let prepared = Prepared::new(options)?;
    let baseline = judged_by(options, &prepared)?;
    events(Progress::Planned(Box::new(outline(options, &prepared))));
    let target = prepared.target(options)?;
    let metrics = metrics(options, &prepared, events)?;
    let rehearsed = rehearsed(options, &prepared, &target, events)?;
    let run = run_tag();
    let mut notes = Vec::new();
    let (proxy, why_unknown) = meet_proxy(options, &prepared, &run, &mut notes)?;
    let counter = prepared.counter.clone().map(OriginCounter::start).transpose()?;
    if let Rehearsed::Remark(words) = &rehearsed {
        notes.push(words.clone());
    }
    for note in &notes {
        events(Progress::Note(note.clone()));
    }
    let traces =
        metrics.as_ref().and_then(|metrics| metrics.traces(&run, prepared.plan.seed, options.otlp_sample));
    let job = prepared.job(options, target, run.clone());
    let job = Arc::new(Job { count_ops: proxy.is_some(), traces, ..job });
    let watch = proxy.as_ref().map(|proxy| proxy.watch(&options.stop)).transpose()?;
    let memory = prepared.metrics.clone().map(|peer| OriginMetrics::watch(Admin::new(peer)?)).transpose()?;
    let (started, cpu_before) = (SystemTime::now(), sys::cpu_time());
    let mut seconds =
        Seconds { metrics, ..Seconds::new(options, baseline.as_ref(), prepared.summary.requests) };
    let outcome = match rehearsed {
        Rehearsed::Stop(words) => {
            options.stop.guard(words);
            engine::Outcome::nothing(&job)
        }
        Rehearsed::Go | Rehearsed::Remark(_) => {
            engine::run(&job, &mut |interval| seconds.push(interval, options, events))?
        }
    };
    let cpu = sys::cpu_time().saturating_sub(cpu_before);
    let origin_of_time = Instant::now().checked_sub(outcome.elapsed).unwrap_or_else(Instant::now);
    let seen = watch.map(Watch::end);
    let (memory, trouble) = memory.map(OriginMetrics::stop).unwrap_or_default();
    notes.extend(trouble.map(|words| format!("the origin's metrics: {words}")));
    let announced = proxy.is_some();
    let mut findings = proxy.map_or_else(Findings::default, |proxy| proxy.find(&outcome.tally));
    findings.faults = seen.and_then(|seen| seen.faults(origin_of_time, outcome.elapsed));
    let origin = counter.and_then(|counter| counter.stop().map_err(|err| notes.push(err)).ok());
    let spans = seconds.metrics.take().and_then(Metrics::end);
    notes.extend(spans.and_then(|spans| spans.trouble()));
    let pieces = Pieces {
        options,
        prepared: &prepared,
        baseline,
        run,
        started,
        elapsed: outcome.elapsed,
        tally: outcome.tally,
        series: seconds.series,
        heat: seconds.heat,
        bins: seconds.bins,
        findings,
        origin,
        memory,
        why_unknown,
        announced,
        notes,
        cpu,
    };
    let mut report = pieces.report();
    report.generator.spans = spans;
    Ok(report)
}

/// The seconds of a run as they end.
struct Seconds {
    guards: Vec<Guard>,
    series: Series,
    heat: HeatMap,
    /// Requests sent in each 10 ms.
    bins: Bins,
    sent: u64,
    planned: u64,
    metrics: Option<Metrics>,
}

impl Seconds {
    fn new(options: &Options, baseline: Option<&Report>, planned: u64) -> Seconds {
        let guard = |abort_on: &AbortOn| Guard::new(abort_on.clone(), baseline);
        let guards = options.abort_on.iter().map(guard).collect();
        let (series, heat) = (Series::new(), HeatMap::new());
        Seconds { guards, series, heat, bins: Bins::default(), sent: 0, planned, metrics: None }
    }

    fn push(&mut self, interval: &Interval, options: &Options, events: &mut dyn FnMut(Progress)) {
        self.sent += interval.sent;
        self.bins.add_second(interval.second, &interval.bins);
        self.heat.push(interval);
        if let Some(metrics) = &self.metrics {
            metrics.push(interval);
        }
        for guard in &mut self.guards {
            if let Some(reason) = guard.push(interval) {
                options.stop.guard(reason);
            }
        }
        let (sent, planned) = (self.sent, self.planned);
        let kinds = Kinds::of(interval);
        let due = interval.due.iter().map(|count| u64::from(*count)).sum();
        let second = Second { planned: due, ..self.series.push(interval) };
        events(Progress::Second { second, kinds, sent, planned });
    }
}

/// Checks what the run is judged by; the baseline, if there is one.
fn judged_by(options: &Options, prepared: &Prepared) -> Result<Option<Report>, Error> {
    let read = |path: &std::path::PathBuf| {
        let wrong = |err: String| Error::Usage(format!("baseline {}: {err}", path.display()));
        let text = std::fs::read(path).map_err(|err| wrong(err.to_string()))?;
        serde_json::from_slice::<Report>(&text).map_err(|err| wrong(format!("not a run.json: {err}")))
    };
    let baseline = options.baseline.as_ref().map(read).transpose()?;
    for threshold in &options.thresholds {
        let plan = &prepared.plan;
        threshold.check(&plan.routes, &plan.cohorts, baseline.as_ref()).map_err(Error::Usage)?;
    }
    for abort_on in &options.abort_on {
        abort_on.check(baseline.as_ref()).map_err(Error::Usage)?;
    }
    Ok(baseline)
}

/// What a rehearsal came to.
enum Rehearsed {
    Go,
    Remark(String),
    Stop(String),
}

fn rehearsed(
    options: &Options,
    prepared: &Prepared,
    target: &Target,
    events: &mut dyn FnMut(Progress),
) -> Result<Rehearsed, Error> {
    if !rehearse::is_wanted(options, prepared) {
        return Ok(Rehearsed::Go);
    }
    let words = "rehearsal: ten sessions alone before the run (--no-rehearsal skips them)";
    events(Progress::Note(words.to_owned()));
    Ok(match rehearse::rehearse(options, prepared, target)? {
        Advice::Go => Rehearsed::Go,
        Advice::GoWith(words) => Rehearsed::Remark(words),
        Advice::Stop(words) => Rehearsed::Stop(words),
    })
}

/// Who is told the run's metrics, if anybody is.
fn metrics(
    options: &Options,
    prepared: &Prepared,
    events: &mut dyn FnMut(Progress),
) -> Result<Option<Metrics>, Error> {
    if options.metrics.is_none() && options.otlp.is_none() {
        return Ok(None);
    }
    let planned = if prepared.summary.open_ended { 0 } else { prepared.summary.requests };
    let metrics = Metrics::start(options, planned)?;
    if let Some(addr) = metrics.addr() {
        events(Progress::Note(format!("metrics on http://{addr}/metrics")));
    }
    Ok(Some(metrics))
}

fn outline(options: &Options, prepared: &Prepared) -> Outline {
    Outline {
        capture: options.capture_names(),
        plan: prepared.summary.clone(),
        target: prepared.target_url.clone(),
        threads: prepared.threads,
        connections: prepared.connections,
        http2: prepared.http2,
        links: prepared.plan.links.len(),
        preflight: prepared.preflight.to_string(),
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
    let Some((admin, insisted)) = prepared.admin(options)? else {
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

/// A tag that no other run has: 8 hex digits of the time and the process.
pub(crate) fn run_tag() -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
    let bytes = (nanos, std::process::id());
    let hash = xxhash_rust::xxh3::xxh3_64(format!("{bytes:?}").as_bytes());
    format!("{:08x}", hash >> 32)
}

impl Pieces<'_> {
    fn report(mut self) -> Report {
        let failures = build::attribute(&mut self.tally, &self.findings.ended, self.findings.ended_lost);
        let analysis = self.analysis(&failures);
        let books = Books::new(&self.facts());
        let latency = build::latencies(&self.tally);
        let generator = self.generator(&latency);
        let shape = self.shape();
        let (tally, summary) = (&self.tally, &self.prepared.summary);
        let mut report = Report {
            squall: env!("CARGO_PKG_VERSION").to_owned(),
            argv: self.options.argv.clone(),
            started: jiff::Timestamp::try_from(self.started).map(|at| at.to_string()).unwrap_or_default(),
            elapsed_us: self.elapsed.as_micros() as u64,
            seed: self.options.seed.clone(),
            run: self.run.clone(),
            plan_hash: summary.plan_hash.clone(),
            shard: self.options.shard.to_string(),
            verdict: String::new(),
            exit_code: 0,
            reason: String::new(),
            plan: self.plan_part(),
            sessions: build::sessions(tally),
            requests: build::requests(tally, self.planned()),
            warmup: build::warmup(tally),
            failures,
            latency,
            connections: build::connections(tally),
            streams: build::streams(tally),
            shape,
            routes: build::routes(&self.prepared.plan.routes, tally),
            cohorts: build::cohorts(&self.prepared.plan.cohorts, tally),
            links: build::links(&self.prepared.plan.links, tally),
            rules: self.rules(),
            guards: self.findings.books.guards.clone(),
            edges: edges::told(std::mem::take(&mut self.findings.edges), self.options.shard.count > 1),
            series: Vec::new(),
            series_step_us: 0,
            heat: std::mem::replace(&mut self.heat, HeatMap::new()).into_heat(),
            funnel: build::funnel(&self.prepared.plan.routes, &self.tally),
            faults: self.findings.faults.take(),
            repeat: None,
            books,
            thresholds: Vec::new(),
            generator,
            analysis: Some(analysis),
        };
        report.thresholds = build::thresholds(&self.options.thresholds, &report, self.baseline.as_ref());
        let missed = verdict::missed_targets(&report.rules);
        let found = verdict::judge(&report, &missed, self.options.stop.cause().as_ref());
        (report.series, report.series_step_us) = self.series.into_entries();
        report.verdict = found.word.to_owned();
        report.exit_code = found.code;
        report.reason = found.reason;
        report
    }

    /// Why it broke.
    fn analysis(&mut self, failures: &Failures) -> analysis::Analysis {
        let known = analysis::Known {
            failures,
            guards: &self.findings.books.guards,
            memory: &self.memory,
            course: self.series.entries(),
            ran_short: self.tally.no_ports + self.tally.no_files > 0,
        };
        let about = (&*self.prepared.plan, self.options);
        let seen = (&mut self.tally.evidence, &mut self.tally.answers);
        let (analysis, trouble) = why::analyse(about, seen, &self.findings, &known);
        self.notes.extend(trouble);
        analysis
    }

    /// How close the load came to the capture, where it was paced.
    fn shape(&mut self) -> Option<Shape> {
        if self.prepared.plan.speed == Speed::Max || self.tally.paused_us > 0 {
            return None;
        }
        let mut replay = std::mem::take(&mut self.tally.starts);
        let routes = self.tally.routes.iter().map(|route| route.requests).collect();
        replay.set_requests(std::mem::take(&mut self.bins), routes);
        Some(Shape::of(&self.prepared.plan.recorded_shape(), &replay))
    }

    /// Requests of our share of the plan. What depends on the answers is counted as it is planned.
    fn planned(&self) -> u64 {
        let plan = &self.prepared.summary;
        let whole = self.options.shard.count == 1 && !plan.open_ended;
        if whole { plan.requests } else { self.tally.planned }
    }

    fn source_part(&self, source: &options::Source) -> Source {
        Source {
            capture: source.path.display().to_string(),
            amplify: source.amplify.unwrap_or(self.options.amplify),
        }
    }

    fn facts(&self) -> Facts {
        Facts {
            planned: self.planned(),
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
            capture: self.options.capture_names(),
            target: self.prepared.target_url.clone(),
            sessions: summary.sessions,
            requests: summary.requests,
            amplify: summary.amplify,
            speed: summary.speed,
            span_us: summary.span_us,
            skipped: summary.skipped.clone(),
            body_filled: summary.body_filled,
            exact: true,
            captures: self.options.captures.iter().map(|source| self.source_part(source)).collect(),
            arrivals: format!("{:?}", self.options.arrivals).to_lowercase(),
            profile: self.options.profile.as_ref().map_or_else(String::new, ToString::to_string),
        }
    }

    /// The proxy's rules, each with the number of different keys it selected among, as far as that is known.
    fn rules(&self) -> Vec<Rule> {
        let of = |books: &crate::admin::types::RuleBooks| {
            let units = books.units.or(match books.by.as_str() {
                "request" | "operation" => Some(books.eligible),
                "session" | "" => Some(books.eligible.min(self.tally.sessions_started)),
                _ => None, // how many different values a header has is not known here
            });
            Rule {
                id: books.id.clone(),
                eligible: books.eligible,
                selected: books.selected,
                suppressed: books.suppressed.clone(),
                applied: books.applied,
                asked_rate: books.asked_rate,
                realised_rate: books.realised_rate,
                units,
                audit: books.audit.clone(),
            }
        };
        self.findings.books.rules.iter().map(of).collect()
    }

    fn generator(&mut self, latency: &crate::report::LatencyPart) -> Generator {
        let tally = &self.tally;
        let paced = self.prepared.plan.speed != Speed::Max;
        let available = self.elapsed.as_micros() as f64 * self.prepared.threads as f64;
        let mut generator = Generator {
            rss_peak: sys::peak_memory(),
            cpu_us: self.cpu.as_micros() as u64,
            cpu_share: if available > 0.0 { tally.cpu_us as f64 / available } else { 0.0 },
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get) as u64,
            late: build::later_than(&tally.latencies.lateness, limits::LATENESS_FLOOR),
            late_us: limits::LATENESS_FLOOR.as_micros() as u64,
            drift_us_per_s: if paced { self.series.drift() } else { None },
            sockets_peak: tally.conns_peak,
            threads: self.prepared.threads as u64,
            held_back: tally.held_back,
            spans: None,
            degraded: Vec::new(),
            notes: std::mem::take(&mut self.notes),
        };
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
        let paused_ms = tally.paused_us / 1000;
        note(
            paused_ms,
            "ms the run was paused: the rest of it lies later by as long, the windows of the rules do not",
        );
        note(tally.held_back, "requests were held back by --max-rate");
        note(tally.no_http2, "connections failed because the target does not speak HTTP/2: use --http1");
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
