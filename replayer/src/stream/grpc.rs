//! Messages of gRPC: a flag, four bytes of length, the message.

use crate::stream::{bounded, push_filled};

/// Appends a message that is not compressed: `payload`, and after it one field of about `filler` bytes.
///
/// Zeros alone would be no protobuf, and a server would answer with an error that the recording does not have. So
/// the filler is a field with a number that nobody can declare, which every server skips. Such a field takes at least
/// 4 bytes: less filler than that is left out. The sum is bounded by `limits::MESSAGE_BYTES`.
pub(crate) fn push_message(out: &mut Vec<u8>, payload: &[u8], filler: u64) {
    let payload = &payload[..payload.len().min(crate::limits::MESSAGE_BYTES)];
    let filler = bounded(payload, filler);
    let field = if filler < FIELD_TAG.len() + 1 { 0 } else { filler };
    out.push(0);
    out.extend_from_slice(&((payload.len() + field) as u32).to_be_bytes());
    out.extend_from_slice(payload);
    if field > 0 {
        push_field(out, field);
    }
}

/// Appends a field of exactly `size` bytes, tag and length included. Where no length in its shortest form fits, it is
/// written one byte longer, which readers accept.
fn push_field(out: &mut Vec<u8>, size: usize) {
    let room = size - FIELD_TAG.len();
    let fits = |width: &usize| *width <= room && room - width < 1 << (7 * width);
    let width = (1..=5).find(fits).expect("the bound on a message is below 2^35 bytes");
    let length = room - width;
    out.extend_from_slice(&FIELD_TAG);
    for place in 0..width {
        let more = if place + 1 < width { 0x80 } else { 0 };
        out.push((length >> (7 * place) & 0x7f) as u8 | more);
    }
    push_filled(out, &[], 0, length);
}

/// Field 19,999, a string of bytes. Protobuf keeps 19,000 to 19,999 for itself.
const FIELD_TAG: [u8; 3] = [0xfa, 0xe1, 0x09];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    fn varint(bytes: &[u8]) -> (usize, usize) {
        let end = bytes.iter().position(|byte| byte & 0x80 == 0).expect("a varint ends") + 1;
        let value = bytes[..end].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
        (value, end)
    }

    #[test]
    fn messages_have_their_length_and_a_field_to_skip() {
        let check = |payload: &[u8], filler: u64, field: usize| {
            let mut out = b"before".to_vec();
            push_message(&mut out, payload, filler);
            let message = &out[b"before".len()..];
            let length = u32::from_be_bytes(message[1..5].try_into().expect("four bytes")) as usize;
            assert_eq!(
                (message[0], length, message.len()),
                (0, payload.len() + field, length + 5),
                "{filler}"
            );
            assert!(message[5..].starts_with(payload));
            if field > 0 {
                let rest = &message[5 + payload.len()..];
                let (tag, tag_bytes) = varint(rest);
                let (size, size_bytes) = varint(&rest[tag_bytes..]);
                assert_eq!((tag >> 3, tag & 7), (19_999, 2));
                assert_eq!(tag_bytes + size_bytes + size, field, "{filler}");
            }
        };
        check(b"", 0, 0);
        check(b"\x08\x01", 0, 0);
        (1..4).for_each(|filler| check(b"", filler, 0));
        (4..400).for_each(|filler| check(b"\x08\x01", filler, filler as usize));
        (16_380..16_400).for_each(|filler| check(b"", filler, filler as usize));
        (2_097_150..2_097_162).for_each(|filler| check(b"", filler, filler as usize));
        check(b"\x08\x01", u64::MAX, limits::MESSAGE_BYTES - 2);
    }
}
