//! Key spaces: which values name the things of one session, and which things are everybody's.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::fresh;
use super::given::{Met, Owned};
use super::random::{Random, mix};
use super::zipf;
use super::{Plan, Widen};
use crate::Exchange;
use crate::error::Error;
use crate::limits::{MAX_KEY_SPACES, MAX_KEYS, MAX_KEYS_EACH};

/// What is counted of the values of requests.
#[derive(Debug, Default)]
pub(super) struct Learner {
    by_name: HashMap<String, usize>,
    spaces: Vec<Values>,
    held: usize,
    met: Met,
}

#[derive(Debug)]
struct Values {
    name: String,
    seen: HashMap<Box<str>, Seen>,
    uses: u64,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    uses: u64,
    session: u64,
    shared: bool,
    /// How many values had been met before it.
    order: u64,
}

/// A key space, as it was found and used.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeySpace {
    /// Where its values stand: `/products/{id}`, `?page`, `cookie:sid`, `header:x-api-key`, `json:cart_id`.
    pub name: String,
    /// Different values in the capture; counted up to a bound.
    pub values: u64,
    /// How often one was used.
    pub uses: u64,
    /// Whether each value belongs to one session: then every new session has values of its own.
    pub of_one_session: bool,
    /// The exponent of the popularity of its values by rank, after Zipf; `None` for fewer than two values.
    pub exponent: Option<f64>,
    /// Values that new sessions choose among; `None` where they keep those of the recorded requests.
    pub chosen_among: Option<u64>,
}

/// What becomes of a value.
#[derive(Debug)]
pub(super) enum Fate {
    /// Each session has its own, those of one group in common; with `once`, each request.
    Own { group: usize, once: bool },
    /// One is drawn by popularity.
    Drawn(usize),
}

/// What becomes of all values.
#[derive(Debug, Default)]
pub(super) struct Spaces {
    pub(super) fates: HashMap<String, Fate>,
    groups: Vec<Group>,
    popular: Vec<Popular>,
    pub(super) owned: Owned,
}

/// Key spaces with the same values: the id of a cart in a path, a cookie and a document.
#[derive(Clone, Debug, Default)]
struct Group {
    /// What its values look like.
    like: String,
    /// Numbers from here on are free; `None` where the values are no small numbers.
    free: Option<u64>,
}

/// Values to draw from.
#[derive(Debug)]
struct Popular {
    values: Vec<String>,
    /// Shares by rank, summed up; longer than `values` where the space was widened.
    upto: Vec<f64>,
    free: Option<u64>,
    seed: u64,
    widened: bool,
}

impl Learner {
    /// Counts the values of a request that was not refused: what was refused may name nothing.
    pub(super) fn note(&mut self, exchange: &Exchange) {
        if exchange.response.as_ref().is_some_and(|response| 400 <= response.status) {
            return;
        }
        let session = exchange.session.0;
        super::values::visit(exchange, &mut |name, value| self.add(name, value, session));
        self.met.note(exchange);
    }

    fn add(&mut self, name: &str, value: &str, session: u64) {
        let place = match self.by_name.get(name) {
            Some(place) => *place,
            None if MAX_KEY_SPACES <= self.spaces.len() => return,
            None => {
                self.spaces.push(Values { name: name.to_owned(), seen: HashMap::new(), uses: 0 });
                self.by_name.insert(name.to_owned(), self.spaces.len() - 1);
                self.spaces.len() - 1
            }
        };
        let space = &mut self.spaces[place];
        space.uses += 1;
        if let Some(seen) = space.seen.get_mut(value) {
            seen.uses += 1;
            seen.shared |= seen.session != session;
        } else if space.seen.len() < MAX_KEYS_EACH && self.held < MAX_KEYS {
            let order = self.held as u64;
            self.held += 1;
            space.seen.insert(value.into(), Seen { uses: 1, session, shared: false, order });
        }
    }

    /// What becomes of the values, and what to tell about each key space.
    pub(super) fn finish(mut self, plan: &Plan) -> Result<(Spaces, Vec<KeySpace>), Error> {
        self.spaces.sort_by(|a, b| a.name.cmp(&b.name));
        self.check(plan)?;
        let own: Vec<bool> = self.spaces.iter().map(|space| is_own(space, plan)).collect();
        let groups = self.groups(&own);
        let mut spaces = Spaces::default();
        let mut places: HashMap<usize, usize> = HashMap::new();
        let mut told = Vec::new();
        let mut owned = Vec::new();
        let given = self.met.values();
        for (place, space) in self.spaces.iter().enumerate() {
            let counts = space.by_popularity();
            let exponent = zipf::exponent(&counts.iter().map(|(_, uses)| *uses).collect::<Vec<_>>());
            let mut tell = KeySpace {
                name: space.name.clone(),
                values: space.seen.len() as u64,
                uses: space.uses,
                of_one_session: own[place],
                exponent,
                chosen_among: None,
            };
            let widen = plan.widen.iter().find(|widen| widen.space == space.name);
            if own[place] {
                let group = *places.entry(groups[place]).or_insert_with(|| {
                    spaces.groups.push(Group::of(self.spaces.iter().zip(&groups), groups[place]));
                    spaces.groups.len() - 1
                });
                // what an answer gave is known again by its number
                let once = space.uses == space.seen.len() as u64
                    && space.has_many_a_session()
                    && !space.seen.keys().any(|value| given.contains(&**value));
                if !once {
                    let values = space.seen.iter();
                    owned.extend(values.map(|(value, it)| (it.session, it.order, value.clone(), group)));
                }
                spaces.fates.insert(space.name.clone(), Fate::Own { group, once });
            } else if widen.is_some() || space.name.starts_with('/') && 1 < counts.len() {
                let popular = Popular::of(&counts, widen, (exponent.unwrap_or_default(), plan.seed))?;
                tell.chosen_among = Some(popular.upto.len() as u64);
                spaces.popular.push(popular);
                spaces.fates.insert(space.name.clone(), Fate::Drawn(spaces.popular.len() - 1));
            }
            told.push(tell);
        }
        spaces.owned = self.met.owned(owned);
        Ok((spaces, told))
    }

    /// Every key space that was named is there, and can be what it is said to be.
    fn check(&self, plan: &Plan) -> Result<(), Error> {
        let widened = plan.widen.iter().map(|widen| &widen.space);
        for name in widened.clone().chain(&plan.own).chain(&plan.shared) {
            if !self.by_name.contains_key(name) {
                let known: Vec<&str> =
                    self.spaces.iter().map(|space| space.name.as_str()).take(SHOWN).collect();
                let more = self.spaces.len().saturating_sub(SHOWN);
                let known = match (known.is_empty(), more) {
                    (true, _) => "no request names anything by an identifier".to_owned(),
                    (false, 0) => format!("it has {}", known.join(", ")),
                    (false, more) => format!("it has {} and {more} more", known.join(", ")),
                };
                return Err(Error::Invalid(format!("the capture has no key space `{name}`; {known}")));
            }
        }
        for name in widened {
            if !name.starts_with(['/', '?']) {
                return Err(Error::Invalid(format!(
                    "`{name}` cannot be widened: name a key space of a path (/products/{{id}}) or of a query (?page)"
                )));
            }
            if plan.own.contains(name) {
                return Err(Error::Invalid(format!(
                    "`{name}` is said to be of one session and to be widened; leave one of both away"
                )));
            }
        }
        Ok(())
    }

    /// For each key space the first one that has the same values.
    fn groups(&self, own: &[bool]) -> Vec<usize> {
        let mut groups: Vec<usize> = (0..self.spaces.len()).collect();
        let mut first: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut common: HashMap<(usize, usize), usize> = HashMap::new();
        for (place, space) in self.spaces.iter().enumerate().filter(|(place, _)| own[*place]) {
            for value in space.seen.keys() {
                let places = first.entry(value).or_default();
                places.iter().for_each(|other| *common.entry((*other, place)).or_default() += 1);
                places.push(place);
            }
        }
        let mut pairs: Vec<_> = common.into_iter().collect();
        pairs.sort_unstable();
        for ((one, other), common) in pairs {
            let fewer = self.spaces[one].seen.len().min(self.spaces[other].seen.len());
            if fewer <= common * 2 {
                let (from, to) = (groups[other].max(groups[one]), groups[other].min(groups[one]));
                groups.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
            }
        }
        groups
    }
}

impl Values {
    fn by_popularity(&self) -> Vec<(&str, u64)> {
        let mut counts: Vec<(&str, u64)> =
            self.seen.iter().map(|(value, seen)| (value.as_ref(), seen.uses)).collect();
        counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        counts
    }

    fn sessions(&self) -> usize {
        self.seen.values().map(|seen| seen.session).collect::<HashSet<_>>().len()
    }

    fn has_many_a_session(&self) -> bool {
        self.sessions() * 2 <= self.seen.len()
    }
}

/// Whether nearly every value was met in one session only, in enough sessions to say so, and few in each: what every
/// session has many of is a catalogue whose things few happened to look at twice. A header may change with each request.
fn is_own(space: &Values, plan: &Plan) -> bool {
    if plan.shared.contains(&space.name) || plan.widen.iter().any(|widen| widen.space == space.name) {
        return false;
    }
    if plan.own.contains(&space.name) {
        return true;
    }
    let shared = space.seen.values().filter(|seen| seen.shared).count();
    let sessions = space.sessions();
    ENOUGH_SESSIONS <= sessions
        && shared * FEW_SHARED <= space.seen.len()
        && (space.name.starts_with("header:") || space.seen.len() <= sessions * FEW_EACH)
}

impl Group {
    fn of<'a>(spaces: impl Iterator<Item = (&'a Values, &'a usize)> + Clone, group: usize) -> Group {
        let values = spaces.filter(|(_, of)| **of == group).flat_map(|(space, _)| space.seen.keys());
        let like = values.clone().min_by_key(|value| (value.len(), value.to_string()));
        Group {
            like: like.map_or_else(String::new, ToString::to_string),
            free: free(values.map(AsRef::as_ref)),
        }
    }
}

impl Popular {
    fn of(
        counts: &[(&str, u64)],
        widen: Option<&Widen>,
        (exponent, seed): (f64, u64),
    ) -> Result<Popular, Error> {
        let values: Vec<String> = counts.iter().map(|(value, _)| (*value).to_owned()).collect();
        let free = free(values.iter().map(String::as_str));
        let upto = match widen {
            None => {
                let total: u64 = counts.iter().map(|(_, uses)| uses).sum();
                let mut sum = 0;
                let mut upto = |uses: u64| {
                    sum += uses;
                    sum as f64 / total as f64
                };
                counts.iter().map(|(_, uses)| upto(*uses)).collect()
            }
            Some(widen) => {
                let ranks = values.len() as f64 * widen.factor;
                if MAX_WIDENED < ranks {
                    return Err(Error::Invalid(format!(
                        "`{}` has {} values; {} times as many are above the limit of {MAX_WIDENED}",
                        widen.space,
                        values.len(),
                        widen.factor
                    )));
                }
                zipf::summed(ranks.ceil() as usize, exponent)
            }
        };
        Ok(Popular { values, upto, free, seed, widened: widen.is_some() })
    }

    /// A value by its popularity. Those that were recorded are the most popular ones; what is beyond is made up.
    fn draw(&self, random: &mut Random) -> String {
        let share = random.unit();
        let rank = self.upto.partition_point(|upto| *upto <= share).min(self.upto.len().saturating_sub(1));
        if let Some(value) = self.values.get(rank) {
            return value.clone();
        }
        let beyond = (rank - self.values.len()) as u64;
        match self.free {
            Some(free) => free.saturating_add(beyond).to_string(),
            None => {
                let like = &self.values[rank % self.values.len()];
                fresh::another(like, &mut Random::of(self.seed, beyond))
            }
        }
    }
}

impl Spaces {
    /// A value of that space.
    pub(super) fn draw(&self, place: usize, random: &mut Random) -> String {
        self.popular[place].draw(random)
    }

    /// Whether the space has values that were not recorded.
    pub(super) fn is_widened(&self, place: usize) -> bool {
        self.popular[place].widened
    }

    /// The value of `group` that a new session has as its `number`th; the same whenever it is asked for.
    pub(super) fn own(&self, group: usize, (session, number): (u64, u64), seed: u64) -> String {
        let of = &self.groups[group];
        match of.free {
            Some(free) => free
                .saturating_add(session.saturating_mul(OWN_EACH))
                .saturating_add(number % OWN_EACH)
                .to_string(),
            None => {
                let part = mix(session).wrapping_add(mix(number ^ (group as u64) << 32));
                fresh::another(&of.like, &mut Random::of(seed, part))
            }
        }
    }
}

/// Where values are numbers that count something: the first that none of them reaches.
fn free<'a>(values: impl Iterator<Item = &'a str>) -> Option<u64> {
    let mut most = 0;
    for value in values {
        let is_plain = value.len() <= COUNTS && (value == "0" || !value.starts_with('0'));
        most = most.max(value.parse::<u64>().ok().filter(|_| is_plain)?);
    }
    Some(most + 1)
}

/// Sessions in which a value must have been met before its key space is said to be theirs.
const ENOUGH_SESSIONS: usize = 8;
/// One value in so many may be met in two sessions all the same.
const FEW_SHARED: usize = 20;
/// More different values in each session are things that are looked at.
const FEW_EACH: usize = 3;
/// Numbers that a session has for itself in each group.
pub(super) const OWN_EACH: u64 = 16;
/// Longer numbers are no counts.
const COUNTS: usize = 12;
/// About 80 MB.
const MAX_WIDENED: f64 = 10_000_000.0;
/// Key spaces that an error names.
const SHOWN: usize = 20;
