//! Rules on the calls that an exchange causes at other edges.
//!
//! The exchange itself is not touched, so it bears no `squall-fault`; but what becomes of it may follow from what became of
//! its calls. Its answer names those rules (`squall-fault-below`), so that a replay can compare the exchanges whose
//! calls were touched with those whose were not.

use smallvec::SmallVec;

use super::Open;

impl Open {
    /// If another exchange caused this one, it learns which rules have touched this one so far. What was only asked for may
    /// never be done, and would take the blame for what it did not do.
    pub(crate) fn tell_root(&self) {
        if !self.plan.parts.is_empty() {
            let rules = self.plan.touched(&self.live);
            self.link.touched(rules.into_iter().map(|rule| &self.live.ids[rule]));
        }
    }

    /// The same of a rule that begins to hold this exchange: whoever waits for it may give up before the rule lets go.
    pub(crate) fn tell_root_of(&self, part: usize) {
        self.link.touched(std::iter::once(&self.live.ids[self.plan.parts[part].rule]));
    }

    /// The value of the `squall-fault-below` header: rules that touched calls of this exchange so far.
    pub(crate) fn below_header(&self) -> Option<String> {
        let rules = self.link.below();
        let ids: SmallVec<[&str; 2]> = rules.iter().map(|rule| &**rule).collect();
        (!ids.is_empty()).then(|| ids.join(", "))
    }
}
