//! Lines that are nearly JSON.

/// A line as servers write it that know no JSON: `\\x22` for a quote (nginx without `escape=json`), and bytes that are no UTF-8.
pub(super) fn mended(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let (before, escape) = rest.split_at(at);
        out.extend_from_slice(before);
        let digits = escape.get(2..4).filter(|_| escape[1] == b'x');
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        let len = match byte {
            Some(byte @ 0x80..) => {
                out.push(byte);
                4
            }
            Some(byte) => {
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                4
            }
            None => {
                out.extend_from_slice(&escape[..escape.len().min(2)]);
                2
            }
        };
        rest = escape.get(len..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_bytes_that_json_does_not_have() {
        let check = |text: &[u8], value: &str| {
            assert_eq!(serde_json::from_str::<String>(&mended(text)).unwrap(), value);
        };
        check(br#""a\x22b\x5Cc""#, "a\"b\\c");
        check(br#""it\x27s \xC3\xA4 \u00e4 \n \"""#, "it's ä ä \n \"");
        check(b"\"caf\xe9\"", "caf\u{fffd}");
        for broken in [&b"\\"[..], b"\\x", b"\\x2", b"\\xzz", b"\\x\xff\xff"] {
            assert!(serde_json::from_str::<String>(&mended(broken)).is_err());
        }
    }
}
