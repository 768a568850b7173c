//! The fields of one header section, in buffers that are used again for the next.

use crate::limits;

/// Decoded fields, in the order of the wire.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    /// Names and values one after the other.
    text: Vec<u8>,
    spans: Vec<Span>,
    /// As `SETTINGS_MAX_HEADER_LIST_SIZE` counts.
    size: usize,
    /// Pseudo-header fields at the front, which are not shown.
    hidden: usize,
    is_sound: bool,
    is_too_large: bool,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    name: u32,
    value: u32,
}

impl Fields {
    /// Names (in lower case) and values, without pseudo-header fields.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.spans.iter().skip(self.hidden).map(|span| self.field(*span))
    }

    /// The value of the first field with this name (in lower case).
    #[cfg(test)]
    pub(crate) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// All fields, with the pseudo-header fields.
    pub(in crate::h2) fn all(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.spans.iter().map(|span| self.field(*span))
    }

    /// Shows the fields from number `count` on only.
    pub(in crate::h2) fn hide(&mut self, count: usize) {
        self.hidden = count;
    }

    /// All names and values hold only what a field may hold.
    pub(in crate::h2) fn is_sound(&self) -> bool {
        self.is_sound
    }

    /// Fields are missing because there were too many or too long ones.
    pub(in crate::h2) fn is_too_large(&self) -> bool {
        self.is_too_large
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
        if self.text.capacity() > KEPT_BYTES {
            self.text = Vec::new();
        }
        (self.size, self.hidden, self.is_sound, self.is_too_large) = (0, 0, true, false);
    }

    /// Where the next field goes: append name and value, then [`Fields::commit`].
    pub(super) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// The text from `start` on is a field whose name has `name` bytes. Dropped where the section is too large.
    pub(super) fn commit(&mut self, start: usize, name: usize, is_sound: bool) {
        let length = self.text.len() - start;
        self.is_sound &= is_sound;
        self.size += length + FIELD_OVERHEAD;
        if self.size > limits::HEAD_BYTES || self.spans.len() >= limits::HEAD_FIELDS {
            self.is_too_large = true;
            self.text.truncate(start);
            return;
        }
        self.spans.push(Span { start: start as u32, name: name as u32, value: (length - name) as u32 });
    }

    pub(super) fn push(&mut self, name: &[u8], value: &[u8], is_sound: bool) {
        if self.is_too_large {
            return; // a bomb is not even copied
        }
        let start = self.text.len();
        self.text.reserve(name.len() + value.len());
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(value);
        self.commit(start, name.len(), is_sound);
    }

    fn field(&self, span: Span) -> (&[u8], &[u8]) {
        let (start, name) = (span.start as usize, span.name as usize);
        self.text[start..start + name + span.value as usize].split_at(name)
    }
}

/// Whether a field may have this name (RFC 9113, section 8.2.1).
pub(super) fn is_name(name: &[u8]) -> bool {
    let plain = name.strip_prefix(b":").unwrap_or(name);
    !plain.is_empty() && plain.iter().all(|byte| NAME_BYTES[usize::from(*byte)])
}

/// Whether a field may have this value.
pub(super) fn is_value(value: &[u8]) -> bool {
    (!has_control(value) || !value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')))
        && !matches!(value.first(), Some(b' ' | b'\t'))
        && !matches!(value.last(), Some(b' ' | b'\t'))
}

/// Whether a byte is below a space. Eight at a time, since this looks at nearly all that servers say in heads: taking
/// 0x20 from such a byte borrows its highest bit.
fn has_control(value: &[u8]) -> bool {
    let (words, tail) = value.as_chunks::<8>();
    let borrowed = words.iter().fold(0, |borrowed, word| {
        let word = u64::from_le_bytes(*word);
        borrowed | (word.wrapping_sub(EACH_BYTE * 0x20) & !word)
    });
    borrowed & (EACH_BYTE * 0x80) != 0 || tail.iter().any(|byte| *byte < 0x20)
}

const EACH_BYTE: u64 = 0x0101_0101_0101_0101;

/// Bytes that a name may hold.
static NAME_BYTES: [bool; 256] = name_bytes();

const fn name_bytes() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8, 0x21..=0x39 | 0x3b..=0x40 | 0x5b..=0x7e);
        byte += 1;
    }
    table
}

/// What `SETTINGS_MAX_HEADER_LIST_SIZE` counts for each field beside its bytes.
const FIELD_OVERHEAD: usize = 32;
/// A larger buffer is given back after its section.
const KEPT_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_keep_to_the_rules() {
        for (name, value, sound) in [
            ("server", "nginx", true),
            (":status", "200", true),
            ("x", "", true),
            ("x", "a b\tc", true),
            ("", "x", false),
            (":", "x", false),
            ("Server", "nginx", false),
            ("ser ver", "nginx", false),
            ("ser:ver", "nginx", false),
            ("x\u{7f}", "y", false),
            ("x", "a\nb", false),
            ("x", "long enough\nfor a word", false),
            ("x", "long enough\tfor \u{e4} word", true),
            ("x", "a\0b", false),
            ("x", " a", false),
            ("x", "a\t", false),
        ] {
            assert_eq!(is_name(name.as_bytes()) && is_value(value.as_bytes()), sound, "{name}: {value}");
        }
    }

    #[test]
    fn a_bomb_is_dropped_but_told() {
        let mut fields = Fields::default();
        fields.clear();
        for _ in 0..limits::HEAD_FIELDS {
            fields.push(b"a", b"b", true);
        }
        assert!(!fields.is_too_large());
        fields.push(b"c", b"d", true);
        assert!(fields.is_too_large());
        assert_eq!((fields.iter().count(), fields.get(b"a"), fields.get(b"c")), (128, Some(&b"b"[..]), None));
    }
}
