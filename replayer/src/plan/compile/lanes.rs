//! Which connection of its session each step uses.

use crate::options::Connections;
use crate::plan::compile::StepDraft;

/// Gives lanes to the steps of one session; `recorded` are their connections.
pub(super) fn assign(
    steps: &mut [StepDraft],
    recorded: &[Option<u64>],
    policy: Connections,
    multiplexed: bool,
) {
    let mut lanes = Lanes::default();
    for (step, connection) in steps.iter_mut().zip(recorded) {
        let owner = match policy {
            Connections::Recorded => *connection,
            Connections::PerSession => Some(0),
            Connections::Shared => None,
        };
        if let Some(owner) = owner {
            step.lane = lanes.take(owner, (step.offset_us, step.end_us), multiplexed);
        }
    }
    let mut seen = vec![false; lanes.lanes.len()];
    for step in steps.iter_mut().rev() {
        if let Some(lane) = step.lane {
            step.last_on_lane = !std::mem::replace(&mut seen[usize::from(lane)], true);
        }
    }
}

/// The lanes of a session so far: the connection that each stands for, and until when it is busy.
#[derive(Default)]
struct Lanes {
    lanes: Vec<(u64, u64)>,
}

impl Lanes {
    /// One lane for each connection, and one more wherever several requests overlap on one that is not multiplexed.
    fn take(&mut self, owner: u64, (start, end): (u64, u64), multiplexed: bool) -> Option<u16> {
        let free = |(known, until): &(u64, u64)| *known == owner && (multiplexed || *until <= start);
        let lane = self.lanes.iter().position(free).unwrap_or(self.lanes.len());
        let number = u16::try_from(lane).ok().filter(|number| *number < u16::MAX)?;
        if lane == self.lanes.len() {
            self.lanes.push((owner, end));
        } else {
            self.lanes[lane].1 = self.lanes[lane].1.max(end);
        }
        Some(number)
    }
}
