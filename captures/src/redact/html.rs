//! Secrets in the fields of HTML: `<input name="csrf" value="…">`, `<meta name="csrf-token" content="…">`.

use std::ops::Range;

use super::secrets::Secrets;
use crate::links::html::decoded;

/// Rewrites the values of fields whose name says secret; `None` where there is none.
pub(super) fn rewrite(text: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let mut out: Option<Vec<u8>> = None;
    let (mut done, mut at) = (0, 0);
    while let Some(open) = text[at..].iter().position(|byte| *byte == b'<').map(|n| at + n) {
        at = open + 1;
        let is = |name: &[u8]| {
            let end = at + name.len();
            text.get(at..end).is_some_and(|word| word.eq_ignore_ascii_case(name))
                && text.get(end).is_some_and(|byte| byte.is_ascii_whitespace() || *byte == b'/')
        };
        let Some(name) = FIELDS.iter().find(|name| is(name)) else { continue };
        let Tag { value, secret, end } = tag(text, at + name.len(), secrets);
        at = end;
        let value = if *name == TEXT_AREA { Some(content(text, end)) } else { value };
        let Some(value) = value.filter(|value| secret && !value.is_empty()) else { continue };
        // it comes back in a form without the references
        let plain = String::from_utf8_lossy(&text[value.clone()]);
        if let Some(pseudonym) = secrets.hide(decoded(&plain).as_bytes()) {
            let out = out.get_or_insert_default();
            out.extend_from_slice(&text[done..value.start]);
            out.extend_from_slice(pseudonym.as_bytes());
            done = value.end;
        }
    }
    let mut out = out?;
    out.extend_from_slice(&text[done..]);
    Some(out)
}

/// A tag that was read.
struct Tag {
    /// Where its value stands.
    value: Option<Range<usize>>,
    /// Its name says that the value is secret.
    secret: bool,
    end: usize,
}

/// From behind a tag that ends at `from` to the next one.
fn content(text: &[u8], from: usize) -> Range<usize> {
    let spaces = text[from..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    if text.get(from + spaces) != Some(&b'>') {
        return from..from;
    }
    let start = from + spaces + 1;
    let len = text[start..].iter().position(|byte| *byte == b'<').unwrap_or(text.len() - start);
    start..start + len
}

fn tag(text: &[u8], from: usize, secrets: &Secrets<'_>) -> Tag {
    let (mut value, mut secret) = (None, false);
    let mut at = from;
    while let Some((name, range, end)) = attribute(text, at) {
        let is = |names: &[&[u8]]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
        if is(&[b"name", b"id", b"property"]) {
            secret |= secrets.is_secret_field(&text[range.clone()]);
        } else if is(&[b"type"]) {
            secret |= text[range.clone()].eq_ignore_ascii_case(b"password");
        } else if is(&[b"value", b"content"]) && !range.is_empty() {
            value = Some(range.clone());
        }
        at = end;
    }
    Tag { value, secret, end: at }
}

/// The next attribute of a tag: name, where its value stands, and where it ends. `None` at the end of the tag.
fn attribute(text: &[u8], from: usize) -> Option<(&[u8], Range<usize>, usize)> {
    let count = |at: usize, is: fn(&u8) -> bool| text[at..].iter().take_while(|byte| is(byte)).count();
    let start = from + count(from, |byte| byte.is_ascii_whitespace() || *byte == b'/');
    let name_end = start
        + count(start, |byte| !byte.is_ascii_whitespace() && !matches!(byte, b'=' | b'>' | b'/' | b'<'));
    if name_end == start {
        return None;
    }
    let name = &text[start..name_end];
    let mut at = name_end + count(name_end, u8::is_ascii_whitespace);
    if text.get(at) != Some(&b'=') {
        return Some((name, name_end..name_end, name_end));
    }
    at += 1;
    at += count(at, u8::is_ascii_whitespace);
    let (range, end) = match text.get(at) {
        Some(quote @ (b'"' | b'\'')) => {
            let start = at + 1;
            let len = text[start..].iter().position(|byte| byte == quote).unwrap_or(text.len() - start);
            (start..start + len, (start + len + 1).min(text.len()))
        }
        _ => {
            let len = count(at, |byte| !byte.is_ascii_whitespace() && *byte != b'>');
            (at..at + len, at + len)
        }
    };
    Some((name, range, end))
}

/// Tags that carry a name and a value.
const FIELDS: [&[u8]; 4] = [b"input", b"meta", b"button", TEXT_AREA];
/// Its value stands behind it.
const TEXT_AREA: &[u8] = b"textarea";
