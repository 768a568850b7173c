//! Secrets in gRPC messages. One that is made as Protocol Buffers are is rewritten field by field, with lengths that fit
//! again, and packed again if it was; what cannot be told apart, or still shows a secret after that, is withheld.

use std::ops::Range;

use super::bodies::{decode, encode};
use crate::messages::GrpcScanner;

/// Finds secrets in a text, and says what stands there without them.
pub(super) type Find<'f> = &'f mut dyn FnMut(&[u8]) -> Option<Vec<u8>>;

/// What becomes of a body or a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Clean,
    New(Vec<u8>),
    /// It holds a secret that cannot be taken out of it, or nobody can say whether it does.
    Withheld,
}

/// A body: messages one after the other, the last one perhaps cut off.
pub(super) fn body(body: &[u8], coding: &str, find: Find<'_>) -> Outcome {
    let (mut out, mut done, mut changed) = (Vec::new(), 0, false);
    for (packed, range) in messages(body) {
        let content = &body[range.clone()];
        let new = match message(content, packed, coding, find) {
            Outcome::Withheld => return Outcome::Withheld,
            Outcome::New(new) => {
                changed = true;
                Some(new)
            }
            Outcome::Clean => None,
        };
        let content = new.as_deref().unwrap_or(content);
        let Ok(len) = u32::try_from(content.len()) else { return Outcome::Withheld };
        out.push(body[range.start - PREFIX]);
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(content);
        done = range.end;
    }
    let rest = &body[done..];
    // a message that was cut off and is packed cannot be unpacked
    let torn = rest.first().is_some_and(|flag| flag & 1 != 0);
    out.extend_from_slice(rest);
    match (torn || find(&out).is_some(), changed) {
        (true, _) => Outcome::Withheld,
        (false, true) => Outcome::New(out),
        (false, false) => Outcome::Clean,
    }
}

/// One message.
pub(super) fn message(content: &[u8], packed: bool, coding: &str, find: Find<'_>) -> Outcome {
    if !packed {
        return plain(content, find);
    }
    match decode(coding, content) {
        None => Outcome::Withheld,
        Some(unpacked) => match plain(&unpacked, find) {
            Outcome::New(new) => Outcome::New(encode(coding, &new)),
            other => other,
        },
    }
}

fn plain(content: &[u8], find: Find<'_>) -> Outcome {
    // field by field first: a text is found by itself where the length before it looks like a part of it
    let new = rewritten(content, MAX_DEPTH, find);
    match (find(new.as_deref().unwrap_or(content)), new) {
        (Some(_), _) => Outcome::Withheld,
        (None, Some(new)) => Outcome::New(new),
        (None, None) => Outcome::Clean,
    }
}

/// A message again, with other texts; `None` where nothing is to be hidden, or it is no message.
fn rewritten(content: &[u8], depth: usize, find: Find<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut at, mut done) = (0, 0);
    while at < content.len() {
        let Field { tag_end, text } = field(content, &mut at)?;
        let Some(text) = text else { continue };
        let new = match std::str::from_utf8(&content[text.clone()]) {
            _ if depth != 0 && is_message(&content[text.clone()]) => {
                rewritten(&content[text.clone()], depth - 1, find)
            }
            Ok(plain) => find(plain.as_bytes()),
            // they stay, and are found again if there is a secret in them
            Err(_) => None,
        };
        if let Some(new) = new {
            out.extend_from_slice(&content[done..tag_end]);
            push_varint(&mut out, new.len() as u64);
            out.extend_from_slice(&new);
            done = text.end;
        }
    }
    out.extend_from_slice(&content[done..]);
    (done != 0).then_some(out)
}

/// A field: where its tag ends, and the text behind its length where it has one.
struct Field {
    tag_end: usize,
    text: Option<Range<usize>>,
}

fn is_message(content: &[u8]) -> bool {
    let mut at = 0;
    while at < content.len() {
        if field(content, &mut at).is_none() {
            return false;
        }
    }
    at != 0
}

/// The field that begins at `at`, which moves behind it; `None` where there is none.
fn field(content: &[u8], at: &mut usize) -> Option<Field> {
    let tag = varint(content, at)?;
    if tag >> 3 == 0 || MAX_FIELD < tag >> 3 {
        return None;
    }
    let tag_end = *at;
    let text = match tag & 7 {
        0 => {
            varint(content, at)?;
            None
        }
        1 => skip(content, at, 8).map(|_| None)?,
        2 => {
            let len = usize::try_from(varint(content, at)?).ok()?;
            Some(skip(content, at, len)?)
        }
        5 => skip(content, at, 4).map(|_| None)?,
        _ => return None,
    };
    Some(Field { tag_end, text })
}

fn skip(content: &[u8], at: &mut usize, len: usize) -> Option<Range<usize>> {
    let end = at.checked_add(len).filter(|end| *end <= content.len())?;
    Some(std::mem::replace(at, end)..end)
}

fn varint(content: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *content.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while 0x80 <= value {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The whole messages of a body: whether they are packed, and where they stand.
fn messages(body: &[u8]) -> Vec<(bool, Range<usize>)> {
    let mut scanner = GrpcScanner::default();
    let mut found = Vec::new();
    for (at, byte) in body.iter().enumerate() {
        scanner.feed(std::slice::from_ref(byte), &mut |message| {
            found.push((message.compressed, at + 1 - message.len as usize..at + 1));
        });
    }
    found
}

/// Before each message: a flag, and its length.
const PREFIX: usize = 5;
/// The largest number that a field can have.
const MAX_FIELD: u64 = (1 << 29) - 1;
/// As deep as Protocol Buffers themselves are read by few.
const MAX_DEPTH: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &[u8] = b"secret";

    /// Finds a word, and replaces it by a longer one.
    fn find(text: &[u8]) -> Option<Vec<u8>> {
        let at = text.windows(SECRET.len()).position(|part| part == SECRET)?;
        Some([&text[..at], &[b'x'; 200], &text[at + SECRET.len()..]].concat())
    }

    fn text(number: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        push_varint(&mut out, content.len() as u64);
        [out, content.to_vec()].concat()
    }

    #[test]
    fn texts_are_replaced_and_lengths_fit_again() {
        let make = |word: &[u8]| {
            let inner = [text(1, word), vec![0x10, 0x96, 1], text(4, b"tail")].concat();
            [
                text(1, b"ann"),
                text(2, &inner),
                vec![0x1d, 1, 2, 3, 4],
                text(7, &[0xff, 0xfe]),
                vec![0x21],
                vec![9; 8],
            ]
            .concat()
        };
        assert_eq!(plain(&make(SECRET), &mut find), Outcome::New(make(&[b'x'; 200])));
        assert_eq!(plain(&make(b"none"), &mut find), Outcome::Clean);
        // no message, a secret among bytes that are no text, one that is made of the bytes around a text
        assert_eq!(plain(b"\x0a\x20 secret", &mut find), Outcome::Withheld);
        assert_eq!(plain(&text(1, b"\xffsecret"), &mut find), Outcome::Withheld);
        assert_eq!(plain(b"\x00secret", &mut find), Outcome::Withheld);
    }

    #[test]
    fn bodies_are_put_together_again() {
        let framed =
            |flag: u8, message: &[u8]| [&[flag], &(message.len() as u32).to_be_bytes()[..], message].concat();
        let of = |flag: u8, word: &[u8]| {
            let message = text(1, word);
            framed(flag, &if flag == 1 { encode("gzip", &message) } else { message })
        };
        for flag in [0, 1] {
            let before =
                [of(0, b"ann"), of(flag, SECRET), of(0, b"bob"), framed(0, b"cut off")[..7].to_vec()]
                    .concat();
            let after =
                [of(0, b"ann"), of(flag, &[b'x'; 200]), of(0, b"bob"), framed(0, b"cut off")[..7].to_vec()]
                    .concat();
            assert_eq!(body(&before, "gzip", &mut find), Outcome::New(after));
        }
        assert_eq!(body(&of(1, SECRET), "snappy", &mut find), Outcome::Withheld);
        assert_eq!(body(&of(1, SECRET)[..12], "gzip", &mut find), Outcome::Withheld);
        assert_eq!(
            body(&[of(0, b"a"), b"\0\0\0\0\x09secret".to_vec()].concat(), "", &mut find),
            Outcome::Withheld
        );
    }

    proptest! {
        #[test]
        fn whatever_it_is_no_secret_is_left(content in proptest::collection::vec(any::<u8>(), 0..60), at in 0usize..60) {
            let at = at.min(content.len());
            let with = [&content[..at], SECRET, &content[at..]].concat();
            let within = text(3, &with);
            for content in [with, within] {
                if let Outcome::New(new) = plain(&content, &mut find) {
                    prop_assert!(find(&new).is_none() && is_message(&new));
                }
            }
        }
    }
}
