//! Times as a histogram of fixed size: about 1 % of a value, to twelve days.

use super::lot::CLUSTERS;

/// Counts of times in buckets of 1/64 of an octave, and coarsely (half octaves) for each cluster. Times in microseconds.
#[derive(Debug, Clone)]
pub(super) struct Times {
    fine: Vec<u32>,
    coarse: Vec<u32>,
}

impl Times {
    pub(super) fn new() -> Self {
        Self { fine: vec![0; fine(u64::MAX) + 1], coarse: vec![0; CLUSTERS * COARSE] }
    }

    pub(super) fn note(&mut self, cluster: usize, time: u64) {
        bump(&mut self.fine, fine(time));
        bump(&mut self.coarse, cluster * COARSE + coarse(time));
    }

    pub(super) fn add(&mut self, other: &Self) {
        let pairs = self.fine.iter_mut().zip(&other.fine).chain(self.coarse.iter_mut().zip(&other.coarse));
        pairs.for_each(|(to, from)| *to = to.saturating_add(*from));
    }

    pub(super) fn subtract(&mut self, other: &Self) {
        let pairs = self.fine.iter_mut().zip(&other.fine).chain(self.coarse.iter_mut().zip(&other.coarse));
        pairs.for_each(|(to, from)| *to = to.saturating_sub(*from));
    }

    pub(super) fn clear(&mut self) {
        self.fine.fill(0);
        self.coarse.fill(0);
    }

    /// The bucket below which this share of the times lies, from its lower to its upper end.
    pub(super) fn at(&self, share: f64) -> (f64, f64) {
        let total: u64 = self.fine.iter().map(|count| u64::from(*count)).sum();
        let rank = (share * total as f64).ceil().max(1.0);
        let mut below = 0.0;
        for (bucket, count) in self.fine.iter().enumerate() {
            below += f64::from(*count);
            if rank <= below {
                return (fine_start(bucket) as f64, fine_start(bucket + 1) as f64);
            }
        }
        (0.0, f64::INFINITY)
    }

    /// For each cluster: how many times there are, and how many of them lie about or above this one.
    pub(super) fn above(&self, time: f64) -> impl Iterator<Item = (f64, f64)> + Clone {
        let from = coarse(time as u64);
        self.coarse.chunks(COARSE).map(move |counts| {
            let sum = |counts: &[u32]| counts.iter().map(|count| f64::from(*count)).sum::<f64>();
            (sum(counts), sum(counts.get(from..).unwrap_or_default()))
        })
    }
}

fn bump(counts: &mut [u32], at: usize) {
    if let Some(count) = counts.get_mut(at) {
        *count = count.saturating_add(1);
    }
}

/// The bucket of a time: 64 to an octave, single microseconds below 64.
fn fine(time: u64) -> usize {
    let time = time.min(LONGEST);
    let octave = time.max(1).ilog2().saturating_sub(STEPS_LOG2);
    (u64::from(octave << STEPS_LOG2) + (time >> octave)) as usize
}

/// The least time of a bucket.
fn fine_start(bucket: usize) -> u64 {
    let octave = (bucket >> STEPS_LOG2).saturating_sub(1);
    ((bucket - (octave << STEPS_LOG2)) as u64) << octave
}

/// Half octaves.
fn coarse(time: u64) -> usize {
    let time = time.clamp(1, LONGEST);
    let octave = time.ilog2();
    (octave * 2) as usize + usize::from(1.5 * (1_u64 << octave) as f64 <= time as f64)
}

const STEPS_LOG2: u32 = 6;
/// 2^40 us are twelve days.
const LONGEST: u64 = (1 << 40) - 1;
const COARSE: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_are_narrow() {
        let mut times: Vec<u64> =
            (0..40).flat_map(|octave| [0, 1, 3].map(|more| (1 << octave) + more)).collect();
        times.extend([0, 63, 64, 65, 127, 128, 1_000_000, LONGEST, u64::MAX]);
        for time in times {
            let bucket = fine(time);
            let (from, to) = (fine_start(bucket), fine_start(bucket + 1));
            let time = time.min(LONGEST);
            assert!(from <= time && time < to, "{time}: {bucket} is {from}..{to}");
            assert!((to - from - 1) as f64 <= time as f64 / 64.0, "{time} is known to {from}..{to}");
            assert!(coarse(time) < COARSE);
        }
    }

    #[test]
    fn percentiles_of_a_ramp() {
        let mut all = Times::new();
        (1..=1_000).for_each(|ms| all.note(ms as usize % CLUSTERS, ms * 1_000));
        for share in [0.01, 0.5, 0.9, 0.99, 1.0] {
            let (from, to) = all.at(share);
            let expect = share * 1e6;
            assert!(
                from <= expect && expect < to * 1.0001 && (to - from) / expect < 0.02,
                "{share}: {from}..{to}"
            );
        }
        let mut half = Times::new();
        (1..=500).for_each(|ms| half.note(0, ms * 1_000));
        all.subtract(&half);
        assert!(all.at(0.01).0 > 490_000.0);
        assert_eq!(Times::new().at(0.5).1, f64::INFINITY);
    }
}
