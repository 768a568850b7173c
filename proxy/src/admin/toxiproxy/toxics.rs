//! Toxics, and the rules of ours that they become.

use std::time::Duration;

use fault_rules::action::{Blackhole, Direction, End, Outage, OutageMode, Point, Reset, Throttle};
use fault_rules::delay::{At, Delay, Dist, Mode, Table};
use fault_rules::matcher::Matcher;
use fault_rules::rule::{Outcome, Window};
use fault_rules::select::{By, Rate};
use fault_rules::{Action, Rule};
use serde_json::{Map, Value, json};

use super::shapes::{Problem, ToxicIn};

/// A toxic, valid.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Toxic {
    pub(super) name: String,
    kind: Kind,
    stream: Direction,
    toxicity: f64,
    /// In the order of the kind's attributes.
    values: [u64; 3],
}

/// The original's types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Noop,
    Latency,
    Bandwidth,
    SlowClose,
    Timeout,
    ResetPeer,
    Slicer,
    LimitData,
}

const KINDS: [(&str, Kind, &[&str]); 8] = [
    ("noop", Kind::Noop, &[]),
    ("latency", Kind::Latency, &["latency", "jitter"]),
    ("bandwidth", Kind::Bandwidth, &["rate"]),
    ("slow_close", Kind::SlowClose, &["delay"]),
    ("timeout", Kind::Timeout, &["timeout"]),
    ("reset_peer", Kind::ResetPeer, &["timeout"]),
    ("slicer", Kind::Slicer, &["average_size", "size_variation", "delay"]),
    ("limit_data", Kind::LimitData, &["bytes"]),
];

impl Kind {
    fn word(self) -> &'static str {
        self.entry().0
    }

    fn attributes(self) -> &'static [&'static str] {
        self.entry().2
    }

    fn entry(self) -> &'static (&'static str, Kind, &'static [&'static str]) {
        KINDS.iter().find(|(_, kind, _)| *kind == self).unwrap_or(&KINDS[0])
    }
}

/// What a toxic becomes.
pub(super) struct Made {
    pub(super) rule: Rule,
    /// The direction it is about, where its fault does not say it (TCP edges).
    pub(super) way: Option<Direction>,
}

impl Toxic {
    /// A new toxic.
    pub(super) fn read(asked: ToxicIn) -> Result<Self, Problem> {
        let stream = stream(asked.stream.as_deref().unwrap_or_default())?;
        let word = asked.kind.unwrap_or_default();
        let known = KINDS.iter().find(|(known, _, _)| *known == word);
        let kind = known.map(|(_, kind, _)| *kind).ok_or_else(|| {
            let words: Vec<_> = KINDS.iter().map(|(word, _, _)| *word).collect();
            Problem::bad(format!("invalid toxic type: `{word}` is none of {}", words.join(", ")))
        })?;
        let usual = || format!("{}_{}", kind.word(), stream_name(stream));
        let name = asked.name.filter(|name| !name.is_empty()).unwrap_or_else(usual);
        super::check_name("toxic", &name)?;
        let new = Toxic { name, kind, stream, toxicity: 1.0, values: [0; 3] };
        new.with(asked.toxicity, asked.attributes)
    }

    /// The same with other values; what is not named stays.
    pub(super) fn updated(&self, asked: ToxicIn) -> Result<Self, Problem> {
        let same = |said: Option<String>, is: &str, what: &str| match said {
            Some(said) if said != is => {
                Err(Problem::bad(format!("a toxic keeps its {what}: delete it and make another")))
            }
            _ => Ok(()),
        };
        same(asked.name, &self.name, "name")?;
        same(asked.kind, self.kind.word(), "type")?;
        same(asked.stream, stream_name(self.stream), "stream")?;
        self.clone().with(asked.toxicity, asked.attributes)
    }

    fn with(
        mut self,
        toxicity: Option<f64>,
        attributes: Option<Map<String, Value>>,
    ) -> Result<Self, Problem> {
        if let Some(toxicity) = toxicity {
            if !(0.0..=1.0).contains(&toxicity) {
                return Err(Problem::bad(format!("toxicity {toxicity} is no share: write 0 to 1")));
            }
            self.toxicity = toxicity;
        }
        let known = self.kind.attributes();
        for (name, value) in attributes.unwrap_or_default() {
            let Some(place) = known.iter().position(|known| *known == name) else {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Problem::bad(format!(
                    "`{}` has no attribute `{name}`; it has {known}",
                    self.kind.word()
                )));
            };
            self.values[place] = value.as_u64().filter(|value| *value <= MOST).ok_or_else(|| {
                Problem::bad(format!("attribute {name}: {value} is no whole number from 0 to {MOST}"))
            })?;
        }
        self.check()?;
        Ok(self)
    }

    fn check(&self) -> Result<(), Problem> {
        let [size, variation, delay] = self.values;
        let longest = match self.kind {
            Kind::Slicer if size == 0 => return Err(Problem::bad("slicer: average_size wants 1 or more")),
            Kind::Slicer if size <= variation => {
                return Err(Problem::bad("slicer: size_variation wants to be below average_size"));
            }
            Kind::Slicer => Duration::from_micros(delay),
            Kind::Latency => Duration::from_millis(self.values[0]) + Duration::from_millis(self.values[1]),
            Kind::SlowClose | Kind::Timeout | Kind::ResetPeer => Duration::from_millis(self.values[0]),
            Kind::Bandwidth if MOST_RATE < self.values[0] => {
                return Err(Problem::bad(format!("bandwidth: rate wants 0 to {MOST_RATE} KB/s")));
            }
            Kind::Noop | Kind::Bandwidth | Kind::LimitData => Duration::ZERO,
        };
        if LONGEST < longest {
            return Err(Problem::bad("no time may be longer than 24 hours"));
        }
        Ok(())
    }

    /// As it is told.
    pub(super) fn json(&self) -> Value {
        let values = self.kind.attributes().iter().zip(self.values);
        let attributes: Map<String, Value> =
            values.map(|(name, value)| ((*name).to_owned(), value.into())).collect();
        json!({
            "attributes": attributes,
            "name": self.name,
            "type": self.kind.word(),
            "stream": stream_name(self.stream),
            "toxicity": self.toxicity,
        })
    }

    /// The rule on an edge; none where there is nothing to do.
    pub(super) fn rule(&self, id: String, edge: &str, is_tcp: bool) -> Result<Option<Made>, Problem> {
        let ms = Duration::from_millis(self.values[0]);
        let downstream = self.stream == Direction::Response;
        let way = is_tcp.then_some(self.stream);
        let (delay, action, way) = match self.kind {
            Kind::Noop => return Ok(None),
            Kind::Latency => {
                let at = if downstream { At::Response } else { At::Request };
                (Some(self.latency().placed(at, Mode::Add)), None, None)
            }
            // "timeout 0" and "rate 0" both mean that nothing gets through until the toxic is gone
            Kind::Timeout => (None, Some(hole(Some(ms).filter(|ms| !ms.is_zero()), End::Close)), way),
            Kind::Bandwidth if self.values[0] == 0 => (None, Some(hole(None, End::Close)), way),
            Kind::Bandwidth => (None, Some(self.pace(self.values[0] * 1000, None, Duration::ZERO)), None),
            Kind::Slicer => {
                let gap = Duration::from_micros(self.values[2]);
                (None, Some(self.pace(UNBOUND, Some(self.values[0]), gap)), None)
            }
            Kind::SlowClose if is_tcp => {
                let delay = Delay::new(Dist::Fixed(ms)).placed(At::Close, Mode::Add);
                (Some(delay), None, way)
            }
            Kind::SlowClose => {
                return Err(Problem::bad(
                    "slow_close: an HTTP edge has no close to delay; use latency, or a TCP edge",
                ));
            }
            Kind::ResetPeer if ms.is_zero() => {
                (None, Some(Action::Reset(Reset::at(Point::BeforeHeaders))), None)
            }
            Kind::ResetPeer if is_tcp => (None, Some(Action::Reset(Reset::at(Point::AfterTime(ms)))), None),
            Kind::ResetPeer => (None, Some(hole(Some(ms), End::Reset)), None),
            Kind::LimitData if is_tcp || downstream => {
                (None, Some(Action::Truncate(Point::AfterBytes(self.values[0]))), way)
            }
            Kind::LimitData => {
                return Err(Problem::bad(
                    "limit_data: an HTTP edge limits answers only; use stream downstream",
                ));
            }
        };
        let (parts, whole) = ((self.toxicity * WHOLE as f64).round() as u64, WHOLE);
        let rule = make(id, edge, Rate::of(parts, whole), (delay, action));
        Ok(Some(Made { rule, way }))
    }

    /// Evenly between latency - jitter and latency + jitter; what would be below zero is zero.
    fn latency(&self) -> Delay {
        let [latency, jitter, _] = self.values;
        let ms = Duration::from_millis;
        let dist = match latency.checked_sub(jitter) {
            _ if jitter == 0 => Dist::Fixed(ms(latency)),
            Some(low) => Dist::Uniform { low: ms(low), high: ms(latency + jitter) },
            None => {
                let at_once = (jitter - latency) as f64 / (2 * jitter) as f64;
                let points = [(at_once, Duration::ZERO), (1.0, ms(latency + jitter))];
                Table::new(&points).map_or(Dist::Fixed(ms(latency)), |table| Dist::Table(table.into()))
            }
        };
        Delay::new(dist)
    }

    fn pace(&self, bytes: u64, piece: Option<u64>, gap: Duration) -> Action {
        let (response, request) = match self.stream {
            Direction::Response => (Some(bytes), None),
            Direction::Request => (None, Some(bytes)),
        };
        Action::Throttle(Throttle { response, request, piece, gap })
    }
}

/// What stands for a proxy that is switched off where its listener has to stay: an HTTP edge.
pub(super) fn down(id: String, edge: &str) -> Rule {
    let outage = Action::Outage(Outage { mode: OutageMode::Reset, failover: None });
    make(id, edge, Rate::ALL, (None, Some(outage)))
}

fn hole(hold: Option<Duration>, end: End) -> Action {
    Action::Blackhole(Blackhole { hold, end })
}

fn make(id: String, edge: &str, rate: Rate, (delay, action): (Option<Delay>, Option<Action>)) -> Rule {
    let outcome = action.map(|action| Outcome { weight: 1, delay: None, action: Some(action) });
    Rule {
        id,
        on: Matcher::of_edge(edge),
        rate,
        by: By::Connection,
        attempts: None,
        shard: None,
        every: None,
        burst: None,
        window: Window::default(),
        delay,
        outcomes: outcome.into_iter().collect(),
        guard: None,
        line: 0,
    }
}

fn stream(text: &str) -> Result<Direction, Problem> {
    match text.to_ascii_lowercase().as_str() {
        "" | "downstream" => Ok(Direction::Response),
        "upstream" => Ok(Direction::Request),
        _ => Err(Problem::bad("stream was invalid, can be either upstream or downstream")),
    }
}

fn stream_name(stream: Direction) -> &'static str {
    match stream {
        Direction::Request => "upstream",
        Direction::Response => "downstream",
    }
}

/// Toxicities are floats of a client: held exactly.
const WHOLE: u64 = 1 << 62;
const MOST: u64 = 1_000_000_000_000;
/// In KB/s, as far as a throttle goes.
const MOST_RATE: u64 = 1_000_000_000;
/// Bytes a second that bound nothing.
const UNBOUND: u64 = 1_000_000_000_000;
const LONGEST: Duration = Duration::from_hours(24);
