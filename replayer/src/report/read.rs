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
        serde_json::from_slice(&text)
            .map_err(|err| format!("{name} is no run.json (replay --json FILE): {err}"))
    }
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
        let read: Histogram<u64> = Deserializer::new()
            .deserialize(&mut &bytes[..])
            .map_err(|err| format!("a histogram cannot be read: {err}"))?;
        let alike = read.sigfig() == all.sigfig() && read.low() == all.low();
        if !alike || read.len() != self.count {
            return Err("a histogram does not belong to its figures".to_owned());
        }
        all.add(&read).map_err(|err| format!("a histogram cannot be read: {err}"))?;
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::build;

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
