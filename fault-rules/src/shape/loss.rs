//! Packet loss as the receiver sees it: everything behind a lost segment waits until the sender's timer repeats it.

use std::time::Duration;

use super::draw::{Lane, draw};
use super::item::At;
use crate::action::Loss;

/// Which segments of a direction are lost, and how long each keeps the rest waiting.
#[derive(Debug)]
pub(super) struct Losses {
    loss: Loss,
    key: u64,
    /// Segments before this one are through, or not lost.
    through: u64,
    /// Until when the segment `through` is waited for.
    waiting: Option<Duration>,
}

impl Losses {
    pub(super) fn new(loss: Loss, key: u64) -> Self {
        Self { loss: Loss { segment: loss.segment.max(1), ..loss }, key, through: 0, waiting: None }
    }

    /// How many of the next `room` bytes lie before the next lost segment that has not been repeated yet.
    pub(super) fn limit(&mut self, at: &At, room: u64) -> u64 {
        let end = at.passed.saturating_add(room);
        self.through = self.through.max(at.passed / self.loss.segment);
        while self.begin_of(self.through) < end {
            let begin = self.begin_of(self.through);
            if at.passed <= begin && self.is_lost(self.through, 0) && !self.is_repeated(begin, at) {
                return begin - at.passed;
            }
            self.waiting = None;
            self.through += 1;
        }
        room
    }

    /// Until when the segment that begins here keeps everything waiting. To be asked behind [`Losses::limit`].
    pub(super) fn hold(&self, at: &At) -> Option<Duration> {
        self.waiting.filter(|until| at.now < *until)
    }

    /// Whether the lost segment that begins at this byte has come after all; its wait begins once it is all that comes next.
    fn is_repeated(&mut self, begin: u64, at: &At) -> bool {
        if begin != at.passed {
            return false;
        }
        let until = match self.waiting {
            Some(until) => until,
            None => at.now.saturating_add(self.repeats(self.through)),
        };
        self.waiting = Some(until);
        until <= at.now
    }

    fn begin_of(&self, segment: u64) -> u64 {
        segment.saturating_mul(self.loss.segment)
    }

    fn is_lost(&self, segment: u64, again: u32) -> bool {
        self.loss.rate.hits(draw(self.key, Lane::Loss, segment, again))
    }

    /// The sum of the timeouts until a repeat arrives (RFC 6298 section 5.5: each is twice the one before).
    fn repeats(&self, segment: u64) -> Duration {
        let mut timeout = self.loss.rto.min(self.loss.max_rto);
        let mut sum = timeout;
        for again in 1..MAX_REPEATS {
            if !self.is_lost(segment, again) {
                break;
            }
            timeout = timeout.saturating_mul(2).min(self.loss.max_rto);
            sum = sum.saturating_add(timeout);
        }
        sum
    }
}

/// A sender gives up after so many repeats (Linux: `tcp_retries2`); then this one arrives.
const MAX_REPEATS: u32 = 15;
