//! A recorded exchange with other values: those of a new session in place of those of the old one.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::examples::{Example, Own};
use super::given;
use super::random::Random;
use super::spaces::{Fate, Spaces};
use super::values;
use crate::{Body, Exchange, Headers};

/// Whose values an exchange is to have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    /// The number of the session.
    pub(super) session: u64,
    /// Requests of the session before this one.
    pub(super) position: u64,
    pub(super) seed: u64,
}

/// A value, where it stands, and what stands there instead.
struct Swap {
    /// The name of the field it is in; empty where any place will do.
    name: String,
    old: String,
    new: String,
}

/// The example as an exchange of `owner`.
pub(super) fn rewritten(example: &Example, spaces: &Spaces, owner: Owner, random: &mut Random) -> Exchange {
    let mut exchange = example.exchange.clone();
    let fresh = |own: &Own| {
        let number = own.number.unwrap_or(owner.position);
        spaces.own(own.group, (owner.session, number), owner.seed)
    };
    let swaps: Vec<Swap> = example
        .own
        .iter()
        .map(|own| {
            let is_distinct = DISTINCT <= own.value.len();
            let name = own.space.split_once(':').map_or("", |(_, name)| name);
            Swap {
                name: if is_distinct { "" } else { name }.to_owned(),
                old: own.value.clone(),
                new: fresh(own),
            }
        })
        .filter(|swap| !swap.name.is_empty() || DISTINCT <= swap.old.len())
        .collect();
    exchange.request.target = target(example, spaces, &fresh, random);
    if let Some(response) = &mut exchange.response {
        given::renew(&mut response.headers, &|print| {
            let own = example
                .prints
                .iter()
                .find(|(known, _)| *known == print)
                .map(|(_, place)| &example.own[*place]);
            own.map(|own| xxh3_64_with_seed(fresh(own).as_bytes(), owner.seed))
        });
    }
    if swaps.is_empty() {
        return exchange;
    }
    replace_headers(&mut exchange.request.headers, &swaps);
    replace_body(&mut exchange.request.headers, &mut exchange.request.body, &swaps);
    if let Some(response) = &mut exchange.response {
        replace_headers(&mut response.headers, &swaps);
        replace_body(&mut response.headers, &mut response.body, &swaps);
    }
    for message in exchange.stream.iter_mut().flat_map(|stream| &mut stream.messages) {
        if let Some(new) = message.data.as_ref().and_then(|data| replaced(data, &swaps)) {
            let old = message.data.as_ref().map_or(0, Bytes::len) as u64;
            message.len = message.len.saturating_sub(old) + new.len() as u64;
            message.data = Some(new.into());
        }
    }
    exchange
}

/// The target with the values of its path and query drawn or renewed.
fn target(
    example: &Example,
    spaces: &Spaces,
    fresh: &impl Fn(&Own) -> String,
    random: &mut Random,
) -> String {
    let target = &example.exchange.request.target;
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target.as_str(), None),
    };
    let refused = example.exchange.response.as_ref().is_some_and(|response| 400 <= response.status);
    let own = |space: &str, value: &str| {
        example.own.iter().find(|own| own.space == space && own.value == value).map(fresh)
    };
    let mut slots = Vec::new();
    values::path_values(path, &mut |space, value| slots.push((space.to_owned(), value.to_owned())));
    // what belongs to what was drawn before it is not drawn by itself
    let drawn = |space: &str| matches!(spaces.fates.get(space), Some(Fate::Drawn(_)));
    let alone = slots.iter().filter(|(space, _)| drawn(space)).count() == 1;
    let mut slots = slots.into_iter();
    let template = crate::route::template(path);
    let mut segments: Vec<String> = Vec::new();
    for (segment, known) in path.split('/').zip(template.split('/')) {
        let new = match (segment != known).then(|| slots.next()).flatten() {
            None => None,
            Some((space, value)) => own(&space, &value).or_else(|| match spaces.fates.get(&space) {
                Some(Fate::Drawn(place)) if !refused && (alone || spaces.is_widened(*place)) => {
                    Some(spaces.draw(*place, random))
                }
                _ => None,
            }),
        };
        segments.push(new.unwrap_or_else(|| segment.to_owned()));
    }
    let path = segments.join("/");
    let Some(query) = query else { return path };
    let pairs = query.split('&').map(|pair| {
        let Some((name, value)) = pair.split_once('=') else { return pair.to_owned() };
        let space = format!("?{name}");
        let new = own(&space, value).or_else(|| match spaces.fates.get(&space) {
            Some(Fate::Drawn(place)) if !refused => Some(spaces.draw(*place, random)),
            _ => None,
        });
        new.map_or_else(|| pair.to_owned(), |new| format!("{name}={new}"))
    });
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}

fn replace_headers(headers: &mut Headers, swaps: &[Swap]) {
    headers.rewrite(|_, value| replaced(value, swaps));
}

fn replace_body(headers: &mut Headers, body: &mut Body, swaps: &[Swap]) {
    let Some(new) = body.data.as_ref().and_then(|data| replaced(data, swaps)) else { return };
    let (old_len, cut) = (body.len, !body.is_whole());
    *body = match cut {
        false => Body::whole(new),
        true => {
            let held = body.data.as_ref().map_or(0, Bytes::len) as u64;
            Body { len: old_len.saturating_sub(held) + new.len() as u64, hash: None, data: Some(new.into()) }
        }
    };
    let said = old_len.to_string();
    headers.rewrite(|name, value| {
        let is_length = name.eq_ignore_ascii_case("content-length") && value == said.as_bytes();
        is_length.then(|| body.len.to_string().into_bytes())
    });
}

/// The bytes with every value swapped where it stands for itself, not within a longer word; `None` where none does.
fn replaced(bytes: &[u8], swaps: &[Swap]) -> Option<Vec<u8>> {
    let mut out: Option<Vec<u8>> = None;
    let mut place = 0;
    while place < bytes.len() {
        let starts = place == 0 || !bytes[place - 1].is_ascii_alphanumeric();
        let swap = starts.then(|| swaps.iter().find(|swap| stands_at(bytes, place, swap))).flatten();
        match (swap, &mut out) {
            (Some(swap), out) => {
                out.get_or_insert_with(|| bytes[..place].to_vec()).extend_from_slice(swap.new.as_bytes());
                place += swap.old.len();
            }
            (None, Some(out)) => {
                out.push(bytes[place]);
                place += 1;
            }
            (None, None) => place += 1,
        }
    }
    out
}

fn stands_at(bytes: &[u8], place: usize, swap: &Swap) -> bool {
    let end = place + swap.old.len();
    bytes[place..].starts_with(swap.old.as_bytes())
        && bytes.get(end).is_none_or(|next| !next.is_ascii_alphanumeric())
        && (swap.name.is_empty() || is_named(&bytes[..place], &swap.name))
}

/// Whether `name=` or `"name": ` or `"name": "` ends there.
fn is_named(before: &[u8], name: &str) -> bool {
    if before.strip_suffix(b"=").is_some_and(|before| {
        before
            .strip_suffix(name.as_bytes())
            .is_some_and(|rest| !rest.ends_with(b"-") && !rest.ends_with(b"_"))
    }) {
        return true;
    }
    let before = before.strip_suffix(b"\"").unwrap_or(before).trim_ascii_end();
    let Some(before) = before.strip_suffix(b":") else { return false };
    let named =
        before.trim_ascii_end().strip_suffix(b"\"").and_then(|rest| rest.strip_suffix(name.as_bytes()));
    named.is_some_and(|rest| rest.ends_with(b"\""))
}

/// Shorter values may stand for anything, so they are replaced only in the field they are known in.
pub(super) const DISTINCT: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn swap(name: &str, old: &str, new: &str) -> Swap {
        Swap { name: name.to_owned(), old: old.to_owned(), new: new.to_owned() }
    }

    #[test]
    fn values_are_swapped_where_they_stand_for_themselves() {
        let swaps = [swap("", "abc123", "xyz789"), swap("cart_id", "7", "42")];
        let check = |text: &str, expect: Option<&str>| {
            let found = replaced(text.as_bytes(), &swaps).map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(found.as_deref(), expect, "{text}");
        };
        check("sid=abc123; theme=abc1234", Some("sid=xyz789; theme=abc1234"));
        check("xabc123", None);
        check(r#"{"qty":7,"cart_id":7}"#, Some(r#"{"qty":7,"cart_id":42}"#));
        check(r#"{"cart_id" : "7", "my_cart_id": 7}"#, Some(r#"{"cart_id" : "42", "my_cart_id": 7}"#));
        check("cart_id=7&n=7&my_cart_id=7", Some("cart_id=42&n=7&my_cart_id=7"));
        check("", None);
    }

    #[test]
    fn a_body_of_another_length_says_so() {
        let mut headers: Headers = [("Content-Length", "10")].into_iter().collect();
        let mut body = Body::whole("id=abc123!");
        replace_body(&mut headers, &mut body, &[swap("", "abc123", "longer4567")]);
        assert_eq!((headers.get_str("content-length"), body.len), (Some("14"), 14));
        assert_eq!(body, Body::whole("id=longer4567!"));
    }
}
