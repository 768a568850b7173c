//! `squall captures synthesize`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use captures::synthesize::{self, Judged, KeySpace, Plan, Progress, Synthesis, Trace, Widen};

use super::inspect::{cut, short, unit};
use super::{complain, count, thousands};

/// What to learn from, and what to make.
#[derive(Debug, clap::Args)]
pub(crate) struct SynthesizeArgs {
    /// The capture to learn from.
    capture: PathBuf,
    /// Sessions to make; with --arrivals one for each arrival unless said.
    #[arg(long, value_name = "N", value_parser = sessions, required_unless_present = "arrivals")]
    sessions: Option<u64>,
    /// From which all that is random follows: the same seed makes the same bytes.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// The capture to make; an existing file is refused.
    #[arg(short, long, value_name = "CAPTURE", value_parser = super::new_capture)]
    pub(super) output: PathBuf,
    /// Make a key space of paths or queries larger: '/products/{id}=10x', '?q=3x'; may be repeated. The popularity of the
    /// values keeps its skew; those that were not recorded are made up and come after the recorded ones.
    #[arg(long, value_name = "SPACE=FACTORx")]
    widen: Vec<Widen>,
    /// The values of this key space belong to one session each, so new sessions get new ones; may be repeated. Without it
    /// that is seen from where values were met.
    #[arg(long, value_name = "SPACE")]
    own: Vec<String>,
    /// The values of this key space are everybody's, so new sessions use the recorded ones; may be repeated.
    #[arg(long, value_name = "SPACE")]
    shared: Vec<String>,
    /// Sessions begin at the times in this file instead: CSV (also with ; or tabs), JSON lines, an access log, or one time a
    /// line; seconds, milliseconds and finer since anything, or dates; plain, gzip or zstd.
    #[arg(long, value_name = "FILE")]
    arrivals: Option<PathBuf>,
    /// The column or field that has the times; a number counts the columns of a file without a head.
    #[arg(long, value_name = "NAME", requires = "arrivals")]
    arrivals_column: Option<String>,
    /// Pull or push the arrivals together so that they take so long: 90s, 10m, 2h.
    #[arg(long, value_name = "TIME", value_parser = time, requires = "arrivals")]
    within: Option<Duration>,
    /// Exit with 1 where the new sessions are not like the recorded ones, instead of a warning.
    #[arg(long)]
    strict: bool,
}

pub(super) const EXAMPLES: &str = "Examples:
  squall captures synthesize monday.zst --sessions 10k --seed 1 -o larger.zst
  squall captures synthesize monday.zst --sessions 3000 --widen '/products/{id}=10x' -o wide.zst
  squall captures synthesize monday.zst --arrivals llm.csv --within 10m -o bursty.zst
  squall captures synthesize monday.zst --arrivals t.csv --arrivals-column start_ms -o out.zst
Learns which route follows which (by two routes where enough was seen), how long users think in
between, how long sessions are and when they begin; new sessions are drawn from that and made of
recorded requests. Values that belong to one session (carts, users, tokens) become new ones in
each; identifiers in paths that are everybody's are drawn by their popularity. Prints how far the
new sessions are from the recorded ones. What a fault touched is left out. Memory holds the model
and the sessions under way, however many are written.
Exit code 0: made; 1: made, but unlike the recording (--strict only); 104: not made.";

/// Learns, writes, and says how alike both are.
pub(super) fn run(args: &SynthesizeArgs) -> anyhow::Result<ExitCode> {
    let arrivals = match &args.arrivals {
        Some(path) => {
            let trace = synthesize::read_trace(path, args.arrivals_column.as_deref())?;
            tell_trace(&path.display().to_string(), &trace);
            Some(trace)
        }
        None => None,
    };
    let plan = Plan {
        sessions: args.sessions,
        seed: args.seed,
        widen: args.widen.clone(),
        own: args.own.clone(),
        shared: args.shared.clone(),
        arrivals,
        within_us: args.within.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
    };
    let mut line = Line { shown: false, terminal: std::io::stderr().is_terminal() };
    let done =
        synthesize::synthesize(&args.capture, &args.output, &plan, &mut |progress| line.tell(progress));
    line.clear();
    let done = done?;
    tell(&done);
    complain(format_args!(
        "{}: {} in {}, {} bytes",
        args.output.display(),
        count(done.written.exchanges, "request"),
        count(done.written.sessions, "session"),
        thousands(done.written.bytes),
    ));
    for (reason, n) in &done.written.shed {
        complain(format_args!("  shed, {reason}: {}", thousands(*n)));
    }
    let large = done.judgement.large();
    if large.is_empty() {
        complain(format_args!("next: squall captures inspect {}", args.output.display()));
        return Ok(ExitCode::SUCCESS);
    }
    complain(format_args!(
        "warning: unlike the recording in {}; more recorded sessions help",
        large.join(", ")
    ));
    Ok(if args.strict { ExitCode::from(FINDINGS) } else { ExitCode::SUCCESS })
}

fn tell_trace(path: &str, trace: &Trace) {
    let span = trace.times.last().unwrap_or(&0) - trace.times.first().unwrap_or(&0);
    complain(format_args!(
        "{path}: {} in {}, over {}",
        count(trace.times.len() as u64, "arrival"),
        trace.column,
        super::inspect::span(span)
    ));
    if let Some(first) = trace.first_out_of_order {
        let n = thousands(trace.out_of_order);
        complain(format_args!("  {n} out of order (now in order), the first on line {first}"));
    }
    if trace.unreadable != 0 {
        complain(format_args!("  {} without a time:", count(trace.unreadable, "line")));
        for (line, why) in trace.named.iter().take(SHOWN) {
            complain(format_args!("  line {line}: {why}"));
        }
        let more = trace.unreadable.saturating_sub(SHOWN as u64);
        if more != 0 {
            complain(format_args!("  and {} more", thousands(more)));
        }
    }
}

fn tell(done: &Synthesis) {
    for damage in &done.damage {
        complain(format_args!("warning: {damage}"));
    }
    let (sessions, requests) = done.learned;
    let (routes, transitions, contexts) = done.states;
    complain(format_args!(
        "learned from {} in {}: {}, {}, {} by two routes",
        count(requests, "request"),
        count(sessions, "session"),
        count(routes, "route"),
        count(transitions, "transition"),
        thousands(contexts),
    ));
    for (n, what) in
        [(done.left_out, "touched by faults, left out"), (done.without_example, "left out for memory")]
    {
        if n != 0 {
            complain(format_args!("  {} {what}", thousands(n)));
        }
    }
    if sessions < FEW {
        complain(format_args!("warning: {} is little to learn from", count(sessions, "session")));
    }
    tell_key_spaces(&done.key_spaces);
    let judgement = &done.judgement;
    complain(format_args!("{:<50}{:>10}{:>10}", "distance from the recording", "found", "at most"));
    for (name, judged) in [
        ("session lengths, Kolmogorov-Smirnov", judgement.session_requests),
        ("think times, Kolmogorov-Smirnov", judgement.think),
        ("endpoint mix, total variation", judgement.routes),
        ("transitions, total variation", judgement.transitions),
    ] {
        let Judged { distance, limit } = judged;
        let mark = if judged.is_large() { "  large" } else { "" };
        complain(format_args!("  {name:<48}{distance:>10.3}{limit:>10.3}{mark}"));
    }
    if !judgement.dispersion.is_empty() {
        complain(format_args!(
            "{:<50}{:>10}{:>10}{:>8}",
            "dispersion of session starts", "recorded", "new", "ratio"
        ));
    }
    for at in &judgement.dispersion {
        let mark = if at.is_large { "  large" } else { "" };
        let windows = format!("in windows of {}", unit(at.window_us));
        let ratio = at.new / at.recorded;
        let ratio = if ratio.is_finite() { short(ratio) } else { "-".to_owned() };
        complain(format_args!(
            "  {windows:<48}{:>10}{:>10}{ratio:>8}{mark}",
            short(at.recorded),
            short(at.new)
        ));
    }
}

/// Those of which something becomes: the others are what they were.
fn tell_key_spaces(spaces: &[KeySpace]) {
    let told: Vec<&KeySpace> =
        spaces.iter().filter(|space| space.of_one_session || space.chosen_among.is_some()).collect();
    if !told.is_empty() {
        complain(format_args!("{:<36}{:>8}  {:<5} new sessions", "key spaces", "values", "Zipf"));
    }
    for space in told.iter().take(SHOWN_SPACES) {
        let fate = match space.chosen_among {
            _ if space.of_one_session => "have their own".to_owned(),
            Some(n) if n == space.values => "draw by popularity".to_owned(),
            Some(n) => format!("draw among {}", thousands(n)),
            None => String::new(),
        };
        let zipf = match space.exponent {
            Some(exponent) if !space.of_one_session => format!("{exponent:.2}"),
            _ => "-".to_owned(),
        };
        let name = cut(&space.name, 33);
        complain(format_args!("  {name:<34}{:>8}  {zipf:<5} {fate}", thousands(space.values)));
    }
    let more = told.len().saturating_sub(SHOWN_SPACES) as u64;
    if more != 0 {
        complain(format_args!("  and {} more", thousands(more)));
    }
}

/// A line that counts, on a terminal only.
struct Line {
    shown: bool,
    terminal: bool,
}

impl Line {
    fn tell(&mut self, progress: Progress) {
        let (doing, n) = match progress {
            Progress::Learning(n) => ("learned from", n),
            Progress::Choosing(n) => ("looked again at", n),
            Progress::Writing(n) => ("written", n),
        };
        if self.terminal && n.is_multiple_of(PROGRESS_EACH) {
            self.shown = true;
            let _ = write!(std::io::stderr(), "\r\x1b[K{doing} {} requests …", thousands(n));
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// `3000`, `10k`, `2M`.
fn sessions(text: &str) -> Result<u64, String> {
    replayer::units::count(text).map(|sessions| sessions as u64)
}

fn time(text: &str) -> Result<Duration, String> {
    replayer::units::duration(text)
}

/// The new capture is not like the old one.
const FINDINGS: u8 = 1;
/// Of fewer sessions a model is hardly more than a copy.
const FEW: u64 = 30;
/// Lines of a trace that are named.
const SHOWN: usize = 10;
const SHOWN_SPACES: usize = 20;
const PROGRESS_EACH: u64 = 20_000;
