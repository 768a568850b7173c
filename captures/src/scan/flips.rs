//! One changed byte at many places of large captures: at most one block is lost, it is named, and no data are wrong.
//!
//! What a block decodes to follows from its header and its payload alone. So a block that is met with both as they were
//! is as it was, and need not be decoded again: that makes 10,000 changes a matter of seconds. A few are read by the paved
//! path too. `SQUALL_FLIPS` says how many places (500 unless said), `SQUALL_FUZZ_SEED` where they are.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{Mode, Piece, Scanner};
use crate::compact::{CompactOptions, compact};
use crate::damage::{Damage, DamageKind};
use crate::frame::{BlockHeader, SeekTable};
use crate::header::{FileHeader, Options};
use crate::verify::verify;
use crate::{Body, Exchange, Reader, SessionId, Writer};

/// What there is in a file.
#[derive(Default)]
struct Found {
    /// Offset, length, header and payload of each block.
    blocks: Vec<(u64, u64, BlockHeader, Vec<u8>)>,
    damage: Vec<Damage>,
    frames: usize,
    table: Option<SeekTable>,
}

impl Found {
    fn of(path: &Path) -> Found {
        let mut found = Found::default();
        let mut scanner = Scanner::open(path, Mode::Read).unwrap();
        while let Some(piece) = scanner.next_piece() {
            match piece {
                Piece::Block { place, header, payload } => {
                    found.blocks.push((place.offset, place.len, header, payload));
                }
                Piece::Damage(damage) => found.damage.push(damage),
                Piece::SeekTable { table, .. } => found.table = Some(table),
                Piece::Capture { .. } | Piece::Index { .. } | Piece::Unknown { .. } => found.frames += 1,
            }
        }
        found
    }

    /// Holds what was found after byte `at` was changed to what was there before; returns the block that is lost.
    fn after_change(&self, before: &Found, at: u64) -> Option<u64> {
        let mut met = self.blocks.iter().peekable();
        let mut lost = Vec::new();
        for block in &before.blocks {
            if met.next_if(|found| *found == block).is_none() {
                lost.push(block);
            }
        }
        assert!(met.next().is_none(), "byte {at}: a block that was never written");
        assert!(lost.len() <= 1, "byte {at}: {} blocks are lost", lost.len());
        let damaged: u64 = self.damage.iter().map(|damage| damage.blocks).sum();
        assert_eq!(damaged, lost.len() as u64, "byte {at}: {:?}", self.damage);
        let Some((offset, len, header, _)) = lost.first() else {
            let told = !self.damage.is_empty() || self.frames < before.frames || self.table != before.table;
            assert!(told, "byte {at} changed and nothing is said");
            return None;
        };
        let [damage] = &self.damage[..] else { panic!("byte {at}: {:?}", self.damage) };
        assert_eq!(
            (damage.kind, damage.offset, damage.bytes),
            (DamageKind::Block, *offset, *len),
            "byte {at}"
        );
        assert!((*offset..offset + len).contains(&at), "byte {at} is not in {damage:?}");
        Some(header.seq)
    }
}

/// Changes a byte at so many places, one after the other.
fn flip_everywhere(path: &Path) {
    let before = Found::of(path);
    assert!(before.damage.is_empty() && 15 < before.blocks.len(), "{} blocks", before.blocks.len());
    let exchanges: Vec<Exchange> = Reader::open(path).unwrap().exchanges().map(Result::unwrap).collect();
    let len = std::fs::metadata(path).unwrap().len();
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let mut chance = Chance(number("SQUALL_FUZZ_SEED").unwrap_or(0x5eed_2026));
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut hit = HashSet::new();
    for round in 0..number("SQUALL_FLIPS").unwrap_or(500) {
        let at = chance.below(len);
        let byte = change(&file, at, 1 << chance.below(8));
        let lost = Found::of(path).after_change(&before, at);
        hit.extend(lost);
        if round % 1000 == 0 {
            assert!(!verify(path).unwrap().is_clean(), "byte {at}");
            let records = lost.map_or(0, |seq| before.blocks[seq as usize].2.records as usize);
            let mut left = exchanges.iter();
            let read = Reader::open(path).unwrap().exchanges().filter_map(Result::ok);
            let same = read.filter(|read| left.any(|exchange| exchange == read)).count();
            assert_eq!(same, exchanges.len() - records, "byte {at}: all others, in their order");
        }
        file.write_all_at(&[byte], at).unwrap();
    }
    assert!(before.blocks.len() < hit.len() * 2, "most blocks were hit: {}", hit.len());
    assert!(verify(path).unwrap().is_clean(), "all is as it was");
}

/// Changes a byte, and returns what it was.
fn change(file: &File, at: u64, flip: u8) -> u8 {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ flip], at).unwrap();
    byte[0]
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Many sessions side by side, with identifiers that are random and bodies that are not.
fn traffic(path: &Path) {
    let mut chance = Chance(1);
    let options = Options { block_bytes: 20_000, ..Options::default() };
    let mut writer = Writer::create(path, FileHeader::new("test", 1), options).unwrap();
    for n in 0..8_000u64 {
        let mut exchange = Exchange {
            session: SessionId(n % 97 + n / 2_000 * 97),
            connection: Some(n % 97),
            start_us: 1_700_000_000_000_000 + n * 1_003,
            ..Exchange::default()
        };
        let request = &mut exchange.request;
        request.method = "POST".to_owned();
        request.target = format!("/products/{}?page={}", chance.below(900), n % 4);
        request
            .headers
            .push("traceparent", format!("00-{:016x}{:016x}-{n:016x}-01", chance.next(), chance.next()));
        request.headers.push("user-agent", format!("agent/{}", n % 13));
        request.body = Body::whole(format!(r#"{{"id":"{:016x}","n":{n}}}"#, chance.next()));
        writer.push(&exchange, 0).unwrap();
    }
    writer.finish(0).unwrap();
}

#[test]
fn a_large_capture_as_it_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    traffic(&path);
    flip_everywhere(&path);
}

#[test]
fn a_large_capture_that_was_compacted() {
    let dir = tempfile::tempdir().unwrap();
    for generators in [false, true] {
        let (path, output) = (dir.path().join("capture.zst"), dir.path().join("compacted.zst"));
        traffic(&path);
        let options =
            CompactOptions { level: 5, block_bytes: 15_000, generators, ..CompactOptions::default() };
        compact(&path, &output, &options, 1).unwrap();
        flip_everywhere(&output);
        [path, output].iter().for_each(|path| std::fs::remove_file(path).unwrap());
    }
}
