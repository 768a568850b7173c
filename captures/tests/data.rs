//! Real files of other people: every one is imported whole, and comes back equal from every export.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use captures::export::{gor, har, mitmproxy, ndjson};
use captures::header::{FileHeader, Options};
use captures::import::{self, Format, ImportOptions, Numbering, Tally};
use captures::{Exchange, Reader, Redactor, Writer};
use common::{assert_zstd_accepts, data};

fn import(path: &Path, response_bodies: bool) -> (Format, Tally, Vec<Exchange>) {
    let mut exchanges = Vec::new();
    let options = ImportOptions { response_bodies, ..ImportOptions::default() };
    let (format, tally) = import::file(path, None, &options, &mut Numbering::default(), &mut |exchange| {
        exchanges.push(exchange);
        Ok(())
    })
    .unwrap();
    assert_eq!(tally.imported, exchanges.len() as u64);
    (format, tally, exchanges)
}

fn write_capture(path: &Path, exchanges: &[Exchange]) {
    let mut writer = Writer::create(path, FileHeader::new("test", 1), Options::for_import()).unwrap();
    for exchange in exchanges {
        writer.push(exchange, 0).unwrap();
    }
    writer.finish(0).unwrap();
}

fn sorted(mut exchanges: Vec<Exchange>) -> Vec<Exchange> {
    exchanges.sort_by_key(|exchange| (exchange.session, exchange.start_us, exchange.request.target.clone()));
    exchanges
}

fn read(path: &Path) -> Vec<Exchange> {
    sorted(Reader::open(path).unwrap().exchanges().map(Result::unwrap).collect())
}

/// File to capture, capture to HAR, .gor, flows and NDJSON, and those to exchanges again: all equal.
fn check_round_trip(path: &Path, response_bodies: bool) {
    let (_, _, mut imported) = import(path, response_bodies);
    let mut redactor = Redactor::new([3; 32]);
    // once is enough for a log: it holds next to nothing to redact
    let rounds: &[bool] = if imported.len() < 1000 { &[false, true] } else { &[true] };
    for redact in rounds.iter().copied() {
        if redact {
            imported.iter_mut().for_each(|exchange| redactor.exchange(exchange));
        }
        let dir = tempfile::tempdir().unwrap();
        let capture = dir.path().join("capture.zst");
        write_capture(&capture, &imported);
        assert_zstd_accepts(&capture);
        assert!(captures::verify::verify(&capture).unwrap().is_clean());
        let exchanges = read(&capture);
        assert_eq!(exchanges, sorted(imported.clone()), "{}", path.display());
        let exports =
            [("export.har", Format::Har), ("export.gor", Format::Gor), ("export.ndjson", Format::Ndjson)];
        for (name, format) in exports {
            let export = dir.path().join(name);
            let out = BufWriter::new(File::create(&export).unwrap());
            let reader = Reader::open(&capture).unwrap();
            let exported = match format {
                Format::Har => har::write(reader, out),
                Format::Gor => gor::write(reader, out),
                Format::Mitmproxy => mitmproxy::write(reader, out),
                _ => ndjson::write(reader, out),
            };
            assert_eq!(exported.unwrap().exchanges, exchanges.len() as u64);
            let (found, tally, again) = import(&export, true);
            assert_eq!((found, tally.damaged), (format, 0), "{}: {tally:?}", path.display());
            let again = sorted(again);
            for (before, after) in exchanges.iter().zip(&again) {
                assert_eq!(before, after, "{} through {name}", path.display());
            }
            assert_eq!(exchanges.len(), again.len());
        }
    }
}

#[test]
fn the_apache_log() {
    let Some(path) = data("access-log/elastic-apache_logs.log") else { return };
    let (format, tally, exchanges) = import(&path, false);
    assert_eq!(format, Format::AccessLog);
    assert_eq!((tally.imported, tally.sessions, tally.damaged), (10_000, 3_224, 0), "{tally:?}");
    assert!(tally.skipped.is_empty());
    assert!(exchanges.is_sorted_by_key(|exchange| exchange.start_us));
    let count = |status: u16| {
        exchanges.iter().filter(|e| e.response.as_ref().is_some_and(|r| r.status == status)).count()
    };
    assert_eq!((count(200), count(304), count(404)), (9_126, 445, 213));
    check_round_trip(&path, false);
}

#[test]
fn the_apache_log_compressed_and_in_two_members() {
    let Some(path) = data("access-log/elastic-apache_logs.log") else { return };
    let text = fs::read(&path).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let packed = dir.path().join("log.gz");
    let gz = |part: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(part).unwrap();
        encoder.finish().unwrap()
    };
    let members = [gz(&text[..1_000_003]), gz(&text[1_000_003..])].concat();
    fs::write(&packed, &members).unwrap();
    let (_, _, plain) = import(&path, false);
    assert_eq!(import(&packed, false).2, plain);
    fs::write(&packed, &members[..members.len() - 1000]).unwrap();
    let (_, tally, _) = import(&packed, false);
    assert!(9_000 < tally.imported && tally.damaged == 1, "{tally:?}");
    assert!(tally.named[0].why.contains("breaks off"), "{tally:?}");
    fs::write(&packed, zstd::encode_all(&text[..], 1).unwrap()).unwrap();
    assert_eq!(import(&packed, false).2, plain);
}

fn har_files(prefix: &str) -> Option<Vec<PathBuf>> {
    let dir = data("har")?;
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)));
    files.sort();
    Some(files)
}

#[test]
fn every_archive_is_imported_whole() {
    for (prefix, files, entries) in [("mitmproxy-", 9, 45), ("perfcascade-", 5, 193)] {
        let Some(paths) = har_files(prefix) else { return };
        assert_eq!(paths.len(), files);
        let mut imported = 0;
        for path in &paths {
            let (format, tally, exchanges) = import(path, false);
            assert_eq!(
                (format, tally.sessions, tally.damaged),
                (Format::Har, 1, 0),
                "{}: {tally:?}",
                path.display()
            );
            assert!(exchanges.iter().all(|exchange| exchange.request.target.starts_with('/')));
            imported += tally.imported + tally.skipped.values().sum::<u64>();
        }
        assert_eq!(imported, entries, "{prefix}");
    }
}

#[test]
fn every_archive_comes_back_equal() {
    for path in har_files("").unwrap_or_default() {
        for response_bodies in [false, true] {
            check_round_trip(&path, response_bodies);
        }
    }
}

#[test]
fn every_file_of_flows_and_of_packets_comes_back_equal() {
    for name in ["mitmproxy-flows", "pcap-http", "pcap-websocket"] {
        let Some(dir) = data(name) else { return };
        for entry in fs::read_dir(dir).unwrap() {
            for response_bodies in [false, true] {
                check_round_trip(&entry.as_ref().unwrap().path(), response_bodies);
            }
        }
    }
}

#[test]
fn an_archive_cut_anywhere_gives_what_is_whole_or_says_where() {
    let Some(path) = data("har/mitmproxy-chrome.har") else { return };
    let text = fs::read(&path).unwrap();
    for len in (1..text.len()).step_by(997) {
        let mut n = 0;
        let input = BufReader::new(&text[..len]);
        let result =
            import::har::read(input, &ImportOptions::default(), &mut Numbering::default(), &mut |_| {
                n += 1;
                Ok(())
            });
        match result {
            Ok(tally) => assert_eq!((tally.imported, tally.damaged), (n, 1), "cut at {len}"),
            Err(err) => assert!(err.to_string().contains("line "), "cut at {len}: {err}"),
        }
    }
}
