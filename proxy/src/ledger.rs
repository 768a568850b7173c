//! Every fault is one line: what was asked, what was done, how long it took.
//!
//! Written off the data path: exchanges hand their lines to a bounded queue, a thread writes them. What does
//! not fit is counted as lost, never waited for.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError, TrySendError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;

use crate::Error;
use crate::sync::lock;

/// One line of the ledger (JSON Lines). Times in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Line {
    /// When the exchange began, since 1970-01-01 UTC.
    pub(crate) t_us: u64,
    pub(crate) edge: Arc<str>,
    /// Session key, without the run tag.
    pub(crate) session: String,
    pub(crate) op: String,
    pub(crate) attempt: u32,
    pub(crate) rule: Arc<str>,
    pub(crate) action: &'static str,
    /// What the rule asked for, in its own words.
    pub(crate) asked: String,
    /// Whether it was done.
    pub(crate) applied: bool,
    /// How long the fault took.
    pub(crate) actual_us: u64,
    /// Why it was not done.
    pub(crate) suppressed: Option<&'static str>,
    /// How a command ended; of hooks only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<String>,
    /// The replay it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<Arc<str>>,
}

/// The way to the ledger; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    tail: Mutex<VecDeque<Arc<Line>>>,
    lost: AtomicU64,
    lines: AtomicU64,
}

#[derive(Debug)]
enum Message {
    Line(Box<Line>),
    Flush(SyncSender<()>),
    Stop,
}

/// The thread behind a [`Ledger`].
#[derive(Debug)]
pub(crate) struct Writing {
    ledger: Ledger,
    thread: Option<JoinHandle<()>>,
}

impl Ledger {
    /// Starts the ledger; with a file, lines are appended to it.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub(crate) fn start(file: Option<&Path>) -> Result<(Ledger, Writing), Error> {
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.map_err(|source| Error::File { path: path.to_owned(), source })
        };
        let file = file.map(open).transpose()?;
        let (queue, lines) = mpsc::sync_channel(QUEUE);
        let shared = Arc::<Shared>::default();
        let ledger = Ledger { queue, shared: shared.clone() };
        let thread = std::thread::Builder::new()
            .name("squall-ledger".into())
            .spawn(move || write(&lines, &shared, file.map(BufWriter::new)))
            .map_err(Error::Thread)?;
        let writing = Writing { ledger: ledger.clone(), thread: Some(thread) };
        Ok((ledger, writing))
    }

    /// Notes a fault; never waits.
    pub(crate) fn note(&self, line: Line) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.queue.try_send(Message::Line(Box::new(line)))
        {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was noted before is in the file and in the tail.
    pub(crate) fn settle(&self) {
        let (done, wait) = mpsc::sync_channel(1);
        if self.queue.send(Message::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(SETTLE_LIMIT);
        }
    }

    /// Lines that did not fit the queue or could not be written.
    pub(crate) fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Lines written.
    pub(crate) fn lines(&self) -> u64 {
        self.shared.lines.load(Ordering::Relaxed)
    }

    /// The newest lines behind the `after`-th, oldest first, at most `n`, of one replay or of all; and how many lines there
    /// were up to now.
    pub(crate) fn tail(&self, run: Option<&str>, after: u64, n: usize) -> (Vec<Arc<Line>>, u64) {
        let tail = lock(&self.shared.tail);
        let lines = self.lines();
        let of_run = |line: &&Arc<Line>| run.is_none_or(|run| line.run.as_deref() == Some(run));
        let behind = usize::try_from(lines.saturating_sub(after)).unwrap_or(usize::MAX);
        let mut newest: Vec<_> = tail.iter().rev().take(behind).filter(of_run).take(n).cloned().collect();
        newest.reverse();
        (newest, lines)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let _ = self.ledger.queue.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write(lines: &Receiver<Message>, shared: &Shared, mut file: Option<BufWriter<File>>) {
    loop {
        // Looked for, not waited for: waking a waiting thread would cost each line a system call.
        match lines.try_recv() {
            Ok(Message::Line(line)) => {
                if let Some(file) = &mut file
                    && let Err(error) = write_line(file, &line)
                {
                    shared.lost.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(%error, "ledger line lost");
                }
                let mut tail = lock(&shared.tail);
                if tail.len() == TAIL {
                    tail.pop_front();
                }
                tail.push_back(Arc::from(line));
                shared.lines.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Message::Flush(done)) => {
                flush(&mut file);
                let _ = done.try_send(());
            }
            Err(TryRecvError::Empty) => {
                flush(&mut file);
                std::thread::sleep(PAUSE);
            }
            Ok(Message::Stop) | Err(TryRecvError::Disconnected) => return flush(&mut file),
        }
    }
}

fn write_line(file: &mut BufWriter<File>, line: &Line) -> std::io::Result<()> {
    serde_json::to_writer(&mut *file, line)?;
    file.write_all(b"\n")
}

fn flush(file: &mut Option<BufWriter<File>>) {
    if let Some(Err(error)) = file.as_mut().map(Write::flush) {
        tracing::warn!(%error, "ledger not written");
    }
}

/// Lines waiting for the writer: about 80 MB at the worst.
const QUEUE: usize = 256 * 1024;
/// Lines kept in memory for the admin API.
const TAIL: usize = 10_000;
const PAUSE: Duration = Duration::from_millis(5);
const SETTLE_LIMIT: Duration = Duration::from_secs(2);
