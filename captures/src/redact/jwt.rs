//! JSON Web Tokens. What stands in place of one parses as one: algorithm, times and the names of claims stay, what the claims
//! say is replaced claim by claim (so that equal subjects stay equal), and the signature is a pseudonym of the whole.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::pseudonym::{Key, is_text_pseudonym};

/// What stands in place of a token; `None` where the text is none.
pub(super) fn pseudonym(token: &[u8], key: &Key) -> Option<String> {
    let [header, claims, signature] = parts(token)?;
    let mut header = object(header)?;
    let mut claims = object(claims)?;
    hide(&mut header, &HEADER, key);
    hide(&mut claims, &TIMES, key);
    let json = |object: Map<String, Value>| URL_SAFE_NO_PAD.encode(Value::Object(object).to_string());
    Some(format!(
        "{}.{}.{}",
        json(header),
        json(claims),
        key.of_length(token, signature.len().max(SIGNATURE))
    ))
}

/// Whether it is such a token, under any key.
pub(super) fn is_pseudonym(token: &[u8]) -> bool {
    parts(token).is_some_and(|[header, claims, signature]| {
        is_text_pseudonym(signature) && object(header).is_some() && object(claims).is_some()
    })
}

fn parts(token: &[u8]) -> Option<[&[u8]; 3]> {
    let mut parts = token.split(|byte| *byte == b'.');
    let three = [parts.next()?, parts.next()?, parts.next()?];
    (token.len() <= LONGEST && parts.next().is_none()).then_some(three)
}

fn object(part: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// Replaces the values of all fields but those that are named.
fn hide(object: &mut Map<String, Value>, but: &[&str], key: &Key) {
    for (_, value) in object.iter_mut().filter(|(name, _)| !but.contains(&name.as_str())) {
        hide_value(value, key);
    }
}

fn hide_value(value: &mut Value, key: &Key) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => {
            let hidden = key.number(number.to_string().as_bytes());
            *value = hidden.parse::<u64>().map_or(Value::Null, Value::from);
        }
        Value::String(text) => *text = key.value(text.as_bytes()).unwrap_or_default(),
        Value::Array(items) => items.iter_mut().for_each(|item| hide_value(item, key)),
        Value::Object(fields) => hide(fields, &[], key),
    }
}

/// Fields of the header that say how to read the token.
const HEADER: [&str; 5] = ["alg", "typ", "cty", "enc", "zip"];
/// Claims that are times.
const TIMES: [&str; 4] = ["exp", "nbf", "iat", "auth_time"];
/// A signature is at least so long, which is a length that base64 can have.
const SIGNATURE: usize = 40;
/// Longer ones are not taken apart.
const LONGEST: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        format!("{}.{}.{}", part(r#"{"alg":"HS256","typ":"JWT","kid":"k1"}"#), part(claims), "c2lnbmF0dXJl")
    }

    fn claims(token: &str) -> Value {
        Value::Object(object(parts(token.as_bytes()).expect("three parts")[1]).expect("claims"))
    }

    #[test]
    fn what_stands_in_its_place_is_a_token_with_the_same_claims() {
        let key = Key::new([5; 32]);
        let of = |claims: &str| pseudonym(token(claims).as_bytes(), &key).expect("a token");
        let one = of(
            r#"{"sub":"ann-1","email":"ann@shop.de","iat":1700000000,"n":7,"ok":true,"in":{"roles":["a"]}}"#,
        );
        assert!(is_pseudonym(one.as_bytes()), "{one}");
        let said = claims(&one);
        assert_eq!((&said["iat"], &said["ok"]), (&1_700_000_000.into(), &true.into()));
        assert!(said["email"].as_str().expect("text").contains('@') && said["n"].is_u64());
        let text = said.to_string();
        assert!(!text.contains("ann") && !text.contains("\"a\"") && said["in"]["roles"].is_array(), "{text}");
        let other = of(r#"{"sub":"ann-1","iat":1700000099}"#);
        assert_eq!(claims(&other)["sub"], said["sub"], "who is the same stays the same");
        assert_ne!(one, other);
        let header = object(parts(one.as_bytes()).expect("parts")[0]).expect("header");
        assert_eq!(header["alg"], "HS256");
        assert_ne!(header["kid"], "k1");
        let signature = parts(one.as_bytes()).expect("parts")[2];
        assert!(URL_SAFE_NO_PAD.decode(signature).is_ok());
    }

    #[test]
    fn what_is_no_token_is_not_taken_for_one() {
        let key = Key::new([5; 32]);
        for other in ["", "a.b.c", "eyJhIjoxfQ.eyJhIjoxfQ", "eyJhIjoxfQ.W10.x", "eyJhIjoxfQ.eyJhIjoxfQ.x.y"] {
            assert_eq!(pseudonym(other.as_bytes(), &key), None, "{other}");
        }
        assert!(!is_pseudonym(token("{}").as_bytes()));
    }
}
