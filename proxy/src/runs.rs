//! Replays that announced themselves, each with books of its own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use arc_swap::ArcSwapOption;

use crate::books::Scope;
use crate::sync::lock;

/// The replays known to this proxy: the newest gets its own books, ended ones stay to be read.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    open: ArcSwapOption<Run>,
    known: Mutex<VecDeque<Arc<Run>>>,
}

/// One replay.
#[derive(Debug)]
pub(crate) struct Run {
    /// Its tag, which every `squall-session` of it begins with.
    pub(crate) tag: Arc<str>,
    pub(crate) scope: Arc<Scope>,
}

impl Runs {
    /// A replay begins. An earlier one of the same tag is forgotten: its books are of another time.
    pub(crate) fn announce(&self, tag: &str, edges: &[String]) -> Arc<Run> {
        let scope = Arc::new(Scope::new(Some(tag.to_owned()), edges, Instant::now()));
        let run = Arc::new(Run { tag: Arc::from(tag), scope });
        let mut known = lock(&self.known);
        known.retain(|old| *old.tag != *tag);
        if known.len() == KEPT {
            known.pop_front();
        }
        known.push_back(run.clone());
        self.open.store(Some(run.clone()));
        run
    }

    /// A replay is over; its books can still be read.
    pub(crate) fn end(&self, tag: &str) -> bool {
        let is_open = self.open.load().as_ref().is_some_and(|run| *run.tag == *tag);
        if is_open {
            self.open.store(None);
        }
        is_open
    }

    /// The replay that an exchange with this `squall-session` belongs to.
    pub(crate) fn of_session(&self, session: &str) -> Option<Arc<Run>> {
        let open = self.open.load();
        let run = open.as_ref()?;
        let tag = session.split_once('-')?.0;
        (tag == &*run.tag).then(|| run.clone())
    }

    pub(crate) fn by_tag(&self, tag: &str) -> Option<Arc<Run>> {
        lock(&self.known).iter().find(|run| *run.tag == *tag).cloned()
    }

    pub(crate) fn open(&self) -> Option<Arc<Run>> {
        self.open.load_full()
    }
}

/// Replays whose books are kept. Each holds a sketch of about 5 MB.
const KEPT: usize = 4;
