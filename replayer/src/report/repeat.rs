//! The part of run.json that tells of a plan which was run several times.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The runs of `--repeat`, and how far apart they are. The rest of the report is that of run `shown`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Repeat {
    /// How many runs were asked for.
    pub asked: u32,
    /// The run that the rest of the report is of: the first of the worst verdict that is nearest to their median.
    pub shown: u32,
    /// Those that took place.
    pub runs: Vec<RepeatRun>,
    /// How far apart they are, by figure.
    pub spread: Vec<Spread>,
    /// What was found in some of the runs or in all: a fluke or a pattern.
    pub findings: Vec<RepeatFinding>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // names and meanings are those of run.json
pub struct RepeatRun {
    /// From 1.
    pub run: u32,
    pub tag: String,
    pub started: String,
    pub verdict: String,
    pub exit_code: u8,
    pub reason: String,
    pub figures: BTreeMap<String, f64>,
}

/// A figure over the runs that have it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spread {
    /// As in `figures` of the runs.
    pub figure: String,
    /// us, bytes, 1/s, or a share of 1.
    pub unit: String,
    /// How many runs have it.
    pub runs: u32,
    /// The smallest.
    pub min: f64,
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// The largest.
    pub max: f64,
    /// Coefficient of variation: standard deviation of the sample by its mean; `None`: of one run, or of mean 0.
    pub cv: Option<f64>,
    /// An interval of the true median whatever the distribution, between two of the values; `None`: too few runs.
    pub interval: Option<Interval>,
}

/// An interval and how often such a one holds the true value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
    /// At least 0.95.
    pub confidence: f64,
}

/// Something that was found, and in how many of the runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepeatFinding {
    /// threshold, books, rule, guard, generator or analysis.
    pub kind: String,
    /// What it was.
    pub what: String,
    /// The runs in which it was, from 1.
    pub runs: Vec<u32>,
}
