//! Where a value stands in a JSON text: `$.cart.items[0].id`.

use std::fmt;
use std::str::FromStr;

/// Names of members and numbers of elements, from the outside in.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JsonPath(pub Vec<Part>);

/// One part of a [`JsonPath`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The member of that name.
    Key(String),
    /// The element of that number, from 0.
    Index(u32),
    /// Any element: `[*]`.
    Any,
}

impl JsonPath {
    /// The same with any element in place of a certain one.
    #[must_use]
    pub fn general(&self) -> JsonPath {
        let general = |part: &Part| match part {
            Part::Key(key) => Part::Key(key.clone()),
            Part::Index(_) | Part::Any => Part::Any,
        };
        JsonPath(self.0.iter().map(general).collect())
    }

    /// Names and numbers as words; any element is the first.
    pub fn words(&self) -> Vec<String> {
        let word = |part: &Part| match part {
            Part::Key(key) => key.clone(),
            Part::Index(index) => index.to_string(),
            Part::Any => "0".to_owned(),
        };
        self.0.iter().map(word).collect()
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for part in &self.0 {
            match part {
                Part::Key(key) if is_plain(key) => write!(f, ".{key}")?,
                Part::Key(key) => write!(f, "[{}]", serde_json::Value::from(key.as_str()))?,
                Part::Index(index) => write!(f, "[{index}]")?,
                Part::Any => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}

impl FromStr for JsonPath {
    type Err = String;

    fn from_str(text: &str) -> Result<JsonPath, String> {
        let wrong = || format!("`{text}` is no path in JSON: write $.token, $.items[0].id or $[\"a name\"]");
        let mut rest = text.strip_prefix('$').ok_or_else(wrong)?;
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let part;
            (part, rest) = take_part(rest).ok_or_else(wrong)?;
            parts.push(part);
        }
        Ok(JsonPath(parts))
    }
}

/// The first part and what follows it.
fn take_part(text: &str) -> Option<(Part, &str)> {
    if let Some(rest) = text.strip_prefix('.') {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        return (end != 0).then(|| (Part::Key(rest[..end].to_owned()), &rest[end..]));
    }
    let inner = text.strip_prefix('[')?;
    if inner.starts_with('"') {
        let mut keys = serde_json::Deserializer::from_str(inner).into_iter::<String>();
        let key = keys.next()?.ok()?;
        let rest = inner[keys.byte_offset()..].strip_prefix(']')?;
        return Some((Part::Key(key), rest));
    }
    let (index, rest) = inner.split_once(']')?;
    match index {
        "*" => Some((Part::Any, rest)),
        _ => Some((Part::Index(index.parse().ok()?), rest)),
    }
}

/// Whether a name needs no quotes.
pub(super) fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_read_as_they_are_written() {
        for text in ["$", "$.token", "$[0]", "$.items[12].id", r#"$["a b"].c"#, r#"$["]\""][*]"#] {
            assert_eq!(text.parse::<JsonPath>().map(|path| path.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "token", "$.", "$..a", "$[", "$[x]", "$[-1]", r#"$["a]"#, "$.a b["] {
            assert!(text.parse::<JsonPath>().is_err(), "{text}");
        }
        let path: JsonPath = "$.a[3].b[*]".parse().unwrap();
        assert_eq!(path.general().to_string(), "$.a[*].b[*]");
        assert_eq!(path.words(), ["a", "3", "b", "0"]);
    }

    proptest! {
        #[test]
        fn any_names_come_back(keys: Vec<String>, index: u32) {
            let mut parts: Vec<Part> = keys.into_iter().map(Part::Key).collect();
            parts.push(Part::Index(index));
            let path = JsonPath(parts);
            prop_assert_eq!(path.to_string().parse(), Ok(path));
        }
    }
}
