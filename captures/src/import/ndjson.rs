//! NDJSON as `squall captures export --format ndjson` writes it: one exchange a line.

use std::collections::HashSet;
use std::io::{BufRead, Read};

use super::{ImportOptions, Numbering, Sink, Tally};
use crate::error::Error;
use crate::export::ndjson::Record;

/// Reads exchanges, one a line.
///
/// # Errors
/// When the sink fails. Lines that cannot be read are damage, named by their number.
pub fn read(
    mut input: impl BufRead,
    options: &ImportOptions,
    numbering: &mut Numbering,
    sink: Sink<'_>,
) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    let mut sessions = HashSet::new();
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        match input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => {}
            Err(err) => {
                tally.damage(format_args!("line {number}"), format_args!("the input breaks off here: {err}"));
                break;
            }
        }
        let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line).trim_ascii();
        if text.is_empty() {
            continue;
        }
        let record = serde_json::from_slice::<Record>(text).map_err(|err| err.to_string());
        match record.and_then(|record| record.into_exchange(options.response_bodies)) {
            Ok(exchange) => {
                numbering.saw_session(exchange.session);
                exchange.connection.iter().for_each(|id| numbering.saw_connection(*id));
                tally.sessions += u64::from(sessions.insert(exchange.session));
                tally.imported += 1;
                sink(exchange)?;
            }
            Err(why) => tally.damage(format_args!("line {number}"), why),
        }
    }
    Ok(tally)
}

/// An exchange of the largest size, its bodies in base64.
const MAX_LINE: u64 = 80 << 20;
