//! What a fault means for one direction of a given payload.

use std::time::Duration;

use super::Shape;
use crate::action::{Action, Direction, Point};
use crate::decide::Why;

/// A place in one direction's payload, once what there is to know of it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Behind exactly so many bytes.
    Bytes(u64),
    /// Behind so many messages, at least 1.
    Events(u64),
    /// So long after the payload began.
    Time(Duration),
}

/// What is known of a payload before its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload {
    /// Which way it goes.
    pub direction: Direction,
    /// Its length, where one was promised; 0 for an answer without a body.
    pub length: Option<u64>,
    /// Whether it is a stream whose messages can be told apart.
    pub events: bool,
}

impl Payload {
    /// The place of a point; `None` where the payload has none (or the point is before it).
    #[must_use]
    pub fn place(&self, point: Point) -> Option<Place> {
        match point {
            Point::BeforeHeaders => None,
            Point::AfterHeaders | Point::AfterEvents(0) => Some(Place::Bytes(0)),
            Point::AfterBytes(bytes) if self.length.is_some_and(|length| length < bytes) => None,
            Point::AfterBytes(bytes) => Some(Place::Bytes(bytes)),
            Point::AfterFraction(share) => {
                let length = self.length.filter(|length| *length != 0)?;
                Some(Place::Bytes(share_of(length, share)))
            }
            Point::AfterEvents(events) => self.events.then_some(Place::Events(events)),
            Point::AfterTime(time) => Some(Place::Time(time)),
        }
    }

    /// A place that something of the payload lies behind, as far as that is known.
    fn place_inside(&self, point: Point) -> Option<Place> {
        self.place(point).filter(|place| match (place, self.length) {
            (Place::Bytes(bytes), Some(length)) => *bytes < length,
            (_, length) => length != Some(0),
        })
    }
}

impl Shape {
    /// The part that a fault plays in a payload; none where it is about the other direction, or no byte of any.
    ///
    /// # Errors
    /// [`Why::NoSuchPoint`]: the payload has no such place, or nothing behind it.
    pub fn of(action: &Action, payload: &Payload) -> Result<Option<Self>, Why> {
        let way = payload.direction;
        let towards_client = way == Direction::Response;
        let shape = match action {
            Action::Throttle(throttle) => {
                let pace = if towards_client { throttle.response } else { throttle.request };
                let Some(bytes_per_second) = pace else { return Ok(None) };
                Self::Pace { bytes_per_second, piece: throttle.piece, gap: throttle.gap }
            }
            Action::Loss(loss) if loss.direction == way => Self::Loss(*loss),
            Action::Corrupt(corrupt) if corrupt.direction == way => Self::Corrupt(*corrupt, payload.length),
            Action::Stall(stall) if towards_client => {
                let at = payload.place_inside(stall.at).ok_or(Why::NoSuchPoint)?;
                return Ok(Some(Self::Stall { at, hold: stall.hold, end: stall.end }));
            }
            Action::Truncate(point) if towards_client => {
                return payload.place_inside(*point).map(|at| Some(Self::End(at))).ok_or(Why::NoSuchPoint);
            }
            Action::Reset(reset) if towards_client && reset.at != Point::BeforeHeaders => {
                return payload.place(reset.at).map(|at| Some(Self::End(at))).ok_or(Why::NoSuchPoint);
            }
            Action::WebsocketClose(close) if towards_client => {
                let at = payload.place(Point::AfterEvents(close.after_events)).ok_or(Why::NoSuchPoint)?;
                return Ok(Some(Self::End(at)));
            }
            _ => return Ok(None),
        };
        if payload.length == Some(0) { Err(Why::NoSuchPoint) } else { Ok(Some(shape)) }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn share_of(length: u64, share: f64) -> u64 {
    // lengths above 2^53 do not occur, and the share lies between 0 and 1
    ((length as f64) * share) as u64
}
