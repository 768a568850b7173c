//! From text to rules: what was typed, then what it means, with every mistake on the way.

mod action;
mod codes;
mod delay;
mod file;
mod findings;
mod group;
mod grpc;
mod guard;
mod hook;
mod inline;
mod loader;
mod on;
mod rate;
mod respond;
mod rule;
mod safety;
mod select;
mod sense;
mod shard;
mod table;
mod text;
mod units;
mod when;
mod words;

use std::collections::HashMap;
use std::sync::Arc;

use toml::de::DeTable;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use self::findings::{Findings, Span, help};
use self::text::Text;
use crate::delay::Recorded;
use crate::group::Group;
use crate::limits;
use crate::report::Report;
use crate::rule::{Rule, RuleSet};

pub use loader::Loader;
pub use words::nearest;

/// Longest rule file that is read, in bytes.
pub const MOST_FILE_BYTES: usize = limits::SOURCE_BYTES;
/// Longest body of a made answer, in bytes.
pub const MOST_BODY_BYTES: usize = limits::BODY_BYTES;

/// Reads a rule file. `file` is its name in findings; `loader` reads the files that it names (relative names are the
/// caller's to resolve).
///
/// # Errors
/// Every mistake of the file at once.
pub fn parse(source: &str, file: &str, loader: &Loader<'_>) -> Result<RuleSet, Report> {
    let mut cx = Context::new(Findings::new(source, file), loader);
    if limits::SOURCE_BYTES < source.len() {
        cx.findings.error::<()>(
            "E00",
            0..0,
            help("a rule file of more than 1 MiB", "is this the right file?"),
        );
        return cx.findings.conclude(None::<RuleSet>).map(|(set, _)| set);
    }
    let (document, errors) = DeTable::parse_recoverable(source);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let what = help(format!("not TOML: {}", error.message()), like_toml(error.message()));
        cx.findings.error::<()>("E00", span, what);
        cx.findings.torn = true;
    }
    let set = file::read(document.get_ref(), &mut cx);
    let (mut set, warnings) = cx.findings.conclude(set)?;
    set.warnings = warnings;
    Ok(set)
}

/// The text of a rule file as it was read. A file of more than [`MOST_FILE_BYTES`] may be cut behind them: [`parse`] refuses it.
///
/// # Errors
/// E00 at the first byte that is no UTF-8.
pub fn decode(bytes: Vec<u8>, file: &str) -> Result<String, Report> {
    let is_too_large = MOST_FILE_BYTES < bytes.len();
    let error = match String::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error,
    };
    let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
    if is_too_large {
        return Ok(text);
    }
    // Up to there both are the same, byte for byte.
    let at = error.utf8_error().valid_up_to();
    let mut findings = Findings::new(&text, file);
    let advice = match error.as_bytes() {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "this looks like UTF-16: save the file as UTF-8",
        _ => "save the file as UTF-8",
    };
    findings.error::<()>("E00", at..at, help("a byte that is no UTF-8", advice));
    findings.conclude(None).map(|(text, _)| text)
}

/// Reads a rule of the command line: `GET /api/** delay 200ms 20%`. Its id comes from whom it is about and what it does,
/// not from its rate and window.
///
/// # Errors
/// Every mistake of the text at once.
pub fn parse_inline(rule: &str) -> Result<Rule, Report> {
    let mut cx = Context::new(Findings::new(rule, INLINE), &Loader::NOTHING);
    let read = if limits::SOURCE_BYTES < rule.len() {
        cx.findings.error("E00", 0..0, help("a rule of more than 1 MiB", "write a rule file"))
    } else {
        inline::read(Text::exact(rule, 0), &mut cx)
    };
    cx.findings.conclude(read).map(|(rule, _)| rule)
}

/// The set with more rules behind its own.
pub(crate) fn add_rules(mut set: RuleSet, more: Vec<Rule>) -> Result<RuleSet, Report> {
    let mut clashes = Vec::new();
    for rule in more {
        let mut findings = Findings::new(&rule.id, INLINE);
        if set.by_id(&rule.id).is_some() {
            let what =
                help(format!("the id `{}` is taken", rule.id), "the same rule twice? give one of them up");
            findings.error::<()>("E02", 0..rule.id.len(), what);
        } else if limits::RULES <= set.rules.len() {
            findings.error::<()>("E04", 0..rule.id.len(), help("more than 1000 rules", "split the file"));
        }
        match findings.conclude(Some(())) {
            Ok(_) => {
                set.fingerprint = xxh3_64_with_seed(format!("{rule:?}").as_bytes(), set.fingerprint);
                set.rules.push(rule);
            }
            Err(report) => clashes.extend(report.0),
        }
    }
    if clashes.is_empty() { Ok(set.gated()) } else { Err(Report(clashes)) }
}

/// What to type where a text is no TOML, by what its reader says of it.
fn like_toml(message: &str) -> &'static str {
    if message.contains("duplicate key") {
        "a key stands once in its table, and a table once in the file: take one of the two out"
    } else {
        "write one `key = value` a line, text in double quotes; a rule begins with `[[rule]]`"
    }
}

/// What a parser of a file needs beside the table it reads.
struct Context<'c> {
    findings: Findings<'c>,
    loader: &'c Loader<'c>,
    /// Hash of the files read so far.
    loaded: u64,
    /// Bodies and latencies read so far: rules share them.
    bodies: HashMap<String, Arc<[u8]>>,
    recorded: HashMap<(String, u64), Arc<Recorded>>,
    /// The file's groups; one that is wrong is there too, so that no reference to it is called unknown.
    groups: Vec<Group>,
    /// Names of the file's guards, in order.
    guards: Vec<String>,
    /// Ids of rules and hooks so far, with their places: also of those that are wrong otherwise.
    ids: Vec<(String, Span)>,
    places: Places,
}

/// Where things stand that are compared with each other once all are read; each list is in the order of the set's.
#[derive(Default)]
struct Places {
    rules: Vec<Span>,
    groups: Vec<Span>,
    guards: Vec<Span>,
    max_affected: Span,
}

impl<'c> Context<'c> {
    fn new(findings: Findings<'c>, loader: &'c Loader<'c>) -> Self {
        Self {
            findings,
            loader,
            loaded: 0,
            bodies: HashMap::new(),
            recorded: HashMap::new(),
            groups: Vec::new(),
            guards: Vec::new(),
            ids: Vec::new(),
            places: Places::default(),
        }
    }

    fn fingerprint(&self) -> u64 {
        xxh3_64_with_seed(&self.loaded.to_le_bytes(), xxh3_64(self.findings.source().as_bytes()))
    }
}

/// The name of the command line in findings.
const INLINE: &str = "--fault";
