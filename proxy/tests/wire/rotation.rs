//! Recordings of many files: each is whole, together they hold every exchange; and a file that vanishes costs no traffic.

use std::path::{Path, PathBuf};

use captures::verify::verify;
use proxy::Rotation;

use crate::harness::{Origin, Proxy, eventually};

/// The captures of a folder, by name.
fn captures(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "zst"))
        .collect();
    found.sort();
    found
}

fn exchanges(folder: &Path) -> u64 {
    captures(folder).iter().map(|path| verify(path).expect("readable").exchanges).sum()
}

fn ask(proxy: &Proxy, n: usize) {
    (0..n).for_each(|_| assert_eq!(proxy.get("/bytes/10").status, 200));
}

#[test]
fn files_follow_each_other_by_size_and_on_demand_and_lose_nothing() {
    let origin = Origin::plain();
    let mut proxy = Proxy::before(origin.addr)
        .recorded()
        .with(|config| {
            config.rotation = Rotation { size: Some(1_000), ..Rotation::default() };
            config.blocks.block_bytes = 500;
        })
        .start();
    ask(&proxy, 100);
    eventually("several files", || 3 <= captures(proxy.folder.path()).len());
    let before = captures(proxy.folder.path()).len();
    proxy.post_accepted("/recording/rotate");
    eventually("one more", || before < captures(proxy.folder.path()).len());
    ask(&proxy, 5);
    let folder = proxy.folder.path().to_owned();
    let books = proxy.stop();
    assert_eq!((books.recorded, exchanges(&folder)), (105, 105));
    for path in captures(&folder) {
        let found = verify(&path).expect("readable");
        assert!(found.is_clean() && found.closed, "{}: {found:?}", path.display());
    }
}

#[test]
fn a_ring_keeps_the_newest_and_removes_only_its_own() {
    let origin = Origin::plain();
    let mut proxy = Proxy::before(origin.addr)
        .recorded()
        .with(|config| {
            config.rotation = Rotation { size: Some(2_000), ring: Some(10_000), ..Rotation::default() };
            config.blocks.block_bytes = 400;
        })
        .start();
    let folder = proxy.folder.path().to_owned();
    let stranger = folder.join("capture-notes.zst");
    std::fs::write(&stranger, "not ours").expect("written");
    ask(&proxy, 400);
    eventually("old files went", || proxy.status()["recording"]["files_removed"].as_u64() > Some(0));
    assert!(proxy.stop().shed.is_empty());
    assert!(stranger.exists());
    std::fs::remove_file(stranger).expect("there");
    let sizes: u64 = captures(&folder).iter().map(|path| path.metadata().expect("there").len()).sum();
    assert!(sizes <= 10_000, "{sizes}");
    assert!(!folder.join("capture.zst").exists(), "the oldest went first");
    assert!(0 < exchanges(&folder));
}

#[test]
fn a_restart_goes_on_in_the_newest_file() {
    let origin = Origin::plain();
    let rotation = Rotation { size: Some(1 << 30), ..Rotation::default() };
    let mut proxy = Proxy::before(origin.addr).recorded().with(|config| config.rotation = rotation).start();
    ask(&proxy, 3);
    proxy.post_accepted("/recording/rotate");
    eventually("a second file", || captures(proxy.folder.path()).len() == 2);
    ask(&proxy, 4);
    let capture = proxy.capture();
    let _ = proxy.stop();
    let mut again = Proxy::before(origin.addr)
        .with(|config| (config.record, config.rotation) = (Some(capture.clone()), rotation))
        .start();
    ask(&again, 5);
    let _ = again.stop();
    let folder = capture.parent().expect("a folder");
    let counts: Vec<u64> =
        captures(folder).iter().map(|path| verify(path).expect("readable").exchanges).collect();
    assert_eq!(counts.iter().sum::<u64>(), 12);
    assert_eq!(counts.len(), 2, "the newest file is continued");
}

#[test]
fn a_folder_that_vanishes_costs_no_traffic_and_recording_resumes_with_it() {
    let origin = Origin::plain();
    let folder = tempfile::tempdir().expect("a folder");
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).expect("made");
    let capture = inner.join("capture.zst");
    let record = capture.clone();
    let mut proxy = Proxy::before(origin.addr).with(|config| config.record = Some(record)).start();
    ask(&proxy, 5);
    std::fs::rename(&inner, folder.path().join("moved")).expect("moved");
    eventually("the loss is told", || {
        ask(&proxy, 1);
        proxy.status()["recording"]["state"] == "failing"
    });
    ask(&proxy, 5);
    std::fs::create_dir(&inner).expect("made again");
    eventually("recording resumes", || proxy.status()["recording"]["state"] == "recording");
    ask(&proxy, 7);
    let books = proxy.stop();
    let edge = &books.edges[0].books;
    assert_eq!(edge.delivered, edge.seen, "no request was harmed");
    assert_eq!(edge.seen, edge.recorded + edge.shed.values().sum::<u64>());
    assert!(0 < books.shed["io"]);
    let found = verify(&capture).expect("readable");
    assert!(found.is_clean() && found.closed && 7 <= found.exchanges, "{found:?}");
    assert_eq!(found.shed, books.shed, "the file says what is missing before it");
}
