//! The report, and the page of a proxy, in headless Chromium: every control driven, looked at in three widths and both
//! themes, by axe and by HTML validators. The report has the network off, the page nobody but its proxy.
//!
//! Wants Debian's Chromium, and what `.ci/install` puts under `target/clients`; without them it is skipped aloud.
//! Screenshots go to `target/screenshots`, or to the folder that `SQUALL_SCREENSHOTS` names.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod chromium;
mod fixture;
mod history;
mod proxy;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code, reason = "shared with tests/clients")]
#[path = "../clients/tools.rs"]
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use chromium::{node, shots};
use serde_json::Value;
use support::{Shop, replay, squall};
use tempfile::TempDir;

/// A demo, whose run all tests look at.
static DEMO: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    let mut demo = squall(&["demo", "--amplify", "10x", "--quiet", "--keep", "kept"]);
    demo.args(["--json", "run.json", "--report", "run.html"]);
    let out = demo.current_dir(folder.path()).stdin(Stdio::null()).output().unwrap();
    // where the machine is busy with other tests the generator is late, and says so: that is a run as well
    assert!(matches!(out.status.code(), Some(0 | 111)), "{}", String::from_utf8_lossy(&out.stderr));
    folder
});

fn run_json() -> Value {
    serde_json::from_slice(&fs::read(DEMO.path().join("run.json")).unwrap()).unwrap()
}

/// The demo's replay once more, without its faults.
fn calm_run() -> Value {
    let (folder, shop) = (TempDir::new().unwrap(), Shop::open(&[]));
    let capture = DEMO.path().join("kept/capture.zst");
    let args = ["--target", &shop.url(), "--amplify", "10x", "--quiet", "--json", "calm.json"];
    let mut run = replay(&args);
    let out = run.arg(capture).current_dir(folder.path()).stdin(Stdio::null()).output().unwrap();
    assert!(matches!(out.status.code(), Some(0 | 111)), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&fs::read(folder.path().join("calm.json")).unwrap()).unwrap()
}

/// `squall report` of these runs.
fn page(folder: &Path, runs: &[(&str, Value)]) -> PathBuf {
    let mut report = squall(&["report", "-o", "page.html"]);
    for (name, run) in runs {
        fs::write(folder.join(name), run.to_string()).unwrap();
        report.arg(name);
    }
    report.current_dir(folder);
    tools::run(report);
    folder.join("page.html")
}

/// The script that looks at a report; `None`: something that it needs is not there.
fn look(page: &Path, widths: &str) -> Option<Command> {
    let mut node = node("report.js")?;
    node.arg(page).arg(widths);
    Some(node)
}

#[test]
fn a_real_run_is_readable() {
    let Some(mut look) = look(&DEMO.path().join("run.html"), ALL) else { return };
    look.arg(shots().join("report"));
    tools::run(look);
}

#[test]
fn an_hour_with_everything_in_it_is_small_and_readable() {
    let folder = TempDir::new().unwrap();
    let page = page(folder.path(), &[("hour.json", fixture::hour(run_json()))]);
    let size = fs::metadata(&page).unwrap().len();
    assert!(size < 2_000_000, "{size} bytes");
    if let Some(look) = look(&page, ALL) {
        tools::run(look);
    }
}

#[test]
fn runs_are_compared() {
    let folder = TempDir::new().unwrap();
    let slower = fixture::with_other_routes(run_json());
    let page = page(
        folder.path(),
        &[("before.json", run_json()), ("after.json", slower), ("again.json", run_json())],
    );
    if let Some(look) = look(&page, ALL) {
        tools::run(look);
    }
}

#[test]
fn two_real_runs_are_compared_and_readable() {
    let folder = TempDir::new().unwrap();
    let page = page(folder.path(), &[("calm.json", calm_run()), ("faults.json", run_json())]);
    if let Some(mut look) = look(&page, ALL) {
        look.arg(shots().join("compare"));
        tools::run(look);
    }
}

#[test]
fn a_chain_of_edges_is_drawn() {
    let folder = TempDir::new().unwrap();
    let bare = fixture::bare_chain(run_json());
    let page = page(folder.path(), &[("chain.json", fixture::chain(run_json())), ("bare.json", bare)]);
    if let Some(look) = look(&page, ALL) {
        tools::run(look);
    }
}

#[test]
fn a_run_with_nothing_in_it_is_shown() {
    let folder = TempDir::new().unwrap();
    let page = page(folder.path(), &[("bare.json", fixture::bare(run_json()))]);
    if let Some(look) = look(&page, ALL) {
        tools::run(look);
    }
}

#[test]
fn what_is_wrong_with_a_page_is_noticed() {
    let folder = TempDir::new().unwrap();
    let page = folder.path().join("wrong.html");
    let good = fs::read_to_string(DEMO.path().join("run.html")).unwrap();
    let bad = "<video width=2500 height=9></video><table><tr><th>x</table><img src=http://127.0.0.1:9/x><svg class=plot width=90 height=20>\
        <text y=15>one</text><text y=15>another, much longer</text></svg><svg class=plot width=99 height=40><g class=scale><text y=15>1</text>\
        <text x=9 y=15>2</text></g><g class=scale transform=scale(.5)><text y=60>3 s</text></g></svg><button></button><script>alert(1)</script>";
    fs::write(&page, good.replace("<footer", &format!("{bad}<footer"))).unwrap();
    let Some(mut look) = look(&page, "1280") else { return };
    let out = look.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert_eq!(out.status.code(), Some(1), "{said}");
    for words in [
        "html-validate: ",
        "console: ",
        "asked for ",
        "scrolls sideways",
        "overlap: ",
        "labels run together: ",
        "too small to read: ",
        "cut off",
        "without a unit",
        "without a scope",
        "axe: critical",
    ] {
        assert!(said.contains(words), "{words} is missing in:\n{said}");
    }
    assert!(!said.contains("dialog"), "the policy let a script run:\n{said}");
}

/// Widths in pixels: a small telephone, a laptop, a screen.
const ALL: &str = "360,1280,1920";
