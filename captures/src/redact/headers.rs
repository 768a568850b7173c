//! Secrets in header fields.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::forms::split_pair;
use super::secrets::Secrets;
use super::{json, names, shapes, urls};
use crate::Headers;

/// Replaces the secrets of all fields.
pub(super) fn rewrite(headers: &mut Headers, secrets: &mut Secrets<'_>) {
    headers.rewrite(|name, value| field(name, value, secrets));
}

fn field(name: &str, value: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    match () {
        () if secrets.policy().said(name.as_bytes()) == Some(false) => None,
        () if is("set-cookie") || is("set-cookie2") => set_cookie(value, secrets),
        () if is("cookie2") || ends_with(name, "cookie") => cookies(value, secrets),
        () if is("sec-websocket-protocol") && !secrets.policy().is_secret_header(name) => {
            subprotocols(value, secrets)
        }
        () if ends_with(name, AUTHORIZATION) => authorization(value, secrets),
        () if is("user-agent") => shapes::rewrite(value, secrets),
        () if names::is_structural(name) => None,
        () if secrets.policy().is_secret_header(name) => authorization(value, secrets),
        () => match secrets.hide_if_known(value.trim_ascii()) {
            Some(pseudonym) => Some(pseudonym.into_bytes()),
            None => {
                let json = json::rewrite_embedded(value, secrets);
                let urls = urls::rewrite_bytes(json.as_deref().unwrap_or(value), secrets).or(json);
                shapes::rewrite(urls.as_deref().unwrap_or(value), secrets).or(urls)
            }
        },
    }
}

fn ends_with(name: &str, end: &str) -> bool {
    let tail = name.len().saturating_sub(end.len());
    name.as_bytes()[tail..].eq_ignore_ascii_case(end.as_bytes())
}

/// Names of protocols; where a browser can send no other header, a token stands among them: `bearer.TOKEN`, `access_token, TOKEN`.
fn subprotocols(value: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let mut changed = false;
    let mut item = |item: &[u8]| {
        let item = item.trim_ascii_end();
        let start = item.len() - item.trim_ascii_start().len();
        let dot = item.iter().rposition(|byte| *byte == b'.').map_or(start, |at| at + 1);
        let is_jwt = item[start..].starts_with(b"eyJ");
        let (kept, token) = item.split_at(if is_jwt { start } else { dot });
        let is_token = is_jwt || is_random(token) || secrets.is_known(token);
        let new = is_token.then(|| secrets.hide(token)).flatten();
        changed |= new.is_some();
        [kept, new.as_deref().map_or(token, str::as_bytes)].concat()
    };
    let items: Vec<Vec<u8>> = value.split(|byte| *byte == b',').map(&mut item).collect();
    let new = changed.then(|| items.join(&b','));
    shapes::rewrite(new.as_deref().unwrap_or(value), secrets).or(new)
}

/// Long, and of small letters, capitals and digits: no name of a protocol is.
fn is_random(token: &[u8]) -> bool {
    let has = |test: fn(&u8) -> bool| token.iter().any(test);
    SHORTEST_TOKEN <= token.len()
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase)
}

/// The scheme, when it is one, stays; what follows is one secret.
fn authorization(value: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let value = value.trim_ascii();
    let word = value.iter().position(u8::is_ascii_whitespace).unwrap_or(0);
    let scheme = &value[..word];
    let (kept, secret) = if is_scheme(scheme) { value.split_at(word) } else { value.split_at(0) };
    let spaces = secret.len() - secret.trim_ascii_start().len();
    let pseudonym =
        match scheme.eq_ignore_ascii_case(b"Basic").then(|| basic(&secret[spaces..], secrets)).flatten() {
            Some(pair) => pair?,
            None => secrets.hide(&secret[spaces..])?,
        };
    Some([kept, &secret[..spaces], pseudonym.as_bytes()].concat())
}

/// Whether a word is the name of a scheme of authentication.
pub(super) fn is_scheme(word: &[u8]) -> bool {
    SCHEMES.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

/// The name and password of `Basic`, as such again; `None` where it is no such pair, inside of it where nothing is to be hidden.
#[allow(clippy::option_option, reason = "the two are different answers")]
fn basic(pair: &[u8], secrets: &mut Secrets<'_>) -> Option<Option<String>> {
    let plain = STANDARD_NO_PAD
        .decode(pair.trim_ascii_end().strip_suffix(b"==").or(pair.strip_suffix(b"=")).unwrap_or(pair))
        .ok()?;
    let colon = plain.iter().position(|byte| *byte == b':')?;
    let (user, password) = (&plain[..colon], &plain[colon + 1..]);
    std::str::from_utf8(&plain).ok()?;
    let (new_user, new_password) = (secrets.pseudonym(user), secrets.hide(password));
    if new_user.is_none() && new_password.is_none() {
        return Some(None);
    }
    secrets.found(pair);
    let or =
        |new: Option<String>, old: &[u8]| new.unwrap_or_else(|| String::from_utf8_lossy(old).into_owned());
    Some(Some(STANDARD.encode(format!("{}:{}", or(new_user, user), or(new_password, password)))))
}

/// Names stay, values go; a part without a name is a value.
fn cookies(value: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let mut changed = false;
    let parts: Vec<Vec<u8>> = value
        .split(|byte| *byte == b';')
        .map(|part| {
            let new = cookie(part, secrets);
            changed |= new.is_some();
            new.unwrap_or_else(|| part.to_vec())
        })
        .collect();
    changed.then(|| parts.join(&b';'))
}

fn set_cookie(value: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let end = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
    let (pair, attributes) = value.split_at(end);
    cookie(pair, secrets).map(|new| [&new, attributes].concat())
}

/// One `name=value`, spaces and quotes kept.
fn cookie(part: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let (name, value) = match split_pair(part) {
        (name, Some(value)) => (&part[..name.len() + 1], value),
        (value, None) => (&part[..0], value),
    };
    let bare_name = name.strip_suffix(b"=").unwrap_or(name).trim_ascii();
    if secrets.policy().said(bare_name) == Some(false) {
        return None;
    }
    let inner = value.trim_ascii();
    let inner = inner.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(inner);
    let start = inner.as_ptr() as usize - value.as_ptr() as usize;
    let pseudonym = secrets.hide_cookie(inner)?;
    Some([name, &value[..start], pseudonym.as_bytes(), &value[start + inner.len()..]].concat())
}

/// `Proxy-Authorization`, `X-Forwarded-Authorization` and the like.
const AUTHORIZATION: &str = "authorization";
const SHORTEST_TOKEN: usize = 16;
/// Words before credentials that are no secret themselves.
const SCHEMES: [&str; 20] = [
    "Basic",
    "Bearer",
    "Digest",
    "Negotiate",
    "NTLM",
    "Token",
    "ApiKey",
    "Api-Key",
    "Key",
    "OAuth",
    "DPoP",
    "HOBA",
    "Mutual",
    "vapid",
    "Hawk",
    "GNAP",
    "PrivateToken",
    "AWS4-HMAC-SHA256",
    "SCRAM-SHA-256",
    "JWT",
];
