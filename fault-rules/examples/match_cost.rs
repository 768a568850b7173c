//! Measures what rules that do not match cost a request. Run with:
//! `cargo run --release -p fault-rules --example match_cost`
#![allow(clippy::print_stdout)] // a measurement prints

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use fault_rules::{Facts, Loader, RuleSet, parse};

fn main() {
    let ask = |set: &RuleSet, path: &str| {
        let header = |name: &str| (name == "x-tenant").then_some("acme");
        let facts = Facts {
            edge: "shop",
            method: "GET",
            authority: "shop.local:8080",
            path,
            query: "",
            header: &header,
            operation: "00112233445566aa",
            attempt: 1,
            session: "7f-3",
            connection: 12,
            client: "127.0.0.1",
            upstream: "",
        };
        // The best of many short batches: what it costs when nothing else takes the core.
        let batch = || {
            let start = Instant::now();
            for _ in 0..BATCH {
                black_box(set.decide(black_box(7), black_box(&facts), Duration::ZERO));
            }
            start.elapsed() / BATCH
        };
        (0..100).map(|_| batch()).min().unwrap_or_default()
    };
    let cases = [
        ("by first part of the path", "/serviceN/{id}"),
        ("by last part of the path", "/api/cart/{id}/items/N"),
        ("by header", "/api/** header x-tenant=otherN"),
        ("by host", "/api/** host shopN.local"),
    ];
    for (name, on) in cases {
        let mut source = String::new();
        for n in 0..100 {
            // Writing to a String cannot fail.
            let _ = write!(
                source,
                "[[rule]]\nid = \"r{n}\"\non = '{}'\nrespond = 500\n",
                on.replace('N', &n.to_string())
            );
        }
        match parse(&source, "bench", &Loader::NOTHING) {
            Ok(set) => println!(
                "100 rules that do not match, {name}: {:?} a request",
                ask(&set, "/api/cart/7/items/x")
            ),
            Err(report) => println!("{report}"),
        }
    }
}

const BATCH: u32 = 10_000;
