//! The shape of the captures, as they would be if they were replayed once at the speed of the plan.

use crate::plan::Plan;
use crate::population::shape::Sample;

impl Plan {
    /// Session starts, requests in bins and requests by route of all captures, each from its own start. It takes as
    /// long as walking over all steps once.
    pub(crate) fn recorded_shape(&self) -> Sample {
        let mut all = Sample::default();
        for source in 0..self.cohorts.len() {
            let mut sample = Sample::default();
            for program in self.programs().filter(|program| usize::from(program.source()) == source) {
                let start_us = program.start_us();
                sample.start(self.due_ns(start_us) / 1000, program.len());
                for step in program.steps() {
                    let at_us = start_us.saturating_add(step.offset_us());
                    sample.request(self.due_ns(at_us) / 1000, step.route());
                }
            }
            all.merge(&sample);
        }
        all
    }
}
