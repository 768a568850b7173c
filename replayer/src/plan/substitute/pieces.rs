//! A head or a body with places for values, as a list of operations that is stored as bytes.

use zerocopy::{FromBytes, IntoBytes};

use crate::identity::Key;
use crate::plan::store::KeyRecord;

/// How a value is written where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Escape {
    /// In a header field: control characters become spaces.
    Field = 0,
    /// In a query: all but unreserved characters become `%XX`.
    Query = 1,
    /// In a form: as in a query, but a space becomes `+`.
    Form = 2,
    /// In JSON where a string was recorded.
    JsonString = 3,
    /// In JSON where a number or a word was recorded: bare where it is one too, else a string.
    JsonScalar = 4,
    /// In a part of a multipart form: as it is.
    Part = 5,
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op<'a> {
    /// As it stands.
    Text(&'a [u8]),
    /// This clone's own key.
    Key(KeyAt<'a>),
    /// A value, by its template.
    Slot(Escape, &'a [u8]),
    /// Here begins a string that HPACK counts.
    Open,
    /// Here it ends.
    Close,
    /// Length of the body.
    Length,
}

/// A stored key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyAt<'a>(&'a [u8]);

/// A list of operations that grows.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    bytes: Vec<u8>,
    /// Where the text begins that the last operation is.
    text_at: Option<usize>,
    text_len: usize,
    dynamic: bool,
}

/// A head of which only keys differ from clone to clone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Flat {
    pub(crate) head: Vec<u8>,
    /// [`KeyRecord`]s.
    pub(crate) keys: Vec<u8>,
}

impl Pieces {
    /// Appends text.
    pub(crate) fn text(&mut self, text: &[u8]) {
        let at = match self.text_at {
            Some(at) => at,
            None => {
                self.bytes.push(TEXT);
                self.bytes.extend_from_slice(&[0; 4]);
                self.bytes.len()
            }
        };
        self.bytes.extend_from_slice(text);
        let len = (self.bytes.len() - at) as u32;
        self.bytes[at - 4..at].copy_from_slice(&len.to_le_bytes());
        self.text_at = Some(at);
        self.text_len += text.len();
    }

    /// Appends a key.
    pub(crate) fn key(&mut self, key: &Key) {
        self.op(KEY);
        self.bytes.extend_from_slice(KeyRecord::new(0, key).as_bytes());
    }

    /// Appends a value.
    pub(crate) fn slot(&mut self, escape: Escape, template: &[u8]) {
        self.op(SLOT + escape as u8);
        self.bytes.extend_from_slice(&(template.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(template);
        self.dynamic = true;
    }

    /// Begins a string that HPACK counts.
    pub(crate) fn open(&mut self) {
        self.op(OPEN);
    }

    /// Ends it.
    pub(crate) fn close(&mut self) {
        self.op(CLOSE);
    }

    /// Appends the length of the body.
    pub(crate) fn length(&mut self) {
        self.op(LENGTH);
        self.dynamic = true;
    }

    /// What is in it depends on the clone, whatever it looks like.
    pub(crate) fn make_dynamic(&mut self) {
        self.dynamic = true;
    }

    /// Bytes of text so far.
    pub(crate) fn text_len(&self) -> usize {
        self.text_len
    }

    /// Whether a value or a length is in it.
    pub(crate) fn is_dynamic(&self) -> bool {
        self.dynamic
    }

    /// The stored form.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same as one text with holes for keys; only of pieces that are not dynamic.
    pub(crate) fn flatten(&self) -> Flat {
        let mut flat = Flat::default();
        for op in ops(&self.bytes) {
            match op {
                Op::Text(text) => flat.head.extend_from_slice(text),
                Op::Key(key) => {
                    let record = KeyRecord::new(flat.head.len() as u32, &key.get());
                    flat.keys.extend_from_slice(record.as_bytes());
                }
                Op::Slot(..) | Op::Open | Op::Close | Op::Length => {}
            }
        }
        flat
    }

    fn op(&mut self, tag: u8) {
        self.bytes.push(tag);
        self.text_at = None;
    }
}

impl KeyAt<'_> {
    /// The key.
    pub(crate) fn get(self) -> Key {
        let record = KeyRecord::ref_from_bytes(self.0).expect("a whole record was stored");
        record.key()
    }
}

/// The operations in `bytes`.
pub(crate) fn ops(bytes: &[u8]) -> impl Iterator<Item = Op<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (tag, after) = rest.split_first()?;
        let (op, after) = match *tag {
            TEXT => take_block(after).map(|(text, after)| (Op::Text(text), after))?,
            KEY => {
                let (record, after) = after.split_at_checked(size_of::<KeyRecord>())?;
                (Op::Key(KeyAt(record)), after)
            }
            OPEN => (Op::Open, after),
            CLOSE => (Op::Close, after),
            LENGTH => (Op::Length, after),
            slot => {
                let escape = *ESCAPES.get(usize::from(slot.checked_sub(SLOT)?))?;
                take_block(after).map(|(template, after)| (Op::Slot(escape, template), after))?
            }
        };
        rest = after;
        Some(op)
    })
}

/// What a length of four bytes says, and the rest.
pub(crate) fn take_block(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}

const TEXT: u8 = 1;
const KEY: u8 = 2;
const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const LENGTH: u8 = 5;
/// And the escape.
const SLOT: u8 = 16;
const ESCAPES: [Escape; 6] =
    [Escape::Field, Escape::Query, Escape::Form, Escape::JsonString, Escape::JsonScalar, Escape::Part];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_come_back_and_text_runs_together() {
        let key = Key::of("x-request-id", b"1").unwrap();
        let mut pieces = Pieces::default();
        pieces.text(b"ab");
        pieces.text(b"");
        pieces.text(b"c");
        pieces.key(&key);
        pieces.text(b"d");
        assert_eq!((pieces.is_dynamic(), pieces.text_len()), (false, 4));
        let flat = pieces.flatten();
        assert_eq!((&flat.head[..], flat.keys.len()), (&b"abcd"[..], 15));
        pieces.open();
        pieces.slot(Escape::JsonScalar, b"xyz");
        pieces.close();
        pieces.length();
        assert!(pieces.is_dynamic());
        let all: Vec<Op<'_>> = ops(pieces.bytes()).collect();
        assert_eq!((all[0], all[2], all[3]), (Op::Text(b"abc"), Op::Text(b"d"), Op::Open));
        assert_eq!(all[4..], [Op::Slot(Escape::JsonScalar, b"xyz"), Op::Close, Op::Length]);
        assert!(matches!(all[1], Op::Key(found) if found.get() == key));
    }
}
