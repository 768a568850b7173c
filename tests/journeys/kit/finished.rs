//! A program that has ended.

use std::process::Command;

use crate::support::Process;

/// What it said, and how it ended.
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Finished {
    /// Runs a program to its end.
    #[track_caller]
    pub(crate) fn of(command: Command) -> Finished {
        let name = format!("{:?}", command.get_program());
        Finished::after(Process::start(&name, command))
    }

    /// Waits for the end of a program that runs.
    #[track_caller]
    pub(crate) fn after(mut process: Process) -> Finished {
        let status = process.wait();
        let log = process.log();
        let of = |wanted: bool| {
            let lines = log.lines().filter(|line| line.starts_with(ERRORS) == wanted);
            lines.map(|line| format!("{}\n", line.strip_prefix(ERRORS).unwrap_or(line))).collect()
        };
        Finished { code: status.code(), out: of(false), err: of(true) }
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Finished {
        assert_eq!(self.code, Some(code), "out:\n{}\nerr:\n{}", self.out, self.err);
        self
    }

    /// Asserts that a replay passed. On a machine that is busy with other tests the generator may have been late, which has
    /// a code of its own.
    #[track_caller]
    pub(crate) fn expect_passed(self) -> Finished {
        let late = self.code == Some(111) && self.out.contains("the generator was late");
        self.expect(if late { 111 } else { 0 })
    }

    /// Asserts that it ended with this code and said all of these words, anywhere.
    #[track_caller]
    pub(crate) fn expect_words(self, code: i32, words: &[&str]) -> Finished {
        let finished = self.expect(code);
        let said = format!("{}{}", finished.out, finished.err);
        for word in words {
            assert!(said.contains(word), "`{word}` is not in:\n{said}");
        }
        finished
    }
}

/// How the harness marks the lines of the standard error.
const ERRORS: &str = "! ";
