//! HTTP archives (HAR 1.1 and 1.2) as browsers, proxies and test tools write them.
//!
//! The file is read as a stream, entry by entry. One archive is one session (it is one browser), unless it was
//! exported from a capture, whose sessions it then keeps. A damaged entry is counted and named by its number,
//! counted from 0; where the JSON itself breaks off, everything before is kept and the place is named.

mod clean;
mod entry;
mod messages;
mod parts;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{BufRead, BufReader};
use std::rc::Rc;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{ImportOptions, Numbering, Sink, Tally};
use crate::SessionId;
use crate::error::Error;
use clean::{Clean, Meter};
use entry::Unfit;

pub(crate) use parts::split_url;

/// Reads an archive to its end.
///
/// # Errors
/// When the sink fails, or no entry at all could be read.
pub fn read(
    input: impl BufRead,
    options: &ImportOptions,
    numbering: &mut Numbering,
    sink: Sink<'_>,
) -> Result<Tally, Error> {
    let mut archive = Archive {
        options,
        numbering,
        sink,
        tally: Tally::default(),
        session: None,
        sessions: HashSet::new(),
        connections: HashMap::new(),
        creator: String::new(),
        ended_us: 0,
        entries: None,
        failed: None,
        meter: Rc::default(),
    };
    let clean = Clean::new(input, Rc::clone(&archive.meter));
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(clean));
    let read = Root(&mut archive).deserialize(&mut json);
    let archive_ended = read.is_ok();
    let result = read.and_then(|()| json.end());
    if let Some(err) = archive.failed {
        return Err(err);
    }
    let Archive { mut tally, entries, .. } = archive;
    match (result, entries) {
        (Ok(()), Some(_)) => Ok(tally),
        (Ok(()), None) => {
            Err(Error::Invalid("no HAR: it is JSON, but has no \"log\" with \"entries\"".to_owned()))
        }
        (Err(err), Some(n)) if archive_ended => {
            let place = format!("line {} column {}", err.line(), err.column());
            tally.damage(
                place,
                format_args!("something follows the archive, which ended with entry {}", n.saturating_sub(1)),
            );
            Ok(tally)
        }
        (Err(err), Some(n)) if 0 < n => {
            let place = format!("line {} column {}", err.line(), err.column());
            tally.damage(place, format_args!("the JSON breaks off after entry {}: {}", n - 1, short(&err)));
            Ok(tally)
        }
        (Err(err), _) => {
            let place = (err.line(), err.column());
            let why =
                format!("no HAR that can be read: line {} column {}: {}", place.0, place.1, short(&err));
            Err(Error::Invalid(why))
        }
    }
}

/// The error without the place, which is said apart.
fn short(err: &serde_json::Error) -> String {
    let text = err.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(words, _)| words.to_owned())
}

/// The state of an import.
struct Archive<'a, 'b> {
    options: &'a ImportOptions,
    numbering: &'a mut Numbering,
    sink: Sink<'b>,
    tally: Tally,
    /// The session of entries that bring none.
    session: Option<SessionId>,
    sessions: HashSet<SessionId>,
    /// Connections by what the archive calls them.
    connections: HashMap<String, u64>,
    creator: String,
    /// When the entry before ended.
    ended_us: u64,
    /// Entries read, once there was a list of them.
    entries: Option<u64>,
    failed: Option<Error>,
    /// What was read since the last entry.
    meter: Rc<Meter>,
}

impl Archive<'_, '_> {
    /// Takes an entry; `false` when the sink failed.
    fn entry(&mut self, entry: Value) -> bool {
        self.meter.reset();
        let number = self.entries.get_or_insert(0);
        let place = *number;
        *number += 1;
        match entry::read(&entry, self.options, self.ended_us) {
            Ok(entry::Read { mut exchange, connection, has_session, has_time }) => {
                self.tally.note("entries without a time, put behind those before", u64::from(!has_time));
                self.ended_us = exchange.start_us.saturating_add(exchange.duration_us.unwrap_or(0));
                match has_session {
                    true => self.numbering.saw_session(exchange.session),
                    false => exchange.session = self.session(),
                }
                exchange.connection = match connection {
                    entry::Connection::Exact(id) => {
                        id.iter().for_each(|id| self.numbering.saw_connection(*id));
                        id
                    }
                    entry::Connection::Named(name) => self.connection(name),
                };
                if self.sessions.insert(exchange.session) {
                    self.tally.sessions += 1;
                }
                self.tally.imported += 1;
                self.failed = (self.sink)(exchange).err();
            }
            Err(Unfit::Skip(why)) => self.tally.skip(why),
            Err(Unfit::Damaged(why)) => self.tally.damage(format_args!("entry {place}"), why),
        }
        self.failed.is_none()
    }

    fn session(&mut self) -> SessionId {
        *self.session.get_or_insert_with(|| self.numbering.next_session())
    }

    fn connection(&mut self, name: Option<String>) -> Option<u64> {
        // Firefox writes the port of the server where the connection's name belongs
        let name = name.filter(|_| !self.creator.contains("firefox"))?;
        Some(*self.connections.entry(name).or_insert_with(|| self.numbering.next_connection()))
    }

    fn creator(&mut self, creator: &Value) {
        if let Some(name) = creator.get("name").and_then(Value::as_str) {
            self.creator = name.to_ascii_lowercase();
        }
    }
}

/// The document: `{"log": {…}}`; the log alone is taken too.
struct Root<'r, 'a, 'b>(&'r mut Archive<'a, 'b>);

/// The list of entries.
struct Entries<'r, 'a, 'b>(&'r mut Archive<'a, 'b>);

impl<'de> DeserializeSeed<'de> for Root<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Root<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a \"log\"")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "log" => map.next_value_seed(Root(self.0))?,
                "entries" => map.next_value_seed(Entries(self.0))?,
                "creator" => {
                    let creator: Value = map.next_value()?;
                    self.0.creator(&creator);
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Entries<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of entries")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut entries: S) -> Result<(), S::Error> {
        self.0.entries.get_or_insert(0);
        while let Some(entry) = entries.next_element::<Value>()? {
            if !self.0.entry(entry) {
                return Err(S::Error::custom("the sink failed"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
