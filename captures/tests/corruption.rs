//! One changed byte anywhere costs at most one block, is named, and never gives wrong data.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;
use std::path::Path;

use captures::compact::{CompactOptions, compact};
use captures::damage::DamageKind;
use captures::repair::repair;
use captures::verify::verify;
use captures::{Reader, reader};
use common::{assert_zstd_accepts, capture, handmade, numbers};

const EXCHANGES: u64 = 12;
const PER_BLOCK: u64 = 4;

#[test]
fn every_flipped_byte_costs_at_most_one_block_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    capture(&path, EXCHANGES, PER_BLOCK);
    flip_every_byte(&path);
}

#[test]
fn every_flipped_byte_of_a_compacted_capture_costs_at_most_one_block_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (path, output) = (dir.path().join("capture.zst"), dir.path().join("compacted.zst"));
    capture(&path, EXCHANGES, PER_BLOCK);
    // a block for each session, of which none has more than three exchanges
    let options = CompactOptions { block_bytes: 1, level: 18, ..CompactOptions::default() };
    assert_eq!(compact(&path, &output, &options, 1).unwrap().after.blocks, 5);
    flip_every_byte(&output);
}

/// Such a capture has no index.
#[test]
fn every_flipped_byte_of_a_capture_of_one_block_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    capture(&path, PER_BLOCK, PER_BLOCK);
    flip_bytes_of_one_block(&path, 1);
}

/// The same of a block that is coded by context mixing; reading it takes longer.
#[test]
fn flipped_bytes_of_a_small_imported_capture_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (path, output) = (dir.path().join("capture.zst"), dir.path().join("compacted.zst"));
    capture(&path, PER_BLOCK, PER_BLOCK);
    compact(&path, &output, &CompactOptions::default(), 1).unwrap();
    assert_eq!(handmade::blocks(&fs::read(&output).unwrap())[0].encoding, 5);
    flip_bytes_of_one_block(&output, 5);
}

fn flip_bytes_of_one_block(path: &Path, step: usize) {
    let whole = fs::read(path).unwrap();
    assert!(verify(path).unwrap().is_clean());
    for index in (0..whole.len()).step_by(step) {
        let mut damaged = whole.clone();
        damaged[index] ^= 1 << (index % 8);
        fs::write(path, &damaged).unwrap();
        let verification = verify(path).unwrap();
        assert!(!verification.is_clean(), "byte {index} changed and nothing is said");
        let lost = u64::from(numbers(path).is_empty());
        assert_eq!(verification.damaged_blocks(), lost, "byte {index}: {:?}", verification.damage);
        assert_eq!(numbers(path).len() as u64, PER_BLOCK * (1 - lost), "byte {index}");
        assert!(repair(path, None).unwrap().changed);
        assert!(verify(path).unwrap().is_clean(), "byte {index}");
    }
}

fn flip_every_byte(path: &Path) {
    let whole = fs::read(path).unwrap();
    for index in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[index] ^= 1 << (index % 8);
        fs::write(path, &damaged).unwrap();
        let found = numbers(path);
        assert!(EXCHANGES - PER_BLOCK <= found.len() as u64, "byte {index}: only {found:?} are left");
        let verification = verify(path).unwrap();
        assert!(!verification.is_clean(), "byte {index} changed and nothing is said");
        if found.len() as u64 != EXCHANGES {
            assert_eq!(verification.damaged_blocks(), 1, "byte {index}: {:?}", verification.damage);
            let place = &verification.damage[0];
            assert_eq!(place.kind, DamageKind::Block, "byte {index}");
            let range = place.offset..place.offset + place.bytes;
            assert!(range.contains(&(index as u64)), "byte {index} is not in {range:?}");
        }
    }
}

#[test]
fn every_flipped_byte_is_mended_as_far_as_it_can_be() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    capture(&path, EXCHANGES, PER_BLOCK);
    let whole = fs::read(&path).unwrap();
    for index in (0..whole.len()).step_by(5) {
        let mut damaged = whole.clone();
        damaged[index] ^= 0x20;
        fs::write(&path, &damaged).unwrap();
        let before = numbers(&path);
        let header = Reader::open(&path).unwrap().header().clone();
        assert!(repair(&path, None).unwrap().changed);
        assert_eq!(numbers(&path), before, "byte {index}");
        assert_eq!(Reader::open(&path).unwrap().header(), &header, "byte {index}: the index keeps a copy");
        let after = verify(&path).unwrap();
        assert!(after.is_clean(), "byte {index}: {after:?}");
        let lost: u64 = after.shed.values().sum();
        assert_eq!(
            before.len() as u64 == EXCHANGES,
            lost == 0,
            "byte {index}: what was lost stays in the books"
        );
        let repaired = fs::read(&path).unwrap();
        assert!(!repair(&path, None).unwrap().changed, "repairing again changes nothing");
        assert_eq!(fs::read(&path).unwrap(), repaired);
        if index % 100 == 0 {
            assert_zstd_accepts(&path);
        }
    }
}

#[test]
fn every_cut_keeps_the_blocks_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    capture(&path, EXCHANGES, PER_BLOCK);
    let whole = fs::read(&path).unwrap();
    let mut most = 0;
    for len in 0..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let Ok(verification) = verify(&path) else {
            assert!(most == 0 && !reader::is_capture(&path), "cut at {len}");
            continue;
        };
        let found = numbers(&path).len() as u64;
        assert_eq!(found % PER_BLOCK, 0);
        assert!(most <= found, "cut at {len}: a longer file holds less");
        most = found;
        assert!(!verification.closed, "cut at {len}");
        assert_eq!(verification.exchanges, found);
        let torn =
            matches!(verification.damage.last(), Some(damage) if damage.offset + damage.bytes == len as u64);
        let whole_blocks = verification.damage.is_empty();
        assert!(torn || whole_blocks, "cut at {len}: {:?}", verification.damage);
    }
    assert_eq!(most, EXCHANGES);
}

#[test]
fn bytes_put_in_or_taken_out_anywhere_cost_at_most_one_block() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    capture(&path, EXCHANGES, PER_BLOCK);
    let whole = fs::read(&path).unwrap();
    for index in (0..whole.len()).step_by(7) {
        for (removed, added) in [(0, 3), (1, 0), (40, 90)] {
            let end = whole.len().min(index + removed);
            let changed = [&whole[..index], &vec![0x2a; added], &whole[end..]].concat();
            fs::write(&path, &changed).unwrap();
            let found = numbers(&path).len() as u64;
            let blocks = if removed <= 1 { 1 } else { 2 };
            assert!(EXCHANGES - blocks * PER_BLOCK <= found, "at {index}, -{removed} +{added}: {found}");
            assert!(!verify(&path).unwrap().is_clean());
        }
    }
}

#[test]
fn a_whole_block_cut_out_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    capture(&path, EXCHANGES, PER_BLOCK);
    let whole = fs::read(&path).unwrap();
    let mark = b"\x89Sqb";
    let starts: Vec<usize> =
        (8..whole.len()).filter(|n| whole[*n..].starts_with(mark)).map(|n| n - 8).collect();
    fs::write(&path, [&whole[..starts[1]], &whole[starts[2]..]].concat()).unwrap();
    let verification = verify(&path).unwrap();
    assert_eq!(verification.damage[0].kind, DamageKind::Missing);
    assert_eq!(verification.damaged_blocks(), 1);
    assert_eq!(numbers(&path).len() as u64, EXCHANGES - PER_BLOCK);
    let twice = [&whole[..starts[2]], &whole[starts[1]..]].concat();
    fs::write(&path, twice).unwrap();
    assert_eq!(numbers(&path).len() as u64, EXCHANGES, "a block met twice is read once");
    assert!(!verify(&path).unwrap().is_clean());
}

#[test]
fn a_capture_inside_a_body_is_not_taken_for_this_one() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("inner.zst");
    capture(&inner, EXCHANGES, PER_BLOCK);
    let path = dir.path().join("outer.zst");
    let mut outer = common::exchange(1);
    outer.request.body = captures::Body::whole(fs::read(&inner).unwrap());
    let options = captures::header::Options::default();
    let other = captures::header::FileHeader::new("outer", 5);
    let mut writer = captures::Writer::create(&path, other, options).unwrap();
    writer.push(&outer, 0).unwrap();
    writer.finish(0).unwrap();
    let whole = fs::read(&path).unwrap();
    for index in (0..whole.len()).step_by(11) {
        let mut damaged = whole.clone();
        damaged[index] ^= 0x08;
        fs::write(&path, &damaged).unwrap();
        for read in Reader::open(&path).unwrap().exchanges().filter_map(Result::ok) {
            assert_eq!(read, outer, "byte {index}");
        }
    }
}
