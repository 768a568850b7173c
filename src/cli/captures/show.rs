//! `squall captures inspect`, `cat` and `export`.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use captures::export::{gor, har, mitmproxy, ndjson};
use captures::inspect::{Count, Inspection, Streams};
use captures::{Reader, SessionId, inspect, seek};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::{complain, count, links, thousands};

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

/// Which exchanges to print.
#[derive(Debug, clap::Args)]
pub(crate) struct CatArgs {
    /// The capture; also one that is still being written.
    capture: PathBuf,
    /// Only this session, by its number in hexadecimal.
    #[arg(long, value_name = "SESSION", value_parser = parse_session)]
    session: Option<u64>,
}

/// What to write, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// The capture.
    capture: PathBuf,
    /// har, gor (GoReplay), mitmproxy or ndjson.
    #[arg(long, value_enum, default_value = "har")]
    format: ExportFormat,
    /// The file to write, compressed where its name ends in .gz; an existing one is refused. Without it: stdout.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ExportFormat {
    Har,
    Gor,
    Mitmproxy,
    Ndjson,
}

pub(super) const INSPECT_EXAMPLES: &str = "Examples:
  squall captures inspect capture.zst
  squall captures inspect --json capture.zst | jq '.routes[0]'
  squall captures inspect --links capture.zst
A capture that is still being written can be read.";

pub(super) const CAT_EXAMPLES: &str = "Examples:
  squall captures cat capture.zst | jq -r '[.time, .method, .target, .status] | @tsv'
  squall captures cat capture.zst | jq -c 'select(.stream) | .target, (.stream.messages[] | [.at_us, .from_client, .len])'
  squall captures cat capture.zst --session 1f";

pub(super) const EXPORT_EXAMPLES: &str = "Examples:
  squall captures export capture.zst -o capture.har
  squall captures export capture.zst --format ndjson -o capture.ndjson
  duckdb -c \"select method, status, count(*) from 'capture.ndjson' group by all\"
  squall captures export capture.zst --format gor -o capture.gor.gz
  gor --input-file capture.gor.gz --output-http http://127.0.0.1:9000
  squall captures export capture.zst --format mitmproxy -o capture.mitm
What the other formats have no field for stands in fields of our own: importing an export again gives equal exchanges.";

/// Says what a capture holds.
pub(super) fn inspect(args: &InspectArgs) -> anyhow::Result<ExitCode> {
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

/// Prints exchanges, one a line.
pub(super) fn cat(args: &CatArgs) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    match args.session {
        None => {
            for exchange in Reader::open(&args.capture)?.exchanges() {
                match exchange {
                    Ok(exchange) => ndjson::write_line(&exchange, &mut out)?,
                    Err(damage) => complain(format_args!("warning: {damage}")),
                }
            }
        }
        Some(id) => {
            let sought = seek::session(&args.capture, SessionId(id))?;
            sought.damage.iter().for_each(|damage| complain(format_args!("warning: {damage}")));
            for exchange in &sought.exchanges {
                ndjson::write_line(exchange, &mut out)?;
            }
            if sought.exchanges.is_empty() {
                bail!("{} has no session {id:x}", args.capture.display());
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a capture in another format.
pub(super) fn export(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let reader = Reader::open(&args.capture)?;
    let out: Box<dyn Write> = match &args.output {
        None => Box::new(BufWriter::new(std::io::stdout().lock())),
        Some(path) => {
            let file = OpenOptions::new().write(true).create_new(true).open(path);
            let file = file.with_context(|| format!("cannot create {}", path.display()))?;
            let out = BufWriter::with_capacity(1 << 20, file);
            match path.extension().is_some_and(|kind| kind == "gz") {
                true => Box::new(GzEncoder::new(out, Compression::default())),
                false => Box::new(out),
            }
        }
    };
    let exported = match args.format {
        ExportFormat::Har => har::write(reader, out),
        ExportFormat::Gor => gor::write(reader, out),
        ExportFormat::Mitmproxy => mitmproxy::write(reader, out),
        ExportFormat::Ndjson => ndjson::write(reader, out),
    }?;
    for damage in &exported.damage {
        complain(format_args!("warning: {damage}"));
    }
    if let Some(path) = &args.output {
        complain(format_args!("{}: {}", path.display(), count(exported.exchanges, "exchange")));
    }
    Ok(ExitCode::SUCCESS)
}

fn in_words(figures: &Inspection) -> String {
    let header = &figures.header;
    let mut text = format!(
        "{} in {}, {}, {} bytes ({} a request)\n",
        count(figures.requests, "request"),
        count(figures.sessions, "session"),
        count(figures.blocks, "block"),
        thousands(figures.bytes),
        figures.bytes_per_request,
    );
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("{name:<12}{value}\n"));
        }
    };
    if !figures.first.is_empty() {
        line("from", format!("{} to {} ({})", figures.first, figures.last, span(figures.span_us)));
    }
    line("source", format!("{}, redaction {}", header.source, header.redaction));
    if header.generated_ids {
        line("identifiers", "those of a single session are made up (compacted with --generators)".to_owned());
    }
    for edge in &header.edges {
        line("edge", format!("{} on {}", edge.name, edge.listen_url));
    }
    line("statuses", pairs(figures.statuses.iter()));
    line("protocols", pairs(figures.protocols.iter()));
    if let Some(durations) = figures.duration_us {
        line(
            "durations",
            format!("p50 {}, p99 {}, max {}", span(durations.p50), span(durations.p99), span(durations.max)),
        );
    }
    line("streams", streams(&figures.streams));
    for (name, n) in [("unanswered", figures.unanswered), ("faulted", figures.faulted)] {
        line(name, if n == 0 { String::new() } else { thousands(n) });
    }
    line("shed", pairs(figures.shed.iter()));
    if !figures.closed {
        line("not closed", "still being written, or cut off; squall captures repair closes it".to_owned());
    }
    for damage in &figures.damage {
        line("damage", damage.to_string());
    }
    text.push_str(&top("hosts", &figures.hosts));
    text.push_str(&top("routes", &figures.routes));
    text
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

/// The most frequent of a list.
fn top(title: &str, counts: &[Count]) -> String {
    let known = counts.iter().filter(|count| !count.name.is_empty());
    let mut text = String::new();
    for count in known.clone().take(SHOWN) {
        text.push_str(&format!("{:>10}  {}\n", thousands(count.requests), count.name));
    }
    let more = known.count().saturating_sub(SHOWN);
    if more != 0 {
        text.push_str(&format!("{:>10}  and {} more; --json has them\n", "", thousands(more as u64)));
    }
    if text.is_empty() { text } else { format!("{title}\n{text}") }
}

/// A duration a person can read.
fn span(us: u64) -> String {
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

pub(super) fn parse_session(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16)
        .map_err(|_| "a session is a number in hexadecimal, as cat prints it".to_owned())
}

/// Hosts and routes that the text shows.
const SHOWN: usize = 15;
