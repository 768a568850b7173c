//! The shape of a JSON text: which paths it has, and of which types. Never a value, and no name that may be one.
//!
//! Elements of an array are one and the same path, and so are the entries of an object whose names are data (ids,
//! addresses, very many of them). A shape is held as text, one path and type a line, sorted: equal shapes are equal texts.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use crate::limits;
use crate::plan::is_made_up;

/// What was seen of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// JSON of this shape.
    Json(String),
    /// No JSON.
    Other,
    /// JSON beyond our bounds: too deep, or too many paths.
    Beyond,
}

/// Of what types something is, as a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Types(u16);

/// Paths with their types.
pub(crate) type Facts = BTreeMap<Box<str>, Types>;

/// The shape of a body, its coding undone.
pub(crate) fn of(plain: &[u8]) -> Body {
    let mut scan = Scan::default();
    let mut json = serde_json::Deserializer::from_slice(plain);
    match Value(&mut scan).deserialize(&mut json).and_then(|()| json.end()) {
        Ok(()) => Body::Json(scan.text()),
        Err(err) if err.classify() == Category::Data => Body::Beyond,
        Err(err) if err.to_string().starts_with("recursion limit") => Body::Beyond,
        Err(_) => Body::Other,
    }
}

/// What stands in place of the shape of a body that is no JSON.
pub(crate) fn no_json() -> String {
    line("", Types::OTHER)
}

/// The paths of a shape.
pub(crate) fn facts(text: &str) -> Facts {
    let fact = |line: &str| {
        let (path, types) = line.split_at_checked(line.len().checked_sub(MARK)?)?;
        Some((path.into(), Types(u16::from_str_radix(types, 16).ok()?)))
    };
    text.split('\n').filter_map(fact).collect()
}

fn line(path: &str, types: Types) -> String {
    format!("{path}{:0MARK$x}", types.0)
}

/// What a path stands in; `None`: it is the whole.
pub(crate) fn parent(path: &str) -> Option<&str> {
    path.rfind(STEP).map(|at| &path[..at])
}

/// Whether a path stands for the elements of an array.
pub(crate) fn is_element(path: &str) -> bool {
    path.strip_suffix(ELEMENT).is_some_and(|before| before.ends_with(STEP))
}

/// A path as people write it: `items[].price`.
pub(crate) fn shown(path: &str) -> String {
    let mut out = String::new();
    for step in path.split(STEP).skip(1) {
        if step != ELEMENT && !out.is_empty() {
            out.push('.');
        }
        let _ = write!(out, "{step}");
    }
    if out.is_empty() { "the whole".to_owned() } else { out }
}

impl Types {
    pub(crate) const NONE: Types = Types(0);
    pub(crate) const OBJECT: Types = Types(1);
    pub(crate) const ARRAY: Types = Types(1 << 1);
    pub(crate) const STRING: Types = Types(1 << 2);
    pub(crate) const NUMBER: Types = Types(1 << 3);
    pub(crate) const BOOLEAN: Types = Types(1 << 4);
    pub(crate) const NULL: Types = Types(1 << 5);
    /// In place of the elements of an empty array.
    pub(crate) const EMPTY: Types = Types(1 << 6);
    /// No JSON.
    pub(crate) const OTHER: Types = Types(1 << 7);
    /// It stands in some of the objects of its path, and in others it does not.
    pub(crate) const OPTIONAL: Types = Types(1 << 8);

    const NAMES: [&str; 8] = ["object", "array", "string", "number", "boolean", "null", "empty", "no JSON"];

    pub(crate) fn has(self, other: Types) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn plus(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }

    /// Those that say what values there are: null and an empty array leave it open.
    pub(crate) fn of_values(self) -> Types {
        Types(self.0 & !(Types::NULL.0 | Types::EMPTY.0 | Types::OPTIONAL.0))
    }

    /// `string or null`.
    pub(crate) fn shown(self) -> String {
        let names = Types::NAMES.iter().enumerate().filter(|(bit, _)| self.0 >> bit & 1 == 1);
        names.map(|(_, name)| *name).collect::<Vec<_>>().join(" or ")
    }
}

/// Goes through a text.
#[derive(Default)]
struct Scan {
    /// Where it is: a [`STEP`] and a name for each level.
    path: String,
    paths: HashMap<String, Met>,
}

/// What was met at a path.
#[derive(Clone, Copy, Default)]
struct Met {
    types: Types,
    count: u32,
    objects: u32,
}

/// A value at the present path.
struct Value<'s>(&'s mut Scan);

/// A name, which becomes the last step of the present path.
struct Name<'s> {
    scan: &'s mut Scan,
    is_data: bool,
}

impl Scan {
    fn note<E: Error>(&mut self, types: Types) -> Result<(), E> {
        let is_full = limits::SHAPE_PATHS <= self.paths.len();
        let met = match self.paths.get_mut(self.path.as_str()) {
            Some(met) => met,
            None if is_full => return Err(E::custom("too many paths")),
            None => self.paths.entry(self.path.clone()).or_default(),
        };
        met.types = met.types.plus(types);
        met.count += 1;
        met.objects += u32::from(types.has(Types::OBJECT));
        Ok(())
    }

    /// Takes the names of the object at the present path for data after all.
    fn fold(&mut self) {
        let prefix = format!("{}{STEP}", self.path);
        for (path, met) in self.paths.extract_if(|path, _| path.starts_with(&prefix)).collect::<Vec<_>>() {
            let name = &path[prefix.len()..];
            let rest = name.find(STEP).map_or("", |at| &name[at..]);
            let sum = self.paths.entry(format!("{prefix}{KEY}{rest}")).or_default();
            sum.types = sum.types.plus(met.types);
            sum.count += met.count;
            sum.objects += met.objects;
        }
    }

    fn text(self) -> String {
        let types = |(path, met): (&String, &Met)| {
            let above = parent(path).filter(|_| !is_element(path)).and_then(|parent| self.paths.get(parent));
            let is_optional = above.is_some_and(|above| met.count < above.objects);
            line(path, if is_optional { met.types.plus(Types::OPTIONAL) } else { met.types })
        };
        let mut lines: Vec<String> = self.paths.iter().map(types).collect();
        lines.sort_unstable();
        lines.join("\n")
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.0.note(Types::BOOLEAN)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.0.note(Types::NUMBER)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.0.note(Types::NUMBER)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.0.note(Types::NUMBER)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.0.note(Types::STRING)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.note(Types::NULL)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let scan = self.0;
        scan.note(Types::ARRAY)?;
        let before = scan.path.len();
        scan.path.push(STEP);
        scan.path.push_str(ELEMENT);
        let mut is_empty = true;
        while elements.next_element_seed(Value(scan))?.is_some() {
            is_empty = false;
        }
        if is_empty {
            scan.note(Types::EMPTY)?;
        }
        scan.path.truncate(before);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let scan = self.0;
        scan.note(Types::OBJECT)?;
        let before = scan.path.len();
        let mut count = 0;
        while entries.next_key_seed(Name { scan, is_data: MANY_NAMES <= count })?.is_some() {
            entries.next_value_seed(Value(scan))?;
            scan.path.truncate(before);
            count += 1;
            if count == MANY_NAMES {
                scan.fold();
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<(), E> {
        self.scan.path.push(STEP);
        self.scan.path.push_str(if self.is_data || !is_name(name) { KEY } else { name });
        Ok(())
    }
}

/// Whether a developer may have chosen it: what looks like an id, an address or a sentence is somebody's data.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | ':' | '.' | ' ');
    (1..=NAME_BYTES).contains(&name.len())
        && name.chars().all(fits)
        && name.split(' ').count() <= NAME_WORDS
        && !is_made_up(name)
}

/// Before each step of a path; in no name.
const STEP: char = '\u{1f}';
const ELEMENT: &str = "[]";
/// Hex digits of the types at the end of a line.
const MARK: usize = 3;
/// In place of names that are data.
const KEY: &str = "{key}";
/// An object of so many entries is a table.
const MANY_NAMES: usize = 64;
const NAME_BYTES: usize = 48;
const NAME_WORDS: usize = 3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(text: &str) -> Vec<String> {
        let Body::Json(shape) = of(text.as_bytes()) else { panic!("{text} has no shape") };
        facts(&shape).iter().map(|(path, types)| format!("{} {}", shown(path), types.shown())).collect()
    }

    #[test]
    fn paths_with_types_and_no_value() {
        let text =
            r#"{"items":[{"price":1.5,"name":"hunter2"},{"price":null,"name":"x"}],"ok":true,"none":[]}"#;
        let expect = [
            "the whole object",
            "items array",
            "items[] object",
            "items[].name string",
            "items[].price number or null",
            "none array",
            "none[] empty",
            "ok boolean",
        ];
        assert_eq!(lines(text), expect);
        assert_eq!(lines("[[1],[]]"), ["the whole array", "[] array", "[][] number or empty"]);
        assert_eq!(lines("7"), ["the whole number"]);
    }

    #[test]
    fn what_only_some_elements_have_is_optional() {
        let Body::Json(shape) = of(br#"{"a":[{"x":1,"y":1},{"x":null}],"b":{"x":1}}"#) else {
            panic!("it is JSON")
        };
        let facts = facts(&shape);
        let optional: Vec<String> = facts
            .iter()
            .filter(|(_, types)| types.has(Types::OPTIONAL))
            .map(|(path, _)| shown(path))
            .collect();
        assert_eq!(optional, ["a[].y"]);
    }

    #[test]
    fn order_values_and_counts_make_no_difference() {
        let shape = |text: &str| of(text.as_bytes());
        assert_eq!(shape(r#"{"a":1,"b":[1,2,3]}"#), shape(r#" {"b":[7],"a":-3e9}"#));
        assert_ne!(shape(r#"{"a":1}"#), shape(r#"{"a":"1"}"#));
    }

    #[test]
    fn names_that_are_data_stay_out() {
        let key = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
        let text =
            format!(r#"{{"{key}":1,"anna@example.org":2,"42":3,"total":4,"Dear all of you there":5}}"#);
        assert_eq!(lines(&text), ["the whole object", "total number", "{key} number"]);
        let many: Vec<String> = (0..100)
            .map(|n| {
                format!(
                    r#""{}":{{"n":{n}}}"#,
                    "abcdefghij".chars().cycle().skip(n).take(n + 1).collect::<String>()
                )
            })
            .collect();
        let table = format!(r#"{{"rows":{{{}}}}}"#, many.join(","));
        let expect = ["the whole object", "rows object", "rows.{key} object", "rows.{key}.n number"];
        assert_eq!(lines(&table), expect);
    }

    #[test]
    fn bad_texts_and_floods_have_none() {
        for text in ["", "{", "<html>", "{\"a\":1} x", "\u{feff}{}", "nul"] {
            assert_eq!(of(text.as_bytes()), Body::Other, "{text:?}");
        }
        assert_eq!(of(&[0xff, 0xfe]), Body::Other);
        assert_eq!(of("[".repeat(5000).as_bytes()), Body::Beyond);
        let wide: Vec<String> = (0..40)
            .map(|outer| {
                let name = |n: usize| {
                    "abcdefghijklmnopqrstuvwxyz".chars().nth(n % 26).unwrap().to_string().repeat(n / 26 + 1)
                };
                let inner: Vec<String> = (0..40).map(|inner| format!(r#""{}":1"#, name(inner))).collect();
                format!(r#""{}":{{{}}}"#, name(outer), inner.join(","))
            })
            .collect();
        assert_eq!(of(format!("{{{}}}", wide.join(",")).as_bytes()), Body::Beyond);
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(bytes: Vec<u8>, text in r#"[\[\]{}:,"a-c01 \\]{0,60}"#) {
            of(&bytes);
            if let Body::Json(shape) = of(text.as_bytes()) {
                let known = facts(&shape);
                prop_assert_eq!(known.len(), shape.split('\n').count());
                prop_assert!(known.keys().all(|path| parent(path).is_none_or(|above| known.contains_key(above))));
            }
        }
    }

    #[test]
    fn paths_have_parents() {
        let Body::Json(shape) = of(br#"{"a":[{"b":1}]}"#) else { panic!("it is JSON") };
        let facts = facts(&shape);
        let chain: Vec<(String, Option<String>, bool)> =
            facts.keys().map(|path| (shown(path), parent(path).map(shown), is_element(path))).collect();
        let own =
            |path: &str, parent: Option<&str>, element| (path.to_owned(), parent.map(str::to_owned), element);
        let expect = [
            own("the whole", None, false),
            own("a", Some("the whole"), false),
            own("a[]", Some("a"), true),
            own("a[].b", Some("a[]"), false),
        ];
        assert_eq!(chain, expect);
    }
}
