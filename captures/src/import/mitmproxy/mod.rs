//! Flows that mitmproxy saved: of every version of its format since 0.10, HTTP and WebSocket.
//!
//! A flow is one exchange; the messages of a WebSocket belong to its handshake, also where old versions keep them in
//! a flow of their own. What mitmproxy streamed has no body in the file and is noted as cut. Flows of TCP, UDP and DNS
//! are skipped. A damaged flow is named by its offset; the next sound one is found behind it.

mod flow;
mod frames;
mod tnetstring;
mod websocket;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::BufRead;

use super::visitors::Visitors;
use super::{ImportOptions, Numbering, Sink, Tally};
use crate::error::Error;
use crate::export::own::Own;
use crate::{Exchange, SessionId};
use flow::{Flow, Unfit};
use frames::{Frames, Next};
use tnetstring::Item;

/// Whether a file begins like one of mitmproxy.
pub(super) fn is_flow(head: &[u8]) -> bool {
    frames::begins_flow(head)
}

/// What the bytes of a flow say by themselves: for the export to see what they do not say.
pub(crate) fn said(bytes: &[u8]) -> Exchange {
    let options = ImportOptions { response_bodies: true, ..ImportOptions::default() };
    let Ok(item) = Item::parse(bytes) else { return Exchange::default() };
    let flow = flow::flow(&item, &options).map(|flow| flow.exchange);
    let mut exchange = flow.unwrap_or_default();
    if !item.get("websocket").is_null() {
        websocket::attach(&mut exchange, item.get("websocket"), &mut Tally::default());
    }
    exchange
}

/// Reads a file of flows to its end.
///
/// # Errors
/// When the sink fails.
pub fn read(
    input: impl BufRead,
    options: &ImportOptions,
    numbering: &mut Numbering,
    sink: Sink<'_>,
) -> Result<Tally, Error> {
    let mut import = Import {
        options,
        numbering,
        sink,
        tally: Tally::default(),
        visitors: Visitors::default(),
        connections: HashMap::new(),
        own_sessions: HashSet::new(),
        handshakes: VecDeque::new(),
    };
    let mut frames = Frames::new(input);
    for record in 1u64.. {
        match frames.next() {
            Next::End => break,
            Next::Damage { offset, why } => {
                import.tally.damage(format_args!("flow {record} at byte {offset}"), why);
            }
            Next::Flow { offset, len } => {
                let unfit = match Item::parse(frames.bytes(len)) {
                    Ok(item) => import.flow(&item)?,
                    Err(why) => Some(Unfit::Damaged(why.to_string())),
                };
                match unfit {
                    Some(Unfit::Skip(why)) => import.tally.skip(why),
                    Some(Unfit::Damaged(why)) => {
                        import.tally.damage(format_args!("flow {record} at byte {offset}"), why);
                    }
                    None => {}
                }
            }
        }
    }
    while let Some((_, flow)) = import.handshakes.pop_front() {
        import.hand_on(flow)?;
    }
    Ok(import.tally)
}

/// The state of an import.
struct Import<'a, 'b> {
    options: &'a ImportOptions,
    numbering: &'a mut Numbering,
    sink: Sink<'b>,
    tally: Tally,
    visitors: Visitors,
    /// Connections by a hash of what tells them apart.
    connections: HashMap<u128, u64>,
    /// Sessions that brought their own number.
    own_sessions: HashSet<SessionId>,
    /// Handshakes whose messages come in a later flow, by their ids.
    handshakes: VecDeque<(Vec<u8>, Flow)>,
}

impl Import<'_, '_> {
    /// Takes a flow; what it returns is why it gives no exchange.
    fn flow(&mut self, item: &Item<'_>) -> Result<Option<Unfit>, Error> {
        match item.get("type").bytes() {
            Some(b"http") => {}
            Some(b"websocket") => return self.old_websocket(item),
            Some(b"tcp") => return Ok(Some(Unfit::Skip("a TCP flow, no HTTP"))),
            Some(b"udp") => return Ok(Some(Unfit::Skip("a UDP flow, no HTTP"))),
            Some(b"dns") => return Ok(Some(Unfit::Skip("a DNS flow, no HTTP"))),
            // version 0.10 knew no other type
            None if !item.get("request").is_null() => {}
            _ => return Ok(Some(Unfit::Damaged(what_else(item)))),
        }
        let mut flow = match flow::flow(item, self.options) {
            Ok(flow) => flow,
            Err(unfit) => return Ok(Some(unfit)),
        };
        let messages = item.get("websocket");
        let own = item.get("metadata").get(OWN).bytes();
        if let Some(own) = own {
            if !messages.is_null() {
                websocket::attach(&mut flow.exchange, messages, &mut self.tally);
            }
            return self.restored(flow.exchange, own);
        }
        if !messages.is_null() {
            websocket::attach(&mut flow.exchange, messages, &mut self.tally);
        } else if !item.get("metadata").get("websocket").is_null() {
            self.handshakes.push_back((item.get("id").bytes().unwrap_or_default().to_vec(), flow));
            let first =
                if MAX_HANDSHAKES < self.handshakes.len() { self.handshakes.pop_front() } else { None };
            return first.map_or(Ok(()), |(_, flow)| self.hand_on(flow)).map(|()| None);
        }
        self.hand_on(flow).map(|()| None)
    }

    /// What Squall exported comes back as it was.
    fn restored(&mut self, mut exchange: Exchange, own: &[u8]) -> Result<Option<Unfit>, Error> {
        let own = Own::from_json(own);
        if let Err(why) = own.and_then(|own| own.restore(&mut exchange, self.options.response_bodies)) {
            return Ok(Some(Unfit::Damaged(why)));
        }
        self.numbering.saw_session(exchange.session);
        exchange.connection.iter().for_each(|id| self.numbering.saw_connection(*id));
        self.tally.sessions += u64::from(self.own_sessions.insert(exchange.session));
        self.tally.imported += 1;
        (self.sink)(exchange).map(|()| None)
    }

    /// Before version 12: the messages of a handshake that came before.
    fn old_websocket(&mut self, item: &Item<'_>) -> Result<Option<Unfit>, Error> {
        let handshake = item.get("metadata").get("websocket_handshake").bytes().unwrap_or_default();
        let Some(at) = self.handshakes.iter().position(|(id, _)| id == handshake) else {
            return Ok(Some(Unfit::Skip("the messages of a WebSocket whose handshake is missing")));
        };
        let Some((_, mut flow)) = self.handshakes.remove(at) else { return Ok(None) };
        websocket::attach(&mut flow.exchange, item, &mut self.tally);
        self.tally.note("flows joined with their handshake", 1);
        self.hand_on(flow).map(|()| None)
    }

    fn hand_on(&mut self, flow: Flow) -> Result<(), Error> {
        let Flow { mut exchange, visitor, connection } = flow;
        exchange.session = self.visitors.session(visitor, exchange.start_us, self.numbering, &mut self.tally);
        let known = self.connections.entry(connection);
        exchange.connection = Some(*known.or_insert_with(|| self.numbering.next_connection()));
        self.tally.imported += 1;
        (self.sink)(exchange)
    }
}

/// Says what a flow of no known type is.
fn what_else(item: &Item<'_>) -> String {
    match (item.get("type").text().as_str(), item.get("version").number()) {
        ("", _) => "a value that is no flow".to_owned(),
        (kind, Some(version)) => format!("a flow of unknown type {kind:.20?}, format version {version}"),
        (kind, None) => format!("a flow of unknown type {kind:.20?}"),
    }
}

/// Where the metadata of a flow has what Squall wrote beside it.
pub(crate) const OWN: &str = "squall";
/// Handshakes that wait for their messages: connections open at one time.
const MAX_HANDSHAKES: usize = 4096;
