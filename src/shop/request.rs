//! What a request says, read within bounds: cookies, body, form fields, query.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::HeaderMap;
use hyper::body::{Body, Incoming};
use hyper::header::COOKIE;

use super::error::Refusal;
use super::identity::Id;
use super::limits;

/// The id that the cookie `name` carries, if it is one that the shop could have given.
pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<Id> {
    headers.get_all(COOKIE).iter().find_map(|line| {
        let pairs = line.to_str().ok()?.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.filter(|(known, _)| *known == name).find_map(|(_, value)| Id::parse(value))
    })
}

/// The whole body, if it is no larger than [`limits::BODY_BYTES`].
pub(super) async fn body(body: Incoming) -> Result<Bytes, Refusal> {
    if limits::BODY_BYTES as u64 <= body.size_hint().lower().saturating_sub(1) {
        return Err(Refusal::TooLarge); // said before any of it is read
    }
    match Limited::new(body, limits::BODY_BYTES).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(err) if err.is::<LengthLimitError>() => Err(Refusal::TooLarge),
        Err(_) => Err(Refusal::BrokenBody),
    }
}

/// The value of `field` in an `application/x-www-form-urlencoded` body or a query string.
pub(super) fn field(form: &[u8], field: &str) -> Option<String> {
    let pairs = form.split(|byte| *byte == b'&');
    let (_, value) = pairs
        .filter_map(|pair| Some(pair.split_at(pair.iter().position(|byte| *byte == b'=')?)))
        .find(|(name, _)| *name == field.as_bytes())?;
    String::from_utf8(decode(&value[1..])?).ok()
}

/// Whether a name, e-mail address or password is one: not empty, not endless.
pub(super) fn fits(field: &str) -> bool {
    !field.is_empty() && field.len() <= limits::FIELD_BYTES
}

/// Undoes percent-encoding and `+`; `None` where a `%` is not followed by two hex digits.
fn decode(value: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        plain.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (hex, after) = rest.split_at_checked(2)?;
                rest = after;
                u8::try_from(16 * digit(hex[0])? + digit(hex[1])?).ok()?
            }
            other => other,
        });
    }
    Some(plain)
}

fn digit(byte: u8) -> Option<u32> {
    char::from(byte).to_digit(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_field(form: &str, expected: Option<&str>) {
        assert_eq!(field(form.as_bytes(), "password").as_deref(), expected, "{form}");
    }

    #[test]
    fn form_fields_are_decoded() {
        check_field("password=rain", Some("rain"));
        check_field("a=1&password=a+b%26c%3D%C3%A9&password=x", Some("a b&c=é"));
        check_field("password=", Some(""));
        check_field("password", None);
        check_field("password=%2", None);
        check_field("password=%zz", None);
        check_field("password=%ff", None);
        check_field("&&=&", None);
        check_field("", None);
    }

    #[test]
    fn cookies_are_found_wherever_they_stand() {
        let id = Id(0xabc);
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "theme=dark; sid=nonsense".parse().unwrap());
        headers.append(COOKIE, format!("a=b;sid={id} ; customer=7").parse().unwrap());
        assert_eq!(cookie(&headers, "sid"), Some(id));
        assert_eq!(cookie(&headers, "customer"), None);
        assert_eq!(cookie(&headers, "si"), None);
    }

    #[test]
    fn empty_and_endless_fields_do_not_fit() {
        assert!(fits("x") && fits(&"x".repeat(limits::FIELD_BYTES)));
        assert!(!fits("") && !fits(&"x".repeat(limits::FIELD_BYTES + 1)));
    }
}
