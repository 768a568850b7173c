//! What the admin interface says, as far as a replay needs it. Unknown names are ignored, missing ones are zero.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `GET /status`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    pub(crate) version: String,
    pub(crate) armed: bool,
    /// Why the rules were lifted.
    pub(crate) lifted: Option<String>,
    /// Whether a cap or a guard lifted them; false when somebody asked for it.
    pub(crate) breach: Option<bool>,
    /// Which rule set is in force.
    pub(crate) generation: u64,
    /// The clock of the windows.
    pub(crate) run_now_us: u64,
    pub(crate) rules: RulesStatus,
    pub(crate) edges: Vec<EdgeStatus>,
}

/// The rule file in force.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RulesStatus {
    pub(crate) count: u64,
    pub(crate) list: Vec<RuleStatus>,
}

/// One edge.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EdgeStatus {
    pub(crate) name: String,
    pub(crate) listen: String,
}

/// `GET /books`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ProxyBooks {
    pub(crate) in_flight: u64,
    pub(crate) edges: Vec<EdgeBooks>,
    pub(crate) rules: Vec<RuleBooks>,
    pub(crate) guards: Vec<crate::report::Guard>,
    pub(crate) lifted: Option<String>,
    pub(crate) ledger_lost: u64,
}

/// One edge's counts, in exchanges.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EdgeBooks {
    pub(crate) name: String,
    pub(crate) seen: u64,
    pub(crate) forwarded: u64,
    pub(crate) short_circuited: BTreeMap<String, u64>,
    pub(crate) dropped: BTreeMap<String, u64>,
    pub(crate) refused: BTreeMap<String, u64>,
    pub(crate) client_gone: u64,
    pub(crate) upstream_unreachable: u64,
    pub(crate) aborted: u64,
    pub(crate) delivered: u64,
    pub(crate) cut: BTreeMap<String, u64>,
    pub(crate) upstream_failed: u64,
    pub(crate) client_gone_after: u64,
    pub(crate) upstream_attempts: u64,
    pub(crate) proxy_repeats: u64,
    pub(crate) storm_copies: BTreeMap<String, u64>,
    pub(crate) ambiguous: u64,
    pub(crate) recorded: u64,
    pub(crate) shed: BTreeMap<String, u64>,
    pub(crate) not_recorded: BTreeMap<String, u64>,
    #[serde(flatten)]
    pub(crate) times: crate::report::EdgeTimes,
}

/// One rule's counts, in exchanges.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct RuleBooks {
    pub(crate) id: String,
    pub(crate) eligible: u64,
    pub(crate) selected: u64,
    pub(crate) suppressed: BTreeMap<String, u64>,
    pub(crate) applied: u64,
    pub(crate) asked_rate: f64,
    pub(crate) realised_rate: f64,
    /// What is selected as one: `request`, `operation`, `session`, …; empty where the proxy does not say.
    pub(crate) by: String,
    /// How many different keys the proxy looked at.
    pub(crate) units: Option<u64>,
    #[serde(flatten)]
    pub(crate) audit: crate::report::RuleAudit,
}

/// One line of `GET /runs/<run>/ended`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Ended {
    pub(crate) op: String,
    pub(crate) attempt: u32,
    pub(crate) rule: String,
    /// The rule did not end it: it held it until we gave it up.
    #[serde(default)]
    pub(crate) left: bool,
    /// Nor did it hold it: it had touched a call of it at another edge.
    #[serde(default)]
    pub(crate) below: bool,
}

/// One rule in `GET /status`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RuleStatus {
    pub(crate) id: String,
    /// `acting`, `waiting`, `over`, `lifted`, `not_armed`.
    pub(crate) state: String,
}

/// `GET /rules`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RulesInForce {
    /// The rule file as it was written.
    pub(crate) source: String,
    pub(crate) rules: Vec<RuleInForce>,
}

/// One rule of the set in force.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RuleInForce {
    pub(crate) id: String,
    pub(crate) words: String,
    pub(crate) window: WindowInForce,
}

/// When a rule may act, from the start of the proxy's run. The default is always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct WindowInForce {
    pub(crate) from_us: u64,
    /// `None`: to the end.
    pub(crate) to_us: Option<u64>,
    /// It opens again each time this much has passed.
    pub(crate) every_us: Option<u64>,
    /// How often it opens; `None`: for ever.
    pub(crate) times: Option<u64>,
}
