//! Ctrl-C and SIGTERM while a file is made: what was begun is removed, so that its name is free for the next try.

use std::fs;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use super::complain;
use crate::cli::INTERRUPTED;
use crate::cli::stop::{self, Stop};

/// A file that is being made; dropped, it is finished and stays.
pub(super) struct Unfinished(Arc<AtomicBool>);

impl Unfinished {
    /// Listens for signals, on a thread of its own. `None`: there is such a file already, which is not ours.
    pub(super) fn at(path: &Path) -> anyhow::Result<Option<Unfinished>> {
        if path.symlink_metadata().is_ok() {
            return Ok(None);
        }
        let finished = Arc::new(AtomicBool::new(false));
        let (is_finished, path) = (Arc::clone(&finished), path.to_owned());
        let hear = |mut stop: Stop| async move {
            stop.asked().await;
            let line = if std::io::stderr().is_terminal() { "\n" } else { "" };
            match is_finished.load(Ordering::Acquire) {
                false if fs::remove_file(&path).is_ok() => {
                    complain(format_args!("{line}squall: interrupted; {} is removed", path.display()));
                }
                _ => complain(format_args!("{line}squall: interrupted")),
            }
            std::process::exit(INTERRUPTED);
        };
        stop::on_thread(hear).context("cannot listen for signals")?;
        Ok(Some(Unfinished(finished)))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
