//! Holes for what links carry: where in a recorded request the values of its answers stand.

use std::ops::Range;

use captures::Exchange;
use captures::links::{Slot, scheme};

use crate::plan::compile::links::Use;
use crate::plan::substitute::pieces::Escape;
use crate::plan::substitute::{BodyWork, Spot, find, in_order, render};

/// The holes of one request.
pub(crate) struct Holes<'a> {
    uses: &'a [Use],
    /// By use: what is written there, in its stored form.
    templates: Vec<Vec<u8>>,
}

impl<'a> Holes<'a> {
    pub(crate) fn new(uses: &'a [Use]) -> Holes<'a> {
        let template = |own: &Use| {
            let mut template = Vec::with_capacity(8 + own.recorded.len());
            render::push_carried(&mut template, own.value, &own.recorded);
            template
        };
        Holes { uses, templates: uses.iter().map(template).collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.uses.is_empty()
    }

    /// What is replaced in a target, `set` being what the user replaces there: that counts.
    pub(crate) fn in_target<'s>(&'s self, target: &[u8], set: Vec<Spot<'s>>) -> Vec<Spot<'s>> {
        let path_len = target.iter().position(|b| *b == b'?').unwrap_or(target.len());
        let mut spots = Vec::new();
        for (own, template) in self.all() {
            let ranges = match &own.slot {
                Slot::Path(segment) => segment_of(&target[..path_len], *segment).into_iter().collect(),
                Slot::Query(name) if path_len < target.len() => {
                    values_of(&target[path_len + 1..], name, &own.recorded, path_len + 1)
                }
                _ => Vec::new(),
            };
            spots.extend(ranges.into_iter().map(|range| Spot { range, escape: Escape::Query, template }));
        }
        spots.extend(set);
        in_order(spots)
    }

    /// The same for the body.
    pub(crate) fn in_body<'s>(&'s self, exchange: &Exchange, set: BodyWork<'s>) -> BodyWork<'s> {
        let data = exchange.request.body.data.as_deref().unwrap_or_default();
        let mut spots = Vec::new();
        for (own, template) in self.all() {
            match &own.slot {
                Slot::Form(name) => {
                    let (mut ranges, escape) = find::in_form(&exchange.request, name);
                    ranges.retain(|range| match escape {
                        Escape::Part => data[range.clone()] == own.recorded[..],
                        _ => find::decoded(&data[range.clone()]) == own.recorded,
                    });
                    spots.extend(ranges.into_iter().map(|range| Spot { range, escape, template }));
                }
                Slot::Json(path) => {
                    spots.extend(find::json_value(data, &path.words()).map(|(range, string)| {
                        let escape = if string { Escape::JsonString } else { Escape::JsonScalar };
                        Spot { range, escape, template }
                    }));
                }
                _ => {}
            }
        }
        match set {
            set if spots.is_empty() => set,
            BodyWork::Unreadable => BodyWork::Unreadable,
            BodyWork::Same => BodyWork::Spots(in_order(spots)),
            BodyWork::Spots(set) => {
                spots.extend(set);
                BodyWork::Spots(in_order(spots))
            }
        }
    }

    /// What stands in place of the value of a field: what precedes the credentials stays.
    pub(crate) fn in_header(&self, name: &str, value: &[u8]) -> Option<Vec<u8>> {
        let (word, secret) = scheme(name, value);
        let is_there = |own: &Use| match &own.slot {
            Slot::Header(known, before) => name.eq_ignore_ascii_case(known) && *before == word,
            _ => false,
        };
        let (_, template) = self.all().find(|(own, _)| is_there(own) && own.recorded == secret)?;
        let value = value.trim_ascii();
        let mut whole = Vec::with_capacity(value.len() + template.len());
        render::push_text(&mut whole, &value[..value.len() - secret.len()]);
        whole.extend_from_slice(template);
        Some(whole)
    }

    /// The number of the value that goes into a cookie.
    pub(crate) fn in_cookie(&self, name: &[u8]) -> Option<u16> {
        let is_there = |own: &&Use| matches!(&own.slot, Slot::Cookie(known) if known.as_bytes() == name);
        self.uses.iter().find(is_there).map(|own| own.value)
    }

    fn all(&self) -> impl Iterator<Item = (&Use, &[u8])> {
        self.uses.iter().zip(self.templates.iter().map(Vec::as_slice))
    }
}

/// Where a segment of a path lies; the first is 1.
fn segment_of(path: &[u8], segment: u32) -> Option<Range<usize>> {
    let mut start = 0;
    for (number, part) in path.split(|b| *b == b'/').enumerate() {
        if number == segment as usize {
            return Some(start..start + part.len());
        }
        start += part.len() + 1;
    }
    None
}

/// Where the fields of that name with the recorded value lie, `before` bytes into the whole.
fn values_of(text: &[u8], name: &str, recorded: &[u8], before: usize) -> Vec<Range<usize>> {
    let all = find::form_values(text, name).into_iter();
    let same = all.filter(|range| find::decoded(&text[range.clone()]) == recorded);
    same.map(|range| range.start + before..range.end + before).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_and_values_are_found() {
        let check = |segment, expect: Option<&str>| {
            let path = "/orders/77/pay";
            let found = segment_of(path.as_bytes(), segment).map(|range| &path[range]);
            assert_eq!(found, expect);
        };
        check(1, Some("orders"));
        check(2, Some("77"));
        check(3, Some("pay"));
        check(4, None);
        let found = values_of(b"a=1&b=x+y&b=z", "b", b"x y", 10);
        assert_eq!((found.len(), found.first()), (1, Some(&(16..19))));
    }
}
