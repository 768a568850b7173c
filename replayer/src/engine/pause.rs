//! Pauses: while the user wants one nothing new is released, and afterwards the rest of the plan lies later by as long.
//!
//! What is in flight goes on, and streams that are open speak on. The run's clock goes on as well: latencies and timeouts are
//! those of the wall.

use std::cmp::Reverse;

use crate::engine::records::{Engine, Phase};

impl Engine {
    /// Begins or ends a pause as the user wishes.
    pub(crate) fn heed_pause(&mut self, now: u64) {
        let wanted = self.job.stop.is_paused() && self.phase == Phase::Running;
        match (wanted, self.paused_since) {
            (true, None) => self.paused_since = Some(now),
            (false, Some(since)) => {
                self.paused_since = None;
                self.shift(now.saturating_sub(since));
                self.wake_by(now);
            }
            _ => {}
        }
    }

    /// How far the run has come in time; it stands during a pause.
    pub(crate) fn plan_time(&self, now: u64) -> u64 {
        self.paused_since.unwrap_or(now)
    }

    /// When the next session starts.
    pub(crate) fn next_start(&self) -> Option<u64> {
        self.starts.peek().map(|start| start.at_ns.saturating_add(self.shift_ns))
    }

    /// How long the run was paused, in microseconds.
    pub(crate) fn paused_us(&self) -> u64 {
        let current = self.paused_since.map_or(0, |since| self.now().saturating_sub(since));
        (self.shift_ns + current) / 1000
    }

    /// Everything that is still to come lies later by `by_ns`.
    fn shift(&mut self, by_ns: u64) {
        self.shift_ns += by_ns;
        self.duration_ns = self.duration_ns.saturating_add(by_ns);
        let mut thinking = Vec::with_capacity(self.wheel.len());
        self.wheel.drain(&mut self.sessions, |_, session| thinking.push(session));
        let all: Vec<u32> = self.sessions.iter().map(|(number, _)| number).collect();
        for session in all {
            let record = &mut self.sessions[session];
            record.start_ns = record.start_ns.wrapping_add(by_ns);
        }
        for session in thinking {
            let record = &mut self.sessions[session];
            record.due_ns = record.due_ns.saturating_add(by_ns);
            self.wheel.insert(session, &mut self.sessions);
        }
        let replacements = std::mem::take(&mut self.replacements).into_iter();
        self.replacements = replacements
            .map(|Reverse(mut start)| {
                start.at_ns = start.at_ns.saturating_add(by_ns);
                Reverse(start)
            })
            .collect();
    }
}
