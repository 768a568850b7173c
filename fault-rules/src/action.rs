//! What a rule does to an exchange that it selected.

use std::sync::Arc;
use std::time::Duration;

use crate::decide::Facts;
use crate::select;
use crate::state::BucketSpec;

/// One fault. All but [`Action::Storm`] are terminal: the first one that takes effect decides how the exchange ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The proxy answers by itself. The upstream never sees the request.
    Respond(Respond),
    /// A token bucket per key; without a token the proxy answers by itself and says when to come back.
    RateLimit(RateLimit),
    /// The connection (HTTP/1) or the stream (HTTP/2) is reset. `BeforeHeaders` acts before the upstream is asked.
    Reset(ResetAt),
    /// The request is read and never answered. The upstream never sees it.
    Blackhole(Blackhole),
    /// The request is forwarded, and again at once as copies when it ends in one of the given outcomes.
    Storm(Storm),
}

impl Action {
    /// Whether it decides how the exchange ends, so that no later terminal action of another rule can.
    /// A rate limit that has a token is no fault and leaves the field to later rules.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        !matches!(self, Self::Storm(_))
    }

    /// The word of the rule language, as it stands in the ledger: `respond`, `rate_limit`, `reset`, `blackhole`, `storm`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Respond(_) => "respond",
            Self::RateLimit(_) => "rate_limit",
            Self::Reset(_) => "reset",
            Self::Blackhole(_) => "blackhole",
            Self::Storm(_) => "storm",
        }
    }
}

/// An answer made by the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Respond {
    /// 200 to 599.
    pub status: u16,
    /// Checked names (lower case) and values, `content-type` included when there is a body; never framing headers.
    pub headers: Vec<(String, String)>,
    /// Empty where the status allows no body. At most 16 MiB.
    pub body: Arc<[u8]>,
}

/// A token bucket per key, and the answer of those that get no token.
#[derive(Debug, Clone, PartialEq)]
pub struct RateLimit {
    /// Whose bucket an exchange draws from.
    pub per: Per,
    /// How fast it fills, how much it holds.
    pub bucket: BucketSpec,
    /// Status (429 unless said), headers and body of the refusal, without `retry-after`: that comes from the bucket.
    pub refusal: Respond,
}

impl RateLimit {
    /// The hash of the key this exchange draws under, for [`crate::state::BucketTable::take`].
    /// Exchanges without the named header or cookie share one bucket.
    #[must_use]
    pub fn key_hash(&self, facts: &Facts<'_>) -> u64 {
        let value = match &self.per {
            Per::All => None,
            Per::Session => Some(facts.session),
            Per::Client => Some(facts.client),
            Per::Header(name) => (facts.header)(name),
            Per::Cookie(name) => select::cookie(facts, name),
        };
        value.map_or(0, |text| select::bucket_key(text.as_bytes()))
    }
}

/// Whose bucket an exchange draws from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Per {
    /// One bucket for everybody.
    All,
    /// One for each session.
    Session,
    /// One for each client address.
    Client,
    /// One for each value of this header (name in lower case).
    Header(String),
    /// One for each value of this cookie.
    Cookie(String),
}

/// Where in the answer a reset falls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ResetAt {
    /// Before anything is answered; the upstream is not asked.
    BeforeHeaders,
    /// After the answer's header, before its body.
    AfterHeaders,
    /// After exactly this many bytes of the answer's body. A shorter body passes whole, as [`crate::decide::Why::NoSuchPoint`].
    AfterBytes(u64),
    /// After this part of the promised body, 0.0 to 1.0. Without a promised length it passes whole, likewise.
    AfterFraction(f64),
}

/// Read the request, never answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blackhole {
    /// How long; `None`: until the client leaves (or the rules are lifted).
    pub hold: Option<Duration>,
    /// What comes then.
    pub end: End,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// TCP RST, or `RST_STREAM` on HTTP/2.
    Reset,
    /// An orderly close without an answer.
    Close,
}

/// Copies of a request, sent at once, the way a badly written client repeats.
#[derive(Debug, Clone, PartialEq)]
pub struct Storm {
    /// Outcomes that set it off; any of them.
    pub when: Vec<StormWhen>,
    /// Copies for each exchange, 1 to 100.
    pub copies: u32,
    /// Upstream attempts per forwarded exchange that this rule may reach, over the run; at least 1.0.
    pub max_amplification: f64,
}

impl Storm {
    /// Whether this outcome sets the storm off. `status` is `None` when no complete answer came.
    #[must_use]
    pub fn is_set_off_by(&self, status: Option<u16>, took: Duration) -> bool {
        self.when.iter().any(|when| match when {
            StormWhen::Class(class) => status.is_some_and(|status| status / 100 == u16::from(*class)),
            StormWhen::Status(asked) => status == Some(*asked),
            StormWhen::SlowerThan(limit) => *limit < took,
            StormWhen::Failure => status.is_none(),
        })
    }
}

/// One outcome that sets off a storm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StormWhen {
    /// Statuses of this hundred: 5 is `5xx`.
    Class(u8),
    /// Exactly this status.
    Status(u16),
    /// The answer took longer than this, start to last byte.
    SlowerThan(Duration),
    /// No complete answer came.
    Failure,
}
