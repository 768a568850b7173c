//! Damaged archives, logs, packets, captures and blocks: nothing panics, nothing takes memory out of proportion, and what
//! is read at all can be written to a capture and is the same when it is read again.
//!
//! A fuzzer without a compiler of its own: a seeded mutator over `tests/corpus`, over what the exporters make of a few
//! exchanges, and over the small ones of the shared data files. `SQUALL_FUZZ_SECONDS` says for how long (1 unless said),
//! `SQUALL_FUZZ_SEED` where it starts; an input that fails is written to a file that is named, and belongs into the corpus
//! then.
//!
//! Unsafe code: the allocator that counts passes every call on as it came.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that reports")]

mod common;
#[path = "../../tests/support/dice.rs"]
mod dice;
#[path = "imports/pcap/wire.rs"]
#[allow(dead_code, reason = "made for the tests of the importer")]
mod wire;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use captures::canary::Canaries;
use captures::compact::{CompactOptions, compact};
use captures::error::Error;
use captures::export::{gor, har, mitmproxy, ndjson};
use captures::header::{FileHeader, Options};
use captures::import::{self, Format, ImportOptions, Numbering};
use captures::redact::Policy;
use captures::repair::repair;
use captures::synthesize::read_trace;
use captures::verify::verify;
use captures::{Exchange, Reader, Redactor, SessionId, Writer, seek};
use common::handmade::{self, Block};
use dice::Dice;

/// Counts what a thread holds, and the most that it held.
struct Counting;

thread_local! {
    static HELD: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: i64) {
    // a thread that is ending has no counters any more
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: every call goes to the system's allocator unchanged; the counts beside it allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One input made of the corpus.
fn mutated(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = dice.pick(corpus).clone();
    for _ in 0..=dice.below(5) {
        let len = input.len();
        match dice.below(8) {
            0 => drop(input.drain(dice.range(len, 60))),
            1 => {
                let part = input[dice.range(len, 200)].to_vec();
                let at = dice.below(len + 1);
                input.splice(at..at, part);
            }
            2 => {
                let other = dice.pick(corpus);
                let part = other[dice.range(other.len(), 300)].to_vec();
                let at = dice.below(len + 1);
                input.splice(at..at, part);
            }
            3 => {
                let word = dice.pick(WORDS);
                let at = dice.range(len, 12);
                input.splice(at, word.iter().copied());
            }
            4 | 5 if len != 0 => {
                let at = dice.below(len);
                input[at] =
                    if dice.below(2) == 0 { dice.roll() as u8 } else { input[at] ^ 1 << dice.below(8) };
            }
            6 => {
                // another number where one stands
                let digits: Vec<_> = (0..len).filter(|at| input[*at].is_ascii_digit()).collect();
                if !digits.is_empty() {
                    let at = *dice.pick(&digits);
                    input.splice(at..=at, dice.pick(NUMBERS).bytes());
                }
            }
            _ => input.truncate(dice.below(len + 1)),
        }
    }
    input
}

/// Tries inputs as long as it is asked to: each must pass, within a bound of memory.
fn run(name: &str, corpus: &[Vec<u8>], attempt: impl Fn(&[u8], &Path)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seconds = number("SQUALL_FUZZ_SECONDS").unwrap_or(1);
    let mut dice = Dice(number("SQUALL_FUZZ_SEED").unwrap_or(0x5eed_2026));
    // in memory where there is such a place: a capture that is closed waits for the disk, thousands of times
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let hold = |input: &[u8], which: &str| {
        PEAK.set(HELD.get());
        let before = HELD.get();
        let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| attempt(input, dir.path())));
        let took = (PEAK.get() - before) as usize;
        if passed.is_err() || FIXED + PER_BYTE * input.len() < took {
            let path = std::env::temp_dir().join(format!("squall-fuzz-{}-{which}", name.replace(' ', "-")));
            fs::write(&path, input).unwrap();
            panic!("{name}, input {which}, {} bytes, took {took} bytes: see {}", input.len(), path.display());
        }
    };
    for (at, input) in corpus.iter().enumerate() {
        hold(input, &format!("{at} of the corpus"));
    }
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut inputs = 0_u64;
    while inputs < LEAST || Instant::now() < end {
        hold(&mutated(&mut dice, corpus), &inputs.to_string());
        inputs += 1;
    }
    eprintln!("{name}: {inputs} inputs, {} in the corpus", corpus.len());
}

/// Writes exchanges to a capture, and expects them back.
fn expect_the_same(exchanges: &[Exchange], dir: &Path) {
    let path = dir.join("again.zst");
    let _ = fs::remove_file(&path);
    // context mixing takes its time, and has a fuzzer of its own
    let options = Options { mix_small: false, ..Options::for_import() };
    let mut writer = Writer::create(&path, FileHeader::new("fuzz", 1), options).unwrap();
    let mut written: Vec<&Exchange> = Vec::new();
    for exchange in exchanges {
        match writer.push(exchange, 0) {
            Ok(()) => written.push(exchange),
            Err(Error::TooLarge { .. }) => {}
            Err(err) => panic!("{err}"),
        }
    }
    writer.finish(0).unwrap();
    let mut read: Vec<Exchange> = Reader::open(&path).unwrap().exchanges().map(Result::unwrap).collect();
    read.sort_by_key(|exchange| (exchange.session, exchange.start_us));
    written.sort_by_key(|exchange| (exchange.session, exchange.start_us));
    assert!(read.iter().eq(written), "what was read is not what was written");
}

/// An importer: whatever it makes of an input is counted, and can be recorded.
fn importer(format: Format, corpus: &[Vec<u8>]) {
    run(format.as_str(), corpus, |input, dir| {
        let mut exchanges = Vec::new();
        let options = ImportOptions { response_bodies: true, ..ImportOptions::default() };
        let mut numbering = Numbering::default();
        let sink = &mut |exchange| {
            exchanges.push(exchange);
            Ok(())
        };
        let tally = import::read(format, input, &options, &mut numbering, sink);
        match tally {
            Ok(tally) => assert_eq!(tally.imported, exchanges.len() as u64),
            Err(err) => assert!(!err.to_string().is_empty()),
        }
        expect_the_same(&exchanges, dir);
    });
}

/// The files of a folder of the corpus, and of a folder of the shared data, if they are small.
fn corpus(folder: &str, shared: &str) -> Vec<Vec<u8>> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut folders: Vec<PathBuf> = [own].into_iter().filter(|folder| folder.exists()).collect();
    folders.extend(common::data(shared));
    let mut files: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let files = files.iter().map(|file| fs::read(file).unwrap());
    files.filter(|content| content.len() <= MOST).collect()
}

/// A few exchanges of every kind, as an exporter writes them.
fn exported(write: impl Fn(Reader, &mut Vec<u8>)) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    common::capture(&path, 12, 5);
    let mut out = Vec::new();
    write(Reader::open(&path).unwrap(), &mut out);
    out
}

#[test]
fn archives() {
    let mut corpus = corpus("har", "har");
    corpus.push(exported(|reader, out| drop(har::write(reader, out).unwrap())));
    importer(Format::Har, &corpus);
}

#[test]
fn lines_of_json() {
    let mut corpus = corpus("ndjson", "ndjson");
    corpus.push(exported(|reader, out| drop(ndjson::write(reader, out).unwrap())));
    importer(Format::Ndjson, &corpus);
}

#[test]
fn flows() {
    let mut corpus = corpus("mitmproxy", "mitmproxy-flows");
    corpus.push(include_bytes!("samples/flows-21.mitm").to_vec());
    corpus.push(exported(|reader, out| drop(mitmproxy::write(reader, out).unwrap())));
    importer(Format::Mitmproxy, &corpus);
}

#[test]
fn recordings_of_goreplay() {
    let mut corpus = corpus("gor", "gor");
    corpus.push(exported(|reader, out| drop(gor::write(reader, out).unwrap())));
    importer(Format::Gor, &corpus);
}

#[test]
fn access_logs() {
    importer(Format::AccessLog, &corpus("access-log", "access-log"));
}

#[test]
fn packets() {
    let mut corpus = [corpus("pcap", "pcap-http"), corpus("pcap", "pcap-websocket")].concat();
    let mut talk = wire::Talk::open(4000);
    talk.asks(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    talk.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    talk.asks(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    corpus.push(wire::pcap(&talk.packets, usize::MAX));
    corpus.push(wire::pcapng(&talk.packets));
    importer(Format::Pcap, &corpus);
}

/// What users write by hand: each mistake is said in words.
#[test]
fn policies_of_redaction() {
    let texts = corpus("redaction", "redaction");
    run("policy", &texts, |input, _| match Policy::parse(&String::from_utf8_lossy(input)) {
        Ok(policy) => {
            let mut exchange = common::exchange(7);
            let mut redactor = Redactor::with([1; 32], policy);
            redactor.exchange(&mut exchange);
            let once = exchange.clone();
            redactor.exchange(&mut exchange);
            assert_eq!(exchange.request.headers, once.request.headers, "redacted once and for all");
        }
        Err(mistake) => assert!(0 < mistake.line && 0 < mistake.column && !mistake.message.is_empty()),
    });
}

#[test]
fn files_of_canaries() {
    run("canaries", &corpus("canary", "canary"), |input, dir| {
        let path = dir.join("secrets.txt");
        fs::write(&path, input).unwrap();
        match Canaries::read(&path) {
            Ok(_) => assert!(input.split(|byte| *byte == b'\n').any(|line| !line.is_empty())),
            Err(err) => assert!(err.to_string().contains("secrets.txt"), "{err}"),
        }
    });
}

#[test]
fn traces_of_arrivals() {
    run("arrivals", &corpus("arrivals", "arrivals"), |input, dir| {
        let path = dir.join("arrivals");
        fs::write(&path, input).unwrap();
        for column in [None, Some("at"), Some("2")] {
            match read_trace(&path, column) {
                Ok(trace) => assert!(!trace.times.is_empty() && trace.times.is_sorted()),
                Err(err) => assert!(err.to_string().contains("arrivals"), "{err}"),
            }
        }
    });
}

/// Captures of every encoding, closed and not.
fn captures() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    common::capture(&path, 12, 5);
    let closed = fs::read(&path).unwrap();
    let old = include_bytes!("old/encodings-1-and-2.zst").to_vec();
    let version_1 = include_bytes!("old/version-1.zst").to_vec();
    let mixed = dir.path().join("mixed.zst");
    compact(&path, &mixed, &CompactOptions::default(), 1).unwrap();
    let mixed = fs::read(mixed).unwrap();
    let by_hand = handmade::file(&[Block::of(3, handmade::Columns::one().raw(), 1)]);
    vec![closed[..closed.len() - 300].to_vec(), closed, mixed, old, version_1, by_hand]
}

/// Reads a file in every way there is. All of them find the same, and what is repaired is whole.
fn read_everywhere(path: &Path) -> Vec<Exchange> {
    let Ok(found) = verify(path) else { return Vec::new() };
    let exchanges: Vec<Exchange> = Reader::open(path).unwrap().exchanges().filter_map(Result::ok).collect();
    assert_eq!(exchanges.len() as u64, found.exchanges);
    let id = exchanges.first().map_or(SessionId(3), |exchange| exchange.session);
    let sought = seek::session(path, id).unwrap();
    assert!(sought.exchanges.iter().all(|exchange| exchange.session == id));
    let output = path.with_extension("repaired");
    let _ = fs::remove_file(&output);
    if repair(path, Some(&output)).is_ok() {
        let after = verify(&output).unwrap();
        assert!(after.is_clean(), "{after:?}");
        assert_eq!(after.exchanges, found.exchanges);
    }
    exchanges
}

#[test]
fn files() {
    run("captures", &captures(), |input, dir| {
        let path = dir.join("capture.zst");
        fs::write(&path, input).unwrap();
        read_everywhere(&path);
    });
}

/// Blocks of an encoding whose inside is damaged, while every checksum says that all is well.
fn blocks(encoding: u16) {
    let files = captures();
    let blocks =
        || files.iter().flat_map(|file| handmade::blocks(file)).filter(|block| block.encoding == encoding);
    let corpus: Vec<Vec<u8>> = blocks().map(|block| block.raw).collect();
    let records: Vec<u32> = blocks().map(|block| block.records).collect();
    run(&format!("encoding {encoding}"), &corpus, |input, dir| {
        let path = dir.join("capture.zst");
        // one of the numbers of exchanges that blocks of this encoding have
        let records = records[input.len() % records.len()];
        fs::write(&path, handmade::file(&[Block::of(encoding, input.to_vec(), records)])).unwrap();
        expect_the_same(&read_everywhere(&path), dir);
    });
}

#[test]
fn blocks_of_encoding_1() {
    blocks(1);
}

#[test]
fn blocks_of_encoding_2() {
    blocks(2);
}

#[test]
fn blocks_of_encoding_3() {
    blocks(3);
}

#[test]
fn blocks_of_encoding_4() {
    blocks(4);
}

#[test]
fn blocks_of_encoding_5() {
    blocks(5);
}

/// Pieces of the formats, and numbers as captures have them: 2^32 - 1, 2^60, 2^64 - 1, an endless one.
const WORDS: &[&[u8]] = &[
    b"\xff\xff\xff\xff\x0f",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x10",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x57\x2a\x4d\x18",
    b"\x5e\x2a\x4d\x18",
    b"\x28\xb5\x2f\xfd",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b",",
    b":",
    b"null",
    b"true",
    b"1e999",
    b"-1",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    "\n🐵🙈🙉\n".as_bytes(),
    b"1 a 1700000000000000000 0\n",
    b"2 a 1700000000000000000 5\n",
    b"GET / HTTP/1.1\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"ffffffffffffffff\r\n",
    b"0:~",
    b"4:true!",
    b"5:12345#",
    b"9999999999:",
    b"127.0.0.1 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 2\n",
    b"[99/Foo/9999:99:99:99 +9999]",
    b"#Fields: date time cs-method cs-uri-stem\n",
    b"stdout F ",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\x0a\x0d\x0d\x0a",
    b"\xd4\xc3\xb2\xa1",
    b"\"startedDateTime\":\"2026-01-31T23:59:60Z\"",
    b"\"encoding\":\"base64\"",
    b"\"_webSocketMessages\":[{}]",
];

/// Numbers at the edges of what they are read into.
const NUMBERS: &[&str] = &[
    "0",
    "-1",
    "65536",
    "4294967296",
    "9223372036854775808",
    "18446744073709551615",
    "99999999999999999999999",
];

/// Inputs that are tried at least, however slow the machine is.
const LEAST: u64 = 100;
/// Larger files of the shared data make too few inputs a second.
const MOST: usize = 40 << 10;
/// What an import or a block takes that holds next to nothing: buffers for lines, records and connections.
const FIXED: usize = 48 << 20;
/// What a byte of input may become: a value of JSON, or a field that a block repeats in all of its exchanges.
const PER_BYTE: usize = 2_000;
