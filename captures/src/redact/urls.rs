//! Secrets in URLs: query parameters, passwords before the host, session ids in the path.

use std::ops::Range;

use super::pseudonym::is_text_pseudonym;
use super::secrets::Secrets;
use super::{forms, shapes};

/// Rewrites a request target.
pub(super) fn rewrite_target(target: &mut String, secrets: &mut Secrets<'_>) {
    rewrite_text(target, secrets);
    let path_end = target.find('?').unwrap_or(target.len());
    if let Some(path) = path_segments(&target.as_bytes()[..path_end], secrets) {
        let query = target.split_off(path_end);
        *target = String::from_utf8_lossy(&path).into_owned() + &query;
    }
}

/// Rewrites every URL in a text.
pub(super) fn rewrite_text(text: &mut String, secrets: &mut Secrets<'_>) {
    if let Some(new) = rewrite_bytes(text.as_bytes(), secrets) {
        *text = String::from_utf8_lossy(&new).into_owned();
    }
}

/// Rewrites every URL in a header value or document; `None` when nothing is to be hidden.
pub(super) fn rewrite_bytes(text: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let with_user = text.contains(&b'@').then(|| userinfos(text, secrets)).flatten();
    let text = with_user.as_deref().unwrap_or(text);
    queries(text, secrets).or(with_user)
}

/// From each `?` or `#` to the next byte that cannot be in a URL: parameters.
fn queries(text: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let mut out: Option<Vec<u8>> = None;
    let mut done = 0;
    let mut from = 0;
    while let Some(mark) =
        text[from..].iter().position(|byte| matches!(byte, b'?' | b'#')).map(|n| from + n + 1)
    {
        let len = text[mark..]
            .iter()
            .position(|byte| is_url_end(*byte) || *byte == b'#')
            .unwrap_or(text.len() - mark);
        if let Some(new) = forms::rewrite(&text[mark..mark + len], secrets) {
            let out = out.get_or_insert_default();
            out.extend_from_slice(&text[done..mark]);
            out.extend_from_slice(&new);
            done = mark + len;
        }
        from = mark + len;
    }
    let mut out = out?;
    out.extend_from_slice(&text[done..]);
    Some(out)
}

/// Rewrites the authority of a request.
pub(super) fn rewrite_authority(authority: &mut String, secrets: &mut Secrets<'_>) {
    if !authority.contains('@') {
        return;
    }
    if let Some((secret, pseudonym)) = userinfo(authority.as_bytes(), 0, secrets) {
        authority.replace_range(secret, &pseudonym);
    }
}

/// Every `user:password@` behind `://`.
fn userinfos(text: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let mut out: Option<Vec<u8>> = None;
    let (mut done, mut from) = (0, 0);
    while let Some(start) = forms::find(&text[from..], b"://").map(|n| from + n + 3) {
        if let Some((secret, pseudonym)) = userinfo(text, start, secrets) {
            let out = out.get_or_insert_default();
            out.extend_from_slice(&text[done..secret.start]);
            out.extend_from_slice(pseudonym.as_bytes());
            done = secret.end;
        }
        from = start;
    }
    let mut out = out?;
    out.extend_from_slice(&text[done..]);
    Some(out)
}

/// `user:password@` at `start`: where the password stands, and what it becomes. Without a colon it is all of it.
fn userinfo(text: &[u8], start: usize, secrets: &mut Secrets<'_>) -> Option<(Range<usize>, String)> {
    let is_end = |byte: &u8| is_url_end(*byte) || matches!(byte, b'/' | b'?' | b'#');
    let end = text[start..].iter().position(is_end).map_or(text.len(), |n| start + n);
    let at = start + text[start..end].iter().rposition(|byte| *byte == b'@')?;
    let user_end = text[start..at].iter().position(|byte| *byte == b':').map_or(start, |n| start + n + 1);
    let pseudonym = secrets.hide(&forms::percent_decode(&text[user_end..at]))?;
    Some((user_end..at, pseudonym))
}

/// `;jsessionid=…`, and segments that are secrets known from elsewhere.
fn path_segments(path: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let is_long = |part: &[u8]| {
        LONG_SEGMENT <= part.len() || part.iter().any(|byte| matches!(byte, b'=' | b'@' | b'%'))
    };
    let may_match = !secrets.policy().patterns.is_empty();
    if !may_match && !path.split(|byte| matches!(byte, b'/' | b';')).any(is_long) {
        return None;
    }
    let mut changed = false;
    let parts: Vec<Vec<u8>> = path
        .split_inclusive(|byte| matches!(byte, b'/' | b';'))
        .map(|part| {
            let end = part.len() - usize::from(matches!(part.last(), Some(b'/' | b';')));
            let (value, mark) = part.split_at(end);
            let new = match forms::split_pair(value) {
                (_, Some(_)) => forms::rewrite(value, secrets),
                _ if is_text_pseudonym(value) => None,
                _ => match secrets.hide_if_known(value).filter(|_| LONG_SEGMENT <= value.len()) {
                    Some(pseudonym) => Some(pseudonym.into_bytes()),
                    None => segment(value, secrets),
                },
            };
            changed |= new.is_some();
            [new.as_deref().unwrap_or(value), mark].concat()
        })
        .collect();
    changed.then(|| parts.concat())
}

/// A segment that holds an address, a card number or what a pattern describes.
fn segment(value: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let plain = forms::percent_decode(value);
    let new = shapes::rewrite(&plain, secrets)?;
    // what may stand in a segment as it is stays as it is
    Some(String::from_utf8_lossy(&forms::percent_encode(&new)).replace("%40", "@").into_bytes())
}

fn is_url_end(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'"' | b'<' | b'>' | b'\\')
}

/// Shorter path segments are words, not secrets.
const LONG_SEGMENT: usize = 12;
