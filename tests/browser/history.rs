//! The page of a history: a real one, in which a rule makes the later runs slow; a long one, and one of a single run.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::chromium::shots;
use crate::support::{Proxy, Shop, replay, squall};
use crate::{ALL, fixture, look, tools};

/// Runs of one plan, the second half of them through a slow proxy.
fn keep_runs(folder: &Path) {
    fs::write(folder.join("access.log"), log()).unwrap();
    let mut import = squall(&["captures", "import", "access.log", "-o", "morning.zst"]);
    import.current_dir(folder);
    tools::run(import);
    let shop = Shop::open(&[]);
    let slow = Proxy::before(&shop.url(), &["--fault", "GET /api/** delay 60ms"]);
    for target in [shop.url(), format!("http://{}", slow.addr())] {
        let args =
            ["--target", &target, "--speed", "10", "--repeat", HALF, "--history", "runs", "--no-rehearsal"];
        let mut runs = replay(&[&args[..], &["--quiet", "morning.zst"]].concat());
        let out = runs.current_dir(folder).output().unwrap();
        // where the machine is busy with other tests the generator is late, and says so: those are runs as well
        assert!(matches!(out.status.code(), Some(0 | 111)), "{}", String::from_utf8_lossy(&out.stderr));
    }
}

/// Half a minute of a shop.
fn log() -> String {
    let mut log = String::new();
    for second in 0..30 {
        for visitor in 0..6 + second % 5 {
            let path = ["/", "/api/products", "/api/products/3", "/api/products/7"][(visitor + second) % 4];
            let _ = writeln!(
                log,
                "10.0.0.{visitor} - - [12/Mar/2026:10:00:{second:02} +0000] \"GET {path} HTTP/1.1\" 200 13 \"-\" \"test\""
            );
        }
    }
    log
}

/// `squall report --history`, as a page.
fn page(folder: &Path) -> std::path::PathBuf {
    let mut report = squall(&["report", "--history", "runs", "-o", "page.html"]);
    report.current_dir(folder);
    tools::run(report);
    folder.join("page.html")
}

#[test]
fn a_history_is_readable_and_names_the_run_where_it_got_slow() {
    let folder = TempDir::new().unwrap();
    keep_runs(folder.path());
    let page = page(folder.path());
    let text = fs::read_to_string(&page).unwrap();
    assert!(text.contains("response.p50 moved at run"), "nothing moved");
    let Some(mut look) = look(&page, ALL) else { return };
    look.arg(shots().join("history"));
    tools::run(look);
}

#[test]
fn a_long_history_of_hostile_names_is_readable() {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    fs::create_dir(&runs).unwrap();
    for nth in 0..MOST {
        let record = fixture::record(nth);
        let name =
            format!("20261127T{:02}{:02}{:02}.000000Z-{nth:08x}.json", nth / 3600, nth / 60 % 60, nth % 60);
        fs::write(runs.join(name), record.to_string()).unwrap();
    }
    fs::write(runs.join("20261128T000000.000000Z-ffffffff.json"), "not a record").unwrap();
    if let Some(look) = look(&page(folder.path()), "360,1280") {
        tools::run(look);
    }
}

#[test]
fn a_history_of_one_run_is_shown() {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    fs::create_dir(&runs).unwrap();
    let bare = json!({ "run": "00000001", "plan_hash": "aa", "started": "2026-11-27T00:00:01Z" });
    fs::write(runs.join("20261127T000001.000000Z-00000001.json"), bare.to_string()).unwrap();
    if let Some(look) = look(&page(folder.path()), ALL) {
        tools::run(look);
    }
}

const HALF: &str = "8";
/// More than have room for a dot each; that a thousand make no page of two megabytes, a test in the replayer says.
const MOST: usize = 300;
