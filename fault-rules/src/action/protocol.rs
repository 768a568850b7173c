//! Which faults there are on which protocol.

use super::Action;
use crate::delay::{At, Delay};

/// What an exchange travels by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 and 1.1, WebSockets included.
    Http1,
    /// HTTP/2.
    Http2,
    /// A plain-TCP edge.
    Tcp,
}

impl Protocol {
    /// All of them, in the order of the reference.
    pub const ALL: [Self; 3] = [Self::Http1, Self::Http2, Self::Tcp];
}

impl Action {
    /// Whether the fault exists on this protocol; where it does not, it is suppressed as
    /// [`crate::decide::Why::WrongProtocol`].
    #[must_use]
    pub fn is_on(&self, protocol: Protocol) -> bool {
        match self {
            Self::WebsocketClose(_) => protocol == Protocol::Http1,
            // What ends or copies a whole answer has none to end on a stream without messages of a request and an answer.
            Self::Respond(_)
            | Self::RateLimit(_)
            | Self::DropResponse(_)
            | Self::Duplicate(_)
            | Self::Storm(_)
            | Self::Stale(_)
            | Self::Goaway(_) => protocol != Protocol::Tcp,
            Self::Reset(_)
            | Self::Blackhole(_)
            | Self::Truncate(_)
            | Self::Throttle(_)
            | Self::Stall(_)
            | Self::Loss(_)
            | Self::Corrupt(_)
            | Self::Outage(_) => true,
        }
    }
}

impl Delay {
    /// Whether its place exists on this protocol.
    #[must_use]
    pub fn is_on(&self, protocol: Protocol) -> bool {
        match self.at {
            At::FirstByte => protocol != Protocol::Tcp,
            At::Close => protocol == Protocol::Tcp,
            At::Connect | At::Request | At::Response => true,
        }
    }
}
