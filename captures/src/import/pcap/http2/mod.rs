//! HTTP/2 on a connection without TLS: by prior knowledge, or after an upgrade.
//!
//! Heads are compressed by what was sent before, so bytes that are missing in a head make all further heads of that
//! side unreadable; this is damage, said once. Bytes missing in data are passed over.

mod frames;
mod heads;
mod stream;

use std::collections::BTreeMap;

use super::context::{Context, Ending, Out};
use super::direction::Event;
use crate::Exchange;
use frames::{Frame, Frames, RST_STREAM};
use heads::{Head, Heads};
use stream::Stream;

pub(super) use frames::PREFACE;

/// The state of a connection.
pub(super) struct Http2 {
    context: Context,
    client: Side,
    server: Side,
    streams: BTreeMap<u32, Stream>,
    out: Out,
}

/// What one side sends.
struct Side {
    frames: Frames,
    heads: Heads,
    /// Its heads cannot be read any more.
    is_lost: bool,
}

impl Http2 {
    pub(super) fn new(context: Context) -> Http2 {
        let side = |frames| Side { frames, heads: Heads::new(), is_lost: false };
        Http2 {
            context,
            client: side(Frames::of_client()),
            server: side(Frames::default()),
            streams: BTreeMap::new(),
            out: Out::default(),
        }
    }

    /// A connection of HTTP/1.1 that was upgraded: the request it was asked with is the first stream.
    pub(super) fn upgraded(context: Context, exchange: Exchange) -> Http2 {
        let mut http2 = Http2::new(context);
        http2.streams.insert(1, Stream::upgraded(exchange, &http2.context));
        http2
    }

    /// Takes what stands next in what a side sent.
    pub(super) fn event(&mut self, from_client: bool, event: Event<'_>) {
        let side = self.side(from_client);
        if side.is_lost {
            return;
        }
        // the frames are taken out, so that what they hold can change everything else
        let mut frames = std::mem::take(&mut side.frames);
        match event {
            Event::Data { bytes, at_us, .. } => {
                frames.feed(bytes, at_us, &mut |frame| self.frame(from_client, frame, at_us));
            }
            Event::Gap { len, .. } => {
                frames.miss(len, &mut |frame| self.frame(from_client, frame, 0));
            }
        }
        let is_broken = frames.is_broken();
        self.side(from_client).frames = frames;
        if is_broken {
            self.lose(from_client, "bytes of HTTP/2 frames are missing or wrong, so the rest cannot be read");
        }
    }

    /// What came of it since the last call.
    pub(super) fn take(&mut self) -> Out {
        std::mem::take(&mut self.out)
    }

    /// The connection ended.
    pub(super) fn finish(&mut self, ending: Ending) -> Out {
        for (_, mut stream) in std::mem::take(&mut self.streams) {
            stream.left(ending);
            self.out.exchanges.push(stream.finish(&self.context));
        }
        self.take()
    }

    fn side(&mut self, from_client: bool) -> &mut Side {
        if from_client { &mut self.client } else { &mut self.server }
    }

    fn lose(&mut self, from_client: bool, why: &'static str) {
        let side = self.side(from_client);
        if !std::mem::replace(&mut side.is_lost, true) {
            self.out.damage.push(why);
        }
    }

    fn frame(&mut self, from_client: bool, frame: Frame<'_>, at_us: u64) {
        if self.side(from_client).is_lost {
            return;
        }
        match frame {
            Frame::Data { stream, bytes } => {
                if let Some(stream) = self.streams.get_mut(&stream) {
                    stream.data(from_client, bytes, at_us);
                }
            }
            Frame::Missing { stream, len } => {
                if let Some(stream) = self.streams.get_mut(&stream) {
                    stream.miss(from_client, len as u64);
                }
            }
            Frame::Last { stream } => self.end(stream, from_client),
            Frame::Whole { kind: RST_STREAM, stream, .. } => {
                if let Some(open) = self.streams.get_mut(&stream) {
                    open.reset(from_client);
                    self.hand_on(stream);
                }
            }
            Frame::Whole { kind, flags, stream, payload, began_us } => {
                match self.side(from_client).heads.frame((kind, flags), stream, payload, began_us) {
                    Ok(Some(head)) => self.head(from_client, head, at_us),
                    Ok(None) => {}
                    Err(_) => {
                        self.lose(from_client, "the compressed heads of an HTTP/2 connection cannot be read");
                    }
                }
            }
        }
    }

    fn head(&mut self, from_client: bool, head: Head, at_us: u64) {
        let Head { stream: id, is_last, is_push, began_us, fields } = head;
        if is_push {
            self.out.note("pushed answers", 1);
            return;
        }
        let has_room = self.streams.len() < MAX_STREAMS;
        match (self.streams.get_mut(&id), from_client) {
            (Some(stream), true) => stream.trailers(),
            (Some(stream), false) => stream.answer(fields, began_us, at_us),
            (None, true) if has_room => {
                self.streams.insert(id, Stream::new(fields, began_us, &self.context));
            }
            (None, true) => self.out.note("streams given up, too many are open", 1),
            // even numbers are pushed
            (None, false) if id % 2 == 0 => {}
            (None, false) if fields.status.is_some() => self.out.note("answers without a request", 1),
            (None, false) => {}
        }
        if is_last {
            self.end(id, from_client);
        }
    }

    /// A side sends nothing more on a stream.
    fn end(&mut self, id: u32, from_client: bool) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.end(from_client);
            self.hand_on(id);
        }
    }

    fn hand_on(&mut self, id: u32) {
        if self.streams.get(&id).is_some_and(Stream::is_over) {
            let stream = self.streams.remove(&id);
            self.out.exchanges.extend(stream.map(|stream| stream.finish(&self.context)));
        }
    }
}

/// Servers allow a hundred or a few.
const MAX_STREAMS: usize = 20_000;
