//! Links: which value of an answer is sent back in which part of later requests.
//!
//! Mined over all sessions of a capture, without rules. A link is a pair of places: a leaf of the answers to one kind
//! of request (`POST /login json:$.token`), and a slot of another kind of request (`GET /me header:authorization
//! bearer`). What counts is equality of values, and pseudonyms keep equality, so a redacted capture gives the same
//! links. What speaks against a link: the value was sent before any answer held it (a user typed it), or others were
//! given the same (a constant), or it is short and could be equal by chance.
//!
//! ```text
//! exchanges -> values with their places (answer, request, prints) -> digests of sessions (digest)
//!           -> equal values in earlier answers (matches) -> the leaves that explain each slot best (choose)
//! ```

mod answer;
mod choose;
mod digest;
pub(crate) mod html;
mod matches;
mod names;
mod path;
mod place;
mod prints;
mod request;
#[cfg(test)]
mod tests;
mod typed;
mod value;
mod walk;
mod written;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Serialize, Serializer};

pub use answer::{BodyKind, Given, events, given, in_address, in_header, in_page, uncoded};
pub use path::{JsonPath, Part};
pub use place::{Leaf, LeafKind, Slot, Within, nearest};
pub(crate) use prints::renewed;
pub use prints::{LEAVES, Noted, Print, Printer, SLOTS, is_kind_looked_into, is_looked_into};
pub use request::{Carried, carried, scheme, sent};
pub use typed::{Typed, typed_password};

use crate::damage::Damage;
use crate::error::Error;
use crate::exchange::Request;
use crate::{Reader, route};
use digest::Digests;

/// A kind of request: its method and its route. A `*` stands for any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// `GET`, or `*`.
    pub method: String,
    /// The path with `{id}` in place of identifiers, or `*`.
    pub route: String,
}

/// Where values come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// The requests whose answers hold it.
    pub at: Endpoint,
    /// Where in the answer.
    pub leaf: Leaf,
}

/// Where values go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sink {
    /// The requests that carry it.
    pub at: Endpoint,
    /// Where in the request.
    pub slot: Slot,
}

/// One link, and what speaks for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Link {
    /// Where the values come from.
    pub from: Source,
    /// Where they go.
    pub to: Sink,
    /// Requests whose value this link explains.
    pub support: u64,
    /// Sessions of these requests.
    pub sessions: u64,
    /// Share of all values at `to` that this link explains, 0 to 1.
    pub coverage: f64,
    /// Share of the values that nobody was given before, 0 to 1.
    pub fresh: f64,
    /// How often the nearest answer that could give the value gave it, 0 to 1.
    pub consistency: f64,
    /// Requests from the answer to where it is used, the median.
    pub lag: u64,
    /// All of this in one number, 0 to 1.
    pub score: f64,
    /// Why it is believed.
    pub why: String,
    /// The beginning of one value.
    pub example: String,
}

/// A pair of places that was looked at, and why it is no link.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NearMiss {
    /// Where equal values stood.
    pub from: Source,
    /// Where they were sent.
    pub to: Sink,
    /// Requests with an equal value.
    pub matches: u64,
    /// Sessions of these requests.
    pub sessions: u64,
    /// What speaks against it.
    pub why: String,
}

/// What was mined of captures.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LinkSet {
    /// By source, then by sink.
    pub links: Vec<Link>,
    /// Most matches first; at most [`crate::limits::MAX_NEAR_MISSES`].
    pub rejected: Vec<NearMiss>,
    /// Sessions that were looked at.
    pub sessions: u64,
    /// Sessions that were left out, as there was no room for them.
    pub left_out: u64,
    /// Answers with a body.
    pub answers: u64,
    /// Those of them whose body was recorded whole, or looked into and recorded as prints. Of the others only the head can
    /// be linked.
    pub whole_answers: u64,
}

impl Endpoint {
    /// Of a request.
    pub fn of(request: &Request) -> Endpoint {
        Endpoint { method: request.method.clone(), route: route::template(request.path()).into_owned() }
    }

    /// Whether `other`, of a request, is one of these.
    pub fn covers(&self, other: &Endpoint) -> bool {
        (self.method == "*" || self.method.eq_ignore_ascii_case(&other.method))
            && (self.route == "*" || self.route == other.route)
    }
}

impl Link {
    /// Whether cookies do it: the cookie goes back under the name that it was set with.
    pub fn is_cookie(&self) -> bool {
        is_cookie(&self.from, &self.to)
    }
}

fn is_cookie(from: &Source, to: &Sink) -> bool {
    matches!((&from.leaf.kind, &to.slot), (LeafKind::SetCookie(set), Slot::Cookie(sent)) if set == sent)
}

/// Mines the links of one or more captures, over all their sessions; of more than fit in memory, over a share of them
/// that a hash decides. At most `exchanges` of each capture are looked at.
///
/// # Errors
/// When a capture cannot be opened. What is damaged is passed over, and told.
pub fn mine<P: AsRef<Path>>(captures: &[P], exchanges: usize) -> Result<(LinkSet, Vec<Damage>), Error> {
    let mut digests = Digests::default();
    let mut damage = Vec::new();
    for (number, path) in captures.iter().enumerate() {
        for exchange in Reader::open(path)?.exchanges().take(exchanges) {
            match exchange {
                Ok(exchange) => digests.add(number, &exchange),
                Err(bad) => damage.push(bad),
            }
        }
    }
    Ok((choose::links(digests), damage))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.method.as_str(), self.route.as_str()) {
            ("*", "*") => f.write_str("*"),
            (method, route) => write!(f, "{method} {route}"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.at, self.leaf)
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.at, self.slot)
    }
}

/// The endpoint at the start of a text, and the rest: `POST /login json:$.token`, `* header:x`.
fn endpoint(text: &str) -> Result<(Endpoint, &str), String> {
    let wrong = || format!("`{text}`: write METHOD /ROUTE PLACE, or * PLACE for every request");
    let (method, rest) = text.trim().split_once(' ').ok_or_else(wrong)?;
    let rest = rest.trim_start();
    let is_method =
        !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'*');
    if !is_method {
        return Err(wrong());
    }
    let (route, place) = match rest.starts_with('/') || rest.starts_with("* ") {
        true => rest.split_once(' ').ok_or_else(wrong)?,
        false if method == "*" => ("*", rest),
        false => return Err(wrong()),
    };
    let method = method.to_ascii_uppercase();
    let route = if route == "*" { route.to_owned() } else { route::template(route).into_owned() };
    Ok((Endpoint { method, route }, place.trim()))
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Source, String> {
        let (at, place) = endpoint(text)?;
        Ok(Source { at, leaf: place.parse()? })
    }
}

impl FromStr for Sink {
    type Err = String;

    fn from_str(text: &str) -> Result<Sink, String> {
        let (at, place) = endpoint(text)?;
        Ok(Sink { at, slot: place.parse()? })
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Sink {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
