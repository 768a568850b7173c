//! The pipelines of `deploy/ci` are YAML, and what they call exists.

use std::path::Path;

use clap::Parser;
use serde_json::Value;

use crate::kit::run_squall;

#[test]
fn the_pipelines_call_what_there_is() {
    for name in ["github.yml", "gitlab.yml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/ci").join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let pipeline: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut calls = Vec::new();
        strings(&pipeline, &mut |text| calls.extend(calls_in(text)));
        let replays: Vec<_> = calls.iter().filter(|call| call[0] == "replay").collect();
        assert_eq!(replays.len(), 1, "{name} gates on one run: {calls:?}");
        for call in &calls {
            expect_known(name, call);
        }
        replayer::cli::Args::try_parse_from(replays[0]).unwrap_or_else(|error| panic!("{name}: {error}"));
        for flag in ["--junit", "--threshold", "--json", "--history"] {
            assert!(replays[0].iter().any(|word| word == flag), "{name} shows {flag}");
        }
    }
}

/// The command is one of ours, and its flags are its own.
fn expect_known(name: &str, call: &[String]) {
    let help = run_squall(&[&call[0], "--help"]).expect(0).out;
    for flag in call.iter().filter(|word| word.starts_with("--")) {
        let known = help.split(|c: char| c.is_whitespace() || c == ',' || c == '[').any(|word| word == flag);
        assert!(known, "{name}: squall {} has no {flag}", call[0]);
    }
}

/// What follows each `squall ` of a script, up to the end of its command.
fn calls_in(script: &str) -> Vec<Vec<String>> {
    let mut calls = Vec::new();
    for line in script.lines() {
        for (at, word) in line.match_indices("squall ") {
            let is_command = line[..at].chars().next_back().is_none_or(|before| before == ' ');
            let rest = &line[at + word.len()..];
            let end = rest.find([';', '&']).unwrap_or(rest.len());
            if is_command {
                calls.push(words(&rest[..end]));
            }
        }
    }
    calls
}

/// As a shell splits them, where single quotes are the only ones.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (place, part) in line.split('\'').enumerate() {
        match place % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

fn strings(value: &Value, see: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(all) => all.iter().for_each(|value| strings(value, see)),
        Value::Object(all) => all.values().for_each(|value| strings(value, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
