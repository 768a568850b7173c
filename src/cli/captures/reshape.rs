//! `squall captures slice`, `merge` and `rekey`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use captures::SessionId;
use captures::reshape::{self, Key, Reshaped, Slice};

use super::import::now_us;
use super::{complain, count, thousands};

/// Which part, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct SliceArgs {
    /// The capture.
    capture: PathBuf,
    /// The capture to make; an existing file is refused.
    #[arg(short, long, value_name = "CAPTURE", value_parser = super::new_capture)]
    pub(super) output: PathBuf,
    /// Not before this, counted from the first request: 90s, 5m.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Duration>,
    /// Before this, counted from the first request.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Duration>,
    /// Only these sessions, by their number in hexadecimal; may be repeated.
    #[arg(long, value_name = "SESSION", value_parser = super::show::parse_session)]
    session: Vec<u64>,
    /// Only the first sessions, so many.
    #[arg(long, value_name = "N")]
    first: Option<usize>,
    /// Only this share of the sessions, chosen by hash: 10%. A larger share holds those of a smaller one.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    sample: Option<f64>,
    /// Only this edge.
    #[arg(long, value_name = "NAME")]
    edge: Option<String>,
    /// Only requests whose method and path begin so: 'GET /api', '/api/cart/{id}'. Sessions lose the other steps.
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,
    /// Leave out what a fault touched.
    #[arg(long)]
    organic: bool,
}

/// Which captures, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct MergeArgs {
    /// The captures.
    #[arg(required = true, num_args = 2.., value_name = "CAPTURE")]
    captures: Vec<PathBuf>,
    /// The capture to make; an existing file is refused.
    #[arg(short, long, value_name = "CAPTURE", value_parser = super::new_capture)]
    pub(super) output: PathBuf,
    /// Sessions of equal number in several captures are the same users: proxies of one service with one redaction key.
    #[arg(long)]
    same_sessions: bool,
}

/// Which capture, by which keys, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct RekeyArgs {
    /// The capture.
    capture: PathBuf,
    /// What tells users apart, best first, as for the proxy's --session-key; may be repeated: cookie:NAME, header:NAME, jwt:CLAIM, query:NAME, client,
    /// connection, session. Of several keys the first that a request has names its session.
    #[arg(long = "by", value_name = "KEY[,KEY...]", required = true, value_delimiter = ',')]
    keys: Vec<Key>,
    /// The capture to make; an existing file is refused.
    #[arg(short, long, value_name = "CAPTURE", value_parser = super::new_capture)]
    pub(super) output: PathBuf,
}

/// Writes a part.
pub(super) fn slice(args: &SliceArgs) -> anyhow::Result<ExitCode> {
    let micros =
        |time: Option<Duration>| time.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    let slice = Slice {
        from_us: micros(args.from),
        to_us: micros(args.to),
        sessions: (!args.session.is_empty()).then(|| args.session.iter().copied().map(SessionId).collect()),
        first_sessions: args.first,
        share: args.sample,
        edge: args.edge.clone(),
        route: args.route.clone(),
        organic: args.organic,
    };
    let done = reshape::slice(&args.capture, &args.output, &slice, now_us())?;
    tell(&done, &args.output);
    Ok(ExitCode::SUCCESS)
}

/// Writes several as one.
pub(super) fn merge(args: &MergeArgs) -> anyhow::Result<ExitCode> {
    let done = reshape::merge(&args.captures, &args.output, args.same_sessions, now_us())?;
    tell(&done, &args.output);
    Ok(ExitCode::SUCCESS)
}

/// Writes one with other sessions.
pub(super) fn rekey(args: &RekeyArgs) -> anyhow::Result<ExitCode> {
    let (done, named) = reshape::rekey(&args.capture, &args.output, &args.keys, now_us())?;
    let names =
        args.keys.iter().map(ToString::to_string).chain(["none of them: left as recorded".to_owned()]);
    for (key, n) in names.zip(named) {
        complain(format_args!("  {key}: {}", count(n, "request")));
    }
    tell(&done, &args.output);
    Ok(ExitCode::SUCCESS)
}

/// What the new capture holds, and what it lacks.
fn tell(done: &Reshaped, output: &Path) {
    for (file, damage) in &done.damage {
        complain(format_args!("{}: {damage}", file.display()));
    }
    for (reason, n) in &done.written.shed {
        complain(format_args!("  shed, {reason}: {}", thousands(*n)));
    }
    complain(format_args!(
        "{}: {} in {}, of {} read",
        output.display(),
        count(done.written.exchanges, "request"),
        count(done.written.sessions, "session"),
        thousands(done.read),
    ));
    if done.written.exchanges == 0 {
        complain("nothing was left: squall captures inspect tells what the capture holds");
    }
}

fn time(text: &str) -> Result<Duration, String> {
    replayer::units::duration(text)
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    let share = number.map(|percent| percent / 100.0).filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "write a share with its percent sign: 10%".to_owned())
}

pub(super) const SLICE_EXAMPLES: &str = "Examples:
  squall captures slice capture.zst -o lunch.zst --from 10m --to 25m
  squall captures slice capture.zst -o one.zst --session 3f2a
  squall captures slice capture.zst -o small.zst --sample 5%
The exchanges stay what they are; several conditions must all hold. What is damaged is passed
over and named.";

pub(super) const MERGE_EXAMPLES: &str = "Examples:
  squall captures merge monday.zst tuesday.zst -o both.zst
  squall captures merge proxy-1.zst proxy-2.zst -o all.zst --same-sessions
The exchanges stay what they are. Sessions and connections of different captures stay apart,
unless --same-sessions says otherwise. What is damaged is passed over and named.";

pub(super) const REKEY_EXAMPLES: &str = "Examples:
  squall captures rekey capture.zst --by cookie:sid --by connection -o by-user.zst
  squall captures rekey api.zst --by jwt:sub --by header:x-api-key -o by-user.zst
Only the sessions change; says how many requests each key named. Requests with none of the keys
stay in the session they were recorded in. What is damaged is passed over and named.";
