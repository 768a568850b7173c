//! Values that are made like the one before them in their slot: most often they have its template, and many differ
//! from it in their identifiers only.

use super::holes::Hole;
use super::packed;

/// A value that was taken apart.
#[derive(Clone, Copy)]
pub(super) struct Apart<'a> {
    pub(super) text: &'a [u8],
    pub(super) holes: &'a [Hole],
}

impl Apart<'_> {
    /// Whether the two have one template.
    pub(super) fn is_like(self, other: Apart<'_>) -> bool {
        if self.holes.len() != other.holes.len() {
            return false;
        }
        let (mut at, mut other_at) = (0, 0);
        for (one, another) in self.holes.iter().zip(other.holes) {
            let before = &self.text[at..one.start as usize];
            if one.kind != another.kind || before != &other.text[other_at..another.start as usize] {
                return false;
            }
            (at, other_at) = (one.end as usize, another.end as usize);
        }
        self.text[at..] == other.text[other_at..]
    }

    /// Whether `text` is this value but for what stands in its holes, and identifiers of hexadecimal digits do in all of
    /// them: then nothing has to be searched for.
    pub(super) fn fits(self, text: &[u8]) -> bool {
        if text.len() != self.text.len() {
            return false;
        }
        let mut at = 0;
        for hole in self.holes {
            let (start, end) = (hole.start as usize, hole.end as usize);
            if text[at..start] != self.text[at..start] || !packed::fits(hole.kind, &text[start..end]) {
                return false;
            }
            at = end;
        }
        text[at..] == self.text[at..]
    }
}
