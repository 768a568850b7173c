//! Header blocks of one side: put together from their frames, and decompressed.

use loona_hpack::Decoder;

use super::frames::{CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PADDED, PRIORITY, PUSH_PROMISE};
use crate::Headers;

/// The header blocks of one side, each of which changes how the next is read.
pub(super) struct Heads {
    decoder: Decoder<'static>,
    /// The block whose end is still to come.
    open: Option<Open>,
}

struct Open {
    stream: u32,
    is_last: bool,
    is_push: bool,
    began_us: u64,
    bytes: Vec<u8>,
}

/// A head.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) stream: u32,
    /// Nothing follows it on its stream.
    pub(super) is_last: bool,
    /// It promises what a server pushes.
    pub(super) is_push: bool,
    pub(super) began_us: u64,
    pub(super) fields: Fields,
}

/// The fields of a head.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) method: String,
    pub(super) scheme: String,
    pub(super) authority: String,
    pub(super) path: Vec<u8>,
    pub(super) protocol: String,
    pub(super) status: Option<u16>,
    pub(super) headers: Headers,
    /// There were more than a head may have.
    pub(super) is_cut: bool,
}

/// The connection's compression is out of step: no further head can be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutOfStep;

impl Heads {
    pub(super) fn new() -> Heads {
        let mut decoder = Decoder::new();
        decoder.set_max_allowed_table_size(MAX_TABLE);
        Heads { decoder, open: None }
    }

    /// Takes a frame that carries a head, or a part of one; the head when it is complete.
    pub(super) fn frame(
        &mut self,
        (kind, flags): (u8, u8),
        stream: u32,
        payload: &[u8],
        began_us: u64,
    ) -> Result<Option<Head>, OutOfStep> {
        let fragment =
            if kind == CONTINUATION { payload } else { fragment(kind, flags, payload).ok_or(OutOfStep)? };
        let open = match (kind, self.open.take()) {
            (CONTINUATION, Some(mut open)) if open.stream == stream => {
                open.bytes.extend_from_slice(fragment);
                open
            }
            (HEADERS | PUSH_PROMISE, None) => {
                let (is_last, is_push) = (flags & END_STREAM != 0 && kind == HEADERS, kind == PUSH_PROMISE);
                Open { stream, is_last, is_push, began_us, bytes: fragment.to_vec() }
            }
            _ => return Err(OutOfStep),
        };
        if MAX_BLOCK < open.bytes.len() {
            return Err(OutOfStep);
        }
        if flags & END_HEADERS == 0 {
            self.open = Some(open);
            return Ok(None);
        }
        let fields = self.fields(&open.bytes)?;
        let Open { stream, is_last, is_push, began_us, .. } = open;
        Ok(Some(Head { stream, is_last, is_push, began_us, fields }))
    }

    fn fields(&mut self, block: &[u8]) -> Result<Fields, OutOfStep> {
        let mut fields = Fields::default();
        let mut left = MAX_FIELDS_BYTES;
        let read = self.decoder.decode_with_cb(block, |name, value| {
            let size = name.len() + value.len() + 32;
            match left.checked_sub(size) {
                Some(rest) => {
                    left = rest;
                    fields.add(&name, &value);
                }
                // a small block may refer to a large field many times
                None => fields.is_cut = true,
            }
        });
        read.map(|()| fields).map_err(|_| OutOfStep)
    }
}

impl Fields {
    fn add(&mut self, name: &[u8], value: &[u8]) {
        let text = || String::from_utf8_lossy(value).into_owned();
        match name {
            b":method" => self.method = text(),
            b":scheme" => self.scheme = text(),
            b":authority" => self.authority = text(),
            b":path" => self.path = value.to_vec(),
            b":protocol" => self.protocol = text(),
            b":status" => self.status = text().parse().ok(),
            [b':', ..] => {}
            _ => self.headers.push(&String::from_utf8_lossy(name), value),
        }
    }
}

/// What a frame has of a block, without padding, priority, and the number of a promised stream.
fn fragment(kind: u8, flags: u8, payload: &[u8]) -> Option<&[u8]> {
    let (padding, rest) = match flags & PADDED {
        0 => (0, payload),
        _ => payload.split_first().map(|(padding, rest)| (usize::from(*padding), rest))?,
    };
    let before = match kind {
        PUSH_PROMISE => 4,
        _ if flags & PRIORITY != 0 => 5,
        _ => 0,
    };
    rest.get(before..rest.len().checked_sub(padding)?)
}

/// What Chrome and Firefox offer is 64 KiB.
const MAX_TABLE: usize = 1 << 20;
const MAX_BLOCK: usize = 1 << 20;
const MAX_FIELDS_BYTES: usize = 1 << 20;
