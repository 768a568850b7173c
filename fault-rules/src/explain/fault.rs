//! Faults in words.

use std::time::Duration;

use super::numbers::{copies, percent, rounded, size, time};
use super::{wait, who};
use crate::action::{
    Action, Blackhole, Corrupt, CorruptKind, Direction, DropResponse, End, Loss, Outage, OutageMode, Point,
    RateLimit, Reset, Respond, Stall, Storm, StormWhen, Throttle, WebsocketClose,
};
use crate::codes;

pub(super) fn of(action: &Action) -> String {
    match action {
        Action::Respond(respond) => answer(respond),
        Action::RateLimit(limit) => rate_limit(limit),
        Action::Reset(found) => reset(found),
        Action::Blackhole(Blackhole { hold, end }) => {
            format!("no answer {}, then {}", held(*hold), ended(*end))
        }
        Action::Truncate(at) => truncate(*at),
        Action::Throttle(found) => throttle(found),
        Action::Stall(found) => stall(found),
        Action::Loss(found) => loss(found),
        Action::Corrupt(found) => corrupt(found),
        Action::DropResponse(found) => drop_response(found),
        Action::Duplicate(found) => {
            let apart =
                if found.after.is_zero() { "at once" } else { &format!("{} apart", time(found.after)) };
            format!(
                "send {} to the upstream besides, {apart}; the client gets the first answer",
                copies(found.copies)
            )
        }
        Action::Storm(found) => storm(found),
        Action::Outage(found) => outage(found),
        Action::Stale(found) => format!(
            "an answer that is at least {} old, to the same request of the same user, where there is one",
            time(found.age)
        ),
        Action::Goaway(found) if found.is_graceful() => {
            "the connection takes no more requests: GOAWAY on HTTP/2, `connection: close` on HTTP/1"
                .to_owned()
        }
        Action::Goaway(found) => format!(
            "GOAWAY {} and the end of the HTTP/2 connection with all of its streams; close on HTTP/1",
            codes::http2(found.code)
        ),
        Action::WebsocketClose(found) => websocket_close(found),
    }
}

fn answer(respond: &Respond) -> String {
    match (&respond.grpc, respond.body.len()) {
        (Some(grpc), _) if grpc.message.is_empty() => {
            format!("answer with gRPC status {}", codes::grpc(grpc.code))
        }
        (Some(grpc), _) => format!("answer with gRPC status {} ({})", codes::grpc(grpc.code), grpc.message),
        (None, 0) => format!("answer {}", respond.status),
        (None, bytes) => format!("answer {} with {bytes} B", respond.status),
    }
}

fn rate_limit(limit: &RateLimit) -> String {
    let bucket = limit.bucket;
    let (tokens, period, burst) = (bucket.tokens(), time(bucket.period()), bucket.burst());
    let per = who::per(&limit.per);
    format!(
        "let {tokens} per {period} through for {per} (burst {burst}), {} to the rest",
        answer(&limit.refusal)
    )
}

fn reset(reset: &Reset) -> String {
    let code = match codes::http2(reset.code) {
        usual if usual == "INTERNAL_ERROR" => String::new(),
        code => format!(" (on HTTP/2 {code})"),
    };
    let scope = if reset.connection { ", on HTTP/2 the whole connection" } else { "" };
    format!("reset {}{code}{scope}", point(reset.at))
}

fn point(at: Point) -> String {
    match at {
        Point::BeforeHeaders => "before headers".to_owned(),
        Point::AfterHeaders => "after headers".to_owned(),
        Point::AfterBytes(bytes) => format!("after {bytes} B of body"),
        Point::AfterFraction(part) => format!("after {} of body{UNKNOWN_LENGTH}", percent(part)),
        Point::AfterEvents(1) => "after 1 event".to_owned(),
        Point::AfterEvents(events) => format!("after {events} events"),
        Point::AfterTime(after) => format!("{} after headers", time(after)),
    }
}

fn truncate(at: Point) -> String {
    match at {
        Point::AfterFraction(part) => {
            format!("cut the body after {} of its promised length{UNKNOWN_LENGTH}", percent(part))
        }
        Point::AfterBytes(bytes) => format!("cut the body after {bytes} B of its promised length"),
        _ => "cut the whole body of its promised length".to_owned(),
    }
}

fn throttle(throttle: &Throttle) -> String {
    let way = |pace: Option<u64>, to: &str| pace.map(|pace| format!("{}/s to the {to}", size(pace)));
    let ways: Vec<_> =
        [way(throttle.response, "client"), way(throttle.request, "upstream")].into_iter().flatten().collect();
    let piece = throttle.piece.map_or(String::new(), |piece| format!(", in pieces of {piece} B"));
    let gap =
        if throttle.gap.is_zero() { String::new() } else { format!(", {} between two", time(throttle.gap)) };
    format!("at most {}{piece}{gap}", ways.join(" and "))
}

fn stall(stall: &Stall) -> String {
    let then = match stall.end {
        None if stall.hold.is_none() => String::new(),
        None => ", then go on".to_owned(),
        Some(end) => format!(", then {}", ended(end)),
    };
    format!("stop {} {}{then}", point(stall.at), held(stall.hold))
}

fn loss(loss: &Loss) -> String {
    format!(
        "{} of segments of {} B {} lost: each stops everything for {}, twice as long when its repeat is lost too, at most {}",
        percent(loss.rate.fraction()),
        loss.segment,
        direction(loss.direction),
        time(loss.rto),
        time(loss.max_rto)
    )
}

fn corrupt(corrupt: &Corrupt) -> String {
    let what = match corrupt.kind {
        CorruptKind::Bitflip => "flip one bit",
        CorruptKind::Zero => "zero one byte",
    };
    format!("{what} in each {} of body {}", size(corrupt.per), direction(corrupt.direction))
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Request => "to the upstream",
        Direction::Response => "to the client",
    }
}

fn drop_response(lost: &DropResponse) -> String {
    let client = match lost {
        DropResponse::End(end) => ended(*end).to_owned(),
        DropResponse::Respond(respond) => answer(respond),
        DropResponse::Blackhole(hold, end) => format!("nothing {}, then {}", held(*hold), ended(*end)),
    };
    format!("the upstream does its work and its answer is lost; the client gets: {client}")
}

fn storm(storm: &Storm) -> String {
    let when = |when: &StormWhen| match when {
        StormWhen::Class(class) => format!("{class}xx"),
        StormWhen::Status(status) => status.to_string(),
        StormWhen::SlowerThan(limit) => format!("slower than {}", time(*limit)),
        StormWhen::Failure => "failure".to_owned(),
    };
    let when: Vec<_> = storm.when.iter().map(when).collect();
    let wait = match (storm.backoff.first, storm.backoff.factor) {
        (Duration::ZERO, _) => " at once".to_owned(),
        (first, 1.0) => format!(", each {} after the last", time(first)),
        (first, factor) => {
            format!(", the first after {} and each wait {} times the last", time(first), rounded(factor))
        }
    };
    let (copies, cap) = (copies(storm.copies), storm.max_amplification);
    format!("on {} send {copies}{wait}, up to {cap}x in all", when.join(" or "))
}

fn outage(outage: &Outage) -> String {
    let dark = match outage.mode {
        OutageMode::Refuse => "the upstream refuses: 502 at once",
        OutageMode::Reset => "the upstream resets, and so is the client",
        OutageMode::Blackhole => "the upstream is silent: 504 when the time to connect is over",
    };
    let Some(failover) = &outage.failover else { return dark.to_owned() };
    let slower =
        failover.added_delay.as_ref().map_or(String::new(), |delay| format!(" ({} more)", wait::of(delay)));
    format!(
        "{dark}; after {} group {} takes over{slower}, until {} after the outage",
        time(failover.after),
        failover.to,
        time(failover.failback)
    )
}

fn websocket_close(close: &WebsocketClose) -> String {
    let code = match close.code {
        1006 => "end the WebSocket without a close frame".to_owned(),
        code if close.reason.is_empty() => format!("close the WebSocket with {code}"),
        code => format!("close the WebSocket with {code} ({})", close.reason),
    };
    match close.after_events {
        0 => format!("{code} after the handshake"),
        1 => format!("{code} after 1 message"),
        events => format!("{code} after {events} messages"),
    }
}

fn held(hold: Option<Duration>) -> String {
    hold.map_or("until the client leaves".to_owned(), |hold| format!("for {}", time(hold)))
}

fn ended(end: End) -> &'static str {
    match end {
        End::Reset => "reset",
        End::Close => "close",
    }
}

/// Where a share asks for a length that a stream does not promise.
const UNKNOWN_LENGTH: &str = " (answers of unknown length pass whole)";
