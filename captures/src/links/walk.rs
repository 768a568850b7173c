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
    if serde_json::from_slice::<IgnoredAny>(text).is_err() {
        return false;
    }
    let mut all = serde_json::Deserializer::from_slice(text);
    Walk { path: &mut JsonPath::default(), found }.deserialize(&mut all).is_ok()
}

/// How deep it goes is bounded by the parser.
struct Walk<'w, 'f> {
    path: &'w mut JsonPath,
    found: &'w mut (dyn FnMut(&JsonPath, &str) + 'f),
}

impl Walk<'_, '_> {
    fn inside(&mut self, part: Part) -> Walk<'_, '_> {
        self.path.0.push(part);
        Walk { path: self.path, found: self.found }
    }

    fn number(self, number: impl Into<Number>) {
        (self.found)(self.path, &number.into().to_string());
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(key) = members.next_key::<String>()? {
            members.next_value_seed(self.inside(Part::Key(key)))?;
            self.path.0.pop();
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let mut index = 0;
        while elements.next_element_seed(self.inside(Part::Index(index)))?.is_some() {
            self.path.0.pop();
            index += 1;
        }
        self.path.0.pop();
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        (self.found)(self.path, text);
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.number(number);
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.number(number);
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        if let Some(number) = Number::from_f64(number) {
            self.number(number);
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
