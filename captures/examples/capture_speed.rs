//! What `benches/capture_speed` measures: requests a second on one core, into a capture and out of it again.
#![allow(clippy::print_stdout)] // what it measures is for the bench that started it

mod traffic;

use std::error::Error;
use std::path::{Path, PathBuf};

use captures::header::{FileHeader, Options};
use captures::import::{self, ImportOptions, Numbering};
use captures::verify::verify;
use captures::{Exchange, Reader, Writer};
use serde_json::json;

/// How often each sample is written and read: the first time warms up.
const ROUNDS: usize = 6;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    for file in std::env::args_os().skip(1).map(PathBuf::from) {
        let mut all = Vec::new();
        import::file(&file, None, &ImportOptions::default(), &mut Numbering::default(), &mut |exchange| {
            all.push(exchange);
            Ok(())
        })?;
        measure("web log", &all, folder.path())?;
    }
    measure("API, requests", &traffic::api(8000, 1), folder.path())?;
    measure("API, with answers", &traffic::answered(traffic::api(8000, 1)), folder.path())
}

/// Prints lines of JSON: for each round, the seconds of this thread that writing, reading and verifying took.
fn measure(name: &str, exchanges: &[Exchange], folder: &Path) -> Result<(), Box<dyn Error>> {
    // in memory they follow each other as they were met, as those of a recorder and of an importer do; the users of the
    // API were made up one after the other
    let exchanges = exchanges.to_vec();
    let exchanges = &exchanges[..];
    for _ in 0..ROUNDS {
        let path = folder.join("capture.zst");
        let _ = std::fs::remove_file(&path);
        let began = cpu_seconds();
        let options = Options { block_age_us: u64::MAX, ..Options::default() };
        let mut writer = Writer::create(&path, FileHeader::new("bench", 1), options)?;
        for exchange in exchanges {
            writer.push(exchange, 0)?;
        }
        let summary = writer.finish(0)?;
        let encode = cpu_seconds() - began;
        let began = cpu_seconds();
        let read = Reader::open(&path)?.exchanges().filter(Result::is_ok).count();
        let decode = cpu_seconds() - began;
        assert_eq!(read, exchanges.len());
        let began = cpu_seconds();
        assert!(verify(&path)?.is_clean());
        let check = cpu_seconds() - began;
        println!(
            "{}",
            json!({
                "sample": name,
                "requests": read,
                "bytes": summary.bytes,
                "blocks": summary.blocks,
                "encode": encode,
                "decode": decode,
                "verify": check,
            })
        );
    }
    Ok(())
}

/// Seconds that this thread has had a core: what others do on it meanwhile does not count.
fn cpu_seconds() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    told.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or_default() / 1e9
}
