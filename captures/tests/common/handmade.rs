//! Captures made by hand, from FORMAT.md: every checksum is right, whatever the content says.

use xxhash_rust::xxh64::xxh64;

/// A block to be put into a file.
pub(crate) struct Block {
    pub(crate) encoding: u16,
    pub(crate) raw: Vec<u8>,
    pub(crate) records: u32,
    /// What its header says of its length; else the truth.
    pub(crate) raw_len: Option<u32>,
    /// What stands in the place of its zstd frame.
    pub(crate) payload: Option<Vec<u8>>,
}

/// The inside of a block of encoding 3.
#[derive(Default)]
pub(crate) struct Columns {
    pub(crate) unit: u64,
    pub(crate) sessions: u64,
    /// Per name: its length, shifted, and whether it shares a slot; the names.
    pub(crate) names: Vec<u8>,
    pub(crate) n_names: u64,
    /// Codes, definitions, holes and text of each slot.
    pub(crate) slots: Vec<[Vec<u8>; 4]>,
    /// Sessions, gaps, connections, times to first byte, durations, streams, flags, times and lengths of messages.
    pub(crate) numbers: [Vec<u8>; 9],
    pub(crate) tokens: Vec<u8>,
    pub(crate) binary: Vec<u8>,
}

/// Columns of a slot.
pub(crate) const CODES: usize = 0;
pub(crate) const DEFINITIONS: usize = 1;
pub(crate) const HOLES: usize = 2;
pub(crate) const TEXT: usize = 3;
/// Slots.
pub(crate) const TARGET: usize = 0;
pub(crate) const MARKS: usize = 1;
pub(crate) const FIELDS: usize = 4;
pub(crate) const BODY: usize = 5;
pub(crate) const FIXED: usize = 14;

impl Columns {
    /// One exchange, `GET /`.
    pub(crate) fn one() -> Columns {
        let mut columns =
            Columns { unit: 1, sessions: 1, slots: vec![Default::default(); FIXED], ..Columns::default() };
        for (slot, text) in [b"/", &b"\0"[..], b"\0\0", b"GET", b"", b"\0\0"].into_iter().enumerate() {
            columns.literal(slot, text);
        }
        // the first session is number 0 and has one exchange
        columns.numbers[0] = vec![0, 1, 0];
        columns
    }

    /// A new value of the slot, as text.
    pub(crate) fn literal(&mut self, slot: usize, text: &[u8]) {
        let columns = &mut self.slots[slot];
        columns[CODES].push(2);
        columns[DEFINITIONS].push(0);
        put(&mut columns[DEFINITIONS], text.len() as u64);
        columns[TEXT].extend_from_slice(text);
    }

    /// The same slot with one value less: the last one is forgotten, to be said in another way.
    pub(crate) fn forget(&mut self, slot: usize) {
        self.slots[slot] = Default::default();
    }

    /// More exchanges of the session, each like the first.
    pub(crate) fn repeat(&mut self, more: u64) {
        for slot in 0..6 {
            self.slots[slot][CODES].resize(more as usize + 1, 0);
        }
        self.numbers[0] = vec![0];
        put(&mut self.numbers[0], more + 1);
        self.numbers[0].push(0);
        self.numbers[1] = vec![0; more as usize];
    }

    pub(crate) fn raw(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for number in [0, self.unit, 0, self.sessions, self.n_names] {
            put(&mut out, number);
        }
        out.extend_from_slice(&self.names);
        let of_slots = |column: usize| self.slots.iter().map(move |slot| &slot[column]);
        let columns: Vec<&Vec<u8>> = of_slots(CODES)
            .chain(of_slots(DEFINITIONS))
            .chain(of_slots(HOLES))
            .chain(&self.numbers)
            .chain(of_slots(TEXT))
            .chain([&self.tokens, &self.binary])
            .collect();
        columns.iter().for_each(|column| put(&mut out, column.len() as u64));
        columns.iter().for_each(|column| out.extend_from_slice(column));
        out
    }
}

/// The inside of a block of encoding 4 that has no names: flags, the lengths of the columns, the texts, the other columns.
pub(crate) fn raw_4(sessions: u64, flags: u8, lengths: &[u64], rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for number in [0, 1, 0, sessions, 0] {
        put(&mut out, number);
    }
    out.push(flags);
    let there = |eight: &[u64]| eight.iter().rev().fold(0, |bits, length| bits << 1 | u8::from(*length != 0));
    out.extend(lengths.chunks(8).map(there));
    lengths.iter().filter(|length| **length != 0).for_each(|length| put(&mut out, *length));
    out.extend_from_slice(rest);
    out
}

/// The lengths and the bytes of columns for [`raw_4`], shared: one exchange, `GET /`, with its texts as `words`.
pub(crate) fn one_in_words(words: &[u8]) -> (Vec<u64>, Vec<u8>) {
    // target, origin and method are texts; marks, fields and body are not
    let columns: [&[u8]; 18] = [
        &[2, 2, 2],
        &[2, 2, 2],
        &[0, 1, 0, 2, 0, 3],
        &[0, 1, 0, 0, 0, 2],
        &[],
        &[],
        &[0, 1, 0],
        &[],
        &[],
        &[],
        &[],
        &[],
        &[],
        &[],
        &[],
        &[0, 0, 0],
        &[],
        &[],
    ];
    let lengths = std::iter::once(6).chain(columns.iter().map(|column| column.len() as u64)).collect();
    (lengths, [words, &columns.concat()].concat())
}

impl Block {
    pub(crate) fn of(encoding: u16, raw: Vec<u8>, records: u32) -> Block {
        Block { encoding, raw, records, raw_len: None, payload: None }
    }
}

/// Appends a varint.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while 0x7f < value {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A file that was not closed: its head, then these blocks.
pub(crate) fn file(blocks: &[Block]) -> Vec<u8> {
    let mut out = frame(b'c', HEAD);
    for (seq, block) in (0u64..).zip(blocks) {
        let payload = match &block.payload {
            Some(payload) => payload.clone(),
            None => zstd::bulk::compress(&block.raw, 1).unwrap(),
        };
        out.extend_from_slice(&frame(b'b', &block_header(block, seq, &payload)));
        out.extend_from_slice(&payload);
    }
    out
}

/// The blocks of a sound capture, of version 1 or this one.
pub(crate) fn blocks(file: &[u8]) -> Vec<Block> {
    let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let (mut at, mut blocks) = (0, Vec::new());
    while at + 24 <= file.len() && number(at) == 0x184d_2a57 {
        let end = at + 8 + number(at + 4) as usize;
        let (encoding, raw_len, length, records) = match file[at + 11] {
            b'B' => {
                let content = at + 24;
                (number(content) & 0xffff, number(content + 4), number(content + 16), number(content + 28))
            }
            b'b' => {
                let mut content = &file[at + 16..end];
                let [encoding, _seq, raw_len, length, records] = [(); 5].map(|()| take(&mut content) as u32);
                (encoding, raw_len, length, records)
            }
            _ => (0, 0, 0, 0),
        };
        at = end + length as usize;
        if length != 0 {
            let raw = zstd::bulk::decompress(&file[end..at], raw_len as usize).unwrap();
            blocks.push(Block::of(encoding as u16, raw, records));
        }
    }
    blocks
}

/// Reads a varint of a sound capture.
fn take(bytes: &mut &[u8]) -> u64 {
    let length = bytes.iter().take_while(|byte| 0x80 <= **byte).count() + 1;
    let (varint, rest) = bytes.split_at(length);
    *bytes = rest;
    varint.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
}

fn block_header(block: &Block, seq: u64, payload: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    let raw_len = block.raw_len.unwrap_or(block.raw.len() as u32);
    for number in [block.encoding.into(), seq, raw_len.into(), payload.len() as u64, block.records.into()] {
        put(&mut content, number);
    }
    content.extend(crc32c::crc32c(payload).to_le_bytes());
    content.extend((xxh64(&block.raw, 0) as u32).to_le_bytes());
    // first and last start, wall clock, smallest and largest session, sessions, reasons for shedding
    for number in [0, 0, 0, 0, u64::MAX, 1, 0] {
        put(&mut content, number);
    }
    content
}

/// The content of the frame at the head: version, clocks.
pub(crate) const HEAD: &[u8] = &[2, 0, 0];

/// A frame of this capture.
pub(crate) fn frame(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut out = 0x184d_2a57u32.to_le_bytes().to_vec();
    out.extend((content.len() as u32 + 12).to_le_bytes());
    out.extend([0x89, b'S', b'q', kind]);
    out.extend(7u32.to_le_bytes());
    out.extend_from_slice(content);
    out.extend(crc32c::crc32c(&out).to_le_bytes());
    out
}

/// A session index: blocks, exchanges, and what stands behind the number of sessions.
pub(crate) fn index(blocks: u64, sessions: u64, rest: &[u8]) -> Vec<u8> {
    let mut content = vec![2, HEAD.len() as u8];
    content.extend_from_slice(HEAD);
    for number in [blocks, 1, 0, sessions] {
        put(&mut content, number);
    }
    content.extend_from_slice(rest);
    frame(b'i', &content)
}

/// A seek table: compressed and decompressed size of each entry, and how many the footer says they are.
pub(crate) fn seek_table(entries: &[(u32, u32)], said: u32) -> Vec<u8> {
    let mut out = 0x184d_2a5eu32.to_le_bytes().to_vec();
    out.extend((entries.len() as u32 * 12 + 9).to_le_bytes());
    for (compressed, decompressed) in entries {
        out.extend(compressed.to_le_bytes());
        out.extend(decompressed.to_le_bytes());
        out.extend([0; 4]);
    }
    out.extend(said.to_le_bytes());
    out.push(0x80);
    out.extend(0x8f92_eab1u32.to_le_bytes());
    out
}
