//! The shape of what passes in one direction of one exchange (or of one TCP connection): when each payload byte may
//! go, which bytes change, and where it ends.
//!
//! Pure: no sockets, and `now` is an argument, on any clock that does not go back. Whatever is drawn comes from the
//! key of the rule's part, so that equal exchanges get equal bytes, in pieces of any size.
//!
//! ```text
//! begin(now)                                  the header has passed (TCP: the connection was accepted)
//!   note_event(end) ...                       messages that end in the bytes at hand, before those are offered
//!   step(available, now) -> Pass(n)           at most n bytes may go: pass(bytes) counts and changes them
//!                        -> Wait(until)       nothing goes before; ask again then, or when rules or the peer change
//!                        -> End(tag)          here the direction ends, in the way of that part
//! outcome(tag)                                what became of a part
//! ```
//!
//! `step(0, now)` asks about what lies behind the bytes passed so far: the end of the body, or an end that comes by
//! time. Several parts compose: everything waits for the longest wait, and the earliest end wins.

mod corrupt;
mod draw;
mod item;
mod loss;
mod of_action;
mod pace;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use of_action::{Payload, Place};

use crate::action::{Corrupt, End, Loss};
use item::{At, Hold, Item};

/// One part of a shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// A link of so many bytes a second.
    Pace {
        /// 1 to 10^12.
        bytes_per_second: u64,
        /// Largest piece; see [`crate::action::Throttle::piece`].
        piece: Option<u64>,
        /// Pause after each piece, beside what the pace asks for.
        gap: Duration,
    },
    /// Segments are lost and sent again.
    Loss(Loss),
    /// Everything stops once.
    Stall {
        /// Where.
        at: Place,
        /// How long; `None`: for good.
        hold: Option<Duration>,
        /// Whether the direction ends then; how is the caller's to know.
        end: Option<End>,
    },
    /// The first byte waits, counted from [`Shaper::begin`].
    FirstByte(Duration),
    /// Bytes change; `length` of the whole payload, where it is known.
    Corrupt(Corrupt, Option<u64>),
    /// The direction ends.
    End(Place),
}

/// What may happen now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// At most so many bytes may go. 0 only where 0 were offered: then the end of the payload may go.
    Pass(usize),
    /// Nothing may go before this time of the caller's clock; `None`: ever.
    Wait(Option<Duration>),
    /// The direction ends here, by the part of this tag.
    End(usize),
}

/// What became of a part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it did anything: bytes passed at its pace, its place was reached, a byte changed.
    pub reached: bool,
    /// How long bytes waited because of it.
    pub waited: Duration,
}

/// Every part that shapes one direction.
#[derive(Debug, Default)]
pub struct Shaper {
    items: Vec<Item>,
    begun: Duration,
    passed: u64,
    events: u64,
    /// The part that holds everything up, since when.
    held: Option<(usize, Duration)>,
}

impl Shape {
    /// Whether it makes bytes wait; what only changes them, or ends the direction, does not.
    #[must_use]
    pub fn holds_back(&self) -> bool {
        match self {
            Self::Pace { .. } | Self::Loss(_) | Self::Stall { .. } | Self::FirstByte(_) => true,
            Self::Corrupt(..) | Self::End(_) => false,
        }
    }
}

impl Shaper {
    /// Adds a part; `tag` is the caller's name for it, `key` the seed of what it draws.
    pub fn add(&mut self, tag: usize, shape: Shape, key: u64) {
        self.items.push(Item::new(tag, shape, key));
    }

    /// Whether there is nothing to shape.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.iter().all(Item::is_over)
    }

    /// The payload begins: places in time and the wait for the first byte count from here.
    pub fn begin(&mut self, now: Duration) {
        self.begun = now;
    }

    /// Payload bytes passed so far.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// Whether anything depends on messages of the payload.
    #[must_use]
    pub fn wants_events(&self) -> bool {
        self.items.iter().any(Item::wants_event)
    }

    /// A message ends behind so many payload bytes. To be told in order, before bytes behind its end are offered.
    pub fn note_event(&mut self, end: u64) {
        self.events += 1;
        let events = self.events;
        self.items.iter_mut().for_each(|item| item.note_event(events, end));
    }

    /// What may happen with the next `available` bytes.
    #[must_use]
    pub fn step(&mut self, available: usize, now: Duration) -> Step {
        self.charge(now);
        let at = At { passed: self.passed, begun: self.begun, now };
        self.items.iter_mut().for_each(|item| item.advance(&at));
        if let Some(idx) = self.items.iter().position(|item| item.is_ended_by_time(&at)) {
            return self.end(idx);
        }
        let room = self.items.iter_mut().fold(available as u64, |room, item| room.min(item.limit(&at, room)));
        if let Some((idx, hold)) = self.longest_hold(&at, room, Item::is_stall) {
            return self.wait(idx, hold, now);
        }
        if let Some(idx) = self.items.iter().position(|item| item.is_ended_by_place(&at)) {
            return self.end(idx);
        }
        match self.longest_hold(&at, room, |item| !item.is_stall()) {
            Some((idx, hold)) => self.wait(idx, hold, now),
            None => Step::Pass(usize::try_from(room).unwrap_or(available).min(available)),
        }
    }

    /// There is no payload, and the header may say so: the part whose end lies right at its beginning, if there is one. Nothing
    /// waits where nothing follows.
    pub fn step_empty(&mut self) -> Option<usize> {
        let at = At { passed: 0, begun: self.begun, now: self.begun };
        let idx = self.items.iter().position(|item| item.is_ended_by_place(&at))?;
        self.items[idx].outcome.reached = true;
        Some(self.items[idx].tag)
    }

    /// These bytes go out now, as many as [`Step::Pass`] allowed at most: counts them, and changes those that are to
    /// be changed.
    pub fn pass(&mut self, bytes: &mut [u8]) {
        let from = self.passed;
        self.items.iter_mut().for_each(|item| item.pass(from, bytes));
        self.passed += bytes.len() as u64;
    }

    /// When [`Shaper::step`] will next say something else although no byte came: an end by time.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.next_end().until()
    }

    /// A part is no more, at this time; the others go on. What it did so far stays known. False: nothing of it was left to
    /// do.
    pub fn remove(&mut self, tag: usize, now: Duration) -> bool {
        self.charge(now);
        let items = self.items.iter_mut().filter(|item| item.tag == tag);
        items.fold(false, |was_at_work, item| was_at_work | item.remove())
    }

    /// The same, and nothing of it is kept: for a direction that outlives any number of parts. Gives what became of it.
    pub fn forget(&mut self, tag: usize, now: Duration) -> Outcome {
        self.charge(now);
        let outcome = self.outcome(tag);
        self.items.retain(|item| item.tag != tag);
        outcome
    }

    /// The part for which nothing passes: its tag, and since when. `None`: the last step let something pass, or ended.
    #[must_use]
    pub fn held(&self) -> Option<(usize, Duration)> {
        let (idx, since) = self.held?;
        self.items.get(idx).filter(|item| !item.is_over()).map(|item| (item.tag, since))
    }

    /// What became of a part so far: of all that was added under its tag.
    #[must_use]
    pub fn outcome(&self, tag: usize) -> Outcome {
        self.items.iter().filter(|item| item.tag == tag).fold(Outcome::default(), |sum, item| Outcome {
            reached: sum.reached || item.outcome.reached,
            waited: sum.waited + item.outcome.waited,
        })
    }

    /// The tags in the order in which they were added; a tag may come more than once.
    pub fn tags(&self) -> impl Iterator<Item = usize> {
        self.items.iter().map(|item| item.tag)
    }

    fn next_end(&self) -> Hold {
        self.items.iter().map(|item| item.end_by_time(self.begun)).min().unwrap_or(Hold::Forever)
    }

    fn longest_hold(&mut self, at: &At, room: u64, of: impl Fn(&Item) -> bool) -> Option<(usize, Hold)> {
        let items = self.items.iter_mut().enumerate().filter(|(_, item)| of(item));
        items.filter_map(|(idx, item)| Some((idx, item.hold(at, room)?))).max_by_key(|(_, hold)| *hold)
    }

    fn end(&mut self, idx: usize) -> Step {
        self.items[idx].outcome.reached = true;
        Step::End(self.items[idx].tag)
    }

    fn wait(&mut self, idx: usize, hold: Hold, now: Duration) -> Step {
        self.held = Some((idx, now));
        Step::Wait(hold.min(self.next_end()).until())
    }

    /// Charges the time since the last wait began to the part that it was for.
    fn charge(&mut self, now: Duration) {
        let Some((idx, since)) = self.held.take() else { return };
        if let Some(item) = self.items.get_mut(idx) {
            item.outcome.waited += now.saturating_sub(since);
        }
    }
}
