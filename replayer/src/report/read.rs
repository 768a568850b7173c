//! A run.json that was written earlier, read back: bounded, and refused in words.

use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;

use crate::limits;
use crate::report::{Latency, Report};
use crate::tally::histogram;

impl Report {
    /// The report that `replay --json` or `squall merge --json` wrote to `path`, at most 256 MiB.
    ///
    /// # Errors
    /// Words for the user, with the name of the file: it cannot be read, is too large, or is no run.json.
    pub fn load(path: &Path) -> Result<Report, String> {
        report(path, &text(path)?)
    }
}

/// All of a run.json, bounded.
pub(super) fn text(path: &Path) -> Result<Vec<u8>, String> {
    let name = path.display();
    let file = std::fs::File::open(path).map_err(|err| format!("cannot read {name}: {err}"))?;
    let mut text = Vec::new();
    let most = limits::RUN_JSON_BYTES;
    file.take(most + 1).read_to_end(&mut text).map_err(|err| format!("cannot read {name}: {err}"))?;
    if most < text.len() as u64 {
        return Err(format!("{name} is no run.json: it is larger than {most} bytes"));
    }
    if text.is_empty() {
        return Err(format!("{name} is empty: its run was not finished"));
    }
    Ok(text)
}

/// The report in the text of `path`.
pub(super) fn report(path: &Path, text: &[u8]) -> Result<Report, String> {
    serde_json::from_slice(text)
        .map_err(|err| format!("{} is no run.json (replay --json FILE): {err}", path.display()))
}

impl Latency {
    /// The whole histogram, in microseconds. Empty where nothing was measured. It grows by itself.
    ///
    /// # Errors
    /// Words for the user when the text is not a histogram of ours.
    pub(crate) fn histogram(&self) -> Result<Histogram<u64>, String> {
        let mut all = histogram();
        all.auto(true);
        if self.hdr.is_empty() {
            return Ok(all);
        }
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(&self.hdr)
            .map_err(|_| "a histogram is not base64".to_owned())?;
        let read = unpacked(&bytes)?;
        let alike = read.low() == all.low();
        if !alike || read.len() != self.count {
            return Err("a histogram does not belong to its figures".to_owned());
        }
        all.add(&read).map_err(|err| format!("a histogram cannot be read: {err}"))?;
        Ok(all)
    }
}

/// A histogram in the compressed form of HDR V2. Its own reader believes the lengths that it is told, up to 4 GiB: they
/// are looked at first.
fn unpacked(bytes: &[u8]) -> Result<Histogram<u64>, String> {
    let broken = || "a histogram cannot be read".to_owned();
    let body = bytes.get(HEAD_BYTES..).filter(|_| number(bytes, 0) == Some(COMPRESSED)).ok_or_else(broken)?;
    let mut plain = Vec::new();
    let most = limits::HISTOGRAM_BYTES;
    flate2::read::ZlibDecoder::new(body).take(most + 1).read_to_end(&mut plain).map_err(|_| broken())?;
    let length = number(&plain, 4).map(u64::from).filter(|length| *length <= plain.len() as u64);
    if most < plain.len() as u64 || length.is_none() || number(&plain, 12) != Some(DIGITS) {
        return Err(broken());
    }
    Deserializer::new().deserialize(&mut &plain[..]).map_err(|err| format!("{}: {err}", broken()))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

/// Cookie and length before the compressed part.
const HEAD_BYTES: usize = 8;
/// Cookie of the compressed form of HDR V2.
const COMPRESSED: u32 = 0x1c84_9314;
/// Significant digits of all our histograms.
const DIGITS: u32 = 3;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::report::build;

    /// The plain form of HDR V2 of a few values.
    fn plain() -> Vec<u8> {
        let mut all = Histogram::<u64>::new(3).expect("three digits");
        (0..500).for_each(|value| all.record(value * value).expect("it grows"));
        let mut plain = Vec::new();
        let mut writer = hdrhistogram::serialization::V2Serializer::new();
        hdrhistogram::serialization::Serializer::serialize(&mut writer, &all, &mut plain).expect("to memory");
        plain
    }

    fn packed(plain: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(plain).expect("to memory");
        let body = writer.finish().expect("to memory");
        let length = (body.len() as u32).to_be_bytes();
        [&COMPRESSED.to_be_bytes()[..], &length, &body].concat()
    }

    proptest! {
        #[test]
        fn damaged_histograms_are_read_or_refused(changes in proptest::collection::vec((0..800_usize, any::<u8>()), 0..8)) {
            let mut plain = plain();
            for (at, byte) in changes {
                let at = at % plain.len();
                plain[at] = byte;
            }
            let _ = unpacked(&packed(&plain));
        }

        #[test]
        fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(unpacked(&bytes).is_err());
            prop_assert!(unpacked(&packed(&bytes)).is_err());
        }
    }

    #[test]
    fn lengths_that_lie_cost_no_memory() {
        let mut huge = plain();
        assert!(unpacked(&packed(&huge)).is_ok());
        huge[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(unpacked(&packed(&huge)).is_err());
        assert!(unpacked(&packed(&vec![0; 100 << 20])).is_err());
    }

    #[test]
    fn a_histogram_comes_back_bucket_by_bucket() {
        let mut all = Histogram::new(3).expect("three digits");
        for value in [0, 1, 999, 12_345, 70_000_000, 2 * limits::LATENCY_MAX_US] {
            all.record(value).expect("it grows");
        }
        let latency = build::latency(&all);
        let back = latency.histogram().expect("it reads back");
        assert_eq!(back, all);
        assert_eq!(Latency::default().histogram().map(|all| all.len()), Ok(0));
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        let good = build::latency(&{
            let mut all = histogram();
            all.saturating_record(5);
            all
        });
        let refused = |latency: Latency| assert!(latency.histogram().is_err(), "{latency:?}");
        refused(Latency { hdr: "not base64!".to_owned(), ..good.clone() });
        refused(Latency { hdr: "AAAA".to_owned(), ..good.clone() });
        refused(Latency { count: 2, ..good });
    }

    #[test]
    fn what_is_no_run_is_refused_with_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let refused = |content: &str, words: &str| {
            let path = folder.path().join("a.json");
            std::fs::write(&path, content).expect("it can be written");
            let err = Report::load(&path).expect_err(content);
            assert!(err.contains("a.json") && err.contains(words), "{err}");
        };
        refused("", "not finished");
        refused("{}", "missing field");
        refused("[1, 2", "no run.json");
        assert!(Report::load(&folder.path().join("none")).is_err_and(|err| err.contains("cannot read")));
    }
}
