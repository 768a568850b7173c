//! What `benches/capture_size` measures: the same requests as a capture, as GoReplay's `.gor.gz` and as HAR.
#![allow(clippy::print_stdout)] // what it measures is for the bench that started it

mod traffic;

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};

use captures::export::har;
use captures::header::{FileHeader, Options};
use captures::import::{self, ImportOptions, Numbering};
use captures::{Exchange, Reader, Writer};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mut all = Vec::new();
    for file in std::env::args_os().skip(1).map(PathBuf::from) {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let r = requests_of(&file)?;
        if name.ends_with("har") {
            let b = all.len() as u64;
            all.extend(r.into_iter().map(|mut e| {
                e.session.0 += b;
                e
            }));
        } else {
            measure(&name, r, folder.path())?;
        }
    }
    if !all.is_empty() {
        measure("all hars", all, folder.path())?;
    }
    if std::env::args_os().len() == 1 {
        measure("synthetic API", traffic::api(2000, 1), folder.path())?;
    }
    Ok(())
}

/// The requests of a log or an archive, without their answers.
fn requests_of(file: &Path) -> Result<Vec<Exchange>, Box<dyn Error>> {
    let mut requests = Vec::new();
    import::file(file, None, &ImportOptions::default(), &mut Numbering::default(), &mut |exchange| {
        requests.push(Exchange {
            response: None,
            ttfb_us: None,
            duration_us: None,
            stream: None,
            notes: Default::default(),
            ..exchange
        });
        Ok(())
    })?;
    Ok(requests)
}

fn measure(name: &str, exchanges: Vec<Exchange>, folder: &Path) -> Result<(), Box<dyn Error>> {
    let captured = folder.join(format!("{name}.captured"));
    write(&captured, &exchanges, Options::default())?;
    let imported = folder.join(format!("{name}.imported"));
    write(&imported, &exchanges, Options::for_import())?;
    let imported19 = folder.join(format!("{name}.imported19"));
    write(&imported19, &exchanges, Options { level: 19, ..Options::for_import() })?;
    let mut archive = Vec::new();
    har::write(Reader::open(&captured)?, &mut archive)?;
    let n = exchanges.len() as f64;
    let size = |path: &Path| std::fs::metadata(path).map(|meta| meta.len() as f64 / n);
    println!(
        "{name}: n {n} captured {:.1} imported {:.1} imported19 {:.1} gor.gz {:.1} gor.z3 {:.1} har.z19 {:.1}",
        size(&captured)?,
        size(&imported)?,
        size(&imported19)?,
        gz(&gor(&exchanges))?.len() as f64 / n,
        zstd::encode_all(&gor(&exchanges)[..], 3)?.len() as f64 / n,
        zstd::encode_all(&archive[..], 19)?.len() as f64 / n,
    );
    Ok(())
}

fn write(path: &Path, exchanges: &[Exchange], options: Options) -> Result<(), Box<dyn Error>> {
    let options = Options { block_age_us: u64::MAX, ..options };
    let mut writer = Writer::create(path, FileHeader::new("bench", 1), options)?;
    for exchange in exchanges {
        writer.push(exchange, exchange.start_us)?;
    }
    writer.finish(0)?;
    Ok(())
}

/// As GoReplay writes requests: a line of type, id and time, the request as HTTP/1.1, a separator.
fn gor(exchanges: &[Exchange]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chance = traffic::Chance(3);
    for exchange in exchanges {
        let request = &exchange.request;
        out.extend(
            format!("1 {} {}\n", chance.hex(24), exchange.start_us * 1000 + chance.below(1000)).bytes(),
        );
        out.extend(format!("{} {} HTTP/1.1\r\n", request.method, request.target).bytes());
        for (name, value) in request.headers.iter() {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(request.body.data.as_deref().unwrap_or_default());
        out.extend_from_slice("\n🐵🙈🙉\n".as_bytes());
    }
    out
}

fn gz(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes)?;
    encoder.finish()
}
