//! Commands of the user's that are run at the ends of a window: freeze a process, fail a disk.

use std::time::Duration;

use crate::rule::Window;

/// A pair of commands. The proxy runs them only where it was started with `--allow-hooks`, and undoes what it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Unique among rules and hooks.
    pub id: String,
    /// When the fault that the commands make lasts.
    pub window: Window,
    /// Program and arguments, run when the window opens; no shell.
    pub start: Vec<String>,
    /// Run when it closes, and in any case before the proxy ends, once `start` was run; empty: nothing is to be undone.
    pub end: Vec<String>,
    /// A command that takes longer is killed; 10 s unless said.
    pub timeout: Duration,
    /// What must stay true meanwhile: place in [`crate::RuleSet::guards`].
    pub guard: Option<usize>,
    /// Line in the file, from 1.
    pub line: u32,
}

impl Hook {
    /// The hook in one line, for people.
    #[must_use]
    pub fn explain(&self) -> String {
        crate::explain::hook(self)
    }
}
