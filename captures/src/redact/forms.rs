//! Secrets in `name=value&…`, percent-encoded or not, and in multipart forms.

use super::secrets::Secrets;
use super::{bodies, json, shapes, text, urls};
use crate::multipart;

/// Rewrites form fields or query parameters; `None` when nothing is to be hidden.
pub(super) fn rewrite(text: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let is_login = text.starts_with(b"code=") || find(text, b"&code=").is_some();
    let is_login =
        is_login && text.split(|byte| *byte == b'&').any(|field| BESIDE_CODE.contains(&split_pair(field).0));
    joined(text, b'&', |field| {
        let (name, value) = split_pair(field);
        let is_code = is_login && name == b"code" && value.is_some_and(|value| SHORTEST_CODE <= value.len());
        let is_secret = is_code || secrets.is_secret_field(&form_decode(name));
        let is_several =
            |value: &[u8]| value.contains(&b';') && value.split(|byte| *byte == b';').skip(1).all(is_pair);
        match value {
            // the old way to write several
            Some(value) if !is_secret && is_several(value) => {
                joined(field, b';', |field| pair(field, false, secrets))
            }
            _ => pair(field, is_secret, secrets),
        }
    })
}

/// Rewrites what stands between separators; `None` when nothing of it changes.
fn joined(text: &[u8], separator: u8, mut rewrite: impl FnMut(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut changed = false;
    let fields: Vec<Vec<u8>> = text
        .split(|byte| *byte == separator)
        .map(|field| {
            let new = rewrite(field);
            changed |= new.is_some();
            new.unwrap_or_else(|| field.to_vec())
        })
        .collect();
    changed.then(|| fields.join(&separator))
}

fn is_pair(field: &[u8]) -> bool {
    1 < field.len() && split_pair(field).1.is_some()
}

fn pair(field: &[u8], is_secret: bool, secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let (name, Some(value)) = split_pair(field) else {
        return unnamed(&form_decode(field), secrets).map(|new| percent_encode(&new));
    };
    let plain_name = form_decode(name);
    let new_name = shapes::name(&plain_name, secrets).map(|new| percent_encode(&new));
    let plain = form_decode(value);
    let new = match is_secret || secrets.is_secret_field(&plain_name) {
        true => secrets.hide(&plain).map(String::into_bytes),
        false => match secrets.hide_if_known(&plain) {
            Some(pseudonym) => Some(pseudonym.into_bytes()),
            None => unnamed(&plain, secrets),
        },
    };
    let new = new.map(|new| percent_encode(&new));
    if new.is_none() && new_name.is_none() {
        return None;
    }
    Some([new_name.as_deref().unwrap_or(name), b"=", new.as_deref().unwrap_or(value)].concat())
}

/// The value of a field whose name says nothing: a document, a URL, a query of GraphQL, or any text.
fn unnamed(plain: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let new = secrets.nested(|secrets| {
        let json = json::rewrite_embedded(plain, secrets);
        match plain.iter().any(|byte| matches!(byte, b'?' | b'#' | b'=' | b':' | b'%')) {
            true => inner(json.as_deref().unwrap_or(plain), secrets).or(json),
            false => json,
        }
    });
    shapes::rewrite(new.as_deref().unwrap_or(plain), secrets).or(new)
}

/// What is said within a value: parameters of a URL, assignments, or either encoded once more.
fn inner(plain: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let urls = urls::rewrite_bytes(plain, secrets);
    let new = text::rewrite_strict(urls.as_deref().unwrap_or(plain), secrets).or(urls);
    let decoded = percent_decode(plain);
    if new.is_some() || decoded == plain {
        return new;
    }
    unnamed(&decoded, secrets).map(|new| percent_encode(&new))
}

/// Rewrites the fields of a multipart form, and files that are text.
pub(super) fn rewrite_multipart(body: &[u8], boundary: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len());
    let mut from = 0;
    for part in multipart::parts(body, boundary) {
        let (head, content) = (&body[part.head.clone()], &body[part.content.clone()]);
        let new = part_content(&head.to_ascii_lowercase(), head, content, secrets);
        let new_head = shapes::rewrite(head, secrets);
        if new.is_some() || new_head.is_some() {
            out.extend_from_slice(&body[from..part.head.start]);
            out.extend_from_slice(new_head.as_deref().unwrap_or(head));
            out.extend_from_slice(new.as_deref().unwrap_or(content));
            from = part.content.end;
        }
    }
    out.extend_from_slice(&body[from..]);
    (from != 0).then_some(out)
}

/// What a part holds, by what its head (here also in lower case) says of it.
fn part_content(lower: &[u8], head: &[u8], content: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let is_body = find(lower, b"filename").is_some() || find(lower, KIND).is_some();
    match multipart::name(lower, lower) {
        Some(name) if secrets.is_secret_field(name) => secrets.hide(content).map(String::into_bytes),
        name => match (secrets.hide_if_known(content), name) {
            (Some(pseudonym), _) => Some(pseudonym.into_bytes()),
            (None, Some(_)) if !is_body => unnamed(content, secrets),
            // a file, or a part of another kind of body
            (None, _) if std::str::from_utf8(content).is_err() => {
                let is_field = name.is_some() && find(lower, b"filename").is_none();
                is_field.then(|| unnamed(content, secrets)).flatten()
            }
            (None, _) => {
                let kind = find(lower, KIND).map_or(&[][..], |at| head[at + KIND.len()..].trim_ascii_start());
                let kind = kind.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
                let kind = String::from_utf8_lossy(kind).into_owned();
                secrets.nested(|secrets| bodies::rewrite_plain(content, &kind, secrets))
            }
        },
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
pub(crate) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
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

/// The header of a part that says what it is.
const KIND: &[u8] = b"content-type:";
/// What stands beside the code of a login by OAuth; beside others no code is secret.
const BESIDE_CODE: [&[u8]; 5] =
    [b"state", b"grant_type", b"code_verifier", b"session_state", b"redirect_uri"];
/// Shorter ones are postcodes and coupons, which stand beside a state, too.
const SHORTEST_CODE: usize = 12;

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}
