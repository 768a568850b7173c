//! `squall captures inspect`.

mod sketch;
mod tables;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use captures::header::EdgeInfo;
use captures::inspect;
use captures::inspect::{Inspection, Streams};
use captures::shape::Percentiles;

use super::{count, links, thousands};
pub(super) use sketch::{short, unit};
pub(super) use tables::cut;

/// Which capture to look at.
#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    /// The capture; also one that is still being written.
    capture: PathBuf,
    /// Print JSON with stable names instead of text.
    #[arg(long)]
    json: bool,
    /// Say which values of answers later requests send back, and which pairs were looked at and rejected.
    #[arg(long)]
    links: bool,
}

pub(super) const EXAMPLES: &str = "Examples:
  squall captures inspect capture.zst
  squall captures inspect --json capture.zst | jq '.routes[0]'
  squall captures inspect --links capture.zst
  squall captures inspect --json capture.zst | jq -r '.transitions[] | [.from, .to, .probability] | @tsv'
A capture that is still being written can be read.

Names in the JSON; times are in microseconds, sizes in bytes:
  sessions requests span_us first last blocks damaged_blocks shed bytes bytes_per_request
  faulted unanswered statuses hosts protocols streams closed damage header split_sessions
  session_requests session_duration_us think_us request_bytes response_bytes duration_us
                 count mean p50 p90 p99 max each; percentiles are exact to 3 %
  routes[]       name requests share statuses unanswered
                 mean_request_bytes mean_response_bytes
  overlapping    requests that began before an earlier answer of their session had ended
  rate           mean_per_s peak_per_s peak_window_us peak_at_us
  arrivals       from mark_us requests[] sessions[]: counts in each mark
  dispersion[]   window_us requests sessions: variance of counts by their mean; 1 is Poisson
  transitions[]  from to count probability: (start) and (end) are the ends of a session
Lists end at 1,000 entries; what is beyond is their last one, other.";

/// Says what a capture holds.
pub(super) fn run(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    if args.links {
        return links::show(&args.capture, args.json);
    }
    let figures = inspect::inspect(&args.capture)?;
    let mut out = std::io::stdout().lock();
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&figures)?)?,
        false => write!(out, "{}", in_words(&figures))?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn in_words(figures: &Inspection) -> String {
    let mut text = format!(
        "{} in {}, {}, {} bytes ({} a request)\n",
        count(figures.requests, "request"),
        count(figures.sessions, "session"),
        count(figures.blocks, "block"),
        thousands(figures.bytes),
        figures.bytes_per_request,
    );
    for (name, value) in facts(figures) {
        if !value.is_empty() {
            let _ = writeln!(text, "{name:<12}{value}");
        }
    }
    text.push_str(&sizes(figures));
    text.push_str(&sketch::arrivals(&figures.shape));
    text.push_str(&tables::hosts(&figures.hosts));
    text.push_str(&tables::routes(&figures.shape.routes));
    text.push_str(&tables::transitions(&figures.shape));
    text
}

/// What stands on a line each; what there is nothing to say about is empty.
fn facts(figures: &Inspection) -> Vec<(&'static str, String)> {
    let header = &figures.header;
    let mut facts = Vec::new();
    if !figures.first.is_empty() {
        let (first, last) = (to_the_second(&figures.first), to_the_second(&figures.last));
        facts.push(("from", format!("{first} to {last} ({})", span(figures.span_us))));
    }
    facts.push(("source", format!("{}, redaction {}", header.source, header.redaction)));
    if header.generated_ids {
        let words = "those of a single session are made up (compacted with --generators)";
        facts.push(("identifiers", words.to_owned()));
    }
    facts.extend(header.edges.iter().map(|edge| ("edge", at_edge(edge, figures))));
    facts.push(("statuses", pairs(figures.statuses.iter())));
    facts.push(("protocols", pairs(figures.protocols.iter())));
    facts.push(("streams", streams(&figures.streams)));
    for (name, n) in [("unanswered", figures.unanswered), ("faulted", figures.faulted)] {
        facts.push((name, if n == 0 { String::new() } else { thousands(n) }));
    }
    facts.push(("shed", pairs(figures.shed.iter())));
    if !figures.closed {
        let words = "still being written, or cut off; squall captures repair closes it";
        facts.push(("not closed", words.to_owned()));
    }
    facts.extend(figures.damage.iter().map(|damage| ("damage", damage.to_string())));
    facts
}

/// An edge that recorded: where it listened, and where there are several, how much of the capture it saw.
fn at_edge(edge: &EdgeInfo, figures: &Inspection) -> String {
    let place = format!("{} on {}", edge.name, edge.listen_url);
    if figures.header.edges.len() < 2 {
        return place;
    }
    let seen = figures.edges.iter().find(|seen| seen.name == edge.name).map_or(0, |seen| seen.requests);
    format!("{place}, {}", count(seen, "request"))
}

/// What sessions, users and requests are like, a row each.
fn sizes(figures: &Inspection) -> String {
    let shape = &figures.shape;
    let rows = [
        ("requests a session", shape.session_requests, plain as fn(f64) -> String),
        ("session lasts", shape.session_duration_us, |us| span(us.round() as u64)),
        ("think time", shape.think_us, |us| span(us.round() as u64)),
        ("answer takes", figures.duration_us, |us| span(us.round() as u64)),
        ("bytes a request", shape.request_bytes, |bytes| size(bytes.round() as u64)),
        ("bytes an answer", shape.response_bytes, |bytes| size(bytes.round() as u64)),
    ];
    if rows.iter().all(|(_, found, _)| found.is_none()) {
        return String::new();
    }
    let line = |name: &str, cells: [String; 5]| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>12}")).collect();
        format!("{name:<20}{cells}\n")
    };
    let mut text = line("", ["p50", "p90", "p99", "max", "mean"].map(str::to_owned));
    for (name, found, unit) in rows {
        let Some(Percentiles { p50, p90, p99, max, mean, .. }) = found else { continue };
        let [p50, p90, p99, max] = [p50, p90, p99, max].map(|value| unit(value as f64));
        text.push_str(&line(name, [p50, p90, p99, max, unit(mean)]));
    }
    if shape.overlapping != 0 {
        let overlapping = thousands(shape.overlapping);
        let _ = writeln!(
            text,
            "without thinking    {overlapping} sent while others of their session were under way"
        );
    }
    if shape.split_sessions != 0 {
        let split = thousands(shape.split_sessions);
        let _ = writeln!(text, "sessions split      {split} taken as ended because too many were open");
    }
    text
}

/// Without the fraction: `2015-05-17T10:05:00Z`.
fn to_the_second(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(whole, _)| format!("{whole}Z"))
}

fn pairs<K: std::fmt::Display>(counts: impl Iterator<Item = (K, impl std::borrow::Borrow<u64>)>) -> String {
    counts.map(|(name, n)| format!("{name} {}", thousands(*n.borrow()))).collect::<Vec<_>>().join(", ")
}

/// `sse 3 (messages: 120 received); websocket 1 (messages: 4 sent, 9 received)`.
fn streams(by_kind: &BTreeMap<&'static str, Streams>) -> String {
    let words = |(kind, streams): (&&str, &Streams)| {
        let Streams { requests, from_clients, from_servers, truncated } = *streams;
        let parts = [(from_clients, "sent"), (from_servers, "received"), (truncated, "not kept")];
        let parts =
            parts.iter().filter(|(n, _)| *n != 0).map(|(n, word)| format!("{} {word}", thousands(*n)));
        let messages = parts.collect::<Vec<_>>().join(", ");
        match messages.as_str() {
            "" => format!("{kind} {} (no messages)", thousands(requests)),
            _ => format!("{kind} {} (messages: {messages})", thousands(requests)),
        }
    };
    by_kind.iter().map(words).collect::<Vec<_>>().join("; ")
}

/// A duration a person can read.
pub(super) fn span(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        1_000_000..120_000_000 => format!("{:.1} s", us as f64 / 1e6),
        _ => {
            let minutes = us / 60_000_000;
            match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
                (0, 0, minutes) => format!("{minutes} min"),
                (0, hours, minutes) => format!("{hours} h {minutes} min"),
                (days, hours, _) => format!("{days} d {hours} h"),
            }
        }
    }
}

/// A number, with a digit of its fraction if it has one.
fn plain(number: f64) -> String {
    if number.fract() == 0.0 { thousands(number as u64) } else { format!("{number:.1}") }
}

/// A size a person can read.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{} B", thousands(bytes)),
        10_000..1_000_000 => format!("{:.1} KB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
