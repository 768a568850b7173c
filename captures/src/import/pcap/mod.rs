//! Packets as tcpdump and Wireshark save them (pcap, pcapng): TCP put in order again, and the HTTP in it.
//!
//! HTTP/1 with persistent and pipelined requests, HTTP/2 without TLS, gRPC, server-sent events, WebSockets. Links of
//! Ethernet (also tagged), Linux cooked captures, raw IP, loopback and a few more; IPv4 and IPv6, also within VXLAN, Geneve,
//! GRE and other tunnels. What TLS hides cannot be read. A
//! session is one client with one user agent, as in access logs.
//!
//! Captures lose packets. Bytes that are missing are counted, an exchange whose parts are missing says so, and reading
//! goes on with the next message that begins with a segment.

mod blocks;
mod connection;
mod container;
mod context;
mod direction;
mod http1;
mod http2;
mod packet;
mod records;
mod streams;
mod table;
mod tunnel;

use std::io::BufRead;

use super::visitors::{Visitors, forwarded_for, who};
use super::{ImportOptions, Numbering, Sink, Tally};
use crate::Exchange;
use crate::error::Error;
use connection::Connection;
use container::{Container, Next, Packet};
use context::{Context, Out};
use packet::Segment;
use table::{Entry, Table};

/// Whether a file begins like one of packets.
pub(super) fn is_pcap(head: &[u8]) -> bool {
    container::is_pcap(head)
}

/// Reads a file to its end.
///
/// # Errors
/// When the sink fails, or it is no file of packets.
pub fn read(
    input: impl BufRead,
    options: &ImportOptions,
    numbering: &mut Numbering,
    sink: Sink<'_>,
) -> Result<Tally, Error> {
    let mut container = Container::open(input).map_err(Error::Invalid)?;
    let context = Context {
        server: String::new(),
        response_bodies: options.response_bodies,
        budget: super::http1::collect::Budget::default(),
    };
    let mut import = Import {
        options,
        numbering,
        sink,
        tally: Tally::default(),
        context,
        table: Table::default(),
        visitors: Visitors::default(),
    };
    loop {
        match container.next() {
            Next::End => break,
            Next::Dropped(n) => import.tally.note("packets that the capture dropped, as it says", n),
            Next::Damage { offset, why } => import.tally.damage(format_args!("byte {offset}"), why),
            Next::Packet(packet) => match packet::segment(packet.link, container.data(&packet)) {
                Ok(segment) => {
                    import.tally.note(
                        "packets cut short when captured (-s 0 keeps all)",
                        u64::from(segment.missing != 0),
                    );
                    import.segment(&packet, &segment)?;
                }
                Err(unfit) => import.tally.note(unfit.as_str(), 1),
            },
        }
    }
    for entry in import.table.drain() {
        import.end(entry, "the end of the file")?;
    }
    Ok(import.tally)
}

/// The state of an import.
struct Import<'a, 'b> {
    options: &'a ImportOptions,
    numbering: &'a mut Numbering,
    sink: Sink<'b>,
    tally: Tally,
    context: Context,
    table: Table,
    visitors: Visitors,
}

impl Import<'_, '_> {
    fn segment(&mut self, packet: &Packet, segment: &Segment<'_>) -> Result<(), Error> {
        let place = || format!("packet {} at byte {}", packet.number, packet.offset);
        let known = self.table.find(segment).map(|entry| entry.connection.is_another(segment));
        if known != Some(false) {
            let Some(connection) = Connection::begin(segment, &self.context) else {
                self.tally.note("segments before any beginning", u64::from(!segment.payload.is_empty()));
                return Ok(());
            };
            if let Some(before) = self.table.begin(segment, connection) {
                self.end(before, &place())?;
            }
            for entry in self.table.sweep(packet.at_us) {
                self.end(entry, &place())?;
            }
        }
        let Some(entry) = self.table.find(segment) else { return Ok(()) };
        let out = entry.connection.segment(segment, packet.at_us);
        if out.is_empty() {
            return Ok(());
        }
        if !out.exchanges.is_empty() {
            entry.number.get_or_insert_with(|| self.numbering.next_connection());
        }
        let (number, client) = (entry.number, entry.connection.client().ip().to_string());
        self.take(out, number, &client, &place())
    }

    /// A connection ended, or is not followed any more.
    fn end(&mut self, mut entry: Entry, place: &str) -> Result<(), Error> {
        let out = entry.connection.finish();
        if entry.connection.is_http() {
            for counts in entry.connection.counts() {
                self.tally.note("segments sent again", counts.repeated);
                self.tally.note("segments out of order", counts.early);
                self.tally.note("gaps in connections", counts.gaps);
                self.tally.note("bytes not captured", counts.missing);
            }
        }
        let number =
            entry.number.or_else(|| (!out.exchanges.is_empty()).then(|| self.numbering.next_connection()));
        self.take(out, number, &entry.connection.client().ip().to_string(), place)
    }

    fn take(&mut self, out: Out, number: Option<u64>, client: &str, place: &str) -> Result<(), Error> {
        for (what, n) in out.noted {
            self.tally.note(what, n);
        }
        for why in out.damage {
            self.tally.damage(format_args!("{place}, connection of {client}"), why);
        }
        out.exchanges.into_iter().try_for_each(|exchange| self.hand_on(exchange, number, client))
    }

    fn hand_on(&mut self, mut exchange: Exchange, number: Option<u64>, client: &str) -> Result<(), Error> {
        let headers = &exchange.request.headers;
        let agent = headers.get("user-agent").unwrap_or_default();
        let visitor = who(&[forwarded_for(headers).unwrap_or(client.as_bytes()), agent]);
        exchange.session = self.visitors.session(visitor, exchange.start_us, self.numbering, &mut self.tally);
        exchange.connection = number;
        exchange.edge.clone_from(&self.options.edge);
        self.tally.imported += 1;
        (self.sink)(exchange)
    }
}

/// No packet and no block may be larger: a hostile length costs no more.
const MAX_PACKET: usize = 1 << 20;
