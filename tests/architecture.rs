//! The direction of dependencies, kept by a test: root -> the others; proxy -> captures, fault-rules,
//! telemetry; replayer -> captures, telemetry; the leaf crates know nobody, and have no async, no sockets and no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Names under `[dependencies]` of a manifest (not those for tests).
fn dependencies(manifest: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(manifest).expect("every crate has a manifest");
    let lines = text.lines().map(str::trim);
    let section =
        lines.skip_while(|line| *line != "[dependencies]").skip(1).take_while(|line| !line.starts_with('['));
    section
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a source folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn crates_know_only_whom_they_may() {
    let ours: BTreeSet<&str> = ["captures", "fault-rules", "proxy", "replayer", "telemetry"].into();
    let allowed: BTreeMap<&str, BTreeSet<&str>> = [
        ("captures", [].into()),
        ("fault-rules", [].into()),
        ("proxy", ["captures", "fault-rules", "telemetry"].into()),
        ("replayer", ["captures", "telemetry"].into()),
        ("telemetry", [].into()),
    ]
    .into();
    for (name, allowed) in &allowed {
        let known = dependencies(&root().join(name).join("Cargo.toml"));
        let known: BTreeSet<&str> =
            known.iter().map(String::as_str).filter(|known| ours.contains(known)).collect();
        assert!(known.is_subset(allowed), "{name} may know {allowed:?}, and knows {known:?}");
    }
    let known = dependencies(&root().join("Cargo.toml"));
    let parts = ["captures", "fault-rules", "proxy", "replayer"];
    assert!(parts.iter().all(|name| known.contains(*name)), "the root package is where all parts meet");
}

#[test]
fn leaf_crates_have_no_async_no_sockets_and_no_clock() {
    let banned_crates =
        ["tokio", "hyper", "async-trait", "futures-util", "socket2", "rand", "getrandom", "libc"];
    let banned_words = [
        "async fn",
        ".await",
        "std::net::Tcp",
        "std::net::Udp",
        "SystemTime::now",
        "Instant::now",
        "thread::sleep",
    ];
    for name in ["captures", "fault-rules"] {
        let known = dependencies(&root().join(name).join("Cargo.toml"));
        for banned in banned_crates {
            assert!(!known.contains(banned), "{name} is a leaf and must not depend on {banned}");
        }
        for path in sources(&root().join(name).join("src")) {
            let text = fs::read_to_string(&path).expect("a source file");
            for word in banned_words {
                assert!(!text.contains(word), "{} is in a leaf crate and says `{word}`", path.display());
            }
        }
    }
}

#[test]
fn pingora_stays_inside_the_proxy() {
    for name in ["captures", "fault-rules", "replayer", "telemetry"] {
        let known = dependencies(&root().join(name).join("Cargo.toml"));
        assert!(!known.iter().any(|known| known.starts_with("pingora")), "{name} must not know pingora");
    }
    for path in sources(&root().join("src")) {
        let text = fs::read_to_string(&path).expect("a source file");
        assert!(!text.contains("pingora_core::") && !text.contains("pingora_proxy::"), "{}", path.display());
    }
}
