//! The books of several runs: both sides of each row add up. A row that is off in one run stays off, whatever the sum
//! says: two errors must not cancel each other.

use crate::books::{Books, Row, State};
use crate::merge::Run;
use crate::merge::lines::Lines;
use crate::merge::shards::Shards;
use crate::report::{PlanPart, Report};

pub(super) fn merged(all: &[Run], shards: &Shards, plan: &PlanPart) -> Books {
    let mut rows: Vec<Row> = Vec::new();
    for name in all.iter().flat_map(|run| run.report.books.rows.iter().map(|row| row.row.as_str())) {
        if name != WHOLE && rows.iter().all(|row| row.row != name) {
            rows.push(row(name, all, shards));
        }
    }
    if plan.exact && shards.count() > 1 && shards.missing().is_none() {
        rows.push(whole(all, plan));
    }
    Books { balanced: rows.iter().all(|row| row.state != State::Off), rows }
}

fn row(name: &str, all: &[Run], shards: &Shards) -> Row {
    let parts: Vec<Option<&Row>> = all.iter().map(|run| row_of(&run.report, name)).collect();
    let has = |state: State| parts.iter().flatten().any(|row| row.state == state);
    let sum = |side: fn(&Row) -> Option<u64>| parts.iter().map(|row| side((*row)?)).sum::<Option<u64>>();
    let state = match (has(State::Off), has(State::Unknown) || parts.iter().any(Option::is_none)) {
        (true, _) => State::Off,
        (false, true) => State::Unknown,
        (false, false) => State::Balanced,
    };
    let notes = Lines::of(all, |report| said(report, name)).into_words(shards);
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    Row { row: name.to_owned(), left: sum(|row| row.left), right: sum(|row| row.right), state, note }
}

fn row_of<'r>(report: &'r Report, name: &str) -> Option<&'r Row> {
    report.books.rows.iter().find(|row| row.row == name)
}

/// The notes of a row, and whether it is off: the sums do not say where.
fn said(report: &Report, name: &str) -> Vec<String> {
    let Some(row) = row_of(report, name) else { return vec!["not there".to_owned()] };
    let mut notes: Vec<String> =
        row.note.iter().flat_map(|note| note.split("; ")).map(str::to_owned).collect();
    let known = notes.iter().any(|note| note == OFF || note.starts_with("off (shard"));
    if row.state == State::Off && !known {
        notes.push(OFF.to_owned());
    }
    notes
}

/// The shards together planned what one run would have.
fn whole(all: &[Run], plan: &PlanPart) -> Row {
    let planned = all.iter().map(|run| run.report.requests.planned).sum();
    let state = if planned == plan.requests { State::Balanced } else { State::Off };
    Row { row: WHOLE.to_owned(), left: Some(plan.requests), right: Some(planned), state, note: None }
}

const OFF: &str = "off";
const WHOLE: &str = "requests of the plan = planned by its shards";
