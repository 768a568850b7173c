//! What became of the connections and bytes of a TCP edge. The rows hold at any moment:
//!
//! ```text
//! accepted  = connecting + connected + refused + dropped + client_gone + upstream_unreachable + aborted
//! connected = open + finished + cut + client_gone_after + upstream_failed + stopped
//! in        = out + withheld + lost + held        (each way; held 0 where nothing is open)
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fault_rules::action::Direction;
use serde::Serialize;

use crate::books::{Counts, bump};
use crate::sync::lock;

/// One TCP edge's rows. Units: connections, except where said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TcpEdgeBooks {
    /// The edge.
    pub name: String,
    /// Clients let in.
    pub accepted: u64,
    /// Of those, not yet connected to the upstream.
    pub connecting: u64,
    /// Connected to the upstream.
    pub connected: u64,
    /// Reset by a rule before the upstream was connected to, by rule.
    pub refused: Counts,
    /// Held in silence by a rule, and ended before the upstream was connected to, by rule.
    pub dropped: Counts,
    /// The client left before the upstream was connected to.
    pub client_gone: u64,
    /// No connection to the upstream.
    pub upstream_unreachable: u64,
    /// The proxy stopped, or the edge closed, before the upstream was connected to.
    pub aborted: u64,
    /// Connected now.
    pub open: u64,
    /// Both sides closed in order.
    pub finished: u64,
    /// Ended by a rule, by rule.
    pub cut: Counts,
    /// The client reset the connection.
    pub client_gone_after: u64,
    /// The upstream reset the connection.
    pub upstream_failed: u64,
    /// Ended because the proxy stopped or the edge closed.
    pub stopped: u64,
    /// Bytes from the client to the upstream.
    pub request: TcpBytes,
    /// Bytes from the upstream to the client.
    pub response: TcpBytes,
}

/// Bytes that went one way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TcpBytes {
    /// Read from the sender.
    #[serde(rename = "in")]
    pub came: u64,
    /// Given to the receiver's socket.
    #[serde(rename = "out")]
    pub went: u64,
    /// Kept from the receiver by a rule that ended the connection, by rule.
    pub withheld: Counts,
    /// Read, and the connection ended before they could go.
    pub lost: u64,
    /// Read, and not gone yet.
    pub held: u64,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    Refused(Arc<str>),
    Dropped(Arc<str>),
    ClientGone,
    Unreachable,
    Aborted,
    Finished,
    Cut(Arc<str>),
    ClientGoneAfter,
    UpstreamFailed,
    Stopped,
}

/// The books of one edge. They outlive it: an edge that is made again under its name goes on with them.
#[derive(Debug)]
pub(crate) struct TcpBooks {
    pub(crate) name: Arc<str>,
    rows: Mutex<TcpEdgeBooks>,
    request: Passed,
    response: Passed,
    numbers: AtomicU64,
}

/// Bytes one way, counted as they go.
#[derive(Debug, Default)]
struct Passed {
    came: AtomicU64,
    went: AtomicU64,
}

impl TcpBooks {
    pub(crate) fn new(name: &str) -> Arc<Self> {
        let rows = TcpEdgeBooks { name: name.to_owned(), ..TcpEdgeBooks::default() };
        Arc::new(TcpBooks {
            name: Arc::from(name),
            rows: Mutex::new(rows),
            request: Passed::default(),
            response: Passed::default(),
            numbers: AtomicU64::new(0),
        })
    }

    /// A client is let in. Gives the number of its connection on this edge, from 1.
    pub(super) fn accepted(&self) -> u64 {
        let mut rows = lock(&self.rows);
        rows.accepted += 1;
        rows.connecting += 1;
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn connected(&self) {
        let mut rows = lock(&self.rows);
        rows.connecting -= 1;
        rows.connected += 1;
        rows.open += 1;
    }

    pub(super) fn ended(&self, ending: &Ending) {
        let mut rows = lock(&self.rows);
        match ending {
            Ending::Refused(_)
            | Ending::Dropped(_)
            | Ending::ClientGone
            | Ending::Unreachable
            | Ending::Aborted => {
                rows.connecting -= 1;
            }
            _ => rows.open -= 1,
        }
        match ending {
            Ending::Refused(rule) => bump(&mut rows.refused, rule),
            Ending::Dropped(rule) => bump(&mut rows.dropped, rule),
            Ending::ClientGone => rows.client_gone += 1,
            Ending::Unreachable => rows.upstream_unreachable += 1,
            Ending::Aborted => rows.aborted += 1,
            Ending::Finished => rows.finished += 1,
            Ending::Cut(rule) => bump(&mut rows.cut, rule),
            Ending::ClientGoneAfter => rows.client_gone_after += 1,
            Ending::UpstreamFailed => rows.upstream_failed += 1,
            Ending::Stopped => rows.stopped += 1,
        }
    }

    pub(super) fn came(&self, way: Direction, bytes: usize) {
        self.way(way).came.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn went(&self, way: Direction, bytes: usize) {
        self.way(way).went.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes that came and will not go: by this rule's doing, or lost.
    pub(super) fn kept(&self, way: Direction, bytes: usize, by: Option<&str>) {
        if bytes == 0 {
            return;
        }
        let mut rows = lock(&self.rows);
        let row = match way {
            Direction::Request => &mut rows.request,
            Direction::Response => &mut rows.response,
        };
        match by {
            Some(rule) => *row.withheld.entry(rule.to_owned()).or_default() += bytes as u64,
            None => row.lost += bytes as u64,
        }
    }

    fn way(&self, way: Direction) -> &Passed {
        match way {
            Direction::Request => &self.request,
            Direction::Response => &self.response,
        }
    }

    /// The rows as they stand.
    pub(crate) fn rows(&self) -> TcpEdgeBooks {
        let mut rows = lock(&self.rows).clone();
        for (row, passed) in [(&mut rows.request, &self.request), (&mut rows.response, &self.response)] {
            // in this order, so that nothing seems to have gone that never came
            row.went = passed.went.load(Ordering::Acquire);
            row.came = passed.came.load(Ordering::Acquire);
            let gone = row.went + row.withheld.values().sum::<u64>() + row.lost;
            row.held = row.came.saturating_sub(gone);
        }
        rows
    }
}
