//! The connections of a capture, by their two ends. Their number is bounded: those that are over are forgotten after a
//! while, those that are silent for long are taken as over.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::connection::Connection;
use super::packet::Segment;

/// The connections at work.
#[derive(Default)]
pub(super) struct Table {
    all: HashMap<(SocketAddr, SocketAddr), Entry>,
    /// Connections so far.
    begun: u64,
    sweep_at: usize,
}

/// A connection, and what it is known by.
pub(super) struct Entry {
    pub(super) connection: Connection,
    /// Its number in the capture that is made, once it has an exchange.
    pub(super) number: Option<u64>,
    begun: u64,
}

impl Table {
    /// The connection of a segment.
    pub(super) fn find(&mut self, segment: &Segment<'_>) -> Option<&mut Entry> {
        self.all.get_mut(&ends(segment))
    }

    /// Adds a connection; returns the one before it between the same two.
    pub(super) fn begin(&mut self, segment: &Segment<'_>, connection: Connection) -> Option<Entry> {
        self.begun += 1;
        self.all.insert(ends(segment), Entry { connection, number: None, begun: self.begun })
    }

    /// Takes out what is over or silent for long, if there are many; the oldest first.
    pub(super) fn sweep(&mut self, now_us: u64) -> Vec<Entry> {
        if self.all.len() < self.sweep_at.max(SWEEP) {
            return Vec::new();
        }
        let mut gone = self.take(|entry| {
            let silent_us = now_us.saturating_sub(entry.connection.last_us);
            let patience_us = if entry.connection.is_over() { OVER_US } else { SILENT_US };
            patience_us < silent_us
        });
        if MAX_CONNECTIONS < self.all.len() {
            let mut times: Vec<u64> = self.all.values().map(|entry| entry.connection.last_us).collect();
            let (_, middle, _) = times.select_nth_unstable(MAX_CONNECTIONS / 2);
            let middle = *middle;
            gone.extend(self.take(|entry| entry.connection.last_us <= middle));
        }
        self.sweep_at = self.all.len() * 2;
        gone
    }

    /// Takes out all, the oldest first.
    pub(super) fn drain(&mut self) -> Vec<Entry> {
        self.take(|_| true)
    }

    fn take(&mut self, mut gone: impl FnMut(&Entry) -> bool) -> Vec<Entry> {
        let mut taken: Vec<Entry> =
            self.all.extract_if(|_, entry| gone(entry)).map(|(_, entry)| entry).collect();
        taken.sort_by_key(|entry| entry.begun);
        taken
    }
}

fn ends(segment: &Segment<'_>) -> (SocketAddr, SocketAddr) {
    (segment.from.min(segment.to), segment.from.max(segment.to))
}

const SWEEP: usize = 1024;
/// Each may hold what waits for a segment that was lost.
const MAX_CONNECTIONS: usize = 50_000;
/// Segments come late, and a FIN is acknowledged.
const OVER_US: u64 = 60 * 1_000_000;
const SILENT_US: u64 = 3600 * 1_000_000;
