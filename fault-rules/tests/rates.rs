//! The figures of selection, for each rate over 100,000 operations: exact shares, and the same victims however they are asked.

use std::collections::BTreeSet;
use std::time::Duration;

use fault_rules::{Facts, Loader, RuleSet, parse};

const SEED: u64 = 0x5eed_2026;
const OPERATIONS: u64 = 100_000;
/// Rate, and the 99.9 % central interval of Binomial(100,000, p) by the exact distribution.
const RATES: [(&str, usize, usize); 4] =
    [("0.1%", 69, 134), ("1%", 898, 1_105), ("10%", 9_689, 10_313), ("50%", 49_480, 50_520)];

fn rules(source: &str) -> RuleSet {
    parse(source, "test.toml", &Loader::NOTHING).unwrap_or_else(|report| panic!("{report}"))
}

fn rule(rate: &str) -> String {
    format!("[[rule]]\nid = \"r\"\nrespond = 500\nrate = \"{rate}\"\n")
}

/// Of every `step`-th operation from `first` on, those that the rule selects.
fn victims(set: &RuleSet, first: u64, step: usize) -> BTreeSet<u64> {
    let place = set.by_id("r").expect("the rule").0;
    let is_hit = |op: &u64| {
        let (operation, header) = (format!("{op:016x}"), |_: &str| None);
        let facts = Facts {
            edge: "shop",
            method: "GET",
            authority: "shop.local",
            path: "/",
            query: "",
            header: &header,
            operation: &operation,
            attempt: 1,
            session: "s",
            connection: *op % 64,
            client: "127.0.0.1",
            upstream: "",
        };
        set.decide(SEED, &facts, Duration::ZERO).selected.iter().any(|selected| selected.rule == place)
    };
    (first..OPERATIONS).step_by(step).filter(is_hit).collect()
}

#[test]
fn every_rate_is_exact_and_its_victims_are_the_same_in_every_way_of_asking() {
    let mut smaller = BTreeSet::new();
    for (rate, low, high) in RATES {
        let set = rules(&rule(rate));
        let alone = victims(&set, 0, 1);
        assert!((low..=high).contains(&alone.len()), "{rate}: {}", alone.len());
        let both = std::thread::scope(|scope| {
            let set = &set;
            let halves = [0, 1].map(|half| scope.spawn(move || victims(set, half, 2)));
            halves.map(|half| half.join().expect("a thread"))
        });
        assert_eq!(&both[0] | &both[1], alone, "{rate} at two threads");
        let beside = format!("[[rule]]\nid = \"unrelated\"\nrate = \"30%\"\ndelay = \"1s\"\n{}", rule(rate));
        assert_eq!(victims(&rules(&beside), 0, 1), alone, "{rate} in another run, beside an unrelated rule");
        assert!(smaller.is_subset(&alone), "{rate} keeps the victims of the smaller rate");
        smaller = alone;
    }
    let [five, ten] = ["5%", "10%"].map(|rate| victims(&rules(&rule(rate)), 0, 1));
    assert!(five.is_subset(&ten) && five.len() * 19 < ten.len() * 10 && ten.len() * 10 < five.len() * 21);
}
