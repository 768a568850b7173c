//! One TCP connection: which side is the client, what it speaks, and what came of it.

use std::net::SocketAddr;

use super::context::{Context, Ending, Out};
use super::direction::{Counts, Direction, Event};
use super::http1::Http1;
use super::http2::{Http2, PREFACE};
use super::packet::Segment;
use crate::import::http1::head::{begins_request, begins_response, blank_lines};

/// A connection.
pub(super) struct Connection {
    context: Context,
    client: SocketAddr,
    /// Sequence number of its first packet, if that opened it.
    opened_with: Option<u32>,
    to_server: Direction,
    to_client: Direction,
    speaks: Speaks,
    packets: u64,
    pub(super) last_us: u64,
    /// Who sent the first FIN or RST.
    ended_by_client: Option<bool>,
    is_reset: bool,
    is_over: bool,
    was_http: bool,
}

enum Speaks {
    /// Too little was said to know; what was said so far.
    Unknown(Vec<Said>),
    Http1(Box<Http1>),
    Http2(Box<Http2>),
    /// Nothing that we read.
    Other(&'static str),
}

struct Said {
    from_client: bool,
    place: u64,
    bytes: Vec<u8>,
    at_us: u64,
    acked: u64,
}

impl Connection {
    /// The connection of a segment, if it tells which side is the client: it opens one, or begins a message.
    pub(super) fn begin(segment: &Segment<'_>, context: &Context) -> Option<Connection> {
        let from_client = match (segment.syn, segment.ack) {
            (true, None) => true,
            (true, Some(_)) => false,
            (false, _) if begins_request(segment.payload) == Some(true) => true,
            (false, _) if PREFACE.len() <= segment.payload.len() && segment.payload.starts_with(PREFACE) => {
                true
            }
            (false, _) if begins_response(segment.payload) == Some(true) => false,
            _ => return None,
        };
        let (client, server) =
            if from_client { (segment.from, segment.to) } else { (segment.to, segment.from) };
        let mut connection = Connection {
            context: Context { server: server.to_string(), ..context.clone() },
            client,
            opened_with: (segment.syn && segment.ack.is_none()).then_some(segment.seq),
            to_server: Direction::new(&context.budget),
            to_client: Direction::new(&context.budget),
            speaks: Speaks::Unknown(Vec::new()),
            packets: 0,
            last_us: 0,
            ended_by_client: None,
            is_reset: false,
            is_over: false,
            was_http: false,
        };
        let (ours, theirs) = connection.directions(from_client);
        ours.begin(segment.seq.wrapping_add(u32::from(segment.syn)));
        segment.ack.iter().for_each(|ack| theirs.begin(*ack));
        Some(connection)
    }

    /// Whether a segment opens another connection between the same two. An attempt that ended before anything was said,
    /// as where a server still remembers an older connection, is made again with the same number.
    pub(super) fn is_another(&self, segment: &Segment<'_>) -> bool {
        match (segment.syn, segment.ack) {
            (true, None) if self.is_over => true,
            (true, None) => {
                self.opened_with != Some(segment.seq) && (self.opened_with.is_some() || 0 < self.packets)
            }
            (true, Some(_)) => self.is_over && self.is_untouched(),
            (false, _) => false,
        }
    }

    /// Neither side said anything.
    fn is_untouched(&self) -> bool {
        self.to_server.is_untouched() && self.to_client.is_untouched()
    }

    pub(super) fn client(&self) -> SocketAddr {
        self.client
    }

    /// Whether it was found to speak HTTP.
    pub(super) fn is_http(&self) -> bool {
        matches!(self.speaks, Speaks::Http1(_) | Speaks::Http2(_)) || self.was_http
    }

    /// It ended; nothing more is expected.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(super) fn counts(&self) -> [Counts; 2] {
        [self.to_server.counts, self.to_client.counts]
    }

    /// Takes a segment of either side.
    pub(super) fn segment(&mut self, segment: &Segment<'_>, at_us: u64) -> Out {
        self.packets += 1;
        self.last_us = self.last_us.max(at_us);
        if self.is_over {
            let is_late = self.is_reset && !segment.payload.is_empty();
            return if is_late { other("segments behind a reset") } else { Out::default() };
        }
        let from_client = segment.from == self.client;
        let Connection { to_server, to_client, speaks, context, packets, .. } = self;
        let (ours, theirs) =
            if from_client { (&mut *to_server, &mut *to_client) } else { (&mut *to_client, &mut *to_server) };
        let acked = segment.ack.map_or(u64::MAX, |ack| {
            theirs.begin(ack);
            theirs.ack(ack)
        });
        ours.push(segment, at_us, acked, &mut |place, event| {
            speaks.event(context, from_client, place, event);
        });
        ours.look_for_holes(*packets, &mut |place, event| speaks.event(context, from_client, place, event));
        theirs
            .look_for_holes(*packets, &mut |place, event| speaks.event(context, !from_client, place, event));
        if segment.fin || segment.rst {
            self.ended_by_client.get_or_insert(from_client);
            self.is_reset |= segment.rst;
        }
        let is_closed = self.to_server.is_over() && self.to_client.is_over();
        match segment.rst || is_closed {
            true => self.finish(),
            false => self.speaks.take(),
        }
    }

    /// No more segments come.
    pub(super) fn finish(&mut self) -> Out {
        if std::mem::replace(&mut self.is_over, true) {
            return Out::default();
        }
        let is_untouched = self.is_untouched();
        let Connection { to_server, to_client, speaks, context, .. } = self;
        // what a stray acknowledgement says is missing was never sent
        if !is_untouched {
            to_server.finish(&mut |place, event| speaks.event(context, true, place, event));
            to_client.finish(&mut |place, event| speaks.event(context, false, place, event));
        }
        let is_closed = self.is_reset || to_server.is_over() && to_client.is_over();
        let by_client = self.ended_by_client.filter(|_| is_closed);
        let out = speaks.finish(Ending { by_client, is_whole: to_client.is_over() });
        self.was_http = self.is_http();
        self.speaks = Speaks::Other("");
        out
    }

    fn directions(&mut self, from_client: bool) -> (&mut Direction, &mut Direction) {
        match from_client {
            true => (&mut self.to_server, &mut self.to_client),
            false => (&mut self.to_client, &mut self.to_server),
        }
    }
}

impl Speaks {
    fn event(&mut self, context: &Context, from_client: bool, place: u64, event: Event<'_>) {
        match self {
            Speaks::Http1(http1) => return http1.event(from_client, place, event),
            Speaks::Http2(http2) => return http2.event(from_client, event),
            Speaks::Other(_) => return,
            Speaks::Unknown(_) => {}
        }
        let Speaks::Unknown(said) = self else { return };
        if let Event::Data { bytes, at_us, acked } = event {
            said.push(Said { from_client, place, bytes: bytes.to_vec(), at_us, acked });
        }
        let Some(speaks) = recognised(said, event, context) else { return };
        let Speaks::Unknown(said) = std::mem::replace(self, speaks) else { return };
        for Said { from_client, place, bytes, at_us, acked } in said {
            self.event(context, from_client, place, Event::Data { bytes: &bytes, at_us, acked });
        }
        if matches!(event, Event::Gap { .. }) {
            self.event(context, from_client, place, event);
        }
    }

    fn take(&mut self) -> Out {
        match self {
            Speaks::Http1(http1) => http1.take(),
            Speaks::Http2(http2) => http2.take(),
            _ => Out::default(),
        }
    }

    fn finish(&mut self, ending: Ending) -> Out {
        match self {
            Speaks::Http1(http1) => http1.finish(ending),
            Speaks::Http2(http2) => http2.finish(ending),
            Speaks::Unknown(said) if said.is_empty() => Out::default(),
            Speaks::Unknown(_) => other("connections that said nothing of HTTP"),
            Speaks::Other(why) => other(why),
        }
    }
}

fn other(why: &'static str) -> Out {
    let mut out = Out::default();
    if !why.is_empty() {
        out.note(why, 1);
    }
    out
}

/// What a connection speaks, by what was said first.
fn recognised(said: &[Said], event: Event<'_>, context: &Context) -> Option<Speaks> {
    if MAX_OPENING <= said.len() {
        return Some(Speaks::Other("connections that speak no HTTP"));
    }
    let opening: Vec<u8> =
        said.iter().filter(|said| said.from_client).flat_map(|said| said.bytes.iter().copied()).collect();
    let http1 = || Some(Speaks::Http1(Box::new(Http1::new(context.clone()))));
    let answer = || said.iter().find(|said| !said.from_client).and_then(|said| begins_response(&said.bytes));
    match () {
        // what was not captured may have told; what follows will
        () if matches!(event, Event::Gap { .. }) => http1(),
        () if opening.is_empty() => match answer() {
            Some(true) => http1(),
            // servers of HTTP/2 need not wait for their clients
            _ if said.iter().any(|said| !said.from_client && begins_settings(&said.bytes)) => None,
            Some(false) => Some(Speaks::Other("connections where the server speaks first, no HTTP")),
            None => None,
        },
        () if opening.starts_with(&PREFACE[..PREFACE.len().min(opening.len())]) => {
            (PREFACE.len() <= opening.len()).then(|| Speaks::Http2(Box::new(Http2::new(context.clone()))))
        }
        () if opening.starts_with(&[0x16, 3]) => {
            Some(Speaks::Other("connections with TLS, which cannot be read"))
        }
        () => match (begins_request(&opening[blank_lines(&opening)..]), answer()) {
            // a request that is none may be answered in HTTP all the same
            (Some(true), _) | (_, Some(true)) => http1(),
            (Some(false), Some(false)) => Some(Speaks::Other("connections that speak no HTTP")),
            _ => None,
        },
    }
}

/// Whether a server's first bytes are the frame that HTTP/2 begins with, as far as they go.
fn begins_settings(bytes: &[u8]) -> bool {
    match bytes {
        [0, _, _, kind, flags, stream @ ..] => {
            *kind == SETTINGS && *flags == 0 && stream.iter().take(4).all(|byte| *byte == 0)
        }
        [first, ..] => bytes.len() < 5 && *first == 0,
        [] => true,
    }
}

const SETTINGS: u8 = 4;
/// Segments until the first line of a request must be complete.
const MAX_OPENING: usize = 64;
