//! How long a delay is: four distributions, sampled by inverse CDF from one uniform number.

use std::time::Duration;

use crate::limits;
use crate::normal;

/// A delay of a rule: a distribution between two bounds. Draws outside the bounds become the nearer bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delay {
    pub(crate) dist: Dist,
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

/// The shape of a delay.
#[derive(Debug, Clone, Copy, PartialEq)]
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
}

impl Delay {
    /// A delay of this shape, never negative and at most 24 h.
    #[must_use]
    pub fn new(dist: Dist) -> Self {
        Self { dist, min: Duration::ZERO, max: limits::LONGEST }
    }

    /// The same shape kept between two bounds; a `max` below `min` counts as `min`.
    #[must_use]
    pub fn within(self, min: Duration, max: Duration) -> Self {
        let max = max.min(limits::LONGEST);
        Self { min: min.min(max), max, ..self }
    }

    /// The shape.
    #[must_use]
    pub fn dist(&self) -> Dist {
        self.dist
    }

    /// The delay at this 64-bit roll: the top 53 bits are a uniform number strictly between 0 and 1.
    #[must_use]
    pub fn sample(&self, roll: u64) -> Duration {
        // The middle of each of 2^53 equal steps: never 0 and never 1, where the tails are infinite.
        self.quantile(((roll >> 11) as f64 + 0.5) / (1_u64 << 53) as f64)
    }

    /// The delay that a share `p` of all draws does not exceed; `p` outside 0 to 1 counts as the nearer end.
    #[must_use]
    pub fn quantile(&self, p: f64) -> Duration {
        let seconds = match self.dist {
            Dist::Fixed(delay) => return delay.clamp(self.min, self.max.max(self.min)),
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
