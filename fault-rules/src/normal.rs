//! Quantiles of the standard normal distribution.
//!
//! Wichura's algorithm AS 241 (PPND16), Applied Statistics 37 (1988), pages 477 to 484: three rational
//! approximations, each of degree 7 over 7, with a relative error of about 1e-16 in exact arithmetic.

/// The quantile of 0.99.
pub(crate) const Z99: f64 = 2.326_347_874_040_841;

/// The value that a standard normal variable stays below with probability `p`; infinite at and beyond 0 and 1.
pub(crate) fn quantile(p: f64) -> f64 {
    if p.is_nan() {
        return f64::NAN;
    }
    let centred = p - 0.5;
    if centred.abs() <= CENTRE {
        return centred * CENTRAL.at(CENTRE * CENTRE - centred * centred);
    }
    // The lesser tail, so that nothing is lost near 1.
    let tail = if centred < 0.0 { p } else { 1.0 - p };
    if tail <= 0.0 {
        return f64::INFINITY.copysign(centred);
    }
    let distance = (-tail.ln()).sqrt();
    let size = if distance <= FAR { MIDDLE.at(distance - 1.6) } else { OUTER.at(distance - FAR) };
    size.copysign(centred)
}

/// A quotient of two polynomials, lowest power first.
struct Quotient {
    above: [f64; 8],
    below: [f64; 8],
}

impl Quotient {
    fn at(&self, x: f64) -> f64 {
        let value = |powers: &[f64; 8]| powers.iter().rev().fold(0.0, |sum, factor| sum * x + factor);
        value(&self.above) / value(&self.below)
    }
}

/// Half width of the central region of p around one half.
const CENTRE: f64 = 0.425;

/// Where the outer region begins, in sqrt(-ln p).
const FAR: f64 = 5.0;

const CENTRAL: Quotient = Quotient {
    above: [
        3.387_132_872_796_366_5,
        133.141_667_891_784_38,
        1_971.590_950_306_551_3,
        13_731.693_765_509_46,
        45_921.953_931_549_87,
        67_265.770_927_008_7,
        33_430.575_583_588_13,
        2_509.080_928_730_122_7,
    ],
    below: [
        1.0,
        42.313_330_701_600_91,
        687.187_007_492_057_9,
        5_394.196_021_424_751,
        21_213.794_301_586_597,
        39_307.895_800_092_71,
        28_729.085_735_721_943,
        5_226.495_278_852_854,
    ],
};

const MIDDLE: Quotient = Quotient {
    above: [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        0.241_780_725_177_450_6,
        0.022_723_844_989_269_184,
        7.745_450_142_783_414e-4,
    ],
    below: [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        0.689_767_334_985_1,
        0.148_103_976_427_480_08,
        0.015_198_666_563_616_457,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
};

const OUTER: Quotient = Quotient {
    above: [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        0.296_560_571_828_504_87,
        0.026_532_189_526_576_124,
        0.001_242_660_947_388_078_4,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    below: [
        1.0,
        0.599_832_206_555_887_9,
        0.136_929_880_922_735_8,
        0.014_875_361_290_850_615,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_agree_with_the_tables() {
        let check = |p: f64, expect: f64| {
            let found = quantile(p);
            assert!((found - expect).abs() <= 2e-15 * expect.abs().max(1.0), "{p}: {found} is not {expect}");
        };
        check(0.5, 0.0);
        check(0.75, 0.674_489_750_196_081_7);
        check(0.99, Z99);
        check(0.999, 3.090_232_306_167_813_5);
        check(0.001, -3.090_232_306_167_813_5);
        check(0.000_01, -4.264_890_793_922_825);
        check(1e-20, -9.262_340_089_798_408);
    }

    #[test]
    fn quantiles_rise_and_mirror() {
        let mut last = f64::NEG_INFINITY;
        for step in 1..10_000 {
            let p = f64::from(step) / 10_000.0;
            let here = quantile(p);
            assert!(last < here, "{p}");
            assert!((here + quantile(1.0 - p)).abs() < 1e-12, "{p}");
            last = here;
        }
    }

    #[test]
    fn the_ends_are_infinite_and_nonsense_is_not_a_number() {
        assert_eq!(quantile(0.0), f64::NEG_INFINITY);
        assert_eq!(quantile(1.0), f64::INFINITY);
        assert_eq!(quantile(-3.0), f64::NEG_INFINITY);
        assert!(quantile(f64::NAN).is_nan());
    }
}
