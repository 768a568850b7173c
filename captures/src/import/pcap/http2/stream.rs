//! One stream: an exchange.

use super::heads::Fields;
use crate::Exchange;
use crate::exchange::{Protocol, Request, Response};
use crate::import::encode_target;
use crate::import::http1::collect::Collector;
use crate::import::pcap::context::{Context, Ending};
use crate::import::pcap::streams::Log;
use crate::notes::Notes;

/// An exchange at work.
pub(super) struct Stream {
    exchange: Exchange,
    log: Log,
    request: Half,
    answer: Half,
    is_websocket: bool,
}

/// What one side sends.
struct Half {
    body: Collector,
    /// It sends nothing more.
    is_over: bool,
    /// It broke off, or bytes are missing.
    is_cut: bool,
}

impl Stream {
    pub(super) fn new(fields: Fields, start_us: u64, context: &Context) -> Stream {
        let Fields { method, scheme, authority, path, protocol, headers, is_cut, .. } = fields;
        let host = || headers.get("host").map(|host| String::from_utf8_lossy(host).into_owned());
        let authority = match authority {
            none if none.is_empty() => host().unwrap_or_else(|| context.server.clone()),
            authority => authority,
        };
        let target = match (path.as_slice(), method.as_str()) {
            ([], "CONNECT") => authority.clone(),
            ([], _) => "/".to_owned(),
            (path, _) => encode_target(path),
        };
        let method = if method.is_empty() { "GET".to_owned() } else { method };
        let request = Request { method, scheme, authority, target, headers, ..Request::default() };
        let log = Log::of_request(&request);
        let notes = if is_cut { Notes::LOSSY } else { Notes::NONE };
        let exchange =
            Exchange { start_us, protocol: Protocol::Http2, request, notes, ..Exchange::default() };
        let is_websocket = protocol.eq_ignore_ascii_case("websocket");
        Stream {
            exchange,
            log,
            request: Half::new(true, context),
            answer: Half::new(false, context),
            is_websocket,
        }
    }

    /// The exchange of an upgrade: its request is complete.
    pub(super) fn upgraded(exchange: Exchange, context: &Context) -> Stream {
        let exchange = Exchange {
            protocol: Protocol::Http2,
            response: None,
            ttfb_us: None,
            duration_us: None,
            ..exchange
        };
        let mut request = Half::new(true, context);
        if let Some(data) = &exchange.request.body.data {
            request.body.push(data);
        }
        request.is_over = true;
        let log = Log::of_request(&exchange.request);
        Stream { exchange, log, request, answer: Half::new(false, context), is_websocket: false }
    }

    pub(super) fn answer(&mut self, fields: Fields, began_us: u64, at_us: u64) {
        let Some(status) = fields.status.filter(|_| self.exchange.response.is_none()) else {
            return self.trailers();
        };
        if status < 200 {
            return;
        }
        if self.is_websocket && status < 300 {
            self.log.upgraded();
        } else {
            self.log.answered(&fields.headers);
        }
        if fields.is_cut {
            self.exchange.notes.insert(Notes::LOSSY);
        }
        self.exchange.ttfb_us = Some(self.since(began_us));
        self.exchange.duration_us = Some(self.since(at_us));
        self.exchange.response = Some(Response { status, headers: fields.headers, ..Response::default() });
    }

    pub(super) fn trailers(&mut self) {
        self.exchange.notes.insert(Notes::LOSSY);
    }

    pub(super) fn data(&mut self, from_client: bool, bytes: &[u8], at_us: u64) {
        let at_us = self.since(at_us);
        self.log.feed(from_client, bytes, at_us);
        self.half(from_client).body.push(bytes);
        if !from_client || self.is_websocket {
            self.exchange.duration_us = self.exchange.duration_us.max(Some(at_us));
        }
    }

    pub(super) fn miss(&mut self, from_client: bool, len: u64) {
        self.log.miss(from_client);
        let half = self.half(from_client);
        half.body.miss(len);
        half.is_cut = true;
    }

    pub(super) fn end(&mut self, from_client: bool) {
        self.half(from_client).is_over = true;
    }

    /// A side wants no more of it.
    pub(super) fn reset(&mut self, by_client: bool) {
        match (by_client, self.answer.is_over) {
            (true, false) => self.exchange.notes.insert(Notes::CLIENT_GONE),
            (false, false) if self.exchange.response.is_none() => {
                self.exchange.notes.insert(Notes::UPSTREAM_FAILED);
            }
            _ => {}
        }
        self.cut();
    }

    /// The connection ended before it.
    pub(super) fn left(&mut self, ending: Ending) {
        if self.exchange.response.is_none() {
            match ending.by_client {
                Some(true) => self.exchange.notes.insert(Notes::CLIENT_GONE),
                Some(false) => self.exchange.notes.insert(Notes::UPSTREAM_FAILED),
                None => {}
            }
        }
        self.cut();
    }

    pub(super) fn is_over(&self) -> bool {
        self.request.is_over && self.answer.is_over
    }

    pub(super) fn finish(self, context: &Context) -> Exchange {
        let mut exchange = self.exchange;
        let (body, is_cut) = self.request.body.finish(true);
        if self.request.is_cut || is_cut {
            exchange.notes.insert(Notes::REQUEST_TRUNCATED);
        }
        // what passed through a WebSocket is its messages, no body
        if !self.is_websocket {
            exchange.request.body = body;
        }
        let (body, is_cut) = self.answer.body.finish(context.response_bodies);
        if let Some(response) = &mut exchange.response {
            if self.answer.is_cut || is_cut {
                exchange.notes.insert(Notes::RESPONSE_TRUNCATED);
            }
            if !self.is_websocket {
                response.body = body;
            }
        }
        self.log.attach(&mut exchange);
        exchange
    }

    /// What is not over will not be.
    fn cut(&mut self) {
        for half in [&mut self.request, &mut self.answer] {
            half.is_cut |= !std::mem::replace(&mut half.is_over, true);
        }
    }

    fn half(&mut self, from_client: bool) -> &mut Half {
        if from_client { &mut self.request } else { &mut self.answer }
    }

    fn since(&self, at_us: u64) -> u64 {
        at_us.saturating_sub(self.exchange.start_us)
    }
}

impl Half {
    fn new(of_client: bool, context: &Context) -> Half {
        Half { body: context.collect(of_client), is_over: false, is_cut: false }
    }
}
