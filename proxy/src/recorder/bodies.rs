//! Which bodies of recorded exchanges are not in the capture in full, and why.

use std::sync::atomic::{AtomicU64, Ordering};

use captures::Exchange;
use captures::links::{Noted, is_looked_into};
use captures::notes::Notes;
use serde::Serialize;

use super::{BodyPolicy, Item, Keep};
use crate::Config;
use crate::exchange::BodyCopy;

/// What is kept of the bodies of both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) request: Keep,
    pub(crate) response: Keep,
    /// Prints of the values of both are written.
    pub(crate) leaves: bool,
}

/// Counts them.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    request_over: AtomicU64,
    response_over: AtomicU64,
    no_memory: AtomicU64,
    withheld: AtomicU64,
    leaves_unread: AtomicU64,
    leaves_over: AtomicU64,
}

/// Bodies that are not there in full, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct BodiesStatus {
    /// Larger than the policy keeps.
    pub(crate) request_over_limit: u64,
    pub(crate) response_over_limit: u64,
    /// All that may be held of bodies under way was held.
    pub(crate) no_memory: u64,
    /// Exchanges of which bytes were withheld, because redaction could not look into them.
    pub(crate) withheld: u64,
    /// Answers of a kind that is looked into for links and whose body was not: too large, cut short, in a coding that is not
    /// known, or let go as much was queued.
    pub(crate) leaves_unread: u64,
    /// Values beyond those that one exchange may have prints of.
    pub(crate) leaves_over: u64,
}

impl Kept {
    pub(crate) fn of(config: &Config) -> Kept {
        let (bodies, limit) = (config.record_bodies, config.body_limit);
        let leaves = matches!(bodies.response, BodyPolicy::Leaves(_));
        Kept { request: bodies.request.keep(limit), response: bodies.response.keep(limit), leaves }
    }
}

impl Bodies {
    /// An exchange is recorded.
    pub(super) fn note(&self, item: &Item, exchange: &Exchange, kept: Kept) {
        // most exchanges are none of these
        let bump = |counter: &AtomicU64, on: bool| {
            if on {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        };
        // a policy that keeps no bytes loses none
        let is_over = |copy: &BodyCopy, keep: Keep| 0 < keep.limit && (keep.limit as u64) < copy.len();
        bump(&self.request_over, is_over(&item.request_body, kept.request));
        bump(&self.response_over, is_over(&item.answer_body, kept.response) && !item.answer.upgraded);
        let is_starved = item.request_body.is_starved() || !kept.leaves && item.answer_body.is_starved();
        bump(&self.no_memory, is_starved);
        bump(&self.withheld, exchange.notes.contains(Notes::BODY_WITHHELD));
    }

    /// The prints of an exchange were taken.
    pub(super) fn note_prints(&self, item: &Item, exchange: &Exchange, noted: &Noted) {
        let of_its_kind = exchange.response.as_ref().is_some_and(|answer| is_looked_into(&answer.headers));
        let has_body = item.answer_body.len() != 0 && of_its_kind;
        if has_body && !noted.looked_into {
            self.leaves_unread.fetch_add(1, Ordering::Relaxed);
        }
        if noted.left_out != 0 {
            self.leaves_over.fetch_add(noted.left_out, Ordering::Relaxed);
        }
    }

    pub(super) fn status(&self) -> BodiesStatus {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BodiesStatus {
            request_over_limit: of(&self.request_over),
            response_over_limit: of(&self.response_over),
            no_memory: of(&self.no_memory),
            withheld: of(&self.withheld),
            leaves_unread: of(&self.leaves_unread),
            leaves_over: of(&self.leaves_over),
        }
    }
}
