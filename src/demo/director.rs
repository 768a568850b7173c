//! Edits the rule file while the replay goes on, and looks what the proxy makes of it.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::Error;
use super::folder::Folder;
use super::narrator::Narrator;
use super::script::Edit;
use super::status::{self, Status};

/// Somebody with an editor.
pub(super) struct Director<'a> {
    pub(super) folder: &'a Folder,
    pub(super) admin: SocketAddr,
    pub(super) narrator: Narrator,
}

/// What the director hears of the replay.
pub(super) enum Cue {
    /// It is planned, and will take about this long.
    Planned(Duration),
}

impl Director<'_> {
    /// Plays the script until it is at its end or the replay is (the other side of `cues` is dropped). Returns what
    /// did not go as it should.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(super) fn play(&self, script: &[Edit], cues: &Receiver<Cue>) -> Result<Vec<String>, Error> {
        let Ok(Cue::Planned(span)) = cues.recv() else { return Ok(Vec::new()) };
        let mut complaints = Vec::new();
        let Some(begun) = self.wait_for_the_run(cues) else { return Ok(complaints) };
        for (number, edit) in script.iter().enumerate() {
            if is_over(cues, edit.due(span).saturating_sub(begun.elapsed())) {
                let left = script.len() - number;
                self.narrator.more(format!("the replay was over before the last {left} edits of the rules"));
                break;
            }
            if let Err(complaint) = self.make(edit, begun)? {
                complaints.push(complaint);
            }
        }
        Ok(complaints)
    }

    /// Returns when the replay began: that is when it has announced itself to the proxy.
    fn wait_for_the_run(&self, cues: &Receiver<Cue>) -> Option<Instant> {
        loop {
            if status::ask(self.admin).is_ok_and(|status| status.running) {
                return Some(Instant::now());
            }
            if is_over(cues, LOOK) {
                return None;
            }
        }
    }

    fn make(&self, edit: &Edit, begun: Instant) -> Result<Result<(), String>, Error> {
        let before = match status::ask(self.admin) {
            Ok(before) => before,
            Err(err) => return Ok(Err(format!("the proxy does not answer on its admin port: {err}"))),
        };
        self.folder.write(&self.folder.versions().join(edit.name), edit.text.as_bytes())?;
        let saved = Instant::now();
        self.folder.save_rules(edit.text)?;
        let when = format!("t={:.1} s", begun.elapsed().as_secs_f64());
        let taken_up = |now: &Status| match edit.broken {
            true => before.refused < now.refused,
            false => before.generation < now.generation,
        };
        let Some(now) = self.wait_for(taken_up) else {
            let complaint = format!("{when}: {} was not taken up within {} s", edit.name, PATIENCE.as_secs());
            self.narrator.step("rules", &complaint);
            return Ok(Err(complaint));
        };
        let took = saved.elapsed().as_millis();
        self.narrator.step("rules", format!("{when}: {}", edit.words));
        if !edit.broken {
            self.narrator.more(format!("live after {took} ms, on connections already open"));
            return Ok(Ok(()));
        }
        self.narrator.more(format!(
            "refused after {took} ms: {}",
            now.mistake.as_deref().unwrap_or("no reason given")
        ));
        if now.generation != before.generation {
            return Ok(Err(format!("{when}: a broken rule file changed the rules in force")));
        }
        self.narrator.more("nothing changed: the rules from before are still in force");
        Ok(Ok(()))
    }

    fn wait_for(&self, taken_up: impl Fn(&Status) -> bool) -> Option<Status> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            match status::ask(self.admin) {
                Ok(now) if taken_up(&now) => return Some(now),
                _ => std::thread::sleep(LOOK),
            }
        }
        None
    }
}

/// Waits; true if the replay ended meanwhile.
fn is_over(cues: &Receiver<Cue>, wait: Duration) -> bool {
    matches!(cues.recv_timeout(wait), Err(RecvTimeoutError::Disconnected))
}

/// How often the proxy is asked.
const LOOK: Duration = Duration::from_millis(5);
/// How long the proxy may take to notice; it promises 100 ms.
const PATIENCE: Duration = Duration::from_secs(3);
