//! Captures made to exhaust memory: lengths that lie, references to nothing, small files that unfold without end. Each is
//! read by a process of its own, and what that took at its peak is looked at.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "helpers of tests")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use captures::verify::verify;
use captures::{Reader, SessionId, seek};
use common::handmade::{
    BODY, Block, CODES, Columns, DEFINITIONS, FIELDS, FIXED, HEAD, HOLES, MARKS, TARGET, TEXT, file, frame,
    index, one_in_words, put, raw_4, seek_table,
};

/// What reading a file of lies may take: the process itself, and next to nothing.
const LITTLE: u64 = 40 << 20;
/// What a block may take that unfolds to the limit: what it holds, 256 MiB, and what reading it takes beside.
const MUCH: u64 = 1 << 30;
const HUGE: u64 = 1 << 60;

/// Not a test by itself: reads what the others made, in a process of its own.
#[test]
fn reads_what_it_is_given() {
    let Some(path) = std::env::var_os("SQUALL_HOSTILE_CAPTURE") else { return };
    let path = Path::new(&path);
    let found = verify(path).unwrap();
    let read = Reader::open(path).unwrap().exchanges().filter(Result::is_ok).count();
    assert_eq!(read as u64, found.exchanges, "checked and read alike");
    // without an index it would read the same blocks once more
    if path.extension().is_some_and(|kind| kind == "closed") {
        let sought = seek::session(path, SessionId(0)).unwrap();
        assert!(sought.exchanges.len() as u64 <= found.exchanges);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|told| told.split_ascii_whitespace().next()).unwrap_or("0");
    println!("FOUND {} {} {peak}", found.exchanges, found.damage.len());
}

/// Reads a file in a process of its own: exchanges, damaged places, and the most memory that it took, in bytes.
fn read_apart(name: &str, content: &[u8]) -> (u64, u64, u64) {
    let dir = tempfile::tempdir().unwrap();
    let path =
        dir.path().join(if content.ends_with(&[0xb1, 0xea, 0x92, 0x8f]) { "a.closed" } else { "a.zst" });
    fs::write(&path, content).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "reads_what_it_is_given", "--nocapture", "--test-threads=1"])
        .env("SQUALL_HOSTILE_CAPTURE", &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    let errors = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{name}: {}\n{said}{errors}", child.status);
    let told = said.lines().find_map(|line| line.split_once("FOUND ")).unwrap().1;
    let numbers: Vec<u64> = told.split(' ').map(|number| number.parse().unwrap()).collect();
    (numbers[0], numbers[1], numbers[2] << 10)
}

/// A block must be refused, without more memory than that.
fn refused(name: &str, block: Block, bound: u64) {
    let good = Block::of(3, Columns::one().raw(), 1);
    let (exchanges, damage, peak) = read_apart(name, &file(&[good, block]));
    assert!(
        exchanges == 1 && damage != 0,
        "{name}: the good block is read, the other one named: {exchanges}, {damage}"
    );
    eprintln!("{name}: {} MiB", peak >> 20);
    assert!(peak <= bound, "{name}: {} MiB", peak >> 20);
}

/// The block of one exchange, changed.
fn changed(change: impl FnOnce(&mut Columns)) -> Block {
    let mut columns = Columns::one();
    change(&mut columns);
    Block::of(3, columns.raw(), 1)
}

fn varint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, value);
    out
}

/// The slot has one value: a new template of these holes, with that in them.
fn template(columns: &mut Columns, slot: usize, kinds: &[u8], holes: &[u8]) {
    columns.forget(slot);
    let own = &mut columns.slots[slot];
    own[CODES] = vec![2];
    own[DEFINITIONS] = vec![1];
    put(&mut own[DEFINITIONS], kinds.len() as u64);
    kinds.iter().for_each(|kind| own[DEFINITIONS].extend([0, *kind]));
    own[DEFINITIONS].push(0);
    own[HOLES] = holes.to_vec();
}

#[test]
fn what_is_made_by_hand_is_read() {
    let (exchanges, damage, peak) = read_apart("good", &file(&[Block::of(3, Columns::one().raw(), 1)]));
    assert_eq!((exchanges, damage), (1, 0));
    assert!(peak < LITTLE, "{} MiB", peak >> 20);
    let repeated = || {
        let mut columns = Columns::one();
        columns.repeat(99);
        Block::of(3, columns.raw(), 100)
    };
    assert_eq!(read_apart("repeated", &file(&[repeated(), repeated()])).0, 200);
}

#[test]
fn counts_that_lie_are_refused() {
    for huge in [1 << 20, 1 << 32, HUGE, u64::MAX] {
        let records = Block { records: huge.min(u32::MAX.into()) as u32, ..changed(|_| {}) };
        refused("records", records, LITTLE);
        refused("sessions", changed(|columns| columns.sessions = huge), LITTLE);
        refused("names", changed(|columns| columns.n_names = huge), LITTLE);
        refused("slots", changed(|columns| columns.slots.resize(1 << 16, Default::default())), LITTLE);
        let session = changed(|columns| columns.numbers[0] = [vec![0], varint(huge), vec![0]].concat());
        refused("exchanges of a session", session, LITTLE);
        let text = changed(|columns| {
            columns.slots[TARGET][DEFINITIONS] = [vec![0], varint(huge)].concat();
        });
        refused("length of a text", text, LITTLE);
        let holes = changed(|columns| {
            columns.slots[TARGET][DEFINITIONS] = [vec![1], varint(huge)].concat();
        });
        refused("holes of a template", holes, LITTLE);
        let before = changed(|columns| {
            columns.slots[TARGET][DEFINITIONS] =
                [vec![1, 2], varint(huge), vec![1], varint(huge), vec![1, 0]].concat();
        });
        refused("text before a hole", before, LITTLE);
        let stream = changed(|columns| {
            columns.slots[MARKS][TEXT] = vec![64];
            columns.numbers[5] = [vec![1, 0], varint(huge)].concat();
        });
        refused("messages of a stream", stream, LITTLE);
        let faults = changed(|columns| {
            columns.forget(MARKS);
            columns.literal(MARKS, &[vec![16], varint(huge)].concat());
        });
        refused("faults of an exchange", faults, LITTLE);
        let unit = changed(|columns| {
            columns.unit = huge;
            columns.numbers[0] = [vec![0, 1], varint(u64::MAX)].concat();
        });
        refused("a start beyond time", unit, LITTLE);
    }
}

#[test]
fn references_to_nothing_are_refused() {
    let code = |slot: usize, code: u64| {
        changed(move |columns| {
            columns.forget(slot);
            columns.slots[slot][CODES] = varint(code);
        })
    };
    for slot in [TARGET, MARKS, FIELDS, BODY] {
        refused("the value before", code(slot, 0), LITTLE);
        refused("the value in context", code(slot, 1), LITTLE);
    }
    for far in [0, 1, 1 << 20, HUGE, u64::MAX - 3] {
        for slot in [TARGET, MARKS, FIELDS, BODY] {
            refused("a value", code(slot, 3 + far), LITTLE);
        }
        let known = changed(|columns| columns.slots[TARGET][DEFINITIONS] = varint(2 + far));
        refused("a template", known, LITTLE);
        // 2: of the block; 3 and above: of the session
        for reference in [[vec![2], varint(far)].concat(), varint(3 + far)] {
            refused("an identifier", changed(|columns| template(columns, TARGET, &[8], &reference)), LITTLE);
        }
        let names = changed(|columns| {
            columns.forget(FIELDS);
            columns.literal(FIELDS, &varint(far));
        });
        refused("a name", names, LITTLE);
    }
}

#[test]
fn made_up_identifiers_have_a_price() {
    for (kind, length) in [(8, HUGE), (12, HUGE), (13, 1 << 32), (14, u64::MAX), (9, 300 << 20)] {
        let holes = [vec![1, 0], varint(length)].concat();
        refused("made up", changed(|columns| template(columns, TARGET, &[kind], &holes)), LITTLE);
    }
    // each is small enough, all of them are not
    let many = changed(|columns| {
        let holes = [vec![1, 0], varint(1 << 20)].concat();
        template(columns, TARGET, &[12; 1000], &holes.repeat(1000));
    });
    refused("made up a thousand times", many, MUCH);
    // an exchange of nothing but references to one of them
    let many = changed(|columns| {
        let first = [vec![1, 0], varint(1 << 20)].concat();
        template(columns, TARGET, &[12; 1000], &[first, vec![3; 999]].concat());
    });
    refused("one, a thousand times", many, MUCH);
}

#[test]
fn small_blocks_do_not_unfold_without_end() {
    let repeated = |text: usize, more: u64, slot: usize| {
        let mut columns = Columns::one();
        columns.forget(slot);
        columns.literal(slot, &vec![b'a'; text]);
        columns.repeat(more);
        Block::of(3, columns.raw(), more as u32 + 1)
    };
    refused("a long target, often", repeated(1 << 20, 300, TARGET), MUCH);
    refused("exchanges of nothing", repeated(1, 1_200_000, TARGET), MUCH);
    refused("a method, often", repeated(30 << 20, 40, 3), MUCH);
    // a list of header fields that have no name and no value
    let fields = |n: usize, more: u64| {
        let mut columns = Columns::one();
        (columns.n_names, columns.names) = (1, vec![0]);
        columns.slots.push(Default::default());
        columns.forget(FIELDS);
        columns.literal(FIELDS, &vec![0; n]);
        columns.repeat(more);
        // a value for the first, and the same for all others
        columns.slots[FIXED][CODES] = vec![0; n * (more as usize + 1)];
        columns.slots[FIXED][CODES][0] = 2;
        columns.slots[FIXED][DEFINITIONS] = vec![0, 0];
        Block::of(3, columns.raw(), more as u32 + 1)
    };
    refused("a long list of fields without names", fields(30 << 20, 0), MUCH / 4);
    refused("a list of fields, often", fields(1 << 20, 20), MUCH);
    // templates of nothing but holes
    let holes = changed(|columns| template(columns, TARGET, &vec![1; 20 << 20], &vec![0; 20 << 20]));
    let (_, _, peak) = read_apart("a template of twenty million holes", &file(&[holes]));
    assert!(peak <= MUCH, "{} MiB", peak >> 20);
    let messages = changed(|columns| {
        columns.slots[MARKS][TEXT] = vec![64];
        columns.numbers[5] = [vec![1, 0], varint(1 << 20)].concat();
        (6..9).for_each(|column| columns.numbers[column] = vec![3; 1 << 20]);
    });
    refused("a million events", messages, MUCH);
}

#[test]
fn words_that_lie_are_refused() {
    let one = |flags: u8, words: &[u8], change: &dyn Fn(&mut Vec<u64>)| {
        let (mut lengths, rest) = one_in_words(words);
        change(&mut lengths);
        Block::of(4, raw_4(1, flags, &lengths, &rest), 1)
    };
    // what is not text stands behind a zero
    let words = b"/\0\0\0\0GET";
    for (flags, words) in [(1, &words[..]), (3, b"/\0\0GET")] {
        let (exchanges, damage, _) = read_apart("words", &file(&[one(flags, words, &|_| {})]));
        assert_eq!((exchanges, damage), (1, 0), "flags {flags}");
    }
    for length in [0, 5, 7, 64 << 20, (64 << 20) + 1, HUGE, u64::MAX] {
        refused("a text of another length", one(1, words, &|lengths| lengths[0] = length), LITTLE);
        refused("a plain text of another length", one(3, words, &|lengths| lengths[0] = length), LITTLE);
    }
    refused("a word that is not there", one(1, b"/\0\0\0\0\x1f\xff", &|_| {}), LITTLE);
    refused("flags of tomorrow", one(4, words, &|_| {}), LITTLE);
    refused("lengths beyond each other", one(1, words, &|lengths| lengths.fill(u64::MAX)), LITTLE);
    // a megabyte of long words
    let long = vec![0x81; 8 << 20];
    let unfolds = one(1, &long, &|lengths| lengths[0] = 64 << 20);
    refused("words without end", unfolds, LITTLE + (128 << 20));
}

#[test]
fn frames_that_inflate_without_end_are_cut() {
    // a gigabyte of zeros, of which the header says nothing, too little, or the most that it may
    let mut packed = zstd::Encoder::new(Vec::new(), 3).unwrap();
    packed.window_log(27).unwrap();
    let zeros = vec![0; 1 << 20];
    (0..1024).for_each(|_| std::io::Write::write_all(&mut packed, &zeros).unwrap());
    let bomb = packed.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    for said in [0, 1, 1 << 20, 64 << 20] {
        let block = Block { raw_len: Some(said), payload: Some(bomb.clone()), ..changed(|_| {}) };
        refused("a bomb", block, LITTLE + (64 << 20));
    }
    for said in [(64 << 20) + 1, u32::MAX] {
        let block = Block { raw_len: Some(said), payload: Some(bomb.clone()), ..changed(|_| {}) };
        refused("a length above the limit", block, LITTLE);
    }
    let short = Block { payload: Some(bomb[..bomb.len() / 2].to_vec()), ..changed(|_| {}) };
    refused("half a bomb", short, LITTLE);
}

#[test]
fn index_and_seek_table_that_lie_are_not_believed() {
    let good = file(&[Block::of(3, Columns::one().raw(), 1)]);
    let head = frame(b'c', HEAD).len() as u32;
    let rest = good.len() as u32 - head;
    let block = rest - zstd::bulk::compress(&Columns::one().raw(), 1).unwrap().len() as u32;
    let session = [vec![0, 0, 1, 0, 0]].concat();
    let mut count = 0;
    let mut check = |index: &[u8], entries: &[(u32, u32)], said: u32| {
        let content = [&good[..], index, &seek_table(entries, said)].concat();
        let (exchanges, _, peak) = read_apart("tail", &content);
        assert_eq!(exchanges, 1, "case {count}");
        assert!(peak < LITTLE, "case {count}: {} MiB", peak >> 20);
        count += 1;
    };
    let honest = index(1, 1, &session);
    let entries = [(head, 0), (block, 0), (rest - block, 1), (honest.len() as u32, 0)];
    check(&honest, &entries, 4);
    for said in [0, 3, 5, 1 << 30, u32::MAX] {
        check(&honest, &entries, said);
    }
    for (place, size) in (0..4).flat_map(|place| [0, 1, 1 << 20, u32::MAX].map(|size| (place, size))) {
        let mut entries = entries;
        entries[place].0 = size;
        check(&honest, &entries, 4);
    }
    for sessions in [0, 2, 1_000_001, HUGE, u64::MAX] {
        let lie = index(1, sessions, &session);
        check(&lie, &[entries[0], entries[1], entries[2], (lie.len() as u32, 0)], 4);
    }
    for span in [
        [varint(0), varint(0), varint(HUGE), varint(0), varint(HUGE)],
        [HUGE, 0, 1, HUGE, u64::MAX].map(varint),
    ] {
        let lie = index(1, 1, &span.concat());
        check(&lie, &[entries[0], entries[1], entries[2], (lie.len() as u32, 0)], 4);
    }
    // more sessions than an index may name, and a header of nothing but edges: both take far more than their bytes
    let many = index(1, 5 << 20, &[1, 0, 1, 0, 0].repeat(5 << 20));
    let entries = [entries[0], entries[1], entries[2], (many.len() as u32, 0)];
    let (exchanges, damage, peak) =
        read_apart("sessions", &[&good[..], &many, &seek_table(&entries, 4)].concat());
    assert_eq!((exchanges, damage), (1, 1));
    assert!(peak < LITTLE + 3 * many.len() as u64, "{} MiB", peak >> 20);
    let json = format!(r#"{{"edges":[{}{{}}]}}"#, "{},".repeat(5 << 20));
    let head = [HEAD, json.as_bytes()].concat();
    let edges = [vec![2], varint(head.len() as u64), head, vec![1, 1, 0, 0]].concat();
    let many = frame(b'i', &edges);
    let (_, damage, peak) = read_apart("edges", &[&good[..], &many, &seek_table(&entries, 4)].concat());
    assert!(damage != 0 && peak < LITTLE + 3 * many.len() as u64, "{} MiB", peak >> 20);
}
