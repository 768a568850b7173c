//! A shape as figures with stable names.

use std::collections::BTreeMap;

use serde::Serialize;

use super::curve::WINDOWS;
use super::histogram::Percentiles;
use super::{OfRoute, Rate, Shape};
use crate::export::rfc3339;
use crate::limits::MAX_COUNTED;

/// The shape of a capture. The names are stable; lists are bounded, and what does not fit is their last entry, `other`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Requests by route, the most frequent first; at most [`MAX_COUNTED`], the rest as `other`.
    pub routes: Vec<RouteFigures>,
    /// Requests of a session.
    pub session_requests: Option<Percentiles>,
    /// Microseconds from the start of a session's first request to the end of its last answer.
    pub session_duration_us: Option<Percentiles>,
    /// Microseconds from the end of every earlier answer of the session to the start of the next request; where no end is
    /// known, from start to start.
    pub think_us: Option<Percentiles>,
    /// Requests that began while an earlier one of their session was under way: nobody thought before them.
    pub overlapping: u64,
    /// Bytes of a request, head and body, as HTTP/1.1 writes them; of heads what was recorded.
    pub request_bytes: Option<Percentiles>,
    /// The same of an answer.
    pub response_bytes: Option<Percentiles>,
    /// Requests a second.
    pub rate: Option<Rate>,
    /// The arrival curve.
    pub arrivals: Option<Arrivals>,
    /// Index of dispersion of counts, at every window length that the capture has enough of.
    pub dispersion: Vec<Dispersion>,
    /// Which route follows which, the most frequent first; at most [`MAX_COUNTED`], the rest as from and to `other`.
    /// `(start)` and `(end)` are the ends of a session.
    pub transitions: Vec<Transition>,
    /// Sessions that were taken as ended because too many were open at once; one that went on counts again.
    pub split_sessions: u64,
}

/// Requests of one route.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RouteFigures {
    /// Method and path, identifiers as `{id}`.
    pub name: String,
    /// How many.
    pub requests: u64,
    /// Of all requests; 0 to 1.
    pub share: f64,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without an answer.
    pub unanswered: u64,
    /// Bytes of a request, in the mean.
    pub mean_request_bytes: f64,
    /// Bytes of an answer, in the mean of those that were answered.
    pub mean_response_bytes: f64,
}

/// Counts over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Arrivals {
    /// When the first mark begins, RFC 3339.
    pub from: String,
    /// Length of each mark in microseconds.
    pub mark_us: u64,
    /// Requests that began in each mark.
    pub requests: Vec<u64>,
    /// Sessions that began in each mark.
    pub sessions: Vec<u64>,
}

/// Variance by mean of the counts in windows of one length: 1 is Poisson, more is bursty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Dispersion {
    /// Length of the windows in microseconds.
    pub window_us: u64,
    /// Of requests.
    pub requests: Option<f64>,
    /// Of the starts of sessions.
    pub sessions: Option<f64>,
}

/// How often one route followed another within a session.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Transition {
    /// The route, or `(start)`.
    pub from: String,
    /// The next one, or `(end)`.
    pub to: String,
    /// How often.
    pub count: u64,
    /// Of all that came after `from`; 0 to 1.
    pub probability: f64,
}

impl Shape {
    /// The figures, once every session is ended.
    pub(crate) fn figures(&self) -> Figures {
        Figures {
            routes: self.route_figures(),
            session_requests: self.lengths.percentiles(),
            session_duration_us: self.lasting.percentiles(),
            think_us: self.think.percentiles(),
            overlapping: self.overlapping,
            request_bytes: self.request_bytes.percentiles(),
            response_bytes: self.response_bytes.percentiles(),
            rate: self.requests.rate(),
            arrivals: self.arrivals(),
            dispersion: self.dispersion(),
            transitions: self.transition_figures(),
            split_sessions: self.split,
        }
    }

    /// Numbers of routes with their requests, the most frequent first.
    pub(crate) fn frequent(&self) -> Vec<(u32, u64)> {
        let mut routes: Vec<(u32, u64)> = (0..).zip(self.by_route.iter().map(|of| of.requests)).collect();
        routes.retain(|(_, requests)| *requests != 0);
        routes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| self.routes.name(a.0).cmp(self.routes.name(b.0))));
        routes
    }

    fn route_figures(&self) -> Vec<RouteFigures> {
        let mut statuses: BTreeMap<u32, BTreeMap<u16, u64>> = BTreeMap::new();
        for ((route, status), count) in self.statuses.sorted() {
            *statuses.entry(route).or_default().entry(status).or_default() += count;
        }
        let total = self.requests.count();
        let (mut listed, mut rest) = (Vec::new(), (OfRoute::default(), BTreeMap::new()));
        for (route, _) in self.frequent() {
            let of = self.by_route[route as usize];
            let mut statuses = statuses.remove(&route).unwrap_or_default();
            if route != super::routes::OTHER && listed.len() < MAX_COUNTED {
                listed.push(of.figures(self.routes.name(route), statuses, total));
                continue;
            }
            rest.0.add(of);
            while let Some((status, count)) = statuses.pop_first() {
                *rest.1.entry(status).or_default() += count;
            }
        }
        if rest.0.requests != 0 {
            listed.push(rest.0.figures("other", rest.1, total));
        }
        listed
    }

    fn arrivals(&self) -> Option<Arrivals> {
        let span = self.requests.span()?;
        // a mark is no narrower than the bins of either
        let finer = self.requests.width_us() <= self.sessions.width_us();
        let (coarse, other) =
            if finer { (&self.sessions, &self.requests) } else { (&self.requests, &self.sessions) };
        let (mark_us, marks) = coarse.marks(span, MARKS);
        let (_, others) = other.marks(span, MARKS);
        let (requests, sessions) = if finer { (others, marks) } else { (marks, others) };
        Some(Arrivals { from: rfc3339(span.0), mark_us, requests, sessions })
    }

    fn dispersion(&self) -> Vec<Dispersion> {
        let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
        let at = |window_us| Dispersion {
            window_us,
            requests: self.requests.dispersion(window_us).map(rounded),
            sessions: self.sessions.dispersion(window_us).map(rounded),
        };
        WINDOWS.into_iter().map(at).filter(|at| at.requests.is_some() || at.sessions.is_some()).collect()
    }

    fn transition_figures(&self) -> Vec<Transition> {
        let sorted = self.transitions.sorted();
        let mut from_each: BTreeMap<u32, u64> = BTreeMap::new();
        for ((from, _), count) in &sorted {
            *from_each.entry(*from).or_default() += count;
        }
        let transition = |((from, to), count): &((u32, u32), u64)| Transition {
            from: self.routes.name(*from).to_owned(),
            to: self.routes.name(*to).to_owned(),
            count: *count,
            probability: ratio(*count, from_each[from]),
        };
        let mut listed: Vec<Transition> = sorted.iter().take(MAX_COUNTED).map(transition).collect();
        let beyond: u64 = sorted.iter().skip(MAX_COUNTED).map(|(_, count)| count).sum();
        let (rest, all) = (beyond + self.transitions.others(), from_each.values().sum::<u64>());
        if rest != 0 {
            let other = || "other".to_owned();
            let probability = ratio(rest, all + self.transitions.others());
            listed.push(Transition { from: other(), to: other(), count: rest, probability });
        }
        listed
    }
}

impl OfRoute {
    fn add(&mut self, other: OfRoute) {
        self.requests += other.requests;
        self.unanswered += other.unanswered;
        self.request_bytes = self.request_bytes.saturating_add(other.request_bytes);
        self.response_bytes = self.response_bytes.saturating_add(other.response_bytes);
    }

    fn figures(self, name: &str, statuses: BTreeMap<u16, u64>, total: u64) -> RouteFigures {
        let mean = |bytes: u64, of: u64| (bytes as f64 / of.max(1) as f64 * 10.0).round() / 10.0;
        RouteFigures {
            name: name.to_owned(),
            requests: self.requests,
            share: ratio(self.requests, total),
            statuses,
            unanswered: self.unanswered,
            mean_request_bytes: mean(self.request_bytes, self.requests),
            mean_response_bytes: mean(self.response_bytes, self.requests - self.unanswered),
        }
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    (part as f64 / whole.max(1) as f64 * 10_000.0).round() / 10_000.0
}

/// As many as fit on a line.
const MARKS: u64 = 60;
