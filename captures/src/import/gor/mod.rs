//! What GoReplay records (`.gor`): requests, and answers where they were recorded, joined by their ids.
//!
//! Lines of three and four words are read, a last record without separator, and records between which the separator
//! is missing. Answers of type 3 came from a replay, not from the recorded server, and are skipped. A session is one
//! client with one user agent, as far as headers or ids tell; else it is who brings the same cookie or credentials, or
//! the request alone. What Squall exported comes back as it was.

mod ids;
mod join;
pub(crate) mod message;
mod meta;
mod records;

use std::collections::{HashMap, HashSet};
use std::io::BufRead;

use super::visitors::{Visitors, forwarded_for, who};
use super::{ImportOptions, Numbering, Sink, Tally, stream_notes};
use crate::error::Error;
use crate::export::own::Own;
use crate::export::unbase64;
use crate::{Exchange, SessionId};
use ids::Ids;
use join::{Held, Pending, Waiting};
use message::{Answered, Asked};
use meta::{Kind, Meta};
use records::{Found, Records};

pub(crate) use meta::OWN;
pub(crate) use records::SEPARATOR;

/// Whether a file begins like one of GoReplay.
pub(super) fn is_gor(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.len() < head.len() && Meta::parse(line).is_ok() && line.len() < 1024
        || Meta::parse(line).is_ok_and(|meta| meta.own.is_some())
}

/// What a request and its answer say by themselves, each with the line before it: for the export to see what they do
/// not say.
pub(crate) fn said(request: (&[u8], &[u8]), answer: Option<(&[u8], &[u8])>) -> Exchange {
    let asked = message::request(request.1).map(|(asked, _)| asked).unwrap_or_default();
    let method = asked.request.method.clone();
    let answer = answer.and_then(|(line, text)| {
        let (answered, _) = message::response(text, &method, true).ok()?;
        let meta = Meta::parse(line).ok()?;
        Some((answered, meta.at_us, meta.took_us))
    });
    let at_us = Meta::parse(request.0).map_or(0, |meta| meta.at_us);
    exchange(at_us, asked, answer)
}

/// The exchange of a request that began at `start_us`, and of its answer, with its time and duration.
fn exchange(start_us: u64, asked: Asked, answer: Option<(Answered, u64, Option<u64>)>) -> Exchange {
    let Asked { request, protocol, notes } = asked;
    let mut exchange = Exchange { start_us, protocol, request, notes, ..Exchange::default() };
    if let Some((answered, at_us, took_us)) = answer {
        let after_us = at_us.saturating_sub(start_us);
        exchange.ttfb_us = (after_us != 0).then_some(after_us);
        exchange.duration_us = took_us.map(|took_us| after_us.saturating_add(took_us)).or(exchange.ttfb_us);
        exchange.notes.insert(answered.notes);
        exchange.response = Some(answered.response);
    }
    exchange.notes.insert(stream_notes(&exchange));
    exchange
}

/// Reads a file to its end.
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
        ids: Ids::default(),
        connections: HashMap::new(),
        own_sessions: HashSet::new(),
        requests: Pending::default(),
        answers: Pending::default(),
    };
    let mut records = Records::new(input);
    loop {
        let found = records.next();
        let place = format!("record {} at line {}, byte {}", records.number, records.line, records.offset);
        match found {
            Ok(Found::End) => break,
            Ok(Found::TooLong) => import.tally.damage(place, "it is larger than any exchange may be"),
            Ok(Found::Record) => import.record(&records.bytes, &place)?,
            Ok(Found::Last) => {
                if !records.bytes.trim_ascii().is_empty() {
                    import.tally.note("last record without separator", 1);
                    import.record(&records.bytes, &place)?;
                }
            }
            Err(err) => {
                import.tally.damage(&place, format_args!("the input breaks off here: {err}"));
                break;
            }
        }
    }
    import.finish()
}

/// The state of an import.
struct Import<'a, 'b> {
    options: &'a ImportOptions,
    numbering: &'a mut Numbering,
    sink: Sink<'b>,
    tally: Tally,
    visitors: Visitors,
    ids: Ids,
    connections: HashMap<u64, u64>,
    /// Sessions that brought their own number.
    own_sessions: HashSet<SessionId>,
    requests: Pending<Held>,
    answers: Pending<Waiting>,
}

impl Import<'_, '_> {
    /// Takes a record, and those that follow it without a separator.
    fn record(&mut self, bytes: &[u8], place: &str) -> Result<(), Error> {
        let mut rest = bytes;
        while !rest.trim_ascii().is_empty() {
            let (line, message) = split_line(rest);
            let meta = match Meta::parse(line) {
                Ok(meta) => meta,
                Err(why) => {
                    self.tally.damage(place, why);
                    break;
                }
            };
            let used = match meta.kind {
                Kind::Request => self.request(&meta, message, place)?,
                Kind::Answer => self.answer(&meta, message, place)?,
                Kind::Replayed => {
                    self.tally.skip("the answer to a replay (type 3)");
                    message::response(message, "GET", false).map(|(_, used)| used).ok()
                }
            };
            let Some(used) = used else { break };
            rest = message[used..].trim_ascii_start();
            if !is_gor(rest) {
                self.tally.note("records with something behind their message", u64::from(!rest.is_empty()));
                break;
            }
            self.tally.note("missing separators", 1);
        }
        while let Some(held) = self.requests.overflow() {
            self.hand_on(held, None)?;
        }
        while let Some(waiting) = self.answers.overflow() {
            self.orphan(&waiting);
        }
        Ok(())
    }

    /// Takes a request, and says how many bytes it had; `None` when it is none.
    fn request(&mut self, meta: &Meta<'_>, bytes: &[u8], place: &str) -> Result<Option<usize>, Error> {
        let (asked, used) = match message::request(bytes) {
            Ok(read) => read,
            Err(why) => {
                self.tally.damage(place, why);
                return Ok(None);
            }
        };
        self.ids.saw(meta.id);
        let own = meta.own.map(<[u8]>::to_vec);
        let held = Held { asked, id: meta.id.to_vec(), at_us: meta.at_us, own, place: place.to_owned() };
        match self.answers.take(meta.id) {
            Some(waiting) if meta.at_us <= waiting.at_us => self.join(held, waiting)?,
            of_another => {
                of_another.iter().for_each(|waiting| self.orphan(waiting));
                self.requests.push(meta.id, held, bytes.len());
            }
        }
        Ok(Some(used))
    }

    /// The same of an answer.
    fn answer(&mut self, meta: &Meta<'_>, bytes: &[u8], place: &str) -> Result<Option<usize>, Error> {
        let held = self.requests.take(meta.id);
        let method = held.as_ref().map_or("GET", |held| &held.asked.request.method);
        let (used, why) = match message::response(bytes, method, false) {
            Ok((_, used)) => (Some(used), None),
            Err(why) => (None, Some(why)),
        };
        if let Some(why) = why {
            self.tally.damage(place, why);
            return match held {
                Some(held) => self.hand_on(held, None).map(|()| None),
                None => Ok(None),
            };
        }
        let bytes = bytes[..used.unwrap_or(0)].to_vec();
        let waiting = Waiting { bytes, at_us: meta.at_us, took_us: meta.took_us };
        match held {
            Some(held) => self.join(held, waiting)?,
            None => self.answers.push(meta.id, waiting, used.unwrap_or(0)),
        }
        Ok(used)
    }

    fn join(&mut self, held: Held, waiting: Waiting) -> Result<(), Error> {
        let keep = self.options.response_bodies;
        // it was read once already
        let answered = message::response(&waiting.bytes, &held.asked.request.method, keep).ok();
        self.hand_on(held, answered.map(|(answered, _)| (answered, waiting)))
    }

    fn orphan(&mut self, _: &Waiting) {
        self.tally.note("answers without a request", 1);
    }

    fn hand_on(&mut self, held: Held, answer: Option<(Answered, Waiting)>) -> Result<(), Error> {
        let answer = answer.map(|(answered, waiting)| (answered, waiting.at_us, waiting.took_us));
        let mut exchange = exchange(held.at_us, held.asked, answer);
        exchange.edge.clone_from(&self.options.edge);
        let restored = held.own.map(|own| {
            let json = unbase64(&String::from_utf8_lossy(&own)).map_err(|err| err.to_string())?;
            Own::from_json(&json)?.restore(&mut exchange, self.options.response_bodies)
        });
        match restored {
            Some(Ok(())) => {
                self.numbering.saw_session(exchange.session);
                exchange.connection.iter().for_each(|id| self.numbering.saw_connection(*id));
                self.tally.sessions += u64::from(self.own_sessions.insert(exchange.session));
            }
            Some(Err(why)) => {
                self.tally.damage(held.place, why);
                return Ok(());
            }
            None => self.place(&mut exchange, &held.id),
        }
        self.tally.imported += 1;
        (self.sink)(exchange)
    }

    /// Gives an exchange its session and its connection.
    fn place(&mut self, exchange: &mut Exchange, id: &[u8]) {
        let peer = self.ids.peer(id);
        exchange.connection = peer.map(|peer| {
            *self.connections.entry(peer.connection).or_insert_with(|| self.numbering.next_connection())
        });
        let headers = &exchange.request.headers;
        let agent = headers.get("user-agent").unwrap_or_default();
        let address = peer.map(|peer| peer.client.to_be_bytes());
        let known = forwarded_for(headers).or(address.as_ref().map(|address| &address[..]));
        let credentials = || headers.get("cookie").or_else(|| headers.get("authorization"));
        let visitor = match known {
            Some(address) => who(&[address, agent]),
            None => match credentials() {
                Some(secret) => who(&[b"credentials", secret]),
                None => who(&[b"alone", &self.tally.imported.to_le_bytes()]),
            },
        };
        exchange.session = self.visitors.session(visitor, exchange.start_us, self.numbering, &mut self.tally);
    }

    fn finish(mut self) -> Result<Tally, Error> {
        while let Some(held) = self.requests.pop() {
            self.hand_on(held, None)?;
        }
        while let Some(waiting) = self.answers.pop() {
            self.orphan(&waiting);
        }
        Ok(self.tally)
    }
}

/// The first line, without its end, and what follows.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}
