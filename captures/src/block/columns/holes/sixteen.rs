//! Which of sixteen bytes are in a range of ASCII: told at once by the vectors of an x86-64, elsewhere eight bytes of a word
//! at a time.
//!
//! Unsafe code: instructions for vectors are, since a processor may lack them; those of SSE2, the only ones here, are part of
//! every x86-64. Nothing is read or written by them but values.

#[cfg(target_arch = "x86_64")]
pub(super) use self::vector::Sixteen;
#[cfg(not(target_arch = "x86_64"))]
pub(super) use self::words::Sixteen;

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod vector {
    use std::arch::x86_64::*;

    /// Sixteen bytes of a text.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Sixteen(__m128i);

    impl Sixteen {
        #[inline]
        pub(in super::super) fn new(bytes: [u8; 16]) -> Sixteen {
            let all = u128::from_le_bytes(bytes);
            // SAFETY: SSE2 is there
            Sixteen(unsafe { _mm_set_epi64x((all >> 64) as i64, all as i64) })
        }

        /// With small letters in the place of capitals.
        #[inline]
        pub(in super::super) fn small(self) -> Sixteen {
            // SAFETY: SSE2 is there
            Sixteen(unsafe { _mm_or_si128(self.0, _mm_set1_epi8(0x20)) })
        }

        /// Those from `least` to `most`, a bit for each, the lowest for the first. Bytes beyond ASCII are below zero.
        #[inline]
        pub(in super::super) fn between(self, least: u8, most: u8) -> u64 {
            // SAFETY: SSE2 is there
            unsafe {
                let from = _mm_cmpgt_epi8(self.0, _mm_set1_epi8(least as i8 - 1));
                let to = _mm_cmplt_epi8(self.0, _mm_set1_epi8(most as i8 + 1));
                _mm_movemask_epi8(_mm_and_si128(from, to)) as u64
            }
        }
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod words {
    use super::{EACH, between};

    /// Sixteen bytes of a text.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Sixteen([u64; 2]);

    impl Sixteen {
        pub(in super::super) fn new(bytes: [u8; 16]) -> Sixteen {
            let all = u128::from_le_bytes(bytes);
            Sixteen([all as u64, (all >> 64) as u64])
        }

        /// With small letters in the place of capitals.
        pub(in super::super) fn small(self) -> Sixteen {
            Sixteen(self.0.map(|bytes| bytes | (0x20 * EACH)))
        }

        /// Those from `least` to `most`, a bit for each, the lowest for the first.
        pub(in super::super) fn between(self, least: u8, most: u8) -> u64 {
            let [low, high] =
                self.0.map(|bytes| (between(bytes, least, most) >> 7).wrapping_mul(GATHER) >> 56);
            low | high << 8
        }
    }

    /// Times this, the lowest bits of eight bytes stand side by side in the highest one.
    const GATHER: u64 = 0x0102_0408_1020_4080;
}

/// Which of the eight bytes of a word are from `least` to `most`, both of ASCII: their highest bits. Adding to a byte below
/// 128 carries into its highest bit, and no further.
pub(in super::super) fn between(bytes: u64, least: u8, most: u8) -> u64 {
    let low = bytes & !HIGH;
    let from = |least: u8| low + u64::from(0x80 - least) * EACH;
    from(least) & !from(most + 1) & !bytes & HIGH
}

/// One in each byte, and the highest bit of each.
const EACH: u64 = 0x0101_0101_0101_0101;
pub(in super::super) const HIGH: u64 = 0x80 * EACH;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_alike_in_words_and_vectors() {
        for byte in 0..=u8::MAX {
            for at in 0..16 {
                let mut bytes = [b' '; 16];
                bytes[at] = byte;
                for (least, most) in [(b'0', b'9'), (b'-', b'-'), (b'A', b'Z'), (b'a', b'z'), (0x01, 0x7e)] {
                    let expect = |byte: u8| u64::from((least..=most).contains(&byte));
                    let all = bytes.iter().rev().fold(0, |bits, byte| bits << 1 | expect(*byte));
                    assert_eq!(Sixteen::new(bytes).between(least, most), all, "{byte:#x} at {at}");
                    assert_eq!(words::Sixteen::new(bytes).between(least, most), all, "{byte:#x} at {at}");
                }
                let small = |byte: u8| Sixteen::new([byte; 16]).small().between(b'a', b'z') == 0xffff;
                assert_eq!(small(byte), byte.is_ascii_alphabetic(), "{byte:#x}");
                let small = |byte: u8| words::Sixteen::new([byte; 16]).small().between(b'a', b'z') == 0xffff;
                assert_eq!(small(byte), byte.is_ascii_alphabetic(), "{byte:#x}");
            }
        }
    }
}
