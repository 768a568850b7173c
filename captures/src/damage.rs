//! What is wrong with a capture, and where.

use std::fmt;

/// A damaged place in a capture. Everything outside it was read and checked.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// What kind of part is damaged.
    pub kind: DamageKind,
    /// Where the damaged bytes begin.
    pub offset: u64,
    /// How many bytes are damaged; 0 where bytes are missing altogether.
    pub bytes: u64,
    /// How many blocks are lost by it, as far as the numbering shows.
    pub blocks: u64,
    /// How many exchanges are lost by it, where that is known.
    pub exchanges: Option<u64>,
    /// What was found.
    pub reason: String,
}

/// The part of a capture that is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DamageKind {
    /// The head of the file: costs what the capture says about itself, no exchange.
    FileHeader,
    /// One or more blocks.
    Block,
    /// Blocks that the numbering promises are not in the file at all.
    Missing,
    /// An unfinished block at the end: a crash, or a recording still running.
    TornTail,
    /// The session index: costs no exchange.
    Index,
    /// The seek table: costs no exchange.
    SeekTable,
    /// Bytes between the blocks that are nothing of this capture.
    Foreign,
    /// The file could not be read there.
    Io,
}

impl Damage {
    pub(crate) fn new(kind: DamageKind, offset: u64, bytes: u64, reason: impl Into<String>) -> Damage {
        Damage { kind, offset, bytes, blocks: 0, exchanges: None, reason: reason.into() }
    }

    /// Whether exchanges may have been lost by it.
    pub fn costs_exchanges(&self) -> bool {
        match self.kind {
            DamageKind::FileHeader | DamageKind::Index | DamageKind::SeekTable | DamageKind::Foreign => {
                self.blocks != 0
            }
            DamageKind::Block | DamageKind::Missing | DamageKind::TornTail | DamageKind::Io => true,
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.kind.as_str(), self.offset)?;
        if self.bytes != 0 {
            write!(f, " ({} bytes)", self.bytes)?;
        }
        write!(f, ": {}", self.reason)?;
        let counted = |n: u64, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
        let lost = [(self.blocks, "block"), (self.exchanges.unwrap_or(0), "exchange")];
        let lost: Vec<String> =
            lost.iter().filter(|(n, _)| *n != 0).map(|(n, noun)| counted(*n, noun)).collect();
        match lost.as_slice() {
            [] => Ok(()),
            lost => write!(f, "; lost: {}", lost.join(", ")),
        }
    }
}

impl DamageKind {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            DamageKind::FileHeader => "damaged file header",
            DamageKind::Block => "damaged block",
            DamageKind::Missing => "missing blocks",
            DamageKind::TornTail => "unfinished block",
            DamageKind::Index => "damaged session index",
            DamageKind::SeekTable => "damaged seek table",
            DamageKind::Foreign => "foreign bytes",
            DamageKind::Io => "unreadable bytes",
        }
    }
}
