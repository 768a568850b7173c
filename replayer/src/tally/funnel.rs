//! How far sessions got: by the place of a step in its session, how many reached it and how it ended.

use crate::limits;

/// Counts by step. The last of [`limits::FUNNEL_STEPS`] stands for all further ones, each counted by itself. A step
/// ends once, whatever the number of its attempts; one that the end of the run cut off has not ended.
#[derive(Debug)]
pub(crate) struct FunnelTally {
    /// Those of the steps that any session reached.
    steps: Vec<StepTally>,
    routes: usize,
}

/// One step.
#[derive(Clone, Debug)]
pub(crate) struct StepTally {
    /// Sessions that sent it.
    pub(crate) reached: u64,
    /// Its last attempt was answered, and not by 429 or 5xx.
    pub(crate) completed: u64,
    /// Its last attempt was answered 429 or 5xx, or not answered.
    pub(crate) failed: u64,
    /// Those of `reached`, by route.
    by_route: Vec<u64>,
}

impl FunnelTally {
    pub(super) fn new(routes: usize) -> FunnelTally {
        FunnelTally { steps: Vec::new(), routes }
    }

    /// A session sent its step for the first time.
    pub(crate) fn reach(&mut self, step: u32, route: u16) {
        let step = self.step(step);
        step.reached += 1;
        if let Some(count) = step.by_route.get_mut(usize::from(route)) {
            *count += 1;
        }
    }

    /// A step that was reached is over.
    pub(crate) fn end(&mut self, step: u32, well: bool) {
        let step = self.step(step);
        step.completed += u64::from(well);
        step.failed += u64::from(!well);
    }

    pub(super) fn merge(&mut self, other: &FunnelTally) {
        for (place, more) in other.steps.iter().enumerate() {
            let sum = self.step(u32::try_from(place).unwrap_or(u32::MAX));
            sum.reached += more.reached;
            sum.completed += more.completed;
            sum.failed += more.failed;
            for (sum, more) in sum.by_route.iter_mut().zip(&more.by_route) {
                *sum += more;
            }
        }
    }

    pub(crate) fn steps(&self) -> &[StepTally] {
        &self.steps
    }

    fn step(&mut self, step: u32) -> &mut StepTally {
        let place = (step as usize).min(limits::FUNNEL_STEPS - 1);
        if self.steps.len() <= place {
            let blank = StepTally { reached: 0, completed: 0, failed: 0, by_route: vec![0; self.routes] };
            self.steps.resize(place + 1, blank);
        }
        &mut self.steps[place]
    }
}

impl StepTally {
    /// The route that most sessions took at this step.
    pub(crate) fn route(&self) -> Option<usize> {
        let routes = self.by_route.iter().enumerate().filter(|(_, count)| **count > 0);
        routes.max_by_key(|(place, count)| (**count, std::cmp::Reverse(*place))).map(|(place, _)| place)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    struct Walk {
        /// Route of each step, and how it ended; `None`: it did not.
        steps: Vec<(u16, Option<bool>)>,
        thread: bool,
    }

    fn walks() -> impl Strategy<Value = Vec<Walk>> {
        let steps = proptest::collection::vec((0..4_u16, proptest::option::of(any::<bool>())), 0..90);
        let walk = (steps, any::<bool>()).prop_map(|(steps, thread)| Walk { steps, thread });
        proptest::collection::vec(walk, 0..30)
    }

    fn tally<'w>(walks: impl Iterator<Item = &'w Walk>) -> FunnelTally {
        let mut tally = FunnelTally::new(4);
        for walk in walks {
            for (place, (route, end)) in (0..).zip(&walk.steps) {
                tally.reach(place, *route);
                end.iter().for_each(|well| tally.end(place, *well));
            }
        }
        tally
    }

    proptest! {
        #[test]
        fn a_step_ends_at_most_as_often_as_it_is_reached(walks in walks()) {
            let whole = tally(walks.iter());
            prop_assert!(whole.steps().len() <= limits::FUNNEL_STEPS);
            for step in whole.steps() {
                prop_assert!(step.completed + step.failed <= step.reached);
                prop_assert_eq!(step.by_route.iter().sum::<u64>(), step.reached);
            }
            let reached: u64 = whole.steps().iter().map(|step| step.reached).sum();
            prop_assert_eq!(reached, walks.iter().map(|walk| walk.steps.len() as u64).sum::<u64>());
            let mut sum = tally(walks.iter().filter(|walk| walk.thread));
            sum.merge(&tally(walks.iter().filter(|walk| !walk.thread)));
            prop_assert_eq!(format!("{:?}", sum.steps()), format!("{:?}", whole.steps()));
        }
    }

    #[test]
    fn the_route_of_a_step_is_the_most_common_one() {
        let mut tally = FunnelTally::new(4);
        [2, 1, 2, 3].iter().for_each(|route| tally.reach(0, *route));
        tally.reach(2, 3);
        let routes: Vec<_> = tally.steps().iter().map(StepTally::route).collect();
        assert_eq!(routes, [Some(2), None, Some(3)]);
    }
}
