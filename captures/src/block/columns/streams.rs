//! The messages of streams.

use std::ops::Range;

use super::build::Builder;
use super::decode::Decoder;
use super::holes::Style;
use super::layout::Numbers;
use super::{message, slot};
use crate::block::cost::MESSAGE_OVERHEAD;
use crate::block::in_body::InBody;
use crate::messages::{Message, MessageKind, Stream, StreamKind};
use crate::wire::{Malformed, put_varint, unzigzag, zigzag};
use crate::{Body, Exchange};

/// The columns of streams in the order of pushing, and where in them each stream stands.
#[derive(Default)]
pub(super) struct StreamBytes {
    heads: Vec<u8>,
    flags: Vec<u8>,
    times: Vec<u8>,
    lengths: Vec<u8>,
    places: Vec<[Range<usize>; 4]>,
}

impl StreamBytes {
    fn columns(&self) -> [&Vec<u8>; 4] {
        [&self.heads, &self.flags, &self.times, &self.lengths]
    }

    /// Bytes of all columns.
    pub(super) fn len(&self) -> usize {
        self.columns().into_iter().map(Vec::len).sum()
    }

    /// Appends stream `number` to the columns of a block.
    pub(super) fn put(&self, number: u32, numbers: &mut Numbers<Vec<u8>>) {
        let columns = [
            &mut numbers.streams,
            &mut numbers.message_flags,
            &mut numbers.message_times,
            &mut numbers.message_lengths,
        ];
        let places = &self.places[number as usize];
        for ((to, from), place) in columns.into_iter().zip(self.columns()).zip(places) {
            to.extend_from_slice(&from[place.clone()]);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = StreamBytes::default();
    }
}

/// Notes the stream of an exchange, and returns its number; what clients said become parts of the exchange.
pub(super) fn push(builder: &mut Builder, stream: &Stream, exchange: &Exchange) -> u32 {
    let before = builder.streams.columns().map(Vec::len);
    builder.streams.heads.push(match stream.kind {
        StreamKind::Sse => SSE,
        StreamKind::WebSocket => WEBSOCKET,
        StreamKind::Grpc => GRPC,
    });
    put_varint(&mut builder.streams.heads, stream.truncated);
    put_varint(&mut builder.streams.heads, stream.messages.len() as u64);
    let mut last_us = 0;
    let mut place = InBody::default();
    for message in &stream.messages {
        let in_body = place.of(stream.kind, message.from_client, message.len, &exchange.request.body);
        let standing = match &message.data {
            None => 0,
            data if *data == in_body => message::DATA_IN_BODY,
            Some(_) => message::DATA,
        };
        let flag = |on: bool, flag: u8| if on { flag } else { 0 };
        let flags = message.kind as u8
            | flag(message.from_client, message::FROM_CLIENT)
            | flag(message.compressed, message::COMPRESSED)
            | standing;
        builder.streams.flags.push(flags);
        put_varint(&mut builder.streams.times, zigzag(message.at_us.wrapping_sub(last_us)));
        last_us = message.at_us;
        let data = message.data.as_deref().filter(|_| standing == message::DATA);
        let less = data.map_or(0, |data| data.len() as u64);
        put_varint(&mut builder.streams.lengths, zigzag(message.len.wrapping_sub(less)));
        if let Some(data) = data {
            builder.push_value(slot::MESSAGE, data, Some(Style::Document), exchange.start_us);
        }
    }
    let after = builder.streams.columns().map(Vec::len);
    builder.streams.places.push(std::array::from_fn(|at| before[at]..after[at]));
    builder.streams.places.len() as u32 - 1
}

/// Reads the stream of the exchange at hand, whose request has this body.
pub(super) fn take(decoder: &mut Decoder<'_>, context: usize, body: &Body) -> Result<Stream, Malformed> {
    let kind = match decoder.columns.numbers.streams.byte()? {
        SSE => StreamKind::Sse,
        WEBSOCKET => StreamKind::WebSocket,
        GRPC => StreamKind::Grpc,
        _ => return Err(Malformed("a stream of an unknown kind")),
    };
    let truncated = decoder.columns.numbers.streams.varint()?;
    let n = decoder.columns.numbers.streams.length()?;
    if decoder.columns.numbers.message_flags.remaining() < n {
        return Err(Malformed("a stream of more messages than there are"));
    }
    decoder.budget.spend(n.saturating_mul(MESSAGE_OVERHEAD))?;
    let mut messages = Vec::with_capacity(n);
    let mut at_us = 0u64;
    let mut place = InBody::default();
    for _ in 0..n {
        let flags = decoder.columns.numbers.message_flags.byte()?;
        let from_client = flags & message::FROM_CLIENT != 0;
        at_us = at_us.wrapping_add(unzigzag(decoder.columns.numbers.message_times.varint()?));
        let own = match flags & message::DATA {
            0 => None,
            _ => Some(decoder.bytes(slot::MESSAGE, context)?),
        };
        let length = unzigzag(decoder.columns.numbers.message_lengths.varint()?);
        let len = length.wrapping_add(own.as_ref().map_or(0, |data| data.len() as u64));
        let in_body = place.of(kind, from_client, len, body);
        let data = match (flags & message::DATA_IN_BODY, own) {
            (0, own) => own,
            (_, None) => Some(in_body.ok_or(Malformed("a message is not where the body should have it"))?),
            (_, Some(_)) => return Err(Malformed("a message stands in two places")),
        };
        messages.push(Message {
            at_us,
            from_client,
            kind: MessageKind::from_number(flags & message::KIND)
                .ok_or(Malformed("a message of an unknown kind"))?,
            compressed: flags & message::COMPRESSED != 0,
            len,
            data,
        });
    }
    Ok(Stream { kind, messages, truncated })
}

const SSE: u8 = 1;
const WEBSOCKET: u8 = 2;
const GRPC: u8 = 3;
