//! What a rule does to an exchange that it selected.

mod asked;
mod point;
mod protocol;
mod shaping;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use crate::state::BucketSpec;

pub use crate::select::Per;

pub use point::{Goaway, Point, Reset, Unit, WebsocketClose};
pub use protocol::Protocol;
pub use shaping::{Corrupt, CorruptKind, Direction, Loss, Stall, Throttle};
pub use upstream::{
    Backoff, DropResponse, Duplicate, Failover, Outage, OutageMode, Phase, Stale, Storm, StormWhen,
};

/// One fault. See [`Action::kind`] for how faults of several rules go together.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The proxy answers by itself. The upstream never sees the request.
    Respond(Respond),
    /// A token bucket per key; without a token the proxy answers by itself and says when to come back.
    RateLimit(RateLimit),
    /// The connection (HTTP/1) or the stream (HTTP/2) is reset. `BeforeHeaders` acts before the upstream is asked.
    Reset(Reset),
    /// The request is read and never answered. The upstream never sees it.
    Blackhole(Blackhole),
    /// Fewer body bytes than were promised, then an orderly end.
    Truncate(Point),
    /// Bytes pass at a bounded pace.
    Throttle(Throttle),
    /// The answer stops for a while, or for good, once it is under way.
    Stall(Stall),
    /// Packet loss as a client sees it: pauses of a retransmission timeout.
    Loss(Loss),
    /// Body bytes change on their way.
    Corrupt(Corrupt),
    /// The upstream answers, so it has committed; the client never learns of it.
    DropResponse(DropResponse),
    /// The upstream gets the request more than once.
    Duplicate(Duplicate),
    /// The request is forwarded, and again as copies when it ends in one of the given outcomes.
    Storm(Storm),
    /// The upstream's group is dark, and perhaps another takes over.
    Outage(Outage),
    /// An earlier answer is served again, as a replica that lags behind would.
    Stale(Stale),
    /// HTTP/2: the connection is told to go away. HTTP/1: it closes after this answer.
    Goaway(Goaway),
    /// A WebSocket is closed with a code.
    WebsocketClose(WebsocketClose),
}

/// How a fault goes together with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Decides how the exchange ends: the first terminal fault that takes effect wins.
    Terminal,
    /// Changes the pace or the bytes of what passes: all of them compose.
    Shaping,
    /// Happens beside the exchange, which goes on as it would.
    Side,
}

impl Action {
    /// How it goes together with others.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Throttle(_) | Self::Stall(_) | Self::Loss(_) | Self::Corrupt(_) => Kind::Shaping,
            Self::Storm(_) | Self::Duplicate(_) => Kind::Side,
            Self::Goaway(goaway) if goaway.is_graceful() => Kind::Side,
            _ => Kind::Terminal,
        }
    }

    /// Whether it decides how the exchange ends, so that no later terminal action of another rule can.
    /// A rate limit that has a token is no fault and leaves the field to later rules.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.kind() == Kind::Terminal
    }

    /// Whether it can wait for the answer's status (`-> 2xx`): it does nothing before the answer's header is there.
    #[must_use]
    pub fn acts_on_answer(&self) -> bool {
        match self {
            Self::Reset(reset) => reset.at != Point::BeforeHeaders,
            Self::Throttle(throttle) => throttle.request.is_none(),
            Self::Corrupt(corrupt) => corrupt.direction == Direction::Response,
            Self::Loss(loss) => loss.direction == Direction::Response,
            Self::Truncate(_)
            | Self::Stall(_)
            | Self::DropResponse(_)
            | Self::Goaway(_)
            | Self::WebsocketClose(_)
            | Self::Storm(_) => true,
            Self::Respond(_)
            | Self::RateLimit(_)
            | Self::Blackhole(_)
            | Self::Duplicate(_)
            | Self::Outage(_)
            | Self::Stale(_) => false,
        }
    }

    /// The word of the rule language, as it stands in the ledger.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Respond(_) => "respond",
            Self::RateLimit(_) => "rate_limit",
            Self::Reset(_) => "reset",
            Self::Blackhole(_) => "blackhole",
            Self::Truncate(_) => "truncate",
            Self::Throttle(_) => "throttle",
            Self::Stall(_) => "stall",
            Self::Loss(_) => "loss",
            Self::Corrupt(_) => "corrupt",
            Self::DropResponse(_) => "drop_response",
            Self::Duplicate(_) => "duplicate",
            Self::Storm(_) => "storm",
            Self::Outage(_) => "outage",
            Self::Stale(_) => "stale",
            Self::Goaway(_) => "goaway",
            Self::WebsocketClose(_) => "websocket_close",
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
    /// A gRPC status (0 to 16) and message: the answer is then `200` with these as its trailers (or, where an answer has
    /// no trailers, in its header: "trailers-only" of the gRPC protocol).
    pub grpc: Option<GrpcStatus>,
}

/// How a gRPC call ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcStatus {
    /// 0 to 16, as the gRPC protocol numbers them.
    pub code: u8,
    /// Percent-encoded already; empty: none.
    pub message: String,
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
