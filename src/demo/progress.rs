//! What the replay tells while it goes on, in a line every other second.

use std::sync::mpsc::Sender;
use std::time::Duration;

use replayer::report::Second;
use replayer::{Outline, Progress};

use super::director::Cue;
use super::narrator::Narrator;

/// Passes on what the replay tells, to the user and to the director.
pub(super) struct Telling {
    narrator: Narrator,
    director: Sender<Cue>,
    /// The last second that was told of, from 1.
    told: u64,
}

impl Telling {
    pub(super) fn new(narrator: Narrator, director: Sender<Cue>) -> Telling {
        Telling { narrator, director, told: 0 }
    }

    pub(super) fn tell(&mut self, progress: Progress) {
        match progress {
            Progress::Planned(outline) => self.planned(&outline),
            Progress::Second { second, sent, planned, .. } => self.second(&second, sent, planned),
            Progress::Note(note) => self.narrator.more(format!("note: {note}")),
        }
    }

    fn planned(&self, outline: &Outline) {
        let plan = &outline.plan;
        let span = Duration::from_micros(plan.span_us);
        let (amplify, sessions, requests) = (plan.amplify, plan.sessions, plan.requests);
        let seconds = span.as_secs_f64();
        self.narrator.step(
            "replay",
            format!(
                "{amplify}x: {sessions} sessions, {requests} requests over {seconds:.1} s{}, through {}",
                speed(plan.speed),
                outline.target
            ),
        );
        for warning in &outline.warnings {
            self.narrator.more(format!("warning: {warning}"));
        }
        let _ = self.director.send(Cue::Planned(span)); // nobody listens where nothing is to be edited
    }

    fn second(&mut self, second: &Second, sent: u64, planned: u64) {
        let number = second.t_us / 1_000_000 + 1;
        if number < self.told + EVERY {
            return;
        }
        self.told = number;
        let share = 100.0 * sent as f64 / planned.max(1) as f64;
        self.narrator.more(format!(
            "{number:>3} s: {sent} sent ({share:.0}%), {} sessions, {} answers touched by rules in the last second",
            second.active, second.injected
        ));
    }
}

/// How fast that is, where it is not as recorded.
fn speed(times: f64) -> String {
    match times {
        1.0 => String::new(),
        fast if 100.0 < fast => format!(" ({fast:.0} times as fast as recorded)"),
        fast if 1.0 < fast => format!(" ({fast:.1} times as fast as recorded)"),
        slow => format!(" ({:.1} times as slow as recorded)", 1.0 / slow),
    }
}

/// Seconds between two lines.
const EVERY: u64 = 2;
