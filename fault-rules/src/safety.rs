//! What holds before any rule: who is never touched, and how much is too much.

use std::time::Duration;

use crate::decide::Facts;
use crate::matcher::Matcher;
use crate::select::Rate;

/// The `[safety]` table.
#[derive(Debug, Clone, PartialEq)]
pub struct Safety {
    /// Share of exchanges, all rules together over a sliding 10 s, that may be affected; `None`: no cap.
    pub max_affected: Option<Rate>,
    /// Exchanges that may be under a fault at once; `None`: no cap.
    pub max_active: Option<u64>,
    /// How long the rules may stay armed. One hour unless said.
    pub max_run: Duration,
    /// The operator's client must renew within this time, else the rules are lifted; `None`: no heartbeat.
    pub heartbeat: Option<Duration>,
    /// Exchanges that no rule may touch.
    pub protect: Vec<Matcher>,
    /// Whether the rules arm themselves at the start; `None`: where every edge listens on loopback or on an address of
    /// `listen`.
    pub armed: Option<bool>,
    /// Listen addresses beside loopback on which the rules may arm themselves.
    pub listen: Vec<std::net::SocketAddr>,
}

impl Safety {
    /// Whether no rule may touch this exchange.
    #[must_use]
    pub fn protects(&self, facts: &Facts<'_>) -> bool {
        self.protect.iter().any(|matcher| matcher.matches(facts))
    }
}

impl Default for Safety {
    fn default() -> Self {
        Self {
            max_affected: None,
            max_active: None,
            max_run: MAX_RUN,
            heartbeat: None,
            protect: Vec::new(),
            armed: None,
            listen: Vec::new(),
        }
    }
}

/// Where nothing is said, somebody has forgotten: an hour is longer than any experiment that is watched.
const MAX_RUN: Duration = Duration::from_hours(1);
