//! Secrets in `name=value&…`, percent-encoded or not, and in multipart forms.

use super::secrets::Secrets;
use super::{bodies, json, shapes};

/// Rewrites form fields or query parameters; `None` when nothing is to be hidden.
pub(super) fn rewrite(text: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let mut changed = false;
    let fields: Vec<Vec<u8>> = text
        .split(|byte| *byte == b'&')
        .map(|field| {
            let new = pair(field, secrets);
            changed |= new.is_some();
            new.unwrap_or_else(|| field.to_vec())
        })
        .collect();
    changed.then(|| fields.join(&b'&'))
}

fn pair(field: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let (name, Some(value)) = split_pair(field) else { return None };
    let plain = form_decode(value);
    let new = match secrets.is_secret_field(&form_decode(name)) {
        true => secrets.hide(&plain)?.into_bytes(),
        false => match secrets.hide_if_known(&plain) {
            Some(pseudonym) => pseudonym.into_bytes(),
            None => unnamed(&plain, secrets)?,
        },
    };
    Some([name, b"=", &percent_encode(&new)].concat())
}

/// The value of a field whose name says nothing.
fn unnamed(plain: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let json = json::rewrite_embedded(plain, secrets);
    shapes::rewrite(json.as_deref().unwrap_or(plain), secrets).or(json)
}

/// Rewrites the fields of a multipart form, and files that are text.
pub(super) fn rewrite_multipart(body: &[u8], boundary: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let delimiter = [b"--", boundary].concat();
    let mut out = Vec::with_capacity(body.len());
    let mut changed = false;
    let mut rest = body;
    while let Some(at) = find(rest, &delimiter) {
        let (before, part) = rest.split_at(at + delimiter.len());
        out.extend_from_slice(before);
        let end = find(part, &delimiter).unwrap_or(part.len());
        match multipart_field(&part[..end], secrets) {
            Some(new) => {
                changed = true;
                out.extend_from_slice(&new);
            }
            None => out.extend_from_slice(&part[..end]),
        }
        rest = &part[end..];
    }
    out.extend_from_slice(rest);
    changed.then_some(out)
}

/// One part, from behind its delimiter to the next one.
fn multipart_field(part: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let (gap, blank) = match (find(part, b"\r\n\r\n"), find(part, b"\n\n")) {
        (Some(at), _) => (at, 4),
        (None, Some(at)) => (at, 2),
        (None, None) => return None,
    };
    let (head, content) = part.split_at(gap + blank);
    let lower = head.to_ascii_lowercase();
    let end = content.len() - trailing_newline(content);
    let (content, newline) = content.split_at(end);
    if find(&lower, b"filename").is_some() {
        let kind = parameter(&lower, b"content-type:").unwrap_or_default();
        let kind = String::from_utf8_lossy(kind.trim_ascii()).into_owned();
        let is_text = !kind.starts_with("multipart/") && std::str::from_utf8(content).is_ok();
        let new = if is_text { bodies::rewrite_plain(content, &kind, secrets)? } else { return None };
        return Some([head, &new, newline].concat());
    }
    let name = parameter(&lower, b"name=")?;
    let new = match secrets.is_secret_field(name) {
        true => secrets.hide(content)?.into_bytes(),
        false => match secrets.hide_if_known(content) {
            Some(pseudonym) => pseudonym.into_bytes(),
            None => unnamed(content, secrets)?,
        },
    };
    Some([head, &new, newline].concat())
}

/// The value of a header parameter, without quotes.
pub(super) fn parameter<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = head[find(head, name)? + name.len()..].trim_ascii_start();
    match rest.strip_prefix(b"\"") {
        Some(quoted) => quoted.split(|byte| *byte == b'"').next(),
        None => rest.split(|byte| matches!(byte, b';' | b'\r' | b'\n' | b' ')).next(),
    }
}

/// Name and, if there is an equals sign, value.
pub(super) fn split_pair(field: &[u8]) -> (&[u8], Option<&[u8]>) {
    match field.iter().position(|byte| *byte == b'=') {
        Some(at) => (&field[..at], Some(&field[at + 1..])),
        None => (field, None),
    }
}

/// Undoes percent-encoding; what is not well encoded stays.
pub(crate) fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first() {
        let decoded = match (byte, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        out.push(decoded.unwrap_or(*byte));
        rest = if decoded.is_some() { &tail[2..] } else { tail };
    }
    out
}

/// The same, with `+` for a space.
pub(crate) fn form_decode(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced)
}

/// Encodes all but the unreserved characters.
pub(crate) fn percent_encode(text: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(text.len() * 2);
    for byte in text {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(*byte),
            _ => out.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]),
        }
    }
    out
}

/// Where `needle` first stands.
pub(super) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|byte| *byte == first).map(|n| from + n) {
        if text[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

fn trailing_newline(content: &[u8]) -> usize {
    match content {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}
