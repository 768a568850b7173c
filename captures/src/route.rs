//! Routes: method and path with what only identifies taken out, so that requests of a kind count together.

use std::borrow::Cow;

/// The path with identifiers replaced by `{id}`: numbers, UUIDs, long hexadecimal and long random segments.
pub fn template(path: &str) -> Cow<'_, str> {
    if !path.split('/').any(is_id) {
        return Cow::Borrowed(path);
    }
    let segments: Vec<&str> =
        path.split('/').map(|segment| if is_id(segment) { "{id}" } else { segment }).collect();
    Cow::Owned(segments.join("/"))
}

fn is_id(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let count = |test: fn(&u8) -> bool| bytes.iter().filter(|byte| test(byte)).count();
    let digits = count(u8::is_ascii_digit);
    if digits == 0 {
        return false;
    }
    if digits == bytes.len() {
        return true;
    }
    let is_hex = bytes.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    let is_word =
        bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=' | b'~'));
    let mixed = 0 < count(u8::is_ascii_uppercase) && 0 < count(u8::is_ascii_lowercase);
    is_hex && LONG_HEX <= bytes.len()
        || segment.starts_with("squall_") && LONG_WORD <= bytes.len()
        || is_word
            && LONG_WORD <= bytes.len()
            && (mixed || bytes.len() / 3 <= digits)
            && (!segment.contains('-') || is_random(bytes))
}

/// Whether capitals, small letters and digits follow one another as they do by chance: in titles (`Release-Notes-2024`) they do not.
fn is_random(bytes: &[u8]) -> bool {
    let class = |byte: u8| match byte {
        b'0'..=b'9' => 1,
        b'a'..=b'z' => 2,
        b'A'..=b'Z' => 3,
        _ => 0,
    };
    let turns = bytes.windows(2).map(|pair| (class(pair[0]), class(pair[1])));
    bytes.len() <= 3 * turns.filter(|(one, other)| one != other && *one != 0 && *other != 0).count()
}

/// Shorter ones may be words (`cafe1`, `2fa`).
const LONG_HEX: usize = 8;
const LONG_WORD: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_go_and_words_stay() {
        let check = |path: &str, expect: &str| assert_eq!(template(path), expect);
        check("/", "/");
        check("/api/products/42", "/api/products/{id}");
        check("/u/550e8400-e29b-41d4-a716-446655440000/x", "/u/{id}/x");
        check("/c/deadbeef01/7/", "/c/{id}/{id}/");
        check("/t/AbCdEfGh12345678xyz", "/t/{id}");
        check("/t/squall_0123456789abcdef0", "/t/{id}");
        check("/put/-lSyPwafZ9r2IGKcecpd-w/V1StGXR8_Z5jdHi6B-myT", "/put/{id}/{id}");
        check(
            "/blog/Release-Notes-2024-And-More/iPhone15Pro-And-iPad-2024",
            "/blog/Release-Notes-2024-And-More/iPhone15Pro-And-iPad-2024",
        );
        check("/v1/style2.css", "/v1/style2.css");
        check(
            "/presentations/logstash-monitorama-2013/images",
            "/presentations/logstash-monitorama-2013/images",
        );
        check("/cafe1/2fa/facade", "/cafe1/2fa/facade");
    }
}
