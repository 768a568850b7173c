//! What is kept of bodies while they pass: a copy up to a limit, and a digest of all of it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::budget::{Budget, Held};
use crate::recorder::Keep;

/// A body while it passes. Large pieces are shared with the data path, small ones are put together, so that what is
/// held is what was counted.
#[derive(Default)]
pub(crate) struct BodyCopy {
    keep: Keep,
    chunks: Vec<Bytes>,
    small: BytesMut,
    kept: usize,
    len: u64,
    /// Of what passed so far, once it is not all kept.
    hash: BodyHash,
    ended: bool,
    starved: bool,
    held: Held,
}

impl BodyCopy {
    /// Keeps what `keep` says, and holds it in `budget` where there is one.
    pub(crate) fn new(keep: Keep, budget: Option<&Arc<Budget>>) -> Self {
        BodyCopy { keep, held: budget.map(Held::of).unwrap_or_default(), ..BodyCopy::default() }
    }

    pub(crate) fn push(&mut self, chunk: &Bytes) {
        let all_kept = self.kept as u64 == self.len;
        self.len += chunk.len() as u64;
        let room = if all_kept { (self.keep.limit - self.kept).min(chunk.len()) } else { 0 };
        if room == chunk.len() && self.hold(room) {
            return self.store(chunk.clone());
        }
        if self.keep.hash {
            if all_kept {
                self.hash = BodyHash::of(self.pieces());
            }
            self.hash.update(chunk);
        }
        if all_kept && self.keep.whole_only {
            self.forget();
        } else if 0 < room && room < chunk.len() && self.hold(room) {
            self.store(chunk.slice(..room));
        }
    }

    /// The body's end has passed.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// Nothing of it is needed but its digest.
    pub(crate) fn let_go(&mut self) {
        if self.keep.hash && self.kept as u64 == self.len {
            self.hash = BodyHash::of(self.pieces());
        }
        self.forget();
    }

    /// The message is sent again from its start.
    pub(crate) fn restart(&mut self) {
        let bodyless = self.ended && self.len == 0;
        self.forget();
        (self.len, self.hash, self.ended, self.starved) = (0, BodyHash::default(), bodyless, false);
    }

    /// Bytes seen.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes kept.
    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    /// Whether its end has passed.
    pub(crate) fn is_over(&self) -> bool {
        self.ended
    }

    /// Whether its end has passed, and all was kept.
    pub(crate) fn is_whole(&self) -> bool {
        self.ended && self.kept as u64 == self.len
    }

    /// Whether something was let go because others held the memory for it.
    pub(crate) fn is_starved(&self) -> bool {
        self.starved
    }

    /// XXH3-64 of a body whose end has passed; `None` where nobody asked for it.
    pub(crate) fn hash(&self) -> Option<u64> {
        if !self.ended || !self.keep.hash {
            return None;
        }
        Some(match self.is_whole() {
            true => xxh3_64(&self.piece()),
            false => self.hash.digest(),
        })
    }

    /// What was kept, as one piece that may be held for longer.
    pub(crate) fn bytes(&self) -> Bytes {
        match (self.chunks.as_slice(), self.small.is_empty()) {
            ([one], true) => one.clone(),
            _ => Bytes::from(self.piece().into_owned()),
        }
    }

    /// What was kept, as one piece: copied only where it lies in several.
    pub(crate) fn piece(&self) -> Cow<'_, [u8]> {
        match (self.chunks.as_slice(), self.small.is_empty()) {
            ([], _) => Cow::Borrowed(&self.small),
            ([one], true) => Cow::Borrowed(one),
            _ => {
                let mut all = Vec::with_capacity(self.kept);
                self.pieces().for_each(|piece| all.extend_from_slice(piece));
                Cow::Owned(all)
            }
        }
    }

    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().map(|chunk| &chunk[..]).chain(std::iter::once(&self.small[..]))
    }

    fn hold(&mut self, bytes: usize) -> bool {
        let fits = self.held.take(bytes);
        self.starved |= !fits;
        fits
    }

    fn store(&mut self, piece: Bytes) {
        self.kept += piece.len();
        if piece.len() < SMALL {
            return self.small.extend_from_slice(&piece);
        }
        if !self.small.is_empty() {
            self.chunks.push(self.small.split().freeze());
        }
        self.chunks.push(piece);
    }

    fn forget(&mut self) {
        (self.chunks, self.small, self.kept) = (Vec::new(), BytesMut::new(), 0);
        self.held.release();
    }
}

/// XXH3-64 of a body while it passes. Most are one small piece, and the state for several costs more than they do.
#[derive(Default)]
enum BodyHash {
    #[default]
    Empty,
    One(Bytes),
    Many(Box<Xxh3>),
}

impl BodyHash {
    fn of<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> BodyHash {
        let mut pieces = pieces.filter(|piece| !piece.is_empty()).peekable();
        if pieces.peek().is_none() {
            return BodyHash::Empty;
        }
        let mut hash = Box::new(Xxh3::new());
        pieces.for_each(|piece| hash.update(piece));
        BodyHash::Many(hash)
    }

    fn update(&mut self, chunk: &Bytes) {
        match self {
            BodyHash::Empty if chunk.len() <= SMALL => *self = BodyHash::One(chunk.clone()),
            BodyHash::Empty => *self = BodyHash::of(std::iter::once(&chunk[..])),
            BodyHash::One(first) => *self = BodyHash::of([&first[..], &chunk[..]].into_iter()),
            BodyHash::Many(hash) => hash.update(chunk),
        }
    }

    fn digest(&self) -> u64 {
        match self {
            BodyHash::Empty => xxh3_64(&[]),
            BodyHash::One(chunk) => xxh3_64(chunk),
            BodyHash::Many(hash) => hash.digest(),
        }
    }
}

/// A smaller piece is copied: it may be a slice of a buffer that is much larger. It may be kept until its hash is wanted.
const SMALL: usize = 4096;

/// What is known of an answer beside its body.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Answer {
    /// 0: no answer header was seen.
    pub(crate) status: u16,
    pub(crate) ttfb: Option<Duration>,
    /// The proxy made it itself.
    pub(crate) own: bool,
    /// It was 101: what follows is not HTTP.
    pub(crate) upgraded: bool,
    /// It had trailers, or announced them, that the way to the client cannot carry.
    pub(crate) lossy: bool,
}

/// What is known of an answer while it passes.
#[derive(Default)]
pub(crate) struct AnswerDigest {
    known: Answer,
    /// What follows its header is a stream, as long as it has something to say.
    pub(crate) streams: bool,
    /// An HTTP/2 answer that says its length, and this is it: on HTTP/1 nothing can follow its body.
    pub(crate) sized: Option<u64>,
    body: BodyCopy,
}

impl AnswerDigest {
    /// The answer's header.
    pub(crate) fn head(&mut self, status: u16, took: Duration) {
        self.known.status = status;
        self.known.ttfb = Some(took);
        self.known.upgraded = status == 101;
    }

    /// Its trailers do not reach the client.
    pub(crate) fn lose_trailers(&mut self) {
        self.known.lossy = true;
    }

    /// It is recorded, with this of its body.
    pub(crate) fn keep(&mut self, body: BodyCopy) {
        self.body = body;
    }

    /// The proxy answered by itself.
    pub(crate) fn own(&mut self, status: u16, took: Duration) {
        self.known.status = status;
        self.known.ttfb = Some(took);
        self.known.own = true;
    }

    /// A piece of its body, as the upstream sent it. One that says its length is whole with its last byte: its end may come
    /// alone, and a client that has all need not wait for it.
    pub(crate) fn body(&mut self, chunk: &Bytes) {
        self.body.push(chunk);
        if self.sized == Some(self.body.len()) {
            self.body.end();
        }
    }

    /// All of its body has passed.
    pub(crate) fn end(&mut self) {
        self.body.end();
    }

    /// Is what follows no HTTP?
    pub(crate) fn is_upgraded(&self) -> bool {
        self.known.upgraded
    }

    /// When the answer began, if it is a stream.
    pub(crate) fn stream_began(&self) -> Option<Duration> {
        if self.streams { self.known.ttfb } else { None }
    }

    /// When the upstream's answer began; `None` where it gave none.
    pub(crate) fn origin_began(&self) -> Option<Duration> {
        self.known.ttfb.filter(|_| !self.known.own)
    }

    /// The upstream's status; `None` where it gave none.
    pub(crate) fn origin_status(&self) -> Option<u16> {
        (self.known.status != 0 && !self.known.own).then_some(self.known.status)
    }

    /// The status that the client got, whoever chose it.
    pub(crate) fn status(&self) -> Option<u16> {
        (self.known.status != 0).then_some(self.known.status)
    }

    /// All of it, for the recording.
    pub(crate) fn take(&mut self) -> (Answer, BodyCopy) {
        (std::mem::take(&mut self.known), std::mem::take(&mut self.body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(keep: Keep, pieces: &[usize]) -> BodyCopy {
        let mut copy = BodyCopy::new(keep, None);
        let mut byte = 0u8;
        for len in pieces {
            byte += 1;
            copy.push(&Bytes::from(vec![byte; *len]));
        }
        copy.end();
        copy
    }

    fn all(pieces: &[usize]) -> Vec<u8> {
        pieces.iter().zip(1u8..).flat_map(|(len, byte)| vec![byte; *len]).collect()
    }

    #[test]
    fn an_answer_that_says_its_length_is_whole_with_its_last_byte() {
        for (sized, pieces, whole) in
            [(Some(10), &[4, 6][..], true), (Some(10), &[4, 5], false), (None, &[10], false)]
        {
            let mut answer = AnswerDigest { sized, ..AnswerDigest::default() };
            let keep = Keep { limit: 100, whole_only: true, hash: true };
            answer.keep(BodyCopy::new(keep, None));
            pieces.iter().for_each(|len| answer.body(&Bytes::from(vec![b'a'; *len])));
            assert_eq!(answer.take().1.is_whole(), whole, "{sized:?} {pieces:?}");
        }
    }

    #[test]
    fn what_is_kept_and_hashed_does_not_depend_on_the_pieces() {
        for pieces in
            [&[][..], &[0], &[10], &[5_000], &[10, 5_000, 10, 10, 9_000], &[4_096, 4_095], &[1; 200]]
        {
            let all = all(pieces);
            for limit in [0, 1, 10, 11, 5_015, 100_000] {
                for whole_only in [false, true] {
                    let copy = passed(Keep { limit, whole_only, hash: true }, pieces);
                    let fits = all.len() <= limit;
                    let kept = if fits {
                        all.len()
                    } else if whole_only {
                        0
                    } else {
                        limit
                    };
                    assert_eq!(copy.bytes(), all[..kept], "{pieces:?} {limit}");
                    assert_eq!((copy.kept(), copy.len()), (kept, all.len() as u64));
                    assert_eq!(
                        (copy.is_whole(), copy.hash()),
                        (fits, Some(xxh3_64(&all))),
                        "{pieces:?} {limit}"
                    );
                    let mut digest = copy;
                    digest.let_go();
                    assert_eq!((digest.kept(), digest.hash()), (0, Some(xxh3_64(&all))));
                }
            }
        }
    }

    #[test]
    fn memory_is_bounded_for_all_of_them_together() {
        let budget = Budget::new(10_000);
        let keep = Keep { limit: 8_000, whole_only: false, hash: true };
        let mut first = BodyCopy::new(keep, Some(&budget));
        let mut second = BodyCopy::new(keep, Some(&budget));
        first.push(&Bytes::from(vec![1; 8_000]));
        second.push(&Bytes::from(vec![2; 1_000]));
        second.push(&Bytes::from(vec![3; 5_000]));
        second.push(&Bytes::from(vec![4; 10]));
        second.end();
        assert_eq!(
            (second.kept(), second.len(), second.is_starved(), budget.held()),
            (1_000, 6_010, true, 9_000)
        );
        let all = [vec![2; 1_000], vec![3; 5_000], vec![4; 10]].concat();
        assert_eq!(second.hash(), Some(xxh3_64(&all)), "its digest is still that of all of it");
        drop(first);
        second.restart();
        assert_eq!((budget.held(), second.is_starved()), (0, false));
    }
}
