//! The cells of a users file: one block of bytes, and where each cell ends in it.
//!
//! A cell costs its bytes and 4 more (8 once the block is larger than 4 GiB), so that ten million rows of a few
//! short columns fit in a few hundred megabytes.

use crate::limits;

/// Cells by row and column. Not printable: it holds secrets.
pub(super) struct Table {
    pub(super) columns: Vec<String>,
    bytes: Vec<u8>,
    ends: Ends,
}

/// Fills a [`Table`], row by row.
pub(super) struct Builder {
    table: Table,
    /// Size of the file, or 0 where it is not known.
    expected_bytes: u64,
    rows: u64,
}

/// Where each cell ends, narrow as long as that is enough.
#[derive(Debug)]
enum Ends {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

impl Table {
    pub(super) fn rows(&self) -> u64 {
        (self.ends.len() / self.columns.len()) as u64
    }

    pub(super) fn cell(&self, row: u64, column: usize) -> &[u8] {
        assert!(column < self.columns.len(), "columns are looked up by name before the run");
        let cell = row as usize * self.columns.len() + column;
        let start = if cell == 0 { 0 } else { self.ends.get(cell - 1) };
        &self.bytes[start..self.ends.get(cell)]
    }

    /// Bytes in use.
    pub(super) fn memory(&self) -> u64 {
        let ends = match &self.ends {
            Ends::Narrow(ends) => size_of_val(ends.as_slice()),
            Ends::Wide(ends) => size_of_val(ends.as_slice()),
        };
        (self.bytes.len() + ends) as u64
    }
}

impl Builder {
    /// A table with these columns. Refuses names that are missing, doubled or too many.
    pub(super) fn new(columns: Vec<String>, expected_bytes: u64) -> Result<Builder, String> {
        if columns.len() > limits::USERS_COLUMNS {
            return Err(format!("more than {} columns", limits::USERS_COLUMNS));
        }
        let mut seen = std::collections::HashMap::new();
        for (place, name) in columns.iter().enumerate() {
            if name.is_empty() {
                return Err(format!("column {} has no name; the first row holds the names", place + 1));
            }
            if let Some(first) = seen.insert(name.as_str(), place) {
                return Err(format!(
                    "columns {} and {} have the same name; the first row holds the names of the columns",
                    first + 1,
                    place + 1
                ));
            }
        }
        let mut bytes = Vec::new();
        // Cells are never longer than their file. Untouched pages cost nothing, and a refusal only means that the
        // block grows as it goes.
        let _ = bytes.try_reserve_exact(expected_bytes.min(limits::USERS_BYTES) as usize);
        let table = Table { columns, bytes, ends: Ends::Narrow(Vec::new()) };
        Ok(Builder { table, expected_bytes, rows: 0 })
    }

    pub(super) fn columns(&self) -> &[String] {
        &self.table.columns
    }

    /// Adds a row, whose cells come in the order of the columns. Errors name the column, never the value.
    pub(super) fn push_row<'a>(&mut self, cells: impl Iterator<Item = &'a [u8]>) -> Result<(), String> {
        let before = self.table.bytes.len();
        for (place, cell) in cells.enumerate() {
            let wrong = |why: &str| Err(format!("column `{}` {why}", self.table.columns[place]));
            if cell.len() > limits::USERS_CELL_BYTES {
                return wrong(&format!("is longer than {} KiB", limits::USERS_CELL_BYTES / 1024));
            }
            if std::str::from_utf8(cell).is_err() {
                return wrong("is not UTF-8; save the file as UTF-8");
            }
            self.table.bytes.extend_from_slice(cell);
            self.table.ends.push(self.table.bytes.len());
        }
        if self.table.bytes.len() == before {
            return Err("no column has a value".to_owned());
        }
        if self.table.bytes.len() as u64 > limits::USERS_BYTES {
            let most = limits::USERS_BYTES >> 30;
            return Err(format!("more than {most} GiB of cells up to here; leave unused columns out"));
        }
        self.rows += 1;
        if self.rows == ROWS_BEFORE_ESTIMATE {
            self.reserve_ends();
        }
        Ok(())
    }

    /// The finished table. A table without a row is refused.
    pub(super) fn finish(self) -> Result<Table, String> {
        if self.rows == 0 {
            return Err("it has column names and not one row".to_owned());
        }
        Ok(self.table)
    }

    /// Room for all cells at once, guessed from the first rows: growing by doubling would need half as much again
    /// while it copies.
    fn reserve_ends(&mut self) {
        let (cells, bytes) = (self.table.ends.len() as u64, self.table.bytes.len() as u64);
        let guess = u128::from(self.expected_bytes) * u128::from(cells) / u128::from(bytes + cells);
        self.table.ends.reserve(usize::try_from(guess.saturating_sub(u128::from(cells))).unwrap_or(0));
    }
}

impl Ends {
    fn push(&mut self, end: usize) {
        match self {
            Ends::Wide(ends) => ends.push(end as u64),
            Ends::Narrow(ends) => match u32::try_from(end) {
                Ok(end) => ends.push(end),
                Err(_) => {
                    let mut wide: Vec<u64> = Vec::with_capacity(ends.len() * 2);
                    wide.extend(ends.iter().map(|&end| u64::from(end)));
                    wide.push(end as u64);
                    *self = Ends::Wide(wide);
                }
            },
        }
    }

    fn get(&self, cell: usize) -> usize {
        match self {
            Ends::Narrow(ends) => ends[cell] as usize,
            Ends::Wide(ends) => ends[cell] as usize,
        }
    }

    fn len(&self) -> usize {
        match self {
            Ends::Narrow(ends) => ends.len(),
            Ends::Wide(ends) => ends.len(),
        }
    }

    /// A hint; where the memory is refused the list grows as it goes.
    fn reserve(&mut self, more: usize) {
        let _ = match self {
            Ends::Narrow(ends) => ends.try_reserve_exact(more),
            Ends::Wide(ends) => ends.try_reserve_exact(more),
        };
    }
}

/// Rows from which the number of cells in the whole file is guessed.
const ROWS_BEFORE_ESTIMATE: u64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn ends_widen_beyond_four_gibibytes() {
        let mut ends = Ends::Narrow(Vec::new());
        let all = [7, u32::MAX as usize, u32::MAX as usize + 1, u32::MAX as usize + 9];
        all.iter().for_each(|&end| ends.push(end));
        assert!(matches!(ends, Ends::Wide(_)));
        assert_eq!((0..4).map(|cell| ends.get(cell)).collect::<Vec<_>>(), all);
        assert_eq!(ends.len(), 4);
    }

    #[test]
    fn a_cell_costs_its_bytes_and_four() {
        let mut builder = Builder::new(columns(&["a", "b"]), 0).expect("two columns");
        for row in 0..5000 {
            let cell = format!("{row:04}");
            builder.push_row([cell.as_bytes(), b"x"].into_iter()).expect("row");
        }
        let table = builder.finish().expect("table");
        assert_eq!(table.memory(), 5000 * (5 + 8));
        assert_eq!((table.cell(4999, 0), table.cell(0, 1)), (&b"4999"[..], &b"x"[..]));
    }

    #[test]
    fn bad_names_and_cells_are_refused_without_their_value() {
        let refused = |names: &[&str], word: &str| {
            let why = Builder::new(columns(names), 0).err().expect(word);
            assert!(why.contains(word), "{why}");
        };
        refused(&["a", ""], "column 2");
        refused(&["a", "b", "a"], "columns 1 and 3");
        refused(&vec!["a"; limits::USERS_COLUMNS + 1], "1024");
        let mut builder = Builder::new(columns(&["user", "password"]), 0).expect("two columns");
        let mut refused = |cells: [&[u8]; 2], word: &str| {
            let why = builder.push_row(cells.into_iter()).expect_err(word);
            assert!(why.contains(word) && !why.contains("secret"), "{why}");
        };
        refused([b"ann", b"secret\xff"], "`password` is not UTF-8");
        refused([b"", b""], "no column has a value");
        refused([b"ann", &b"secret".repeat(20_000)], "`password` is longer than 64 KiB");
    }
}
