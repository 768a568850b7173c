//! What an exchange copies of itself while it passes: for the recording, and for rules that copy requests.

use bytes::Bytes;
use fault_rules::Action;
use pingora_http::ResponseHeader;

use super::{BodyCopy, Heads, Open, Part, StreamLog};
use crate::recorder::{BodyPolicy, Keep};
use crate::shared::Shared;

impl Open {
    /// The request header as it came, for the capture.
    pub(crate) fn keep_heads(&mut self, heads: Heads) {
        self.heads = Some(heads);
    }

    /// The upstream's answer has begun, and is to be recorded: what will be wanted of it?
    pub(crate) fn keep_answer(&mut self, answer: &ResponseHeader, shared: &Shared) {
        let Some(recorder) = &shared.recorder else { return };
        let (policy, limit) = (shared.config.record_bodies.response, shared.config.body_limit);
        if let Some(heads) = &mut self.heads {
            policy.copy_fields(answer, heads);
        }
        let mut keep = policy.keep_answer(&answer.headers, limit);
        if self.answer.is_upgraded() {
            // what follows is no body, neither of the request nor of the answer: it must not end up in the capture as one
            self.request_body.end();
            keep = BodyPolicy::None.keep(limit);
        }
        self.answer.keep(BodyCopy::new(keep, Some(recorder.answers())));
        match &mut self.stream {
            Some(stream) => stream.answered(answer.status, &answer.headers),
            None if self.answer.streams => {
                // what a client says over a WebSocket is as its requests are
                let limit = shared.config.record_bodies.request.keep(limit).limit;
                self.stream = StreamLog::of_answer(answer.status, &answer.headers, limit, recorder.budget());
            }
            None => {}
        }
    }

    /// A piece of what the client sends.
    pub(crate) fn note_request_body(&mut self, chunk: &Bytes) {
        if !self.answer.is_upgraded() {
            self.request_body.push(chunk);
        }
        if let Some(stream) = &mut self.stream {
            stream.request(chunk, self.started.elapsed());
        }
    }

    /// A piece of what the upstream sends.
    pub(crate) fn note_answer_body(&mut self, chunk: &Bytes) {
        self.answer.body(chunk);
        if let Some(keeping) = &mut self.keeping {
            keeping.push(chunk);
        }
        if let Some(stream) = &mut self.stream {
            stream.answer(chunk, self.started.elapsed());
        }
    }

    /// The request is about to be sent, for the first time or again from its start.
    pub(crate) fn restart(&mut self) {
        self.request_body.restart();
        if let Some(stream) = &mut self.stream {
            stream.restart();
        }
    }

    /// What will be asked for of the request's body, by the recording or by a rule that copies the request?
    pub(super) fn keep(&self, shared: &Shared) -> Keep {
        let copies =
            |part: &Part| matches!(part.action(&self.live), Some(Action::Storm(_) | Action::Duplicate(_)));
        let limit = shared.config.body_limit;
        let recorded = match self.is_recorded(shared) {
            true => shared.config.record_bodies.request.keep(limit),
            false => Keep::default(),
        };
        match self.plan.parts.iter().any(copies) {
            true => Keep { limit: recorded.limit.max(limit), whole_only: false, ..recorded },
            false => recorded,
        }
    }
}
