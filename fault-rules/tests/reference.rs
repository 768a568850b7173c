//! The examples that ship and every block of the reference are executed, and the reference knows every key and code.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::collections::BTreeSet;
use std::path::Path;

use fault_rules::action::Protocol;
use fault_rules::delay::RouteLatency;
use fault_rules::select::Hash;
use fault_rules::{Action, Loader, RuleSet, parse, parse_inline};

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

/// A line of a rule in a rule that is whole: with an id, whom it is about, and a fault where it has none.
fn read_line(line: &str) -> Result<RuleSet, fault_rules::Report> {
    let on = if line.starts_with("on ") { "" } else { "on = \"/api/customers/{customer}/**\"" };
    let with = |fault: &str| {
        let groups = "[group.eu]\nmembers = [\"127.0.0.1:9101\"]\n";
        read(&format!("{groups}[[rule]]\nid = \"a\"\n{on}\n{line}\n{fault}\n"), "REFERENCE.md")
    };
    with("").or_else(|_| with("respond = 500")).or_else(|_| with("truncate = \"60%\""))
}

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn the_examples_are_accepted_without_warning() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let names: Vec<_> = files.filter(|path| path.extension().is_some_and(|it| it == "toml")).collect();
    let mut faults = BTreeSet::new();
    for path in &names {
        let source = std::fs::read_to_string(path).unwrap();
        let set = read(&source, &path.display().to_string()).unwrap_or_else(|report| panic!("{report}"));
        assert!(!set.rules().is_empty() && set.warnings.is_empty(), "{path:?}: {:?}", set.warnings);
        faults
            .extend(set.rules().iter().flat_map(|rule| rule.actions().map(Action::name)).map(str::to_owned));
    }
    assert_eq!(faults, first_column(&file("REFERENCE.md"), "| fault | what |"), "each fault has an example");
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
                let set = read(&body, "REFERENCE.md").unwrap_or_else(|report| panic!("{report}\nin\n{body}"));
                assert!(set.warnings.is_empty(), "{:?}", set.warnings);
            }
            // One line each: what stands in a [[rule]] beside an id (and a fault, where it has none).
            "toml rule" => {
                for line in body.lines().filter(|line| !line.trim().is_empty()) {
                    read_line(line).unwrap_or_else(|report| panic!("{report}\nin\n{line}"));
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
    assert!(130 <= executed, "only {executed} blocks");
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    codes(&root.join("src"), &mut in_code);
    codes(&root.join("../src/cli/check"), &mut in_code);
    codes(&root.join("../proxy/src/rules"), &mut in_code);
    assert_eq!(first_column(&file("REFERENCE.md"), "| code | meaning |"), in_code);
}

/// The first column of the table with this head, without quotes of code.
fn first_column(text: &str, head: &str) -> BTreeSet<String> {
    rows(text, head).into_iter().filter_map(|row| row.into_iter().next()).collect()
}

/// The rows of the table with this head, without quotes of code.
fn rows(text: &str, head: &str) -> Vec<Vec<String>> {
    let table = text.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    let cells =
        |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
    table.take_while(|line| line.starts_with('|')).map(cells).collect()
}

#[test]
fn the_reference_says_on_which_protocol_each_fault_is() {
    let mut seen = BTreeSet::new();
    for (info, body) in blocks(&file("REFERENCE.md")) {
        let lines = body.lines().filter(|line| info == "toml rule" && !line.trim().is_empty());
        for rule in lines.flat_map(|line| read_line(line).unwrap().rules().to_vec()) {
            for action in rule.actions() {
                let on = Protocol::ALL.map(|protocol| if action.is_on(protocol) { "yes" } else { "-" });
                seen.insert([&[action.name()][..], &on].concat().join(" "));
            }
        }
    }
    let written = rows(&file("REFERENCE.md"), "| fault | what |").into_iter();
    let written = written.map(|row| [&row[..1], &row[2..]].concat().join(" "));
    assert_eq!(seen, written.collect::<BTreeSet<_>>());
}

#[test]
fn the_reference_lists_every_reason_and_every_hash() {
    let source = file("src/decide.rs");
    let reasons = source.split("pub fn as_str(self)").nth(1).unwrap().split("\n    }").next().unwrap();
    let reasons: BTreeSet<_> = reasons.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    assert_eq!(first_column(&file("REFERENCE.md"), "| reason | meaning |"), reasons);
    let hashes: BTreeSet<_> = Hash::ALL.iter().map(|hash| hash.name().to_owned()).collect();
    assert_eq!(first_column(&file("REFERENCE.md"), "| hash | what it is |"), hashes);
}
