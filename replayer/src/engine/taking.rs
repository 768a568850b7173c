//! Taking values from answers for the later requests of the same clone. Only answers of steps with links are looked
//! at; a body is collected only where a link wants something of it, up to a bound, and while it is in flight.

use captures::links::{
    BodyKind, JsonPath, Leaf, LeafKind, Within, events, in_address, in_header, in_page, uncoded,
};

use crate::engine::records::{Engine, Op};
use crate::limits;
use crate::links::block::{self, Entry};
use crate::links::carried::Hand;
use crate::plan::{Step, json_value};
use crate::slab::{NONE, Slab};

/// An answer whose body holds values that are wanted.
#[derive(Debug, Default)]
pub(crate) struct Taker {
    content_type: String,
    coding: String,
    body: Vec<u8>,
    /// Of a stream of events: the events so far that held each wanted value, in the order of the entries.
    seen: Vec<u32>,
    /// It is too large: what was collected is gone, and nothing more is.
    is_over: bool,
}

impl Taker {
    /// Notes one field of the head.
    fn note(&mut self, name: &[u8], value: &[u8]) {
        let text = || String::from_utf8_lossy(value).trim().to_ascii_lowercase();
        if name.eq_ignore_ascii_case(b"content-type") {
            self.content_type = text();
        } else if name.eq_ignore_ascii_case(b"content-encoding") {
            self.coding = text();
        }
    }

    /// Collects a piece of the body; the events that end in it are looked at on the spot, as their stream may not end
    /// before their values are wanted.
    pub(crate) fn collect(&mut self, bytes: &[u8], step: Step<'_>, hand: &mut Hand<'_>) {
        if self.is_over || limits::LINK_BODY_BYTES < self.body.len() + bytes.len() {
            *self = Taker { is_over: true, ..Taker::default() };
            return;
        }
        self.body.extend_from_slice(bytes);
        if self.content_type.contains("event-stream") && bytes.contains(&b'\n') {
            let end = self.body.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let end = last_event(&self.body[..end]);
            let whole: Vec<u8> = self.body.drain(..end).collect();
            for event in events(&whole) {
                self.take_event(&event, step, hand);
            }
        }
    }

    fn take_event(&mut self, event: &[u8], step: Step<'_>, hand: &mut Hand<'_>) {
        for (place, (number, leaf)) in wanted(step).enumerate() {
            let Some(value) = in_event(event, &leaf.kind) else { continue };
            self.seen.resize(self.seen.len().max(place + 1), 0);
            if self.seen[place] == leaf.nth {
                hand.set(number, &value);
            }
            self.seen[place] += 1;
        }
    }

    /// Takes what is wanted of a body that is complete.
    fn finish(self, step: Step<'_>, hand: &mut Hand<'_>) {
        let Some(body) = uncoded(&self.coding, &self.body) else { return };
        let kind = BodyKind::of_type(&self.content_type, &body);
        for (number, leaf) in wanted(step) {
            let value = match (&leaf.kind, kind) {
                (LeafKind::Json(path), BodyKind::Json) => scalar(&body, &path.words()),
                (
                    LeafKind::AddressPath(_, Within::Json(path))
                    | LeafKind::AddressQuery(_, Within::Json(path)),
                    BodyKind::Json,
                ) => part_of(&body, path, &leaf.kind),
                (_, BodyKind::Html) if leaf.is_in_body() => in_page(&body, &leaf),
                _ => None,
            };
            if let Some(value) = value {
                hand.set(number, &value);
            }
        }
    }
}

/// Notes what one field of an answer's head holds that is wanted.
pub(crate) fn note_taken(
    (takers, record): (&mut Slab<Taker>, &Op),
    step: Step<'_>,
    hand: &mut Hand<'_>,
    (name, value): (&[u8], &[u8]),
) {
    if let Some(taker) = takers.get_mut(record.taker) {
        taker.note(name, value);
    }
    let Ok(name) = std::str::from_utf8(name) else { return };
    for (number, leaf) in wanted(step).filter(|(_, leaf)| !leaf.is_in_body()) {
        in_header(name, value, &mut |kind, value| {
            if kind == leaf.kind {
                hand.set(number, value);
            }
        });
    }
}

/// The values that are wanted of the answer to a step.
fn wanted(step: Step<'_>) -> impl Iterator<Item = (u16, Leaf)> {
    block::entries(step.links()).filter_map(|entry| match entry {
        Entry::Take(number, leaf) => Some((number, leaf.parse().ok()?)),
        Entry::Use { .. } | Entry::Free(_) => None,
    })
}

/// A string or a number of a JSON text, its escapes undone.
fn scalar(text: &[u8], path: &[String]) -> Option<Vec<u8>> {
    let (range, is_string) = json_value(text, path)?;
    match is_string {
        true => serde_json::from_slice::<String>(&text[range]).ok().map(String::into_bytes),
        false => Some(text[range].to_vec()),
    }
}

/// The value of that place in an event.
fn in_event(event: &[u8], kind: &LeafKind) -> Option<Vec<u8>> {
    match kind {
        LeafKind::Event(path) => scalar(event, &path.words()),
        LeafKind::AddressPath(_, Within::Event(path)) | LeafKind::AddressQuery(_, Within::Event(path)) => {
            part_of(event, path, kind)
        }
        _ => None,
    }
}

/// A part of the address that a scalar of a JSON text is.
fn part_of(text: &[u8], path: &JsonPath, part: &LeafKind) -> Option<Vec<u8>> {
    let address = String::from_utf8(scalar(text, &path.words())?).ok()?;
    in_address(&address, part)
}

/// Where the last event ends that is complete: behind its blank line.
fn last_event(text: &[u8]) -> usize {
    let mut lines = text.split_inclusive(|byte| *byte == b'\n');
    let (mut at, mut end) = (0, 0);
    for line in &mut lines {
        at += line.len();
        if line.trim_ascii().is_empty() {
            end = at;
        }
    }
    end
}

impl Engine {
    /// A request is about to be sent: whether something of the body of its answer is wanted.
    pub(crate) fn begin_taking(&mut self, op: u32) {
        let step = self.step_of(op);
        if !step.has_links() || !wanted(step).any(|(_, leaf)| leaf.is_in_body()) {
            return;
        }
        match self.takers.get_mut(self.ops[op].taker) {
            Some(taker) => *taker = Taker::default(),
            None => self.ops[op].taker = self.takers.insert(Taker::default()),
        }
    }

    /// The answer is complete.
    pub(crate) fn finish_taking(&mut self, op: u32) {
        let record = &mut self.ops[op];
        let Some(taker) = self.takers.remove(record.taker) else { return };
        record.taker = NONE;
        let session = &mut self.sessions[record.session];
        let step = self.job.plan.step(session.program, record.step);
        taker.finish(step, &mut Hand { number: &mut session.carried, all: &mut self.carried });
    }

    /// Counts which links had a value for a request that was sent.
    pub(crate) fn count_carried(&mut self, op: u32) {
        let record = &self.ops[op];
        let session = &self.sessions[record.session];
        let step = self.job.plan.step(session.program, record.step);
        if !step.has_links() {
            return;
        }
        let own = self.carried.get(session.carried);
        for entry in block::entries(step.links()) {
            if let Entry::Use { link, value } = entry
                && let Some(count) = self.tally.links.get_mut(usize::from(link))
            {
                let is_there = own.is_some_and(|own| own.get(value).is_some());
                count.used += u64::from(is_there);
                count.missed += u64::from(!is_there);
            }
        }
    }

    /// Forgets what nobody needs after a step that has ended. While others of the session are in flight they may need
    /// it still, to be sent again: then it stays to the end of the session.
    pub(crate) fn free_carried(&mut self, session: u32, step: u32) {
        let record = &mut self.sessions[session];
        if record.carried == NONE || record.ops != NONE {
            return;
        }
        let step = self.job.plan.step(record.program, step);
        let mut hand = Hand { number: &mut record.carried, all: &mut self.carried };
        for entry in block::entries(step.links()) {
            if let Entry::Free(number) = entry {
                hand.free(number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_events_end_with_a_blank_line() {
        let check = |text: &str, expect: usize| assert_eq!(last_event(text.as_bytes()), expect, "{text:?}");
        check("", 0);
        check("data: 1\n", 0);
        check("data: 1\n\n", 9);
        check("data: 1\r\n\r\ndata: 2\n", 11);
    }

    #[test]
    fn scalars_are_taken_with_their_escapes_undone() {
        let text = br#"{"a":"x\"y","b":7}"#;
        assert_eq!(scalar(text, &["a".to_owned()]).as_deref(), Some(&b"x\"y"[..]));
        assert_eq!(scalar(text, &["b".to_owned()]).as_deref(), Some(&b"7"[..]));
        assert_eq!(scalar(text, &["c".to_owned()]), None);
    }
}
