//! What exchanges take in memory, counted alike by whoever writes a block and whoever reads it.

use bytes::Bytes;

use super::in_body::InBody;
use crate::limits::{MAX_BLOCK_PLAIN, MAX_EXCHANGE};
use crate::messages::Stream;
use crate::wire::Malformed;
use crate::{Body, Exchange, Headers};

/// What a field costs in memory beside its bytes; counted, so that a list of empty fields has a price.
pub(super) const FIELD_OVERHEAD: usize = 16;
/// The same for an exchange.
pub(super) const EXCHANGE_OVERHEAD: usize = 256;
/// The same for a message of a stream.
pub(super) const MESSAGE_OVERHEAD: usize = 64;

/// What a reader may still take, in bytes.
pub(super) struct Budget {
    block: usize,
    exchange: usize,
}

impl Budget {
    /// That of a block.
    pub(super) fn new() -> Budget {
        Budget { block: MAX_BLOCK_PLAIN, exchange: MAX_EXCHANGE }
    }

    /// The next exchange begins, and may take as much as the one before.
    pub(super) fn begin_exchange(&mut self) -> Result<(), Malformed> {
        self.exchange = MAX_EXCHANGE;
        self.spend(EXCHANGE_OVERHEAD)
    }

    pub(super) fn spend(&mut self, n: usize) -> Result<(), Malformed> {
        let less = |budget: usize| budget.checked_sub(n).ok_or(Malformed("it unfolds beyond the limits"));
        self.block = less(self.block)?;
        self.exchange = less(self.exchange)?;
        Ok(())
    }

    /// The most that may be spent at once.
    pub(super) fn left(&self) -> usize {
        self.block.min(self.exchange)
    }
}

/// What an exchange takes in memory.
pub(crate) fn of_exchange(exchange: &Exchange) -> usize {
    let headers = |headers: &Headers| headers.byte_len() + headers.len() * FIELD_OVERHEAD;
    let body = |body: &Body| body.data.as_ref().map_or(0, Bytes::len);
    let request = &exchange.request;
    let strings = exchange.edge.len()
        + request.method.len()
        + request.scheme.len()
        + request.authority.len()
        + request.target.len()
        + exchange.faults.iter().map(|fault| fault.len() + FIELD_OVERHEAD).sum::<usize>();
    let response = exchange.response.as_ref().map_or(0, |res| headers(&res.headers) + body(&res.body));
    let stream = exchange.stream.as_ref().map_or(0, |stream| of_stream(stream, &request.body));
    EXCHANGE_OVERHEAD + strings + headers(&request.headers) + body(&request.body) + response + stream
}

/// What a stream takes in memory beside the request `body`.
fn of_stream(stream: &Stream, body: &Body) -> usize {
    let mut place = InBody::default();
    let mut size = stream.messages.len() * MESSAGE_OVERHEAD;
    for message in &stream.messages {
        let in_body = place.of(stream.kind, message.from_client, message.len, body);
        let own = message.data.as_ref().filter(|data| in_body.as_ref() != Some(data));
        size += own.map_or(0, Bytes::len);
    }
    size
}
