//! A folder with a small record of each run: `--history DIR`, and `runs/` where there is such a folder.
//!
//! A record is one JSON file named by its time and run. The folder never grows without bound: beyond
//! [`KEPT`] records the oldest make room, and the newest record says how many have. Files with other names are nobody's
//! business here. Nothing about it may fail a run: whoever writes a record turns an error into a note.

pub mod change;
pub mod course;
mod folder;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::figures;
use crate::limits;
use crate::report::{Report, headline};

/// Records that a folder keeps.
pub const KEPT: usize = limits::HISTORY;
/// The folder that is used without being asked for, where it exists.
pub const FOLDER: &str = "runs";

/// One run in a history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Version of Squall.
    pub squall: String,
    /// Tag of the run.
    pub run: String,
    /// When it started, RFC 3339.
    pub started: String,
    /// How long it took, in microseconds.
    pub elapsed_us: u64,
    /// Hash of the plan: runs of the same plan can be compared.
    pub plan_hash: String,
    /// Which part of the plan it was.
    pub shard: String,
    /// As it was given.
    pub seed: String,
    /// The first capture.
    pub capture: String,
    /// Where it went.
    pub target: String,
    /// The command line; empty where it was too long to keep.
    pub argv: Vec<String>,
    /// As in run.json.
    pub verdict: String,
    /// As in run.json.
    pub exit_code: u8,
    /// Why, in words; its beginning where it is long.
    pub reason: String,
    /// By name: see `repeat.spread` in run.json for their units.
    pub figures: BTreeMap<String, f64>,
    /// The first finding of the analysis; `None`: it found nothing, or there was none.
    pub headline: Option<String>,
    /// How many older records this folder has lost to its bound so far.
    pub removed: u64,
}

/// What a folder holds.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Oldest first.
    pub records: Vec<Record>,
    /// Files with the name of a record that cannot be read.
    pub unreadable: usize,
}

/// A record that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where it is.
    pub path: PathBuf,
    /// Older records that made room for it.
    pub removed: usize,
}

impl Record {
    /// What is kept of a run.
    pub fn of(run: &Report) -> Record {
        Record {
            squall: run.squall.clone(),
            run: run.run.clone(),
            started: run.started.clone(),
            elapsed_us: run.elapsed_us,
            plan_hash: run.plan_hash.clone(),
            shard: run.shard.clone(),
            seed: run.seed.clone(),
            capture: beginning(&run.plan.capture),
            target: beginning(&run.plan.target),
            argv: if run.argv.iter().map(String::len).sum::<usize>() <= ARGV_BYTES {
                run.argv.clone()
            } else {
                Vec::new()
            },
            verdict: run.verdict.clone(),
            exit_code: run.exit_code,
            reason: beginning(&run.reason),
            figures: figures::of_run(run),
            headline: headline::findings(run).into_iter().next().map(|found| beginning(&found.title)),
            removed: 0,
        }
    }

    /// Whether it went the way it was planned, so that its figures can be compared.
    pub fn is_whole(&self) -> bool {
        matches!(self.verdict.as_str(), "pass" | "fail" | "degraded")
    }
}

/// Adds a run to a folder, which is made if it is not there.
///
/// # Errors
/// Words for the user: the folder cannot be made, written or listed.
pub fn keep(folder: &Path, run: &Report) -> Result<Kept, String> {
    folder::keep(folder, Record::of(run))
}

/// What a folder holds, oldest first.
///
/// # Errors
/// Words for the user: it cannot be listed.
pub fn load(folder: &Path) -> Result<History, String> {
    folder::load(folder)
}

fn beginning(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_BYTES)].to_owned()
}

const ARGV_BYTES: usize = 16 * 1024;
const TEXT_BYTES: usize = 1000;
