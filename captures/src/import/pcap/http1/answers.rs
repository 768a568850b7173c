//! What the server sends.

use super::pending::{Pending, Reading};
use super::{Head, Http1, Part, State, Tunnel};
use crate::Body;
use crate::exchange::Response;
use crate::import::http1::body::{Framing, of_response};
use crate::import::http1::head::{self, ResponseHead, begins_response, whole_lines};
use crate::import::pcap::http2::Http2;
use crate::notes::Notes;

impl Http1 {
    /// Takes some of the bytes, and says how many.
    pub(super) fn answer_bytes(&mut self, part: Part<'_>) -> usize {
        match &mut self.server.state {
            State::Head => self.answer_head(part),
            State::Body(reading) => {
                let answered = self.answered.and_then(|at| self.pending.get_mut(at));
                let used = match answered {
                    Some(pending) => {
                        let at_us = pending.since(part.at_us);
                        pending.exchange.duration_us = pending.exchange.duration_us.max(Some(at_us));
                        let log = &mut pending.log;
                        reading.feed(part.bytes, &mut |data| log.feed(false, data, at_us))
                    }
                    None => reading.feed(part.bytes, &mut |_| {}),
                };
                if reading.reader.is_over() {
                    self.end_of_answer(true);
                }
                used
            }
            State::Lost if begins_response(part.bytes) == Some(true) => {
                self.server.state = State::Head;
                0
            }
            State::Lost => part.bytes.len(),
        }
    }

    pub(super) fn answer_gap(&mut self, len: u64) {
        match &mut self.server.state {
            State::Head => {
                self.cut_answer();
                self.server.lose();
            }
            State::Body(reading) => {
                let goes_on = reading.miss(len);
                if let Some(pending) = self.answered.and_then(|at| self.pending.get_mut(at)) {
                    pending.log.miss(false);
                }
                if !goes_on || reading.reader.is_over() {
                    self.end_of_answer(false);
                }
                if !goes_on {
                    self.server.lose();
                }
            }
            State::Lost => {}
        }
    }

    /// Nothing more comes of the answer at hand.
    pub(super) fn end_of_answer(&mut self, in_order: bool) {
        match std::mem::replace(&mut self.server.state, State::Head) {
            State::Head => self.cut_answer(),
            State::Body(reading) => {
                let (body, notes, is_cut) = reading.finish(self.context.response_bodies, in_order);
                self.answer_ends(body, notes, is_cut);
            }
            State::Lost => self.server.state = State::Lost,
        }
    }

    fn answer_ends(&mut self, body: Body, notes: Notes, is_cut: bool) {
        match self.answered.take().and_then(|at| self.pending.get_mut(at)) {
            Some(pending) => pending.answered(body, notes, is_cut),
            None => self.out.note("answers without a request", 1),
        }
    }

    fn answer_head(&mut self, part: Part<'_>) -> usize {
        let all = part.bytes.len();
        if self.server.head.is_empty() {
            self.pair(part.acked);
        }
        match self.server.head(part) {
            Head::Whole(head, used) => match head::response(&head) {
                Ok(head) => {
                    self.begin_answer(head, part.at_us);
                    used
                }
                Err(_) => self.no_answer(all),
            },
            Head::TooLong => self.no_answer(all),
            Head::More if begins_response(&self.server.head) == Some(false) => self.no_answer(all),
            Head::More => all,
        }
    }

    fn no_answer(&mut self, used: usize) -> usize {
        self.out.damage.push("what a server sent is no answer of HTTP");
        self.server.lose();
        used
    }

    /// Finds out which request an answer belongs to that begins now. `acked`: how much the server had of what the client
    /// sent.
    fn pair(&mut self, acked: u64) {
        self.answered = None;
        let Some(mut at) = self.unanswered() else { return };
        let is_known = self.server.was_lost && !self.is_pipelined && acked != u64::MAX;
        let is_before = |pending: &Pending, next: Option<&Pending>| {
            let ended = pending.is_torn || pending.ends.is_some_and(|ends| ends + 1 < acked);
            ended || next.is_some_and(|next| next.begins < acked)
        };
        while is_known && is_before(&self.pending[at], self.pending.get(at + 1)) {
            // the server had more than this request: it was answered before, and who asks again knows that
            self.pending[at].answered(Body::default(), Notes::LOSSY, false);
            self.out.note("answers that were not captured", 1);
            at += 1;
            if self.pending.len() == at {
                return;
            }
        }
        // what was sent before the server had any of a request is no answer to it
        self.answered = Some(at).filter(|at| self.pending[*at].begins < acked);
    }

    fn begin_answer(&mut self, head: ResponseHead, last_us: u64) {
        let ResponseHead { status, headers, .. } = head;
        let first_us = self.server.began.0;
        let Some(pending) = self.answered.and_then(|at| self.pending.get_mut(at)) else {
            // nobody knows what was asked, hardly ever HEAD
            return self.begin_answer_body(of_response("GET", status, &headers));
        };
        let method = pending.exchange.request.method.clone();
        let switches = status == 101 || method == "CONNECT" && (200..300).contains(&status);
        if (100..200).contains(&status) && !switches {
            return;
        }
        let framing = of_response(&method, status, &headers);
        pending.answer(Response { status, headers, body: Body::default() }, first_us, last_us);
        match switches {
            true => self.switch(status),
            false => self.begin_answer_body(framing),
        }
    }

    fn begin_answer_body(&mut self, framing: Framing) {
        match framing {
            Framing::Length(0) => self.answer_ends(Body::default(), Notes::NONE, false),
            _ => self.server.state = State::Body(Reading::new(framing, false, &self.context)),
        }
    }

    /// The connection leaves HTTP; its exchange ends when the connection does, and is the first of those left.
    fn switch(&mut self, status: u16) {
        let Some(mut pending) = self.answered.take().and_then(|at| self.pending.remove(at)) else { return };
        let upgrade =
            pending.exchange.request.headers.get_str("upgrade").unwrap_or_default().to_ascii_lowercase();
        let is = |name: &str| status == 101 && upgrade.split(',').any(|word| word.trim() == name);
        if is("h2c") {
            // its answer comes by HTTP/2
            let http2 = Http2::upgraded(self.context.clone(), pending.exchange);
            self.tunnel = Some(Tunnel::Http2(Box::new(http2)));
            return;
        }
        self.tunnel = Some(match is("websocket") {
            true => Tunnel::WebSocket,
            false => Tunnel::Closed,
        });
        if is("websocket") {
            pending.log.upgraded();
        }
        self.pending.push_front(pending);
    }

    /// A head that was not captured whole still says the status, if its first line is there.
    fn cut_answer(&mut self) {
        let head = std::mem::take(&mut self.server.head);
        if head.is_empty() {
            return;
        }
        self.out.damage.push("the head of an answer was not captured whole");
        let lines = whole_lines(&head);
        let Some(read) = head::response(lines).ok().filter(|head| 200 <= head.status) else { return };
        let (first_us, ..) = self.server.began;
        let mut body = Body::default();
        if let Some(pending) = self.answered.and_then(|at| self.pending.get_mut(at)) {
            if let Framing::Length(len) =
                of_response(&pending.exchange.request.method, read.status, &read.headers)
            {
                body.len = len;
            }
            let response = Response { status: read.status, headers: read.headers, body: Body::default() };
            pending.answer(response, first_us, first_us);
        }
        self.answer_ends(body, Notes::LOSSY, true);
    }
}
