//! The rule file: read it, watch it, put each good version in force, keep the old one on any mistake.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use fault_rules::{Loader, MOST_BODY_BYTES, MOST_FILE_BYTES, RuleSet};
use notify::{RecursiveMode, Watcher};

use super::latencies::Latencies;
use super::{Refusal, Rules, Source, read_at_most};
use crate::Error;

/// A rule file on disk.
#[derive(Debug, Clone)]
pub(crate) struct RuleFile {
    path: PathBuf,
    latencies: Arc<Latencies>,
}

impl RuleFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        RuleFile { path, latencies: Arc::default() }
    }

    /// Reads and checks the whole file.
    fn read(&self) -> Result<(RuleSet, Source), Refusal> {
        let name = self.path.display().to_string();
        let mistakes = |report: fault_rules::Report| Refusal::Mistakes(report.findings().to_vec());
        let bytes = read_at_most(&self.path, MOST_FILE_BYTES)
            .map_err(|error| Refusal::Unreadable(format!("{name}: {error}")))?;
        let text = fault_rules::decode(bytes, &name).map_err(mistakes)?;
        let folder = self.path.parent().unwrap_or(Path::new("")).to_path_buf();
        let loader = Loader {
            file: &|file| read_at_most(&folder.join(file), MOST_BODY_BYTES),
            latencies: &|capture| self.latencies.of(&folder.join(capture)),
        };
        let set = fault_rules::parse(&text, &name, &loader).map_err(mistakes)?;
        Ok((set, Source { name: name.into(), text: text.into() }))
    }

    /// The first reading: a mistake is an error.
    ///
    /// # Errors
    /// The file cannot be read or has mistakes; all of them are named.
    pub(crate) fn load(&self, rules: &Rules) -> Result<u64, Error> {
        let (set, source) = self.read().map_err(|refusal| match refusal {
            Refusal::Unreadable(why) => Error::Rules(why),
            Refusal::Mistakes(findings) => Error::Rules(join(&findings)),
        })?;
        rules.replace(set, source).map_err(|findings| Error::Rules(join(&findings)))
    }

    /// A later reading: a mistake changes nothing and is remembered.
    pub(crate) fn reload(&self, rules: &Rules) {
        let before = rules.live().generation;
        let outcome =
            self.read().and_then(|(set, source)| rules.replace(set, source).map_err(Refusal::Mistakes));
        match outcome {
            Ok(generation) if generation == before => {}
            Ok(generation) => {
                tracing::info!(generation, rules = rules.live().ids.len(), "rules reloaded");
            }
            Err(refusal) => {
                match &refusal {
                    Refusal::Unreadable(error) => {
                        tracing::error!(%error, "rules not reloaded, the old ones stay");
                    }
                    Refusal::Mistakes(findings) => {
                        tracing::error!("rules not reloaded, the old ones stay:\n{}", join(findings));
                    }
                }
                rules.refuse(refusal);
            }
        }
    }

    /// Watches the file on a thread of its own until the returned guard is dropped. The folder is watched, not
    /// the file: editors replace files. Where the kernel tells nothing, a look at the clock does, every second.
    pub(crate) fn watch(self, rules: Arc<Rules>) -> Result<Watching, Error> {
        let (tell, told) = mpsc::sync_channel::<Event>(QUEUE);
        let seen = tell.clone();
        let name = self.path.file_name().map(ToOwned::to_owned);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let ours = event.is_ok_and(|event| {
                !event.kind.is_access() && event.paths.iter().any(|path| path.file_name() == name.as_deref())
            });
            if ours {
                // full: a reload is due anyway
                let _ = seen.try_send(Event::Changed);
            }
        })
        .map_err(|error| Error::Rules(format!("cannot watch {}: {error}", self.path.display())))?;
        let folder = self.path.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
            tracing::warn!(%error, "cannot watch the rule file's folder; looking once a second instead");
        }
        let thread = std::thread::Builder::new()
            .name("squall-rules".into())
            .spawn(move || self.follow(&rules, &told))
            .map_err(Error::Thread)?;
        Ok(Watching { tell, thread: Some(thread), _watcher: watcher })
    }

    fn follow(&self, rules: &Rules, told: &mpsc::Receiver<Event>) {
        let mut known = self.stamp();
        loop {
            let event = told.recv_timeout(GLANCE);
            match event {
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Event::Changed) => {
                    std::thread::sleep(DEBOUNCE);
                    if told.try_iter().any(|event| event == Event::Stop) {
                        return;
                    }
                }
                Ok(Event::Reload) => {}
                Err(RecvTimeoutError::Timeout) if self.stamp() == known => continue,
                Err(RecvTimeoutError::Timeout) => {}
            }
            known = self.stamp();
            self.reload(rules);
        }
    }

    fn stamp(&self) -> Option<(std::time::SystemTime, u64)> {
        let meta = std::fs::metadata(&self.path).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    }
}

/// Keeps a rule file watched.
#[derive(Debug)]
pub(crate) struct Watching {
    tell: mpsc::SyncSender<Event>,
    thread: Option<std::thread::JoinHandle<()>>,
    _watcher: notify::RecommendedWatcher,
}

impl Watching {
    /// Reads the file again now (SIGHUP).
    pub(crate) fn reload(&self) {
        let _ = self.tell.try_send(Event::Reload);
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.tell.send(Event::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Changed,
    Reload,
    Stop,
}

/// Findings as they print.
pub(crate) fn join(findings: &[fault_rules::report::Diagnostic]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// An editor writes in several steps; 100 ms is promised from its last one to the rules being live.
const DEBOUNCE: Duration = Duration::from_millis(15);
const GLANCE: Duration = Duration::from_secs(1);
const QUEUE: usize = 16;
