//! The examples that ship and every block of the reference are executed, and the reference knows every key and code.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::collections::BTreeSet;
use std::path::Path;

use fault_rules::delay::RouteLatency;
use fault_rules::{Loader, RuleSet, parse, parse_inline};

fn read(source: &str, name: &str) -> Result<RuleSet, fault_rules::Report> {
    let file = |file: &str| match file {
        "bodies/503.json" => Ok(b"{\"error\":\"unavailable\"}".to_vec()),
        _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
    };
    let latencies = |capture: &str| match capture {
        "capture.zst" => Ok(vec![RouteLatency {
            method: "GET".to_owned(),
            path: "/api/cart/{id}".to_owned(),
            durations: vec![(std::time::Duration::from_millis(20), 5)],
        }]),
        _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
    };
    parse(source, name, &Loader { file: &file, latencies: &latencies })
}

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn the_examples_are_accepted_without_warning() {
    for name in ["examples/slow.toml", "examples/failures.toml", "examples/storm.toml"] {
        let set = read(&file(name), name).unwrap_or_else(|report| panic!("{report}"));
        assert!(!set.rules().is_empty() && set.warnings.is_empty(), "{name}: {:?}", set.warnings);
    }
}

/// Fenced blocks of the reference: their info string and their text.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some((info.to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, body)), None) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

#[test]
fn every_block_of_the_reference_does_what_it_says() {
    let mut executed = 0;
    for (info, body) in blocks(&file("REFERENCE.md")) {
        match info.as_str() {
            "toml" => {
                read(&body, "REFERENCE.md").unwrap_or_else(|report| panic!("{report}\nin\n{body}"));
            }
            // One line each: what stands in a [[rule]] beside an id (and a fault, where it has none).
            "toml rule" => {
                for line in body.lines().filter(|line| !line.trim().is_empty()) {
                    let with = |fault: &str| format!("[[rule]]\nid = \"a\"\n{line}\n{fault}");
                    let good = read(&with(""), "REFERENCE.md")
                        .or_else(|_| read(&with("respond = 500"), "REFERENCE.md"));
                    good.unwrap_or_else(|report| panic!("{report}\nin\n{line}"));
                    executed += 1;
                }
            }
            "fault" => {
                for line in body.lines() {
                    parse_inline(line).unwrap_or_else(|report| panic!("{report}"));
                }
            }
            // Refused: the first line names the code.
            "toml refused" => {
                let code = body.split_whitespace().nth(1).unwrap().to_owned();
                let report = read(&body, "REFERENCE.md").expect_err(&body);
                assert!(report.findings().iter().any(|it| it.code == code), "{report}");
            }
            "text" => continue,
            other => panic!("a block of kind {other:?} is not executed"),
        }
        executed += 1;
    }
    assert!(30 <= executed, "only {executed} blocks");
}

/// Codes in the sources, `"E01"` and so on.
fn codes(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            codes(&path, found);
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        for quoted in source.split('"') {
            let is_code = quoted.len() == 3
                && quoted.starts_with(['E', 'W'])
                && quoted.bytes().skip(1).all(|byte| byte.is_ascii_digit());
            if is_code {
                found.insert(quoted.to_owned());
            }
        }
    }
}

#[test]
fn the_reference_lists_every_code_and_no_other() {
    let mut in_code = BTreeSet::new();
    codes(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut in_code);
    let text = file("REFERENCE.md");
    let listed = text
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" |"))
        .map(|(code, _)| code.to_owned());
    let listed: BTreeSet<_> = listed.filter(|code| code.len() == 3 && code.starts_with(['E', 'W'])).collect();
    assert_eq!(listed, in_code);
}
