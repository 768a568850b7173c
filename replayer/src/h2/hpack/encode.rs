//! Writing header fields, so that a request's block is put together from bytes that are encoded once.
//!
//! Strings are written as they are: Huffman coding would cost time for each clone to spare a few bytes on a wire
//! that is seldom the limit.

use super::statics;

/// Writes a field: by its number where everybody knows it, else as a literal that no table keeps.
///
/// `name` must be in lower case.
pub(crate) fn push(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    match statics::find(name, value) {
        (index, true) if !is_secret(name) => push_integer(out, 0x80, 7, index),
        _ => {
            push_name(out, name);
            push_value(out, value);
        }
    }
}

/// Writes the beginning of a literal field; its value follows with [`push_value`]. So a template ends a piece with
/// the name, and the value of each clone comes behind it.
pub(crate) fn push_name(out: &mut Vec<u8>, name: &[u8]) {
    let kind = if is_secret(name) { NEVER_INDEXED } else { NOT_INDEXED };
    match statics::find(name, b"") {
        (0, _) => {
            out.push(kind);
            push_value(out, name);
        }
        (index, _) => push_integer(out, kind, 4, index),
    }
}

/// Writes a string.
pub(crate) fn push_value(out: &mut Vec<u8>, value: &[u8]) {
    push_integer(out, 0, 7, value.len());
    out.extend_from_slice(value);
}

/// Puts the length of what was appended from `start` on before it, which makes a string of it.
pub(crate) fn close_string(out: &mut Vec<u8>, start: usize) {
    let end = out.len();
    push_integer(out, 0, 7, end - start);
    let prefix_len = out.len() - end;
    out[start..].rotate_right(prefix_len);
}

/// Fields that no proxy on the way may compress either (RFC 7541, section 7.1.3).
fn is_secret(name: &[u8]) -> bool {
    matches!(name, b"authorization" | b"cookie" | b"proxy-authorization")
}

/// Writes a number with a prefix of that many bits; `kind` holds what stands before the prefix.
pub(crate) fn push_integer(out: &mut Vec<u8>, kind: u8, prefix_bits: u32, value: usize) {
    let most = (1 << prefix_bits) - 1;
    if value < most {
        out.push(kind | value as u8);
        return;
    }
    out.push(kind | most as u8);
    let mut rest = value - most;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

const NOT_INDEXED: u8 = 0x00;
const NEVER_INDEXED: u8 = 0x10;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str, expected: &[u8]) {
        let mut out = Vec::new();
        push(&mut out, name.as_bytes(), value.as_bytes());
        assert_eq!(out, expected, "{name}: {value}");
    }

    #[test]
    fn fields_take_their_shortest_shareable_form() {
        check(":method", "GET", &[0x82]);
        check(":scheme", "https", &[0x87]);
        check(":path", "/cart", b"\x04\x05/cart");
        check(":method", "PUT", b"\x02\x03PUT");
        check("content-type", "a", b"\x0f\x10\x01a");
        check("x-a", "b", b"\x00\x03x-a\x01b");
        check("cookie", "a=b", b"\x1f\x11\x03a=b");
        check("authorization", "", b"\x1f\x08\x00");
    }

    #[test]
    fn integers_grow_as_in_the_examples_of_the_standard() {
        for (prefix_bits, value, expected) in
            [(5, 10, &[0x0a][..]), (5, 1337, &[0x1f, 0x9a, 0x0a]), (8, 42, &[0x2a]), (7, 127, &[0x7f, 0x00])]
        {
            let mut out = Vec::new();
            push_integer(&mut out, 0, prefix_bits, value);
            assert_eq!(out, expected);
        }
    }
}
