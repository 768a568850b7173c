//! Which exchanges a rule is about: the `on` of the language, compiled.
//!
//! Nothing is allocated and no regular expression runs per request. A [`Gates`] table, one small entry a rule,
//! refuses most rules by method and the first bytes of the path before their matcher is looked at.

mod host;
mod method;
mod path;

pub(crate) use host::Host;
pub(crate) use method::{KNOWN as KNOWN_METHODS, Methods};
pub(crate) use path::Template;

use crate::decide::Facts;

/// A conjunction: all that is said must hold; an empty matcher matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matcher {
    pub(crate) methods: Methods,
    pub(crate) path: Option<Template>,
    pub(crate) host: Option<Host>,
    pub(crate) headers: Vec<HeaderTest>,
    pub(crate) edge: Option<String>,
}

/// A header that must be there, and perhaps its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeaderTest {
    /// Lower case.
    pub(crate) name: String,
    /// Exact, case-sensitive; `None`: any value.
    pub(crate) value: Option<String>,
}

impl Matcher {
    /// Whether the exchange is meant.
    #[must_use]
    pub fn matches(&self, facts: &Facts<'_>) -> bool {
        self.methods.contains(facts.method)
            && self.path.as_ref().is_none_or(|path| path.matches(facts.path))
            && self.edge.as_ref().is_none_or(|edge| edge == facts.edge)
            && self.host.as_ref().is_none_or(|host| host.matches(facts.authority))
            && self.headers.iter().all(|header| header.holds(facts))
    }

    /// Whether every exchange that `other` matches is matched too. Errs on the side of no.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.methods.covers(other.methods)
            && covers(self.path.as_ref(), other.path.as_ref(), Template::covers)
            && covers(self.edge.as_ref(), other.edge.as_ref(), String::eq)
            && covers(self.host.as_ref(), other.host.as_ref(), Host::eq)
            && self.headers.iter().all(|header| other.headers.contains(header))
    }

    /// The matcher in words, for [`crate::Rule::explain`].
    pub(crate) fn describe(&self) -> String {
        let mut words = vec![self.methods.describe()];
        words.push(self.path.as_ref().map_or("any path".to_owned(), |path| path.text().to_owned()));
        if let Some(host) = &self.host {
            words.push(format!("of host {}", host.describe()));
        }
        if let Some(edge) = &self.edge {
            words.push(format!("on edge {edge}"));
        }
        for header in &self.headers {
            words.push(match &header.value {
                Some(value) => format!("with header {} = {value}", header.name),
                None => format!("with header {}", header.name),
            });
        }
        words.join(" ")
    }
}

/// The first look at every rule, laid out so that a hundred of them fit in a few cache lines.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gates(Vec<Gate>);

impl Gates {
    pub(crate) fn new<'a>(matchers: impl Iterator<Item = &'a Matcher>) -> Self {
        Self(matchers.map(Gate::new).collect())
    }

    /// Calls `visit` with the place of each rule that may match, in order.
    pub(crate) fn survivors(&self, facts: &Facts<'_>, mut visit: impl FnMut(usize)) {
        let method = Methods::bit(facts.method);
        let head = head(facts.path);
        for (idx, gate) in self.0.iter().enumerate() {
            if gate.methods & method != 0 && head & gate.mask == gate.head {
                visit(idx);
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Gate {
    methods: u32,
    /// The first bytes of every path that can match, and which of them are known.
    head: u128,
    mask: u128,
}

impl Gate {
    fn new(matcher: &Matcher) -> Self {
        let prefix = matcher.path.as_ref().map_or("", Template::prefix);
        let known = prefix.len().min(HEAD_BYTES);
        // A shift by the full width would overflow: that is the case of no known byte.
        let mask = u128::MAX.checked_shl(8 * (HEAD_BYTES - known) as u32).unwrap_or(0);
        Self { methods: matcher.methods.bits(), head: head(prefix) & mask, mask }
    }
}

impl HeaderTest {
    fn holds(&self, facts: &Facts<'_>) -> bool {
        match ((facts.header)(&self.name), &self.value) {
            (Some(found), Some(wanted)) => found == wanted,
            (found, None) => found.is_some(),
            (None, Some(_)) => false,
        }
    }
}

/// Nothing asked for covers everything; a demand covers only a demand that is as narrow.
fn covers<T>(wide: Option<&T>, narrow: Option<&T>, holds: impl Fn(&T, &T) -> bool) -> bool {
    match (wide, narrow) {
        (None, _) => true,
        (Some(wide), Some(narrow)) => holds(wide, narrow),
        (Some(_), None) => false,
    }
}

/// The first bytes of a path as one number, the first byte on top, zeros where it is shorter.
fn head(path: &str) -> u128 {
    let bytes = path.as_bytes();
    if let Some(full) = bytes.first_chunk::<HEAD_BYTES>() {
        return u128::from_be_bytes(*full);
    }
    let mut padded = [0; HEAD_BYTES];
    for (to, from) in padded.iter_mut().zip(bytes) {
        *to = *from;
    }
    u128::from_be_bytes(padded)
}

const HEAD_BYTES: usize = size_of::<u128>();
