//! The shape of traffic: how long sessions are, how long their users think, when they come, what they ask for and in
//! which order. One pass, and memory that does not grow with the capture.

pub(crate) mod counted;
pub(crate) mod curve;
pub(crate) mod distance;
mod figures;
pub(crate) mod histogram;
pub(crate) mod routes;
pub(crate) mod walks;

use counted::Counted;
use curve::Curve;
use histogram::Histogram;
use routes::{END, Routes};
use walks::{Gap, Step, Walk, Walks};

use crate::limits::{MAX_ROUTES, MAX_TRANSITIONS};
use crate::{Exchange, Headers};

pub use curve::Rate;
pub use distance::Distances;
pub use figures::{Arrivals, Dispersion, Figures, RouteFigures, Transition};
pub use histogram::{Percentiles, bounds, bucket};

/// What is counted of a capture, exchange by exchange.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) routes: Routes,
    pub(crate) requests: Curve,
    pub(crate) sessions: Curve,
    pub(crate) lengths: Histogram,
    pub(crate) think: Histogram,
    pub(crate) transitions: Counted<(u32, u32)>,
    lasting: Histogram,
    overlapping: u64,
    split: u64,
    by_route: Vec<OfRoute>,
    statuses: Counted<(u32, u16)>,
    request_bytes: Histogram,
    response_bytes: Histogram,
    walks: Walks,
}

/// Sums of one route.
#[derive(Clone, Copy, Debug, Default)]
struct OfRoute {
    requests: u64,
    unanswered: u64,
    request_bytes: u64,
    response_bytes: u64,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape {
            routes: Routes::default(),
            requests: Curve::default(),
            sessions: Curve::default(),
            lengths: Histogram::default(),
            think: Histogram::default(),
            transitions: Counted::new(MAX_TRANSITIONS),
            lasting: Histogram::default(),
            overlapping: 0,
            split: 0,
            by_route: Vec::new(),
            statuses: Counted::new(MAX_ROUTES),
            request_bytes: Histogram::default(),
            response_bytes: Histogram::default(),
            walks: Walks::default(),
        }
    }
}

impl Shape {
    /// Counts an exchange; tells which step of its session it was, and which sessions are given up as ended.
    pub(crate) fn observe(&mut self, exchange: &Exchange) -> (Step, Vec<Walk>) {
        let route = self.routes.of(exchange);
        self.count(exchange, route);
        self.requests.add(exchange.start_us);
        let step = self.walks.step(exchange, route);
        self.transitions.add((step.from, route));
        match step.gap {
            Gap::First => {}
            Gap::Think(us) => self.think.add(us),
            Gap::Overlap(_) => self.overlapping += 1,
        }
        let overdue = self.walks.overdue();
        self.split += overdue.len() as u64;
        overdue.iter().for_each(|walk| self.end(walk));
        (step, overdue)
    }

    /// Counts the sessions that are still open, and hands them over.
    pub(crate) fn finish(&mut self) -> Vec<Walk> {
        let walks: Vec<Walk> = self.walks.finish().collect();
        walks.iter().for_each(|walk| self.end(walk));
        walks
    }

    fn end(&mut self, walk: &Walk) {
        self.sessions.add(walk.first_us);
        self.lengths.add(walk.requests);
        self.lasting.add(walk.end_us.max(walk.last_us) - walk.first_us);
        self.transitions.add((walk.route, END));
    }

    fn count(&mut self, exchange: &Exchange, route: u32) {
        if self.by_route.len() <= route as usize {
            self.by_route.resize(route as usize + 1, OfRoute::default());
        }
        let of_route = &mut self.by_route[route as usize];
        let request = &exchange.request;
        let line = request.method.len() + request.target.len() + LINE;
        let bytes = head(line, &request.headers).saturating_add(request.body.len);
        of_route.requests += 1;
        of_route.request_bytes = of_route.request_bytes.saturating_add(bytes);
        self.request_bytes.add(bytes);
        match &exchange.response {
            None => of_route.unanswered += 1,
            Some(response) => {
                let bytes = head(LINE, &response.headers).saturating_add(response.body.len);
                of_route.response_bytes = of_route.response_bytes.saturating_add(bytes);
                self.response_bytes.add(bytes);
                self.statuses.add((route, response.status));
            }
        }
    }
}

/// Bytes of a head as HTTP/1.1 writes it.
fn head(line: usize, headers: &Headers) -> u64 {
    (line + headers.byte_len() + 4 * headers.len() + 2) as u64
}

/// ` `, ` HTTP/1.1` and the end of the line; about the same for the line of a status.
const LINE: usize = 13;
