//! What chance decides about a population, each a pure function of seed and number.

use crate::identity::{Lane, prf, unit};

/// What a draw is for. Draws with another purpose are independent. The place of a clone and the fraction that adds
/// one have lanes of their own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// How many clones of a window start in its first half.
    Half = 1,
    /// How many sessions start in a slot of a Poisson process.
    Slot = 2,
    /// Where in its slot one starts.
    Stranger = 3,
    /// Which session a slot of the closed model enters.
    Entry = 4,
    /// How much of it is behind it.
    Skip = 5,
    /// Which session follows.
    Successor = 6,
}

/// A number in `0.0..1.0`.
pub(crate) fn draw(seed: u64, purpose: Purpose, words: [u64; 2]) -> f64 {
    unit(prf(seed, Lane::Start, [words[0], words[1], purpose as u64]))
}

/// Where in its window clone `number` of a session starts, as a share of the load in it.
pub(crate) fn place(seed: u64, word: u64, number: u64) -> f64 {
    unit(prf(seed, Lane::Start, [word, number, 0]))
}

/// `mean` clones on average: the whole part, and one more as often as the fraction says.
pub(crate) fn whole(seed: u64, words: [u64; 2], mean: f64) -> u32 {
    let (sure, fraction) = (mean.trunc(), mean.fract());
    let extra = 0.0 < fraction && unit(prf(seed, Lane::Fraction, [words[0], words[1], 0])) < fraction;
    (sure as u32).saturating_add(u32::from(extra))
}

/// A number of a Poisson distribution. Above [`LARGE`] the normal distribution stands in for it: the two are closer
/// than any test of a run could tell.
pub(crate) fn poisson(seed: u64, words: [u64; 2], mean: f64) -> u32 {
    if LARGE <= mean {
        return (mean + mean.sqrt() * normal(seed, Purpose::Slot, words)).round().max(0.0) as u32;
    }
    let part = draw(seed, Purpose::Slot, words);
    let mut chance = (-mean).exp();
    let (mut below, mut number) = (chance, 0);
    while below <= part && number < MOST {
        number += 1;
        chance *= mean / f64::from(number);
        below += chance;
    }
    number
}

/// How many of `clones` fall into the first half; for the large numbers that are halved at all, the normal
/// distribution stands in for the binomial one.
pub(crate) fn half(seed: u64, words: [u64; 2], clones: u32) -> u32 {
    let clones = f64::from(clones);
    let first = clones / 2.0 + clones.sqrt() / 2.0 * normal(seed, Purpose::Half, words);
    first.round().clamp(0.0, clones) as u32
}

/// A number of the standard normal distribution (Box and Muller).
fn normal(seed: u64, purpose: Purpose, words: [u64; 2]) -> f64 {
    let radius = 1.0 - draw(seed, purpose, words); // above 0
    let angle = draw(!seed, purpose, words);
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// From this mean on a Poisson distribution is taken for a normal one.
const LARGE: f64 = 64.0;
/// No number below [`LARGE`] gets there with a chance that a double could express.
const MOST: u32 = 400;

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and variance of 20,000 numbers.
    fn moments(number: impl Fn(u64) -> u32) -> (f64, f64) {
        let all: Vec<f64> = (0..20_000).map(|i| f64::from(number(i))).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        (mean, all.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / all.len() as f64)
    }

    #[test]
    fn distributions_have_their_moments() {
        let near = |seen: (f64, f64), mean: f64, variance: f64| {
            assert!((seen.0 / mean - 1.0).abs() < 0.02, "{seen:?}, not {mean}");
            assert!((seen.1 / variance - 1.0).abs() < 0.05, "{seen:?}, not {variance}");
        };
        for mean in [0.3, 2.0, 63.0, 65.0, 1000.0] {
            near(moments(|i| poisson(7, [1, i], mean)), mean, mean);
        }
        near(moments(|i| half(7, [1, i], 10_000)), 5000.0, 2500.0);
        near(moments(|i| whole(7, [1, i], 2.25)), 2.25, 0.1875);
        assert_eq!(whole(7, [1, 1], 3.0), 3);
        assert_eq!(poisson(7, [1, 1], 0.0), 0);
    }
}
