//! An exchange between the data path and the writer: whatever becomes of it, it is booked once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Item, State};
use crate::books::bump;

/// Holds its scopes' books open until the writer has said what became of it. Dropped unsaid, it was queued behind the
/// end of the recording.
pub(super) struct Queued {
    pub(super) item: Box<Item>,
    state: Arc<State>,
    booked: bool,
}

impl Queued {
    pub(super) fn new(item: Box<Item>, state: &Arc<State>) -> Queued {
        state.queued_bytes.fetch_add(item.weight(), Ordering::AcqRel);
        item.scopes.iter().for_each(|scope| scope.pend());
        Queued { item, state: state.clone(), booked: false }
    }

    /// It never left: somebody else books it.
    pub(super) fn take_back(mut self) {
        self.booked = true;
    }

    /// It is in the writer's hands.
    pub(super) fn recorded(mut self) {
        self.booked = true;
        self.state.recorded.fetch_add(1, Ordering::Relaxed);
        for scope in &self.item.scopes {
            scope.note(self.item.edge, |books| books.recorded += 1);
        }
    }

    pub(super) fn shed(mut self, why: &str) {
        self.booked = true;
        self.state.shed.fetch_add(1, Ordering::Relaxed);
        for scope in &self.item.scopes {
            scope.note(self.item.edge, |books| bump(&mut books.shed, why));
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.state.queued_bytes.fetch_sub(self.item.weight(), Ordering::AcqRel);
        for scope in &self.item.scopes {
            if !self.booked {
                scope.note(self.item.edge, |books| bump(&mut books.not_recorded, "stopped"));
            }
            scope.pended();
        }
    }
}
