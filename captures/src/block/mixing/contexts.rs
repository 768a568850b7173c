//! The bytes so far, and the contexts in which the next one stands.

/// Numbers of contexts, and what the next byte stands behind in each.
pub(super) const CONTEXTS: usize = 10;
/// Those below are the last bytes: as many as their number says.
pub(super) const ORDERS: usize = 7;

/// The bytes so far.
#[derive(Clone)]
pub(super) struct Contexts {
    bytes: Vec<u8>,
    /// The last eight of them, the last one lowest.
    last: u64,
    /// The letters behind the last byte that was none, hashed; the same of the word before; all behind the last newline.
    word: u32,
    word_before: u32,
    value: u32,
    /// By hash of five bytes: where what followed them last begins.
    places: Vec<u32>,
    /// Where the byte stands that followed what is equal to the last bytes, and how many are equal; 0 for none.
    place: usize,
    equal: usize,
}

impl Contexts {
    pub(super) fn new() -> Contexts {
        Contexts {
            bytes: Vec::new(),
            last: 0,
            word: 0,
            word_before: 0,
            value: 0,
            places: vec![0; PLACES],
            place: 0,
            equal: 0,
        }
    }

    /// Notes the byte that came, and returns the hash of each context of the next one.
    pub(super) fn push(&mut self, byte: u8) -> [u32; CONTEXTS] {
        self.last = self.last << 8 | u64::from(byte);
        self.value = if byte == b'\n' { 0 } else { mix(self.value, byte.into()) };
        if byte.is_ascii_alphabetic() || 0x80 <= byte {
            self.word = mix(self.word, (byte | 0x20).into());
        } else if self.word != 0 {
            self.word_before = self.word;
            self.word = 0;
        }
        self.follow(byte);
        self.hashes()
    }

    /// Of each context.
    pub(super) fn hashes(&self) -> [u32; CONTEXTS] {
        std::array::from_fn(|number| {
            let salt = mix(number as u32 + 1, 0);
            match number {
                0..ORDERS => {
                    let bytes = self.last & !(u64::MAX << (8 * number));
                    mix(mix(salt, bytes as u32), (bytes >> 32) as u32)
                }
                7 => mix(salt, self.word),
                8 => mix(mix(salt, self.word), self.word_before),
                _ => mix(salt, self.value),
            }
        })
    }

    /// The last two bytes.
    pub(super) fn last_two(&self) -> u32 {
        (self.last & 0xffff) as u32
    }

    /// The byte that is likely to come, since it followed last time, and how many bytes before it are equal.
    pub(super) fn likely(&self) -> Option<(u8, usize)> {
        (self.equal != 0).then(|| (self.bytes[self.place], self.equal))
    }

    /// Another one came than was likely.
    pub(super) fn stray(&mut self) {
        self.equal = 0;
    }

    /// Notes the byte, and looks for what is equal to the last ones.
    fn follow(&mut self, byte: u8) {
        if self.equal != 0 && self.bytes[self.place] == byte {
            (self.place, self.equal) = (self.place + 1, self.equal + 1);
        } else {
            self.equal = 0;
        }
        self.bytes.push(byte);
        if self.bytes.len() < HASHED {
            return;
        }
        let (low, high) = (self.last as u32, (self.last >> 32) as u32 & 0xff);
        let hash = mix(mix(mix(0, low), high), 0) >> (32 - PLACES.ilog2());
        if self.equal == 0 {
            self.place = self.places[hash as usize] as usize;
            let before = self.bytes[..self.place].iter().rev().zip(self.bytes.iter().rev());
            self.equal = before.take(MOST_COMPARED).take_while(|(one, other)| one == other).count();
            if self.equal < FEWEST {
                self.equal = 0;
            }
        }
        self.places[hash as usize] = self.bytes.len() as u32;
    }
}

/// A hash of two numbers.
#[inline]
pub(super) fn mix(one: u32, other: u32) -> u32 {
    let product = (one ^ other).wrapping_mul(0x9e37_79b1);
    product ^ product >> 15
}

const PLACES: usize = 1 << 16;
/// What is looked for must follow so many bytes that are equal by hash, and as many that are equal in truth.
const HASHED: usize = 5;
const FEWEST: usize = 4;
const MOST_COMPARED: usize = 60;
