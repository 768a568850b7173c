//! Files of other programs through the front door: what was found out about them, what was wrong with them, and the way
//! out again.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::kit::run_squall;

/// Runs a command that succeeds; what it said on stderr.
fn import(files: &[&Path], output: &Path, more: &[&str]) -> String {
    let mut words = vec!["captures", "import"];
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    words.extend(names.iter().map(String::as_str));
    let output = output.display().to_string();
    words.extend(["-o", &output]);
    words.extend(more);
    run_squall(&words).expect(0).err
}

/// Every exchange, one a line.
fn cat(capture: &Path) -> Vec<String> {
    let shown = run_squall(&["captures", "cat", &capture.display().to_string()]).expect(0);
    let mut lines: Vec<String> = shown.out.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn write(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

const FLOWS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/captures/tests/samples/flows-21.mitm");
const RECORDS: &str = "1 a 1700000001000000000 0\nPOST /login HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 30\r\n\r\n\
    user=ann&password=hunter2-secr\n🐵🙈🙉\n2 a 1700000001500000000 0\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\n🐵🙈🙉\n\
    torn\n🐵🙈🙉\n1 b 1700000000000000000 0\nGET / HTTP/1.1\r\nHost: shop.test\r\n\r\n";

#[test]
fn files_of_others_come_in_and_go_out_again() {
    let folder = TempDir::new().unwrap();
    let records = write(&folder, "requests_0.gor", RECORDS);
    let log = write(
        &folder,
        "access.json",
        "{\"ts\":1700000002.5,\"method\":\"GET\",\"path\":\"/log\",\"status\":200}\n",
    );
    let capture = folder.path().join("capture.zst");
    let said = import(&[Path::new(FLOWS), &records, &log], &capture, &[]);
    for words in [
        "flows-21.mitm: mitmproxy, 9 requests in 2 sessions",
        "requests_0.gor: gor, 2 requests in 2 sessions",
        "1 out of order (now in order)",
        "1 damaged\n  record 3 at line 14, byte ",
        "access.json: access-log, 1 request in 1 session",
        "capture.zst: 12 requests in 5 sessions",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let exchanges = cat(&capture);
    assert!(!exchanges.concat().contains("hunter2"), "secrets of others are redacted too");
    for (format, name) in [
        ("gor", "out.gor"),
        ("gor", "out.gor.gz"),
        ("mitmproxy", "out.mitm"),
        ("har", "out.har"),
        ("ndjson", "out.ndjson"),
    ] {
        let (export, again) = (folder.path().join(name), folder.path().join(format!("{name}.zst")));
        let (from, to) = (capture.display().to_string(), export.display().to_string());
        run_squall(&["captures", "export", &from, "--format", format, "-o", &to]).expect(0);
        let is_packed = fs::read(&export).unwrap().starts_with(&[0x1f, 0x8b]);
        assert_eq!(is_packed, name.ends_with(".gz"), "{name}");
        let said = import(&[&export], &again, &["--response-bodies"]);
        assert!(said.contains(&format!("{name}: {format}, 12 requests in 5 sessions")), "{said}");
        assert_eq!(cat(&again), exchanges, "{name}");
    }
}

#[test]
fn what_cannot_be_imported_says_what_it_is_and_what_to_do() {
    let folder = TempDir::new().unwrap();
    let output = folder.path().join("capture.zst").display().to_string();
    let refused = |name: &str, text: &str, more: &[&str], words: &[&str]| {
        let path = write(&folder, name, text).display().to_string();
        let shown = run_squall(&[&["captures", "import", &path, "-o", &output], more].concat());
        shown.expect_words(104, words);
        assert!(!Path::new(&output).exists(), "nothing is left behind");
    };
    refused("a.bin", "\u{7f}ELF\0\0", &[], &["binary", "mitmproxy, gor, pcap", "--format"]);
    refused("a.bz2", "BZh91AY&SY", &[], &["bunzip2"]);
    refused("a.pcap", "no packets", &["--format", "pcap"], &["neither pcap nor pcapng"]);
    refused("status.json", "{\"requests\":{\"total\":5}}\n", &[], &["1 skipped", "nothing was imported"]);
    refused("a.log", "x", &["--format", "pcapp"], &["unknown format", "pcap"]);
}

#[test]
fn a_dash_is_the_standard_output_of_an_export_and_no_place_for_a_capture() {
    let folder = TempDir::new().unwrap();
    let log =
        write(&folder, "access.log", "10.0.0.1 - - [10/Oct/2026:13:55:36 +0000] \"GET /a HTTP/1.1\" 200 2\n");
    let capture = folder.path().join("capture.zst");
    import(&[&log], &capture, &[]);
    let capture = capture.display().to_string();
    let shown = run_squall(&["captures", "export", &capture, "--format", "ndjson", "-o", "-"]).expect(0);
    assert_eq!(shown.out.lines().count(), 1, "{}", shown.err);
    for command in ["compact", "slice"] {
        let words = ["a capture is a file, not a stream"];
        run_squall(&["captures", command, &capture, "-o", "-"]).expect_words(104, &words);
    }
    run_squall(&["captures", "export", &capture, "-o", &capture])
        .expect_words(104, &["exists already; name another file"]);
    // so small a capture cannot become smaller, which is not said as a number below nothing
    let small = folder.path().join("small.zst").display().to_string();
    let shown = run_squall(&["captures", "compact", &capture, "--level", "1", "-o", &small]).expect(0);
    assert!(!shown.err.contains("(-"), "{}", shown.err);
}
