//! Every block of the guide is read as the program reads it, and the guide knows every flag.

use std::path::Path;
use std::str::FromStr;

use clap::{CommandFactory, Parser};
use replayer::cli::Args;
use replayer::options::{Boost, Misbehaviour, Profile, Reconnect, Retry, Stage, Substitution};
use replayer::{AbortOn, Threshold};

#[test]
fn every_block_of_the_guide_is_understood() {
    let mut read = 0;
    for (info, body) in blocks(&guide()) {
        let (kind, refused) = match info.strip_suffix(" refused") {
            Some(kind) => (kind, true),
            None => (info.as_str(), false),
        };
        let parse = match kind {
            "sh" => command,
            "profile" => parsed::<Profile>,
            "stage" => parsed::<Stage>,
            "boost" => parsed::<Boost>,
            "set" => parsed::<Substitution>,
            "retry" => parsed::<Retry>,
            "misbehave" => parsed::<Misbehaviour>,
            "reconnect" => parsed::<Reconnect>,
            "threshold" => parsed::<Threshold>,
            "abort-on" => parsed::<AbortOn>,
            "text" => continue,
            other => panic!("a block of kind `{other}` is not read by anybody"),
        };
        for line in body.lines() {
            match refused {
                false => parse(line).unwrap_or_else(|words| panic!("{line}: {words}")),
                true => refuses(parse, line),
            }
            read += 1;
        }
    }
    assert!(50 <= read, "only {read} lines");
}

#[test]
fn the_guide_knows_every_flag() {
    let text = guide();
    let command = Args::command();
    let flags = command.get_arguments().filter_map(clap::Arg::get_long);
    let missing: Vec<&str> = flags.filter(|flag| !text.contains(&format!("--{flag}"))).collect();
    assert!(missing.is_empty(), "the guide does not know {missing:?}");
}

/// What is refused, two spaces or more, and words of the refusal.
fn refuses(parse: fn(&str) -> Result<(), String>, line: &str) {
    let (typed, words) = line.split_once("  ").unwrap_or_else(|| panic!("{line}: names no words"));
    let said = parse(typed).expect_err(line);
    assert!(said.contains(words.trim()), "{line}: {said}");
}

fn parsed<T: FromStr<Err = String>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(|_| ())
}

/// A command line, with words in single quotes.
fn command(line: &str) -> Result<(), String> {
    let mut words = Vec::new();
    for (place, part) in line.split('\'').enumerate() {
        match place % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    let args = Args::try_parse_from(words).map_err(|err| err.to_string())?;
    // A time of day may lie in the past when the test runs.
    Args { start_at: None, ..args }.into_options().map(|_| ())
}

fn guide() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("GUIDE.md");
    std::fs::read_to_string(path).expect("the guide is there")
}

/// Fenced blocks: their info string and their text.
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
