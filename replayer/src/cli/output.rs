//! The files that a replay leaves behind.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::cli::Args;
use crate::repeat::Repeated;
use crate::report::html::{self, Run};
use crate::{Report, history, junit};

/// Where what is written.
#[derive(Clone, Debug)]
pub(super) struct Output {
    json: Option<PathBuf>,
    junit: Option<PathBuf>,
    page: Option<PathBuf>,
    history: Option<PathBuf>,
}

/// Files that were made for a run which has not ended yet: without a run they go again.
#[derive(Debug)]
pub(super) struct Made(Vec<PathBuf>);

impl Output {
    pub(super) fn of(args: &Args) -> Output {
        let usual = Path::new(history::FOLDER);
        let history = args.history.clone().or_else(|| usual.is_dir().then(|| usual.to_owned()));
        Output { json: args.json.clone(), junit: args.junit.clone(), page: args.report.clone(), history }
    }

    /// That a file can be written is known better now than after an hour of load.
    pub(super) fn make_sure(&self) -> anyhow::Result<Made> {
        let mut made = Made(Vec::new());
        for path in [&self.json, &self.junit, &self.page].into_iter().flatten() {
            let is_new = !path.exists();
            let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
            opened.with_context(|| format!("cannot write {}", path.display()))?;
            if is_new {
                made.0.push(path.clone());
            }
        }
        Ok(made)
    }

    /// Keeps a run that has ended in the history. It never fails a run: what went wrong is a note.
    pub(super) fn keep(&self, run: &Report) -> Option<String> {
        let folder = self.history.as_deref()?;
        match history::keep(folder, run) {
            Ok(kept) if kept.removed > 0 => {
                let (most, removed) = (history::KEPT, kept.removed);
                Some(format!(
                    "history {}: {removed} of the oldest made room, it keeps {most} runs",
                    folder.display()
                ))
            }
            Ok(_) => None,
            Err(words) => Some(format!("this run is not kept: {words}")),
        }
    }

    pub(super) fn write(&self, repeated: &Repeated) -> anyhow::Result<()> {
        let put = |path: &Path, text: String| {
            std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        if let Some(path) = &self.json {
            let text =
                serde_json::to_string_pretty(&repeated.report).context("cannot write the report as JSON")?;
            put(path, text + "\n")?;
        }
        if let Some(path) = &self.junit {
            put(path, junit(&repeated.runs))?;
        }
        if let Some(path) = &self.page {
            write_page(path, &repeated.report)?;
        }
        Ok(())
    }

    /// What was written where, a line each.
    pub(super) fn lines(&self) -> String {
        let all = [
            ("json", &self.json),
            ("junit", &self.junit),
            ("report", &self.page),
            ("history", &self.history),
        ];
        let line = |(name, path): (&str, &Option<PathBuf>)| {
            path.as_ref().map(|path| format!("{name:<10} {}\n", path.display()))
        };
        all.into_iter().filter_map(line).collect()
    }
}

impl Made {
    /// There is no run: files that were made for it would only be empty.
    pub(super) fn remove(&self) {
        for path in &self.0 {
            let _ = std::fs::remove_file(path); // one that stays is no worse than that
        }
    }
}

/// The run as a page in `path`.
///
/// # Errors
/// It cannot be written.
pub fn write_page(path: &Path, report: &Report) -> anyhow::Result<()> {
    let page = Run::of(report).and_then(|run| html::page(vec![run])).map_err(anyhow::Error::msg)?;
    std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))
}
