//! What was asked of an exchange, in the words of the ledger: times in microseconds, sizes in bytes.

use std::time::Duration;

use super::{Action, Point};

impl Action {
    /// What the rule asks for, as the ledger's `asked` says it.
    #[must_use]
    pub fn asked(&self) -> String {
        match self {
            Self::Respond(respond) => match &respond.grpc {
                Some(grpc) => format!("grpc {}", grpc.code),
                None => respond.status.to_string(),
            },
            Self::RateLimit(limit) => format!(
                "{} per {:?}, burst {}",
                limit.bucket.tokens(),
                limit.bucket.period(),
                limit.bucket.burst()
            ),
            Self::Reset(reset) => point(reset.at),
            Self::Blackhole(hole) => hold(hole.hold),
            Self::Truncate(at) => point(*at),
            Self::Throttle(throttle) => {
                let way = |name: &str, rate: Option<u64>| rate.map(|rate| format!("{name} {rate} B/s"));
                let ways = [way("response", throttle.response), way("request", throttle.request)];
                ways.into_iter().flatten().collect::<Vec<_>>().join(", ")
            }
            Self::Stall(stall) => format!("{} {}", hold(stall.hold), point(stall.at)),
            Self::Loss(loss) => format!("{}% of segments", loss.rate.fraction() * 100.0),
            Self::Corrupt(corrupt) => format!("per {} B", corrupt.per),
            Self::DropResponse(_) => "after the upstream's answer".to_owned(),
            Self::Duplicate(duplicate) => format!("{} copies", duplicate.copies),
            Self::Storm(storm) => format!("{} copies", storm.copies),
            Self::Outage(outage) => format!("{:?}", outage.mode).to_ascii_lowercase(),
            Self::Stale(stale) => format!("{}us old", stale.age.as_micros()),
            Self::Goaway(goaway) => format!("code {}", goaway.code),
            Self::WebsocketClose(close) => format!("{} after {} events", close.code, close.after_events),
        }
    }
}

fn point(at: Point) -> String {
    match at {
        Point::BeforeHeaders => "before headers".to_owned(),
        Point::AfterHeaders => "after headers".to_owned(),
        Point::AfterBytes(bytes) => format!("after {bytes} B of body"),
        Point::AfterFraction(part) => format!("after {}% of body", part * 100.0),
        Point::AfterEvents(events) => format!("after {events} events"),
        Point::AfterTime(time) => format!("after {}us", time.as_micros()),
    }
}

fn hold(hold: Option<Duration>) -> String {
    hold.map_or("until the client leaves".to_owned(), |hold| format!("{}us", hold.as_micros()))
}
