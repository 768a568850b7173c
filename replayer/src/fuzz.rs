//! What users type and the files that they give, damaged: nothing panics, and what is refused is refused in words.
//!
//! A seeded mutator over a few of each. `SQUALL_FUZZ_SECONDS` says for how long (1 unless said), `SQUALL_FUZZ_SEED` where
//! it starts; an input that fails is printed, and belongs among the others then.

use std::fs;
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::guard::AbortOn;
use crate::links::{Choice, Links};
use crate::plan::{Pattern, Substitution};
use crate::population::{Boost, Profile, Shard, Stage};
use crate::users::Users;

#[path = "../../tests/support/dice.rs"]
mod dice;

use dice::Dice;

fn mutated(dice: &mut Dice, corpus: &[&str]) -> Vec<u8> {
    let mut input = dice.pick(corpus).as_bytes().to_vec();
    for _ in 0..=dice.below(4) {
        let len = input.len();
        let at = dice.below(len + 1);
        match dice.below(6) {
            0 => drop(input.drain(dice.range(len, 20))),
            1 => {
                let other = dice.pick(corpus).as_bytes();
                let part = other[dice.range(other.len(), 80)].to_vec();
                drop(input.splice(at..at, part));
            }
            2 => {
                let word = dice.pick(&WORDS).bytes();
                drop(input.splice(dice.range(len, 8), word));
            }
            3 if at < len => input[at] ^= 1 << dice.below(8),
            4 if at < len => input[at] = dice.roll() as u8,
            _ => input.truncate(at),
        }
    }
    input
}

fn run(name: &str, corpus: &[&str], attempt: impl Fn(&[u8])) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let mut dice = Dice(number("SQUALL_FUZZ_SEED").unwrap_or(0x5eed_2026));
    let end = Instant::now() + Duration::from_secs(number("SQUALL_FUZZ_SECONDS").unwrap_or(1));
    let hold = |input: &[u8]| {
        let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| attempt(input)));
        assert!(passed.is_ok(), "{name}: {:?}", String::from_utf8_lossy(input));
    };
    corpus.iter().for_each(|input| hold(input.as_bytes()));
    for n in 0.. {
        if LEAST < n && end <= Instant::now() {
            break;
        }
        hold(&mutated(&mut dice, corpus));
    }
}

/// Reads a word; one that is refused is refused in words.
fn typed<T: FromStr<Err = String>>(input: &[u8]) {
    if let Err(why) = String::from_utf8_lossy(input).parse::<T>() {
        assert!(!why.is_empty());
    }
}

#[test]
fn files_of_users() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("users");
    run("users", &USERS, |input| {
        fs::write(&path, input).expect("written");
        match Users::load(&path) {
            Ok(users) => {
                let mut cells = (0..users.rows()).flat_map(|row| users.row(row));
                assert!(0 < users.rows() && cells.all(|cell| std::str::from_utf8(cell).is_ok()));
            }
            Err(why) => assert!(why.contains("users file"), "{why}"),
        }
    });
}

#[test]
fn files_of_links() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("links.toml");
    run("links", &LINKS, |input| {
        fs::write(&path, input).expect("written");
        if let Err(why) = Links::find(&Choice::File(path.clone()), &[]) {
            assert!(why.to_string().contains("links.toml"), "{why}");
        }
    });
}

#[test]
fn words_of_the_command_line() {
    run("words", &TYPED, |input| {
        typed::<Substitution>(input);
        typed::<Profile>(input);
        typed::<Stage>(input);
        typed::<Boost>(input);
        typed::<Shard>(input);
        typed::<Pattern>(input);
        typed::<AbortOn>(input);
    });
}

const USERS: [&str; 6] = [
    "user,password\nann,x\nbob,\"y, \"\"z\"\"\"\n",
    "\u{feff}user;password\r\nann;x\r\n\r\nbob;y\r\n",
    "user\tpassword\nann\tx\n",
    "{\"user\":\"ann\",\"n\":7,\"ok\":true}\n{\"user\":\"b\\u00fcb\",\"n\":null,\"ok\":false}\n",
    "{\"a\":{\"b\":1}}\n",
    "[{\"user\":\"ann\"}]",
];
const LINKS: [&str; 3] = [
    "auto = true\n[[link]]\nfrom = \"POST /login json:$.token\"\nto = \"* header:authorization bearer\"\n",
    "[[forbid]]\nto = \"* query:page\"\n[[forbid]]\nfrom = \"GET /a cookie:sid\"\n",
    "auto = false\n[[link]]\nfrom = \"GET /a/{} json:$.items[*].id\"\nto = \"POST /b/{} form:id\"\n",
];
const TYPED: [&str; 14] = [
    "header:Authorization=Bearer {token}",
    "json:user.name={user}-{clone}{{x}}",
    "query:q={uuid}",
    "ramp:0..100x/2m, hold/10m, spike:300x/30s, step:-50x/1m",
    "ramp:10/s..20/s/1h",
    "30s:1000",
    "1.5h:0",
    "GET /search:50x",
    "GET /search:50x@2m..3m",
    "2/8",
    "errors > 5% over 10s after 30s",
    "p99 < 250ms over 5s",
    "GET /shop/*",
    "POST ~^/a(b|c)",
];
const WORDS: [&str; 16] = [
    "{",
    "}",
    "..",
    "/",
    ":",
    "=",
    ",",
    "x",
    "1e999",
    "99999999999999999999",
    "-0",
    "ms",
    "%",
    "*",
    "\"",
    "\n",
];
/// Inputs that are tried at least, however slow the machine is.
const LEAST: u32 = 200;
