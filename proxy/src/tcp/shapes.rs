//! A fault, as the flows of a connection carry it out from now on.
//!
//! Points count from where the rule began to act: "after 5000 B" on a connection that was there already means 5000 bytes
//! from now.

use std::time::{Duration, Instant};

use fault_rules::Action;
use fault_rules::action::{Direction, End, OutageMode, Point};
use fault_rules::delay::At;
use fault_rules::shape::{Payload, Place, Shape};

use super::asked::What;
use super::flow::Flow;
use super::parts::Part;

/// Has the flows of a connection carry out a part.
pub(super) fn begin(part: &Part, start: Instant, (up, down): (&mut Flow, &mut Flow)) {
    let acts_since = part.since - start;
    for flow in [up, down] {
        if part.wish.way.is_some_and(|way| way != flow.way) {
            continue;
        }
        match &part.wish.what {
            What::Delay(lag) if is_of(lag.at(), flow.way) => flow.add_lag(part.tag, lag, part.since),
            What::Delay(_) | What::Detour(_) => {}
            What::Fault(action) => {
                // a direction that is given beside the fault is the one it is about
                let view = if part.wish.way.is_some() { Direction::Response } else { flow.way };
                if let Some(shape) = shape(action, view, acts_since) {
                    flow.add_shape(part.tag, shape.from(flow.passed(), acts_since), part.wish.key);
                }
            }
        }
    }
}

/// Which bytes a delay is about.
fn is_of(at: At, way: Direction) -> bool {
    match at {
        At::Request => way == Direction::Request,
        At::Response => way == Direction::Response,
        At::Close => true,
        At::Connect | At::FirstByte => false,
    }
}

/// The shape of a fault, its places counted from now.
fn shape(action: &Action, way: Direction, acts_since: Duration) -> Option<From> {
    let silence = |hold, end| From::Here(Shape::Stall { at: Place::Bytes(0), hold, end: Some(end) });
    // an end by time is not held up by another rule's silence
    let at_once = From::There(Shape::End(Place::Time(acts_since)));
    match action {
        Action::Blackhole(hole) => Some(silence(hole.hold, hole.end)),
        Action::Outage(outage) => match outage.mode {
            OutageMode::Blackhole => Some(silence(None, End::Reset)),
            OutageMode::Reset if way == Direction::Response => Some(at_once),
            OutageMode::Reset | OutageMode::Refuse => None,
        },
        Action::Reset(reset) if reset.at == Point::BeforeHeaders => {
            (way == Direction::Response).then_some(at_once)
        }
        action => {
            let payload = Payload { direction: way, length: None, events: false };
            Shape::of(action, &payload).ok().flatten().map(From::Here)
        }
    }
}

/// Where the places of a shape count from.
enum From {
    /// Where and when the rule began to act.
    Here(Shape),
    /// The connection's beginning.
    There(Shape),
}

impl From {
    fn from(self, passed: u64, acts_since: Duration) -> Shape {
        let moved = |place| match place {
            Place::Bytes(bytes) => Place::Bytes(bytes + passed),
            Place::Time(time) => Place::Time(time + acts_since),
            Place::Events(events) => Place::Events(events),
        };
        match self {
            From::There(shape) => shape,
            From::Here(Shape::Stall { at, hold, end }) => Shape::Stall { at: moved(at), hold, end },
            From::Here(Shape::End(at)) => Shape::End(moved(at)),
            From::Here(shape) => shape,
        }
    }
}

/// How a connection ends by a fault: reset or closed.
pub(super) fn end_of(action: &Action) -> End {
    match action {
        Action::Truncate(_) => End::Close,
        Action::Stall(stall) => stall.end.unwrap_or(End::Close),
        Action::Blackhole(hole) => hole.end,
        _ => End::Reset,
    }
}

/// Whether it ends a connection at a moment, whatever is under way; else what passed before it is to arrive.
pub(super) fn is_abrupt(action: &Action) -> bool {
    match action {
        Action::Reset(reset) => matches!(reset.at, Point::BeforeHeaders | Point::AfterTime(_)),
        action => matches!(action, Action::Outage(_)),
    }
}
