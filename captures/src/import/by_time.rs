//! Puts imported exchanges in order: by start, over all files, in bounded memory.
//!
//! Importers hand on what is complete, so a long answer comes after the requests that began meanwhile, and rotated logs
//! are named in any order. What does not fit into memory goes through temporary files without a name. Whoever redacts
//! does it before.

use super::sort::Sorter;
use crate::Exchange;
use crate::error::Error;
use crate::export::ndjson::{Record, write_line};

/// Exchanges to be sorted; those of the same microsecond keep their order.
pub struct ByTime {
    held: Vec<Exchange>,
    /// About the memory that `held` takes.
    bytes: usize,
    limit: usize,
    /// Where they go once they are too many.
    spilled: Option<Sorter>,
}

impl Default for ByTime {
    fn default() -> ByTime {
        ByTime::with_memory(MEMORY)
    }
}

impl ByTime {
    fn with_memory(limit: usize) -> ByTime {
        ByTime { held: Vec::new(), bytes: 0, limit, spilled: None }
    }

    /// Takes an exchange.
    ///
    /// # Errors
    /// When temporary files cannot be written.
    pub fn push(&mut self, exchange: Exchange) -> Result<(), Error> {
        self.bytes += size(&exchange);
        self.held.push(exchange);
        match self.limit <= self.bytes {
            true => self.spill(),
            false => Ok(()),
        }
    }

    /// Hands every exchange to `visit`, the earliest first.
    ///
    /// # Errors
    /// What `visit` returns, or when temporary files cannot be read.
    pub fn finish(mut self, mut visit: impl FnMut(Exchange) -> Result<(), Error>) -> Result<(), Error> {
        if self.spilled.is_some() {
            self.spill()?;
        }
        let Some(spilled) = self.spilled else {
            self.held.sort_by_key(|exchange| exchange.start_us);
            return self.held.into_iter().try_for_each(visit);
        };
        spilled.finish(|line| {
            let lost =
                |why: String| Error::Invalid(format!("a temporary file for sorting was changed: {why}"));
            let record: Record = serde_json::from_slice(line).map_err(|err| lost(err.to_string()))?;
            visit(record.into_exchange(true).map_err(lost)?)
        })
    }

    fn spill(&mut self) -> Result<(), Error> {
        let sorter = self.spilled.get_or_insert_with(|| Sorter::with_memory(self.limit / 4));
        let mut line = Vec::new();
        for exchange in self.held.drain(..) {
            line.clear();
            let failed = Error::io("sort in", &std::env::temp_dir());
            write_line(&exchange, &mut line).map_err(failed)?;
            sorter.push(exchange.start_us, &line)?;
        }
        self.bytes = 0;
        Ok(())
    }
}

/// About what an exchange takes.
fn size(exchange: &Exchange) -> usize {
    let data = |body: &crate::Body| body.data.as_ref().map_or(0, bytes::Bytes::len);
    let request = &exchange.request;
    let answer =
        exchange.response.as_ref().map_or(0, |response| response.headers.byte_len() + data(&response.body));
    let messages = exchange.stream.as_ref().map_or(&[][..], |stream| &stream.messages);
    let said: usize =
        messages.iter().filter_map(|message| message.data.as_ref()).map(bytes::Bytes::len).sum();
    size_of::<Exchange>()
        + SMALL_PARTS
        + request.target.len()
        + request.headers.byte_len()
        + data(&request.body)
        + answer
        + said
        + size_of_val(messages)
}

/// A million requests of a web site, or a quarter of them with bodies.
const MEMORY: usize = 512 << 20;
/// Short strings and what the allocator adds to them.
const SMALL_PARTS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Body, SessionId};

    #[test]
    fn in_memory_and_through_files_alike() {
        let exchange = |n: u64| {
            let mut exchange =
                Exchange { session: SessionId(n), start_us: n * 7919 % 50, ..Exchange::default() };
            exchange.request.body = Body::whole(vec![0xff; 100]);
            exchange
        };
        let sorted = |memory| {
            let mut order = ByTime::with_memory(memory);
            (0..500).for_each(|n| order.push(exchange(n)).unwrap());
            let mut out = Vec::new();
            order
                .finish(|exchange| {
                    out.push(exchange);
                    Ok(())
                })
                .unwrap();
            out
        };
        let all = sorted(usize::MAX);
        assert!(all.len() == 500 && all.is_sorted_by_key(|exchange| (exchange.start_us, exchange.session)));
        assert_eq!(sorted(20_000), all);
        assert_eq!(sorted(200_000), all);
    }
}
