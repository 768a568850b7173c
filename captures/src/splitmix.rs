//! The numbers of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), for what follows from a seed and what is spread by a hash.

/// What its state grows by.
pub const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The output for a state: a bijection of 64 bits that spreads every input bit over the output.
pub const fn finalise(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The first output for a seed: a number for each number, no two alike.
pub const fn mix(number: u64) -> u64 {
    finalise(number.wrapping_add(GOLDEN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outputs_are_those_that_are_published() {
        // of the seed 1234567, as in the reference implementation (Vigna)
        let outputs: Vec<u64> =
            (0..3).map(|n| mix(1_234_567_u64.wrapping_add(GOLDEN.wrapping_mul(n)))).collect();
        assert_eq!(
            outputs,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }
}
