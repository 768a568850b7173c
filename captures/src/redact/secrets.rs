//! The secrets of an exchange while it is redacted, and those that were met before.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use super::names;
use super::policy::Policy;
use super::pseudonym::{Key, is_number_pseudonym, is_pseudonym};

/// Replaces values and remembers which.
pub(super) struct Secrets<'a> {
    key: &'a Key,
    known: &'a Known,
    policy: &'a Policy,
    found: Vec<Vec<u8>>,
    /// How many texts the one at hand is inside of.
    depth: usize,
}

/// Hashes of secrets met before; the older half is forgotten when there are too many.
#[derive(Default)]
pub(super) struct Known {
    recent: HashSet<u128>,
    older: HashSet<u128>,
    /// Pseudonyms made lately: the same cookie comes with every request of a session.
    pseudonyms: RefCell<HashMap<u128, String>>,
}

impl<'a> Secrets<'a> {
    pub(super) fn new(key: &'a Key, known: &'a Known, policy: &'a Policy) -> Secrets<'a> {
        Secrets { key, known, policy, found: Vec::new(), depth: 0 }
    }

    pub(super) fn policy(&self) -> &'a Policy {
        self.policy
    }

    /// Looks into a text that stands in another one; not at all where that goes deeper than anybody nests texts.
    pub(super) fn nested<T>(&mut self, look: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let seen = look(self);
        self.depth -= 1;
        seen
    }

    /// Whether the value of a field of that name is secret.
    pub(super) fn is_secret_field(&self, name: &[u8]) -> bool {
        self.policy.is_secret_field(name)
    }

    /// What stands in place of a secret; `None` when there is nothing to hide.
    pub(super) fn hide(&mut self, secret: &[u8]) -> Option<String> {
        let pseudonym = self.pseudonym(secret)?;
        self.note(secret);
        Some(pseudonym)
    }

    /// The same, and the secret is not looked for elsewhere.
    pub(super) fn pseudonym(&self, secret: &[u8]) -> Option<String> {
        let is_done = secret.is_empty() || is_pseudonym(secret);
        (!is_done).then(|| self.known.pseudonym(secret, self.key))
    }

    /// The same for what is secret on the whole and made of others.
    pub(super) fn found(&mut self, secret: &[u8]) {
        self.note(secret);
    }

    /// The same for the value of a cookie. Those that are just words (`dark`, `en-GB`) are not looked for elsewhere.
    pub(super) fn hide_cookie(&mut self, value: &[u8]) -> Option<String> {
        match is_unguessable(value) {
            true => self.hide(value),
            false => self.pseudonym(value),
        }
    }

    /// The same for a number.
    pub(super) fn hide_number(&mut self, digits: &[u8]) -> Option<String> {
        if is_number_pseudonym(digits) {
            return None;
        }
        self.note(digits);
        Some(self.key.number(digits))
    }

    /// For a value whose name says nothing: hides it if it is a secret met before, or looks like a token.
    pub(super) fn hide_if_known(&mut self, value: &[u8]) -> Option<String> {
        let hidden = names::looks_like_token(value) || self.is_known(value);
        if hidden { self.hide(value) } else { None }
    }

    pub(super) fn is_known(&self, value: &[u8]) -> bool {
        SHORTEST_KNOWN <= value.len() && value.len() <= LONGEST_KNOWN && self.known.contains(value, self.key)
    }

    pub(super) fn into_found(self) -> Vec<Vec<u8>> {
        self.found
    }

    fn note(&mut self, secret: &[u8]) {
        if self.found.len() < MAX_FOUND && !self.found.iter().any(|known| known == secret) {
            self.found.push(secret.to_vec());
        }
    }
}

impl Known {
    pub(super) fn remember(&mut self, secrets: &[Vec<u8>], key: &Key) {
        for secret in secrets.iter().filter(|secret| SHORTEST_KNOWN <= secret.len()) {
            self.recent.insert(key.fingerprint(secret));
            if MAX_KNOWN <= self.recent.len() {
                self.older = std::mem::take(&mut self.recent);
            }
        }
    }

    /// The pseudonym of a secret, made once.
    pub(super) fn pseudonym(&self, secret: &[u8], key: &Key) -> String {
        let mut pseudonyms = self.pseudonyms.borrow_mut();
        if MAX_KNOWN <= pseudonyms.len() {
            pseudonyms.clear();
        }
        // secrets of different lengths in percent-encoding share a fingerprint, not a length
        let place = key.fingerprint(secret) ^ secret.len() as u128;
        pseudonyms.entry(place).or_insert_with(|| key.value(secret).unwrap_or_default()).clone()
    }

    fn contains(&self, value: &[u8], key: &Key) -> bool {
        if self.recent.is_empty() && self.older.is_empty() {
            return false;
        }
        let fingerprint = key.fingerprint(value);
        self.recent.contains(&fingerprint) || self.older.contains(&fingerprint)
    }
}

/// Whether a value is long and mixed enough to be an identifier rather than a word or a number.
fn is_unguessable(value: &[u8]) -> bool {
    let has = |test: fn(&u8) -> bool| value.iter().any(test);
    SHORTEST_KNOWN <= value.len() && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)
        || 16 <= value.len() && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase)
}

/// Shorter values are found by name only: they would meet innocent ones.
const SHORTEST_KNOWN: usize = 8;
const LONGEST_KNOWN: usize = 4096;
/// Per generation; there are two.
const MAX_KNOWN: usize = 1 << 16;
/// URLs in parameters of URLs, JSON in strings of JSON and the like, together: the stack and the time that a text takes both
/// grow with it.
const MAX_DEPTH: usize = 4;
/// Secrets of one exchange that are looked for in its other parts.
const MAX_FOUND: usize = 64;
