//! A child process: its lines are kept, it is killed with its owner, and a failing test shows what it said.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::DEADLINE;

/// A running program.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: Arc<Log>,
}

impl Process {
    /// Starts a program without an input; what it prints becomes the log.
    pub(crate) fn start(name: &str, mut command: Command) -> Process {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let log = Arc::new(Log::default());
        log.follow("", child.stdout.take().expect("the output is piped"));
        log.follow("! ", child.stderr.take().expect("the errors are piped"));
        Process { name: name.to_owned(), child, log }
    }

    /// The first line, already printed or still to come, in which `find` sees something.
    pub(crate) fn wait_for<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        let mut read = 0;
        let mut lines = self.log.lock();
        loop {
            let found = lines.said[read..].iter().find_map(|line| find(line));
            read = lines.said.len();
            let left = deadline.saturating_duration_since(Instant::now());
            match found {
                Some(found) => return found,
                None if lines.open == 0 => panic!("{} ended before {what}", self.name),
                None if left.is_zero() => panic!("{} did not get to {what} in {DEADLINE:?}", self.name),
                None => lines = self.log.wait(lines, left),
            }
        }
    }

    /// All lines so far, those of the standard error after a `! `.
    pub(crate) fn log(&self) -> String {
        self.log.lock().said.join("\n")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, as in `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().expect("there is a shell");
        assert!(sent.success(), "cannot send {signal} to {}", self.name);
    }

    /// Waits until the program has ended by itself and said its last word.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        let mut lines = self.log.lock();
        while lines.open != 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} did not end in {DEADLINE:?}", self.name);
            lines = self.log.wait(lines, left);
        }
        drop(lines);
        self.child.wait().expect("a child can be waited for")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // it may have ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- {} said:\n{}\n---", self.name, self.log());
        }
    }
}

/// Everything a process printed, and a bell for who waits for more.
#[derive(Default)]
struct Log {
    lines: Mutex<Lines>,
    grew: Condvar,
}

#[derive(Default)]
struct Lines {
    said: Vec<String>,
    /// Outputs that have not ended.
    open: usize,
}

impl Log {
    fn follow(self: &Arc<Self>, mark: &'static str, output: impl Read + Send + 'static) {
        self.lock().open += 1;
        let log = Arc::clone(self);
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|n| n != 0) {
                let text = String::from_utf8_lossy(&line);
                log.lock().said.push(format!("{mark}{}", text.trim_end()));
                log.grew.notify_all();
                line.clear();
            }
            log.lock().open -= 1;
            log.grew.notify_all();
        });
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, lines: MutexGuard<'a, Lines>, left: std::time::Duration) -> MutexGuard<'a, Lines> {
        self.grew
            .wait_timeout(lines, left)
            .map_or_else(|poisoned| poisoned.into_inner().0, |(lines, _)| lines)
    }
}
