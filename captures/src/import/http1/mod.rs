//! Messages of HTTP/1 as they stand on the wire, for the importers that meet them there: read as leniently as browsers
//! and servers do, since what was once understood is to be replayed.

pub(super) mod body;
pub(super) mod collect;
pub(super) mod head;

use crate::exchange::Request;
use crate::import::encode_target;
use head::RequestHead;

/// The request of a head; its body is not there yet. `fallback` is whom it was sent to, where it does not say.
pub(super) fn request(head: RequestHead, fallback: &str) -> Request {
    let RequestHead { method, target, headers, .. } = head;
    let host = headers.get("host").map(|host| String::from_utf8_lossy(host).trim().to_owned());
    let said = host.filter(|host| !host.is_empty());
    let mut authority = said.unwrap_or_else(|| fallback.to_owned());
    let mut scheme = if authority.is_empty() { String::new() } else { "http".to_owned() };
    let mut target = encode_target(&target);
    if method == "CONNECT" && !target.contains('/') {
        authority.clone_from(&target);
    } else if let Some((of_target, rest)) = absolute(&target) {
        // what a forward proxy is sent
        (scheme, authority) = of_target;
        target = rest;
    }
    Request { method, scheme, authority, target, headers, ..Request::default() }
}

/// `http://host/path` as scheme and authority, and path.
fn absolute(target: &str) -> Option<((String, String), String)> {
    let (scheme, rest) = target.split_once("://")?;
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return None;
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    Some(((scheme.to_ascii_lowercase(), authority.to_owned()), format!("{slash}{path}")))
}
