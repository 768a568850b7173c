//! The parts of an exchange that are flags and numbers.

use xxhash_rust::xxh3::xxh3_64;

use super::{body, marks};
use crate::wire::{put_bytes, put_varint};
use crate::{Body, Exchange};

/// Appends what there is of an exchange, and its protocol, notes and faults.
pub(super) fn put_marks(exchange: &Exchange, out: &mut Vec<u8>) {
    let has = |present: bool, flag: u64| if present { flag } else { 0 };
    let flags = has(exchange.response.is_some(), marks::RESPONSE)
        | has(exchange.ttfb_us.is_some(), marks::TTFB)
        | has(exchange.duration_us.is_some(), marks::DURATION)
        | has(exchange.connection.is_some(), marks::CONNECTION)
        | has(!exchange.faults.is_empty(), marks::FAULTS)
        | has(!exchange.notes.is_empty(), marks::NOTES)
        | has(exchange.stream.is_some(), marks::STREAM)
        | (exchange.protocol as u64) << marks::PROTOCOL_SHIFT;
    put_varint(out, flags);
    if !exchange.notes.is_empty() {
        put_varint(out, exchange.notes.bits().into());
    }
    if !exchange.faults.is_empty() {
        put_varint(out, exchange.faults.len() as u64);
        exchange.faults.iter().for_each(|fault| put_bytes(out, fault.as_bytes()));
    }
}

/// Appends what there is of a body, but for its data.
pub(super) fn put_body(body: &Body, out: &mut Vec<u8>) {
    let data = body.data.as_deref();
    let is_whole = data.is_some_and(|data| data.len() as u64 == body.len);
    let is_of_data = body.hash.is_some() && body.hash == data.map(xxh3_64);
    let flag = |on: bool, flag: u8| if on { flag } else { 0 };
    out.push(
        flag(body.hash.is_some() && !is_of_data, body::HASH)
            | flag(is_of_data, body::HASH_OF_DATA)
            | flag(is_whole, body::WHOLE)
            | flag(data.is_some() && !is_whole, body::PART),
    );
    if !is_whole {
        put_varint(out, body.len);
    }
    if let Some(hash) = body.hash.filter(|_| !is_of_data) {
        out.extend_from_slice(&hash.to_le_bytes());
    }
}
