//! A replay that has ended, and what its run.json says.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{Finished, text};
use crate::support::{Process, replay};

/// A finished replay.
pub(crate) struct Replayed {
    pub(crate) finished: Finished,
    pub(crate) json: Value,
}

impl Replayed {
    /// `replay CAPTURE ARGS --json …`, run to its end.
    #[track_caller]
    pub(crate) fn of(capture: &Path, args: &[&str]) -> Replayed {
        let folder = TempDir::new().unwrap();
        let json = folder.path().join("run.json");
        Replayed::read(Finished::of(Replayed::command(capture, args, &json)), &json)
    }

    /// The same, still running.
    pub(crate) fn start(capture: &Path, args: &[&str], json: &Path) -> Process {
        Process::start("replay", Replayed::command(capture, args, json))
    }

    #[track_caller]
    pub(crate) fn read(finished: Finished, json: &Path) -> Replayed {
        let written = std::fs::read_to_string(json).unwrap_or_default();
        let json = serde_json::from_str(&written).unwrap_or_else(|error| {
            panic!("no run.json ({error}), out:\n{}\nerr:\n{}", finished.out, finished.err)
        });
        Replayed { finished, json }
    }

    fn command(capture: &Path, args: &[&str], json: &Path) -> Command {
        let mut command = replay(args);
        command.arg("--json").arg(json).arg(text(capture));
        command
    }

    /// Asserts that the run passed. On a machine that is busy with other tests the generator may have been late; it says
    /// so by a code of its own, and nothing else may be wrong then.
    #[track_caller]
    pub(crate) fn expect_passed(self) -> Replayed {
        let degraded = self.json["generator"]["degraded"].as_array().unwrap();
        let only_late = degraded.iter().all(|why| why.as_str().unwrap().contains("was late"));
        let code = if only_late && !degraded.is_empty() { 111 } else { 0 };
        self.expect_code(code)
    }

    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Replayed {
        let Replayed { finished, json } = self;
        let finished = finished.expect(code);
        assert_eq!(json["exit_code"], code);
        Replayed { finished, json }
    }

    /// A number by its place, as in `/requests/sent`; absent counts as 0.
    #[track_caller]
    pub(crate) fn n(&self, place: &str) -> u64 {
        self.json
            .pointer(place)
            .map_or(0, |value| value.as_u64().unwrap_or_else(|| panic!("{place}: {value}")))
    }

    /// All numbers of an object, summed.
    #[track_caller]
    pub(crate) fn sum(&self, place: &str) -> u64 {
        let object = self.json.pointer(place).and_then(Value::as_object);
        let object = object.unwrap_or_else(|| panic!("no {place} in {:#}", self.json));
        object.values().map(|n| n.as_u64().unwrap()).sum()
    }

    /// Asserts that exactly `n` were sent and answered.
    #[track_caller]
    pub(crate) fn expect_answered(self, n: u64) -> Replayed {
        assert_eq!((self.n("/requests/sent"), self.n("/requests/answered")), (n, n), "{}", self.finished.out);
        self
    }

    /// Asserts that every row of the books was observed on both sides and holds.
    #[track_caller]
    pub(crate) fn expect_balanced(self) -> Replayed {
        for row in self.rows() {
            assert_eq!(row["state"], "balanced", "{row} in\n{}\n{}", self.finished.out, self.finished.err);
        }
        assert_eq!((self.rows().len(), &self.json["books"]["balanced"]), (8, &Value::Bool(true)));
        self
    }

    /// Asserts that no row is off; rows that nobody observed are unknown.
    #[track_caller]
    pub(crate) fn expect_not_off(self) -> Replayed {
        assert!(self.rows().iter().all(|row| row["state"] != "off"), "{:#}", self.json["books"]);
        self
    }

    fn rows(&self) -> &[Value] {
        self.json["books"]["rows"].as_array().unwrap()
    }
}
