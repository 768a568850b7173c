//! Shapes by number: what is kept of an answer is two bytes.

use std::collections::HashMap;

use crate::limits;

/// Texts of shapes by number, from 1; of a bounded number of them.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    numbers: HashMap<Box<str>, u16>,
    texts: Vec<Box<str>>,
    bytes: usize,
}

impl Shapes {
    /// The number of a shape; 0: there are too many.
    pub(crate) fn number(&mut self, text: &str) -> u16 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        if limits::SHAPES <= self.texts.len() || limits::SHAPES_BYTES < self.bytes + text.len() {
            return 0;
        }
        self.bytes += text.len();
        self.texts.push(text.into());
        let number = self.texts.len() as u16;
        self.numbers.insert(text.into(), number);
        number
    }

    /// The text of a shape; `None` of 0.
    pub(crate) fn text(&self, number: u16) -> Option<&str> {
        self.texts.get(usize::from(number).checked_sub(1)?).map(|text| &**text)
    }

    /// The numbers that the shapes of `other` have here, by their numbers there.
    pub(crate) fn adopt(&mut self, other: &Shapes) -> Vec<u16> {
        std::iter::once(0).chain(other.texts.iter().map(|text| self.number(text))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_shapes_are_bounded() {
        let mut shapes = Shapes::default();
        assert_eq!((shapes.number("a"), shapes.number("b"), shapes.number("a")), (1, 2, 1));
        let mut other = Shapes::default();
        other.number("c");
        other.number("b");
        assert_eq!(shapes.adopt(&other), [0, 3, 2]);
        assert_eq!((shapes.text(3), shapes.text(0), shapes.text(4)), (Some("c"), None, None));
        let kept = (0..2 * limits::SHAPES).filter(|n| shapes.number(&n.to_string()) > 0).count();
        assert_eq!(kept, limits::SHAPES - 3);
        assert_eq!(Shapes::default().number(&"x".repeat(limits::SHAPES_BYTES + 1)), 0);
    }
}
