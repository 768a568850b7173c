//! The files of a history.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{History, KEPT, Kept, Record};
use crate::limits;

pub(super) fn keep(folder: &Path, mut record: Record) -> Result<Kept, String> {
    let wrong = |err: std::io::Error| format!("history {}: {err}", folder.display());
    fs::create_dir_all(folder).map_err(wrong)?;
    let mut known = list(folder)?;
    let excess = (known.len() + 1).saturating_sub(KEPT);
    let before = known.last().and_then(|newest| read(newest)).map_or(0, |newest| newest.removed);
    record.removed = before + excess as u64;
    let path = folder.join(name(&record));
    let text = serde_json::to_string_pretty(&record).map_err(|err| wrong(err.into()))?;
    // Whoever reads meanwhile sees the whole of it or nothing.
    let unfinished = folder.join(format!(".{}.part", record.run));
    fs::write(&unfinished, text + "\n").and_then(|()| fs::rename(&unfinished, &path)).map_err(wrong)?;
    let mut removed = 0;
    for old in known.drain(..excess) {
        removed += usize::from(fs::remove_file(old).is_ok()); // another run may have done it
    }
    Ok(Kept { path, removed })
}

pub(super) fn load(folder: &Path) -> Result<History, String> {
    let mut history = History::default();
    for path in list(folder)? {
        match read(&path) {
            Some(record) => history.records.push(record),
            None => history.unreadable += 1,
        }
    }
    Ok(history)
}

/// The records, oldest first: their names begin with their times.
fn list(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let wrong = |err: std::io::Error| format!("history {}: {err}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrong)? {
        let name = entry.map_err(wrong)?.file_name();
        if name.to_str().is_some_and(is_record) {
            found.push(folder.join(name));
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Option<Record> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(limits::HISTORY_BYTES + 1).read_to_end(&mut text).ok()?;
    if limits::HISTORY_BYTES < text.len() as u64 {
        return None;
    }
    let record: Record = serde_json::from_slice(&text).ok()?;
    // Names that are missing are empty: something else may read as a record of nothing.
    (!record.run.is_empty() && !record.plan_hash.is_empty()).then_some(record)
}

/// `20261127T201226.123456Z-1a2b3c4d.json`, in UTC.
fn name(record: &Record) -> String {
    let started = record.started.parse::<jiff::Timestamp>().unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let second = jiff::tz::TimeZone::UTC.to_datetime(started).strftime("%Y%m%dT%H%M%S").to_string();
    let micros = started.subsec_microsecond().unsigned_abs();
    format!("{second}.{micros:06}Z-{}.json", record.run)
}

/// Whether a file is named like a record of ours; others are left alone.
fn is_record(name: &str) -> bool {
    let Some((time, run)) = name.strip_suffix(".json").and_then(|stem| stem.split_once('-')) else {
        return false;
    };
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "00000000T000000.000000Z" && run.len() == 8 && run.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(second: u32, run: u32) -> Record {
        let started = format!("2026-11-27T20:{:02}:{:02}Z", second / 60, second % 60);
        Record { run: format!("{run:08x}"), started, plan_hash: "aa".to_owned(), ..Record::default() }
    }

    #[test]
    fn a_folder_is_bounded_and_counts_what_it_lost() {
        let folder = tempfile::tempdir().expect("a folder");
        let runs = folder.path().join("deep/runs");
        for nth in 0..KEPT as u32 {
            keep(&runs, record(nth, nth)).expect("it is kept");
        }
        for name in ["notes.json", "20261127T201226.123456Z-nothexad.json", "run.json", "a-b.json"] {
            fs::write(runs.join(name), "mine").expect("it can be written");
        }
        let kept = [keep(&runs, record(3000, 1)), keep(&runs, record(3001, 2))];
        assert!(kept.iter().all(|kept| kept.as_ref().is_ok_and(|kept| kept.removed == 1)), "{kept:?}");
        let history = load(&runs).expect("it is read");
        assert_eq!((history.records.len(), history.unreadable), (KEPT, 0));
        assert_eq!(history.records[0].run, "00000002", "the oldest made room");
        assert_eq!(history.records.last().map(|record| record.removed), Some(2));
        assert!(runs.join("notes.json").exists() && runs.join("run.json").exists());
    }

    #[test]
    fn what_is_broken_is_counted_and_what_cannot_be_written_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        keep(folder.path(), record(1, 1)).expect("it is kept");
        for (name, content) in
            [("20261127T201226.123456Z-00000009.json", "{"), ("20261127T201226.123457Z-00000008.json", "[]")]
        {
            fs::write(folder.path().join(name), content).expect("it can be written");
        }
        fs::write(folder.path().join("20261127T201226.123458Z-00000007.json"), " ".repeat(300_000))
            .expect("it is written");
        let history = load(folder.path()).expect("it is read");
        assert_eq!((history.records.len(), history.unreadable), (1, 3));
        let file = folder.path().join("a file");
        fs::write(&file, "").expect("it can be written");
        assert!(keep(&file, record(1, 1)).is_err_and(|words| words.contains("a file")));
        assert!(load(&folder.path().join("none")).is_err());
    }

    #[test]
    fn names_sort_by_time() {
        let of = |started: &str| name(&Record { started: started.to_owned(), ..record(0, 7) });
        assert_eq!(of("2026-11-27T20:12:26.5Z"), "20261127T201226.500000Z-00000007.json");
        assert!(of("2026-11-27T20:12:26Z") < of("2026-11-27T20:12:26.000001Z"));
        assert!(is_record(&of("2026-11-27T20:12:26.123456789Z")) && is_record(&of("nonsense")));
    }
}
