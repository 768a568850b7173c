//! Packets: conversations made up for every case, with losses and repetitions, and real captures of others.

mod damage;
mod http1;
mod http2;
mod real;
mod wire;

use captures::Exchange;
use captures::import::Format;

use crate::kit::{Imported, brief, bytes};
use wire::{Talk, pcap};

/// What becomes of a conversation.
fn import(talk: &Talk) -> Imported {
    bytes(Format::Pcap, &pcap(&talk.packets, usize::MAX)).unwrap()
}

#[track_caller]
fn check(talk: &Talk, expect: &[&str]) -> Vec<Exchange> {
    let found = import(talk);
    assert_eq!(brief(&found.exchanges), expect, "{:?}", found.tally);
    assert_eq!(found.tally.damaged, 0, "{:?}", found.tally);
    found.exchanges
}
