//! The requests of a connection that are not answered yet, or not wholly sent.

use crate::exchange::{Protocol, Request, Response};
use crate::import::http1::body::{BodyReader, Framing};
use crate::import::http1::collect::Collector;
use crate::import::pcap::context::{Context, Ending};
use crate::import::pcap::streams::Log;
use crate::notes::Notes;
use crate::{Body, Exchange};

/// An exchange at work.
pub(super) struct Pending {
    pub(super) exchange: Exchange,
    pub(super) log: Log,
    /// Where the request begins in what the client sent, and how much the client had of the server's answers then.
    pub(super) begins: u64,
    pub(super) acked: u64,
    /// Where it ends, once that is known.
    pub(super) ends: Option<u64>,
    /// Whatever was missing at its end may have been more than one request.
    pub(super) is_torn: bool,
    /// The request is complete, or will not be.
    pub(super) is_asked: bool,
    /// The answer is, or will not come.
    pub(super) is_answered: bool,
}

/// A body at work.
pub(super) struct Reading {
    pub(super) reader: BodyReader,
    body: Collector,
    is_missing: bool,
}

impl Pending {
    pub(super) fn new(
        request: Request,
        protocol: Protocol,
        start_us: u64,
        (begins, acked): (u64, u64),
    ) -> Pending {
        let log = Log::of_request(&request);
        let exchange = Exchange { start_us, protocol, request, ..Exchange::default() };
        Pending {
            exchange,
            log,
            begins,
            acked,
            ends: None,
            is_torn: false,
            is_asked: false,
            is_answered: false,
        }
    }

    /// Microseconds from its start.
    pub(super) fn since(&self, at_us: u64) -> u64 {
        at_us.saturating_sub(self.exchange.start_us)
    }

    /// Whether what follows is HTTP only if the server declines.
    pub(super) fn may_switch(&self) -> bool {
        let request = &self.exchange.request;
        request.method == "CONNECT" || request.headers.contains("upgrade")
    }

    pub(super) fn asked(&mut self, body: Body, mut notes: Notes, is_cut: bool) {
        if is_cut {
            notes.insert(Notes::REQUEST_TRUNCATED);
        }
        self.exchange.request.body = body;
        self.exchange.notes.insert(notes);
        self.is_asked = true;
    }

    pub(super) fn answered(&mut self, body: Body, mut notes: Notes, is_cut: bool) {
        if is_cut {
            notes.insert(Notes::RESPONSE_TRUNCATED);
        }
        if let Some(response) = &mut self.exchange.response {
            response.body = body;
        }
        self.exchange.notes.insert(notes);
        self.is_answered = true;
    }

    /// The head of its answer is there.
    pub(super) fn answer(&mut self, response: Response, first_us: u64, last_us: u64) {
        self.log.answered(&response.headers);
        self.exchange.ttfb_us = Some(self.since(first_us));
        self.exchange.duration_us = Some(self.since(last_us));
        self.exchange.response = Some(response);
    }

    pub(super) fn finish(self) -> Exchange {
        let mut exchange = self.exchange;
        self.log.attach(&mut exchange);
        exchange
    }

    /// The connection ended before it was answered.
    pub(super) fn left(&mut self, ending: Ending) {
        if self.exchange.response.is_none() {
            match ending.by_client {
                Some(true) => self.exchange.notes.insert(Notes::CLIENT_GONE),
                Some(false) => self.exchange.notes.insert(Notes::UPSTREAM_FAILED),
                None => {}
            }
        }
    }
}

impl Reading {
    pub(super) fn new(framing: Framing, of_client: bool, context: &Context) -> Reading {
        let reader = BodyReader::new(framing);
        Reading { reader, body: context.collect(of_client), is_missing: false }
    }

    /// Takes what belongs to the body, hands its bytes to `seen` too, and says how much that was.
    pub(super) fn feed(&mut self, bytes: &[u8], seen: &mut dyn FnMut(&[u8])) -> usize {
        let body = &mut self.body;
        self.reader.feed(bytes, &mut |data| {
            body.push(data);
            seen(data);
        })
    }

    /// Bytes are missing here; `false` when nobody can say what follows them.
    pub(super) fn miss(&mut self, len: u64) -> bool {
        let goes_on = self.reader.skip(len);
        self.is_missing = true;
        if goes_on {
            self.body.miss(len);
        }
        goes_on
    }

    /// The body, what is to be said about it, and whether it is cut. Until the end of the connection is whole if that
    /// was in order.
    pub(super) fn finish(self, keep: bool, in_order: bool) -> (Body, Notes, bool) {
        let ended = self.reader.is_done() || self.reader.is_until_close() && in_order;
        let notes = if self.reader.has_trailers() { Notes::LOSSY } else { Notes::NONE };
        let (mut body, is_cut) = self.body.finish(keep);
        if !ended || self.is_missing {
            body.hash = None;
        }
        (body, notes, is_cut || !ended || self.is_missing)
    }
}
