//! Rows of values with a delimiter between them (RFC 4180), the first row being the names of the columns.

use std::io::BufRead;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::table::{Builder, Table};
use crate::limits;

/// Reads all rows of `input`. `expected_bytes` is the size of the file, or 0. Errors name lines and columns.
pub(super) fn read(input: impl BufRead, delimiter: u8, expected_bytes: u64) -> Result<Table, String> {
    let mut rows = Rows::new(input, delimiter);
    let line = rows.next()?.ok_or("it is empty")?;
    let at = |line: u64, why: String| format!("line {line}: {why}");
    let mut names = Vec::with_capacity(rows.cells);
    for name in rows.cells() {
        let name =
            std::str::from_utf8(name).map_err(|_| at(line, "a column's name is not UTF-8".to_owned()))?;
        names.push(name.trim().to_owned());
    }
    let expected = names.len();
    let mut builder = Builder::new(names, expected_bytes).map_err(|why| at(line, why))?;
    while let Some(line) = rows.next()? {
        if rows.cells != expected {
            let found = rows.cells;
            return Err(at(line, format!("{found} values, but the first row names {expected} columns")));
        }
        builder.push_row(rows.cells()).map_err(|why| at(line, why))?;
    }
    builder.finish()
}

/// The delimiter of a file that begins with `head`: of comma, semicolon and tab the one that stands most often
/// between the names in its first line; the comma where there is one column only.
pub(super) fn delimiter(head: &[u8]) -> u8 {
    let mut counts = DELIMITERS.map(|delimiter| (delimiter, 0_usize));
    let mut quoted = false;
    for &byte in head.iter().skip_while(|byte| matches!(byte, b'\r' | b'\n')) {
        match byte {
            b'"' => quoted = !quoted,
            b'\r' | b'\n' if !quoted => break,
            _ if quoted => {}
            _ => counts
                .iter_mut()
                .filter(|(delimiter, _)| *delimiter == byte)
                .for_each(|(_, count)| *count += 1),
        }
    }
    // Of equals the last is taken: reversed, so that the comma wins.
    let best = counts.iter().rev().max_by_key(|(_, count)| *count);
    best.map_or(b',', |(delimiter, _)| *delimiter)
}

/// One row at a time, in buffers that are used again.
struct Rows<R> {
    core: Reader,
    input: R,
    /// Line at which the input stands, from 1.
    line: u64,
    row: Vec<u8>,
    ends: Vec<usize>,
    /// Cells in the row that was read last.
    cells: usize,
}

impl<R: BufRead> Rows<R> {
    fn new(input: R, delimiter: u8) -> Rows<R> {
        Rows {
            core: ReaderBuilder::new().delimiter(delimiter).build(),
            input,
            line: 1,
            row: vec![0; limits::USERS_ROW_BYTES],
            ends: vec![0; limits::USERS_COLUMNS + 1],
            cells: 0,
        }
    }

    /// Reads the next row and returns the line on which it begins; `None` at the end.
    fn next(&mut self) -> Result<Option<u64>, String> {
        if !self.skip_empty_lines()? {
            return Ok(None);
        }
        let (begin, mut filled) = (self.line, 0);
        self.cells = 0;
        loop {
            let buffer = self.input.fill_buf().map_err(unreadable)?;
            let at_end = buffer.is_empty();
            // A last row without a line break gets one; if that does not end it, it is inside quotes.
            let bytes = if at_end { b"\n".as_slice() } else { buffer };
            let (result, used, wrote, ended) =
                self.core.read_record(bytes, &mut self.row[filled..], &mut self.ends[self.cells..]);
            self.line += breaks(&bytes[..used]);
            self.input.consume(if at_end { 0 } else { used });
            (filled, self.cells) = (filled + wrote, self.cells + ended);
            match result {
                ReadRecordResult::Record => return Ok(Some(begin)),
                ReadRecordResult::InputEmpty if !at_end => {}
                ReadRecordResult::InputEmpty | ReadRecordResult::End => {
                    return Err(format!("line {begin}: a quote that opens in this row is never closed"));
                }
                ReadRecordResult::OutputFull => {
                    let most = limits::USERS_ROW_BYTES >> 20;
                    return Err(format!(
                        "line {begin}: the row is longer than {most} MiB; is a quote left open?"
                    ));
                }
                ReadRecordResult::OutputEndsFull => {
                    return Err(format!("line {begin}: more than {} values", limits::USERS_COLUMNS));
                }
            }
        }
    }

    /// The cells of the row that was read last.
    fn cells(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.cells).map(|cell| {
            let start = if cell == 0 { 0 } else { self.ends[cell - 1] };
            &self.row[start..self.ends[cell]]
        })
    }

    /// Skips what is left of the last line break, and empty lines; false at the end of the input.
    fn skip_empty_lines(&mut self) -> Result<bool, String> {
        loop {
            let buffer = self.input.fill_buf().map_err(unreadable)?;
            if buffer.is_empty() {
                return Ok(false);
            }
            let empty = buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            let more = empty < buffer.len();
            self.line += breaks(&buffer[..empty]);
            self.input.consume(empty);
            if more {
                return Ok(true);
            }
        }
    }
}

fn breaks(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

pub(super) fn unreadable(err: std::io::Error) -> String {
    format!("cannot be read: {err}")
}

const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];
