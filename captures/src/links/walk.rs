//! The scalars of a JSON text, and the numbers of places that occur several times.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;

use super::path::{JsonPath, Part};
use super::place::{Leaf, LeafKind};

/// Names every string and number of a JSON text, in order. Nothing where it is no JSON.
pub(super) fn scalars(text: &[u8], found: &mut dyn FnMut(&JsonPath, &str)) {
    if let Ok(value) = serde_json::from_slice::<Value>(text) {
        visit(&value, &mut JsonPath::default(), found);
    }
}

/// How deep it goes is bounded by the parser.
fn visit(value: &Value, path: &mut JsonPath, found: &mut dyn FnMut(&JsonPath, &str)) {
    let mut inside = |part: Part, value: &Value| {
        path.0.push(part);
        visit(value, path, found);
        path.0.pop();
    };
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                inside(Part::Key(key.clone()), value);
            }
        }
        Value::Array(elements) => {
            for (index, value) in elements.iter().enumerate() {
                inside(Part::Index(index as u32), value);
            }
        }
        Value::String(_) | Value::Number(_) => found(path, &as_text(value)),
        Value::Null | Value::Bool(_) => {}
    }
}

fn as_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
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
