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
    let mut out = frame(b"CAP", br#"{"version":1}"#);
    for (seq, block) in (0u64..).zip(blocks) {
        let payload = match &block.payload {
            Some(payload) => payload.clone(),
            None => zstd::bulk::compress(&block.raw, 1).unwrap(),
        };
        out.extend_from_slice(&frame(b"BLK", &block_header(block, seq, &payload)));
        out.extend_from_slice(&payload);
    }
    out
}

/// The blocks of a sound capture.
pub(crate) fn blocks(file: &[u8]) -> Vec<Block> {
    let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let (mut at, mut blocks) = (0, Vec::new());
    while at + 24 <= file.len() && number(at) == 0x184d_2a57 {
        let end = at + 8 + number(at + 4) as usize;
        let content = at + 24;
        let is_block = &file[at + 11..at + 14] == b"BLK";
        at = end;
        if is_block {
            at += number(content + 16) as usize;
            let raw = zstd::bulk::decompress(&file[end..at], number(content + 4) as usize).unwrap();
            let encoding = u16::from_le_bytes([file[content], file[content + 1]]);
            blocks.push(Block::of(encoding, raw, number(content + 28)));
        }
    }
    blocks
}

fn block_header(block: &Block, seq: u64, payload: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    content.extend(block.encoding.to_le_bytes());
    content.extend([0; 2]);
    content.extend(block.raw_len.unwrap_or(block.raw.len() as u32).to_le_bytes());
    content.extend(seq.to_le_bytes());
    let checksum = xxh64(&block.raw, 0) as u32;
    for number in [payload.len() as u32, crc32c::crc32c(payload), checksum, block.records] {
        content.extend(number.to_le_bytes());
    }
    // wall clock, first and last start, smallest and largest session
    for number in [0, 0, 0, 0, u64::MAX] {
        content.extend(number.to_le_bytes());
    }
    content.extend(1u32.to_le_bytes());
    content.extend([0; 2]);
    content
}

/// A frame of this capture.
pub(crate) fn frame(kind: &[u8; 3], content: &[u8]) -> Vec<u8> {
    let mut out = 0x184d_2a57u32.to_le_bytes().to_vec();
    out.extend((content.len() as u32 + 20).to_le_bytes());
    out.extend([0x89, b'S', b'q']);
    out.extend(kind);
    out.extend([0x0a, 0x1a]);
    out.extend(7u64.to_le_bytes());
    out.extend_from_slice(content);
    out.extend(crc32c::crc32c(&out).to_le_bytes());
    out
}

/// A session index: blocks, exchanges, and what stands behind the number of sessions.
pub(crate) fn index(blocks: u64, sessions: u64, rest: &[u8]) -> Vec<u8> {
    let mut content = vec![1];
    let json = br#"{"version":1}"#;
    put(&mut content, json.len() as u64);
    content.extend_from_slice(json);
    for number in [blocks, 1, 0, sessions] {
        put(&mut content, number);
    }
    content.extend_from_slice(rest);
    frame(b"IDX", &content)
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
