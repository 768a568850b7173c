//! What is redacted beside what always is, and what is not: a TOML file of the user's.
//!
//! ```toml
//! names    = ["customer_number"]        # fields, parameters, headers and cookies of these names are secret too
//! allow    = ["page_token", "theme"]    # of these they are not, whatever the built-in list says
//! patterns = ['ACME-(\d{8})']           # what matches is replaced wherever it stands; the first group, if there is one
//! json     = ["customer.taxId", "items[*].serial"]    # values in JSON documents, with all that is in them
//! emails   = true                       # false: e-mail addresses stay
//! cards    = true                       # false: card numbers stay
//! ```

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path as FilePath;

use regex::bytes::Regex;
use serde::Deserialize;
use toml::Spanned;

use super::names;
use crate::error::Error;

/// What is redacted.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Further names that say secret, in their plain form.
    names: HashSet<String>,
    /// Names that do not.
    allow: HashSet<String>,
    pub(super) patterns: Vec<Pattern>,
    pub(super) paths: Vec<Path>,
    pub(super) emails: bool,
    pub(super) cards: bool,
    name: String,
}

/// A mistake in a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct PolicyError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong, and what could stand there.
    pub message: String,
}

/// A pattern of the user's.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Regex);

/// The way to a value in a JSON document. Arrays are passed through: the keys are what counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Any,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    names: Vec<Spanned<String>>,
    allow: Vec<Spanned<String>>,
    patterns: Vec<Spanned<String>>,
    json: Vec<Spanned<String>>,
    emails: bool,
    cards: bool,
}

impl Default for Raw {
    fn default() -> Raw {
        let none = Vec::new;
        Raw { names: none(), allow: none(), patterns: none(), json: none(), emails: true, cards: true }
    }
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            names: HashSet::new(),
            allow: HashSet::new(),
            patterns: Vec::new(),
            paths: Vec::new(),
            emails: true,
            cards: true,
            name: super::POLICY.to_owned(),
        }
    }
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// The first mistake, with its place: no TOML, an unknown key, a name without letters, a pattern that is none.
    pub fn parse(text: &str) -> Result<Policy, PolicyError> {
        let at = |range: Option<Range<usize>>, message: String| mistake(text, range, message);
        let raw: Raw = toml::from_str(text).map_err(|error| at(error.span(), error.message().to_owned()))?;
        let plain = |list: &[Spanned<String>]| {
            list.iter()
                .map(|name| match names::plain(name.get_ref().as_bytes()) {
                    Some(plain) if !plain.is_empty() => Ok(plain),
                    _ => Err(at(Some(name.span()), format!("`{}` is no name", name.get_ref()))),
                })
                .collect::<Result<HashSet<_>, _>>()
        };
        let pattern = |text: &Spanned<String>| match Regex::new(text.get_ref()) {
            Ok(regex) if regex.is_match(b"") => {
                Err(at(Some(text.span()), "this pattern matches the empty text, so everywhere".to_owned()))
            }
            Ok(regex) => Ok(Pattern(regex)),
            Err(error) => Err(at(Some(text.span()), error.to_string())),
        };
        let path = |text: &Spanned<String>| {
            let wrong = || {
                at(
                    Some(text.span()),
                    format!("`{}` is no path: write for example customer.taxId", text.get_ref()),
                )
            };
            Path::parse(text.get_ref()).ok_or_else(wrong)
        };
        Ok(Policy {
            names: plain(&raw.names)?,
            allow: plain(&raw.allow)?,
            patterns: raw.patterns.iter().map(pattern).collect::<Result<_, _>>()?,
            paths: raw.json.iter().map(path).collect::<Result<_, _>>()?,
            emails: raw.emails,
            cards: raw.cards,
            name: format!("{}+{:08x}", super::POLICY, crc32c::crc32c(text.as_bytes())),
        })
    }

    /// Reads a policy from a file.
    ///
    /// # Errors
    /// The file cannot be read, or the first mistake in it, with its place.
    pub fn read(path: &FilePath) -> Result<Policy, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        Policy::parse(&text).map_err(|error| Error::Invalid(format!("{}: {error}", path.display())))
    }

    /// Its name in the head of a capture; that of a policy of the user's has a check sum of its text behind a `+`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the value of a field of that name is secret.
    pub(super) fn is_secret_field(&self, name: &[u8]) -> bool {
        self.said(name).unwrap_or_else(|| names::is_secret_field(name))
    }

    /// Whether the whole value of such a header is secret.
    pub(super) fn is_secret_header(&self, name: &str) -> bool {
        self.said(name.as_bytes()).unwrap_or_else(|| names::is_secret_header(name))
    }

    /// What the user says of a name, if anything.
    pub(super) fn said(&self, name: &[u8]) -> Option<bool> {
        if self.names.is_empty() && self.allow.is_empty() {
            return None;
        }
        let plain = names::plain(name)?;
        let listed = |list: &HashSet<String>| list.contains(&plain);
        if listed(&self.allow) { Some(false) } else { listed(&self.names).then_some(true) }
    }
}

impl Pattern {
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<Range<usize>> {
        if text.len() < from {
            return None;
        }
        if self.0.captures_len() == 1 {
            return self.0.find_at(text, from).map(|found| found.range());
        }
        let found = self.0.captures_at(text, from)?;
        found.get(1).or(found.get(0)).map(|found| found.range())
    }
}

impl Path {
    fn parse(text: &str) -> Option<Path> {
        let text = text.strip_prefix("$.").unwrap_or(text);
        let step = |part: &str| {
            let key = part.split('[').next().unwrap_or_default();
            match key {
                "" => None,
                "*" => Some(Step::Any),
                key => Some(Step::Key(key.to_owned())),
            }
        };
        text.split('.').map(step).collect::<Option<Vec<_>>>().map(Path)
    }

    /// Whether it leads along these keys, from the root of a document on.
    pub(super) fn leads_along<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> bool {
        let mut keys = keys;
        let along = self.0.iter().all(|step| match (step, keys.next()) {
            (Step::Any, Some(_)) => true,
            (Step::Key(key), Some(met)) => key.as_bytes() == met,
            (_, None) => false,
        });
        along && keys.next().is_none()
    }
}

fn mistake(text: &str, range: Option<Range<usize>>, message: String) -> PolicyError {
    let before = text.get(..range.map_or(0, |range| range.start)).unwrap_or_default();
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    PolicyError { line, column, message: message.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named_with_their_place() {
        let check = |text: &str, place: (usize, usize), part: &str| {
            let error = Policy::parse(text).expect_err(text);
            assert_eq!((error.line, error.column), place, "{text}: {error}");
            assert!(error.message.contains(part), "{text}: {error}");
        };
        check("emails = true\nnmaes = ['x']\n", (2, 1), "nmaes");
        check("names = [\"a\", \"...\"]\n", (1, 15), "no name");
        check("\npatterns = ['a', '(']", (2, 18), "unclosed group");
        check("patterns = ['x*']", (1, 13), "everywhere");
        check("json = ['a..b']", (1, 9), "customer.taxId");
        check("names = 7", (1, 9), "sequence");
        check("names = [", (1, 10), "");
        assert_eq!(Policy::parse("").map(|policy| policy.emails && policy.cards), Ok(true));
    }

    #[test]
    fn names_are_compared_as_the_built_in_ones_are() {
        let policy =
            Policy::parse("names = ['Customer-Number']\nallow = ['page_token', 'pin']").expect("a policy");
        assert!(policy.is_secret_field(b"customer_number") && policy.is_secret_field(b"password"));
        assert!(!policy.is_secret_field(b"PIN") && policy.is_secret_header("X-Api-Key"));
        assert_ne!(policy.name(), Policy::default().name());
    }

    #[test]
    fn paths_lead_through_arrays() {
        let path = Path::parse("$.items[*].*.serial").expect("a path");
        let leads = |keys: &[&str]| path.leads_along(keys.iter().map(|key| key.as_bytes()));
        assert!(leads(&["items", "a", "serial"]) && leads(&["items", "b", "serial"]));
        assert!(
            !leads(&["items", "a"])
                && !leads(&["items", "a", "serial", "x"])
                && !leads(&["item", "a", "serial"])
        );
    }
}
