//! How likely it is to see so much by chance, where very many things are looked at.
//!
//! - One recorded exchange against its clones: were the recording one more of them, each of the n + 1 would be as likely to
//!   be the odd one out. So the chance is exact, whatever the distribution, and never below 1 / (n + 1).
//! - Several exchanges of one session: Simes, Biometrika 73 (1986); it bears their going together.
//! - Several sessions, which know nothing of one another: Berk and Jones, Z. Wahrscheinlichkeitstheorie 47 (1979), that so
//!   many of them are so odd. Unlike a product it does not mind that others agree with the recording.
//! - Several routes: Benjamini and Hochberg, J. R. Stat. Soc. B 57 (1995), which bounds the share of false ones among those
//!   that are called.

/// The chance of the oddest of several that may go together.
pub(crate) fn simes(chances: &mut [f64]) -> f64 {
    chances.sort_by(f64::total_cmp);
    let count = chances.len() as f64;
    chances.iter().enumerate().map(|(place, chance)| chance * count / (place + 1) as f64).fold(1.0, f64::min)
}

/// The chance of several that are independent: that as many of them are as odd, for whatever number that is the least
/// likely, all numbers counted.
pub(crate) fn berk_jones(chances: &mut [f64]) -> f64 {
    chances.sort_by(f64::total_cmp);
    let count = chances.len();
    let tails = (1..).zip(chances.iter()).map(|(found, chance)| binomial_tail(found, count, *chance));
    (tails.fold(1.0, f64::min) * count.max(1) as f64).clamp(f64::MIN_POSITIVE, 1.0)
}

/// The chance of `found` or more of `all`, each with that chance by itself.
fn binomial_tail(found: usize, all: usize, chance: f64) -> f64 {
    if chance >= 1.0 {
        return 1.0;
    }
    let (hit, miss) = (chance.max(f64::MIN_POSITIVE).ln(), (-chance).ln_1p());
    let mut ways = 0.0; // the logarithm of how many choices of k there are
    let mut tail = 0.0;
    for k in 0..=all {
        if found <= k {
            tail += (ways + k as f64 * hit + (all - k) as f64 * miss).exp();
        }
        ways += ((all - k) as f64 / (k + 1) as f64).ln();
    }
    tail.min(1.0)
}

/// The chances with all the comparisons counted: those up to q are at most to the share q false.
pub(crate) fn false_discoveries(chances: &[f64]) -> Vec<f64> {
    let count = chances.len() as f64;
    let mut order: Vec<usize> = (0..chances.len()).collect();
    order.sort_by(|a, b| chances[*a].total_cmp(&chances[*b]));
    let mut adjusted = vec![1.0; chances.len()];
    let mut least = 1.0_f64;
    for (rank, place) in order.into_iter().enumerate().rev() {
        least = least.min(chances[place] * count / (rank + 1) as f64);
        adjusted[place] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-4 * b.abs(), "{a} is not {b}");
    }

    #[test]
    fn independent_ones_add_up_whatever_others_say() {
        close(berk_jones(&mut [0.03]), 0.03);
        close(berk_jones(&mut [0.2, 0.1]), 0.08); // both below 0.2, either way counted
        close(berk_jones(&mut [1.0, 0.01]), 2.0 * (1.0 - 0.99_f64.powi(2)));
        close(berk_jones(&mut [1.0, 1.0]), 1.0);
        close(berk_jones(&mut []), 1.0);
        let many = berk_jones(&mut [0.01; 64]);
        assert!(0.0 < many && many < 1e-100, "{many}");
        let half: Vec<f64> = (0..64).map(|n| if n % 2 == 0 { 1.0 } else { 0.1 }).collect();
        assert!(berk_jones(&mut half.clone()) < 1e-10);
    }

    #[test]
    fn tails_are_exact() {
        close(binomial_tail(0, 5, 0.3), 1.0);
        close(binomial_tail(1, 5, 0.3), 1.0 - 0.7_f64.powi(5));
        close(binomial_tail(5, 5, 0.3), 0.3_f64.powi(5));
        close(binomial_tail(2, 3, 0.5), 0.5);
    }

    #[test]
    fn those_that_go_together_do_not() {
        close(simes(&mut [0.01; 20]), 0.01);
        close(simes(&mut [1.0, 0.01, 1.0, 1.0]), 0.04);
        close(simes(&mut []), 1.0);
    }

    #[test]
    fn false_discoveries_are_counted() {
        let adjusted = false_discoveries(&[0.01, 0.04, 0.03, 0.005, 0.9]);
        for (found, expect) in adjusted.iter().zip([0.025, 0.05, 0.05, 0.025, 0.9]) {
            close(*found, expect);
        }
        assert!(false_discoveries(&[]).is_empty());
    }
}
