//! What a recorded answer offers to a fault of the answer.

use std::time::Duration;

use captures::Exchange;
use captures::messages::StreamKind;
use fault_rules::Action;
use fault_rules::action::{Direction, Point};
use fault_rules::decide::Why;
use fault_rules::shape::{Payload, Shape};

/// Why the answer has no place for the fault; `None`: it has, or the fault is not of the answer.
pub(super) fn refuses(action: &Action, exchange: &Exchange) -> Option<Why> {
    if let Action::WebsocketClose(close) = action {
        let stream = exchange.stream.as_ref().filter(|stream| stream.kind == StreamKind::WebSocket);
        let Some(stream) = stream else { return Some(Why::WrongProtocol) };
        let messages = stream.count(false) + stream.truncated;
        return (messages < close.after_events).then_some(Why::NoSuchPoint);
    }
    let payload = Payload {
        direction: Direction::Response,
        length: promised_length(exchange),
        events: exchange.stream.is_some(),
    };
    let point = match action {
        Action::Reset(reset) => Some(reset.at),
        Action::Truncate(at) => Some(*at),
        Action::Stall(stall) => Some(stall.at),
        _ => None,
    };
    match Shape::of(action, &payload) {
        Err(why) => Some(why),
        Ok(_) => point.and_then(|point| (!reaches(point, exchange)).then_some(Why::NoSuchPoint)),
    }
}

/// The length that the answer's header promised; `None` where it promised none.
pub(super) fn promised_length(exchange: &Exchange) -> Option<u64> {
    let response = exchange.response.as_ref()?;
    let without = exchange.request.method == "HEAD" || matches!(response.status, 100..=199 | 204 | 304);
    if without && exchange.stream.is_none() {
        return Some(0);
    }
    let said = response.headers.get_str("content-length").and_then(|length| length.trim().parse().ok());
    // An access log knows no headers, and the length that it has is that of the whole body.
    let unknown_headers = response.headers.iter().next().is_none();
    said.or_else(|| (unknown_headers && exchange.stream.is_none()).then_some(response.body.len))
}

/// Whether the recorded answer came as far as a point.
fn reaches(point: Point, exchange: &Exchange) -> bool {
    let body = exchange.response.as_ref().map_or(0, |response| response.body.len);
    match point {
        Point::AfterBytes(bytes) => exchange.stream.is_some() || bytes <= body,
        Point::AfterEvents(events) => exchange.stream.as_ref().is_some_and(|stream| {
            let messages = stream.count(false) + stream.truncated;
            events <= messages
        }),
        Point::AfterTime(time) => exchange.duration_us.is_none_or(|duration| {
            let header = exchange.ttfb_us.unwrap_or_default();
            time <= Duration::from_micros(duration.saturating_sub(header))
        }),
        _ => true,
    }
}
