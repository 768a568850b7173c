//! What `benches/capture_speed` measures: requests a second on one core, into a capture and out of it again.
#![allow(clippy::print_stdout)] // what it measures is for the bench that started it

mod traffic;

use std::error::Error;
use std::path::{Path, PathBuf};

use captures::header::{FileHeader, Options};
use captures::import::{self, ImportOptions, Numbering};
use captures::verify::verify;
use captures::{Exchange, Reader, Writer};

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
    measure("api requests", &traffic::api(8000, 1), folder.path())?;
    measure("api with answers", &traffic::answered(traffic::api(8000, 1)), folder.path())
}

fn measure(name: &str, exchanges: &[Exchange], folder: &Path) -> Result<(), Box<dyn Error>> {
    for _ in 0..3 {
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
        let n = exchanges.len() as f64;
        println!(
            "{name}: {n} requests, {:.0} bytes each, {} blocks; encode {:.0}/s decode {:.0}/s verify {:.0}/s",
            summary.bytes as f64 / n,
            summary.blocks,
            n / encode,
            n / decode,
            n / check
        );
    }
    Ok(())
}

/// Seconds that this thread has had a core: what others do on it meanwhile does not count.
fn cpu_seconds() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    told.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or_default() / 1e9
}
