//! What the demo says while it goes: a line a step.
#![allow(clippy::print_stdout, reason = "the narration is what the command is for")]

use std::fmt::Display;

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
            println!("{who:<9} {what}");
        }
    }

    /// More about the last step.
    pub(super) fn more(self, what: impl Display) {
        self.step("", what);
    }

    /// What is said however quiet it is to be.
    pub(super) fn say(self, what: impl Display) {
        println!("{what}");
    }
}
