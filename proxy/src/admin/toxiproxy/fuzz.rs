//! Damaged bodies of requests: nothing panics, what is refused is refused in words, and a toxic that is taken comes back as
//! it was told.
//!
//! A seeded mutator. `SQUALL_FUZZ_SECONDS` says for how long (1 unless said), `SQUALL_FUZZ_SEED` where it starts; an input
//! that fails is printed, and belongs into `BODIES` then.

use std::time::{Duration, Instant};

use super::shapes::{Problem, ProxyIn, ToxicIn, read};
use super::toxics::Toxic;

#[path = "../../../../tests/support/dice.rs"]
mod dice;

use dice::Dice;

fn mutated(dice: &mut Dice) -> Vec<u8> {
    let mut body = dice.pick(&BODIES).as_bytes().to_vec();
    for _ in 0..=dice.below(4) {
        let len = body.len();
        let at = dice.below(len + 1);
        match dice.below(5) {
            0 => drop(body.drain(dice.range(len, 20))),
            1 => {
                let other = dice.pick(&BODIES).as_bytes();
                let part = other[dice.range(other.len(), 60)].to_vec();
                drop(body.splice(at..at, part));
            }
            2 | 3 => {
                let word = dice.pick(&WORDS).bytes();
                drop(body.splice(dice.range(len, 12), word));
            }
            _ if at < len => body[at] ^= 1 << dice.below(8),
            _ => {}
        }
    }
    body
}

fn attempt(body: &[u8]) -> Result<(), Problem> {
    let proxies: Result<Vec<ProxyIn>, Problem> = read(body);
    drop(proxies);
    let proxy: Result<ProxyIn, Problem> = read(body);
    drop(proxy);
    let toxic = Toxic::read(read::<ToxicIn>(body)?)?;
    let told = toxic.json();
    let again = Toxic::read(read(told.to_string().as_bytes())?)?;
    assert_eq!(again.json(), told);
    assert_eq!(toxic.updated(read(told.to_string().as_bytes())?)?.json(), told);
    for is_tcp in [false, true] {
        if let Err(problem) = toxic.rule("id".to_owned(), "edge", is_tcp) {
            assert!(!problem.text.is_empty());
        }
    }
    Ok(())
}

#[test]
fn bodies() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let mut dice = Dice(number("SQUALL_FUZZ_SEED").unwrap_or(0x5eed_2026));
    let end = Instant::now() + Duration::from_secs(number("SQUALL_FUZZ_SECONDS").unwrap_or(1));
    let (mut tried, mut taken) = (0, 0);
    while tried < LEAST || Instant::now() < end {
        let body = mutated(&mut dice);
        let passed = std::panic::catch_unwind(|| attempt(&body));
        match passed {
            Ok(Ok(())) => taken += 1,
            Ok(Err(problem)) => assert!(!problem.text.is_empty()),
            Err(_) => panic!("input {tried}: {:?}", String::from_utf8_lossy(&body)),
        }
        tried += 1;
    }
    assert!(0 < taken, "some of {tried} are toxics still");
}

const BODIES: [&str; 7] = [
    r#"{"name":"slow","type":"latency","stream":"downstream","toxicity":0.5,"attributes":{"latency":1000,"jitter":2000}}"#,
    r#"{"type":"bandwidth","stream":"upstream","toxicity":1.0,"attributes":{"rate":64}}"#,
    r#"{"type":"slicer","attributes":{"average_size":10,"size_variation":3,"delay":5}}"#,
    r#"{"type":"timeout","attributes":{"timeout":0}}"#,
    r#"{"type":"limit_data","stream":"upstream","attributes":{"bytes":100}}"#,
    r#"{"name":"redis","listen":"127.0.0.1:0","upstream":"127.0.0.1:6379","enabled":false,"toxics":[]}"#,
    r#"[{"name":"a","listen":"[::]:0","upstream":"b:1"},{"name":"c","upstream":"d:2"}]"#,
];
const WORDS: [&str; 14] = [
    "null",
    "-1",
    "1e999",
    "0.1",
    "18446744073709551615",
    "9223372036854775808",
    "\"\"",
    "{}",
    "[]",
    "\\u0000",
    "\"slow_close\"",
    "\"reset_peer\"",
    "\"jitter\":",
    "\"upstream\"",
];
/// Inputs that are tried at least, however slow the machine is.
const LEAST: u32 = 500;
