//! JSON in base64 for URLs, as tokens carry it: taken out, it is a value like others.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Appends the JSON object in `text`, if there is one. [`put`] spells it alike: what has bits left over does not decode.
pub(super) fn decode(text: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let is_object = URL_SAFE_NO_PAD.decode_vec(text, out).is_ok()
        && out[start..].starts_with(b"{")
        && out[start..].ends_with(b"}")
        && std::str::from_utf8(&out[start..]).is_ok();
    if !is_object {
        out.truncate(start);
    }
    is_object
}

/// Appends `json` in base64.
pub(super) fn put(json: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + json.len().div_ceil(3) * 4, 0);
    let written = URL_SAFE_NO_PAD.encode_slice(json, &mut out[start..]);
    out.truncate(start + written.expect("there is room for base64 with padding"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_only_and_only_those_that_come_back() {
        let mut out = b"kept".to_vec();
        assert!(decode(b"eyJzdWIiOiJ1c2VyIDEyMyJ9", &mut out));
        assert_eq!(out, br#"kept{"sub":"user 123"}"#);
        // the last one has bits left over: it would not come back
        for text in ["eyJzdWIiOiJ1c2VyIDEyMyJ", "eyJzdWIiOiJ1c2VyIDEyMyJ9=", "MTIz", "", "eyJ_", "e31"] {
            assert!(!decode(text.as_bytes(), &mut out), "{text}");
            assert_eq!(out.len(), 22, "{text}");
        }
    }
}
