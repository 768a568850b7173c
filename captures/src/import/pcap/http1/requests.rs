//! What the client sends.

use super::pending::{Pending, Reading};
use super::{Head, Http1, Part, State};
use crate::Body;
use crate::import::http1::body::{Framing, of_request};
use crate::import::http1::head::{self, begins_request, whole_lines};
use crate::import::http1::request;
use crate::notes::Notes;

impl Http1 {
    /// Takes some of the bytes, and says how many.
    pub(super) fn request_bytes(&mut self, part: Part<'_>) -> usize {
        match &mut self.client.state {
            State::Head => self.request_head(part),
            State::Body(reading) => {
                let Some(pending) = self.pending.back_mut() else { return part.bytes.len() };
                let at_us = pending.since(part.at_us);
                let log = &mut pending.log;
                let used = reading.feed(part.bytes, &mut |data| log.feed(true, data, at_us));
                if reading.reader.is_over() {
                    self.end_of_request(Some(part.place + used as u64));
                }
                used
            }
            State::Lost if begins_request(part.bytes) == Some(true) => {
                self.client.state = State::Head;
                0
            }
            State::Lost => part.bytes.len(),
        }
    }

    pub(super) fn request_gap(&mut self, len: u64, in_packet: bool) {
        match &mut self.client.state {
            State::Head => {
                self.cut_request(Some(self.client_place).filter(|_| in_packet));
                self.client.lose();
            }
            State::Body(reading) => {
                let goes_on = reading.miss(len);
                if !goes_on || reading.reader.is_over() {
                    self.end_of_request(Some(self.client_place).filter(|_| goes_on));
                }
                if !goes_on {
                    self.client.lose();
                }
            }
            State::Lost => {}
        }
    }

    /// Nothing more comes of the request at hand, which ends there if it is whole.
    pub(super) fn end_of_request(&mut self, place: Option<u64>) {
        match std::mem::replace(&mut self.client.state, State::Head) {
            State::Head => self.cut_request(None),
            State::Body(reading) => {
                let (body, notes, is_cut) = reading.finish(true, false);
                if let Some(pending) = self.pending.back_mut() {
                    pending.asked(body, notes, is_cut);
                    pending.ends = place;
                }
            }
            State::Lost => self.client.state = State::Lost,
        }
    }

    fn request_head(&mut self, part: Part<'_>) -> usize {
        let had_line = self.client.head.contains(&b'\n');
        let all = part.bytes.len();
        match self.client.head(part) {
            Head::Whole(head, used) => match head::request(&head) {
                Ok(_) => {
                    self.begin_request(&head);
                    used
                }
                Err(_) => self.no_request(all),
            },
            Head::TooLong => self.no_request(all),
            // a whole line tells, and of the rest the first bytes
            Head::More if had_line || begins_request(self.client.first_line()) != Some(false) => all,
            Head::More => self.no_request(all),
        }
    }

    fn no_request(&mut self, used: usize) -> usize {
        self.out.damage.push("what a client sent is no request of HTTP");
        self.client.lose();
        used
    }

    fn begin_request(&mut self, bytes: &[u8]) {
        let Ok(head) = head::request(bytes) else { return };
        let (start_us, begins, acked) = self.client.began;
        // the client had nothing new from the server since the request before
        self.is_pipelined |= self.pending.back().is_some_and(|last| acked != u64::MAX && acked <= last.acked);
        let framing = of_request(&head.headers);
        let protocol = head.protocol;
        let request = request(head, &self.context.server);
        let mut pending = Pending::new(request, protocol, start_us, (begins, acked));
        match framing {
            Framing::Length(0) => {
                pending.asked(Body::default(), Notes::NONE, false);
                pending.ends = Some(begins + bytes.len() as u64);
            }
            _ => self.client.state = State::Body(Reading::new(framing, true, &self.context)),
        }
        self.pending.push_back(pending);
    }

    /// A head that was not captured whole still says what was asked, if its first line is there. `place`: where the request
    /// ends if it has no body.
    fn cut_request(&mut self, place: Option<u64>) {
        let head = std::mem::take(&mut self.client.head);
        if head.is_empty() {
            return;
        }
        self.out.damage.push("the head of a request was not captured whole");
        let lines = whole_lines(&head);
        let Ok(read) = head::request(lines) else { return };
        self.begin_request(lines);
        self.client.state = State::Head;
        if let Some(pending) = self.pending.back_mut() {
            let len = if let Framing::Length(len) = of_request(&read.headers) { len } else { 0 };
            pending.asked(Body::digest(len, None), Notes::LOSSY, true);
            pending.ends = place.filter(|_| len == 0);
            pending.is_torn = place.is_none();
        }
    }
}
