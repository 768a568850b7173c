//! Where a field's value lies in a recorded query, form or JSON text.

use std::ops::Range;

use captures::exchange::Request;
use captures::multipart;
use serde::de::IgnoredAny;

use crate::plan::substitute::pieces::Escape;

/// The values of `name` in `a=1&b=2`; names are compared decoded.
pub(crate) fn form_values(text: &[u8], name: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for pair in text.split(|b| *b == b'&') {
        if let Some(equals) = pair.iter().position(|b| *b == b'=')
            && decoded(&pair[..equals]) == name.as_bytes()
        {
            found.push(start + equals + 1..start + pair.len());
        }
        start += pair.len() + 1;
    }
    found
}

/// Whether a body of that type is a form; the type is in lower case.
pub(crate) fn is_form(kind: &str) -> bool {
    kind.contains("form-urlencoded") || multipart::is_form(kind)
}

/// The values of `name` in the form that the body of a request is, and how others are written there.
pub(crate) fn in_form(request: &Request, name: &str) -> (Vec<Range<usize>>, Escape) {
    let data = request.body.data.as_deref().unwrap_or_default();
    let kind = request.headers.get_str("content-type").unwrap_or_default();
    if !multipart::is_form(kind) {
        return (form_values(data, name), Escape::Form);
    }
    let same = multipart::fields(kind, data).into_iter().filter(|(known, _)| known == name);
    (same.map(|(_, range)| range).collect(), Escape::Part)
}

/// A scalar in a JSON text, and whether it is a string. `None` also where an object or a list is.
pub(crate) fn json_value(text: &[u8], path: &[String]) -> Option<(Range<usize>, bool)> {
    serde_json::from_slice::<IgnoredAny>(text).ok()?;
    let mut at = skip_space(text, 0);
    for segment in path {
        at = match text.get(at)? {
            b'{' => member(text, at, segment)?,
            b'[' => element(text, at, segment.parse().ok()?)?,
            _ => return None,
        };
    }
    match text.get(at)? {
        b'{' | b'[' => None,
        first => Some((at..skip_value(text, at), *first == b'"')),
    }
}

/// Where the value of member `name` begins in the object that begins at `at`.
fn member(text: &[u8], at: usize, name: &str) -> Option<usize> {
    let mut at = skip_space(text, at + 1);
    while text.get(at) == Some(&b'"') {
        let end = skip_value(text, at);
        let known: String = serde_json::from_slice(&text[at..end]).ok()?;
        let value = skip_space(text, skip_space(text, end) + 1); // the colon
        if known == name {
            return Some(value);
        }
        at = skip_space(text, skip_space(text, skip_value(text, value)) + 1); // the comma
    }
    None
}

/// Where element `index` begins in the list that begins at `at`.
fn element(text: &[u8], at: usize, index: usize) -> Option<usize> {
    let mut at = skip_space(text, at + 1);
    for _ in 0..index {
        if text.get(at)? == &b']' {
            return None;
        }
        let comma = skip_space(text, skip_value(text, at));
        if text.get(comma)? != &b',' {
            return None;
        }
        at = skip_space(text, comma + 1);
    }
    (text.get(at)? != &b']').then_some(at)
}

/// Where the value that begins at `at` ends; the text is JSON.
fn skip_value(text: &[u8], at: usize) -> usize {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (place, byte) in text.iter().enumerate().skip(at) {
        match (*byte, quoted) {
            _ if escaped => escaped = false,
            (b'\\', true) => escaped = true,
            (b'"', true) => {
                quoted = false;
                if depth == 0 {
                    return place + 1;
                }
            }
            (_, true) => {}
            (b'"', false) => quoted = true,
            (b'{' | b'[', false) => depth += 1,
            (b'}' | b']', false) if depth == 0 => return place, // of what is around a number or a word
            (b'}' | b']', false) => {
                depth -= 1;
                if depth == 0 {
                    return place + 1;
                }
            }
            (b',' | b' ' | b'\t' | b'\r' | b'\n', false) if depth == 0 => return place,
            (_, false) => {}
        }
    }
    text.len()
}

fn skip_space(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count()
}

/// `+` and `%XX` decoded; what is no such sequence stands for itself.
pub(crate) fn decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        let hex = |digit: u8| (digit as char).to_digit(16).map(|digit| digit as u8);
        let pair = match (byte, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match pair {
            Some((high, low)) => out.push(high << 4 | low),
            None => out.push(if *byte == b'+' { b' ' } else { *byte }),
        }
        rest = &after[if pair.is_some() { 2 } else { 0 }..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_of_forms() {
        let check = |text: &str, name: &str, expect: &[&str]| {
            let found = form_values(text.as_bytes(), name);
            let found: Vec<&str> = found.into_iter().map(|range| &text[range]).collect();
            assert_eq!(found, expect, "{name} in {text}");
        };
        check("a=1&b=2", "b", &["2"]);
        check("a=1&b=2&a=", "a", &["1", ""]);
        check("a%20b=1", "a b", &["1"]);
        check("a+b=1&a%2", "a b", &["1"]);
        check("", "a", &[]);
        check("a&ab=1", "a", &[]);
        check("x=%zz&%zz=7", "%zz", &["7"]);
    }

    #[test]
    fn fields_of_json() {
        let check = |text: &str, path: &str, expect: Option<(&str, bool)>| {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            let found = json_value(text.as_bytes(), &path);
            assert_eq!(found.map(|(range, string)| (&text[range], string)), expect, "{path:?} in {text}");
        };
        let text = r#" { "user" : {"email":"a@b", "n\u0061me" : "x\"y]" , "age": 7}, "items":[{"id":1},{"id":-2.5e3}], "on":true } "#;
        check(text, "user.email", Some((r#""a@b""#, true)));
        check(text, "user.name", Some((r#""x\"y]""#, true)));
        check(text, "user.age", Some(("7", false)));
        check(text, "items.1.id", Some(("-2.5e3", false)));
        check(text, "on", Some(("true", false)));
        for missing in
            ["user", "items", "items.0", "items.2.id", "user.email.x", "no", "items.x", "items.-1.id"]
        {
            check(text, missing, None);
        }
        check("[]", "0", None);
        check("[[],[1 , 2]]", "1.1", Some(("2", false)));
        check("{}", "a", None);
        check("{\"a\":1", "a", None);
        check("{\"\":{\"\":null}}", ".", Some(("null", false)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_searched(text: Vec<u8>, name: String) {
            for range in form_values(&text, &name) {
                prop_assert!(range.start <= range.end && range.end <= text.len());
            }
            let _ = json_value(&text, &[name]);
        }

        #[test]
        fn a_value_that_is_found_is_the_value(before: String, value: String, after in 0_i64..) {
            let text = serde_json::json!({ "a": [before], "b": { "c": value, "d": after } }).to_string();
            let (range, string) = json_value(text.as_bytes(), &["b".to_owned(), "c".to_owned()]).unwrap();
            prop_assert!(string);
            prop_assert_eq!(serde_json::from_str::<String>(&text[range]).unwrap(), value);
        }
    }
}
