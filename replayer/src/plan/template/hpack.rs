//! Header fields as HPACK literals that no peer has to remember (RFC 7541, 6.2.2): the same bytes on any connection.

/// Appends an integer with a prefix of `bits` bits; `first` holds what stands before the prefix.
pub(crate) fn integer(out: &mut Vec<u8>, first: u8, bits: u32, value: usize) {
    let most = (1_usize << bits) - 1;
    if value < most {
        return out.push(first | value as u8);
    }
    out.push(first | most as u8);
    let mut rest = value - most;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends a string without Huffman coding.
pub(crate) fn string(out: &mut Vec<u8>, text: &[u8]) {
    integer(out, 0, 7, text.len());
    out.extend_from_slice(text);
}

/// Appends the name of a literal field, in lower case; its value follows as a string.
pub(crate) fn name(out: &mut Vec<u8>, name: &str) {
    let name = name.to_ascii_lowercase();
    match NAMES.iter().find(|(_, known)| *known == name) {
        Some((index, _)) => integer(out, 0, 4, *index),
        None => {
            out.push(0);
            string(out, name.as_bytes());
        }
    }
}

/// Puts the length of what was appended from `start` on before it, which makes a string of it.
pub(crate) fn close_string(out: &mut Vec<u8>, start: usize) {
    let end = out.len();
    integer(out, 0, 7, end - start);
    let prefix_len = out.len() - end;
    out[start..].rotate_right(prefix_len);
}

/// `:method` in full where the static table has it.
pub(crate) fn method(out: &mut Vec<u8>, method: &str) {
    match method {
        "GET" => out.push(0x82),
        "POST" => out.push(0x83),
        _ => {
            integer(out, 0, 4, METHOD);
            string(out, method.as_bytes());
        }
    }
}

/// `:scheme`.
pub(crate) fn scheme(out: &mut Vec<u8>, https: bool) {
    out.push(if https { 0x87 } else { 0x86 });
}

/// The names of the static table that requests bear, each with its first number.
const NAMES: [(usize, &str); 36] = [
    (15, "accept-charset"),
    (16, "accept-encoding"),
    (17, "accept-language"),
    (18, "accept-ranges"),
    (19, "accept"),
    (20, "access-control-allow-origin"),
    (21, "age"),
    (22, "allow"),
    (23, "authorization"),
    (24, "cache-control"),
    (25, "content-disposition"),
    (26, "content-encoding"),
    (27, "content-language"),
    (28, "content-length"),
    (29, "content-location"),
    (30, "content-range"),
    (31, "content-type"),
    (32, "cookie"),
    (33, "date"),
    (34, "etag"),
    (36, "expires"),
    (37, "from"),
    (39, "if-match"),
    (40, "if-modified-since"),
    (41, "if-none-match"),
    (42, "if-range"),
    (43, "if-unmodified-since"),
    (44, "last-modified"),
    (45, "link"),
    (46, "location"),
    (47, "max-forwards"),
    (50, "range"),
    (51, "referer"),
    (52, "refresh"),
    (58, "user-agent"),
    (59, "vary"),
];
/// Numbers of pseudo-fields in the static table.
pub(crate) const AUTHORITY: usize = 1;
const METHOD: usize = 2;
pub(crate) const PATH: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_as_the_standard_shows_them() {
        let check = |bits, value, expect: &[u8]| {
            let mut out = Vec::new();
            integer(&mut out, 0, bits, value);
            assert_eq!(out, expect, "{value}");
        };
        check(5, 10, &[10]);
        check(5, 1337, &[31, 154, 10]);
        check(8, 42, &[42]);
        check(7, 126, &[126]);
        check(7, 127, &[127, 0]);
        check(4, 15, &[15, 0]);
    }

    #[test]
    fn a_string_that_is_closed_is_the_string() {
        for len in [0, 1, 126, 127, 128, 5000] {
            let text = vec![b'x'; len];
            let (mut direct, mut closed) = (b"before".to_vec(), b"before".to_vec());
            string(&mut direct, &text);
            closed.extend_from_slice(&text);
            close_string(&mut closed, 6);
            assert_eq!(closed, direct, "{len}");
        }
    }
}
