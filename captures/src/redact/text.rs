//! Secrets in free text: `password: "…"`, `token=…`, `<Password>…</Password>`. Used where no format is known, and
//! for texts inside of JSON (GraphQL among them).

use std::ops::Range;

use super::forms;
use super::secrets::Secrets;

/// Rewrites what is assigned to names that say secret; `None` when there is none.
pub(super) fn rewrite(text: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    rewrite_as(text, secrets, false)
}

/// The same where a colon alone assigns nothing: scopes are written `token:read`.
pub(super) fn rewrite_strict(text: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    rewrite_as(text, secrets, true)
}

fn rewrite_as(text: &[u8], secrets: &mut Secrets<'_>, strict: bool) -> Option<Vec<u8>> {
    let mut out: Option<Vec<u8>> = None;
    let mut done = 0;
    let mut at = 0;
    while at < text.len() {
        let len = text[at..].iter().take_while(|byte| is_name(**byte)).count();
        if len == 0 {
            at += 1;
            continue;
        }
        let name = at..at + len;
        at += len;
        if len < 3 {
            continue;
        }
        // the dots at its end are those of a sentence
        let word = without_dots(&text[name.clone()]);
        let value = if is_mixed(word) && secrets.is_known(word) {
            name.start..name.start + word.len()
        } else if secrets.is_secret_field(&text[name.clone()])
            && let Some(value) = value(text, &name, strict)
        {
            value
        } else {
            continue;
        };
        if let Some(pseudonym) = secrets.hide(&text[value.clone()]) {
            let out = out.get_or_insert_default();
            out.extend_from_slice(&text[done..value.start]);
            out.extend_from_slice(pseudonym.as_bytes());
            done = value.end;
        }
        at = at.max(value.end);
    }
    let mut out = out?;
    out.extend_from_slice(&text[done..]);
    Some(out)
}

fn without_dots(word: &[u8]) -> &[u8] {
    let dots = word.iter().rev().take_while(|byte| **byte == b'.').count();
    &word[..word.len() - dots]
}

/// Whether a word is a value rather than a word: those that were met as secrets are hidden wherever they stand.
fn is_mixed(word: &[u8]) -> bool {
    SHORTEST_VALUE <= word.len()
        && word.iter().any(u8::is_ascii_digit)
        && word.iter().any(u8::is_ascii_alphabetic)
}

/// Whether a name stands anywhere in it that says secret.
pub(super) fn names_secret(bytes: &[u8], secrets: &Secrets<'_>) -> bool {
    bytes.split(|byte| !is_name(*byte)).any(|word| 3 <= word.len() && secrets.is_secret_field(word))
}

/// Where the value of that name stands, which is not empty.
fn value(text: &[u8], name: &Range<usize>, strict: bool) -> Option<Range<usize>> {
    let near = &text[name.start.saturating_sub(LONGEST_PREFIX)..name.start];
    let before = near.iter().rfind(|byte| !is_name(**byte) && **byte != b':');
    let value = if before == Some(&b'<') {
        let end = name.end + text[name.end..].iter().position(|byte| matches!(byte, b'<' | b'>'))?;
        if text[end] == b'<' {
            return None;
        }
        let start = end + 1;
        element(text, start)
    } else if before == Some(&b'>') && text[name.end..].starts_with(b"</") {
        element(text, behind_key(text, name.end)?)
    } else {
        assigned(text, name, strict)?
    };
    (!value.is_empty()).then_some(value)
}

/// The text of an element of XML that begins at `start`.
fn element(text: &[u8], start: usize) -> Range<usize> {
    let (start, end) = match text[start..].starts_with(CDATA) {
        true => (start + CDATA.len(), forms::find(&text[start..], b"]]>").map(|n| start + n)),
        false => (start, text[start..].iter().position(|byte| *byte == b'<').map(|n| start + n)),
    };
    start..end.unwrap_or(text.len())
}

/// `<key>password</key> <string>…`, `<name>password</name><value><string>…`: where the text of the next element begins.
fn behind_key(text: &[u8], end: usize) -> Option<usize> {
    let mut at = end;
    for tag in 0..=MOST_TAGS {
        at += text[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let is_first = tag == 0;
        match &text[at..] {
            [b'<', b'/', rest @ ..] if is_first && KEYS.iter().any(|key| rest.starts_with(key)) => {}
            [b'<', b'/', ..] => return None,
            rest if rest.starts_with(CDATA) => return Some(at),
            [b'<', ..] if !is_first => {}
            _ => return (1 < tag).then_some(at),
        }
        at += text[at..].iter().position(|byte| *byte == b'>')? + 1;
        if text[..at].ends_with(b"/>") {
            return None;
        }
    }
    None
}

/// `password: "…"`, `token=…`; also where quotes are escaped, or references as in the attributes of a page.
fn assigned(text: &[u8], name: &Range<usize>, strict: bool) -> Option<Range<usize>> {
    let mut at = name.end;
    at += quote_reference(text, at).map_or(0, <[u8]>::len);
    at += text[at..].iter().take_while(|byte| matches!(byte, b'"' | b'\'' | b'\\' | b' ')).count();
    let mark = *text.get(at).filter(|byte| matches!(byte, b':' | b'='))?;
    at += 1;
    at += text[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\\')).count();
    let quote = text.get(at).copied().filter(|byte| matches!(byte, b'"' | b'\''));
    let long = quote_reference(text, at).or_else(|| text[at..].starts_with(BLOCK).then_some(BLOCK));
    if let Some(long) = long {
        let start = at + long.len();
        let end = forms::find(&text[start..], long).map_or(text.len(), |n| start + n);
        return Some(start..end);
    }
    // before the value is measured: its end may be far away, and the next name near
    if strict && mark == b':' && quote.is_none() {
        return None;
    }
    let start = at + usize::from(quote.is_some());
    let is_auth = text[name.clone()].windows(4).any(|part| part.eq_ignore_ascii_case(b"auth"));
    let start = if is_auth { behind_scheme(text, start) } else { start };
    // what begins with such a mark is a variable or a structure, not a value
    if matches!(text.get(start), Some(b'$' | b'{' | b'[')) {
        return None;
    }
    let is_end = |byte: &u8| match quote {
        Some(quote) => *byte == quote || *byte == b'\\',
        None => {
            byte.is_ascii_whitespace()
                || matches!(byte, b'&' | b',' | b';' | b'<' | b'}' | b')' | b'"' | b'\'')
        }
    };
    let len = text[start..].iter().position(is_end).unwrap_or(text.len() - start);
    let is_word = quote.is_none() && WORDS.contains(&&text[start..start + len]);
    (!is_word).then_some(start..start + len)
}

/// A quote as attributes of a page have it.
fn quote_reference(text: &[u8], at: usize) -> Option<&'static [u8]> {
    QUOTES.into_iter().find(|quote| text[at..].starts_with(quote))
}

/// `Authorization: Bearer …`: the secret is what follows the scheme.
fn behind_scheme(text: &[u8], start: usize) -> usize {
    let len = text[start..].iter().take(LONGEST_SCHEME + 1).position(|byte| *byte == b' ');
    let is_scheme = len.is_some_and(|len| super::headers::is_scheme(&text[start..start + len]));
    let spaces = |at: usize| text[at..].iter().take_while(|byte| **byte == b' ').count();
    match len {
        Some(len) if is_scheme => start + len + spaces(start + len),
        _ => start,
    }
}

const QUOTES: [&[u8]; 4] = [b"&quot;", b"&#34;", b"&#39;", b"&#x27;"];
const CDATA: &[u8] = b"<![CDATA[";
/// The quotes of a block string of GraphQL, and of many languages.
const BLOCK: &[u8] = b"\"\"\"";
/// Elements that have a name, whose value stands in the next one.
const KEYS: [&[u8]; 2] = [b"key>", b"name>"];
/// Between a name and its value: the end of one element and the beginning of others.
const MOST_TAGS: usize = 4;
const SHORTEST_VALUE: usize = 12;
/// Values of JSON and of scripts that are no texts.
const WORDS: [&[u8]; 4] = [b"null", b"true", b"false", b"undefined"];
/// So far before a name its element begins, if it is the name of one: prefixes of name spaces are short.
const LONGEST_PREFIX: usize = 128;
/// Names of schemes are short.
const LONGEST_SCHEME: usize = 24;

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}
