//! Values that an answer gives and a request of the same session sends back: a new session has new ones on both sides, so
//! that what links them outlasts a synthesis.

use std::collections::{HashMap, HashSet};

use super::examples::Own;
use super::spaces::{OWN_EACH, Spaces};
use crate::limits::MAX_KEYS;
use crate::links::{self, LeafKind, Part};
use crate::{Exchange, Headers};

/// What the first reading finds: values that were given before they were sent, by [`links::Given::id`].
#[derive(Debug, Default)]
pub(super) struct Met {
    given: HashSet<u64>,
    sent: HashMap<u64, Box<str>>,
}

/// Which value of which group, and the how-manieth of its session.
pub(super) type Numbered = (usize, u64);

/// The values of requests that belong to one session.
#[derive(Debug, Default)]
pub(super) struct Owned {
    by_id: HashMap<u64, Box<str>>,
    by_session: HashMap<u64, HashMap<Box<str>, Numbered>>,
}

impl Met {
    pub(super) fn note(&mut self, exchange: &Exchange) {
        for carried in links::sent(exchange) {
            let id = carried.id();
            if self.given.contains(&id)
                && let Ok(value) = std::str::from_utf8(&carried.value)
            {
                self.sent.entry(id).or_insert_with(|| value.into());
            }
        }
        let room = MAX_KEYS.saturating_sub(self.given.len());
        self.given.extend(links::given(exchange).iter().take(room).map(links::Given::id));
    }

    /// The values that were given first.
    pub(super) fn values(&self) -> HashSet<&str> {
        self.sent.values().map(AsRef::as_ref).collect()
    }

    /// With the values of requests as session, order, value and group.
    pub(super) fn owned(self, mut all: Vec<(u64, u64, Box<str>, usize)>) -> Owned {
        all.sort_unstable();
        let mut owned = Owned { by_id: self.sent, ..Owned::default() };
        let mut numbers: HashMap<(u64, usize), u64> = HashMap::new();
        for (session, _, value, group) in all {
            owned.by_session.entry(session).or_default().entry(value).or_insert_with(|| {
                let next = numbers.entry((session, group)).or_default();
                *next += 1;
                (group, (*next - 1).min(OWN_EACH - 1))
            });
        }
        owned
    }
}

impl Owned {
    /// Which one a value of a session is.
    pub(super) fn of(&self, session: u64, value: &str) -> Option<Numbered> {
        self.by_session.get(&session)?.get(value).copied()
    }
}

/// Adds the values that the answer of an exchange gives its session to those that its request has. Returns which of them
/// stands behind which print.
pub(super) fn given(exchange: &Exchange, spaces: &Spaces, own: &mut Vec<Own>) -> Vec<(u64, usize)> {
    let mut prints = Vec::new();
    for carried in links::sent(exchange) {
        let place = own.iter().position(|own| own.value.as_bytes() == carried.value);
        prints.extend(place.map(|place| (carried.id(), place)));
    }
    for given in links::given(exchange) {
        let Some(value) = spaces.owned.by_id.get(&given.id()) else { continue };
        let Some((group, number)) = spaces.owned.of(exchange.session.0, value) else { continue };
        let space = match &given.leaf.kind {
            LeafKind::Json(path) => path.0.iter().rev().find_map(|part| match part {
                Part::Key(key) => Some(format!("json:{key}")),
                _ => None,
            }),
            _ => None,
        };
        let found =
            Own { space: space.unwrap_or_default(), value: value.to_string(), group, number: Some(number) };
        let place = own.iter().position(|own| *own == found).unwrap_or_else(|| {
            own.push(found);
            own.len() - 1
        });
        prints.push((given.id(), place));
    }
    prints
}

/// Puts the prints of new values in place of those of the old ones.
pub(super) fn renew(headers: &mut Headers, new: &dyn Fn(u64) -> Option<u64>) {
    headers.rewrite(|name, value| {
        let is_list = [links::LEAVES, links::SLOTS].contains(&name);
        let list = std::str::from_utf8(value).ok().filter(|_| is_list)?;
        links::renewed(list, new).map(String::into_bytes)
    });
}
