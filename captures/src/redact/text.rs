//! Secrets in free text: `password: "…"`, `token=…`, `<Password>…</Password>`. Used where no format is known, and
//! for texts inside of JSON (GraphQL among them).

use super::secrets::Secrets;

/// Rewrites what is assigned to names that say secret; `None` when there is none.
pub(super) fn rewrite(text: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
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
        if len < 3 || !secrets.is_secret_field(&text[name.clone()]) {
            continue;
        }
        let Some(value) = assigned(text, &name) else { continue };
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

/// Where the value of that name stands.
fn assigned(text: &[u8], name: &std::ops::Range<usize>) -> Option<std::ops::Range<usize>> {
    let before = text[..name.start].iter().rposition(|byte| !is_name(*byte) && *byte != b':');
    if before.is_some_and(|at| text[at] == b'<') {
        let start = name.end + text[name.end..].iter().position(|byte| *byte == b'>')? + 1;
        let len = text[start..].iter().position(|byte| *byte == b'<').unwrap_or(text.len() - start);
        return (len != 0).then_some(start..start + len);
    }
    let mut at = name.end;
    at += text[at..].iter().take_while(|byte| matches!(byte, b'"' | b'\'' | b'\\' | b' ')).count();
    if !matches!(text.get(at), Some(b':' | b'=')) {
        return None;
    }
    at += 1;
    at += text[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\\')).count();
    let quote = text.get(at).copied().filter(|byte| matches!(byte, b'"' | b'\''));
    let start = at + usize::from(quote.is_some());
    let is_auth = text[name.clone()].windows(4).any(|part| part.eq_ignore_ascii_case(b"auth"));
    let start = if is_auth { behind_scheme(text, start) } else { start };
    let is_end = |byte: &u8| match quote {
        Some(quote) => *byte == quote || *byte == b'\\',
        None => {
            byte.is_ascii_whitespace()
                || matches!(byte, b'&' | b',' | b';' | b'<' | b'}' | b')' | b'"' | b'\'')
        }
    };
    let len = text[start..].iter().position(is_end).unwrap_or(text.len() - start);
    // what begins with such a mark is a variable or a structure, not a value
    let is_value = !matches!(text.get(start), Some(b'$' | b'{' | b'['));
    (len != 0 && is_value).then_some(start..start + len)
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

/// Names of schemes are short.
const LONGEST_SCHEME: usize = 24;

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}
