//! What the wire tests share: origins whose bytes and moments the test controls, raw clients, a proxy on port 0.
#![allow(dead_code, unused_imports, reason = "every test binary uses its own part of it")]

pub(crate) mod client;
pub(crate) mod h2;
pub(crate) mod origin;
pub(crate) mod proxy;
pub(crate) mod tcp;
pub(crate) mod tls;
pub(crate) mod ways;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub(crate) use client::{Client, End};
pub(crate) use h2::{H2Client, H2Origin};
pub(crate) use origin::{Gate, Origin, Then};
pub(crate) use proxy::Proxy;
pub(crate) use tcp::Upstream;
pub(crate) use ways::{CLEAR, How, Seen, WAYS, Way};

/// Polls until something becomes true; a deadline this generous is met only by a bug.
pub(crate) fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < until, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Bytes that differ from place to place, so that a shift or a repeat shows.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    static LONG: OnceLock<Vec<u8>> = OnceLock::new();
    let long = LONG.get_or_init(|| {
        (0..LONGEST).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
    });
    long[..len].to_vec()
}

/// A generator for tests (splitmix64): the same seed, the same traffic.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// The longest [`pattern`].
const LONGEST: usize = 8_000_000;

/// How long anything may take before the test calls it a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
