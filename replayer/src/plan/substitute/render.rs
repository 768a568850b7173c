//! Writes the head and the body of a step that values go into.

use smallvec::SmallVec;

use crate::cookies::Jar;
use crate::h2::hpack;
use crate::identity::{self, Key, KeyShape};
use crate::links::carried::Carried;
use crate::plan::substitute::Part;
use crate::plan::substitute::pieces::{Escape, Op, ops, take_block};
use crate::plan::template::Sender;

/// One attempt, as far as its bytes depend on who makes it.
#[derive(Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    pub(crate) sender: Sender<'a>,
    pub(crate) jar: Option<&'a Jar>,
    /// What answers gave to this clone.
    pub(crate) carried: Option<&'a Carried>,
    /// From 1.
    pub(crate) attempt: u32,
    /// The row of the users file for this clone: the value of a column by its number.
    pub(crate) user: Option<&'a (dyn Fn(usize) -> &'a [u8] + 'a)>,
}

/// Which body goes with a composed head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Composed {
    /// The recorded one, and its filler.
    Recorded,
    /// The one that was written.
    Written,
}

/// Writes the pieces of a step, without the end that all heads have.
pub(crate) fn compose(
    pieces: &[u8],
    head: &mut Vec<u8>,
    body: &mut Vec<u8>,
    outgoing: &Outgoing<'_>,
) -> Composed {
    let Some((in_head, in_body)) = take_block(pieces) else { return Composed::Recorded };
    let start = body.len();
    write(in_body, body, 0, outgoing);
    let length = body.len() - start;
    write(in_head, head, length, outgoing);
    if in_body.is_empty() { Composed::Recorded } else { Composed::Written }
}

fn write(bytes: &[u8], out: &mut Vec<u8>, length: usize, outgoing: &Outgoing<'_>) {
    let sender = outgoing.sender;
    let mut opened = out.len();
    for op in ops(bytes) {
        match op {
            Op::Text(text) => out.extend_from_slice(text),
            Op::Key(key) => sender.push_key(out, &key.get()),
            Op::Slot(escape, template) => {
                let mut value = SmallVec::<[u8; 128]>::new();
                render(template, &mut value, outgoing);
                push_escaped(out, escape, &value);
            }
            Op::Open => opened = out.len(),
            Op::Close => hpack::close_string(out, opened),
            Op::Length => out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes()),
        }
    }
}

/// Appends one part of a template in its stored form.
pub(super) fn push_part(template: &mut Vec<u8>, part: &Part, columns: &[String]) {
    match part {
        Part::Text(text) => push_text(template, text.as_bytes()),
        Part::Column(name) => {
            if let Some(column) = columns.iter().position(|known| known == name) {
                template.push(COLUMN);
                template.extend_from_slice(&(column as u32).to_le_bytes());
            }
        }
        Part::Session => template.push(SESSION),
        Part::Clone => template.push(CLONE),
        Part::Uuid => template.push(UUID),
    }
}

/// Appends a text that stands as it is.
pub(super) fn push_text(template: &mut Vec<u8>, text: &[u8]) {
    template.push(TEXT);
    template.extend_from_slice(&(text.len() as u32).to_le_bytes());
    template.extend_from_slice(text);
}

/// Appends the clone's value of a number, and what stands for it where it has none.
pub(super) fn push_carried(template: &mut Vec<u8>, number: u16, recorded: &[u8]) {
    template.push(CARRIED);
    template.extend_from_slice(&number.to_le_bytes());
    template.extend_from_slice(&(recorded.len() as u32).to_le_bytes());
    template.extend_from_slice(recorded);
}

fn render(template: &[u8], out: &mut SmallVec<[u8; 128]>, outgoing: &Outgoing<'_>) {
    let sender = outgoing.sender;
    let mut scratch = Vec::new();
    let mut rest = template;
    while let Some((tag, after)) = rest.split_first() {
        rest = after;
        match *tag {
            TEXT => {
                let Some((text, after)) = take_block(after) else { return };
                out.extend_from_slice(text);
                rest = after;
            }
            COLUMN => {
                let Some((column, after)) = after.split_first_chunk() else { return };
                if let Some(user) = outgoing.user {
                    out.extend_from_slice(user(u32::from_le_bytes(*column) as usize));
                }
                rest = after;
            }
            CARRIED => {
                let Some((number, after)) = after.split_first_chunk() else { return };
                let Some((recorded, after)) = take_block(after) else { return };
                let own = outgoing.carried.and_then(|carried| carried.get(u16::from_le_bytes(*number)));
                out.extend_from_slice(own.unwrap_or(recorded));
                rest = after;
            }
            CLONE => out.extend_from_slice(itoa::Buffer::new().format(sender.clone).as_bytes()),
            SESSION => identity::push_hex(&mut scratch, sender.session),
            _ => {
                let key = Key { hash: OF_THE_CLONE, shape: KeyShape::Uuid, flags: *b"00" };
                key.push(&mut scratch, sender.seed, sender.session, sender.clone);
            }
        }
        out.extend_from_slice(&scratch);
        scratch.clear();
    }
}

fn push_escaped(out: &mut Vec<u8>, escape: Escape, value: &[u8]) {
    match escape {
        Escape::Field => {
            // no value of a users file ends a line or a head early; HTTP/2 allows no space at the ends
            let clean = |b: &u8| if *b < 0x20 || *b == 0x7f { b' ' } else { *b };
            out.extend(value.trim_ascii().iter().map(clean));
        }
        Escape::Query | Escape::Form => {
            for byte in value {
                match *byte {
                    b' ' if escape == Escape::Form => out.push(b'+'),
                    byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => out.push(byte),
                    byte => {
                        out.push(b'%');
                        out.extend([byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]));
                    }
                }
            }
        }
        Escape::Part => out.extend_from_slice(value),
        Escape::JsonScalar if is_scalar(value) => out.extend_from_slice(value),
        Escape::JsonString | Escape::JsonScalar => {
            let text = String::from_utf8_lossy(value);
            serde_json::to_writer(out, &text).expect("a string is JSON, and memory takes it");
        }
    }
}

/// Whether it stands in JSON without quotes.
fn is_scalar(value: &[u8]) -> bool {
    matches!(value, b"true" | b"false" | b"null")
        || (value == value.trim_ascii() && serde_json::from_slice::<serde_json::Number>(value).is_ok())
}

const TEXT: u8 = 0;
const COLUMN: u8 = 1;
const SESSION: u8 = 2;
const CLONE: u8 = 3;
const UUID: u8 = 4;
const CARRIED: u8 = 5;
/// Sets `{uuid}` apart from what recorded keys become.
const OF_THE_CLONE: u64 = 0x5371_7561_6c6c_5573;
const HEX: &[u8; 16] = b"0123456789ABCDEF";
