//! What the ids of a file say about connections.
//!
//! GoReplay makes an id of what it sniffed from the client's port, the server's port, the client's IPv4 address (16
//! hexadecimal digits together) and a sequence number. Other ids are random or hashes. Those of the first kind share a
//! few ports of servers, which no others do.

use std::collections::HashMap;

/// The ids met so far.
#[derive(Default)]
pub(super) struct Ids {
    ports: HashMap<u16, u64>,
    total: u64,
}

/// Connection and client of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    /// Both ports and the client's address.
    pub(super) connection: u64,
    pub(super) client: u32,
}

impl Ids {
    pub(super) fn saw(&mut self, id: &[u8]) {
        self.total += 1;
        if let Some(peer) = peer(id) {
            *self.ports.entry(peer.server_port()).or_default() += 1;
        }
    }

    /// Whose id this is, if it says that.
    pub(super) fn peer(&self, id: &[u8]) -> Option<Peer> {
        let peer = peer(id)?;
        let same = self.ports.get(&peer.server_port()).copied().unwrap_or(0);
        (2 <= same && self.total <= same * SHARE).then_some(peer)
    }
}

impl Peer {
    fn server_port(self) -> u16 {
        (self.connection >> 32) as u16
    }
}

fn peer(id: &[u8]) -> Option<Peer> {
    let text = std::str::from_utf8(id)
        .ok()
        .filter(|id| id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    let connection = u64::from_str_radix(&text[..16], 16).ok()?;
    let peer = Peer { connection, client: connection as u32 };
    // a plain count has neither
    (peer.server_port() != 0 && peer.client != 0).then_some(peer)
}

/// A sniffer watches a few ports; of random ones none has so large a share.
const SHARE: u64 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sniffed_ids_tell_connections_and_random_ones_do_not() {
        let mut ids = Ids::default();
        let sniffed = |port: u16| format!("{port:04x}1f900a000001{:08x}", u32::from(port) * 7919);
        (0..100).for_each(|port| ids.saw(sniffed(port).as_bytes()));
        assert_eq!(
            ids.peer(sniffed(5).as_bytes()),
            Some(Peer { connection: 0x0005_1f90_0a00_0001, client: 0x0a00_0001 })
        );
        let mut ids = Ids::default();
        let random = |n: u128| format!("{:024x}", xxhash_rust::xxh3::xxh3_128(&n.to_le_bytes()) >> 32);
        (0..1000).for_each(|n| ids.saw(random(n).as_bytes()));
        assert!((0..1000).all(|n| ids.peer(random(n).as_bytes()).is_none()));
        ids.saw(b"f45590522cd1838b4a0d5c5aab80b77929dea3b3");
        assert_eq!(ids.peer(b"f45590522cd1838b4a0d5c5aab80b77929dea3b3"), None);
    }
}
