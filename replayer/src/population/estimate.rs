//! What a plan will need, before the first packet: from the windows alone, at a cost that does not grow with the
//! clones. Requests of a session are taken as evenly spread over its length, sessions as alive in every slot of time
//! that they touch.

use std::collections::VecDeque;

use crate::limits;
use crate::population::Arrivals;
use crate::population::open::{Open, Source};

/// A plan in rough figures. All zero or unknown at full speed, where the answers decide.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Estimate {
    /// From the first start to the end of the last session, in microseconds of run time; `None`: without end.
    pub(crate) span_us: Option<u64>,
    /// Most sessions alive at once.
    pub(crate) peak_sessions: u64,
    /// Most requests in one second; `None`: unknown.
    pub(crate) peak_rate: Option<u64>,
    /// Session starts a second over run time (of a load without end its first passes), a value a slot.
    pub(crate) arrivals: Vec<f64>,
    /// Width of those slots, in microseconds.
    pub(crate) width_us: f64,
}

/// Counters over run time.
struct Slots {
    width_us: f64,
    /// Session starts.
    starts: Vec<f64>,
    /// Changes of the sessions alive.
    alive: Vec<f64>,
    /// Changes of the requests in a slot.
    requests: Vec<f64>,
    /// Most places at which the clones of one window are taken to start.
    places: f64,
}

/// Sessions that start in a stretch of time.
struct Crowd {
    sessions: f64,
    steps: f64,
    length_us: f64,
}

impl Estimate {
    pub(crate) fn of_open(open: &Open) -> Estimate {
        if open.at_once {
            return Estimate::default();
        }
        let ends = open.sources.iter().map(|source| end_us(open, source));
        let span = ends.fold(0.0, f64::max);
        let mut slots = Slots::new(span);
        for source in &open.sources {
            slots.add_source(open, source);
        }
        let per_second = 1e6 / slots.width_us;
        Estimate {
            span_us: (!open.is_endless()).then_some(span as u64),
            peak_sessions: whole(highest(&slots.alive)),
            peak_rate: Some(slots.peak_rate()),
            arrivals: slots.starts.iter().map(|starts| starts * per_second).collect(),
            width_us: slots.width_us,
        }
    }
}

impl Slots {
    fn new(span_us: f64) -> Slots {
        let width_us = (span_us / limits::ESTIMATE_SLOTS as f64).max(SLOT_US);
        let count = (span_us / width_us) as usize + 1;
        let zeros = |count: usize| vec![0.0; count];
        Slots {
            width_us,
            starts: zeros(count),
            alive: zeros(count + 1),
            requests: zeros(count + 1),
            places: 1.0,
        }
    }

    /// Most requests in any second (or slot, where slots are longer), as requests a second.
    fn peak_rate(&self) -> u64 {
        let width = ((SECOND_US / self.width_us).round() as usize).max(1);
        let (mut now, mut sum, mut most) = (0.0, 0.0, 0.0_f64);
        let mut second = VecDeque::with_capacity(width + 1);
        for change in &self.requests {
            now += change;
            sum += now;
            second.push_back(now);
            if width < second.len() {
                sum -= second.pop_front().unwrap_or(0.0);
            }
            most = most.max(sum);
        }
        whole(most * SECOND_US / (width as f64 * self.width_us))
    }

    fn add_source(&mut self, open: &Open, source: &Source) {
        let span = last_start_us(open, source);
        let passes = if source.looped { (span / period(open, source)).ceil().max(1.0) } else { 1.0 };
        if passes * source.members.len() as f64 > limits::ESTIMATE_WINDOWS as f64 && source.looped {
            self.add_passes(open, source, span);
            return;
        }
        self.places = (PLACES_IN_ALL / (passes * source.members.len() as f64)).max(PLACES);
        for (_, window) in open.windows(source).take_while(|(_, window)| window.from < span) {
            let member = &source.members[window.member];
            let crowd = match open.arrivals {
                Arrivals::Poisson => source.crowd(open, f64::from(window.clones)),
                _ => Crowd {
                    sessions: f64::from(window.clones),
                    steps: f64::from(member.steps),
                    length_us: member.length_us as f64 / open.pace,
                },
            };
            let together = open.arrivals == Arrivals::Aligned || window.pinned && window.clones == 1;
            let to = if together { window.from } else { window.to };
            self.spread(&crowd, window.from, to, |part| {
                open.curves[window.curve].place(window.from, to, part)
            });
        }
    }

    /// Many short passes at once: their members are alike over time.
    fn add_passes(&mut self, open: &Open, source: &Source, span: f64) {
        let block = period(open, source).max(self.width_us);
        self.places = (PLACES_IN_ALL * block / span).max(PLACES);
        let mut from = 0.0;
        while from < span {
            let to = (from + block).min(span);
            let per_us = source.members.len() as f64 / period(open, source);
            let crowd = source.crowd(open, open.mix(source).area(from, to) * per_us);
            self.spread(&crowd, from, to, |part| open.mix(source).place(from, to, part));
            from = to;
        }
    }

    /// Lets a crowd start at a few places of a stretch.
    fn spread(&mut self, crowd: &Crowd, from: f64, to: f64, place: impl Fn(f64) -> f64) {
        if crowd.sessions <= 0.0 {
            return;
        }
        let places = ((to - from) / self.width_us * EVEN).ceil().clamp(1.0, self.places);
        let places = places.min(crowd.sessions.ceil()); // not more places than sessions
        let last = self.starts.len() - 1;
        let slot = |us: f64| ((us / self.width_us) as usize).min(last);
        for number in 0..places as u32 {
            let at = place((f64::from(number) + 0.5) / places);
            let (begin, end) = (slot(at), slot(at + crowd.length_us));
            let sessions = crowd.sessions / places;
            let each = sessions * crowd.steps / (end - begin + 1) as f64;
            self.starts[begin] += sessions;
            self.alive[begin] += sessions;
            self.alive[end + 1] -= sessions;
            self.requests[begin] += each;
            self.requests[end + 1] -= each;
        }
    }
}

impl Source {
    /// That many sessions of the middling kind.
    fn crowd(&self, open: &Open, sessions: f64) -> Crowd {
        let count = self.members.len() as f64;
        let steps: f64 = self.members.iter().map(|member| f64::from(member.steps)).sum();
        let length: f64 = self.members.iter().map(|member| member.length_us as f64).sum();
        Crowd { sessions, steps: steps / count, length_us: length / count / open.pace }
    }
}

/// Microseconds of run time that one pass takes.
fn period(open: &Open, source: &Source) -> f64 {
    source.period_us as f64 / open.pace
}

fn longest(open: &Open, source: &Source) -> f64 {
    source.members.iter().map(|member| member.length_us).max().unwrap_or(0) as f64 / open.pace
}

/// Where the windows of a source end; of one without end, when as many sessions end as start.
fn last_start_us(open: &Open, source: &Source) -> f64 {
    match (source.looped, source.horizon.is_finite()) {
        (_, true) => source.horizon,
        (true, false) => 2.0 * period(open, source) + longest(open, source),
        (false, false) => period(open, source),
    }
}

fn end_us(open: &Open, source: &Source) -> f64 {
    let follows_recording =
        !source.looped && source.horizon.is_infinite() && open.arrivals != Arrivals::Poisson;
    if !follows_recording {
        return last_start_us(open, source) + longest(open, source);
    }
    let end = |index: usize| {
        let Some(window) = open.window(source, 0, index) else { return 0.0 };
        // Where only the recording itself starts, nothing starts later in its window.
        let last = if window.pinned && window.clones == 1 { window.from } else { window.to };
        last + source.members[window.member].length_us as f64 / open.pace
    };
    (0..source.members.len()).map(end).fold(0.0, f64::max)
}

fn highest(changes: &[f64]) -> f64 {
    let mut now = 0.0;
    let sums = changes.iter().map(|change| {
        now += change;
        now
    });
    sums.fold(0.0, f64::max)
}

/// Rounded up; what sums of fractions leave over is no session.
fn whole(value: f64) -> u64 {
    (value - 1e-6).ceil().max(0.0) as u64
}

const SECOND_US: f64 = 1e6;
/// Narrowest slot: finer than the sessions of most captures are long.
const SLOT_US: f64 = 1e4;
/// Places at which the clones of one window are taken to start, whatever the number of windows.
const PLACES: f64 = 16.0;
/// Places in each slot: one more or less must not matter.
const EVEN: f64 = 8.0;
/// Places in all (about a tenth of a second), where few windows may have more.
const PLACES_IN_ALL: f64 = 1e7;
