//! What a slot's next value is likely to be. Writer and reader learn alike, so a value that was foreseen is named by
//! how it was foreseen.

use super::MAX_PREDICTIONS;

/// The memory of all slots. Values are their numbers within their slots.
pub(super) struct Predictions {
    slots: usize,
    /// By slot: one more than the value that it had last; 0 for none.
    latest: Vec<u32>,
    /// By context and slot: one more than the last value there; 0 for none.
    contexts: Vec<u32>,
    most_contexts: usize,
}

impl Predictions {
    pub(super) fn new(slots: usize) -> Predictions {
        Predictions {
            slots,
            latest: vec![0; slots],
            contexts: Vec::new(),
            most_contexts: MAX_PREDICTIONS / slots,
        }
    }

    /// The value that the slot had last: in this session, or at the end of one before.
    #[inline]
    pub(super) fn as_before(&self, slot: usize) -> Option<u32> {
        self.latest[slot].checked_sub(1)
    }

    /// The value that the slot had last in that context.
    #[inline]
    pub(super) fn in_context(&self, context: usize, slot: usize) -> Option<u32> {
        self.contexts.get(context * self.slots + slot)?.checked_sub(1)
    }

    /// The slot has this value now. Contexts beyond the bound are not remembered.
    #[inline]
    pub(super) fn learn(&mut self, context: usize, slot: usize, value: u32) {
        self.latest[slot] = value + 1;
        if context < self.most_contexts {
            let place = context * self.slots + slot;
            if self.contexts.len() <= place {
                self.contexts.resize((context + 1) * self.slots, 0);
            }
            self.contexts[place] = value + 1;
        }
    }

    /// These slots have in another context the values that they had last.
    pub(super) fn learn_again(&mut self, context: usize, slots: impl Iterator<Item = usize>) {
        if context < self.most_contexts {
            let start = context * self.slots;
            if self.contexts.len() <= start {
                self.contexts.resize(start + self.slots, 0);
            }
            let known = &mut self.contexts[start..start + self.slots];
            slots.for_each(|slot| known[slot] = self.latest[slot]);
        }
    }
}
