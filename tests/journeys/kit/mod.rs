//! What the journeys share: programs that have ended, replays and what they found, captures made by hand, a shopper, pictures of terminals,
//! and an origin that notes what it meets.

mod captures;
mod finished;
mod picture;
mod replayed;
mod server;
mod shopper;

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use captures::{Step, capture, generated_log};
pub(crate) use finished::Finished;
pub(crate) use picture::picture;
pub(crate) use replayed::Replayed;
pub(crate) use server::{Met, Server, Then, answer};
pub(crate) use shopper::{Shopper, VISIT};

use crate::support::{DEADLINE, squall};

/// A path as an argument.
pub(crate) fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

/// Runs `squall ARGS` to its end.
#[track_caller]
pub(crate) fn run_squall(args: &[&str]) -> Finished {
    Finished::of(squall(args))
}

/// Asks again and again until there is an answer; there is no event to wait for.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The `zstd` of the world, if it is installed.
fn zstd() -> Option<Command> {
    let found = Command::new("zstd").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: zstd is not installed");
    }
    found.then(|| Command::new("zstd"))
}

/// Asserts that a capture is whole, by our own judgement and by that of zstd.
#[track_caller]
pub(crate) fn expect_whole(capture: &Path) {
    run_squall(&["captures", "verify", &text(capture)]).expect(0);
    if let Some(mut zstd) = zstd() {
        zstd.arg("-tq").arg(capture);
        Finished::of(zstd).expect(0);
    }
}

/// `captures inspect --json`.
#[track_caller]
pub(crate) fn inspect(capture: &Path) -> serde_json::Value {
    let shown = run_squall(&["captures", "inspect", "--json", &text(capture)]).expect(0);
    serde_json::from_str(&shown.out).unwrap()
}
