//! `squall demo`: all of it at once, with no set-up.

use tempfile::TempDir;

use crate::kit::{Finished, Replayed, expect_whole, text};
use crate::support::squall;

#[test]
fn the_demo_ends_with_balanced_books_and_leaves_its_files() {
    let folder = TempDir::new().unwrap();
    let [keep, json] = ["demo", "run.json"].map(|name| folder.path().join(name));
    let demo = squall(&["demo", "--amplify", "5x", "--json", &text(&json), "--keep", &text(&keep)]);
    let run = Replayed::read(Finished::of(demo), &json).expect_passed().expect_balanced();
    assert!(
        run.n("/requests/answered") != 0 && run.sum("/requests/injected") != 0,
        "{:#}",
        run.json["requests"]
    );
    assert_eq!(run.json["plan"]["amplify"], 5.0);
    assert!(run.finished.out.contains("books      balanced"), "{}", run.finished.out);
    expect_whole(&keep.join("capture.zst"));
    for file in ["faults.toml", "ledger.jsonl"] {
        assert!(std::fs::metadata(keep.join(file)).is_ok_and(|file| file.len() != 0), "{file} is kept");
    }
}
