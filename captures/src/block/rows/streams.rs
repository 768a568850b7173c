//! The messages of a stream, as they stand behind the record of their exchange.

use bytes::Bytes;

use crate::Body;
use crate::block::cost::{Budget, MESSAGE_OVERHEAD};
use crate::block::in_body::InBody;
use crate::messages::{Message, MessageKind, Stream, StreamKind};
use crate::wire::{Cursor, Malformed, unzigzag};
#[cfg(test)]
use crate::wire::{put_varint, zigzag};

#[cfg(test)]
/// Appends a stream. Bytes of a message that stand in the request `body` where its framing says are not written again.
pub(super) fn put(out: &mut Vec<u8>, stream: &Stream, body: &Body) {
    out.push(match stream.kind {
        StreamKind::Sse => SSE,
        StreamKind::WebSocket => WEBSOCKET,
        StreamKind::Grpc => GRPC,
    });
    put_varint(out, stream.truncated);
    put_varint(out, stream.messages.len() as u64);
    let mut last_us = 0;
    let mut place = InBody::default();
    for message in &stream.messages {
        let in_body = place.of(stream.kind, message.from_client, message.len, body);
        let data = message.data.as_ref().filter(|data| data.len() as u64 == message.len);
        let standing = match data {
            None => 0,
            Some(data) if in_body.as_ref() == Some(data) => DATA_IN_BODY,
            Some(_) => DATA,
        };
        let flag = |present: bool, flag: u8| if present { flag } else { 0 };
        out.push(
            message.kind as u8
                | flag(message.from_client, FROM_CLIENT)
                | flag(message.compressed, COMPRESSED)
                | standing,
        );
        put_varint(out, zigzag(message.at_us.wrapping_sub(last_us)));
        last_us = message.at_us;
        put_varint(out, message.len);
        if let Some(data) = data.filter(|_| standing == DATA) {
            out.extend_from_slice(data);
        }
    }
}

/// Reads back what [`put`] wrote, or that there is no stream.
pub(super) fn take(
    cursor: &mut Cursor<'_>,
    budget: &mut Budget,
    body: &Body,
) -> Result<Option<Stream>, Malformed> {
    let kind = match cursor.byte()? {
        NONE => return Ok(None),
        SSE => StreamKind::Sse,
        WEBSOCKET => StreamKind::WebSocket,
        GRPC => StreamKind::Grpc,
        _ => return Err(Malformed("a stream of an unknown kind")),
    };
    let truncated = cursor.varint()?;
    let n = cursor.count()?;
    budget.spend(n.saturating_mul(MESSAGE_OVERHEAD))?;
    let mut messages = Vec::with_capacity(n);
    let mut at_us = 0u64;
    let mut place = InBody::default();
    for _ in 0..n {
        let flags = cursor.byte()?;
        let from_client = flags & FROM_CLIENT != 0;
        at_us = at_us.wrapping_add(unzigzag(cursor.varint()?));
        let len = cursor.varint()?;
        let in_body = place.of(kind, from_client, len, body);
        let data = match flags & (DATA | DATA_IN_BODY) {
            0 => None,
            DATA => {
                let n = usize::try_from(len).map_err(|_| Malformed("a message is too large"))?;
                budget.spend(n)?;
                Some(Bytes::copy_from_slice(cursor.take(n)?))
            }
            DATA_IN_BODY => Some(in_body.ok_or(Malformed("a message is not where the body should have it"))?),
            _ => return Err(Malformed("a message stands in two places")),
        };
        messages.push(Message {
            at_us,
            from_client,
            kind: MessageKind::from_number(flags & KIND).ok_or(Malformed("a message of an unknown kind"))?,
            compressed: flags & COMPRESSED != 0,
            len,
            data,
        });
    }
    Ok(Some(Stream { kind, messages, truncated }))
}

/// No stream; then SSE, WebSocket, gRPC.
pub(super) const NONE: u8 = 0;
const SSE: u8 = 1;
const WEBSOCKET: u8 = 2;
const GRPC: u8 = 3;

/// The lower bits of a message's first byte are its kind.
const KIND: u8 = 0x0f;
const FROM_CLIENT: u8 = 1 << 4;
const COMPRESSED: u8 = 1 << 5;
/// Its bytes follow.
const DATA: u8 = 1 << 6;
/// Its bytes are in the request body.
const DATA_IN_BODY: u8 = 1 << 7;
