//! Places that values come from and go to, as they are written: `json:$.token`, `header:authorization bearer`.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::path::JsonPath;

/// Where in an answer a value stands. `nth` tells equal ones of one answer apart, from 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leaf {
    /// What kind of place it is, and its name.
    pub kind: LeafKind,
    /// How many of the same kind and name stand before it.
    pub nth: u32,
}

/// The kind and the name of a [`Leaf`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeafKind {
    /// A header field, its name in lower case.
    Header(String),
    /// The value of the cookie that `Set-Cookie` sets.
    SetCookie(String),
    /// A segment of the path in `Location`, from 1.
    RedirectPath(u32),
    /// A parameter of the query in `Location`.
    RedirectQuery(String),
    /// A scalar in a JSON body.
    Json(JsonPath),
    /// The value of an HTML form field.
    Field(String),
    /// The content of an HTML `meta` element.
    Meta(String),
    /// The value of an HTML attribute `data-NAME`.
    Data(String),
    /// A scalar in the JSON of a server-sent event.
    Event(JsonPath),
    /// A segment of the path, from 1, of an address: `_links.next.href`, an address to upload to, where a form goes.
    AddressPath(u32, Within),
    /// A parameter of the query of such an address.
    AddressQuery(String, Within),
}

/// Where an address stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Within {
    /// It is a scalar in a JSON body.
    Json(JsonPath),
    /// It is a scalar in the JSON of a server-sent event.
    Event(JsonPath),
    /// It is an attribute of an HTML page, and of this route: what identifies is `{id}` there, as in
    /// [`crate::route::template`].
    Page(String),
}

impl LeafKind {
    /// The way to the scalar that the value is, or stands in.
    pub fn path_mut(&mut self) -> Option<&mut JsonPath> {
        use LeafKind::{AddressPath, AddressQuery, Event, Json};
        match self {
            Json(path)
            | Event(path)
            | AddressPath(_, Within::Json(path) | Within::Event(path))
            | AddressQuery(_, Within::Json(path) | Within::Event(path)) => Some(path),
            _ => None,
        }
    }

    /// Whether it is a part of an address that the answer's body holds.
    pub fn is_in_address(&self) -> bool {
        matches!(self, LeafKind::AddressPath(..) | LeafKind::AddressQuery(..))
    }
}

/// Where in a request a value goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// A segment of the path, from 1.
    Path(u32),
    /// A parameter of the query.
    Query(String),
    /// A header field, its name in lower case, and the word before the value: `bearer`; empty where there is none.
    Header(String, String),
    /// A cookie.
    Cookie(String),
    /// A scalar in a JSON body.
    Json(JsonPath),
    /// A field of a form.
    Form(String),
}

impl Leaf {
    /// The first of its kind.
    pub fn new(kind: LeafKind) -> Leaf {
        Leaf { kind, nth: 0 }
    }

    /// The same whatever its number, and whatever the numbers of elements in its path.
    #[must_use]
    pub fn general(&self) -> Leaf {
        let mut kind = self.kind.clone();
        if let Some(path) = kind.path_mut() {
            *path = path.general();
        }
        Leaf::new(kind)
    }

    /// Whether it stands in the body of the answer.
    pub fn is_in_body(&self) -> bool {
        use LeafKind::{Data, Event, Field, Json, Meta};
        self.kind.is_in_address() || matches!(self.kind, Json(_) | Field(_) | Meta(_) | Data(_) | Event(_))
    }
}

impl Slot {
    /// The same whatever the numbers of elements in its path.
    #[must_use]
    pub fn general(&self) -> Slot {
        match self {
            Slot::Json(path) => Slot::Json(path.general()),
            slot => slot.clone(),
        }
    }
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            LeafKind::Header(name) => write!(f, "header:{name}"),
            LeafKind::SetCookie(name) => write!(f, "set-cookie:{name}"),
            LeafKind::RedirectPath(segment) => write!(f, "redirect-path:{segment}"),
            LeafKind::RedirectQuery(name) => write!(f, "redirect-query:{name}"),
            LeafKind::Json(path) => write!(f, "json:{path}"),
            LeafKind::Field(name) => write!(f, "html-field:{name}"),
            LeafKind::Meta(name) => write!(f, "html-meta:{name}"),
            LeafKind::Data(name) => write!(f, "html-data:{name}"),
            LeafKind::Event(path) => write!(f, "event:{path}"),
            LeafKind::AddressPath(segment, within) => write!(f, "{}-path:{segment} {within}", within.word()),
            LeafKind::AddressQuery(name, within) => write!(f, "{}-query:{name} {within}", within.word()),
        }?;
        if self.nth == 0 { Ok(()) } else { write!(f, "#{}", self.nth) }
    }
}

impl Within {
    fn word(&self) -> &'static str {
        match self {
            Within::Json(_) => "json",
            Within::Event(_) => "event",
            Within::Page(_) => "html",
        }
    }
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Within::Json(path) | Within::Event(path) => path.fmt(f),
            Within::Page(route) => f.write_str(route),
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Slot::Path(segment) => write!(f, "path:{segment}"),
            Slot::Query(name) => write!(f, "query:{name}"),
            Slot::Header(name, word) if word.is_empty() => write!(f, "header:{name}"),
            Slot::Header(name, word) => write!(f, "header:{name} {word}"),
            Slot::Cookie(name) => write!(f, "cookie:{name}"),
            Slot::Json(path) => write!(f, "json:{path}"),
            Slot::Form(name) => write!(f, "form:{name}"),
        }
    }
}

impl FromStr for Leaf {
    type Err = String;

    fn from_str(text: &str) -> Result<Leaf, String> {
        let (kind, name) = split(text, &LEAF_KINDS)?;
        let numbered = name.rsplit_once('#').and_then(|(name, nth)| Some((name, nth.parse().ok()?)));
        let (name, nth) = numbered.unwrap_or((name, 0));
        let kind = match kind {
            "header" => LeafKind::Header(name.to_ascii_lowercase()),
            "set-cookie" => LeafKind::SetCookie(name.to_owned()),
            "redirect-path" => LeafKind::RedirectPath(segment(name)?),
            "redirect-query" => LeafKind::RedirectQuery(name.to_owned()),
            "json" => LeafKind::Json(name.parse()?),
            "html-field" => LeafKind::Field(name.to_owned()),
            "html-meta" => LeafKind::Meta(name.to_owned()),
            "html-data" => LeafKind::Data(name.to_ascii_lowercase()),
            kind if kind.ends_with("-path") || kind.ends_with("-query") => in_address(kind, name)?,
            _ => LeafKind::Event(name.parse()?),
        };
        Ok(Leaf { kind, nth })
    }
}

impl FromStr for Slot {
    type Err = String;

    fn from_str(text: &str) -> Result<Slot, String> {
        let (kind, name) = split(text, &SLOT_KINDS)?;
        Ok(match kind {
            "path" => Slot::Path(segment(name)?),
            "query" => Slot::Query(name.to_owned()),
            "header" => {
                let (name, word) = name.split_once(' ').unwrap_or((name, ""));
                Slot::Header(name.to_ascii_lowercase(), word.trim().to_ascii_lowercase())
            }
            "cookie" => Slot::Cookie(name.to_owned()),
            "json" => Slot::Json(name.parse()?),
            _ => Slot::Form(name.to_owned()),
        })
    }
}

impl Serialize for Leaf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Slot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Kind and name, the kind being one of `kinds`.
fn split<'t>(text: &'t str, kinds: &[&str]) -> Result<(&'t str, &'t str), String> {
    let known = || kinds.join(":, ");
    let Some((kind, name)) = text.split_once(':') else {
        return Err(format!("`{text}` names no place: write one of {}:, and a name", known()));
    };
    if !kinds.contains(&kind) {
        let near = nearest(kind, kinds);
        let near = near.map_or_else(String::new, |near| format!(", did you mean `{near}:`?"));
        return Err(format!("`{kind}:` is no kind of place{near} (known are {}:)", known()));
    }
    match name.trim() {
        "" => Err(format!("`{text}` lacks a name after the colon")),
        name => Ok((kind, name)),
    }
}

/// `2 $.next.href`, `cursor $.next.href`; in a page `2 /orders/{id}/pay`.
fn in_address(kind: &str, name: &str) -> Result<LeafKind, String> {
    let is_page = kind.starts_with("html");
    let parts = if is_page { name.rsplit_once(" /") } else { name.split_once(" $") };
    let (part, rest) = parts.ok_or_else(|| {
        let [path, query] =
            if is_page { ["2 /orders/{id}", "token /reset"] } else { ["2 $.next", "cursor $.next"] };
        let (word, _) = kind.rsplit_once('-').unwrap_or((kind, ""));
        format!(
            "`{kind}:{name}` names no part of an address: write {word}-path:{path} or {word}-query:{query}"
        )
    })?;
    let within = match kind {
        _ if is_page => Within::Page(format!("/{rest}")),
        "event-path" | "event-query" => Within::Event(format!("${rest}").parse()?),
        _ => Within::Json(format!("${rest}").parse()?),
    };
    Ok(match kind.ends_with("-path") {
        true => LeafKind::AddressPath(segment(part)?, within),
        false => LeafKind::AddressQuery(part.to_owned(), within),
    })
}

fn segment(name: &str) -> Result<u32, String> {
    let number = name.parse().ok().filter(|number| *number != 0);
    number.ok_or_else(|| format!("`{name}` is no segment of a path: they are counted from 1"))
}

/// The one of `names` that holds the word, else with the fewest letters to change, if those are few.
pub fn nearest<'n>(wrong: &str, names: &[&'n str]) -> Option<&'n str> {
    if let Some(name) = names.iter().find(|name| 3 < wrong.len() && name.contains(wrong)) {
        return Some(name);
    }
    let near = names.iter().map(|name| (distance(wrong, name), *name)).min()?;
    (near.0 <= wrong.len().div_ceil(2)).then_some(near.1)
}

/// Letters to insert, remove or replace on the way from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

const LEAF_KINDS: [&str; 15] = [
    "json",
    "header",
    "set-cookie",
    "redirect-path",
    "redirect-query",
    "html-field",
    "html-meta",
    "html-data",
    "event",
    "json-path",
    "json-query",
    "html-path",
    "html-query",
    "event-path",
    "event-query",
];
const SLOT_KINDS: [&str; 6] = ["path", "query", "header", "cookie", "json", "form"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        for text in [
            "json:$.token",
            "json:$.items[3].id",
            "header:etag",
            "set-cookie:sid",
            "redirect-path:2",
            "redirect-query:code",
            "html-field:user[name]",
            "html-field:csrf#2",
            "html-meta:csrf-token",
            "html-data:order-id",
            "event:$.id#4",
            "json-path:2 $._links.next.href",
            "json-query:page[cursor] $.next[\"a b\"]",
            "html-path:2 /orders/{id}/pay#3",
            "html-query:a b /",
            "event-path:2 $.status#1",
            "event-query:id $.status",
        ] {
            assert_eq!(text.parse::<Leaf>().map(|leaf| leaf.to_string()).as_deref(), Ok(text));
        }
        for text in [
            "path:1",
            "query:q",
            "header:authorization bearer",
            "header:if-match",
            "cookie:a",
            "json:$[0]",
            "form:a",
        ] {
            assert_eq!(text.parse::<Slot>().map(|slot| slot.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn mistakes_are_named() {
        let check = |text: &str, words: &str| {
            let said = text.parse::<Leaf>().unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        };
        check("token", "names no place");
        check("jsn:$.token", "did you mean `json:`");
        check("cookie:sid", "did you mean `set-cookie:`");
        check("json:", "lacks a name");
        check("json:token", "no path in JSON");
        check("redirect-path:0", "counted from 1");
        check("json-path:$.next", "names no part of an address");
        check("json-path:0 $.next", "counted from 1");
        check("html-path:2 orders", "html-path:2 /orders/{id}");
        check("event-query:a", "event-query:cursor $.next");
        assert!("body:$.x".parse::<Slot>().unwrap_err().contains("known are path:, query:"));
    }
}
