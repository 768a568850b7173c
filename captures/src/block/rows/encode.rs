//! Collects exchanges and lays them out as one block.

use super::interner::Interner;
use super::*;
use crate::block::{Encoded, cost};
use crate::exchange::Response;
use crate::limits::{ENCODING_STREAMS, ENCODING_VERSION, MAX_EXCHANGE};
use crate::wire::{put_bytes, put_varint};
use crate::{Body, Exchange, Headers};

/// A block in the making.
#[derive(Default)]
pub(in crate::block) struct Builder {
    strings: Interner,
    /// Encoded records in the order of pushing.
    records: Vec<u8>,
    /// Encoded streams of those exchanges that have one.
    streams: Vec<u8>,
    entries: Vec<Entry>,
    /// What the exchanges take when decoded.
    plain: usize,
}

struct Entry {
    session: u64,
    start_us: u64,
    place: std::ops::Range<usize>,
    /// Empty: no stream.
    stream: std::ops::Range<usize>,
}

impl Builder {
    /// Adds an exchange.
    ///
    /// # Errors
    /// Its size, when that is above [`MAX_EXCHANGE`]; nothing was added then.
    pub(in crate::block) fn push(&mut self, exchange: &Exchange) -> Result<(), usize> {
        let plain = cost::of_exchange(exchange);
        if MAX_EXCHANGE < plain {
            return Err(plain);
        }
        self.plain += plain;
        let start = self.records.len();
        self.put_exchange(exchange);
        let stream_start = self.streams.len();
        if let Some(stream) = &exchange.stream {
            streams::put(&mut self.streams, stream, &exchange.request.body);
        }
        self.entries.push(Entry {
            session: exchange.session.0,
            start_us: exchange.start_us,
            place: start..self.records.len(),
            stream: stream_start..self.streams.len(),
        });
        Ok(())
    }

    /// Lays the block out, and starts an empty one.
    pub(in crate::block) fn finish(&mut self) -> Encoded {
        self.entries.sort_by_key(|entry| (entry.session, entry.start_us));
        let first_us = self.entries.iter().map(|entry| entry.start_us).min().unwrap_or(0);
        let last_us = self.entries.iter().map(|entry| entry.start_us).max().unwrap_or(0);
        let mut raw = Vec::with_capacity(self.raw_len());
        let encoding = if self.streams.is_empty() { ENCODING_VERSION } else { ENCODING_STREAMS };
        put_varint(&mut raw, self.strings.iter().len() as u64);
        for string in self.strings.iter() {
            put_varint(&mut raw, string.len() as u64);
        }
        raw.extend_from_slice(self.strings.bytes());
        let sessions = self.put_directory(&mut raw, first_us);
        for entry in &self.entries {
            raw.extend_from_slice(&self.records[entry.place.clone()]);
            match encoding {
                ENCODING_STREAMS if entry.stream.is_empty() => raw.push(streams::NONE),
                _ => raw.extend_from_slice(&self.streams[entry.stream.clone()]),
            }
        }
        let records = self.entries.len() as u32;
        self.clear();
        Encoded { raw, cuts: Vec::new(), records, encoding, first_us, last_us, sessions }
    }

    /// About what the block takes before compression.
    fn raw_len(&self) -> usize {
        self.records.len() + self.streams.len() + self.strings.bytes().len() + self.entries.len() * 9
    }

    /// Sessions ascending, each with the starts of its exchanges as gaps.
    fn put_directory(&self, raw: &mut Vec<u8>, first_us: u64) -> Vec<(u64, u64, u32)> {
        let groups = || self.entries.chunk_by(|a, b| a.session == b.session);
        put_varint(raw, groups().count() as u64);
        put_varint(raw, first_us);
        let mut sessions = Vec::new();
        let mut previous = 0;
        for group in groups() {
            let id = group[0].session;
            put_varint(raw, id - previous);
            put_varint(raw, group.len() as u64);
            previous = id;
            sessions.push((id, group[0].start_us, group.len() as u32));
        }
        for group in groups() {
            let mut last = first_us;
            for entry in group {
                put_varint(raw, entry.start_us - last);
                last = entry.start_us;
            }
        }
        sessions
    }

    fn clear(&mut self) {
        self.strings.clear();
        self.records.clear();
        self.streams.clear();
        self.entries.clear();
        self.plain = 0;
    }

    fn put_exchange(&mut self, exchange: &Exchange) {
        let has = |present: bool, flag: u8| if present { flag } else { 0 };
        let flags = has(exchange.response.is_some(), HAS_RESPONSE)
            | has(exchange.ttfb_us.is_some(), HAS_TTFB)
            | has(exchange.duration_us.is_some(), HAS_DURATION)
            | has(exchange.connection.is_some(), HAS_CONNECTION)
            | has(!exchange.faults.is_empty(), HAS_FAULTS)
            | has(!exchange.notes.is_empty(), HAS_NOTES)
            | (exchange.protocol as u8) << PROTOCOL_SHIFT;
        self.records.push(flags);
        let request = &exchange.request;
        for string in [&exchange.edge, &request.method, &request.scheme, &request.authority, &request.target]
        {
            self.put_string(string.as_bytes());
        }
        self.put_headers(&request.headers);
        put_body(&mut self.records, &request.body);
        for number in [exchange.connection, exchange.ttfb_us, exchange.duration_us].into_iter().flatten() {
            put_varint(&mut self.records, number);
        }
        if !exchange.faults.is_empty() {
            put_varint(&mut self.records, exchange.faults.len() as u64);
            for fault in &exchange.faults {
                self.put_string(fault.as_bytes());
            }
        }
        if !exchange.notes.is_empty() {
            put_varint(&mut self.records, exchange.notes.bits().into());
        }
        if let Some(response) = &exchange.response {
            self.put_response(response);
        }
    }

    fn put_response(&mut self, response: &Response) {
        put_varint(&mut self.records, response.status.into());
        self.put_headers(&response.headers);
        put_body(&mut self.records, &response.body);
    }

    fn put_headers(&mut self, headers: &Headers) {
        put_varint(&mut self.records, headers.len() as u64);
        for (name, value) in headers.iter() {
            self.put_string(name.as_bytes());
            self.put_string(value);
        }
    }

    fn put_string(&mut self, string: &[u8]) {
        let number = self.strings.number(string);
        put_varint(&mut self.records, number);
    }
}

fn put_body(out: &mut Vec<u8>, body: &Body) {
    let data = match &body.data {
        None => 0,
        Some(data) if data.len() as u64 == body.len => BODY_WHOLE,
        Some(_) => BODY_PART,
    };
    out.push(data | if body.hash.is_some() { BODY_HASH } else { 0 });
    put_varint(out, body.len);
    if let Some(hash) = body.hash {
        out.extend_from_slice(&hash.to_le_bytes());
    }
    match &body.data {
        Some(data) if data.len() as u64 == body.len => out.extend_from_slice(data),
        Some(data) => put_bytes(out, data),
        None => {}
    }
}
