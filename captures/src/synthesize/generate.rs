//! Writes new sessions, all of them in the order of time; holds those that are under way.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::chain::{Chain, NOWHERE};
use super::examples::Examples;
use super::random::{Random, mix};
use super::rewrite::{Owner, rewritten};
use super::spaces::Spaces;
use super::starts::Starts;
use crate::error::Error;
use crate::shape::walks::Gap;
use crate::{Exchange, SessionId};

/// What new sessions are made of.
pub(super) struct Model {
    pub(super) chain: Chain,
    pub(super) examples: Examples,
    pub(super) spaces: Spaces,
    pub(super) seed: u64,
}

/// A session under way; about a hundred bytes.
#[derive(Debug)]
struct Active {
    /// When its next request begins.
    due_us: u64,
    number: u64,
    /// Its last two routes, and the next one.
    context: (u32, u32),
    next: u32,
    walked: u64,
    last_us: u64,
    end_us: u64,
    random: Random,
}

impl Model {
    /// Hands every exchange of the sessions that begin at `starts` to `write`, the earliest first. Returns how many
    /// requests were left out because no example of their route was held.
    pub(super) fn generate(
        &self,
        starts: Starts,
        mut write: impl FnMut(Exchange) -> Result<(), Error>,
    ) -> Result<u64, Error> {
        let mut starts = (0_u64..).zip(starts).peekable();
        let mut active: BinaryHeap<Reverse<Active>> = BinaryHeap::new();
        let mut missing = 0;
        loop {
            let due = active.peek().map_or(u64::MAX, |next| next.0.due_us);
            if let Some((number, at)) = starts.next_if(|(_, at)| active.is_empty() || *at <= due) {
                active.extend(self.begin(number, at).map(Reverse));
                continue;
            }
            let Some(Reverse(mut session)) = active.pop() else { return Ok(missing) };
            match self.examples.draw(session.next, &mut session.random) {
                None => missing += 1,
                Some(example) => {
                    let owner = Owner { session: session.number, position: session.walked, seed: self.seed };
                    let exchange = rewritten(example, &self.spaces, owner, &mut session.random);
                    let exchange = session.sent(exchange, self.seed);
                    write(exchange)?;
                }
            }
            active.extend(self.go_on(session).map(Reverse));
        }
    }

    fn begin(&self, number: u64, at: u64) -> Option<Active> {
        let mut random = Random::of(self.seed, number);
        let next = self.chain.next(0, NOWHERE, &mut random)?;
        Some(Active {
            due_us: at,
            number,
            context: NOWHERE,
            next,
            walked: 0,
            last_us: at,
            end_us: at,
            random,
        })
    }

    fn go_on(&self, mut session: Active) -> Option<Active> {
        let from = session.next;
        session.context = (session.context.1, from);
        session.walked += 1;
        session.next = self.chain.next(session.walked, session.context, &mut session.random)?;
        session.due_us = match self.chain.gap(from, session.next, &mut session.random) {
            Gap::First => session.end_us,
            Gap::Think(us) => session.end_us.saturating_add(us),
            // it begins before the end of what it overlaps, however long that took this time
            Gap::Overlap(us) => {
                let room = session.end_us.saturating_sub(session.last_us).saturating_sub(1);
                session.last_us + us.min(room)
            }
        };
        Some(session)
    }
}

impl Active {
    /// The exchange as the one that it sends now.
    fn sent(&mut self, mut exchange: Exchange, seed: u64) -> Exchange {
        exchange.start_us = self.due_us;
        exchange.session = SessionId(mix(seed ^ self.number));
        exchange.connection = exchange.connection.map(|_| self.number);
        self.last_us = self.due_us;
        self.end_us = self.end_us.max(self.due_us.saturating_add(exchange.duration_us.unwrap_or(0)));
        exchange
    }
}

impl Ord for Active {
    fn cmp(&self, other: &Active) -> Ordering {
        (self.due_us, self.number).cmp(&(other.due_us, other.number))
    }
}

impl PartialOrd for Active {
    fn partial_cmp(&self, other: &Active) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Active {
    fn eq(&self, other: &Active) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Active {}
