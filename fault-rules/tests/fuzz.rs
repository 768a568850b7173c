//! Damaged rule files, damaged rules of the command line and random bytes: nothing panics, nothing is half valid, and what
//! reading costs is bounded by the length of the input.
//!
//! A fuzzer without a compiler of its own: a seeded mutator over `tests/corpus`. `SQUALL_FUZZ_SECONDS` says for how long
//! (2 unless said), `SQUALL_FUZZ_SEED` where it starts; an input that fails is printed, and belongs into the corpus then.
//!
//! Unsafe code: the allocator that counts passes every call on as it came.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that reports")]

#[path = "../../tests/support/dice.rs"]
mod dice;
mod kit;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use dice::Dice;

/// Counts what a thread asks for.
struct Counting;

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the count beside it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending has no counter any more.
        let _ = ASKED.try_with(|asked| asked.set(asked.get() + layout.size() as u64));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One input made of the corpus.
fn mutated(dice: &mut Dice, corpus: &[String]) -> Vec<u8> {
    let mut input = dice.pick(corpus).clone().into_bytes();
    for _ in 0..=dice.below(6) {
        let len = input.len();
        match dice.below(9) {
            0 => drop(input.drain(dice.range(len, 40))),
            1 => {
                let part = input[dice.range(len, 80)].to_vec();
                let at = dice.below(len + 1);
                input.splice(at..at, part);
            }
            2 => {
                let other = dice.pick(corpus).as_bytes();
                let part = other[dice.range(other.len(), 200)].to_vec();
                let at = dice.below(len + 1);
                input.splice(at..at, part);
            }
            3 | 4 => {
                let word = dice.pick(WORDS).as_bytes().to_vec();
                let at = dice.range(len, 12);
                input.splice(at, word);
            }
            5 if len != 0 => {
                let at = dice.below(len);
                input[at] ^= 1 << dice.below(8);
            }
            6 if len != 0 => {
                // Another number where one stands.
                let digits: Vec<_> = (0..len).filter(|at| input[*at].is_ascii_digit()).collect();
                if !digits.is_empty() {
                    let at = *dice.pick(&digits);
                    let number = dice.pick(NUMBERS).as_bytes().to_vec();
                    input.splice(at..=at, number);
                }
            }
            7 => input.truncate(dice.below(len + 1)),
            _ => {
                // Two lines change places: keys under other tables.
                let text = String::from_utf8_lossy(&input).into_owned();
                let mut lines: Vec<_> = text.lines().collect();
                let (a, b) = (dice.below(lines.len()), dice.below(lines.len()));
                if a < lines.len() && b < lines.len() {
                    lines.swap(a, b);
                }
                input = lines.join("\n").into_bytes();
            }
        }
    }
    input
}

fn noise(dice: &mut Dice) -> Vec<u8> {
    let len = dice.below(400);
    (0..len).map(|_| dice.roll() as u8).collect()
}

/// Reads one input, and holds it to what is promised.
fn try_one(input: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(input);
    let before = ASKED.get();
    let read = std::panic::catch_unwind(|| drop(kit::read(&text)));
    let asked = ASKED.get() - before;
    let bound = FIXED + PER_BYTE * text.len() as u64;
    if bound < asked {
        return Err(format!("reading {} bytes asked for {asked} of memory, above {bound}", text.len()));
    }
    read.and_then(|()| std::panic::catch_unwind(|| kit::survive(&text))).map_err(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        words.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned())).unwrap_or_default()
    })
}

fn run(name: &str, make: impl Fn(&mut Dice) -> Vec<u8>) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seconds = number("SQUALL_FUZZ_SECONDS").unwrap_or(2);
    let mut dice = Dice(number("SQUALL_FUZZ_SEED").unwrap_or(0x5eed_2026));
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut inputs = 0_u64;
    while inputs < LEAST || Instant::now() < end {
        let input = make(&mut dice);
        if let Err(why) = try_one(&input) {
            panic!("{name}, input {inputs}: {why}\n{:?}", String::from_utf8_lossy(&input));
        }
        inputs += 1;
    }
    eprintln!("{name}: {inputs} inputs");
}

#[test]
fn damaged_rule_files() {
    let (files, _) = kit::corpus();
    run("rule files", |dice| mutated(dice, &files));
}

#[test]
fn damaged_rules_of_the_command_line() {
    let (_, inline) = kit::corpus();
    run("inline rules", |dice| mutated(dice, &inline));
}

#[test]
fn random_bytes() {
    run("random bytes", noise);
}

#[test]
fn the_corpus_itself() {
    let (files, inline) = kit::corpus();
    for input in files.iter().chain(&inline) {
        try_one(input.as_bytes()).unwrap_or_else(|why| panic!("{why}\n{input}"));
    }
    let good = files.iter().filter(|file| kit::read(file).is_ok()).count();
    assert!(
        files.len() - 2 <= good,
        "the corpus is mostly of files that are read: {good} of {}",
        files.len()
    );
}

/// What grows with the input must grow in proportion: repeating a part of a file a hundred times costs about a hundred times.
#[test]
fn cost_grows_with_length_and_no_faster() {
    let rule = |n: usize| {
        format!(
            "[[rule]]\nid = \"r{n}\"\non = \"GET /a/{{b}}/** group eu -> 2xx\"\nrate = \"5% of path b\"\ntruncate = \"60%\"\n"
        )
    };
    let members: Vec<_> = (0..256).map(|n| format!("\"h{n}:1\"")).collect();
    let group = format!("[group.eu]\nmembers = [{}]\n", members.join(","));
    for (name, part) in [
        ("rules", &rule as &dyn Fn(usize) -> String),
        ("unknown keys", &|n| format!("x{n} = 1\n")),
        ("groups", &|n| format!("[group.g{n}]\nmembers = [\"a:1\"]\n")),
        ("guards", &|n| format!("[guard.g{n}]\nsignal = \"p50\"\nlimit = \"1s\"\n")),
        ("findings", &|n| format!("[[rule]]\nid = \"r{n}\"\nrate = 0.5\ndealy = 1\n")),
        ("broken lines", &|_| "= = \"\n".to_owned()),
    ] {
        let source: String = group.clone() + &(0..20_000).map(part).collect::<String>();
        let source = &source[..source.floor_char_boundary((1 << 20) - 1)];
        try_one(source.as_bytes()).unwrap_or_else(|why| panic!("{name}: {why}"));
    }
}

/// Pieces of the language.
const WORDS: &[&str] = &[
    "[[rule]]\n",
    "[[hook]]\n",
    "[safety]\n",
    "[group.eu]\n",
    "[guard.slo]\n",
    "id = \"a\"\n",
    "on = ",
    "rate = ",
    "delay = ",
    "when = ",
    "one_of = [",
    "respond = 503\n",
    "reset = ",
    "after ",
    " of body",
    " events",
    "forever",
    ", then reset",
    "headers",
    "like ",
    "p50 ",
    ", p99 ",
    "..",
    " +- ",
    " at response",
    "at least ",
    "-> ",
    "2xx",
    "|",
    "group eu",
    "header x",
    "edge ",
    "host ",
    "/a/{b}/**",
    "**",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "\"\"\"",
    "\\",
    "\n",
    "\r\n",
    "\t",
    "=",
    ",",
    "%",
    " of ",
    "path b",
    "sessions",
    "attempts ",
    "every ",
    "times",
    "ramp down ",
    "steps ",
    "0.5",
    "-1",
    "1e9",
    "nan",
    "inf",
    "0x",
    "true",
    "1979-05-27",
    "\u{0}",
    "\u{7f}",
    "\u{feff}",
    "\u{e9}",
    "\u{1f4a5}",
    "#",
    "ms",
    "KB/s",
    " B",
    "weight = ",
    "UNAVAILABLE",
    "control + ",
    "baseline x",
    "%16 in [",
    "crc32(",
    ")",
    "failover = { to = \"us\" }",
];

/// Numbers at the edges of what they are read into.
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "99",
    "100",
    "101",
    "65535",
    "65536",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "999999999999999999999999999999",
    "0.0000000001",
    "1.",
    ".5",
    "1_000",
];

/// Inputs that are tried at least, however slow the machine is.
const LEAST: u64 = 200;

/// A file of nothing costs this; what is read is kept, and each of at most 101 findings holds its line.
const FIXED: u64 = 4 << 20;

/// A rule of 100 bytes with a group of 256 members holds a copy of them.
const PER_BYTE: u64 = 1_000;
