//! The end of a demo: the report, the files, what to try next.

use std::path::Path;

use replayer::Report;
use replayer::report::html::{self, Run};

use super::folder::Folder;
use super::narrator::Narrator;
use super::script::{self, Edit};
use super::{Error, Options, next};

/// What is needed to end.
pub(super) struct Ending<'a> {
    pub(super) options: &'a Options,
    pub(super) narrator: Narrator,
    pub(super) folder: &'a Folder,
}

impl Ending<'_> {
    /// Writes run.json and its page, prints the report and what comes after it, and returns what to exit with.
    pub(super) fn tell(
        &self,
        report: &Report,
        capture: &Path,
        script: &[Edit],
        complaints: &[String],
    ) -> Result<u8, Error> {
        self.folder.save_json("run.json", report)?;
        if let Some(json) = &self.options.json {
            let text = serde_json::to_vec_pretty(report).map_err(std::io::Error::other);
            let written = text.and_then(|text| std::fs::write(json, text));
            written.map_err(|source| Error::File { path: json.clone(), source })?;
        }
        if let Some(junit) = &self.options.junit {
            let written = std::fs::write(junit, replayer::junit(std::slice::from_ref(report)));
            written.map_err(|source| Error::File { path: junit.clone(), source })?;
        }
        self.page(report)?;
        self.narrator.more("");
        self.narrator.say(report.text());
        for complaint in complaints {
            self.narrator.say(format!("the demo itself failed: {complaint}"));
        }
        self.narrator.step("files", format!("in {} {}", self.folder.path().display(), self.fate()));
        self.narrator
            .more("capture.zst, faults.toml and its versions in rules/, ledger.jsonl, run.json, run.html, proxy.json");
        let edited = script.iter().rev().find(|edit| !edit.broken && edit.text != script::QUIET);
        let commands = next::commands(self.folder, capture, edited.map_or("", |edit| edit.name));
        self.narrator.step("try", commands.trim());
        Ok(if complaints.is_empty() || report.exit_code != 0 { report.exit_code } else { INVALID })
    }

    /// The report as a page, in the folder and where the user wants it.
    fn page(&self, report: &Report) -> Result<(), Error> {
        let page = Run::of(report).and_then(|run| html::page(vec![run]));
        for path in [Some(&self.folder.page()), self.options.report.as_ref()].into_iter().flatten() {
            let text = page.as_ref().map_err(|words| std::io::Error::other(words.clone()));
            let written = text.and_then(|text| std::fs::write(path, text));
            written.map_err(|source| Error::File { path: path.clone(), source })?;
        }
        Ok(())
    }

    fn fate(&self) -> &'static str {
        match self.options.keep {
            Some(_) => "",
            None => "(a temporary folder; --keep DIR chooses one)",
        }
    }
}

/// Exit code of a run that proves nothing.
const INVALID: u8 = 113;
