//! `squall captures import`.

use std::fs;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use captures::header::{FileHeader, Options};
use captures::import::{self, ByTime, Format, ImportOptions, Numbering, Tally};
use captures::redact::Policy;
use captures::{Redactor, Writer};

use super::{complain, count, thousands};

/// What to import, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// Access logs (common, combined, JSON lines, W3C, load balancers), HAR files, mitmproxy flows, GoReplay files
    /// (.gor), packets (pcap, pcapng), or NDJSON from `captures export`; plain, gzip or zstd. `-` reads what comes in.
    #[arg(required = true, value_name = "FILE", value_parser = input)]
    files: Vec<PathBuf>,
    /// The capture to make; an existing file is refused.
    #[arg(short, long, value_name = "CAPTURE", value_parser = super::new_capture)]
    pub(super) output: PathBuf,
    /// What the files are: auto, access-log, har, ndjson, mitmproxy, gor or pcap. Auto looks at the content.
    #[arg(long, default_value = "auto", value_parser = parse_format)]
    format: FormatArg,
    /// The edge that the exchanges are said to come from.
    #[arg(long, value_name = "NAME", default_value = "default")]
    edge: String,
    /// Keep the bodies of answers too, redacted; otherwise only their length and hash.
    #[arg(long)]
    response_bodies: bool,
    /// Redact what this TOML file names beside what always is, and not what it names as allow (captures/FORMAT.md).
    #[arg(long, value_name = "FILE", value_parser = parse_policy)]
    redact: Option<Policy>,
    /// Write passwords, tokens, cookies, cards and addresses as they are.
    #[arg(long, conflicts_with = "redact")]
    record_secrets: bool,
    /// Refused: what it would do is spelled out.
    #[arg(long, hide = true)]
    no_redaction: bool,
}

/// `None`: look at the content.
#[derive(Clone, Copy, Debug)]
struct FormatArg(Option<Format>);

pub(super) const EXAMPLES: &str = "Examples:
  squall captures import access.log access.log.1.gz -o capture.zst
  squall captures import session.har -o capture.zst --response-bodies
  squall captures import flows.mitm -o capture.zst
  squall captures import requests_0.gor.gz requests_1.gor.gz -o capture.zst
  tcpdump -i any -s 0 -w packets.pcap 'tcp port 8080'; squall captures import packets.pcap -o capture.zst
Exchanges of all files are put in order by their start. What is damaged is counted and named by its place.
Secrets (cookies, credentials, passwords, tokens) are replaced by pseudonyms under a key that is thrown away.";

/// Imports, and says what came of it.
pub(super) fn run(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    // every input is looked at before anything is written, but for pipes, which can be read only once
    for file in args.files.iter().filter(|file| !is_pipe(file)) {
        import::open(file)?;
    }
    if args.no_redaction {
        bail!(
            "--no-redaction would write passwords, tokens and cookies to the disk as they are: if you want that, type --record-secrets"
        );
    }
    let policy = args.redact.clone().unwrap_or_default();
    let mut header = FileHeader::new(&source_of(args), now_us());
    let mut redactor = None;
    if !args.record_secrets {
        policy.name().clone_into(&mut header.redaction);
        let with_key = Redactor::with(random_key()?, policy);
        header.key_id = Some(with_key.key_id());
        redactor = Some(with_key);
    }
    let now_us = now_us();
    let writer = Writer::create(&args.output, header, Options::for_import())?;
    let result = import_all(args, writer, redactor.as_mut(), now_us);
    if result.is_err() {
        // the file is ours and holds nothing of use
        let _ = fs::remove_file(&args.output);
    }
    result.map(|()| ExitCode::SUCCESS)
}

fn is_pipe(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir())
}

/// `-` is what comes in.
fn input(text: &str) -> Result<PathBuf, std::convert::Infallible> {
    Ok(PathBuf::from(if text == "-" { "/dev/stdin" } else { text }))
}

fn source_of(args: &ImportArgs) -> String {
    args.format.0.map_or("import".to_owned(), |format| format!("import {}", format.as_str()))
}

fn import_all(
    args: &ImportArgs,
    mut writer: Writer,
    mut redactor: Option<&mut Redactor>,
    now_us: u64,
) -> anyhow::Result<()> {
    let options = ImportOptions { edge: args.edge.clone(), response_bodies: args.response_bodies };
    let mut numbering = Numbering::default();
    let mut progress = Progress::new();
    let mut order = ByTime::default();
    let (mut total, mut is_guess) = (0, false);
    for file in &args.files {
        let (format, tally) =
            import::file(file, args.format.0, &options, &mut numbering, &mut |mut exchange| {
                if let Some(redactor) = &mut redactor {
                    redactor.exchange(&mut exchange);
                }
                progress.step();
                order.push(exchange)
            })?;
        progress.clear();
        complain(format_args!("{}: {}", file.display(), in_words(format, &tally)));
        total += tally.imported;
        // what nothing else fits is taken for a log
        is_guess |= args.format.0.is_none() && format == Format::AccessLog;
        report_damage(&tally);
    }
    if total == 0 {
        let hint = match is_guess {
            true => {
                ": if that is no access log, say what it is with --format; arrival times are for captures synthesize --arrivals"
            }
            false => "",
        };
        bail!("nothing was imported, so {} was not made{hint}", args.output.display());
    }
    order.finish(|exchange| match writer.push(&exchange, now_us) {
        // counted as shed, and said in the summary
        Err(captures::error::Error::TooLarge { .. }) => Ok(()),
        other => other,
    })?;
    let summary = writer.finish(now_us)?;
    let bytes_each = summary.bytes as f64 / summary.exchanges.max(1) as f64;
    complain(format_args!(
        "{}: {} in {}, {} bytes ({bytes_each:.1} a request)",
        args.output.display(),
        count(summary.exchanges, "request"),
        count(summary.sessions, "session"),
        thousands(summary.bytes),
    ));
    for (reason, n) in &summary.shed {
        complain(format_args!("  shed, {reason}: {}", thousands(*n)));
    }
    complain(format_args!("next: squall captures inspect {}", args.output.display()));
    Ok(())
}

fn in_words(format: Format, tally: &Tally) -> String {
    let mut words = format!(
        "{}, {} in {}",
        format.as_str(),
        count(tally.imported, "request"),
        count(tally.sessions, "session")
    );
    if tally.out_of_order != 0 {
        words.push_str(&format!(", {} out of order (now in order)", thousands(tally.out_of_order)));
    }
    for (why, n) in &tally.skipped {
        words.push_str(&format!(", {} skipped ({why})", thousands(*n)));
    }
    for (what, n) in &tally.noted {
        words.push_str(&format!(", {} {what}", thousands(*n)));
    }
    if tally.damaged != 0 {
        words.push_str(&format!(", {} damaged", thousands(tally.damaged)));
    }
    words
}

/// The first few by name; the others as a number.
fn report_damage(tally: &Tally) {
    for damaged in tally.named.iter().take(SHOWN) {
        complain(format_args!("  {}: {}", damaged.place, damaged.why));
    }
    let shown = tally.named.len().min(SHOWN) as u64;
    if shown < tally.damaged {
        complain(format_args!("  and {} more", thousands(tally.damaged - shown)));
    }
}

/// A line that counts, on a terminal only.
struct Progress {
    seen: u64,
    shown: bool,
    terminal: bool,
}

impl Progress {
    fn new() -> Progress {
        Progress { seen: 0, shown: false, terminal: std::io::stderr().is_terminal() }
    }

    fn step(&mut self) {
        self.seen += 1;
        if self.terminal && self.seen.is_multiple_of(PROGRESS_EACH) {
            self.shown = true;
            let _ = write!(std::io::stderr(), "\r{} requests …", thousands(self.seen));
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn parse_format(text: &str) -> Result<FormatArg, String> {
    match text {
        "auto" => Ok(FormatArg(None)),
        other => other.parse().map(|format| FormatArg(Some(format))),
    }
}

fn parse_policy(path: &str) -> Result<Policy, String> {
    Policy::read(Path::new(path)).map_err(|error| error.to_string())
}

/// Thrown away when the import ends: nobody can undo the pseudonyms.
fn random_key() -> anyhow::Result<[u8; 32]> {
    let mut key = [0; 32];
    let mut random = fs::File::open("/dev/urandom").context("cannot make a key for redaction")?;
    random.read_exact(&mut key).context("cannot make a key for redaction")?;
    Ok(key)
}

pub(super) fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// Damaged records that are printed; `MAX_NAMED_DAMAGE` are kept.
const SHOWN: usize = 10;
const PROGRESS_EACH: u64 = 20_000;
