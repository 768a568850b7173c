//! The flags of `squall proxy` that are about recording.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use captures::header::Options;
use captures::redact::Policy;
use captures::session_key::Key;

use super::Rotation;
use super::policy::{RecordBodies, body_limit};
use crate::Config;
use crate::cli::{bytes, duration};

/// How `squall proxy` records.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Recording")]
pub(crate) struct RecordingArgs {
    /// Record to this capture; an existing one is continued.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Record replayed traffic as well.
    #[arg(long, requires = "record")]
    record_replays: bool,
    /// Bodies of requests and of answers: none (their length), digest (length and hash), leaves:SIZE (of answers: digest,
    /// and keyed prints of the values in the first bytes, 64KB where left open, by which links to later requests are found),
    /// head:SIZE (the first bytes), full:SIZE (all of it; of a larger one length and hash). With full all headers of answers
    /// are recorded, else those that a replay may need. What clients say over a WebSocket is recorded as their requests are.
    #[arg(long, value_name = "[request=POLICY,][response=POLICY]", default_value_t, requires = "record")]
    record_bodies: RecordBodies,
    /// The size where --record-bodies leaves it open. Requests are kept for rules that send them again up to it, too.
    #[arg(long, value_name = "SIZE", default_value = "1MB", value_parser = body_limit)]
    body_limit: usize,
    /// What tells one user from another, best first: cookie:NAME, header:NAME, jwt:CLAIM (of a bearer token), query:NAME,
    /// client (address and agent), connection. The first that a request has names its session, else its connection does; who
    /// was given the cookie is who brings it back. [default: any cookie that an answer set, else one named like a session's
    /// (...sid, ...sess...), else the connection]
    #[arg(long, value_name = "KEY[,KEY...]", value_delimiter = ',', value_parser = session_key)]
    session_key: Vec<Key>,
    /// Redact what this TOML file names beside what always is: names, patterns, json; and not what it names as allow
    /// (captures/FORMAT.md has the keys).
    #[arg(long, value_name = "FILE", requires = "record", value_parser = policy)]
    redact: Option<Policy>,
    /// Write passwords, tokens, cookies, cards and addresses as they are. Without it they are replaced by pseudonyms under a
    /// key that is never written (SQUALL_REDACTION_KEY, else random).
    #[arg(long, requires = "record", conflicts_with = "redact")]
    record_secrets: bool,
    /// Refused: what it would do is spelled out.
    #[arg(long, hide = true)]
    no_redaction: bool,
    /// Begin the next file (capture-0001.zst, …) when one is this large. SIGUSR2 begins it at once.
    #[arg(long, value_name = "SIZE", requires = "record", value_parser = file_size)]
    rotate_size: Option<u64>,
    /// Begin the next file when one is this old.
    #[arg(long, value_name = "TIME", requires = "record", value_parser = duration)]
    rotate_time: Option<Duration>,
    /// Keep the newest files of the recording, this much together, and remove older ones: always-on recording.
    #[arg(long, value_name = "SIZE", requires = "record", value_parser = file_size)]
    ring: Option<u64>,
    /// A block is written when it is this old: with what waits for the writer (`queued_bytes` in /status), what a crash costs
    /// at most.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    block_time: Duration,
    /// A block is written when it holds this much before compression.
    #[arg(long, value_name = "SIZE", default_value = "1MB", value_parser = file_size)]
    block_size: u64,
    /// Wait for the disk (fdatasync) after so many blocks; 0: only when a file is closed, so that a power cut may cost what
    /// the kernel had not written yet.
    #[arg(long, value_name = "BLOCKS", default_value_t = 0)]
    sync_blocks: u32,
}

impl RecordingArgs {
    /// Fills in what the flags say.
    ///
    /// # Errors
    /// `--no-redaction`, which does not say what it does.
    pub(crate) fn apply(self, config: &mut Config) -> anyhow::Result<()> {
        if self.no_redaction {
            bail!(
                "--no-redaction would write passwords, tokens and cookies to the disk as they are: if you want that, type --record-secrets"
            );
        }
        config.session_keys = self.session_key;
        config.redaction = (!self.record_secrets).then(|| self.redact.unwrap_or_default());
        config.record = self.record;
        config.record_replays = self.record_replays;
        config.record_bodies = self.record_bodies;
        config.body_limit = self.body_limit;
        config.rotation = Rotation { size: self.rotate_size, age: self.rotate_time, ring: self.ring };
        config.blocks = Options {
            block_bytes: usize::try_from(self.block_size).unwrap_or(usize::MAX),
            block_age_us: crate::time::micros(self.block_time),
            sync_blocks: self.sync_blocks,
            ..Options::default()
        };
        Ok(())
    }
}

fn session_key(text: &str) -> Result<Key, String> {
    match text.trim().parse() {
        Ok(Key::Session) => Err("`session` is for captures rekey: a recording has none yet".to_owned()),
        Ok(key) => Ok(key),
        Err(error) => Err(error.to_string()),
    }
}

fn policy(path: &str) -> Result<Policy, String> {
    Policy::read(Path::new(path)).map_err(|error| error.to_string())
}

/// A size above zero.
fn file_size(text: &str) -> Result<u64, String> {
    match bytes(text)? {
        0 => Err("a size above zero: 256MB".to_owned()),
        size => Ok(size as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_units_and_bodies_stay_small() {
        assert_eq!(
            (file_size("64KB"), body_limit("0B"), body_limit("64KB")),
            (Ok(64_000), Ok(0), Ok(64_000))
        );
        assert!(file_size("64").is_err() && file_size("0MB").is_err());
        assert!(body_limit("64").is_err() && body_limit("1GB").is_err() && body_limit("17MB").is_err());
    }
}
