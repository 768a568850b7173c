//! Who a start of a Poisson process is: the members of a source in recorded order, each as often as the load over its
//! window says, pass after pass.

use crate::population::open::{Open, Source};

/// A place in that order, which only moves on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identities {
    pass: u64,
    member: usize,
    /// Ordinal within the source of the member's first clone on this pass.
    first: u64,
    /// How many it has on this pass; unknown before the first question.
    clones: Option<u32>,
    /// Clones of each member on earlier passes; empty on the first.
    earlier: Vec<u32>,
}

impl Identities {
    /// Index of the member and number of the clone that start `ordinal` of the source is. Ordinals must not fall.
    pub(crate) fn at(&mut self, open: &Open, source: &Source, ordinal: u64) -> (usize, u32) {
        loop {
            let clones = match self.clones {
                Some(clones) => clones,
                None => times(open, source, self.pass, self.member),
            };
            self.clones = Some(clones);
            let place = ordinal - self.first;
            if place < u64::from(clones) {
                let earlier = self.earlier.get(self.member).copied().unwrap_or(0);
                return (self.member, earlier.wrapping_add(place as u32));
            }
            self.pass_on(source, clones);
        }
    }

    fn pass_on(&mut self, source: &Source, clones: u32) {
        if self.earlier.is_empty() {
            self.earlier = vec![0; source.members.len()];
        }
        let earlier = &mut self.earlier[self.member];
        *earlier = earlier.wrapping_add(clones);
        self.first += u64::from(clones);
        self.clones = None;
        self.member += 1;
        if self.member == source.members.len() {
            self.member = 0;
            self.pass += 1;
        }
    }
}

/// Steps of the first `sessions` starts of a source.
pub(crate) fn steps(open: &Open, source: &Source, sessions: u64) -> u64 {
    let (mut left, mut sum) = (sessions, 0);
    let (mut pass, mut member) = (0, 0);
    while 0 < left {
        let clones = u64::from(times(open, source, pass, member)).min(left);
        sum += clones * u64::from(source.members[member].steps);
        left -= clones;
        member += 1;
        if member == source.members.len() {
            (pass, member) = (pass + 1, 0);
        }
    }
    sum
}

/// How often a member comes on a pass. Chance may need more sessions than the load gives: then each comes once more.
fn times(open: &Open, source: &Source, pass: u64, member: usize) -> u32 {
    open.window(source, pass, member).map_or(1, |window| window.clones)
}
