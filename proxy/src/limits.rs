//! What clients may take of the proxy: connections, streams, time and memory. And how often a bound was met.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::Error;
use crate::cli::{bytes, duration};

/// The bounds of one proxy. The same words are its flags.
///
/// What one connection may hold, whatever its client does: on HTTP/1 its header, what it sent ahead of its turn (64 KB)
/// and what waits to be written to it (80 KB); on HTTP/2 a window of 64 KB for what it sends, a header list for each
/// stream, and 64 KB for each stream that it does not read.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// At most so many client connections; further clients wait in the kernel's queue [default: seven eighths of the
    /// open files that the system allows, since upstreams need files too].
    #[arg(long, value_name = "N")]
    pub max_connections: Option<usize>,
    /// At most so many requests at once on an HTTP/2 connection.
    #[arg(long, value_name = "N", default_value_t = MAX_STREAMS)]
    pub max_streams: u32,
    /// A request's header may be so large; a larger one is answered 431.
    #[arg(long, value_name = "SIZE", default_value = "64KB", value_parser = bytes)]
    pub max_header: usize,
    /// While more than this waits in memory to be written or read, new connections wait in the kernel's queue. Faults
    /// hold answers on HTTP/2 back in seven eighths of it, then let them pass.
    #[arg(long, value_name = "SIZE", default_value = "256MB", value_parser = bytes)]
    pub max_buffered: usize,
    /// A request's header must be whole so long after its first byte; else it is answered 408.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub header_timeout: Duration,
    /// A client may pause so long inside a request's body. On HTTP/2 it is the upstream's time that ends such a pause.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub body_timeout: Duration,
    /// A client may take nothing of its answer for so long; on HTTP/2 it must take 64 KB of a stream in that time.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub send_timeout: Duration,
    /// What a client gets that closes its sending side after a request, on HTTP/1: the answer, or nothing, since it looks
    /// like one that left.
    #[arg(long, value_enum, default_value_t = HalfClose::Abort)]
    pub half_close: HalfClose,
}

/// What becomes of the request of a client that has closed its sending side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HalfClose {
    /// It is answered. That the client left altogether shows only when the answer is written.
    Deliver,
    /// It is given up, and booked as a client that left.
    Abort,
}

/// A bound that was met, or something that the way to the client cannot carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Met {
    Connections,
    Buffered,
    HeaderTime,
    HeaderSize,
    BodyTime,
    SendTime,
    Idle,
    OpenFiles,
    Malformed,
    LostInterim,
    LostTrailers,
}

/// How often each was met.
#[derive(Debug, Default)]
pub(crate) struct Meets([AtomicU64; NAMES.len()]);

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_connections: None,
            max_streams: MAX_STREAMS,
            max_header: 64_000,
            max_buffered: 256_000_000,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            half_close: HalfClose::Abort,
        }
    }
}

impl Limits {
    /// Checks what does not need the machine.
    ///
    /// # Errors
    /// A bound that nothing could pass, or that is none.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |text: &str| Err(Error::Config(text.to_owned()));
        if self.max_connections == Some(0) {
            return wrong(
                "--max-connections 0: nobody could connect; leave it out for as many as there are files",
            );
        }
        if !(1..=MOST_STREAMS).contains(&self.max_streams) {
            return wrong("--max-streams wants 1 to 1000");
        }
        if !(LEAST_HEADER..=MOST_HEADER).contains(&self.max_header) {
            return wrong("--max-header wants 1KB to 1MB");
        }
        if self.max_buffered < LEAST_BUFFERED {
            return wrong("--max-buffered wants 1MB or more");
        }
        let times = [self.header_timeout, self.body_timeout, self.send_timeout];
        if times.iter().any(|time| time.is_zero() || LONGEST < *time) {
            return wrong(
                "--header-timeout, --body-timeout and --send-timeout want more than 0s, and at most 365d",
            );
        }
        Ok(())
    }
}

impl Meets {
    pub(crate) fn note(&self, met: Met) {
        self.0[met as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Each by its name: bounds first, then losses.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        NAMES.iter().zip(&self.0).map(|(name, count)| (*name, count.load(Ordering::Relaxed)))
    }
}

/// Has the process, or the system, no descriptor left? Others will give theirs back.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// In the order of [`Met`].
const NAMES: [&str; 11] = [
    "connections",
    "buffered",
    "header_timeout",
    "header_size",
    "body_timeout",
    "send_timeout",
    "idle_timeout",
    "open_files",
    "malformed",
    "lost_interim",
    "lost_trailers",
];

const MAX_STREAMS: u32 = 256;
/// The frame layer remembers twice as many streams that were reset.
const MOST_STREAMS: u32 = 1000;
const LEAST_HEADER: usize = 1000;
/// Pingora reads no header that is larger.
const MOST_HEADER: usize = 1_000_000;
const LEAST_BUFFERED: usize = 1_000_000;
/// Longer times do not fit the timers.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        limits: Limits,
    }

    fn parse(line: &str) -> Result<Limits, String> {
        let line = Line::try_parse_from(std::iter::once("squall").chain(line.split_whitespace()));
        let limits = line.map_err(|error| error.to_string())?.limits;
        limits.check().map_err(|error| error.to_string())?;
        Ok(limits)
    }

    #[test]
    fn no_flag_means_the_defaults() {
        assert_eq!(parse(""), Ok(Limits::default()));
    }

    #[test]
    fn flags_say_what_they_mean() {
        let limits = parse("--max-connections 5 --max-header 8KB --header-timeout 2s --half-close deliver");
        let expect = Limits {
            max_connections: Some(5),
            max_header: 8000,
            header_timeout: Duration::from_secs(2),
            half_close: HalfClose::Deliver,
            ..Limits::default()
        };
        assert_eq!(limits, Ok(expect));
    }

    #[test]
    fn bounds_that_let_nothing_pass_are_refused_by_name() {
        let check = |line: &str| {
            let error = parse(line).expect_err(line);
            let flag = line.split(' ').next().unwrap_or_default();
            assert!(error.contains(flag), "{line}: {error}");
        };
        check("--max-connections 0");
        check("--max-streams 0");
        check("--max-streams 1001");
        check("--max-header 10B");
        check("--max-header 2MB");
        check("--max-buffered 1KB");
        check("--header-timeout 0s");
        check("--body-timeout 5");
        check("--send-timeout 0s");
        check("--header-timeout 500d");
        check("--half-close maybe");
    }
}
