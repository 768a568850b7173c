//! Bursts: a two-state source per rule, moved by the exchanges that the rule selected.

use crate::select::{Burst, Lane, nth_roll};

/// Whether a rule is in a burst, and how far its source has come. Moves are drawn by hash of their number, so equal
/// numbers of selected exchanges give equal bursts.
#[derive(Debug, Clone, Copy, Default)]
pub struct BurstState {
    in_burst: bool,
    moves: u64,
}

impl BurstState {
    /// One more exchange that the rule selected: does the burst hit it?
    pub fn hits(&mut self, seed: u64, rule_id: &str, burst: &Burst) -> bool {
        let [turn, hit] = [0, 1].map(|of| nth_roll(seed, rule_id, Lane::Burst, self.moves * 2 + of));
        self.moves = self.moves.wrapping_add(1);
        let turns = if self.in_burst { burst.leave } else { burst.enter };
        self.in_burst ^= turns.hits(turn);
        self.in_burst && burst.rate.hits(hit)
    }

    /// Whether a burst is on.
    #[must_use]
    pub fn is_in_burst(&self) -> bool {
        self.in_burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::Rate;

    #[test]
    fn bursts_have_the_length_and_share_of_their_chances() {
        let burst = Burst { enter: Rate::of(1, 200), leave: Rate::of(1, 10), rate: Rate::of(9, 10) };
        let (mut state, mut inside, mut hit, mut begun) = (BurstState::default(), 0_u32, 0_u32, 0_u32);
        for _ in 0..400_000 {
            let was = state.is_in_burst();
            hit += u32::from(state.hits(7, "b", &burst));
            inside += u32::from(state.is_in_burst());
            begun += u32::from(!was && state.is_in_burst());
        }
        // Stationary share enter / (enter + leave) = 1/21, mean length 1 / leave = 10; five deviations are below 7 %.
        let (share, length) = (f64::from(inside) / 400_000.0, f64::from(inside) / f64::from(begun));
        assert!((share * 21.0 - 1.0).abs() < 0.07, "{share}");
        assert!((length / 10.0 - 1.0).abs() < 0.07, "{length}");
        assert!((f64::from(hit) / f64::from(inside) - 0.9).abs() < 0.02);
    }

    #[test]
    fn equal_numbers_give_equal_bursts() {
        let burst = Burst { enter: Rate::of(1, 5), leave: Rate::of(1, 3), rate: Rate::ALL };
        let run = |seed| {
            let mut state = BurstState::default();
            (0..200).map(|_| state.hits(seed, "r", &burst)).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
