//! Access logs in the common and the combined format, as Apache, nginx and many others write them, in lines of JSON, in the
//! extended format of the W3C, and as load balancers write them; also within the lines of syslog, of pods and of Compose.
//!
//! The common formats know neither hosts nor durations: the authority is empty (unless the line begins with a virtual
//! host), durations are unknown. A session is one client address with one user agent, until 30 minutes pass without a
//! request. Lines are sorted by time, those of the same time stay in order; memory is bounded, large logs are
//! sorted through temporary files.

mod json;
mod line;
mod mended;
mod ordered;
mod took;
mod w3c;
mod wrapped;

use std::collections::HashMap;
use std::io::{self, BufRead, Read};

use super::sort::Sorter;
use super::visitors::{Visitors, who};
use super::{ImportOptions, Numbering, Sink, Tally};
use crate::Exchange;
use crate::error::Error;
use line::{Line, Unfit};
use w3c::Directives;

/// Reads a log to its end.
///
/// # Errors
/// When the sink fails, or temporary files for sorting cannot be written. Input that ends in an error (a gzip file
/// cut short) is damage, named by its line.
pub fn read(
    mut input: impl BufRead,
    options: &ImportOptions,
    numbering: &mut Numbering,
    sink: Sink<'_>,
) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    let mut sorter = Sorter::default();
    let mut directives = Directives::default();
    let mut buffer = Vec::new();
    let (mut number, mut latest_us) = (0u64, 0);
    loop {
        number += 1;
        match next_line(&mut input, &mut buffer) {
            Ok(None) => break,
            Ok(Some(true)) => {}
            Ok(Some(false)) => {
                tally.damage(
                    format_args!("line {number}"),
                    format_args!("it is longer than {MAX_LINE} bytes"),
                );
                continue;
            }
            Err(err) => {
                tally.damage(format_args!("line {number}"), format_args!("the input breaks off here: {err}"));
                break;
            }
        }
        let text =
            buffer.strip_prefix(b"\xef\xbb\xbf").filter(|_| number == 1).unwrap_or(&buffer).trim_ascii();
        if text.is_empty() {
            continue;
        }
        if text.starts_with(b"#") {
            directives.take(text);
            tally.skip("a comment");
            continue;
        }
        let read = directives.line(text).and_then(|text| Line::parse(&text).map(|line| (line, text)));
        match read {
            Ok((line, text)) => {
                tally.out_of_order += u64::from(line.time.us < latest_us);
                latest_us = latest_us.max(line.time.us);
                sorter.push(line.time.us, &text)?;
            }
            Err(Unfit::Skip(why)) => tally.skip(why),
            Err(Unfit::Damaged(why)) => tally.damage(format_args!("line {number}"), why),
        }
    }
    let mut visitors = Visitors::default();
    let mut connections: HashMap<u64, u64> = HashMap::new();
    sorter.finish(|text| {
        // it was parsed once already
        let Ok(line) = Line::parse(text) else { return Ok(()) };
        let visitor = who(&[&line.client, &line.user_agent]);
        let session = visitors.session(visitor, line.time.us, numbering, &mut tally);
        tally.imported += 1;
        let connection = line
            .connection
            .map(|serial| *connections.entry(serial).or_insert_with(|| numbering.next_connection()));
        sink(Exchange { connection, ..line.into_exchange(session, &options.edge) })
    })?;
    Ok(tally)
}

/// Reads a line into `buffer`; `false` when it was too long and passed over, `None` at the end.
fn next_line(input: &mut impl BufRead, buffer: &mut Vec<u8>) -> io::Result<Option<bool>> {
    buffer.clear();
    pass_hole(input)?;
    let n = input.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', buffer)?;
    if n <= MAX_LINE {
        return Ok((n != 0).then_some(true));
    }
    while buffer.last() != Some(&b'\n') {
        buffer.clear();
        if input.by_ref().take(MAX_LINE as u64).read_until(b'\n', buffer)? == 0 {
            break;
        }
    }
    Ok(Some(false))
}

/// Passes over zeros: where a log was emptied while its server wrote on, or a machine went down, they stand before a line.
fn pass_hole(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let chunk = input.fill_buf()?;
        let zeros = chunk.iter().take_while(|byte| **byte == 0).count();
        let is_all = zeros != 0 && zeros == chunk.len();
        input.consume(zeros);
        if !is_all {
            return Ok(());
        }
    }
}

/// Servers accept request lines of 8 KiB, and log some headers beside.
const MAX_LINE: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn import(log: &[u8]) -> (Vec<Exchange>, Tally) {
        let mut exchanges = Vec::new();
        let tally = read(log, &ImportOptions::default(), &mut Numbering::default(), &mut |exchange| {
            exchanges.push(exchange);
            Ok(())
        })
        .unwrap();
        (exchanges, tally)
    }

    fn line(client: &str, time: &str, target: &str, agent: &str) -> String {
        format!("{client} - - [17/May/2015:{time} +0000] \"GET {target} HTTP/1.1\" 200 5 \"-\" \"{agent}\"\n")
    }

    #[test]
    fn sessions_are_client_and_agent_with_a_gap() {
        let log = [
            line("1.1.1.1", "10:00:00", "/a", "x"),
            line("1.1.1.1", "10:30:00", "/b", "x"),
            line("1.1.1.1", "11:00:01", "/c", "x"),
            line("1.1.1.1", "10:00:30", "/d", "y"),
            line("::1", "10:00:30", "/e", "x"),
        ]
        .concat();
        let (exchanges, tally) = import(log.as_bytes());
        let placed: Vec<_> = exchanges.iter().map(|e| (e.request.target.as_str(), e.session.0)).collect();
        assert_eq!(placed, [("/a", 1), ("/d", 2), ("/e", 3), ("/b", 1), ("/c", 4)]);
        assert_eq!((tally.imported, tally.sessions, tally.damaged), (5, 4, 0));
    }

    #[test]
    fn holes_are_passed_over() {
        let one = line("1.1.1.1", "10:00:00", "/a", "x");
        let hole = "\0".repeat(3 * MAX_LINE);
        let (exchanges, tally) = import(format!("{hole}{one}{hole}{one}\0\0").as_bytes());
        assert_eq!((exchanges.len(), tally.sessions, tally.damaged), (2, 1, 0));
    }

    #[test]
    fn damage_is_counted_and_named() {
        let mut log = line("1.1.1.1", "10:00:00", "/", "x").into_bytes();
        log.extend_from_slice(b"\r\n  \nnonsense\n\xff\xfe\n");
        log.extend_from_slice(b"1.1.1.1 - - [17/May/2015:10:00:00 +0000] \"-\" 408 - \"-\" \"-\"\r\n");
        log.extend_from_slice(
            b"1.1.1.1 - - [17/May/2015:10:00:00 +0000] \"\\x16\\x03\\x01\" 400 0 \"-\" \"-\"\r\n",
        );
        log.extend_from_slice(&vec![b'x'; 2 * MAX_LINE]);
        log.extend_from_slice(b"\n");
        log.extend_from_slice(line("1.1.1.1", "10:00:00", "/last", "x").trim_end().as_bytes());
        let (exchanges, tally) = import(&log);
        assert_eq!((exchanges.len(), tally.imported, tally.damaged), (2, 2, 4));
        let places: Vec<_> = tally.named.iter().map(|damaged| damaged.place.as_str()).collect();
        assert_eq!(places, ["line 4", "line 5", "line 7", "line 8"]);
        assert_eq!(tally.skipped.values().sum::<u64>(), 1);
    }
}
