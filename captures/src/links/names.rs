//! Names in places: which may stand in a capture as they are.

use super::path::{JsonPath, Part};
use super::place::{LeafKind, Slot, Within};

/// Whether `is_clean` holds for every name in a place.
pub(super) fn has_clean_names(kind: &LeafKind, is_clean: &dyn Fn(&str) -> bool) -> bool {
    use LeafKind::{
        AddressPath, AddressQuery, Data, Event, Field, Header, Json, Meta, RedirectPath, RedirectQuery,
        SetCookie,
    };
    let within = |within: &Within| match within {
        Within::Json(path) | Within::Event(path) => keys(path, is_clean),
        Within::Page(route) => route.split('/').all(|segment| is_word(segment) && is_clean(segment)),
    };
    match kind {
        Json(path) | Event(path) => keys(path, is_clean),
        AddressPath(_, address) => within(address),
        AddressQuery(name, address) => is_clean(name) && within(address),
        Header(name) | SetCookie(name) | RedirectQuery(name) | Field(name) | Meta(name) | Data(name) => {
            is_clean(name)
        }
        RedirectPath(_) => true,
    }
}

/// As [`has_clean_names`].
pub(super) fn is_clean_slot(slot: &Slot, is_clean: &dyn Fn(&str) -> bool) -> bool {
    match slot {
        Slot::Json(path) => keys(path, is_clean),
        Slot::Query(name) | Slot::Header(name, _) | Slot::Cookie(name) | Slot::Form(name) => is_clean(name),
        Slot::Path(_) => true,
    }
}

fn keys(path: &JsonPath, is_clean: &dyn Fn(&str) -> bool) -> bool {
    path.0.iter().all(|part| match part {
        Part::Key(key) => is_clean(key),
        Part::Index(_) | Part::Any => true,
    })
}

/// Whether it names a field: a document may have identifiers or addresses where others have names.
pub(super) fn is_name(name: &str) -> bool {
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    name.len() <= LONGEST_NAME && digits <= MOST_DIGITS && !name.contains('@')
}

/// Whether a segment of a route is a word: a token may have no digit, but then it has capitals where no word has them.
fn is_word(segment: &str) -> bool {
    let capitals = segment.bytes().filter(u8::is_ascii_uppercase).count();
    let is_short = segment.len() <= LONGEST_INITIALS;
    is_short && capitals == segment.len() || capitals * LETTERS_A_CAPITAL <= segment.len() + LETTERS_A_CAPITAL
}

const LONGEST_NAME: usize = 64;
/// Digits of a name.
const MOST_DIGITS: usize = 4;
/// `OrderDetails`.
const LETTERS_A_CAPITAL: usize = 4;
/// `API`.
const LONGEST_INITIALS: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_of_words_are_written_and_tokens_are_not() {
        let is_clean = |place: &str| {
            let leaf: crate::links::Leaf = place.parse().unwrap();
            has_clean_names(&leaf.kind, &is_name)
        };
        for place in [
            "html-path:2 /orders/{id}/pay",
            "html-query:a /Account/OrderDetails",
            "html-query:a /",
            "html-path:2 /API/{id}",
        ] {
            assert!(is_clean(place), "{place}");
        }
        for place in
            ["html-query:a /reset/QzkWmPxyzAbHj", "html-query:a /u/ann@mail.example", "html-query:a@b /x"]
        {
            assert!(!is_clean(place), "{place}");
        }
    }
}
