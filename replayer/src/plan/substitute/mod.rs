//! Values of the users' own in place of recorded ones: in header fields, queries, forms and JSON.
//!
//! What applies to a step is found when the plan is made and stored with it as a list of operations; steps that
//! nothing applies to carry nothing. A body that was not recorded whole is left alone.

mod find;
mod holes;
mod parse;
mod pieces;
mod render;

use std::ops::Range;

use captures::Exchange;
use captures::links::Slot;

pub(crate) use find::json_value;
pub(crate) use holes::Holes;
pub(crate) use pieces::{Escape, Pieces};
pub(crate) use render::{Composed, Outgoing, compose};

/// One `--set`: where a value goes, and the value with its `{column}`s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Substitution {
    place: Place,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// In place of a field of that name, and in requests that have none.
    Header(String),
    /// Where the query has it.
    Query(String),
    /// Where a form has it.
    Form(String),
    /// Where a JSON text has it: names of members and numbers of elements.
    Json(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// Of the users file.
    Column(String),
    /// The recorded session, in hex.
    Session,
    /// The number of the clone.
    Clone,
    /// The same for the whole session of one clone, of no other.
    Uuid,
}

/// The substitutions of a plan, with columns by number.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    rules: Vec<(Place, Vec<u8>)>,
}

/// A value that replaces what lies in a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spot<'a> {
    range: Range<usize>,
    escape: Escape,
    template: &'a [u8],
}

/// What becomes of a recorded body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BodyWork<'a> {
    /// It stays.
    Same,
    /// It would be looked at, had it been recorded whole and in the clear.
    Unreadable,
    /// Values in it are replaced; at least one.
    Spots(Vec<Spot<'a>>),
}

impl Substitution {
    /// The columns of the users file that it needs.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Column(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether it sets a header field: its columns must not hold what ends a field.
    pub(crate) fn is_header(&self) -> bool {
        matches!(self.place, Place::Header(_))
    }

    /// Refuses a `{column}` that the users file does not have.
    ///
    /// # Errors
    /// In words, with the columns that there are.
    pub(crate) fn check(&self, columns: &[String]) -> Result<(), String> {
        for name in self.columns() {
            if !columns.iter().any(|known| known == name) {
                let known = match columns.is_empty() {
                    true => "name one with --users FILE".to_owned(),
                    false => format!("it has {}", columns.join(", ")),
                };
                return Err(format!("--set uses {{{name}}}, which no users file has; {known}"));
            }
        }
        Ok(())
    }
}

impl Rules {
    /// Resolves names of columns to their numbers; one that is not there stands for nothing.
    pub(crate) fn new(substitutions: &[Substitution], columns: &[String]) -> Rules {
        let resolve = |substitution: &Substitution| {
            let mut template = Vec::new();
            for part in &substitution.parts {
                render::push_part(&mut template, part, columns);
            }
            (substitution.place.clone(), template)
        };
        Rules { rules: substitutions.iter().map(resolve).collect() }
    }

    /// The fields that are set in every request.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.rules.iter().enumerate().filter_map(|(index, (place, template))| match place {
            // of two for one field the last counts
            Place::Header(name) if !self.sets_header_after(index, name) => {
                Some((name.as_str(), &template[..]))
            }
            _ => None,
        })
    }

    /// Whether a field of that name is set in every request.
    pub(crate) fn sets_header(&self, name: &str) -> bool {
        self.headers().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// Whether the value at that place of requests is set.
    pub(crate) fn sets(&self, slot: &Slot) -> bool {
        self.rules.iter().any(|(place, _)| match (place, slot) {
            (Place::Form(name), Slot::Form(known)) | (Place::Query(name), Slot::Query(known)) => {
                name == known
            }
            (Place::Header(name), Slot::Header(known, _)) => name.eq_ignore_ascii_case(known),
            (Place::Json(path), Slot::Json(known)) => *path == known.words(),
            _ => false,
        })
    }

    /// What is replaced in a target.
    pub(crate) fn in_target(&self, target: &[u8]) -> Vec<Spot<'_>> {
        let Some(query) = target.iter().position(|b| *b == b'?').map(|mark| mark + 1) else {
            return Vec::new();
        };
        let mut spots = Vec::new();
        for (place, template) in &self.rules {
            if let Place::Query(name) = place {
                for range in find::form_values(&target[query..], name) {
                    let range = range.start + query..range.end + query;
                    spots.push(Spot { range, escape: Escape::Query, template });
                }
            }
        }
        in_order(spots)
    }

    /// What is replaced in the body of a request.
    pub(crate) fn in_body(&self, exchange: &Exchange) -> BodyWork<'_> {
        let request = &exchange.request;
        let data = request.body.data.as_deref().unwrap_or_default();
        let kind = request.headers.get_str("content-type").unwrap_or_default().to_ascii_lowercase();
        let form = find::is_form(&kind);
        let json = kind.contains("json") || (kind.is_empty() && matches!(data.first(), Some(b'{' | b'[')));
        let concerned = |place: &Place| match place {
            Place::Form(_) => form,
            Place::Json(_) => json,
            Place::Header(_) | Place::Query(_) => false,
        };
        if request.body.len == 0 || !self.rules.iter().any(|(place, _)| concerned(place)) {
            return BodyWork::Same;
        }
        let coded = request.headers.get_str("content-encoding").is_some_and(|coding| coding != "identity");
        if coded || !request.body.is_whole() {
            return BodyWork::Unreadable;
        }
        let mut spots = Vec::new();
        for (place, template) in self.rules.iter().filter(|(place, _)| concerned(place)) {
            match place {
                Place::Form(name) => {
                    let (ranges, escape) = find::in_form(request, name);
                    spots.extend(ranges.into_iter().map(|range| Spot { range, escape, template }));
                }
                Place::Json(path) => spots.extend(find::json_value(data, path).map(|(range, string)| {
                    let escape = if string { Escape::JsonString } else { Escape::JsonScalar };
                    Spot { range, escape, template }
                })),
                Place::Header(_) | Place::Query(_) => {}
            }
        }
        match spots.is_empty() {
            true => BodyWork::Same,
            false => BodyWork::Spots(in_order(spots)),
        }
    }

    fn sets_header_after(&self, index: usize, name: &str) -> bool {
        let later = &self.rules[index + 1..];
        later
            .iter()
            .any(|(place, _)| matches!(place, Place::Header(known) if known.eq_ignore_ascii_case(name)))
    }
}

/// By place; of two for the same place the one that was asked for last counts.
fn in_order(mut spots: Vec<Spot<'_>>) -> Vec<Spot<'_>> {
    spots.reverse();
    spots.sort_by_key(|spot| spot.range.start);
    spots.dedup_by_key(|spot| spot.range.start);
    spots
}

/// Appends `text` with its spots as values.
pub(crate) fn push_with_spots(pieces: &mut Pieces, text: &[u8], spots: &[Spot<'_>]) {
    let mut from = 0;
    for spot in spots {
        pieces.text(&text[from..spot.range.start]);
        pieces.slot(spot.escape, spot.template);
        from = spot.range.end;
    }
    pieces.text(&text[from..]);
}

#[cfg(test)]
mod tests;
