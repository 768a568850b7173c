//! Which answers are compared with the recorded ones: those to chosen exchanges, of the recorded status, that no rule touched
//! and that belong to sessions to which nothing has happened. What was done to the others shows in what they are told.

use crate::drift::{Answer, Answers, NO_LENGTH};
use crate::engine::Job;
use crate::engine::records::{Engine, Op, Session};

/// The head of an answer came: whether its body is for [`Answers::body`].
pub(crate) fn looks_at(
    job: &Job,
    answers: &mut Answers,
    (op, record): (u32, &Op),
    session: &Session,
    now: u64,
) -> bool {
    let step = job.plan.step(session.program, record.step);
    if step.answer().shape == 0 || record.status != step.status() {
        return false;
    }
    let Some(exchange) = job.plan.chosen.number(session.program, record.step) else { return false };
    let is_touched = record.fault.is_some() || record.below.is_some();
    let is_sound = !is_touched && !record.by_proxy && !session.hurt && !record.is_double;
    is_sound
        && answers.wants(exchange, session.program, session.clone)
        && answers.begin(op, step.route(), now)
}

/// The number of a content coding.
pub(crate) fn coding(value: &[u8]) -> u8 {
    let known = CODINGS.iter().position(|name| value.trim_ascii().eq_ignore_ascii_case(name.as_bytes()));
    match known {
        Some(0 | IDENTITY) => 0,
        Some(number) => number as u8,
        None => OTHER,
    }
}

impl Engine {
    /// An operation has its answer, which is the last.
    pub(crate) fn compare(&mut self, op: u32, now: u64) {
        let record = &self.ops[op];
        let session = &self.sessions[record.session];
        let (program, clone) = (session.program, session.clone);
        let plan = &self.job.plan;
        let Some(exchange) = plan.chosen.number(program, record.step) else { return };
        let step = plan.step(program, record.step);
        let answers = &mut self.tally.answers;
        let is_sound = !session.hurt && !record.is_double && self.warmup_ns <= record.intended_ns;
        if !is_sound || record.status != step.status() || !answers.wants(exchange, program, clone) {
            answers.forget(op);
            return;
        }
        let is_comparable = record.coding == 0 || !step.answer().is_plain;
        let len = u32::try_from(record.body_len).unwrap_or(NO_LENGTH).min(NO_LENGTH - 1);
        let shape = answers.finish(op, CODINGS[usize::from(record.coding)]);
        let at_ms = u32::try_from(now / 1_000_000).unwrap_or(u32::MAX);
        let len = if is_comparable { len } else { NO_LENGTH };
        answers.keep(exchange, program, Answer { clone, at_ms, len, shape });
    }
}

/// Content codings by number; the last stands for all others.
const CODINGS: [&str; 8] = ["", "gzip", "x-gzip", "deflate", "br", "zstd", "identity", "?"];
const IDENTITY: usize = 6;
const OTHER: u8 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_have_numbers() {
        for (value, name) in
            [("", ""), (" GZip ", "gzip"), ("identity", ""), ("br", "br"), ("gzip, br", "?"), ("x", "?")]
        {
            assert_eq!(CODINGS[usize::from(coding(value.as_bytes()))], name, "{value}");
        }
    }
}
