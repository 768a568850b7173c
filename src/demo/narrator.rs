//! What the demo says while it goes: a line a step.

use std::fmt::Display;
use std::io::Write;

/// Speaks, or keeps quiet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Narrator {
    quiet: bool,
}

impl Narrator {
    pub(super) fn new(quiet: bool) -> Narrator {
        Narrator { quiet }
    }

    /// A step: who acts, and what is done.
    pub(super) fn step(self, who: &str, what: impl Display) {
        if !self.quiet {
            self.say(format!("{who:<9} {what}").trim_end());
        }
    }

    /// More about the last step.
    pub(super) fn more(self, what: impl Display) {
        self.step("", what);
    }

    /// What is said however quiet it is to be. A listener who left is no reason to stop.
    pub(super) fn say(self, what: impl Display) {
        let _ = writeln!(std::io::stdout(), "{what}");
    }
}
