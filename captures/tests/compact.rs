//! Compacting: the same exchanges in less space, sorted by session, and each session found at once.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use captures::compact::{CompactOptions, compact};
use captures::error::Error;
use captures::header::Options;
use captures::verify::verify;
use captures::{Exchange, Reader, SessionId, Writer, seek};
use common::{assert_zstd_accepts, capture, exchange, fill, header, numbers};

/// Small blocks, so that a few sessions make many.
fn options() -> CompactOptions {
    CompactOptions { level: 5, block_bytes: 1000, ..CompactOptions::default() }
}

/// A capture in which many sessions run side by side.
fn interleaved(path: &Path, sessions: u64, each: u64) {
    let mut writer = Writer::create(path, header(), Options::default()).unwrap();
    for n in 0..sessions * each {
        let session = SessionId((n % sessions).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        writer.push(&Exchange { session, ..exchange(n) }, 0).unwrap();
        if n % 50 == 49 {
            writer.flush(0).unwrap();
        }
    }
    writer.finish(0).unwrap();
}

fn read(path: &Path) -> Vec<Exchange> {
    Reader::open(path).unwrap().exchanges().map(Result::unwrap).collect()
}

fn sessions(exchanges: Vec<Exchange>) -> BTreeMap<SessionId, Vec<Exchange>> {
    let mut sessions: BTreeMap<SessionId, Vec<Exchange>> = BTreeMap::new();
    exchanges.into_iter().for_each(|exchange| sessions.entry(exchange.session).or_default().push(exchange));
    sessions.values_mut().for_each(|session| session.sort_by_key(|exchange| exchange.start_us));
    sessions
}

#[test]
fn the_same_exchanges_session_by_session() {
    let dir = tempfile::tempdir().unwrap();
    let (path, output) = (dir.path().join("capture.zst"), dir.path().join("small.zst"));
    interleaved(&path, 40, 25);
    for memory_bytes in [usize::MAX, 100_000, 1] {
        let done = compact(&path, &output, &CompactOptions { memory_bytes, ..options() }, 5).unwrap();
        assert_eq!((done.after.exchanges, done.after.sessions), (1000, 40));
        assert!(done.damage.is_empty());
        let after = read(&output);
        let order: Vec<SessionId> = after.iter().map(|exchange| exchange.session).collect();
        assert_eq!(order.chunk_by(|a, b| a == b).count(), 40, "each session stands together");
        assert_eq!(sessions(after), sessions(read(&path)));
        assert!(verify(&output).unwrap().is_clean());
        assert_eq!(Reader::open(&output).unwrap().header(), &header());
        assert_zstd_accepts(&output);
        assert!(matches!(compact(&path, &output, &options(), 5), Err(Error::Exists(_))));
        fs::remove_file(&output).unwrap();
    }
}

#[test]
fn a_session_is_found_by_decoding_at_most_two_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let (path, output) = (dir.path().join("capture.zst"), dir.path().join("small.zst"));
    interleaved(&path, 40, 25);
    let done = compact(&path, &output, &CompactOptions::default(), 5).unwrap();
    assert!(done.after.bytes < done.bytes_before, "{done:?}");
    fs::remove_file(&output).unwrap();
    let done = compact(&path, &output, &options(), 5).unwrap();
    assert!(10 < done.after.blocks, "{} blocks", done.after.blocks);
    for (id, exchanges) in sessions(read(&path)) {
        let sought = seek::session(&output, id).unwrap();
        assert_eq!(sought.exchanges, exchanges);
        assert!((1..=2).contains(&sought.blocks_decoded), "{} blocks for {id}", sought.blocks_decoded);
        let elsewhere = seek::session(&path, id).unwrap();
        assert_eq!(elsewhere.exchanges, exchanges, "what is not compacted takes longer and is found too");
        assert_eq!(elsewhere.blocks_decoded, 20);
    }
    let nobody = seek::session(&output, SessionId(12)).unwrap();
    assert_eq!((nobody.exchanges.len(), nobody.blocks_decoded), (0, 0));
}

#[test]
fn a_session_is_found_without_index_and_seek_table() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    capture(&path, 50, 5);
    let bytes = fs::read(&path).unwrap();
    let expected: Vec<Exchange> = (0..50).filter(|n| n % 5 == 3).map(exchange).collect();
    for cut in [1, 10, 200, 400] {
        fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
        assert_eq!(seek::session(&path, SessionId(3)).unwrap().exchanges, expected, "{cut} bytes less");
    }
    let mut damaged = bytes.clone();
    let block = bytes.windows(4).position(|window| window == b"\x89Sqb").unwrap();
    damaged[block + 200] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let sought = seek::session(&path, SessionId(3)).unwrap();
    assert_eq!((sought.exchanges, sought.damage.len()), (expected[1..].to_vec(), 1));
    assert!(seek::session(dir.path().join("none"), SessionId(1)).is_err());
}

#[test]
fn what_is_damaged_is_counted_and_the_rest_compacted() {
    let dir = tempfile::tempdir().unwrap();
    let (path, output) = (dir.path().join("capture.zst"), dir.path().join("small.zst"));
    let mut writer = Writer::create(&path, header(), Options::default()).unwrap();
    fill(&mut writer, 0..20, 5);
    writer.shed("queue", 7);
    writer.finish(0).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let block = bytes.windows(4).position(|window| window == b"\x89Sqb").unwrap();
    bytes[block + 200] ^= 1;
    fs::write(&path, bytes).unwrap();
    let done = compact(&path, &output, &options(), 5).unwrap();
    assert_eq!((done.damage.len(), done.after.exchanges), (1, 15));
    assert_eq!(numbers(&output), (5..20).collect::<Vec<_>>());
    let after = verify(&output).unwrap();
    assert!(after.is_clean());
    assert_eq!((after.shed["queue"], after.shed["damaged"]), (7, 5));
}

#[test]
fn nothing_is_left_where_nothing_came_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (path, output) = (dir.path().join("notes.txt"), dir.path().join("small.zst"));
    fs::write(&path, "no capture").unwrap();
    assert!(compact(&path, &output, &options(), 5).is_err());
    capture(&path.with_extension("zst"), 5, 5);
    let level = CompactOptions { level: 40, ..options() };
    assert!(compact(path.with_extension("zst"), &output, &level, 5).is_err());
    assert!(!output.exists());
}

#[test]
fn made_up_identifiers_are_equal_where_the_recorded_ones_were() {
    let dir = tempfile::tempdir().unwrap();
    let (path, output) = (dir.path().join("capture.zst"), dir.path().join("small.zst"));
    let id = |n: u64| {
        format!("{:032x}", u128::from(n + 1).wrapping_mul(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef))
    };
    let mut writer = Writer::create(&path, header(), Options::default()).unwrap();
    for n in 0..600 {
        let mut exchange = exchange(n);
        exchange.session = SessionId(n % 30);
        exchange.stream = None;
        // one for each request, one for each session, one for all
        let ids = [id(n), id(1000 + n % 30), id(5000)];
        for (name, id) in ["traceparent", "cookie", "etag"].into_iter().zip(&ids) {
            exchange.request.headers.push(name, format!("{name}={id}"));
        }
        exchange.request.body = captures::Body::whole(format!("{{\"token\":\"{}\"}}", ids[1]));
        writer.push(&exchange, 0).unwrap();
    }
    writer.finish(0).unwrap();
    compact(&path, &output, &CompactOptions { generators: true, ..options() }, 5).unwrap();
    assert!(verify(&output).unwrap().is_clean());
    assert!(Reader::open(&output).unwrap().header().generated_ids);
    let (before, after) = (sessions(read(&path)), sessions(read(&output)));
    let value = |exchange: &Exchange, name: &str| exchange.request.headers.get_str(name).unwrap().to_owned();
    let mut made_up: HashMap<String, String> = HashMap::new();
    for (before, after) in before.values().flatten().zip(after.values().flatten()) {
        assert_eq!(value(before, "etag"), value(after, "etag"));
        for name in ["traceparent", "cookie"] {
            let (old, new) = (value(before, name), value(after, name));
            assert_eq!((old.len(), old == new), (new.len(), false));
            assert_eq!(made_up.entry(old).or_insert(new.clone()), &new);
        }
        let body = std::str::from_utf8(after.request.body.data.as_ref().unwrap()).unwrap();
        assert_eq!(body, format!("{{\"token\":\"{}\"}}", &value(after, "cookie")["cookie=".len()..]));
        assert_eq!(after.request.body, captures::Body::whole(body.to_owned()), "the hash follows");
    }
    let different: std::collections::HashSet<&String> = made_up.values().collect();
    assert_eq!((made_up.len(), different.len()), (630, 630));
}

/// As any reader of the seekable format would: by the table at the end of the file alone, each frame by itself.
#[test]
fn the_published_seek_table_leads_to_each_frame() {
    let dir = tempfile::tempdir().unwrap();
    let (path, output) = (dir.path().join("capture.zst"), dir.path().join("small.zst"));
    interleaved(&path, 40, 25);
    let blocks = compact(&path, &output, &options(), 5).unwrap().after.blocks as usize;
    let file = fs::read(&output).unwrap();
    let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let footer = file.len() - 9;
    assert_eq!((number(footer + 5), file[footer + 4]), (0x8f92_eab1, 0x80), "the footer, with checksums");
    let frames = number(footer) as usize;
    let table = footer - frames * 12 - 8;
    assert_eq!((number(table), number(table + 4) as usize), (0x184d_2a5e, frames * 12 + 9));
    let (mut at, mut all, mut whole) = (0, Vec::new(), 0);
    for entry in (table + 8..footer).step_by(12) {
        let (size, length, checksum) =
            (number(entry) as usize, number(entry + 4) as usize, number(entry + 8));
        let frame = &file[at..at + size];
        let content = zstd::stream::decode_all(frame).unwrap();
        assert_eq!(content.len(), length);
        assert_eq!(xxhash_rust::xxh64::xxh64(&content, 0) as u32, checksum);
        whole += usize::from(length != 0);
        at += size;
        all.extend(content);
    }
    assert_eq!((at, whole), (table, blocks), "the entries tile the file, and each block is one of them");
    assert_eq!(zstd::stream::decode_all(&file[..]).unwrap(), all);
    if let Ok(stock) = std::process::Command::new("zstd").args(["-dcq"]).arg(&output).output() {
        assert!(stock.status.success() && stock.stdout == all, "zstd -dc gives the same");
    }
}
