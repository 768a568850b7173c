//! Sorts records by time in bounded memory: what does not fit goes to temporary files that are merged at the end.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Error;

/// Lines to be sorted; equal times stay in order.
pub(super) struct Sorter {
    text: Vec<u8>,
    /// Time and place of each line held in memory.
    lines: Vec<(u64, std::ops::Range<usize>)>,
    runs: Vec<File>,
    memory: usize,
}

impl Default for Sorter {
    fn default() -> Sorter {
        Sorter::with_memory(MEMORY)
    }
}

impl Sorter {
    pub(super) fn with_memory(memory: usize) -> Sorter {
        Sorter { text: Vec::new(), lines: Vec::new(), runs: Vec::new(), memory }
    }

    pub(super) fn push(&mut self, time_us: u64, line: &[u8]) -> Result<(), Error> {
        let start = self.text.len();
        self.text.extend_from_slice(line);
        self.lines.push((time_us, start..self.text.len()));
        match self.memory <= self.text.len() + self.lines.len() * LINE_OVERHEAD {
            true => self.spill(),
            false => Ok(()),
        }
    }

    /// Hands every line to `visit`, the earliest first.
    pub(super) fn finish(mut self, mut visit: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        if self.runs.is_empty() {
            self.lines.sort_by_key(|line| line.0);
            return self.lines.iter().try_for_each(|(_, place)| visit(&self.text[place.clone()]));
        }
        self.spill()?;
        let failed = || Error::io("sort in", &std::env::temp_dir());
        let mut runs: Vec<BufReader<File>> = self.runs.into_iter().map(BufReader::new).collect();
        let mut heads = BinaryHeap::new();
        for (number, run) in runs.iter_mut().enumerate() {
            heads.extend(next_in(run).map_err(failed())?.map(|(time, line)| Reverse((time, number, line))));
        }
        while let Some(Reverse((_, number, line))) = heads.pop() {
            visit(&line)?;
            heads.extend(
                next_in(&mut runs[number])
                    .map_err(failed())?
                    .map(|(time, line)| Reverse((time, number, line))),
            );
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<(), Error> {
        let dir = std::env::temp_dir();
        self.lines.sort_by_key(|line| line.0);
        let write = || -> std::io::Result<File> {
            let mut out = BufWriter::new(nameless_file(&dir)?);
            for (time, place) in &self.lines {
                out.write_all(&time.to_le_bytes())?;
                out.write_all(&(place.len() as u32).to_le_bytes())?;
                out.write_all(&self.text[place.clone()])?;
            }
            let mut file = out.into_inner()?;
            file.rewind()?;
            Ok(file)
        };
        self.runs.push(write().map_err(Error::io("sort in", &dir))?);
        self.lines.clear();
        self.text.clear();
        Ok(())
    }
}

fn next_in(run: &mut impl Read) -> std::io::Result<Option<(u64, Vec<u8>)>> {
    let mut head = [0; 12];
    match run.read_exact(&mut head) {
        Ok(()) => {}
        Err(err) if err.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(err) => return Err(err),
    }
    let [t0, t1, t2, t3, t4, t5, t6, t7, l0, l1, l2, l3] = head;
    let mut line = vec![0; u32::from_le_bytes([l0, l1, l2, l3]) as usize];
    run.read_exact(&mut line)?;
    Ok(Some((u64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]), line)))
}

/// A file that goes away by itself: it has no name any more.
fn nameless_file(dir: &Path) -> std::io::Result<File> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = dir.join(format!("squall-sort-{}-{number}", std::process::id()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// About a million lines.
const MEMORY: usize = 256 << 20;
const LINE_OVERHEAD: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_memory_and_through_files_alike() {
        let times: Vec<u64> = (0..1000u64).map(|n| n * 7919 % 100).collect();
        let sorted = |memory| {
            let mut sorter = Sorter::with_memory(memory);
            for (n, time) in times.iter().enumerate() {
                sorter.push(*time, format!("{time:03} {n:04}").as_bytes()).unwrap();
            }
            let mut lines = Vec::new();
            sorter
                .finish(|line| {
                    lines.push(String::from_utf8(line.to_vec()).unwrap());
                    Ok(())
                })
                .unwrap();
            lines
        };
        let expected = sorted(usize::MAX);
        assert!(expected.is_sorted() && expected.len() == 1000);
        assert_eq!(sorted(5000), expected);
    }
}
