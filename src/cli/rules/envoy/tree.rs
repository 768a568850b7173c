//! Values of a configuration, whose keys may be written `like_this` or `likeThis`.

use std::time::Duration;

use serde_json::Value;

/// A key of an object, by its name in snake case.
pub(super) fn get<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let object = value.as_object()?;
    object.get(name).or_else(|| object.get(&camel(name))).filter(|value| !value.is_null())
}

/// Whether a key is written for this name in snake case.
pub(super) fn is(key: &str, name: &str) -> bool {
    key == name || key == camel(name)
}

/// A key within keys.
pub(super) fn path<'v>(value: &'v Value, names: &[&str]) -> Option<&'v Value> {
    names.iter().try_fold(value, |value, name| get(value, name))
}

/// The text of a key.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    get(value, name)?.as_str()
}

/// The number of a key; protobuf's JSON writes large ones as text, and wraps optional ones.
pub(super) fn number(value: &Value, name: &str) -> Option<u64> {
    let found = get(value, name)?;
    let found = get(found, "value").unwrap_or(found);
    found.as_u64().or_else(|| found.as_str()?.parse().ok())
}

/// The items of a key that holds a list.
pub(super) fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    get(value, name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Names of keys that are there and not among the known ones, in snake case.
pub(super) fn others(value: &Value, known: &[&str]) -> Vec<String> {
    let names = value.as_object().into_iter().flat_map(serde_json::Map::keys);
    names.map(|name| snake(name)).filter(|name| !known.contains(&name.as_str())).collect()
}

/// A protobuf duration: `"1.5s"`, or seconds and nanos.
pub(super) fn duration(value: &Value) -> Option<Duration> {
    if let Some(text) = value.as_str() {
        let digits = text.strip_suffix('s')?;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if 9 < fraction.len() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let nanos = format!("{fraction:0<9}").parse().ok()?;
        return Some(Duration::new(whole.parse().ok()?, nanos));
    }
    let (seconds, nanos) = (number(value, "seconds"), number(value, "nanos"));
    if seconds.is_none() && nanos.is_none() {
        return None;
    }
    let nanos = u32::try_from(nanos.unwrap_or_default()).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(seconds.unwrap_or_default(), nanos))
}

fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |camel, part| {
        let mut letters = part.chars();
        let head = letters.next().map(|letter| letter.to_ascii_uppercase());
        camel + &head.into_iter().chain(letters).collect::<String>()
    })
}

fn snake(name: &str) -> String {
    name.chars().fold(String::new(), |mut snake, letter| {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
        snake
    })
}
