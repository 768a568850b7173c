//! Replays that announced themselves, each with books of its own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use arc_swap::ArcSwap;

use crate::books::Scope;
use crate::sync::lock;

/// The replays known to this proxy: several may be under way, each with its own books; ended ones stay to be read.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// Those under way, the newest last; written only under the lock of `known`.
    open: ArcSwap<Vec<Arc<Run>>>,
    known: Mutex<VecDeque<Arc<Run>>>,
}

/// One replay.
#[derive(Debug)]
pub(crate) struct Run {
    /// Its tag, which every `squall-session` of it begins with.
    pub(crate) tag: Arc<str>,
    pub(crate) scope: Arc<Scope>,
    /// The edge that it loads; what comes in at others are calls that it caused.
    pub(crate) edge: usize,
}

impl Runs {
    /// A replay begins. An earlier one of the same tag is forgotten: its books are of another time.
    pub(crate) fn announce(&self, tag: &str, edges: &[String], edge: usize) -> Arc<Run> {
        let scope = Arc::new(Scope::new(Some(tag.to_owned()), edges, Instant::now()));
        let run = Arc::new(Run { tag: Arc::from(tag), scope, edge });
        let mut known = lock(&self.known);
        known.retain(|old| *old.tag != *tag);
        if known.len() == KEPT {
            known.pop_front();
        }
        known.push_back(run.clone());
        let is_kept = |open: &&Arc<Run>| known.iter().any(|known| Arc::ptr_eq(known, open));
        let mut open: Vec<_> = self.open.load().iter().filter(is_kept).cloned().collect();
        open.push(run.clone());
        self.open.store(Arc::new(open));
        run
    }

    /// A replay is over; its books can still be read.
    pub(crate) fn end(&self, tag: &str) -> bool {
        let _known = lock(&self.known);
        let open = self.open.load();
        let left: Vec<_> = open.iter().filter(|run| *run.tag != *tag).cloned().collect();
        let was_open = left.len() < open.len();
        if was_open {
            self.open.store(Arc::new(left));
        }
        was_open
    }

    /// The replay that an exchange with this `squall-session` belongs to.
    pub(crate) fn of_session(&self, session: &str) -> Option<Arc<Run>> {
        let open = self.open.load();
        if open.is_empty() {
            return None;
        }
        let tag = session.split_once('-')?.0;
        open.iter().find(|run| *run.tag == *tag).cloned()
    }

    pub(crate) fn by_tag(&self, tag: &str) -> Option<Arc<Run>> {
        lock(&self.known).iter().find(|run| *run.tag == *tag).cloned()
    }

    /// The newest that is under way.
    pub(crate) fn open(&self) -> Option<Arc<Run>> {
        self.open.load().last().cloned()
    }
}

/// Replays whose books are kept. Each holds a sketch of about 5 MB.
const KEPT: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_replay_under_way_has_its_exchanges() {
        let runs = Runs::default();
        let of = |session: &str| runs.of_session(session).map(|run| run.tag.to_string());
        assert_eq!(of("0000000a-1-0"), None);
        runs.announce("0000000a", &[], 0);
        runs.announce("0000000b", &[], 0);
        assert_eq!(of("0000000a-1-0").as_deref(), Some("0000000a"));
        assert_eq!(of("0000000b-1-0").as_deref(), Some("0000000b"));
        assert_eq!((of("0000000c-1-0"), of("no tag")), (None, None));
        assert!(runs.end("0000000b") && !runs.end("0000000b"));
        assert_eq!(runs.open().map(|run| run.tag.to_string()).as_deref(), Some("0000000a"));
        assert_eq!((of("0000000b-1-0"), runs.by_tag("0000000b").is_some()), (None, true));
    }

    #[test]
    fn a_replay_that_nobody_ended_makes_room() {
        let runs = Runs::default();
        for tag in 0..=KEPT {
            runs.announce(&format!("{tag:08x}"), &[], 0);
        }
        assert!(runs.of_session("00000000-1-0").is_none() && runs.by_tag("00000000").is_none());
        assert!(runs.of_session("00000001-1-0").is_some());
        runs.announce("00000001", &[], 0);
        assert_eq!(runs.open.load().len(), KEPT, "a tag stands once");
    }
}
