//! Recorded exchanges of each route, to make new ones of.

use std::collections::HashMap;

use super::given;
use super::random::Random;
use super::spaces::{Fate, OWN_EACH, Spaces};
use super::values;
use crate::Exchange;
use crate::block::size_of;
use crate::limits::{MAX_EXAMPLES, MAX_OPEN_SESSIONS};

/// A sample of every route: each exchange of a route is as likely to be in it as any other.
#[derive(Debug)]
pub(super) struct Examples {
    by_route: HashMap<u32, Sample>,
    /// Examples that a route may have.
    each: usize,
    bytes: usize,
    most_bytes: usize,
    random: Random,
    sessions: HashMap<u64, Vec<(usize, Box<str>)>>,
}

#[derive(Debug, Default)]
struct Sample {
    seen: u64,
    examples: Vec<Example>,
}

/// One exchange, and the values in it that belong to its session.
#[derive(Debug)]
pub(super) struct Example {
    pub(super) exchange: Exchange,
    pub(super) own: Vec<Own>,
    /// Prints of such values, each with its place in `own`.
    pub(super) prints: Vec<(u64, usize)>,
}

/// A value that belongs to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Own {
    /// Where it stands.
    pub(super) space: String,
    pub(super) value: String,
    pub(super) group: usize,
    /// The how-manieth value of its group in its session; `None` where each request has another.
    pub(super) number: Option<u64>,
}

impl Examples {
    pub(super) fn new(seed: u64) -> Examples {
        Examples {
            by_route: HashMap::new(),
            each: EACH,
            bytes: 0,
            most_bytes: MAX_EXAMPLES,
            random: Random::of(seed, EXAMPLES),
            sessions: HashMap::new(),
        }
    }

    /// Takes an exchange into the sample of its route, or not.
    pub(super) fn note(&mut self, route: u32, exchange: Exchange, spaces: &Spaces) {
        let mut own = self.own(&exchange, spaces);
        let sample = self.by_route.entry(route).or_default();
        sample.seen += 1;
        let place = match sample.examples.len() < self.each {
            true => sample.examples.len(),
            false => self.random.below(sample.seen) as usize,
        };
        if self.each <= place || self.each == 1 && self.most_bytes <= self.bytes {
            return;
        }
        self.bytes += size_of(&exchange);
        let prints = given::given(&exchange, spaces, &mut own);
        let example = Example { exchange, own, prints };
        match sample.examples.get_mut(place) {
            Some(old) => {
                self.bytes -= size_of(&old.exchange);
                *old = example;
            }
            None => sample.examples.push(example),
        }
        while self.most_bytes < self.bytes && 1 < self.each {
            self.each /= 2;
            for sample in self.by_route.values_mut() {
                // which of a sample go is no matter: each is as likely to stand anywhere
                let end = sample.examples.len().min(self.each);
                self.bytes -= sample.examples.drain(end..).map(|old| size_of(&old.exchange)).sum::<usize>();
            }
        }
    }

    /// One of a route; `None` where memory was too small for any.
    pub(super) fn draw(&self, route: u32, random: &mut Random) -> Option<&Example> {
        let examples = &self.by_route.get(&route)?.examples;
        examples.get(random.below(examples.len() as u64) as usize)
    }

    /// Forgets what it needed to read the capture.
    pub(super) fn close(&mut self) {
        self.sessions = HashMap::new();
    }

    /// Which values of an exchange belong to its session, and which of its group each of them is.
    fn own(&mut self, exchange: &Exchange, spaces: &Spaces) -> Vec<Own> {
        let mut own: Vec<Own> = Vec::new();
        if MAX_OPEN_SESSIONS <= self.sessions.len() && !self.sessions.contains_key(&exchange.session.0) {
            // those that go on count their values anew
            self.sessions.clear();
        }
        let met = self.sessions.entry(exchange.session.0).or_default();
        values::visit(exchange, &mut |space, value| {
            let Some(Fate::Own { group, once }) = spaces.fates.get(space) else { return };
            let known = || spaces.owned.of(exchange.session.0, value).filter(|(of, _)| of == group);
            let number = (!once).then(|| {
                known().map(|(_, number)| number).unwrap_or_else(|| {
                    match met.iter().position(|(of, met)| of == group && **met == *value) {
                        Some(place) => met[..place].iter().filter(|(of, _)| of == group).count() as u64,
                        None => {
                            let before = met.iter().filter(|(of, _)| of == group).count() as u64;
                            if before < OWN_EACH {
                                met.push((*group, value.into()));
                            }
                            before.min(OWN_EACH - 1)
                        }
                    }
                })
            });
            let found = Own { space: space.to_owned(), value: value.to_owned(), group: *group, number };
            if !own.contains(&found) {
                own.push(found);
            }
        });
        own
    }
}

/// Examples of a route where memory allows: their bodies, headers and answers are its variety.
const EACH: usize = 64;
/// Tells the choice of examples from other draws.
const EXAMPLES: u64 = 0x4558_414d;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Body, SessionId};

    #[test]
    fn memory_is_bounded_and_every_route_keeps_an_example() {
        let mut examples = Examples { most_bytes: 40_000, ..Examples::new(1) };
        for n in 0..2000_u32 {
            let mut exchange = Exchange { session: SessionId(1), start_us: n.into(), ..Exchange::default() };
            exchange.request.body = Body::whole(vec![b'x'; 100]);
            examples.note(n % 10, exchange, &Spaces::default());
            assert!(examples.bytes <= 40_000, "{}", examples.bytes);
        }
        let held: usize = examples
            .by_route
            .values()
            .flat_map(|sample| &sample.examples)
            .map(|it| size_of(&it.exchange))
            .sum();
        assert_eq!(held, examples.bytes);
        let late = examples.by_route.values().flat_map(|sample| &sample.examples);
        assert!(late.clone().any(|example| 1000 < example.exchange.start_us), "not only the first");
        assert!((0..10).all(|route| examples.draw(route, &mut Random::of(1, 1)).is_some()));
        assert!(examples.draw(11, &mut Random::of(1, 1)).is_none());
    }
}
