//! Imports in memory, and what damage may do to them.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use captures::Exchange;
use captures::import::{self, Format, ImportOptions, Numbering, Tally};

/// What an import gave.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    pub(crate) tally: Tally,
    pub(crate) exchanges: Vec<Exchange>,
}

/// Imports a file whose format is found out, bodies of answers too.
pub(crate) fn file(path: &Path) -> (Format, Imported) {
    let mut exchanges = Vec::new();
    let (format, tally) = import::file(path, None, &options(), &mut Numbering::default(), &mut |exchange| {
        exchanges.push(exchange);
        Ok(())
    })
    .unwrap_or_else(|err| panic!("{err}"));
    assert_eq!(tally.imported, exchanges.len() as u64, "{}", path.display());
    (format, Imported { tally, exchanges })
}

/// Imports bytes. The error is what a whole file may be refused for, in words.
pub(crate) fn bytes(format: Format, bytes: &[u8]) -> Result<Imported, String> {
    let mut exchanges = Vec::new();
    let (mut numbering, options) = (Numbering::default(), options());
    let sink = &mut |exchange| {
        exchanges.push(exchange);
        Ok(())
    };
    let input = BufReader::with_capacity(97, bytes);
    let tally = import::read(format, input, &options, &mut numbering, sink).map_err(|err| err.to_string())?;
    assert_eq!(tally.imported, exchanges.len() as u64);
    Ok(Imported { tally, exchanges })
}

pub(crate) fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(name)
}

fn options() -> ImportOptions {
    ImportOptions { response_bodies: true, ..ImportOptions::default() }
}

/// Method, target and status (0: no answer), one word for each exchange.
pub(crate) fn brief(exchanges: &[Exchange]) -> Vec<String> {
    let status = |exchange: &Exchange| exchange.response.as_ref().map_or(0, |response| response.status);
    exchanges
        .iter()
        .map(|exchange| {
            format!("{} {} {}", exchange.request.method, exchange.request.target, status(exchange))
        })
        .collect()
}

/// Cuts the input at every position, and changes every byte of it in three ways: whatever comes is counted and named
/// or refused, and no more exchanges come out than before (`extra`: where a change can make two of one).
pub(crate) fn damage_everywhere(format: Format, input: &[u8], extra: usize) {
    let whole = bytes(format, input).unwrap().exchanges.len();
    for len in (0..input.len()).step_by(step(input)) {
        let Ok(cut) = bytes(format, &input[..len]) else { continue };
        assert!(cut.exchanges.len() <= whole, "cut at {len}: {:?}", cut.tally);
    }
    let mut changed = input.to_vec();
    for at in (0..input.len()).step_by(step(input)) {
        for flip in [0x01, 0x80, 0xff] {
            changed[at] ^= flip;
            if let Ok(found) = bytes(format, &changed) {
                let n = found.exchanges.len();
                assert!(
                    n <= whole + extra,
                    "byte {at} ^ {flip:#x}: {n} exchanges of {whole}: {:?}",
                    found.tally
                );
            }
            changed[at] ^= flip;
        }
    }
}

/// Every position of a small input, some thousand of a large one.
fn step(input: &[u8]) -> usize {
    (input.len() / 4_000).max(1)
}
