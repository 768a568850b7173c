//! The span of an attempt that has ended, where spans go anywhere and its operation is sampled.

use crate::engine::records::Engine;
use crate::evidence::Fate;
use crate::traces::Ended;

impl Engine {
    /// Tells it to the collector's thread.
    pub(crate) fn trace(&self, op: u32, fate: Fate, now: u64) {
        let Some(traces) = &self.job.traces else { return };
        let record = &self.ops[op];
        let Some(name) = traces.name(record.id, record.attempt) else { return };
        let session = &self.sessions[record.session];
        let program = self.job.plan.program(session.program);
        let step = program.step(record.step);
        let ended_ns = self.answered_at(op, now);
        let ended = Ended {
            route: self.job.plan.routes.get(usize::from(step.route())).map_or("", String::as_str),
            path: step.path(),
            clone: (program.session(), session.clone),
            operation: record.id,
            attempt: record.attempt,
            fate,
            rules: record.fault.as_deref(),
            took_ns: ended_ns.saturating_sub(record.sent_ns),
            ago_ns: now.saturating_sub(ended_ns),
        };
        traces.send(name, &ended);
    }
}
