//! The identities of `--users FILE`: a table from a CSV or JSON Lines file, whose rows are handed to sessions.
//!
//! The file holds secrets. No error, log or report quotes a value of it: messages name lines and columns.

mod objects;
mod separated;
mod table;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::Path;

use crate::limits;
use crate::report::text::number;
use table::Table;

/// The rows of a users file, in its order.
pub(crate) struct Users {
    table: Table,
}

impl Users {
    /// Reads `path`, a regular file or a pipe, whole. The kind (CSV with comma, semicolon or tab, or JSON Lines) is
    /// told from the content; a byte order mark and either kind of line break are taken.
    ///
    /// # Errors
    /// Words for the user: what cannot be read, is no such file, has no rows, or has a row unlike the first, with
    /// its line number. Sizes are bounded by `limits::USERS_*`.
    pub(crate) fn load(path: &Path) -> Result<Users, String> {
        let named = |why: String| format!("users file {}: {why}", path.display());
        let file = File::open(path).map_err(|err| named(format!("cannot be opened: {err}")))?;
        let size = file.metadata().ok().filter(std::fs::Metadata::is_file).map_or(0, |about| about.len());
        read(BufReader::with_capacity(limits::READ_BYTES, file), size).map_err(named)
    }

    /// Names of the columns, in the order of the file.
    pub(crate) fn columns(&self) -> &[String] {
        &self.table.columns
    }

    /// The column of that name.
    ///
    /// # Errors
    /// Words that name the columns there are.
    pub(crate) fn column(&self, name: &str) -> Result<usize, String> {
        let found = self.columns().iter().position(|column| column == name);
        found.ok_or_else(|| {
            format!("the users file has no column `{name}`; it has {}", self.columns().join(", "))
        })
    }

    /// How many identities there are, at least 1.
    pub(crate) fn rows(&self) -> u64 {
        self.table.rows()
    }

    /// One value, UTF-8, maybe empty. `row` is below [`Users::rows`], `column` comes from [`Users::column`].
    pub(crate) fn cell(&self, row: u64, column: usize) -> &[u8] {
        self.table.cell(row, column)
    }

    /// The values of a row, in the order of the columns.
    #[cfg(test)]
    pub(crate) fn row(&self, row: u64) -> impl Iterator<Item = &[u8]> {
        (0..self.columns().len()).map(move |column| self.cell(row, column))
    }

    /// The row of the `session`-th session of a plan; rows are used again where there are fewer.
    pub(crate) fn row_of(&self, session: u64) -> u64 {
        session % self.rows()
    }

    /// Bytes that the table takes.
    pub(crate) fn memory(&self) -> u64 {
        self.table.memory()
    }

    /// Whether every value of `column` can stand in a header field.
    ///
    /// # Errors
    /// Words that name the column and the first row (from 1, the names not counted) with a control character.
    pub(crate) fn check_header(&self, column: usize) -> Result<(), String> {
        let fits =
            |row: &u64| self.cell(*row, column).iter().all(|&byte| byte == b'\t' || !byte.is_ascii_control());
        match (0..self.rows()).find(|row| !fits(row)) {
            None => Ok(()),
            Some(row) => Err(format!(
                "column `{}` of the users file cannot go into a header: row {} holds a control character, such as \
                 a line break",
                self.columns()[column],
                row + 1
            )),
        }
    }
}

/// Says only how large it is: a derived one would print the secrets.
impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users").field("columns", &self.columns().len()).field("rows", &self.rows()).finish()
    }
}

/// Whether `rows` identities are enough for `needed` sessions, each with one of its own unless `wrap`.
pub(crate) fn enough(rows: u64, needed: Option<u64>, wrap: bool) -> Result<(), String> {
    match needed {
        _ if wrap => Ok(()),
        Some(needed) if needed <= rows => Ok(()),
        Some(needed) => Err(format!(
            "the users file has {} rows and the plan has {} sessions, each with an identity of its own: add rows, \
             plan fewer sessions (--amplify, --sessions), or say --users-wrap to use rows again",
            number(rows),
            number(needed)
        )),
        None => Err(format!(
            "the users file has {} rows and this plan starts sessions until it is stopped, each with an identity \
             of its own: say --users-wrap to use rows again",
            number(rows)
        )),
    }
}

fn read(mut input: impl BufRead, size: u64) -> Result<Users, String> {
    let mut head = Vec::with_capacity(limits::USERS_HEAD_BYTES);
    let look = limits::USERS_HEAD_BYTES as u64;
    input.by_ref().take(look).read_to_end(&mut head).map_err(separated::unreadable)?;
    let mark = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let kind = Kind::of(&head[mark..])?;
    let mut begin = Cursor::new(head);
    begin.set_position(mark as u64);
    let all = begin.chain(input);
    let table = match kind {
        Kind::Objects => objects::read(all, size)?,
        Kind::Separated(delimiter) => separated::read(all, delimiter, size)?,
    };
    Ok(Users { table })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Objects,
    Separated(u8),
}

impl Kind {
    /// What a file is that begins with `head`, or why it is not a users file.
    fn of(head: &[u8]) -> Result<Kind, String> {
        let no = |why: &str| Err(why.to_owned());
        match head {
            [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [b'P', b'K', 3, 4, ..] => {
                no("it is compressed; unpack it first (a spreadsheet: save it as CSV)")
            }
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => no("it is UTF-16; save it as UTF-8"),
            _ if head.contains(&0) => no("it is not a text file"),
            _ => match head.trim_ascii_start().first() {
                None if head.len() < limits::USERS_HEAD_BYTES => no("it is empty"),
                Some(b'{') => Ok(Kind::Objects),
                Some(b'[') => no("it is one JSON list; write one object a line (jq -c '.[]')"),
                _ => Ok(Kind::Separated(separated::delimiter(head))),
            },
        }
    }
}
