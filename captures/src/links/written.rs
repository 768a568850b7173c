//! Places as they stand in a list of prints: without spaces, and in ASCII.

use std::borrow::Cow;
use std::fmt::Write;

use super::path::is_plain;
use super::walk::Trail;

/// A place with `%` and two hexadecimal digits for each byte that is `%`, a space, a control character or not ASCII.
pub(super) fn encoded(place: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| matches!(byte, b'!'..=b'$' | b'&'..=b'~');
    if place.bytes().all(is_plain) {
        return place.into();
    }
    let mut text = String::with_capacity(place.len() + 8);
    for byte in place.bytes() {
        match byte {
            _ if is_plain(byte) => text.push(char::from(byte)),
            _ => _ = write!(text, "%{byte:02X}"),
        }
    }
    text.into()
}

/// The way to a scalar of a JSON text as it is written, so that nothing is put together for each scalar.
pub(super) struct WrittenTrail<'c> {
    text: String,
    /// Where each part begins, and whether all names before it may be written.
    parts: Vec<(usize, bool)>,
    clean: bool,
    is_clean_name: &'c dyn Fn(&str) -> bool,
}

impl<'c> WrittenTrail<'c> {
    /// From the outermost value on, which is written as `root`.
    pub(super) fn new(root: &str, is_clean_name: &'c dyn Fn(&str) -> bool) -> WrittenTrail<'c> {
        WrittenTrail { text: root.to_owned(), parts: Vec::new(), clean: true, is_clean_name }
    }

    /// The place, encoded.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether all names on the way may be written.
    pub(super) fn is_clean(&self) -> bool {
        self.clean
    }
}

impl Trail for WrittenTrail<'_> {
    fn enter_member(&mut self, name: &str) {
        self.parts.push((self.text.len(), self.clean));
        self.clean = self.clean && (self.is_clean_name)(name);
        if is_plain(name) {
            self.text.push('.');
            self.text.push_str(name);
        } else if self.clean {
            let quoted = format!("[{}]", serde_json::Value::from(name));
            self.text.push_str(&encoded(&quoted));
        }
    }

    fn enter_element(&mut self, index: u32) {
        self.parts.push((self.text.len(), self.clean));
        self.text.push('[');
        self.text.push_str(itoa::Buffer::new().format(index));
        self.text.push(']');
    }

    fn leave(&mut self) {
        if let Some((len, clean)) = self.parts.pop() {
            self.text.truncate(len);
            self.clean = clean;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::links::path::JsonPath;
    use crate::links::walk;

    proptest! {
        #[test]
        fn a_trail_is_written_as_its_path_is(keys in proptest::collection::vec(any::<String>(), 0..50)) {
            let text = keys.iter().rev().fold("[7, 8]".to_owned(), |inner, key| {
                let key = serde_json::Value::from(key.as_str());
                format!("[{{{key}: {inner}, \"n\": 1.5}}, \"s\"]")
            });
            let (mut written, mut paths) = (Vec::new(), Vec::new());
            let clean = |_: &str| true;
            let mut trail = WrittenTrail::new("$", &clean);
            let mut note = |trail: &WrittenTrail<'_>, value: &str| written.push((trail.text().to_owned(), value.to_owned()));
            let is_json = walk::along(text.as_bytes(), &mut trail, &mut note);
            let mut note = |path: &JsonPath, value: &str| {
                paths.push((encoded(&path.to_string()).into_owned(), value.to_owned()));
            };
            prop_assert_eq!(is_json, walk::scalars(text.as_bytes(), &mut note));
            prop_assert_eq!(written, paths);
            prop_assert_eq!((trail.text(), trail.is_clean()), ("$", true));
        }
    }
}
