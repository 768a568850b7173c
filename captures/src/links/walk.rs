//! The scalars of a JSON text, and the numbers of places that occur several times.

use std::collections::HashMap;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::path::{JsonPath, Part};
use super::place::{Leaf, LeafKind};

/// Names every string and number of a JSON text, in order; whether it is JSON.
pub(super) fn scalars(text: &[u8], found: &mut dyn FnMut(&JsonPath, &str)) -> bool {
    // first only whether it is JSON to its end: no tree is built of it
    serde_json::from_slice::<IgnoredAny>(text).is_ok() && along(text, &mut JsonPath::default(), found)
}

/// As [`scalars`], but what comes before a mistake in the text is named, too.
pub(super) fn along<T: Trail>(text: &[u8], trail: &mut T, found: &mut dyn FnMut(&T, &str)) -> bool {
    let mut all = serde_json::Deserializer::from_slice(text);
    Walk { trail, found }.deserialize(&mut all).and_then(|()| all.end()).is_ok()
}

/// The way to a scalar: it grows and shrinks as a text is walked through.
pub(super) trait Trail {
    /// Into the member of that name.
    fn enter_member(&mut self, name: &str);
    /// Into the element of that number, from 0.
    fn enter_element(&mut self, index: u32);
    /// Out of what was entered last.
    fn leave(&mut self);
}

impl Trail for JsonPath {
    fn enter_member(&mut self, name: &str) {
        self.0.push(Part::Key(name.to_owned()));
    }

    fn enter_element(&mut self, index: u32) {
        self.0.push(Part::Index(index));
    }

    fn leave(&mut self) {
        self.0.pop();
    }
}

/// How deep it goes is bounded by the parser.
struct Walk<'w, 'f, T> {
    trail: &'w mut T,
    found: &'w mut (dyn FnMut(&T, &str) + 'f),
}

impl<T: Trail> Walk<'_, '_, T> {
    fn inside(&mut self) -> Walk<'_, '_, T> {
        Walk { trail: self.trail, found: self.found }
    }
}

impl<'de, T: Trail> DeserializeSeed<'de> for Walk<'_, '_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de, T: Trail> Visitor<'de> for Walk<'_, '_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while members.next_key_seed(Enter(self.trail))?.is_some() {
            members.next_value_seed(self.inside())?;
            self.trail.leave();
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let mut index = 0;
        self.trail.enter_element(index);
        while elements.next_element_seed(self.inside())?.is_some() {
            self.trail.leave();
            index += 1;
            self.trail.enter_element(index);
        }
        self.trail.leave();
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        (self.found)(self.trail, text);
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        (self.found)(self.trail, itoa::Buffer::new().format(number));
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        (self.found)(self.trail, itoa::Buffer::new().format(number));
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        if let Some(number) = Number::from_f64(number) {
            (self.found)(self.trail, &number.to_string());
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Takes the name of a member as the next part of the way.
struct Enter<'t, T>(&'t mut T);

impl<'de, T: Trail> DeserializeSeed<'de> for Enter<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<(), D::Error> {
        name.deserialize_str(self)
    }
}

impl<T: Trail> Visitor<'_> for Enter<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E>(self, name: &str) -> Result<(), E> {
        self.0.enter_member(name);
        Ok(())
    }
}

/// Counts the places of each kind and name.
#[derive(Default)]
pub(super) struct Counted {
    seen: HashMap<LeafKind, u32>,
}

impl Counted {
    /// The next place of that kind and name.
    pub(super) fn number(&mut self, kind: LeafKind) -> Leaf {
        let next = self.seen.entry(kind.clone()).or_default();
        let nth = *next;
        *next += 1;
        Leaf { kind, nth }
    }
}
