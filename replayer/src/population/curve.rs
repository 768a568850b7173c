//! A load over run time: straight pieces, then a constant for ever. Means and places within a window are exact.

/// A function of run time (in microseconds) that is never below 0.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Curve {
    /// One after the other from time 0, none of them empty.
    pieces: Vec<Piece>,
    /// The value after the last piece.
    tail: f64,
}

/// A straight line over a span of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Piece {
    /// Where it begins, in microseconds.
    pub(crate) from: f64,
    /// Where it ends, in microseconds.
    pub(crate) to: f64,
    /// The value at its beginning.
    pub(crate) start: f64,
    /// The value towards its end.
    pub(crate) end: f64,
}

impl Curve {
    /// The same for ever.
    pub(crate) fn constant(value: f64) -> Curve {
        Curve { pieces: Vec::new(), tail: value }
    }

    /// Straight lines of `(microseconds, value at the start, value at the end)` from time 0, then `tail`.
    pub(crate) fn of(lines: impl IntoIterator<Item = (f64, f64, f64)>, tail: f64) -> Curve {
        let mut from = 0.0;
        let mut pieces = Vec::new();
        for (length, start, end) in lines {
            if 0.0 < length {
                pieces.push(Piece { from, to: from + length, start, end });
                from += length;
            }
        }
        Curve { pieces, tail }
    }

    /// The sum of `curves`, each times its weight.
    pub(crate) fn sum(curves: &[(f64, &Curve)]) -> Curve {
        let mut breaks: Vec<f64> = curves.iter().flat_map(|(_, curve)| curve.breaks()).collect();
        breaks.sort_by(f64::total_cmp);
        breaks.dedup();
        let total = |value: &dyn Fn(&Curve) -> f64| curves.iter().map(|(w, curve)| w * value(curve)).sum();
        Curve::between(&breaks, |from| total(&|curve| curve.at(from)), |to| total(&|curve| curve.until(to)))
    }

    /// This curve, `times` as high between two moments.
    pub(crate) fn boosted(&self, times: f64, window: Option<(f64, f64)>) -> Curve {
        let (from, to) = window.unwrap_or((0.0, f64::INFINITY));
        let mut breaks: Vec<f64> = self.breaks().collect();
        breaks.extend([from, to].into_iter().filter(|at| at.is_finite()));
        breaks.sort_by(f64::total_cmp);
        breaks.dedup();
        let start = |at: f64| self.at(at) * if from <= at && at < to { times } else { 1.0 };
        let end = |at: f64| self.until(at) * if from < at && at <= to { times } else { 1.0 };
        Curve::between(&breaks, start, end)
    }

    /// The value at a moment (of two at a jump the later).
    pub(crate) fn at(&self, time: f64) -> f64 {
        let after = self.pieces.partition_point(|piece| piece.to <= time);
        self.pieces.get(after).map_or(self.tail, |piece| piece.value(time))
    }

    /// The value towards a moment (of two at a jump the earlier).
    fn until(&self, time: f64) -> f64 {
        let after = self.pieces.partition_point(|piece| piece.to < time);
        self.pieces.get(after).map_or(self.tail, |piece| piece.value(time))
    }

    /// The mean over `from..to`; the value at `from` where that is no time at all.
    pub(crate) fn mean(&self, from: f64, to: f64) -> f64 {
        if to <= from {
            return self.at(from);
        }
        let mut flat = None;
        let mut area = 0.0;
        for part in self.within(from, to) {
            flat = match flat {
                None if part.start == part.end => Some(part.start),
                Some(value) if value == part.start && value == part.end => flat,
                _ => Some(f64::NAN),
            };
            area += part.area();
        }
        // A flat load is not divided by what it was multiplied with: 100 would become 99.999….
        match flat {
            Some(value) if !value.is_nan() => value,
            _ => settle(area / (to - from)),
        }
    }

    /// The moment in `from..to` before which the share `part` (`0.0..1.0`) of the area lies.
    pub(crate) fn place(&self, from: f64, to: f64, part: f64) -> f64 {
        let even = from + (to - from) * part;
        if self.pieces.last().is_none_or(|last| last.to <= from) {
            return even;
        }
        let area: f64 = self.within(from, to).map(|piece| piece.area()).sum();
        let mut left = area * part;
        for piece in self.within(from, to) {
            let own = piece.area();
            if left < own {
                return piece.place(left).clamp(from, to);
            }
            left -= own;
        }
        if area <= 0.0 { even } else { to }
    }

    /// The area under it over `from..to`, in microseconds times its unit.
    pub(crate) fn area(&self, from: f64, to: f64) -> f64 {
        self.within(from, to).map(|piece| piece.area()).sum()
    }

    /// The first moment from `time` on at which it reaches `value`; `None`: it never does.
    pub(crate) fn reaches(&self, value: f64, time: f64) -> Option<f64> {
        let first = self.pieces.partition_point(|piece| piece.to <= time);
        for piece in &self.pieces[first..] {
            let at = time.max(piece.from);
            if value <= piece.value(at) {
                return Some(at);
            }
            if value <= piece.end {
                let share = (value - piece.start) / (piece.end - piece.start);
                return Some((piece.from + share * (piece.to - piece.from)).clamp(at, piece.to));
            }
        }
        (value <= self.tail).then(|| time.max(self.end()))
    }

    /// The highest value.
    pub(crate) fn peak(&self) -> f64 {
        self.pieces.iter().map(|piece| piece.start.max(piece.end)).fold(self.tail, f64::max)
    }

    /// Where the last piece ends and the constant begins, in microseconds.
    pub(crate) fn end(&self) -> f64 {
        self.pieces.last().map_or(0.0, |piece| piece.to)
    }

    /// The numbers that make it up, for a hash.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let pieces = self.pieces.iter().flat_map(|piece| [piece.from, piece.to, piece.start, piece.end]);
        pieces.chain([self.tail]).map(f64::to_bits)
    }

    fn breaks(&self) -> impl Iterator<Item = f64> + '_ {
        std::iter::once(0.0).chain(self.pieces.iter().map(|piece| piece.to))
    }

    /// Pieces between neighbouring `breaks`, from their values just after and just before each.
    fn between(breaks: &[f64], start: impl Fn(f64) -> f64, end: impl Fn(f64) -> f64) -> Curve {
        let pieces = breaks.windows(2).map(|pair| {
            let (from, to) = (pair[0], pair[1]);
            Piece { from, to, start: start(from), end: end(to) }
        });
        let tail = breaks.last().map_or(0.0, |last| start(*last));
        Curve { pieces: pieces.collect(), tail }
    }

    /// What lies within `from..to`, cut to it.
    fn within(&self, from: f64, to: f64) -> impl Iterator<Item = Piece> + '_ {
        let first = self.pieces.partition_point(|piece| piece.to <= from);
        let inside = self.pieces[first..].iter().take_while(move |piece| piece.from < to);
        let cut = inside.map(move |piece| piece.cut(from, to));
        let rest = from.max(self.end());
        let tail = Piece { from: rest, to, start: self.tail, end: self.tail };
        cut.chain(Some(tail).filter(|tail| tail.from < tail.to))
    }
}

impl Piece {
    fn value(&self, time: f64) -> f64 {
        if self.start == self.end {
            return self.start; // no rounding where there is nothing to compute
        }
        let share = ((time - self.from) / (self.to - self.from)).clamp(0.0, 1.0);
        self.start + (self.end - self.start) * share
    }

    fn area(&self) -> f64 {
        (self.to - self.from) * (self.start + self.end) / 2.0
    }

    fn cut(&self, from: f64, to: f64) -> Piece {
        let (from, to) = (from.max(self.from), to.min(self.to));
        Piece { from, to, start: self.value(from), end: self.value(to) }
    }

    /// Where the area since the piece's beginning is `area`: the root of `start·x + slope/2·x² = area`, in the form
    /// that loses no digits when the slope is small.
    fn place(&self, area: f64) -> f64 {
        let slope = (self.end - self.start) / (self.to - self.from);
        let root = (self.start * self.start + 2.0 * slope * area).max(0.0).sqrt();
        let below = self.start + root;
        if below <= 0.0 { self.from } else { self.from + 2.0 * area / below }
    }
}

/// A mean that misses a whole number by rounding alone is that number.
fn settle(value: f64) -> f64 {
    let whole = value.round();
    if (value - whole).abs() <= whole.abs() * ROUNDING { whole } else { value }
}

/// A few hundred times the precision of a double: a sum over some hundred pieces.
const ROUNDING: f64 = 1e-13;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ramp() -> Curve {
        Curve::of([(10.0, 0.0, 100.0), (10.0, 100.0, 100.0), (5.0, 300.0, 300.0)], 50.0)
    }

    #[test]
    fn values_and_means() {
        let at = |time, value| assert_eq!(ramp().at(time), value, "at {time}");
        at(0.0, 0.0);
        at(5.0, 50.0);
        at(10.0, 100.0);
        at(20.0, 300.0);
        at(25.0, 50.0);
        at(1e12, 50.0);
        let mean = |from, to, value| assert_eq!(ramp().mean(from, to), value, "{from}..{to}");
        mean(0.0, 10.0, 50.0);
        mean(10.0, 20.0, 100.0);
        mean(12.0, 12.1, 100.0);
        mean(0.0, 20.0, 75.0);
        mean(20.0, 30.0, 175.0);
        mean(7.0, 7.0, 70.0);
        assert_eq!(ramp().peak(), 300.0);
        assert_eq!(Curve::constant(99.99).mean(0.1, 0.3), 99.99);
    }

    #[test]
    fn a_level_is_reached_when_it_is() {
        let check = |value, time, expect| assert_eq!(ramp().reaches(value, time), expect, "{value} {time}");
        check(50.0, 0.0, Some(5.0));
        check(50.0, 7.0, Some(7.0));
        check(200.0, 0.0, Some(20.0));
        check(200.0, 26.0, None);
        check(300.5, 0.0, None);
        check(50.0, 40.0, Some(40.0));
    }

    #[test]
    fn a_boost_holds_for_its_window_and_a_sum_adds_up() {
        let boosted = ramp().boosted(10.0, Some((5.0, 30.0)));
        let check = |time, value| assert_eq!(boosted.at(time), value, "at {time}");
        check(4.0, 40.0);
        check(5.0, 500.0);
        check(22.0, 3000.0);
        check(29.0, 500.0);
        check(30.0, 50.0);
        let (ramp, one) = (ramp(), Curve::constant(1.0));
        let sum = Curve::sum(&[(0.5, &ramp), (2.0, &one)]);
        for time in [0.0, 3.0, 10.0, 19.0, 20.0, 24.0, 25.0, 99.0] {
            assert_eq!(sum.at(time), ramp.at(time) * 0.5 + 2.0, "at {time}");
        }
    }

    proptest! {
        #[test]
        fn a_place_is_the_inverse_of_the_area(
            lines in proptest::collection::vec((0.0_f64..1e6, 0.0_f64..1e3, 0.0_f64..1e3), 0..8),
            tail in 0.1_f64..100.0, from in 0.0_f64..4e6, length in 1.0_f64..4e6, part in 0.0_f64..1.0,
        ) {
            let curve = Curve::of(lines, tail);
            let (to, place) = (from + length, curve.place(from, from + length, part));
            prop_assert!(from <= place && place <= to);
            let (whole, before) = (curve.area(from, to), curve.area(from, place));
            prop_assert!((before - whole * part).abs() <= 1e-6 * whole.max(1.0), "{before} {whole} {part}");
        }
    }
}
