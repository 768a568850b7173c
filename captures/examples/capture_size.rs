//! What `benches/capture_size` measures: the same requests as a capture, as GoReplay's `.gor.gz` and as HAR.
#![allow(clippy::print_stdout)] // what it measures is for the bench that started it

mod traffic;

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};

use captures::compact::{CompactOptions, compact};
use captures::header::{FileHeader, Options};
use captures::import::{self, ImportOptions, Numbering};
use captures::{Exchange, Writer};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mut archives: Vec<Exchange> = Vec::new();
    for (session, file) in std::env::args_os().skip(1).map(PathBuf::from).enumerate() {
        let mut requests = requests_of(&file)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        measure(&name, requests.clone(), folder.path())?;
        if file.extension().is_some_and(|kind| kind == "har") {
            requests.iter_mut().for_each(|exchange| exchange.session.0 = session as u64);
            archives.extend(requests);
        }
    }
    measure("all archives", archives, folder.path())?;
    measure("synthetic API", traffic::api(2000, 1), folder.path())
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

/// Prints a line of JSON: how many requests, and how many bytes they take in each form.
fn measure(name: &str, exchanges: Vec<Exchange>, folder: &Path) -> Result<(), Box<dyn Error>> {
    if exchanges.is_empty() {
        return Ok(());
    }
    let (captured, imported) = (folder.join("captured"), folder.join("imported"));
    write(&captured, &exchanges, Options { block_age_us: u64::MAX, ..Options::default() })?;
    write(&imported, &exchanges, Options::for_import())?;
    let compacted = |generators: bool| -> Result<u64, Box<dyn Error>> {
        let output = folder.join("compacted");
        let done =
            compact(&captured, &output, &CompactOptions { generators, ..CompactOptions::default() }, 1)?;
        std::fs::remove_file(output)?;
        Ok(done.after.bytes)
    };
    let gor = gor(&exchanges);
    println!(
        "{}",
        json!({
            "sample": name,
            "requests": exchanges.len(),
            "captured": std::fs::metadata(&captured)?.len(),
            "imported": std::fs::metadata(&imported)?.len(),
            "compacted": compacted(false)?,
            "generators": compacted(true)?,
            "gor": gor.len(),
            "gor_gz": gz(&gor)?.len(),
            "gor_zstd19": zstd::encode_all(&gor[..], 19)?.len(),
            "har_zstd19": zstd::encode_all(&har(&exchanges)?[..], 19)?.len(),
        })
    );
    std::fs::remove_file(captured)?;
    std::fs::remove_file(imported)?;
    Ok(())
}

fn write(path: &Path, exchanges: &[Exchange], options: Options) -> Result<(), Box<dyn Error>> {
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

/// The requests as an archive has them, and next to nothing of the answers that it must have.
fn har(exchanges: &[Exchange]) -> Result<Vec<u8>, Box<dyn Error>> {
    let entries = exchanges.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let creator = json!({ "name": "bench", "version": "1" });
    Ok(serde_json::to_vec(&json!({ "log": { "version": "1.2", "creator": creator, "entries": entries } }))?)
}

fn entry(exchange: &Exchange) -> Result<Value, Box<dyn Error>> {
    let request = &exchange.request;
    let pairs = |pairs: Vec<(String, String)>| -> Vec<Value> {
        pairs.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
    };
    let headers = request.headers.iter();
    let headers = headers.map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned()));
    let query = request.target.split_once('?').map_or("", |(_, query)| query);
    let query = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let body = request.body.data.as_deref().unwrap_or_default();
    let mut of_request = json!({
        "method": request.method,
        "url": format!("{}://{}{}", request.scheme, request.authority, request.target),
        "httpVersion": exchange.protocol.as_str(),
        "cookies": [],
        "headers": pairs(headers.collect()),
        "queryString": pairs(query.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()),
        "headersSize": -1,
        "bodySize": body.len(),
    });
    if !body.is_empty() {
        let kind = request.headers.get_str("content-type").unwrap_or_default();
        of_request["postData"] = json!({ "mimeType": kind, "text": String::from_utf8_lossy(body) });
    }
    Ok(json!({
        "startedDateTime": jiff::Timestamp::from_microsecond(exchange.start_us as i64)?.to_string(),
        "time": -1,
        "request": of_request,
        "response": {},
        "cache": {},
        "timings": {},
    }))
}
