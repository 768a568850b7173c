//! Arithmetic coding of bits, with the probabilities that a model gives.

/// Writes bits.
pub(super) struct Encoder<'a> {
    low: u32,
    high: u32,
    out: &'a mut Vec<u8>,
}

impl Encoder<'_> {
    /// Appends to `out`.
    pub(super) fn new(out: &mut Vec<u8>) -> Encoder<'_> {
        Encoder { low: 0, high: u32::MAX, out }
    }

    /// Writes a bit that is 1 with a probability of `one` 65,536ths.
    pub(super) fn put(&mut self, bit: u8, one: u32) {
        let middle = middle(self.low, self.high, one);
        match bit {
            1 => self.high = middle,
            _ => self.low = middle + 1,
        }
        while self.low >> 24 == self.high >> 24 {
            self.out.push((self.high >> 24) as u8);
            (self.low, self.high) = (self.low << 8, self.high << 8 | 0xff);
        }
    }

    /// Writes what is open. The reader takes what follows for zeros.
    pub(super) fn finish(self) {
        if self.low != 0 {
            self.out.push((self.low >> 24) as u8 + 1);
        }
    }
}

/// Reads bits. Total: behind the end stand zeros.
pub(super) struct Decoder<'a> {
    low: u32,
    high: u32,
    code: u32,
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(super) fn new(coded: &'a [u8]) -> Decoder<'a> {
        let mut decoder = Decoder { low: 0, high: u32::MAX, code: 0, rest: coded };
        for _ in 0..4 {
            decoder.shift();
        }
        decoder
    }

    /// Reads a bit that is 1 with a probability of `one` 65,536ths.
    pub(super) fn take(&mut self, one: u32) -> u8 {
        let middle = middle(self.low, self.high, one);
        let bit = u8::from(self.code <= middle);
        match bit {
            1 => self.high = middle,
            _ => self.low = middle + 1,
        }
        while self.low >> 24 == self.high >> 24 {
            (self.low, self.high) = (self.low << 8, self.high << 8 | 0xff);
            self.shift();
        }
        bit
    }

    /// Whether all bytes were looked at.
    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn shift(&mut self) {
        let byte = self.rest.split_off_first().copied().unwrap_or(0);
        self.code = self.code << 8 | u32::from(byte);
    }
}

/// Where the part of a bit 1 ends.
fn middle(low: u32, high: u32, one: u32) -> u32 {
    low + ((u64::from(high - low) * u64::from(one)) >> 16) as u32
}
