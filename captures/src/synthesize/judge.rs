//! Whether new sessions are like the recorded ones.

use serde::Serialize;

use crate::shape::{Distances, Shape};

/// One distance, and how large it may be before something is wrong: a tenth, and what chance alone makes of samples of
/// these sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Judged {
    /// 0 is equal, 1 has nothing in common.
    pub distance: f64,
    /// Above it is large.
    pub limit: f64,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Judgement {
    /// Kolmogorov-Smirnov distance of requests a session.
    pub session_requests: Judged,
    /// Kolmogorov-Smirnov distance of think times.
    pub think: Judged,
    /// Total variation between the shares of the routes.
    pub routes: Judged,
    /// Total variation between the shares of the transitions.
    pub transitions: Judged,
    /// Of the starts of sessions, at each window length; empty where starts come from a trace.
    pub dispersion: Vec<JudgedDispersion>,
}

/// Dispersion of session starts in windows of one length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct JudgedDispersion {
    /// Length of the windows in microseconds.
    pub window_us: u64,
    /// Of the recorded sessions.
    pub recorded: f64,
    /// Of the new ones.
    pub new: f64,
    /// Whether it is below half or above double of what it may be: that of `k` times as many sessions lies between the
    /// recorded one (bursts apart) and `1 + k * (recorded - 1)` (bursts on top of each other, or thinned out). What came
    /// more evenly than by chance need not do so again.
    pub is_large: bool,
}

impl Judged {
    /// Whether it is more than chance explains.
    pub fn is_large(self) -> bool {
        self.limit < self.distance
    }
}

impl Judgement {
    pub(super) fn of(source: &Shape, new: &Shape, judge_starts: bool) -> Judgement {
        let Distances { session_requests, think, routes, transitions, dispersion } = source.distances(new);
        let noise = source.noise(new);
        let judged = |distance: f64, noise: f64| Judged { distance, limit: (SLACK + noise).min(1.0) };
        let more = new.lengths.count() as f64 / source.lengths.count().max(1) as f64;
        let dispersion = dispersion.into_iter().filter(|_| judge_starts).map(|(window_us, recorded, new)| {
            let scaled = (1.0 + more * (recorded - 1.0)).max(0.0);
            let is_large = new * 2.0 < recorded.min(scaled) || recorded.max(scaled).max(POISSON) * 2.0 < new;
            JudgedDispersion { window_us, recorded, new, is_large }
        });
        Judgement {
            session_requests: judged(session_requests, noise.session_requests),
            think: judged(think, noise.think),
            routes: judged(routes, noise.routes),
            transitions: judged(transitions, noise.transitions),
            dispersion: dispersion.collect(),
        }
    }

    /// What is larger than chance explains, by name.
    pub fn large(&self) -> Vec<&'static str> {
        let all = [
            ("session lengths", self.session_requests),
            ("think times", self.think),
            ("routes", self.routes),
            ("transitions", self.transitions),
        ];
        let large = all.into_iter().filter(|(_, judged)| judged.is_large()).map(|(name, _)| name);
        let swings = self.dispersion.iter().any(|at| at.is_large).then_some("dispersion of starts");
        large.chain(swings).collect()
    }
}

/// The dispersion of independent arrivals.
const POISSON: f64 = 1.0;
/// A model is no copy: so much it may be off.
const SLACK: f64 = 0.1;
