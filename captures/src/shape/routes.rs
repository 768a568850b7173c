//! Routes by number, so that what is counted by route costs a number and not a text.

use std::collections::HashMap;

use crate::limits::MAX_ROUTES;
use crate::{Exchange, route};

/// Routes in the order in which they were met.
#[derive(Clone, Debug)]
pub(crate) struct Routes {
    by_name: HashMap<Box<str>, u32>,
    names: Vec<Box<str>>,
    scratch: String,
}

/// Before the first request of a session.
pub(crate) const START: u32 = u32::MAX;
/// After the last request of a session.
pub(crate) const END: u32 = u32::MAX - 1;
/// Every route beyond [`MAX_ROUTES`].
pub(crate) const OTHER: u32 = 0;

impl Default for Routes {
    fn default() -> Routes {
        Routes { by_name: HashMap::new(), names: vec!["other".into()], scratch: String::new() }
    }
}

impl Routes {
    /// The number of the exchange's route.
    pub(crate) fn of(&mut self, exchange: &Exchange) -> u32 {
        self.scratch.clear();
        self.scratch.push_str(&exchange.request.method);
        self.scratch.push(' ');
        self.scratch.push_str(&route::template(exchange.request.path()));
        if let Some(number) = self.by_name.get(self.scratch.as_str()) {
            return *number;
        }
        if MAX_ROUTES <= self.names.len() || LONGEST_NAME < self.scratch.len() {
            return OTHER;
        }
        let number = self.names.len() as u32;
        self.names.push(self.scratch.as_str().into());
        self.by_name.insert(self.scratch.as_str().into(), number);
        number
    }

    /// As people write it: `GET /cart/{id}`, `(start)`, `(end)`, `other`.
    pub(crate) fn name(&self, number: u32) -> &str {
        match number {
            START => "(start)",
            END => "(end)",
            _ => self.names.get(number as usize).map_or("other", |name| name),
        }
    }
}

/// Longer ones are no routes but data in a path, and would take memory without end.
const LONGEST_NAME: usize = 1024;
