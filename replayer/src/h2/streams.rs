//! The open streams of a connection: a hash table with open addressing, 24 bytes a place.
//!
//! Numbers of streams are ours and count up, so no peer can choose them to collide, and multiplying by the golden
//! ratio spreads consecutive numbers evenly. The table is kept between 64 and 80 % full (30 to 38 bytes a stream).

use std::cell::Cell;

/// One open stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stream {
    /// 0: an empty place of the table.
    pub(super) id: u32,
    /// What the caller calls it.
    pub(super) tag: u32,
    /// Bytes that we may send; below 0 after the peer lowered its initial window.
    pub(super) send_window: i32,
    /// Bytes of DATA that came and are not given back to the peer's window.
    pub(super) received: u32,
    /// Bytes of the body that are still to come by its Content-Length, or [`UNKNOWN`].
    pub(super) body_left: u32,
    pub(super) flags: u32,
}

impl Stream {
    pub(super) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Whether the answer would be too short if it ended here. An answer without any body may belong to a HEAD
    /// request, so it is for the caller to judge.
    pub(super) fn is_cut(&self) -> bool {
        self.body_left != UNKNOWN && self.body_left != 0 && self.has(HAS_BODY)
    }
}

/// Streams by number.
#[derive(Debug, Default)]
pub(super) struct Streams {
    places: Vec<Stream>,
    count: usize,
    /// Where the last one was found: the steps of one frame ask for the same stream several times.
    last: Cell<usize>,
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.places.iter().filter(|stream| stream.id != 0)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.places.iter_mut().filter(|stream| stream.id != 0)
    }

    pub(super) fn get(&self, id: u32) -> Option<&Stream> {
        self.find(id).map(|place| &self.places[place])
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Stream> {
        let place = self.find(id)?;
        Some(&mut self.places[place])
    }

    /// Takes in a stream whose number is new and not 0.
    pub(super) fn insert(&mut self, stream: Stream) {
        debug_assert!(stream.id != 0 && self.find(stream.id).is_none());
        if (self.count + 1) * 5 > self.places.len() * 4 {
            self.grow();
        }
        self.put(stream);
        self.count += 1;
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Stream> {
        let mut hole = self.find(id)?;
        let removed = std::mem::take(&mut self.places[hole]);
        self.count -= 1;
        let mut next = self.after(hole);
        while self.places[next].id != 0 {
            // What stands behind the hole moves into it, unless that would be before its home.
            let home = self.home(self.places[next].id);
            if self.distance(home, next) >= self.distance(hole, next) {
                self.places.swap(hole, next);
                hole = next;
            }
            next = self.after(next);
        }
        Some(removed)
    }

    fn find(&self, id: u32) -> Option<usize> {
        if self.places.is_empty() || id == 0 {
            return None;
        }
        if self.places.get(self.last.get()).is_some_and(|stream| stream.id == id) {
            return Some(self.last.get());
        }
        let mut place = self.home(id);
        loop {
            let found = self.places[place].id;
            if found == id {
                self.last.set(place);
                return Some(place);
            }
            if found == 0 {
                return None;
            }
            place = self.after(place);
        }
    }

    fn put(&mut self, stream: Stream) {
        let mut place = self.home(stream.id);
        while self.places[place].id != 0 {
            place = self.after(place);
        }
        self.places[place] = stream;
    }

    fn grow(&mut self) {
        let larger = vec![Stream::default(); self.places.len() + self.places.len() / 4 + FEW];
        for stream in std::mem::replace(&mut self.places, larger) {
            if stream.id != 0 {
                self.put(stream);
            }
        }
    }

    fn home(&self, id: u32) -> usize {
        let spread = id.wrapping_mul(GOLDEN);
        ((u64::from(spread) * self.places.len() as u64) >> 32) as usize
    }

    fn after(&self, place: usize) -> usize {
        if place + 1 == self.places.len() { 0 } else { place + 1 }
    }

    /// Steps from one place forward to another.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.places.len() - from }
    }
}

/// The head of the final answer has come.
pub(super) const ANSWERED: u32 = 1;
/// The answer is complete, as far as the caller is concerned the stream is over.
pub(super) const ANSWER_ENDED: u32 = 1 << 1;
/// The end of the request is given to us (it may still wait) or written.
pub(super) const REQUEST_GIVEN: u32 = 1 << 2;
/// The end of the request is written.
pub(super) const REQUEST_ENDED: u32 = 1 << 3;
/// The stream stands in the line of those that can send.
pub(super) const IN_LINE: u32 = 1 << 5;
/// Payload came, so the Content-Length is not that of an answer to HEAD.
pub(super) const HAS_BODY: u32 = 1 << 6;
/// No Content-Length, or one that does not fit.
pub(super) const UNKNOWN: u32 = u32::MAX;
/// Places of a table that grows from nothing.
const FEW: usize = 8;
/// 2^32 divided by the golden ratio.
const GOLDEN: u32 = 0x9e37_79b1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_million_streams_fit_their_budget() {
        assert_eq!(size_of::<Stream>(), 24);
        let mut streams = Streams::default();
        for number in 0..1000 {
            streams.insert(Stream { id: 2 * number + 1, tag: number, ..Stream::default() });
        }
        assert!(streams.places.capacity() * size_of::<Stream>() <= 40 * 1000);
        let farthest = streams.places.iter().enumerate().filter(|(_, stream)| stream.id != 0);
        let farthest = farthest.map(|(place, stream)| streams.distance(streams.home(stream.id), place)).max();
        assert!(farthest <= Some(8), "{farthest:?} steps from home");
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((any::<bool>(), 0u32..64), 0..400)) {
            let (mut streams, mut model) = (Streams::default(), BTreeMap::new());
            for (is_insert, number) in steps {
                let id = 2 * number + 1;
                if is_insert && !model.contains_key(&id) {
                    streams.insert(Stream { id, tag: number, ..Stream::default() });
                    model.insert(id, number);
                } else {
                    prop_assert_eq!(streams.remove(id).map(|stream| stream.tag), model.remove(&id));
                }
                prop_assert_eq!(streams.len(), model.len());
                let held: BTreeMap<_, _> = streams.iter().map(|stream| (stream.id, stream.tag)).collect();
                prop_assert_eq!(&held, &model);
                prop_assert!(model.keys().all(|id| streams.get(*id).is_some()));
            }
        }
    }
}
