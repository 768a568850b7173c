//! Arrival times from a file: a column of CSV (comma, semicolon or tab), a field of JSON lines, the times of an access log,
//! or one time a line.

mod columns;
mod time;

use std::io::{BufRead, Read};
use std::path::Path;

use columns::Columns;

use crate::error::Error;
use crate::import;
use crate::limits::{MAX_ARRIVALS, MAX_NAMED_DAMAGE};

/// When requests or sessions arrived, somewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Rising, in microseconds; of what moment on does not matter.
    pub times: Vec<u64>,
    /// Where they stand: the name of a column or field, `column 2`, or `access log`.
    pub column: String,
    /// Lines that were earlier than the one before them; they are put in order.
    pub out_of_order: u64,
    /// The first such line.
    pub first_out_of_order: Option<u64>,
    /// Lines without a time that can be read.
    pub unreadable: u64,
    /// The first of them, by line and with the reason.
    pub named: Vec<(u64, String)>,
}

/// Reads a file of arrivals, plain, gzip or zstd. Without `column` the column is found by its name and by what is in it.
///
/// # Errors
/// The file cannot be read, has no such column (the error says which there are), no column of times, no time at all, or
/// more than [`MAX_ARRIVALS`].
pub fn read(path: &Path, column: Option<&str>) -> Result<Trace, Error> {
    let wrong = |why: String| Error::Invalid(format!("{}: {why}", path.display()));
    let mut input = import::open(path)?;
    let mut lines = Lines { input: &mut input, number: 0 };
    let mut sample = Vec::new();
    while sample.len() < SAMPLE
        && let Some(line) = lines.next(path)?
    {
        sample.push(line);
    }
    let texts: Vec<&str> = sample.iter().map(|(_, line)| line.as_str()).collect();
    let columns = Columns::find(&texts, column).map_err(wrong)?;
    let mut trace = Trace { column: columns.name().to_owned(), ..Trace::default() };
    let mut last = 0;
    for (number, line) in sample.into_iter().skip(columns.head_lines()) {
        trace.line(number, &columns, &line, &mut last);
    }
    while let Some((number, line)) = lines.next(path)? {
        trace.line(number, &columns, &line, &mut last);
        if MAX_ARRIVALS < trace.times.len() {
            return Err(wrong(format!(
                "more than {MAX_ARRIVALS} arrivals; take a part of it: head -n {MAX_ARRIVALS}"
            )));
        }
    }
    if trace.times.is_empty() {
        let first = trace.named.first().map_or(String::new(), |(line, why)| format!(" (line {line}: {why})"));
        return Err(wrong(format!("no line has a time in {}{first}", trace.column)));
    }
    trace.times.sort_unstable();
    Ok(trace)
}

impl Trace {
    fn line(&mut self, number: u64, columns: &Columns, line: &str, last: &mut u64) {
        match columns.time(line) {
            Ok(at) => {
                if at < *last {
                    self.out_of_order += 1;
                    self.first_out_of_order.get_or_insert(number);
                }
                *last = at;
                self.times.push(at);
            }
            Err(why) => {
                self.unreadable += 1;
                if self.named.len() < MAX_NAMED_DAMAGE {
                    self.named.push((number, why));
                }
            }
        }
    }
}

/// Lines with their numbers; empty ones and comments are passed over.
struct Lines<'a> {
    input: &'a mut dyn BufRead,
    number: u64,
}

impl Lines<'_> {
    fn next(&mut self, path: &Path) -> Result<Option<(u64, String)>, Error> {
        loop {
            let mut line = Vec::new();
            let read = (&mut *self.input).take(LONGEST_LINE).read_until(b'\n', &mut line);
            if read.map_err(Error::io("read", path))? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if line.len() as u64 == LONGEST_LINE {
                return Err(Error::Invalid(format!(
                    "{}: line {} is longer than {LONGEST_LINE} bytes; that is no list of arrivals",
                    path.display(),
                    self.number
                )));
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
            if !text.trim().is_empty() && !text.starts_with('#') {
                return Ok(Some((self.number, text.to_owned())));
            }
        }
    }
}

/// Lines by which the column is found.
const SAMPLE: usize = 200;
const LONGEST_LINE: u64 = 1 << 20;
