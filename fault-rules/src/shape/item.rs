//! One part of a shape, at work.

use std::time::Duration;

use super::corrupt::Corruptor;
use super::loss::Losses;
use super::pace::Pace;
use super::{Outcome, Place, Shape};

/// Where a direction stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub(super) passed: u64,
    pub(super) begun: Duration,
    pub(super) now: Duration,
}

/// Until when nothing passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hold {
    Until(Duration),
    Forever,
}

impl Hold {
    pub(super) fn until(self) -> Option<Duration> {
        match self {
            Self::Until(time) => Some(time),
            Self::Forever => None,
        }
    }

    fn after(from: Duration, hold: Option<Duration>) -> Self {
        hold.map_or(Self::Forever, |hold| Self::Until(from.saturating_add(hold)))
    }
}

#[derive(Debug)]
pub(super) struct Item {
    pub(super) tag: usize,
    pub(super) outcome: Outcome,
    state: State,
}

#[derive(Debug)]
enum State {
    Pace(Pace),
    Loss(Losses),
    Stall(Stall),
    FirstByte(Duration),
    Corrupt(Corruptor),
    End(Place),
    /// Nothing of it is left to do.
    Over,
}

/// ```text
/// Ahead --place reached--> Holding --time over--> Over, or the end
/// ```
#[derive(Debug, Clone, Copy)]
struct Stall {
    at: Place,
    hold: Option<Duration>,
    ends: bool,
    holding: Option<Hold>,
}

impl Item {
    pub(super) fn new(tag: usize, shape: Shape, key: u64) -> Self {
        let state = match shape {
            Shape::Pace { bytes_per_second, piece, gap } => {
                State::Pace(Pace::new(bytes_per_second, piece, gap))
            }
            Shape::Loss(loss) => State::Loss(Losses::new(loss, key)),
            Shape::Stall { at, hold, end } => {
                State::Stall(Stall { at, hold, ends: end.is_some(), holding: None })
            }
            Shape::FirstByte(wait) => State::FirstByte(wait),
            Shape::Corrupt(corrupt, length) => State::Corrupt(Corruptor::new(corrupt, length, key)),
            Shape::End(at) => State::End(at),
        };
        Self { tag, outcome: Outcome::default(), state }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    pub(super) fn is_stall(&self) -> bool {
        matches!(self.state, State::Stall(_))
    }

    /// False: it was over already.
    pub(super) fn remove(&mut self) -> bool {
        !matches!(std::mem::replace(&mut self.state, State::Over), State::Over)
    }

    pub(super) fn wants_event(&self) -> bool {
        self.place().is_some_and(|at| matches!(at, Place::Events(_)))
    }

    pub(super) fn note_event(&mut self, nth: u64, end: u64) {
        let place = match &mut self.state {
            State::Stall(stall) => &mut stall.at,
            State::End(at) => at,
            _ => return,
        };
        if *place == Place::Events(nth) {
            *place = Place::Bytes(end);
        }
    }

    /// Takes up what has come to pass since.
    pub(super) fn advance(&mut self, at: &At) {
        let is_over = match &mut self.state {
            State::Stall(stall) => {
                stall.advance(at);
                self.outcome.reached |= stall.holding.is_some();
                !stall.ends && stall.holding.is_some_and(|hold| hold <= Hold::Until(at.now))
            }
            State::FirstByte(wait) => {
                self.outcome.reached = true;
                at.begun.saturating_add(*wait) <= at.now
            }
            _ => false,
        };
        if is_over {
            self.state = State::Over;
        }
    }

    /// How many of the next `room` bytes lie before the next place of it; 0 only at a place where it holds or ends.
    pub(super) fn limit(&mut self, at: &At, room: u64) -> u64 {
        match &mut self.state {
            State::Pace(pace) => pace.piece(room),
            State::Loss(losses) => losses.limit(at, room),
            State::Stall(Stall { at: Place::Bytes(place), .. }) | State::End(Place::Bytes(place)) => {
                place.saturating_sub(at.passed)
            }
            _ => room,
        }
    }

    /// Until when it holds the next `room` bytes back, or, where those are none, what lies behind the bytes passed.
    pub(super) fn hold(&mut self, at: &At, room: u64) -> Option<Hold> {
        match &mut self.state {
            State::Pace(pace) => pace.hold(at.now, room).map(Hold::Until),
            State::Loss(losses) => losses.hold(at).map(Hold::Until),
            State::Stall(stall) => stall.holding.filter(|hold| Hold::Until(at.now) < *hold),
            State::FirstByte(wait) => Some(Hold::Until(at.begun.saturating_add(*wait))),
            State::Corrupt(_) | State::End(_) | State::Over => None,
        }
    }

    /// Whether time alone has brought it to its end.
    pub(super) fn is_ended_by_time(&self, at: &At) -> bool {
        self.end_by_time(at.begun) <= Hold::Until(at.now)
    }

    /// When time alone will bring it to its end.
    pub(super) fn end_by_time(&self, begun: Duration) -> Hold {
        match &self.state {
            State::End(Place::Time(after)) => Hold::Until(begun.saturating_add(*after)),
            State::Stall(stall) if stall.ends => match (stall.holding, stall.at) {
                (Some(hold), _) => hold,
                (None, Place::Time(after)) => Hold::after(begun.saturating_add(after), stall.hold),
                (None, _) => Hold::Forever,
            },
            _ => Hold::Forever,
        }
    }

    /// Whether the bytes that have passed are all that it lets through.
    pub(super) fn is_ended_by_place(&self, at: &At) -> bool {
        matches!(self.state, State::End(Place::Bytes(place)) if place <= at.passed)
    }

    pub(super) fn pass(&mut self, from: u64, bytes: &mut [u8]) {
        match &mut self.state {
            State::Pace(pace) => {
                pace.pass(bytes.len() as u64);
                self.outcome.reached |= !bytes.is_empty();
            }
            State::Loss(_) => self.outcome.reached |= !bytes.is_empty(),
            State::Corrupt(corruptor) => self.outcome.reached |= corruptor.change(from, bytes),
            State::Stall(_) | State::FirstByte(_) | State::End(_) | State::Over => {}
        }
    }

    fn place(&self) -> Option<Place> {
        match &self.state {
            State::Stall(stall) => Some(stall.at),
            State::End(at) => Some(*at),
            _ => None,
        }
    }
}

impl Stall {
    fn advance(&mut self, at: &At) {
        let since = match self.at {
            Place::Bytes(place) if place <= at.passed => at.now,
            Place::Time(after) if at.begun.saturating_add(after) <= at.now => at.begun.saturating_add(after),
            Place::Bytes(_) | Place::Time(_) | Place::Events(_) => return,
        };
        self.holding.get_or_insert_with(|| Hold::after(since, self.hold));
    }
}
