//! Who is selected under ramps, attempts, shards and beside other rules, as properties over random rates and times.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::collections::BTreeSet;
use std::time::Duration;

use fault_rules::{Facts, Loader, RuleSet, parse};
use proptest::prelude::*;

const SEED: u64 = 0x5eed_2026;

fn rules(source: &str) -> RuleSet {
    parse(source, "t", &Loader::NOTHING).unwrap_or_else(|report| panic!("{report}"))
}

/// One exchange: its place in the list names operation, session and customer.
#[derive(Clone, Copy)]
struct Asked {
    n: u64,
    attempt: u32,
}

/// Exchanges that the rule of this id hits at a time: neither outside its window nor beyond its ramp.
fn hit(set: &RuleSet, id: &str, asked: impl Iterator<Item = Asked>, now: Duration) -> BTreeSet<(u64, u32)> {
    let place = set.by_id(id).unwrap().0;
    let one = |asked: &Asked| {
        let (operation, session) = (format!("{:016x}", asked.n), format!("s{}", asked.n / 8));
        let path = format!("/c/{}/orders", asked.n / 4);
        let facts = Facts {
            edge: "shop",
            method: "GET",
            authority: "shop.local",
            path: &path,
            query: "",
            header: &|_| None,
            operation: &operation,
            attempt: asked.attempt,
            session: &session,
            connection: asked.n,
            client: "127.0.0.1",
            upstream: "",
        };
        let selected = set.decide(SEED, &facts, now).selected;
        selected.iter().any(|it| it.rule == place && it.suppressed.is_none())
    };
    asked.filter(one).map(|asked| (asked.n, asked.attempt)).collect()
}

fn first_attempts(n: u64) -> impl Iterator<Item = Asked> {
    (0..n).map(|n| Asked { n, attempt: 1 })
}

/// A rate in thousandths, of one of the kinds that are inside the guarantee.
fn rate() -> impl Strategy<Value = (u64, &'static str)> {
    (0_u64..=1_000, proptest::sample::select(vec!["requests", "operations", "sessions", "path c"]))
}

fn rule(id: &str, rate: u64, of: &str, more: &str) -> String {
    let percent = format!("{}.{}", rate / 10, rate % 10);
    format!(
        "[[rule]]\nid = \"{id}\"\non = \"/c/{{c}}/**\"\nrate = \"{percent}% of {of}\"\ndelay = \"1s\"\n{more}\n"
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_ramp_only_adds_victims_as_it_rises((rate, of) in rate(), a in 0_u64..=120, b in 0_u64..=120, steps in 0_u32..6) {
        let steps = if steps == 0 { String::new() } else { format!(", steps {steps}") };
        let set = rules(&rule("r", rate, of, &format!("when = \"10s..10m, ramp 100s{steps}\"")));
        let at = |seconds: u64| hit(&set, "r", first_attempts(400), Duration::from_secs(seconds));
        let (early, late) = (at(a.min(b)), at(a.max(b)));
        prop_assert!(early.is_subset(&late), "{} and {}", early.len(), late.len());
        let full = rules(&rule("r", rate, of, ""));
        prop_assert!(late.is_subset(&hit(&full, "r", first_attempts(400), Duration::ZERO)));
        prop_assert_eq!(at(115), hit(&full, "r", first_attempts(400), Duration::ZERO), "at its full measure");
    }

    #[test]
    fn a_greater_rate_keeps_the_victims_of_a_smaller((rate, of) in rate(), more in 0_u64..=500) {
        let small = rules(&rule("r", rate, of, ""));
        let large = rules(&rule("r", (rate + more).min(1_000), of, ""));
        let victims = |set: &RuleSet| hit(set, "r", first_attempts(400), Duration::ZERO);
        prop_assert!(victims(&small).is_subset(&victims(&large)));
    }

    #[test]
    fn other_rules_move_nobody((rate, of) in rate(), others in proptest::collection::vec(rate(), 0..5), before: bool) {
        let alone = rules(&rule("r", rate, of, ""));
        let beside: String = others.iter().enumerate().map(|(n, (rate, of))| rule_beside(n, *rate, of)).collect();
        let own = rule("r", rate, of, "");
        let both = rules(&if before { beside + &own } else { own + &beside });
        let victims = |set: &RuleSet| hit(set, "r", first_attempts(300), Duration::ZERO);
        prop_assert_eq!(victims(&alone), victims(&both));
    }

    #[test]
    fn attempts_split_the_victims_and_lose_none((rate, of) in rate(), cut in 1_u32..4) {
        let asked = || (0..150).flat_map(|n| (1..=4).map(move |attempt| Asked { n, attempt }));
        let victims = |more: &str| hit(&rules(&rule("r", rate, of, more)), "r", asked(), Duration::ZERO);
        let (first, rest) = (victims(&format!("attempts = \"1..{cut}\"")), victims(&format!("attempts = \"{}..\"", cut + 1)));
        prop_assert!(first.iter().all(|(_, attempt)| *attempt <= cut));
        prop_assert!(rest.iter().all(|(_, attempt)| cut < *attempt));
        let both: BTreeSet<_> = first.union(&rest).copied().collect();
        prop_assert_eq!(both, victims(""));
        if of == "operations" {
            let mut ends = BTreeSet::new();
            for (n, _) in &first {
                ends.insert(*n);
            }
            prop_assert_eq!(first.len(), ends.len() * cut as usize, "all or none of an operation's attempts");
        }
    }

    #[test]
    fn shards_split_the_victims_and_a_key_stays_on_its_shard((rate, of) in rate(), shards in 1_u64..7) {
        let victims = |more: &str| hit(&rules(&rule("r", rate, of, more)), "r", first_attempts(400), Duration::ZERO);
        let mut seen = BTreeSet::new();
        for shard in 0..shards {
            let part = victims(&format!("shard = \"crc32(path c) % {shards} in [{shard}]\""));
            prop_assert!(part.is_disjoint(&seen), "an exchange is on one shard");
            let customers: BTreeSet<_> = part.iter().map(|(n, _)| n / 4).collect();
            let elsewhere: BTreeSet<_> = seen.iter().map(|(n, _)| n / 4).collect();
            prop_assert!(customers.is_disjoint(&elsewhere), "so is a customer");
            seen.extend(part);
        }
        prop_assert_eq!(seen, victims(""));
    }
}

fn rule_beside(n: usize, rate: u64, of: &str) -> String {
    rule(&format!("other-{n}"), rate, of, "")
}

/// A stationary share: of 100,000 customers each of 16 shards by CRC-32 has its part, within five deviations.
#[test]
fn shards_are_even() {
    let count = |shard: u64| {
        let more = format!("shard = \"crc32(path c) % 16 in [{shard}]\"");
        hit(&rules(&rule("r", 1_000, "requests", &more)), "r", first_attempts(40_000), Duration::ZERO).len()
    };
    for shard in [0, 3, 11, 15] {
        // 10,000 customers of four exchanges: 625 expected, deviation 24.
        let customers = count(shard) / 4;
        assert!((505..=745).contains(&customers), "shard {shard}: {customers}");
    }
}

/// Known answers, so that a change of hash is seen: customers 0 to 15 by CRC-32 modulo 4.
#[test]
fn shards_are_those_of_the_application() {
    let set = |shard: u64| {
        rules(&rule("r", 1_000, "requests", &format!("shard = \"crc32(path c) % 4 in [{shard}]\"")))
    };
    let customers = |shard: u64| -> BTreeSet<u64> {
        hit(&set(shard), "r", first_attempts(64), Duration::ZERO).iter().map(|(n, _)| n / 4).collect()
    };
    // zlib.crc32(str(n).encode()) % 4
    let expect = |shard: u64| -> BTreeSet<u64> {
        (0..16).filter(|n| crc32(n.to_string().as_bytes()) % 4 == shard).collect()
    };
    for shard in 0..4 {
        assert_eq!(customers(shard), expect(shard));
    }
}

/// Written another way than the crate's: by a table.
fn crc32(bytes: &[u8]) -> u64 {
    let table: Vec<u32> = (0..256_u32)
        .map(|n| (0..8).fold(n, |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }))
        .collect();
    let crc = bytes
        .iter()
        .fold(u32::MAX, |crc, byte| table[((crc ^ u32::from(*byte)) & 255) as usize] ^ (crc >> 8));
    u64::from(!crc)
}
