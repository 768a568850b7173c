//! What the readers of HTTP/1 and HTTP/2 share: what they are told, and what they hand back.

use std::collections::BTreeMap;

use crate::Exchange;
use crate::import::http1::collect::{Budget, Collector};

/// What is to be known about a connection.
#[derive(Clone, Debug)]
pub(super) struct Context {
    /// Address and port of the server, for requests that name no host.
    pub(super) server: String,
    /// The bodies of answers are wanted.
    pub(super) response_bodies: bool,
    pub(super) budget: Budget,
}

/// What a connection gave since it was last asked.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) exchanges: Vec<Exchange>,
    /// What was met, and how often.
    pub(super) noted: BTreeMap<&'static str, u64>,
    /// What could not be read.
    pub(super) damage: Vec<&'static str>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ending {
    /// Who ended it first; `None` where the capture ended before both had.
    pub(super) by_client: Option<bool>,
    /// The server said all it had to say.
    pub(super) is_whole: bool,
}

impl Context {
    pub(super) fn collect(&self, of_client: bool) -> Collector {
        Collector::new(of_client || self.response_bodies, &self.budget)
    }
}

impl Out {
    pub(super) fn note(&mut self, what: &'static str, n: u64) {
        *self.noted.entry(what).or_default() += n;
    }

    pub(super) fn append(&mut self, other: Out) {
        self.exchanges.extend(other.exchanges);
        self.damage.extend(other.damage);
        other.noted.into_iter().for_each(|(what, n)| self.note(what, n));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exchanges.is_empty() && self.noted.is_empty() && self.damage.is_empty()
    }
}
