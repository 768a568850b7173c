//! One command of the user's: no shell, a time limit, a bounded look at what it prints.

use std::io::{PipeReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::sync::lock;

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) outcome: Outcome,
    pub(crate) took: Duration,
    /// The first [`OUTPUT`] bytes of what it printed, on either channel.
    pub(crate) output: String,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Exit(i32),
    /// Ended by this signal.
    Signal(i32),
    /// Killed by us, with all that it had started.
    TimedOut(Duration),
    /// Why it could not be run.
    NotStarted(String),
}

impl Outcome {
    pub(crate) fn is_success(&self) -> bool {
        *self == Outcome::Exit(0)
    }

    pub(crate) fn in_words(&self) -> String {
        match self {
            Outcome::Exit(code) => format!("exit {code}"),
            Outcome::Signal(signal) => format!("killed by signal {signal}"),
            Outcome::TimedOut(limit) => format!("timed out after {limit:?}"),
            Outcome::NotStarted(why) => format!("not started: {why}"),
        }
    }
}

/// Runs a command to its end, or to the end of its time. It has a process group of its own, so that a Ctrl-C meant for the proxy
/// does not end it, and so that it is killed with all that it started.
pub(crate) fn run(words: &[String], limit: Duration) -> Ran {
    let begun = Instant::now();
    let (outcome, output) = match spawn(words) {
        Ok((mut child, output)) => {
            let outcome = wait(&mut child, begun + limit).unwrap_or(Outcome::TimedOut(limit));
            (outcome, output.take())
        }
        Err(error) => (Outcome::NotStarted(error.to_string()), String::new()),
    };
    Ran { outcome, took: begun.elapsed(), output }
}

fn spawn(words: &[String]) -> std::io::Result<(Child, Output)> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(std::io::Error::other("there is no program"));
    };
    let (reader, writer) = std::io::pipe()?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    let child = command.spawn()?;
    drop(command); // it holds our ends of the pipe
    Ok((child, Output::of(reader)?))
}

/// `None`: its time was over, and it was killed.
pub(super) fn wait(child: &mut Child, until: Instant) -> Option<Outcome> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(of_status(status)),
            Ok(None) if Instant::now() < until => std::thread::sleep(POLL),
            Ok(None) => break,
            Err(error) => return Some(Outcome::NotStarted(error.to_string())),
        }
    }
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw)
        && let Err(error) = kill_process_group(group, Signal::KILL)
    {
        tracing::debug!(%error, "a command that is over time is gone already");
    }
    // it has been killed: this returns at once
    let _ = child.wait();
    None
}

fn of_status(status: ExitStatus) -> Outcome {
    match (status.code(), status.signal()) {
        (Some(code), _) => Outcome::Exit(code),
        (None, Some(signal)) => Outcome::Signal(signal),
        (None, None) => Outcome::NotStarted(status.to_string()),
    }
}

/// What a command prints, read on a thread of its own until everybody who could print is gone: a command that leaves something
/// running behind must not block, nor be killed by a closed pipe.
struct Output {
    kept: Arc<Mutex<Vec<u8>>>,
    thread: std::thread::JoinHandle<()>,
}

impl Output {
    fn of(mut reader: PipeReader) -> std::io::Result<Output> {
        let kept = Arc::<Mutex<Vec<u8>>>::default();
        let mine = kept.clone();
        let thread = std::thread::Builder::new().name("squall-hook-out".into()).spawn(move || {
            let mut piece = [0; 1024];
            while let Ok(n @ 1..) = reader.read(&mut piece) {
                let mut kept = lock(&mine);
                let room = OUTPUT.saturating_sub(kept.len()).min(n);
                kept.extend_from_slice(&piece[..room]);
            }
        })?;
        Ok(Output { kept, thread })
    }

    /// All of it where the last writer is gone within [`LAST_WORDS`], else what there is.
    fn take(self) -> String {
        let until = Instant::now() + LAST_WORDS;
        while !self.thread.is_finished() && Instant::now() < until {
            std::thread::sleep(POLL);
        }
        String::from_utf8_lossy(&lock(&self.kept)).trim_end().to_owned()
    }
}

const POLL: Duration = Duration::from_millis(5);
const LAST_WORDS: Duration = Duration::from_millis(250);
/// Bytes of output that are kept and logged.
const OUTPUT: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn sh(script: &str, limit: Duration) -> Ran {
        run(&words(&["sh", "-c", script]), limit)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn endings_are_told_apart() {
        assert_eq!(sh("exit 0", LONG).outcome, Outcome::Exit(0));
        assert_eq!(sh("exit 7", LONG).outcome, Outcome::Exit(7));
        assert_eq!(sh("kill -9 $$", LONG).outcome, Outcome::Signal(9));
        let missing = run(&words(&["/no/such/program"]), LONG).outcome;
        assert!(matches!(missing, Outcome::NotStarted(_)) && !missing.is_success(), "{missing:?}");
        assert!(matches!(run(&[], LONG).outcome, Outcome::NotStarted(_)));
    }

    #[test]
    fn no_shell_reads_the_words() {
        assert_eq!(run(&words(&["echo", "$HOME", ";", "*"]), LONG).output, "$HOME ; *");
    }

    #[test]
    fn what_is_over_time_is_killed_with_its_children() {
        let ran = sh("sleep 1000 & echo $!; wait", Duration::from_millis(300));
        assert_eq!(ran.outcome, Outcome::TimedOut(Duration::from_millis(300)));
        let grandchild = ran.output;
        let alive = || std::path::Path::new(&format!("/proc/{grandchild}/exe")).read_link().is_ok();
        let until = Instant::now() + LONG;
        while alive() {
            assert!(Instant::now() < until, "{grandchild} lives");
            std::thread::sleep(POLL);
        }
    }

    #[test]
    fn output_is_bounded_and_blocks_nobody() {
        let ran = sh("yes | head -c 1000000; echo end >&2", LONG);
        assert_eq!((ran.outcome, ran.output.len() <= OUTPUT), (Outcome::Exit(0), true));
        assert_eq!(sh("echo out; echo err >&2", LONG).output, "out\nerr");
    }

    #[test]
    fn what_a_command_leaves_running_does_not_hold_it_up() {
        let ran = sh("sleep 30 & echo $!", LONG);
        assert_eq!(ran.outcome, Outcome::Exit(0));
        assert!(ran.took < Duration::from_secs(20), "{:?}", ran.took);
        run(&words(&["kill", &ran.output]), LONG);
    }
}
