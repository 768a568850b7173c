//! An ordered list of header fields, exactly as they were met: case, order and repetition are kept.

use std::fmt;

/// Header fields in the order they were met. Names keep their case, repeated fields stay apart,
/// values are bytes (nothing promises that they are text).
///
/// All names lie in one buffer and all values in another, so a list costs three allocations however long it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    names: String,
    values: Vec<u8>,
    /// Where each field ends in `names` and in `values`.
    ends: Vec<(usize, usize)>,
}

impl Headers {
    /// No fields.
    pub fn new() -> Headers {
        Headers::default()
    }

    /// No fields yet, with room for `fields` of them.
    pub fn with_capacity(fields: usize) -> Headers {
        Headers {
            names: String::with_capacity(fields * 14),
            values: Vec::with_capacity(fields * 32),
            ends: Vec::with_capacity(fields),
        }
    }

    /// Drops all fields, and keeps the room that they took.
    pub fn clear(&mut self) {
        self.names.clear();
        self.values.clear();
        self.ends.clear();
    }

    /// Adds a field at the end.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.names.push_str(name);
        self.values.extend_from_slice(value.as_ref());
        self.ends.push((self.names.len(), self.values.len()));
    }

    /// The first value of `name`, whose ASCII case does not matter.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The first value of `name` when it is UTF-8.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Every value of `name`, in order; the ASCII case of `name` does not matter.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Whether there is a field of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Name and value of each field, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        (0..self.ends.len()).map(|index| self.field(index))
    }

    /// How many fields there are; repeated ones count each.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no field at all.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all names and values together.
    pub fn byte_len(&self) -> usize {
        self.names.len() + self.values.len()
    }

    /// Keeps the fields for which `keep` says so, and drops the others.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &[u8]) -> bool) {
        if self.iter().all(|(name, value)| keep(name, value)) {
            return;
        }
        *self = self.iter().filter(|(name, value)| keep(name, value)).collect();
    }

    /// Replaces the value of every field for which `change` returns one.
    pub fn rewrite(&mut self, mut change: impl FnMut(&str, &[u8]) -> Option<Vec<u8>>) {
        let mut changed: Option<Headers> = None;
        for (index, (name, value)) in self.iter().enumerate() {
            match (change(name, value), &mut changed) {
                (None, None) => {}
                (None, Some(list)) => list.push(name, value),
                (Some(new), Some(list)) => list.push(name, new),
                (Some(new), slot) => {
                    let mut list: Headers = self.iter().take(index).collect();
                    list.push(name, new);
                    *slot = Some(list);
                }
            }
        }
        if let Some(list) = changed {
            *self = list;
        }
    }

    /// Fields whose names lie in `names` and whose values lie in `values`, and where each of both ends.
    pub(crate) fn from_parts(names: String, values: Vec<u8>, ends: Vec<(usize, usize)>) -> Headers {
        Headers { names, values, ends }
    }

    /// All names, one after the other.
    pub(crate) fn names(&self) -> &str {
        &self.names
    }

    /// All values, one after the other.
    pub(crate) fn values(&self) -> &[u8] {
        &self.values
    }

    /// Where each field ends in [`Headers::names`] and in [`Headers::values`].
    pub(crate) fn ends(&self) -> &[(usize, usize)] {
        &self.ends
    }

    /// Where each name ends in [`Headers::names`].
    pub(crate) fn name_ends(&self) -> impl ExactSizeIterator<Item = usize> {
        self.ends.iter().map(|(end, _)| *end)
    }

    fn field(&self, index: usize) -> (&str, &[u8]) {
        let (name_start, value_start) = match index {
            0 => (0, 0),
            _ => self.ends[index - 1],
        };
        let (name_end, value_end) = self.ends[index];
        (&self.names[name_start..name_end], &self.values[value_start..value_end])
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.push(name.as_ref(), value);
        }
        headers
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Headers {
        [("Host", "a"), ("X-A", "1"), ("x-a", "2"), ("", "")].into_iter().collect()
    }

    #[test]
    fn order_case_and_repetition_are_kept() {
        let fields: Vec<(String, Vec<u8>)> =
            sample().iter().map(|(n, v)| (n.to_owned(), v.to_vec())).collect();
        let expected = [("Host", "a"), ("X-A", "1"), ("x-a", "2"), ("", "")];
        assert_eq!(fields, expected.map(|(n, v)| (n.to_owned(), v.as_bytes().to_vec())));
    }

    #[test]
    fn look_up_ignores_case() {
        assert_eq!(sample().get("HOST"), Some(&b"a"[..]));
        assert_eq!(sample().get_all("X-a").count(), 2);
        assert_eq!(sample().get("none"), None);
    }

    #[test]
    fn rewrite_and_retain_touch_only_what_they_say() {
        let mut headers = sample();
        headers.rewrite(|name, _| (name == "x-a").then(|| b"new".to_vec()));
        assert_eq!(headers.get_all("x-a").collect::<Vec<_>>(), [&b"1"[..], b"new"]);
        headers.retain(|name, _| name != "X-A");
        assert_eq!(headers.len(), 3);
        assert_eq!(headers.get("x-a"), Some(&b"new"[..]));
    }
}
