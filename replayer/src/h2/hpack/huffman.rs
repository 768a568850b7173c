//! The Huffman code of HPACK (RFC 7541, appendix B).
//!
//! The code is canonical: codes of one length count up in the order of their symbols, and longer codes follow
//! shorter ones. So the lengths alone are the whole table; the rest is worked out when this is compiled.

use super::Garbage;

/// Appends what `coded` stands for. At most `8 / 5` of its length is appended.
///
/// # Errors
/// A code that ends in the middle, padding of a byte or more or not of ones, and the end-of-string code.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), Garbage> {
    let start = out.len();
    out.resize(start + coded.len() * 8 / 5 + 1, 0);
    let text = &mut out[start..];
    let mut input = Bits { bits: 0, have: 0, rest: coded };
    let mut count = 0;
    loop {
        input.refill();
        let entry = SHORT[(input.bits >> (64 - SHORT_BITS)) as usize];
        let (symbol, length) = match u32::from(entry & 0xff) {
            length if length != 0 && length <= input.have => ((entry >> 8) as u8, length),
            _ if input.is_padding() => break,
            _ => long_symbol(&input)?,
        };
        text[count] = symbol; // there is room: no code is shorter than five bits
        count += 1;
        input.drop(length);
    }
    out.truncate(start + count);
    Ok(())
}

/// The next bits, the first one highest.
struct Bits<'a> {
    bits: u64,
    have: u32,
    rest: &'a [u8],
}

impl Bits<'_> {
    /// Makes sure that the longest code is at hand, unless the input ends before.
    fn refill(&mut self) {
        if self.have > 32 {
            return;
        }
        if let Some((word, rest)) = self.rest.split_first_chunk::<4>() {
            self.bits |= u64::from(u32::from_be_bytes(*word)) << (32 - self.have);
            self.have += 32;
            self.rest = rest;
            return;
        }
        for byte in self.rest {
            self.bits |= u64::from(*byte) << (56 - self.have);
            self.have += 8;
        }
        self.rest = &[];
    }

    fn drop(&mut self, length: u32) {
        self.bits <<= length;
        self.have -= length;
    }

    /// Whether only the padding of the last byte is left.
    fn is_padding(&self) -> bool {
        self.have < 8 && self.rest.is_empty() && self.bits.leading_ones() >= self.have
    }
}

fn long_symbol(input: &Bits<'_>) -> Result<(u8, u32), Garbage> {
    for length in SHORT_BITS + 1..=input.have.min(LONGEST as u32) {
        let code = (input.bits >> (64 - length)) as u32;
        let above_first = code.wrapping_sub(CODES.first[length as usize]);
        if above_first < CODES.count[length as usize] {
            let place = CODES.place[length as usize] + above_first;
            return Ok((CODES.symbols[place as usize], length));
        }
    }
    Err(Garbage)
}

/// The canonical code, by length of the code.
struct Codes {
    first: [u32; LONGEST + 1],
    count: [u32; LONGEST + 1],
    /// Where the symbols of this length begin in `symbols`.
    place: [u32; LONGEST + 1],
    symbols: [u8; 256],
}

const fn codes() -> Codes {
    let mut codes = Codes {
        first: [0; LONGEST + 1],
        count: [0; LONGEST + 1],
        place: [0; LONGEST + 1],
        symbols: [0; 256],
    };
    let (mut length, mut code, mut place) = (1, 0, 0);
    while length <= LONGEST {
        code <<= 1;
        codes.first[length] = code;
        codes.place[length] = place;
        let mut symbol = 0;
        while symbol < 256 {
            if LENGTHS[symbol] as usize == length {
                codes.symbols[place as usize] = symbol as u8;
                place += 1;
                code += 1;
            }
            symbol += 1;
        }
        codes.count[length] = code - codes.first[length];
        length += 1;
    }
    codes
}

/// What the next bits begin with: symbol and, in the low byte, the length of its code; 0: a longer code.
const fn short_codes() -> [u16; 1 << SHORT_BITS] {
    let mut table = [0; 1 << SHORT_BITS];
    let mut length = 1;
    while length <= SHORT_BITS as usize {
        let mut nth = 0;
        while nth < CODES.count[length] {
            let symbol = CODES.symbols[(CODES.place[length] + nth) as usize];
            let free_bits = SHORT_BITS as usize - length;
            let mut tail = 0;
            while tail < 1 << free_bits {
                let at = ((CODES.first[length] + nth) << free_bits) as usize + tail;
                table[at] = (symbol as u16) << 8 | length as u16;
                tail += 1;
            }
            nth += 1;
        }
        length += 1;
    }
    table
}

/// Codes up to this length (nearly all of what header fields hold) are found with one look.
const SHORT_BITS: u32 = 10;
const LONGEST: usize = 30;
static SHORT: [u16; 1 << SHORT_BITS] = short_codes();
const CODES: Codes = codes();
/// Bits of the code of each byte.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bits of text, padded with ones.
    fn encode(text: &[u8]) -> Vec<u8> {
        let mut bits = String::new();
        for byte in text {
            let length = LENGTHS[usize::from(*byte)] as usize;
            let symbols = &CODES.symbols[CODES.place[length] as usize..];
            let nth = symbols.iter().position(|symbol| symbol == byte).unwrap() as u32;
            bits.push_str(&format!("{:0length$b}", CODES.first[length] + nth));
        }
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        bits.as_bytes()
            .chunks(8)
            .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
            .collect()
    }

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, Garbage> {
        let mut out = Vec::new();
        decode(coded, &mut out).map(|()| out)
    }

    #[test]
    fn every_byte_has_the_code_of_the_standard() {
        assert_eq!(encode(b"www.example.com"), b"\xf1\xe3\xc2\xe5\xf2:k\xa0\xab\x90\xf4\xff");
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decoded(&encode(&all)), Ok(all));
    }

    #[test]
    fn what_is_no_code_is_refused() {
        assert_eq!(decoded(b""), Ok(vec![]));
        assert_eq!(decoded(b"\xff"), Err(Garbage), "eight bits of padding");
        assert_eq!(decoded(b"\x18"), Err(Garbage), "padding of zeros");
        assert_eq!(decoded(b"\xff\xff\xff\xff"), Err(Garbage), "the end-of-string code");
        assert_eq!(decoded(b"\xff\xff"), Err(Garbage), "a cut code");
        assert_eq!(decoded(b"\x1f"), Ok(b"a".to_vec()));
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decoded(&encode(&text)), Ok(text));
        }

        #[test]
        fn no_bytes_upset_it(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decoded(&bytes);
        }
    }
}
