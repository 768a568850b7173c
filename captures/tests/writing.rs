//! Writing, adding to, and reading while it is written.

mod common;

use std::fs;

use captures::damage::DamageKind;
use captures::error::Error;
use captures::header::{EdgeInfo, FileHeader, Options};
use captures::reader::{is_capture, load};
use captures::repair::repair;
use captures::verify::verify;
use captures::{Body, Reader, Writer};
use common::{assert_zstd_accepts, capture, exchange, fill, header, numbers};

#[test]
fn a_closed_capture_is_standard_zstd_and_reads_back_equal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    let mut writer = Writer::create(&path, header(), Options::default()).unwrap();
    fill(&mut writer, 0..100, 10);
    writer.shed("queue-full", 3);
    let summary = writer.finish(7).unwrap();
    assert_eq!((summary.blocks, summary.exchanges, summary.sessions), (11, 100, 5));
    assert_eq!(summary.bytes, fs::metadata(&path).unwrap().len());
    assert_zstd_accepts(&path);
    assert_eq!(numbers(&path), (0..100).collect::<Vec<_>>());
    let verification = verify(&path).unwrap();
    assert!(verification.is_clean(), "{verification:?}");
    assert_eq!(verification.shed["queue-full"], 3);
    let loaded = load(&path).unwrap();
    assert_eq!(loaded.header, header());
    assert_eq!(loaded.sessions.len(), 5);
    assert!(loaded.sessions.iter().all(|session| session.exchanges.is_sorted_by_key(|e| e.start_us)));
    assert!(loaded.sessions.is_sorted_by_key(captures::Session::start_us));
}

#[test]
fn an_empty_capture_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    Writer::create(&path, header(), Options::default()).unwrap().finish(0).unwrap();
    assert!(verify(&path).unwrap().is_clean());
    assert!(is_capture(&path));
    assert_zstd_accepts(&path);
}

#[test]
fn the_seek_table_is_the_published_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    capture(&path, 12, 4);
    let bytes = fs::read(&path).unwrap();
    let u32_at = |n: usize| u32::from_le_bytes(bytes[n..n + 4].try_into().unwrap()) as usize;
    let len = bytes.len();
    assert_eq!(u32_at(len - 4), 0x8F92_EAB1);
    assert_eq!(bytes[len - 5], 0x80);
    let frames = u32_at(len - 9);
    let table = len - 9 - 12 * frames;
    assert_eq!((u32_at(table - 8), u32_at(table - 4)), (0x184D_2A5E, 12 * frames + 9));
    let mut offset = 0;
    for entry in 0..frames {
        let (compressed, raw) = (u32_at(table + 12 * entry), u32_at(table + 12 * entry + 4));
        let frame = &bytes[offset..offset + compressed];
        let content = zstd::stream::decode_all(frame).unwrap();
        assert_eq!(content.len(), raw, "frame {entry}");
        let hash = xxhash_rust::xxh64::xxh64(&content, 0) as u32 as usize;
        assert_eq!(hash, u32_at(table + 12 * entry + 8), "frame {entry}");
        offset += compressed;
    }
    assert_eq!(offset, table - 8, "the entries tile the file");
    assert_eq!(frames, 1 + 3 * 2 + 1);
}

#[test]
fn what_is_being_written_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    let mut writer = Writer::create(&path, header(), Options::default()).unwrap();
    assert!(is_capture(&path));
    fill(&mut writer, 0..10, 4);
    assert_eq!(numbers(&path), (0..8).collect::<Vec<_>>());
    let verification = verify(&path).unwrap();
    assert!(!verification.closed && verification.damage.is_empty());
    assert!(matches!(Writer::append(&path, header(), Options::default()), Err(Error::InUse(_))));
    assert!(matches!(repair(&path, None), Err(Error::InUse(_))));
    writer.finish(0).unwrap();
    assert_eq!(numbers(&path), (0..10).collect::<Vec<_>>());
}

#[test]
fn blocks_close_by_age_and_by_size() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    let options = Options { block_age_us: 1_000, ..Options::default() };
    let mut writer = Writer::create(&path, header(), options).unwrap();
    writer.push(&exchange(0), 5_000).unwrap();
    writer.tick(5_999).unwrap();
    assert_eq!(writer.exchanges(), 0);
    writer.tick(6_000).unwrap();
    assert_eq!((writer.exchanges(), writer.open_exchanges()), (1, 0));
    writer.push(&exchange(1), 7_000).unwrap();
    writer.tick(1_000).unwrap();
    writer.tick(1_999).unwrap();
    assert_eq!(writer.open_exchanges(), 1, "a clock set back starts the age anew");
    writer.tick(2_000).unwrap();
    assert_eq!(writer.exchanges(), 2);
    let mut large = exchange(2);
    large.request.body = Body::whole(vec![7; 2 << 20]);
    writer.push(&large, 2_000).unwrap();
    assert_eq!(writer.exchanges(), 3, "a full block closes at once");
}

#[test]
fn appending_to_a_closed_capture_adds_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    capture(&path, 12, 4);
    let before = fs::read(&path).unwrap();
    Writer::append(&path, header(), Options::default()).unwrap().finish(0).unwrap();
    assert_eq!(fs::read(&path).unwrap(), before, "nothing to add, nothing changed");
    let later = FileHeader { edges: Vec::new(), ..header() };
    let mut writer = Writer::append(&path, later.clone(), Options::default()).unwrap();
    fill(&mut writer, 12..20, 4);
    assert_eq!(numbers(&path), (0..20).collect::<Vec<_>>(), "readable after a crash here");
    let summary = writer.finish(0).unwrap();
    assert_eq!((summary.blocks, summary.exchanges, summary.sessions), (5, 20, 5));
    let verification = verify(&path).unwrap();
    assert!(verification.is_clean(), "{verification:?}");
    assert_eq!(Reader::open(&path).unwrap().header(), &later, "the last recording says where it listened");
    assert_zstd_accepts(&path);
}

#[test]
fn appending_to_a_torn_capture_goes_on_after_the_last_good_block() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    capture(&path, 12, 4);
    let whole = fs::read(&path).unwrap();
    for len in (200..whole.len()).step_by(13) {
        fs::write(&path, &whole[..len]).unwrap();
        let before = numbers(&path);
        let mut writer = Writer::append(&path, header(), Options::default()).unwrap();
        writer.push(&exchange(99), 0).unwrap();
        drop(writer);
        assert_eq!(numbers(&path), before, "cut at {len}: interrupted before its first block");
        let mut writer = Writer::append(&path, header(), Options::default()).unwrap();
        writer.push(&exchange(99), 0).unwrap();
        writer.finish(0).unwrap();
        let mut expected = before;
        expected.push(99);
        assert_eq!(numbers(&path), expected, "cut at {len}");
        let verification = verify(&path).unwrap();
        assert!(verification.is_clean(), "cut at {len}: {verification:?}");
    }
}

#[test]
fn an_append_interrupted_anywhere_leaves_the_old_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    capture(&path, 12, 4);
    let mut writer = Writer::append(&path, header(), Options::default()).unwrap();
    let kept = writer.bytes() as usize;
    fill(&mut writer, 12..16, 4);
    drop(writer);
    let longer = fs::read(&path).unwrap();
    for len in kept..=longer.len() {
        fs::write(&path, &longer[..len]).unwrap();
        let n = if len == longer.len() { 16 } else { 12 };
        assert_eq!(numbers(&path), (0..n).collect::<Vec<_>>(), "killed after {len} bytes");
    }
    assert!(repair(&path, None).unwrap().changed);
    assert!(verify(&path).unwrap().is_clean());
}

#[test]
fn a_repair_says_that_a_recording_was_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    capture(&path, 12, 4);
    let mut writer = Writer::append(&path, header(), Options::default()).unwrap();
    fill(&mut writer, 12..16, 4);
    drop(writer);
    assert!(repair(&path, None).unwrap().changed);
    let found = verify(&path).unwrap();
    assert_eq!(
        (found.is_clean(), found.exchanges, found.shed),
        (true, 16, [("unclosed".to_owned(), 1)].into())
    );
    assert!(!repair(&path, None).unwrap().changed, "it is counted once");
}

#[test]
fn a_damaged_block_in_the_middle_survives_an_append() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    capture(&path, 12, 4);
    let mut bytes = fs::read(&path).unwrap();
    let second = (8..bytes.len()).filter(|n| bytes[*n..].starts_with(b"\x89Sqb")).nth(1).unwrap();
    bytes[second + 20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mut writer = Writer::append(&path, header(), Options::default()).unwrap();
    fill(&mut writer, 12..16, 4);
    writer.finish(0).unwrap();
    let after = fs::read(&path).unwrap();
    assert_eq!(after[..second + 100], bytes[..second + 100], "not one old byte was touched");
    let verification = verify(&path).unwrap();
    assert_eq!((verification.exchanges, verification.damaged_blocks()), (12, 1), "{verification:?}");
    assert_eq!(verification.damage[0].kind, DamageKind::Block);
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.txt");
    for content in ["", "my notes\n", "{\"log\":{}}", "\u{1f}\u{8b}"] {
        fs::write(&path, content).unwrap();
        let append = Writer::append(&path, header(), Options::default());
        assert!(matches!(append, Err(Error::NotACapture { .. })), "{content:?}");
        let create = Writer::create(&path, header(), Options::default());
        assert!(matches!(create, Err(Error::Exists(_))));
        assert!(Reader::open(&path).is_err() && verify(&path).is_err() && repair(&path, None).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    fs::write(&path, zstd::encode_all(&b"text"[..], 3).unwrap()).unwrap();
    let append = Writer::append(&path, header(), Options::default());
    assert!(append.err().unwrap().to_string().contains("zstd file of another kind"));
    assert!(Writer::append(dir.path(), header(), Options::default()).is_err());
    assert!(Reader::open(dir.path()).is_err());
}

#[test]
fn a_damaged_head_needs_repair_before_an_append() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    capture(&path, 12, 4);
    let mut bytes = fs::read(&path).unwrap();
    bytes[40] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let err = Writer::append(&path, header(), Options::default()).err().unwrap();
    assert!(err.to_string().contains("captures repair"), "{err}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    repair(&path, None).unwrap();
    Writer::append(&path, header(), Options::default()).unwrap();
}

#[test]
fn a_repair_into_another_file_leaves_the_first_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (path, output) = (dir.path().join("capture.zst"), dir.path().join("repaired.zst"));
    capture(&path, 12, 4);
    let cut = fs::read(&path).unwrap()[..600].to_vec();
    fs::write(&path, &cut).unwrap();
    assert!(repair(&path, Some(&output)).unwrap().changed);
    assert_eq!(fs::read(&path).unwrap(), cut);
    assert!(verify(&output).unwrap().is_clean());
    assert!(matches!(repair(&path, Some(&output)), Err(Error::Exists(_))));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no copies are left behind");
}

/// A limit on the size of files stands in for a full disk. It holds for a process, so the test runs again in one
/// of its own, which ignores the signal that comes with it.
#[test]
fn a_full_disk_costs_the_block_and_is_counted() {
    if std::env::var_os("SQUALL_TEST_FULL_DISK").is_none() {
        let again = std::process::Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "a_full_disk_costs_the_block_and_is_counted"])
            .env("SQUALL_TEST_FULL_DISK", "1")
            .output()
            .unwrap();
        assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    let mut writer = Writer::create(&path, header(), Options::default()).unwrap();
    fill(&mut writer, 0..4, 4);
    let limit = writer.bytes() + 20;
    let full = limit_file_size(Some(limit), || {
        for n in 4..8 {
            writer.push(&exchange(n), 0).unwrap();
        }
        writer.flush(0)
    });
    assert!(matches!(full, Err(Error::Io { .. })), "{full:?}");
    assert!(fs::metadata(&path).unwrap().len() < limit, "the file is back at its last good block");
    fill(&mut writer, 8..12, 4);
    let summary = writer.finish(0).unwrap();
    assert_eq!(summary.shed["io"], 4);
    assert_eq!(numbers(&path), [0, 1, 2, 3, 8, 9, 10, 11]);
    let verification = verify(&path).unwrap();
    assert!(verification.is_clean(), "{verification:?}");
    assert_eq!(verification.shed["io"], 4);
}

/// Runs `work` with a limit on the size of files this process may write.
#[allow(clippy::unwrap_used, reason = "a helper of tests")]
fn limit_file_size<T>(limit: Option<u64>, work: impl FnOnce() -> T) -> T {
    let pid = std::process::id().to_string();
    let set = |size: &str| {
        let status =
            std::process::Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={size}")]).status();
        assert!(status.unwrap().success());
    };
    set(&limit.map_or("unlimited".to_owned(), |limit| format!("{limit}:unlimited")));
    let result = work();
    set("unlimited:unlimited");
    result
}

#[test]
fn no_file_is_left_where_a_capture_cannot_be_begun() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    let edge = EdgeInfo { name: "e".repeat(1 << 10), listen_url: String::new(), admin_url: None };
    let many = FileHeader { edges: vec![edge; 128], ..header() };
    let refused = Writer::create(&path, many, Options::default()).map(drop).unwrap_err();
    assert!(refused.to_string().contains("name fewer edges"), "{refused}");
    assert!(!path.exists());
}
