//! A disk that takes no more: traffic goes on, the books say what was lost, recording resumes with the disk.
//!
//! In a binary of its own, since the limit on the size of files holds for the whole process.
#![allow(unsafe_code, reason = "setrlimit and signal have no safe face; both calls are checked below")]

#[path = "harness/mod.rs"]
mod harness;

use std::fs::DirEntry;
use std::sync::{Mutex, PoisonError};

use harness::{Client, Origin, Proxy, eventually, pattern};
use proxy::Rotation;

/// One test at a time sets the limit.
static DISK: Mutex<()> = Mutex::new(());

fn limit_files_to(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the first call changes how a signal is met, which nobody here relies on; the second reads a local.
    let done = unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit)
    };
    assert_eq!(done, 0, "the limit is set");
}

#[test]
fn a_full_disk_harms_no_traffic_and_is_told() {
    let _alone = DISK.lock().unwrap_or_else(PoisonError::into_inner);
    let origin = Origin::plain();
    let mut proxy = Proxy::before(origin.addr).recorded().start();
    let mut client = proxy.client();
    let ask = |client: &mut Client, n: usize| {
        client.send(format!("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: {n}\r\n\r\n"));
        client.send(pattern(n));
        assert_eq!(client.answer(false).body.len(), n);
    };
    (0..10).for_each(|_| ask(&mut client, 1_000));
    eventually("all of them are in the file", || {
        captures::verify::verify(proxy.capture()).is_ok_and(|found| found.exchanges == 10)
    });
    limit_files_to(std::fs::metadata(proxy.capture()).expect("there").len() + 100);
    (0..20).for_each(|_| ask(&mut client, 1_000));
    eventually("the loss is told", || proxy.status()["recording"]["state"] == "failing");
    let books = proxy.books();
    assert_eq!(books["edges"][0]["shed"]["io"], 20, "all that was in the block");
    assert_eq!(books["edges"][0]["recorded"], 10);
    limit_files_to(u64::MAX);
    (0..5).for_each(|_| ask(&mut client, 1_000));
    eventually("recording resumes", || proxy.status()["recording"]["state"] == "recording");
    let books = proxy.stop();
    assert_eq!((books.recorded, books.shed["io"]), (15, 20));
    let verified = captures::verify::verify(proxy.capture()).expect("readable");
    assert!(verified.is_clean() && verified.closed, "{verified:?}");
    assert_eq!((verified.exchanges, verified.shed["io"]), (15, 20));
}

/// Where each next file was begun and could not be written, a full disk was full of empty files within minutes, and a
/// recording that began anew found an empty one to go on in.
#[test]
fn a_full_disk_is_not_filled_with_empty_files() {
    let _alone = DISK.lock().unwrap_or_else(PoisonError::into_inner);
    let origin = Origin::plain();
    let mut proxy = Proxy::before(origin.addr)
        .recorded()
        .with(|config| {
            config.rotation = Rotation { size: Some(400), ..Rotation::default() };
            config.blocks.block_bytes = 100;
        })
        .start();
    let folder = proxy.folder.path().to_owned();
    let captures = || {
        let entries = std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry"));
        entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "zst")).collect::<Vec<_>>()
    };
    let get = |n: usize| (0..n).for_each(|_| assert_eq!(proxy.get("/bytes/10").status, 200));
    get(1);
    limit_files_to(10);
    get(40);
    eventually("the loss is told", || proxy.status()["recording"]["state"] == "failing");
    let before = captures().len();
    get(40);
    // once a second the recorder tries the next file, which is there until that fails
    eventually("no file is left behind", || {
        let all = captures();
        let is_empty = |entry: &DirEntry| entry.metadata().is_ok_and(|file| file.len() == 0);
        all.len() <= before && !all.iter().any(is_empty)
    });
    limit_files_to(u64::MAX);
    eventually("recording resumes", || {
        get(1);
        proxy.status()["recording"]["state"] == "recording"
    });
    let books = proxy.stop();
    assert_eq!(books.recorded + books.shed["io"], books.edges[0].books.seen);
    for entry in captures() {
        let found = captures::verify::verify(entry.path()).expect("a capture");
        assert!(found.is_clean() && found.closed, "{found:?}");
    }
}
