//! The runs of one plan in a history, and which of their figures moved.

use serde::Serialize;

use super::change::{LEAST, corrected, strongest};
use super::{History, Record};
use crate::figures::{self, FIGURES};

/// The runs of one plan.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Course {
    /// The plan.
    pub plan_hash: String,
    /// Its shard.
    pub shard: String,
    /// Oldest first.
    pub runs: Vec<Record>,
    /// How many of them went the way they were planned: the others are not looked at for a change.
    pub compared: usize,
    /// By figure, where a change would be if there is one. Empty: fewer than eight runs to compare.
    pub changes: Vec<Moved>,
    /// Other plans of the folder and how many runs each has, most first.
    pub others: Vec<(String, usize)>,
    /// Records that cannot be read.
    pub unreadable: usize,
    /// Older records that the folder has lost to its bound.
    pub removed: u64,
}

/// Where a figure is most likely to have moved, and how sure that is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moved {
    /// As in the records.
    pub figure: String,
    /// us, bytes, 1/s, or a share of 1.
    pub unit: String,
    /// Tag of the first run after it.
    pub run: String,
    /// When that started.
    pub started: String,
    /// Median of the runs before it.
    pub before: f64,
    /// How many those are.
    pub runs_before: usize,
    /// Median from it on.
    pub after: f64,
    /// How many those are.
    pub runs_after: usize,
    /// The chance of as strong a change in a row without one.
    pub p: f64,
    /// The same, corrected for the number of figures.
    pub p_corrected: f64,
    /// [`SURE`] or less after the correction.
    pub is_sure: bool,
}

/// From this chance value on, down, a figure has moved.
pub const SURE: f64 = 0.05;

impl History {
    /// The runs of the plan whose hash begins with `plan`; of the newest run's plan where that is empty.
    ///
    /// # Errors
    /// Words for the user: there is no such run.
    pub fn course(&self, plan: &str) -> Result<Course, String> {
        let newest = self.records.iter().rev().find(|record| record.plan_hash.starts_with(plan));
        let newest = newest.ok_or_else(|| match plan {
            "" => "there is no run in it yet: replay --history DIR keeps one".to_owned(),
            plan => format!("no run in it is of a plan {plan}"),
        })?;
        let is_same =
            |record: &&Record| (&record.plan_hash, &record.shard) == (&newest.plan_hash, &newest.shard);
        let runs: Vec<Record> = self.records.iter().filter(is_same).cloned().collect();
        let whole: Vec<&Record> = runs.iter().filter(|run| run.is_whole()).collect();
        Ok(Course {
            plan_hash: newest.plan_hash.clone(),
            shard: newest.shard.clone(),
            compared: whole.len(),
            changes: changes(&whole),
            others: self.others(newest),
            unreadable: self.unreadable,
            removed: self.records.last().map_or(0, |newest| newest.removed),
            runs,
        })
    }

    fn others(&self, than: &Record) -> Vec<(String, usize)> {
        let mut others: Vec<(String, usize)> = Vec::new();
        for record in &self.records {
            if (&record.plan_hash, &record.shard) == (&than.plan_hash, &than.shard) {
                continue;
            }
            match others.iter_mut().find(|(plan, _)| *plan == record.plan_hash) {
                Some((_, count)) => *count += 1,
                None => others.push((record.plan_hash.clone(), 1)),
            }
        }
        others.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        others
    }
}

fn changes(runs: &[&Record]) -> Vec<Moved> {
    if runs.len() < LEAST {
        return Vec::new();
    }
    let moved = |figure: &figures::Figure| {
        let row: Vec<(&Record, f64)> =
            runs.iter().filter_map(|run| Some((*run, *run.figures.get(figure.name)?))).collect();
        let values: Vec<f64> = row.iter().map(|(_, value)| *value).collect();
        let change = strongest(&values)?;
        let median = |part: &[f64]| {
            let mut sorted = part.to_vec();
            sorted.sort_by(f64::total_cmp);
            figures::median(&sorted)
        };
        let (before, after) = values.split_at(change.at);
        Some(Moved {
            figure: figure.name.to_owned(),
            unit: figure.unit.to_owned(),
            run: row[change.at].0.run.clone(),
            started: row[change.at].0.started.clone(),
            before: median(before),
            runs_before: before.len(),
            after: median(after),
            runs_after: after.len(),
            p: change.p,
            p_corrected: change.p,
            is_sure: false,
        })
    };
    let mut found: Vec<Moved> = FIGURES.iter().filter_map(moved).collect();
    let chances: Vec<f64> = found.iter().map(|moved| moved.p).collect();
    for (moved, p) in found.iter_mut().zip(corrected(&chances)) {
        (moved.p_corrected, moved.is_sure) = (p, p <= SURE);
    }
    found
}

impl Course {
    /// A value of a figure, for people; `-` where a run does not have it.
    pub fn shown(&self, run: &Record, figure: &str) -> String {
        let unit = FIGURES.iter().find(|known| known.name == figure).map_or("", |known| known.unit);
        run.figures.get(figure).map_or_else(|| "-".to_owned(), |value| figures::in_words(unit, *value))
    }
}

impl Moved {
    /// In one sentence.
    pub fn in_words(&self) -> String {
        let words = |value: f64| figures::in_words(&self.unit, value);
        format!(
            "{} moved at run {} ({}): {} in the {} runs before, {} in the {} from it on (p = {:.4})",
            self.figure,
            self.run,
            self.started,
            words(self.before),
            self.runs_before,
            words(self.after),
            self.runs_after,
            self.p_corrected
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(nth: u32, plan: &str, p99: f64, verdict: &str) -> Record {
        Record {
            run: format!("{nth:08x}"),
            started: format!("2026-11-27T20:{nth:02}:00Z"),
            plan_hash: plan.to_owned(),
            shard: "1/1".to_owned(),
            verdict: verdict.to_owned(),
            figures: [("response.p99".to_owned(), p99), ("errors".to_owned(), 0.01)].into(),
            ..Record::default()
        }
    }

    #[test]
    fn the_run_where_a_figure_moved_is_named() {
        let p99 = |nth: u32| f64::from(1000 + nth * 37 % 20) + if nth < 9 { 0.0 } else { 500.0 };
        let mut records: Vec<Record> = (0..18).map(|nth| record(nth, "aa", p99(nth), "pass")).collect();
        records.insert(3, record(40, "aa", 9e9, "interrupted"));
        records.insert(0, record(41, "bb", 1.0, "pass"));
        let history = History { records, unreadable: 2 };
        let course = history.course("").expect("there are runs");
        assert_eq!((course.runs.len(), course.compared, course.unreadable), (19, 18, 2));
        assert_eq!(course.others, [("bb".to_owned(), 1)]);
        let [moved] = course.changes.as_slice() else { panic!("{:?}", course.changes) };
        assert_eq!(
            (moved.figure.as_str(), moved.run.as_str(), moved.is_sure),
            ("response.p99", "00000009", true)
        );
        assert_eq!((moved.runs_before, moved.runs_after), (9, 9));
        assert!(moved.in_words().starts_with("response.p99 moved at run 00000009"), "{}", moved.in_words());
        assert_eq!(history.course("b").map(|course| course.changes.len()), Ok(0), "too few to tell");
        assert!(history.course("cc").is_err_and(|words| words.contains("cc")));
        assert!(History::default().course("").is_err_and(|words| words.contains("--history")));
    }
}
