//! From text to rules: what was typed, then what it means, with every mistake on the way.

mod action;
mod delay;
mod file;
mod findings;
mod inline;
mod on;
mod rate;
mod respond;
mod rule;
mod table;
mod text;
mod units;
mod words;

use std::io;

use toml::de::DeTable;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use self::findings::{Findings, help};
use self::text::Text;
use crate::limits;
use crate::report::Report;
use crate::rule::{Rule, RuleSet};

/// Reads a rule file. `file` is its name in findings; `load` reads a `body_file` (relative names are the caller's to
/// resolve).
///
/// # Errors
/// Every mistake of the file at once.
pub fn parse(
    source: &str,
    file: &str,
    load: &dyn Fn(&str) -> io::Result<Vec<u8>>,
) -> Result<RuleSet, Report> {
    let mut cx = Context { findings: Findings::new(source, file), load, loaded: 0 };
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
        cx.findings.error::<()>("E00", span, (format!("not TOML: {}", error.message()), None));
        cx.findings.torn = true;
    }
    let set = file::read(document.get_ref(), &mut cx);
    let (mut set, warnings) = cx.findings.conclude(set)?;
    set.warnings = warnings;
    Ok(set)
}

/// Reads a rule of the command line: `GET /api/** delay 200ms 20%`. Its id comes from whom it is about and what it does,
/// not from its rate and window.
///
/// # Errors
/// Every mistake of the text at once.
pub fn parse_inline(rule: &str) -> Result<Rule, Report> {
    let mut findings = Findings::new(rule, INLINE);
    let read = if limits::SOURCE_BYTES < rule.len() {
        findings.error("E00", 0..0, help("a rule of more than 1 MiB", "write a rule file"))
    } else {
        inline::read(Text::exact(rule, 0), &mut findings)
    };
    findings.conclude(read).map(|(rule, _)| rule)
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
    if !clashes.is_empty() {
        return Err(Report(clashes));
    }
    let warnings = std::mem::take(&mut set.warnings);
    let set = RuleSet::new(set.seed, set.safety, set.rules, set.fingerprint);
    Ok(RuleSet { warnings, ..set })
}

/// What a parser of a file needs beside the table it reads.
struct Context<'c> {
    findings: Findings<'c>,
    load: &'c dyn Fn(&str) -> io::Result<Vec<u8>>,
    /// Hash of the files read so far.
    loaded: u64,
}

impl Context<'_> {
    fn fingerprint(&self) -> u64 {
        xxh3_64_with_seed(&self.loaded.to_le_bytes(), xxh3_64(self.findings.source().as_bytes()))
    }
}

/// What to say about a right word whose time has not come.
fn not_built(word: &str) -> (String, Option<String>) {
    help(format!("`{word}` is not built yet (issue 4)"), "take it out for now; it would be ignored otherwise")
}

/// The name of the command line in findings.
const INLINE: &str = "--fault";
