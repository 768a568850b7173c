//! `squall captures cat` and `export`.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use captures::export::{ExportError, Exported, gor, har, mitmproxy, ndjson};
use captures::{Reader, SessionId, seek};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::{complain, count};

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
    /// The file to write, compressed where its name ends in .gz; an existing one is refused. Without it, or `-`: stdout.
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

impl ExportArgs {
    /// The file that is made; `None`: it goes to the standard output.
    pub(super) fn file(&self) -> Option<&Path> {
        self.output.as_deref().filter(|path| path.as_os_str() != "-")
    }
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
    let output = args.file();
    let exported = match output {
        None => write(args.format, reader, &mut BufWriter::new(std::io::stdout().lock()))?,
        Some(path) => {
            let file = OpenOptions::new().write(true).create_new(true).open(path);
            let file = file.map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => captures::error::Error::Exists(path.to_owned()).into(),
                _ => anyhow::Error::new(error).context(format!("cannot create {}", path.display())),
            })?;
            let written = write_file(args.format, reader, file, is_gzip(path));
            if written.is_err() {
                // the file is ours and holds a part of what was wanted
                let _ = fs::remove_file(path);
            }
            written.with_context(|| format!("{} was not made", path.display()))?
        }
    };
    for damage in &exported.damage {
        complain(format_args!("warning: {damage}"));
    }
    if let Some(path) = output {
        complain(format_args!("{}: {}", path.display(), count(exported.exchanges, "exchange")));
    }
    Ok(ExitCode::SUCCESS)
}

fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "gz")
}

fn write_file(
    format: ExportFormat,
    reader: Reader,
    file: File,
    is_gzip: bool,
) -> Result<Exported, ExportError> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    if !is_gzip {
        return write(format, reader, &mut out);
    }
    let mut packed = GzEncoder::new(out, Compression::default());
    let exported = write(format, reader, &mut packed)?;
    // not left to dropping, which says nothing of a full disk
    packed.finish()?.flush()?;
    Ok(exported)
}

fn write(format: ExportFormat, reader: Reader, out: &mut dyn Write) -> Result<Exported, ExportError> {
    match format {
        ExportFormat::Har => har::write(reader, out),
        ExportFormat::Gor => gor::write(reader, out),
        ExportFormat::Mitmproxy => mitmproxy::write(reader, out),
        ExportFormat::Ndjson => ndjson::write(reader, out),
    }
}

pub(super) fn parse_session(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16)
        .map_err(|_| "a session is a number in hexadecimal, as cat prints it".to_owned())
}
