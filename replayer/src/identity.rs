//! Who a clone is: names that follow from seed, session, clone and step, so that nothing has to be stored and any
//! machine computes the same.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A pseudo-random number that follows from the seed and up to three words. `lane` keeps uses apart.
pub(crate) fn prf(seed: u64, lane: Lane, words: [u64; 3]) -> u64 {
    let mut bytes = [0_u8; 32];
    bytes[..8].copy_from_slice(&(lane as u64).to_le_bytes());
    for (slot, word) in bytes[8..].chunks_exact_mut(8).zip(words) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    xxh3_64_with_seed(&bytes, seed)
}

/// What a pseudo-random number is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lane {
    /// The id of an operation.
    Operation = 1,
    /// Where between two sessions a clone starts.
    Start = 2,
    /// Whether a fraction of an amplification adds a clone.
    Fraction = 3,
    /// Where within its second a coarse time lies.
    Spread = 4,
    /// First half of an idempotency key.
    KeyHigh = 5,
    /// Second half of an idempotency key.
    KeyLow = 6,
    /// How long a client waits before its next attempt.
    Retry = 7,
    /// Keys and masks of a WebSocket.
    Socket = 8,
    /// Numbers of traces and spans.
    Trace = 9,
    /// Whether a clone is on a slow link.
    SlowLink = 32,
    /// Whether a clone reads slowly.
    SlowReader = 33,
    /// Whether a clone submits twice.
    DoubleSubmit = 34,
    /// Whether a clone leaves when an answer takes long.
    Abandon = 35,
    /// How long such a clone waits.
    Patience = 36,
}

/// A number in `0.0..1.0` from the top bits of `word`.
pub(crate) fn unit(word: u64) -> f64 {
    (word >> 11) as f64 / (1_u64 << 53) as f64
}

/// The id of an operation, one for all its attempts.
pub(crate) fn operation(seed: u64, session: u64, clone: u32, step: u32) -> u64 {
    prf(seed, Lane::Operation, [session, u64::from(clone), u64::from(step)])
}

/// Appends `value` as 16 lower-case hex digits.
pub(crate) fn push_hex16(out: &mut Vec<u8>, value: u64) {
    let digits: [u8; 16] = std::array::from_fn(|i| HEX[(value >> (60 - 4 * i) & 15) as usize]);
    out.extend_from_slice(&digits);
}

/// Appends `value` as lower-case hex without leading zeros.
pub(crate) fn push_hex(out: &mut Vec<u8>, value: u64) {
    let digits = (16 - value.leading_zeros() / 4).max(1);
    for place in (0..digits).rev() {
        out.push(HEX[(value >> (4 * place) & 15) as usize]);
    }
}

/// The shape of a recorded key, which its replacement keeps so that servers accept it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyShape {
    /// 8-4-4-4-12 hex digits.
    Uuid,
    /// W3C `traceparent`: a trace id and a parent id of our own, the recorded flags.
    Trace,
    /// Anything else becomes 32 hex digits.
    Hex,
}

impl KeyShape {
    /// How many bytes a key of this shape takes.
    pub(crate) const fn len(self) -> usize {
        match self {
            KeyShape::Uuid => 36,
            KeyShape::Trace => 55,
            KeyShape::Hex => 32,
        }
    }
}

/// A recorded value that must differ from clone to clone, and stay equal where it was equal within a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Hash of the recorded value.
    pub(crate) hash: u64,
    /// Its shape.
    pub(crate) shape: KeyShape,
    /// The last two digits of a `traceparent`.
    pub(crate) flags: [u8; 2],
}

impl Key {
    /// The key in header `name` with the recorded `value`, if that header carries one.
    pub(crate) fn of(name: &str, value: &[u8]) -> Option<Key> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let shape = if is("traceparent") {
            if value.len() < 55 || !value.starts_with(b"00-") {
                return None;
            }
            KeyShape::Trace
        } else if KEY_HEADERS.iter().any(|known| is(known)) {
            if is_uuid(value) { KeyShape::Uuid } else { KeyShape::Hex }
        } else {
            return None;
        };
        let tail = value.get(53..55).map_or(*b"00", |tail| [tail[0], tail[1]]);
        Some(Key { hash: xxh3_64_with_seed(value, 0), shape, flags: tail })
    }

    /// Appends this clone's own value.
    pub(crate) fn push(&self, out: &mut Vec<u8>, seed: u64, session: u64, clone: u32) {
        let words = [session, u64::from(clone), self.hash];
        let (high, low) = (prf(seed, Lane::KeyHigh, words), prf(seed, Lane::KeyLow, words));
        let mut digits = Vec::with_capacity(32);
        push_hex16(&mut digits, high);
        push_hex16(&mut digits, low);
        match self.shape {
            KeyShape::Hex => out.extend_from_slice(&digits),
            KeyShape::Uuid => {
                digits[12] = b'4'; // version and variant of a random UUID
                digits[16] = b"89ab"[(low >> 62) as usize];
                for (index, group) in [0..8, 8..12, 12..16, 16..20, 20..32].into_iter().enumerate() {
                    if index > 0 {
                        out.push(b'-');
                    }
                    out.extend_from_slice(&digits[group]);
                }
            }
            KeyShape::Trace => {
                out.extend_from_slice(b"00-");
                out.extend_from_slice(&digits);
                out.push(b'-');
                push_hex16(out, high ^ low.rotate_left(32) | 1);
                out.push(b'-');
                out.extend_from_slice(&self.flags);
            }
        }
    }
}

fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Headers that name one operation: two users must never share a value.
const KEY_HEADERS: [&str; 4] = ["idempotency-key", "x-idempotency-key", "x-request-id", "x-correlation-id"];

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(name: &str, value: &str, clone: u32) -> String {
        let mut out = Vec::new();
        Key::of(name, value.as_bytes()).expect("it carries a key").push(&mut out, 7, 3, clone);
        String::from_utf8(out).expect("hex is text")
    }

    #[test]
    fn hex_has_the_digits_it_should() {
        let check = |value, short: &str| {
            let (mut full, mut out) = (Vec::new(), Vec::new());
            push_hex16(&mut full, value);
            push_hex(&mut out, value);
            assert_eq!(String::from_utf8_lossy(&full), format!("{value:016x}"));
            assert_eq!(String::from_utf8_lossy(&out), short);
        };
        check(0, "0");
        check(15, "f");
        check(0x10, "10");
        check(u64::MAX, "ffffffffffffffff");
    }

    #[test]
    fn keys_keep_shape_and_equality_and_differ_by_clone() {
        let uuid = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
        let own = replaced("Idempotency-Key", uuid, 1);
        assert!(is_uuid(own.as_bytes()), "{own}");
        assert_eq!(own, replaced("idempotency-key", uuid, 1));
        assert_ne!(own, replaced("idempotency-key", uuid, 2));
        assert_ne!(own, uuid);
        assert_eq!(replaced("x-request-id", "42", 0).len(), 32);
        let trace = replaced("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 0);
        assert_eq!((trace.len(), &trace[..3], &trace[52..]), (55, "00-", "-01"));
        assert_eq!(Key::of("accept", b"x"), None);
        assert_eq!(Key::of("traceparent", b"junk"), None);
    }
}
