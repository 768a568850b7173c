//! House rules that no compiler keeps: length of files, open ends, secrets and machine paths.
#![allow(clippy::print_stderr)] // a skipped test says so

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Files that git tracks, or that stand in the folder where there is no git.
fn tracked() -> Vec<PathBuf> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    match listed {
        Ok(listed) if listed.status.success() => String::from_utf8_lossy(&listed.stdout)
            .split('\0')
            .filter(|name| !name.is_empty())
            .map(|name| root().join(name))
            .filter(|path| path.is_file())
            .collect(),
        _ => {
            eprintln!("skipped: not a git checkout, so there is no list of files to look at");
            Vec::new()
        }
    }
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "rs")
}

#[test]
fn files_stay_one_idea_long() {
    for path in tracked().into_iter().filter(|path| is_rust(path)) {
        let lines = text(&path).map_or(0, |text| text.lines().count());
        assert!(lines <= MAX_LINES, "{} has {lines} lines; split it along an idea", path.display());
    }
}

#[test]
fn nothing_is_left_for_later() {
    let words =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:"), concat!("unimpl", "emented!")];
    for path in tracked().into_iter().filter(|path| is_rust(path)) {
        let text = text(&path).unwrap_or_default();
        for word in words {
            assert!(!text.contains(word), "{} says {word}: do it, or open an issue", path.display());
        }
    }
}

#[test]
fn modules_live_in_folders_with_a_mod_file() {
    for path in tracked().into_iter().filter(|path| is_rust(path)) {
        let folder = path.with_extension("");
        let is_test_root = path.parent().is_some_and(|parent| parent.ends_with("tests"));
        assert!(
            is_test_root || !folder.is_dir(),
            "{} and {}/ are one module: use mod.rs",
            path.display(),
            folder.display()
        );
    }
}

#[test]
fn no_machine_and_no_secret_is_in_a_commit() {
    let home = concat!("/ro", "ot/");
    let key = concat!("-----BEGIN ", "PRIVATE KEY");
    for path in tracked() {
        let Some(text) = text(&path) else { continue };
        assert!(!text.contains(home), "{} names a machine's path", path.display());
        assert!(!text.contains(key), "{} holds a private key", path.display());
    }
}

const MAX_LINES: usize = 500;
