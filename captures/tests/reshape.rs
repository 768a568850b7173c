//! Slices, merges and other sessions, on real files.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use captures::header::{EdgeInfo, FileHeader, Options};
use captures::reshape::{self, Key, Slice};
use captures::{Exchange, SessionId, Writer, reader};

use common::exchange;

const NOW: u64 = 1_800_000_000_000_000;

fn capture(path: &Path, key: &str, numbers: std::ops::Range<u64>) -> PathBuf {
    let edge = EdgeInfo { name: format!("edge {key}"), ..EdgeInfo::default() };
    let header =
        FileHeader { key_id: Some(key.to_owned()), edges: vec![edge], ..FileHeader::new("test", NOW) };
    let options = Options { block_bytes: 4_000, ..Options::for_import() };
    let mut writer = Writer::create(path, header, options).unwrap();
    for n in numbers {
        writer.push(&exchange(n), NOW).unwrap();
    }
    writer.shed("queue-full", 3);
    writer.finish(NOW).unwrap();
    path.to_owned()
}

/// All exchanges, by start.
fn read(path: &Path) -> Vec<Exchange> {
    let mut all: Vec<_> =
        reader::load(path).unwrap().sessions.into_iter().flat_map(|session| session.exchanges).collect();
    all.sort_by_key(|exchange| exchange.start_us);
    all
}

#[test]
fn a_slice_holds_what_was_asked_for_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let input = capture(&folder.path().join("in.zst"), "k", 0..100);
    let mut n = 0;
    let mut check = |slice: Slice, expect: &dyn Fn(&Exchange) -> bool| {
        n += 1;
        let output = folder.path().join(format!("out-{n}.zst"));
        let done = reshape::slice(&input, &output, &slice, NOW).unwrap();
        let wanted: Vec<_> = read(&input).into_iter().filter(|exchange| expect(exchange)).collect();
        assert!(!wanted.is_empty(), "{slice:?}");
        assert_eq!(read(&output), wanted, "{slice:?}");
        assert_eq!((done.read, done.left_out), (100, 100 - wanted.len() as u64));
        assert_eq!(done.written.shed["queue-full"], 3, "what was never recorded is missing here too");
        wanted.len()
    };
    let start = exchange(0).start_us;
    check(Slice::default(), &|_| true);
    check(Slice { from_us: Some(20_000), to_us: Some(50_000), ..Slice::default() }, &|exchange| {
        (start + 20_000..start + 50_000).contains(&exchange.start_us)
    });
    let two = [SessionId(1), SessionId(3)];
    check(Slice { sessions: Some(two.into()), ..Slice::default() }, &|exchange| {
        two.contains(&exchange.session)
    });
    check(Slice { first_sessions: Some(2), ..Slice::default() }, &|exchange| exchange.session.0 < 2);
    check(Slice { route: Some("GET /products/7".to_owned()), ..Slice::default() }, &|exchange| {
        exchange.request.path().starts_with("/products/7")
    });
    check(Slice { route: Some("/products/{id}".to_owned()), ..Slice::default() }, &|_| true);
    let of = |share: f64| {
        let output = folder.path().join(format!("share-{share}.zst"));
        reshape::slice(&input, &output, &Slice { share: Some(share), ..Slice::default() }, NOW).unwrap();
        read(&output).into_iter().map(|exchange| exchange.session).collect::<BTreeSet<_>>()
    };
    assert!(of(0.4).is_subset(&of(0.8)));
    assert_eq!((of(0.0).len(), of(1.0).len()), (0, 5));
}

#[test]
fn merged_captures_keep_their_users_apart_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let inputs = [capture(&path("a.zst"), "k1", 0..50), capture(&path("b.zst"), "k2", 50..100)];
    let apart = reshape::merge(&inputs, &path("apart.zst"), false, NOW).unwrap();
    assert_eq!((apart.written.exchanges, apart.written.sessions), (100, 10));
    assert_eq!(apart.written.shed["queue-full"], 6);
    let same = reshape::merge(&inputs, &path("same.zst"), true, NOW).unwrap();
    assert_eq!((same.written.exchanges, same.written.sessions), (100, 5));
    assert_eq!(read(&path("same.zst")), (0..100).map(exchange).collect::<Vec<_>>());
    let header = reader::load(path("apart.zst")).unwrap().header;
    assert_eq!((header.key_id, header.edges.len()), (None, 2), "under two keys, so under none");
    let again = reshape::merge(&inputs, &path("same.zst"), true, NOW);
    assert!(matches!(again, Err(captures::error::Error::Exists(_))), "never over a file that is there");
    assert!(reshape::merge(&[path("none.zst")], &path("out.zst"), false, NOW).is_err());
    assert!(!path("out.zst").exists());
}

#[test]
fn rekeyed_sessions_go_by_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let input = capture(&folder.path().join("in.zst"), "k", 0..100);
    let output = folder.path().join("out.zst");
    let keys: Vec<Key> = ["cookie:none", "query:page"].map(|key| key.parse().unwrap()).into();
    let (done, named) = reshape::rekey(&input, &output, &keys, NOW).unwrap();
    assert_eq!((done.written.exchanges, done.written.sessions, named), (100, 4, vec![0, 100, 0]));
    for session in reader::load(&output).unwrap().sessions {
        let pages: BTreeSet<_> =
            session.exchanges.iter().map(|exchange| exchange.request.target.rsplit('=').next()).collect();
        assert_eq!(pages.len(), 1);
    }
}

#[test]
fn damage_is_passed_over_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let input = capture(&folder.path().join("in.zst"), "k", 0..100);
    let mut bytes = std::fs::read(&input).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(&input, bytes).unwrap();
    let output = folder.path().join("out.zst");
    let done = reshape::slice(&input, &output, &Slice::default(), NOW).unwrap();
    assert!(!done.damage.is_empty() && done.read < 100 && 0 < done.read, "{done:?}");
    assert_eq!(read(&output).len() as u64, done.read);
}
