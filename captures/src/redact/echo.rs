//! Secrets of an exchange that stand, verbatim or encoded, where no name gives them away.

use super::forms::{find, percent_encode};
use super::json;
use super::pseudonym::Key;
use super::secrets::Known;

/// What to look for, and what to put in its place; the longest first.
pub(super) struct Echo {
    pairs: Vec<(Vec<u8>, String)>,
}

impl Echo {
    pub(super) fn new(secrets: &[Vec<u8>], known: &Known, key: &Key) -> Echo {
        let mut pairs = Vec::new();
        for secret in secrets.iter().filter(|secret| SHORTEST <= secret.len() && secret.len() <= LONGEST) {
            let pseudonym = known.pseudonym(secret, key);
            if secret
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
            {
                // the same in every encoding
                pairs.push((secret.clone(), pseudonym));
                continue;
            }
            let plain = super::forms::percent_decode(secret);
            let upper = percent_encode(&plain);
            let plus = String::from_utf8_lossy(&upper).replace("%20", "+").into_bytes();
            let lower = lower_escapes(&upper);
            let [named, numbered] = references(&plain);
            let forms = [secret.clone(), json::escape(&plain), upper, lower, plus, named, numbered, plain];
            for form in forms {
                if !pairs.iter().any(|(other, _)| *other == form) {
                    pairs.push((form, pseudonym.clone()));
                }
            }
        }
        pairs.sort_by_key(|(form, _)| std::cmp::Reverse(form.len()));
        Echo { pairs }
    }

    /// Replaces every echo; `None` when there is none.
    pub(super) fn replace(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut out: Option<Vec<u8>> = None;
        for (secret, pseudonym) in &self.pairs {
            if let Some(new) = replace_one(out.as_deref().unwrap_or(text), secret, pseudonym.as_bytes()) {
                out = Some(new);
            }
        }
        out
    }

    /// The same in the query of a target.
    pub(super) fn in_query(&self, target: &mut String) {
        let Some(at) = target.find('?') else { return };
        if let Some(query) = self.replace(&target.as_bytes()[at..]) {
            target.truncate(at);
            target.push_str(&String::from_utf8_lossy(&query));
        }
    }
}

fn replace_one(text: &[u8], secret: &[u8], pseudonym: &[u8]) -> Option<Vec<u8>> {
    let mut out: Option<Vec<u8>> = None;
    let (mut done, mut from) = (0, 0);
    while let Some(at) = find(&text[from..], secret).map(|n| from + n) {
        let end = at + secret.len();
        let is_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        // a short secret inside of a longer word is most likely just a part of that word
        let inside = is_word(at.checked_sub(1).and_then(|n| text.get(n))) || is_word(text.get(end));
        if SHORTEST_ANYWHERE <= secret.len() || !inside {
            let out = out.get_or_insert_default();
            out.extend_from_slice(&text[done..at]);
            out.extend_from_slice(pseudonym);
            done = end;
        }
        from = end;
    }
    let mut out = out?;
    out.extend_from_slice(&text[done..]);
    Some(out)
}

/// A text as pages show it: what HTML could take for its own is written by name, quotes by name or by number.
fn references(plain: &[u8]) -> [Vec<u8>; 2] {
    let written = |double: &[u8], single: &[u8]| {
        let one = |byte: &u8| match byte {
            b'&' => b"&amp;".to_vec(),
            b'<' => b"&lt;".to_vec(),
            b'>' => b"&gt;".to_vec(),
            b'"' => double.to_vec(),
            b'\'' => single.to_vec(),
            other => vec![*other],
        };
        plain.iter().flat_map(one).collect()
    };
    [written(b"&quot;", b"&#39;"), written(b"&#34;", b"&#x27;")]
}

fn lower_escapes(encoded: &[u8]) -> Vec<u8> {
    let mut lower = encoded.to_vec();
    for at in 0..lower.len() {
        if lower[at] == b'%'
            && let Some(digits) = lower.get_mut(at + 1..at + 3)
        {
            digits.make_ascii_lowercase();
        }
    }
    lower
}

/// Shorter secrets are found by name only.
const SHORTEST: usize = 6;
const SHORTEST_ANYWHERE: usize = 12;
const LONGEST: usize = 4096;
