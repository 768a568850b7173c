//! JSON Lines: one object a line, the names of the first one being the columns.

use std::borrow::Cow;
use std::fmt;
use std::io::{BufRead, Read};
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::separated::unreadable;
use super::table::{Builder, Table};
use crate::limits;

/// Reads all lines of `input`. `expected_bytes` is the size of the file, or 0. Errors name lines and columns.
///
/// Numbers keep the digits they are written with, `null` is an empty cell. Each object has the names of the first
/// one, in any order.
pub(super) fn read(mut input: impl BufRead, expected_bytes: u64) -> Result<Table, String> {
    let mut builder: Option<Builder> = None;
    let (mut text, mut values) = (Vec::new(), Values::default());
    let mut line = 0_u64;
    loop {
        text.clear();
        let most = limits::USERS_ROW_BYTES as u64;
        input.by_ref().take(most + 1).read_until(b'\n', &mut text).map_err(unreadable)?;
        if text.is_empty() {
            break;
        }
        line += 1;
        let at = |why: String| format!("line {line}: {why}");
        if text.len() as u64 > most {
            return Err(at(format!("longer than {} MiB", most >> 20)));
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        let fields = fields(&text).map_err(at)?;
        let builder = match &mut builder {
            Some(builder) => builder,
            None => {
                let names = fields.iter().map(|(name, _)| name.0.clone().into_owned()).collect::<Vec<_>>();
                if names.is_empty() {
                    return Err(at("an object without a field".to_owned()));
                }
                builder.insert(Builder::new(names, expected_bytes).map_err(at)?)
            }
        };
        values.take(builder.columns(), &fields).map_err(at)?;
        builder.push_row(values.cells()).map_err(at)?;
    }
    builder.ok_or("it is empty")?.finish()
}

/// The values of one object, in the order of the columns.
#[derive(Default)]
struct Values {
    bytes: Vec<u8>,
    places: Vec<Option<Range<usize>>>,
}

impl Values {
    fn take(&mut self, columns: &[String], fields: &[(Text<'_>, &RawValue)]) -> Result<(), String> {
        self.bytes.clear();
        self.places.clear();
        self.places.resize(columns.len(), None);
        for (position, (name, value)) in fields.iter().enumerate() {
            // Most files keep the order of their first line.
            let same = columns.get(position).is_some_and(|column| *column == name.0);
            let place =
                if same { Some(position) } else { columns.iter().position(|column| *column == name.0) };
            let place = place.ok_or_else(|| format!("field {} is not in the first line", position + 1))?;
            let column = &columns[place];
            let start = self.bytes.len();
            scalar(value, &mut self.bytes).map_err(|why| format!("column `{column}` {why}"))?;
            if self.places[place].replace(start..self.bytes.len()).is_some() {
                return Err(format!("column `{column}` is there twice"));
            }
        }
        match self.places.iter().position(Option::is_none) {
            Some(missing) => Err(format!("column `{}` is missing", columns[missing])),
            None => Ok(()),
        }
    }

    fn cells(&self) -> impl Iterator<Item = &[u8]> {
        self.places.iter().flatten().map(|place| &self.bytes[place.clone()])
    }
}

/// The fields of the object in `text`. The parser's own words are not passed on: they may quote a value.
fn fields(text: &[u8]) -> Result<Vec<(Text<'_>, &RawValue)>, String> {
    let found: Result<Fields<'_>, _> = serde_json::from_slice(text);
    found.map(|fields| fields.0).map_err(|err| match text.trim_ascii_start().first() {
        Some(b'{') => format!("not valid JSON at column {} of the line", err.column()),
        _ => "not a JSON object; write one object a line".to_owned(),
    })
}

/// Appends the text of a scalar.
fn scalar(value: &RawValue, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let written = value.get();
    match written.as_bytes().first() {
        Some(b'{' | b'[') => Err("holds an object or a list; only text, numbers, true and false fit"),
        Some(b'"') => {
            let text: Text<'_> =
                serde_json::from_str(written).map_err(|_| "holds text that is not Unicode")?;
            out.extend_from_slice(text.0.as_bytes());
            Ok(())
        }
        _ => {
            out.extend_from_slice(if written == "null" { b"" } else { written.as_bytes() });
            Ok(())
        }
    }
}

/// Text that is borrowed from the line where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// An object in the order in which it is written, doubled names included.
struct Fields<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields<'de>, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Vec::with_capacity(8);
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}
