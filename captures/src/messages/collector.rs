//! One message as it arrives in pieces: its length, and its bytes while they are wanted and few enough.

use bytes::Bytes;

use super::{MessageKind, Scanned};

pub(super) struct Collector {
    kind: MessageKind,
    compressed: bool,
    len: u64,
    data: Vec<u8>,
    /// Bytes that may be kept; `None` when none are, or no longer.
    limit: Option<usize>,
}

impl Collector {
    pub(super) fn new(kind: MessageKind, compressed: bool, limit: Option<usize>) -> Collector {
        Collector { kind, compressed, len: 0, data: Vec::new(), limit }
    }

    /// The next bytes of the message.
    pub(super) fn push(&mut self, bytes: impl ExactSizeIterator<Item = u8>) {
        self.len += bytes.len() as u64;
        let Some(limit) = self.limit else { return };
        if bytes.len() <= limit - self.data.len() {
            self.data.extend(bytes);
        } else {
            self.limit = None;
            self.data = Vec::new();
        }
    }

    pub(super) fn finish(self) -> Scanned {
        let Collector { kind, compressed, len, data, limit } = self;
        Scanned { kind, compressed, len, data: limit.map(|_| Bytes::from(data)) }
    }
}
