//! Secrets that show by their shape what they are, wherever they stand: tokens, card numbers, e-mail addresses, and what the
//! user's own patterns describe.

use std::ops::Range;

use super::secrets::Secrets;
use super::tokens::{self, is_part};
use super::{cards, emails, names, pseudonym};

/// Rewrites what a text shows; `None` where that is nothing.
pub(super) fn rewrite(text: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let mut out = replace(text, secrets, next_shape);
    for at in 0..secrets.policy().patterns.len() {
        let from = out.as_deref().unwrap_or(text);
        let next = |text: &[u8], mut from: usize, secrets: &Secrets<'_>| {
            loop {
                let found = secrets.policy().patterns[at].find(text, from)?;
                // a pattern may match letters that a pseudonym has
                let Some(end) = pseudonym::end_over(text, &found) else { return Some((found, true)) };
                from = end;
            }
        };
        out = replace(from, secrets, next).or(out);
    }
    out
}

/// The same for the name of a field: a document may have addresses where others have names.
pub(super) fn name(name: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let may_be_one = LONG_NAME <= name.len() || name.contains(&b'@');
    may_be_one.then(|| rewrite(name, secrets)).flatten()
}

/// The same for tokens only, which are none by chance among bytes that are no text.
pub(super) fn tokens(bytes: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    replace(bytes, secrets, |bytes, from, _| (from..bytes.len()).find_map(|at| token_at(bytes, at)))
}

/// Whether a number of JSON is that of a card.
pub(super) fn is_card(number: &[u8], secrets: &Secrets<'_>) -> bool {
    secrets.policy().cards && cards::at(number, 0).is_some_and(|range| range.len() == number.len())
}

fn replace(
    text: &[u8],
    secrets: &mut Secrets<'_>,
    next: impl Fn(&[u8], usize, &Secrets<'_>) -> Option<(Range<usize>, bool)>,
) -> Option<Vec<u8>> {
    let mut out: Option<Vec<u8>> = None;
    let (mut done, mut from) = (0, 0);
    while let Some((found, is_noted)) = next(text, from, secrets) {
        let pseudonym = match is_noted {
            true => secrets.hide(&text[found.clone()]),
            // such are found wherever they stand: nobody need look for them
            false => secrets.pseudonym(&text[found.clone()]),
        };
        if let Some(pseudonym) = pseudonym {
            let out = out.get_or_insert_default();
            out.extend_from_slice(&text[done..found.start]);
            out.extend_from_slice(pseudonym.as_bytes());
            done = found.end;
        }
        from = found.end.max(from + 1);
    }
    let mut out = out?;
    out.extend_from_slice(&text[done..]);
    Some(out)
}

/// The next place from `from` on that shows what it is, and whether what stands there is to be looked for elsewhere.
fn next_shape(text: &[u8], from: usize, secrets: &Secrets<'_>) -> Option<(Range<usize>, bool)> {
    let policy = secrets.policy();
    (from..text.len()).find_map(|at| match text[at] {
        b'@' if policy.emails => emails::around(text, from, at).map(|found| (found, false)),
        b'0'..=b'9' if policy.cards => cards::at(text, at).map(|found| (found, false)),
        _ => token_at(text, at),
    })
}

/// A token that begins there.
#[inline]
fn token_at(text: &[u8], at: usize) -> Option<(Range<usize>, bool)> {
    let begins = || at.checked_sub(1).is_none_or(|before| !is_part(text[before]));
    let found = match text[at] {
        b'e' if text[at..].starts_with(b"eyJ") && begins() => token(text, at),
        byte if tokens::may_begin(byte) && begins() => tokens::at(text, at),
        _ => None,
    };
    found.map(|found| (found, true))
}

fn token(text: &[u8], at: usize) -> Option<Range<usize>> {
    let word = tokens::word(text, at);
    names::looks_like_token(&text[word.clone()]).then_some(word)
}

/// Shorter names hold no card number and no token.
const LONG_NAME: usize = 13;
