//! Probabilities, and the logistic scale on which they are mixed.

/// A probability of a bit 1, in 65,536ths. Neither it nor its opposite is ever certain.
#[derive(Clone, Copy)]
pub(super) struct Odds(pub(super) u16);

impl Odds {
    /// Moves towards `bit` by one part of `2^shift`.
    pub(super) fn learn(&mut self, bit: u8, shift: u32) {
        let certain = i32::from(bit) * 65_535;
        let now = i32::from(self.0);
        self.0 = sure_at_most(now + ((certain - now) >> shift));
    }

    /// Moves towards `bit` by `share` 16,384ths.
    pub(super) fn learn_by(&mut self, bit: u8, share: i32) {
        let certain = i32::from(bit) * 65_535;
        let now = i32::from(self.0);
        self.0 = sure_at_most(now + (((certain - now) * share) >> 14));
    }

    /// ln(p / (1 − p)), in 256ths.
    #[inline]
    pub(super) fn stretched(self) -> i32 {
        STRETCHED[usize::from(self.0 >> 4)].into()
    }
}

/// Bounds of every probability, in 65,536ths.
pub(super) fn sure_at_most(odds: i32) -> u16 {
    odds.clamp(LEAST, 65_535 - LEAST) as u16
}

/// 1 / (1 + e^−x) of `x` 256ths, in 4,096ths: between knots that stand 128 apart on a straight line.
#[inline]
pub(super) fn squashed(x: i32) -> i32 {
    SQUASHED[(x.clamp(-LARGEST, LARGEST) + LARGEST) as usize].into()
}

/// The knots: 4,096 / (1 + e^−x) for x from −8 to 8 by halves, rounded, but at least 1 and at most 4,095.
const KNOTS: [i32; 33] = [
    1, 2, 4, 6, 10, 17, 27, 45, 74, 120, 194, 311, 488, 747, 1102, 1546, 2048, 2550, 2994, 3349, 3608, 3785,
    3902, 3976, 4022, 4051, 4069, 4079, 4086, 4090, 4092, 4094, 4095,
];

/// By `x + LARGEST`.
static SQUASHED: [u16; 2 * LARGEST as usize + 1] = {
    let mut table = [0; 2 * LARGEST as usize + 1];
    let mut at = 0;
    while at < table.len() {
        let x = at as i32 + 2048 - LARGEST;
        let (knot, part) = ((x >> 7) as usize, x & 127);
        table[at] = ((KNOTS[knot] * (128 - part) + KNOTS[knot + 1] * part + 64) >> 7) as u16;
        at += 1;
    }
    table
};

/// By 4,096ths: the least x whose [`squashed`] is no less.
static STRETCHED: [i16; 4096] = {
    let mut table = [LARGEST as i16; 4096];
    let (mut odds, mut at) = (0, 0);
    while at < SQUASHED.len() {
        while odds < table.len() && odds <= SQUASHED[at] as usize {
            table[odds] = (at as i32 - LARGEST) as i16;
            odds += 1;
        }
        at += 1;
    }
    table
};

/// What is stretched lies between this and its opposite.
pub(super) const LARGEST: i32 = 2047;
const LEAST: i32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knots_are_those_of_the_logistic_function() {
        for (at, knot) in KNOTS.iter().enumerate() {
            let exact = 4096.0 / (1.0 + (-(at as f64 - 16.0) / 2.0).exp());
            assert_eq!(*knot, exact.round().clamp(1.0, 4095.0) as i32, "knot {at}");
        }
    }

    #[test]
    fn stretching_undoes_squashing() {
        assert!((-LARGEST..LARGEST).all(|x| squashed(x) <= squashed(x + 1)));
        assert_eq!(
            (squashed(0), squashed(-5000), squashed(5000)),
            (2048, squashed(-LARGEST), squashed(LARGEST))
        );
        for odds in 0..4096u16 {
            let x = Odds(odds << 4).stretched();
            assert!(i32::from(odds) <= squashed(x) || x == LARGEST, "{odds}");
            assert!(x == -LARGEST || squashed(x - 1) < i32::from(odds), "{odds}");
        }
    }
}
