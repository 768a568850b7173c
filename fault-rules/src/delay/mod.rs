//! How long a delay is: distributions, sampled by inverse CDF from one uniform number; and where in an exchange it falls.

mod recorded;
mod table;

use std::sync::Arc;
use std::time::Duration;

use crate::decide::Facts;
use crate::limits;
use crate::normal;

pub(crate) use recorded::fingerprint;
pub use recorded::{Recorded, RouteLatency};
pub use table::Table;

/// A delay of a rule: a distribution between two bounds, at a place. Draws outside the bounds become the nearer bound.
#[derive(Debug, Clone, PartialEq)]
pub struct Delay {
    pub(crate) dist: Dist,
    pub(crate) min: Duration,
    pub(crate) max: Duration,
    /// Where it falls.
    pub at: At,
    /// Whether it adds to the time that passes anyhow.
    pub mode: Mode,
}

/// Where in an exchange a delay falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum At {
    /// With the first exchange of a client's connection, before anything else: a slow connect. On a TCP edge before the
    /// upstream is connected to.
    Connect,
    /// Before the request goes to the upstream. On a TCP edge: bytes towards the upstream.
    #[default]
    Request,
    /// Before the answer's header goes to the client; the upstream has done its work. On a TCP edge: bytes towards the
    /// client.
    Response,
    /// Between the answer's header and the first byte of its body.
    FirstByte,
    /// Before the connection is closed; TCP edges only.
    Close,
}

impl At {
    /// The word of the rule language.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Request => "request",
            Self::Response => "response",
            Self::FirstByte => "first_byte",
            Self::Close => "close",
        }
    }
}

/// Whether a delay adds to the time that passes anyhow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It does.
    #[default]
    Add,
    /// It does not: from the start of the exchange to the place of the delay takes at least this long. Only where the
    /// upstream comes before it: [`At::Response`] and [`At::FirstByte`].
    Floor,
}

/// One drawn delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// How long.
    pub time: Duration,
    /// Where.
    pub at: At,
    /// Whether it adds.
    pub mode: Mode,
}

/// The shape of a delay.
#[derive(Debug, Clone, PartialEq)]
pub enum Dist {
    /// Always the same.
    Fixed(Duration),
    /// Anything between the two, all equally likely.
    Uniform {
        /// Shortest.
        low: Duration,
        /// Longest.
        high: Duration,
    },
    /// A bell around the mean. Draws below zero become zero.
    Normal {
        /// Mean and median.
        mean: Duration,
        /// Standard deviation.
        sd: Duration,
    },
    /// A long tail given by two percentiles: ln(delay) is normal.
    LogNormal {
        /// Half of the delays are shorter.
        p50: Duration,
        /// One in a hundred is longer.
        p99: Duration,
    },
    /// A power-law tail: the share of delays longer than `x` is `(scale / x) ^ shape`.
    Pareto {
        /// Shortest.
        scale: Duration,
        /// Above 0; the smaller, the heavier the tail.
        shape: f64,
    },
    /// Percentiles as they were measured, straight lines between them.
    Table(Arc<Table>),
    /// As long as the recorded exchanges of the same route took.
    Recorded(Arc<Recorded>),
}

impl Delay {
    /// A delay of this shape, never negative and at most 24 h.
    #[must_use]
    pub fn new(dist: Dist) -> Self {
        Self { dist, min: Duration::ZERO, max: limits::LONGEST, at: At::default(), mode: Mode::default() }
    }

    /// The same shape kept between two bounds; a `max` below `min` counts as `min`.
    #[must_use]
    pub fn within(self, min: Duration, max: Duration) -> Self {
        let max = max.min(limits::LONGEST);
        Self { min: min.min(max), max, ..self }
    }

    /// The shape.
    #[must_use]
    pub fn dist(&self) -> &Dist {
        &self.dist
    }

    /// The same at another place, adding or not.
    #[must_use]
    pub fn placed(self, at: At, mode: Mode) -> Self {
        Self { at, mode, ..self }
    }

    /// The delay of one exchange at this 64-bit roll.
    pub(crate) fn draw(&self, facts: &Facts<'_>, roll: u64) -> Wait {
        let time = match &self.dist {
            Dist::Recorded(recorded) => {
                self.clamped(recorded.scale * recorded.table(facts).quantile(uniform(roll)))
            }
            _ => self.sample(roll),
        };
        Wait { time, at: self.at, mode: self.mode }
    }

    /// The delay at this 64-bit roll: the top 53 bits are a uniform number strictly between 0 and 1.
    #[must_use]
    pub fn sample(&self, roll: u64) -> Duration {
        self.quantile(uniform(roll))
    }

    /// The delay that a share `p` of all draws does not exceed; `p` outside 0 to 1 counts as the nearer end.
    #[must_use]
    pub fn quantile(&self, p: f64) -> Duration {
        let seconds = match &self.dist {
            Dist::Fixed(delay) => return (*delay).clamp(self.min, self.max.max(self.min)),
            Dist::Uniform { low, high } => {
                let (low, high) = (low.as_secs_f64(), high.as_secs_f64());
                low + p.clamp(0.0, 1.0) * (high - low)
            }
            Dist::Normal { mean, sd } => mean.as_secs_f64() + sd.as_secs_f64() * normal::quantile(p),
            Dist::LogNormal { p50, p99 } => {
                let (p50, p99) = (p50.as_secs_f64(), p99.as_secs_f64());
                let sigma = (p99 / p50).ln() / normal::Z99;
                p50 * (sigma * normal::quantile(p)).exp()
            }
            Dist::Pareto { scale, shape } => scale.as_secs_f64() * (1.0 - p).powf(-1.0 / shape),
            Dist::Table(table) => table.quantile(p),
            Dist::Recorded(recorded) => recorded.scale * recorded.all.quantile(p),
        };
        self.clamped(seconds)
    }

    fn clamped(&self, seconds: f64) -> Duration {
        let min = self.min.as_secs_f64();
        let max = self.max.as_secs_f64().max(min);
        // Not a number (a zero percentile, say) becomes the lower bound.
        let bounded = if seconds.is_nan() { min } else { seconds.clamp(min, max) };
        Duration::try_from_secs_f64(bounded).unwrap_or(self.max)
    }
}

/// A uniform number from the top 53 bits: the middle of each of 2^53 equal steps, so never 0 and never 1, where the tails
/// are infinite.
fn uniform(roll: u64) -> f64 {
    ((roll >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// A span of so many seconds; none where it is no number or below zero, 24 h at most.
pub(crate) fn from_seconds(seconds: f64) -> Duration {
    let bounded = seconds.clamp(0.0, limits::LONGEST.as_secs_f64());
    Duration::try_from_secs_f64(if bounded.is_nan() { 0.0 } else { bounded }).unwrap_or(limits::LONGEST)
}
