//! Secrets in bodies: finds out what a body is, undoes its content coding, and puts all together again.

use std::io::{Read, Write};

use super::echo::Echo;
use super::grpc::Outcome;
use super::secrets::Secrets;
use super::{forms, grpc, html, json, kinds, shapes, streams, text, urls};
use crate::{Body, Headers, multipart};

/// Replaces the secrets of a body; `false` when it could not be looked into and was withheld.
pub(super) fn rewrite(body: &mut Body, headers: &mut Headers, secrets: &mut Secrets<'_>) -> bool {
    if body.data.is_none() {
        return true;
    }
    let content_type = header(headers, "content-type");
    change(body, headers, |plain| rewrite_plain(plain, &content_type, secrets))
}

/// Replaces what is echoed in a body; `false` when it was withheld.
pub(super) fn echo(body: &mut Body, headers: &mut Headers, echo: &Echo) -> bool {
    change(body, headers, |plain| echo.replace(plain))
}

fn change(body: &mut Body, headers: &mut Headers, mut rewrite: impl FnMut(&[u8]) -> Option<Vec<u8>>) -> bool {
    if let Some(data) = streams::grpc_data(body, &header(headers, "content-type")) {
        let outcome = grpc::body(data, &header(headers, "grpc-encoding"), &mut rewrite);
        return put(outcome, body, headers);
    }
    let Some(data) = body.data.as_ref().filter(|data| !data.is_empty()) else { return true };
    let kind = header(headers, "content-type").to_ascii_lowercase();
    if kinds::is_opaque(&kind, data) {
        return true;
    }
    let coding = header(headers, "content-encoding");
    let outcome = match coding.as_str() {
        // some clients forget to say that they packed it
        "" | "identity" if data.starts_with(&GZIP) => match decode("gzip", data) {
            Some(plain) => change_packed("gzip", &plain, &kind, &mut rewrite),
            // torn or large: others can unpack what is there of it
            None => Outcome::Withheld,
        },
        "" | "identity" => change_plain(data, &kind, &mut rewrite),
        _ => match decode_all(&coding, data).filter(|_| body.is_whole()) {
            Some(plain) => change_packed(&coding, &plain, &kind, &mut rewrite),
            // nobody can say what is in it
            None => Outcome::Withheld,
        },
    };
    put(outcome, body, headers)
}

/// Puts what became of a body in its place; `false` when it was withheld.
fn put(outcome: Outcome, body: &mut Body, headers: &mut Headers) -> bool {
    match outcome {
        Outcome::Clean => {}
        Outcome::New(new) => replace(body, headers, new),
        Outcome::Withheld => body.data = None,
    }
    body.data.is_some()
}

/// What becomes of a body that was unpacked.
fn change_packed(codings: &str, plain: &[u8], kind: &str, rewrite: grpc::Find<'_>) -> Outcome {
    match change_plain(plain, kind, rewrite) {
        Outcome::New(new) => Outcome::New(encode_all(codings, new)),
        other => other,
    }
}

/// What becomes of a body without its coding.
fn change_plain(plain: &[u8], kind: &str, rewrite: grpc::Find<'_>) -> Outcome {
    if kinds::is_protobuf(kind) {
        return grpc::message(plain, false, "", rewrite);
    }
    if kinds::is_web_text(kind) {
        return match kinds::unpacked(plain).map(|plain| grpc::body(&plain, "", rewrite)) {
            Some(Outcome::New(new)) => Outcome::New(kinds::packed(&new)),
            other => other.unwrap_or(Outcome::Withheld),
        };
    }
    match rewrite(plain) {
        None => Outcome::Clean,
        Some(new) if kinds::is_rewritable(plain, kind) => Outcome::New(new),
        // lengths that it knows would not fit any more
        Some(_) => Outcome::Withheld,
    }
}

/// Puts other bytes into a body; what was beyond those that are recorded stays so.
fn replace(body: &mut Body, headers: &mut Headers, new: Vec<u8>) {
    let before = body.len;
    let recorded = body.data.as_ref().map_or(0, bytes::Bytes::len);
    let beyond = body.len.saturating_sub(recorded as u64);
    *body = match body.is_whole() {
        true => Body::whole(new),
        false => Body { len: new.len() as u64 + beyond, hash: None, data: Some(new.into()) },
    };
    let len = body.len;
    headers.rewrite(|name, value| {
        let stale = name.eq_ignore_ascii_case("content-length") && value == before.to_string().as_bytes();
        (stale && len != before).then(|| len.to_string().into_bytes())
    });
}

pub(super) fn rewrite_plain(plain: &[u8], content_type: &str, secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let kind = content_type.to_ascii_lowercase();
    if let Some(boundary) = multipart::boundary(content_type) {
        return forms::rewrite_multipart(plain, boundary, secrets);
    }
    if kind.contains("json") {
        let new = json::rewrite(plain, secrets);
        // what only says that it is may be a form, a page, or an object as scripts write it
        if new.is_some() || json::begins_strictly(plain) {
            return new;
        }
    }
    if kind.starts_with("application/x-www-form-urlencoded")
        || kind.is_empty() && is_form(plain) && !json::looks_like_json(plain)
    {
        return forms::rewrite(plain, secrets);
    }
    if kind.starts_with("text/event-stream") {
        return rewrite_events(plain, secrets);
    }
    // what only begins as JSON does may be any text
    let json = json::rewrite_embedded(plain, secrets);
    let urls = urls::rewrite_bytes(json.as_deref().unwrap_or(plain), secrets).or(json);
    let fields = html::rewrite(urls.as_deref().unwrap_or(plain), secrets).or(urls);
    let named = text::rewrite(fields.as_deref().unwrap_or(plain), secrets).or(fields);
    if kinds::is_binary(plain, &kind) {
        let has_names = kinds::is_packed(&kind) && text::names_secret(plain, secrets);
        return named.or_else(|| shapes::tokens(plain, secrets)).or_else(|| has_names.then(Vec::new));
    }
    shapes::rewrite(named.as_deref().unwrap_or(plain), secrets).or(named)
}

/// Line by line: what is said to be data is read as a document of its own.
fn rewrite_events(plain: &[u8], secrets: &mut Secrets<'_>) -> Option<Vec<u8>> {
    let mut changed = false;
    let mut line = |line: &[u8]| {
        let data = line.strip_prefix(b"data:").unwrap_or(line);
        let (field, data) = line.split_at(line.len() - data.len());
        let new = rewrite_plain(data, "text/plain", secrets);
        changed |= new.is_some();
        [field, new.as_deref().unwrap_or(data)].concat()
    };
    let lines: Vec<Vec<u8>> = plain.split(|byte| *byte == b'\n').map(&mut line).collect();
    changed.then(|| lines.join(&b'\n'))
}

fn is_form(plain: &[u8]) -> bool {
    plain.contains(&b'=') && !plain.iter().any(u8::is_ascii_whitespace)
}

pub(super) fn header(headers: &Headers, name: &str) -> String {
    let value =
        headers.get(name).map(|value| String::from_utf8_lossy(value).trim().to_owned()).unwrap_or_default();
    if name.ends_with("-encoding") { value.to_ascii_lowercase() } else { value }
}

/// Undoes content codings, which stand in the order in which they were applied; `None` as [`decode`].
pub(crate) fn decode_all(codings: &str, data: &[u8]) -> Option<Vec<u8>> {
    decode_to(codings, data, MAX_DECODED)
}

/// The same, of at most `max` bytes.
pub(crate) fn decode_to(codings: &str, data: &[u8], max: u64) -> Option<Vec<u8>> {
    codings.rsplit(',').try_fold(data.to_vec(), |data, coding| match coding.trim() {
        "identity" | "" => Some(data),
        coding => decode_one(coding, &data, max),
    })
}

fn encode_all(codings: &str, plain: Vec<u8>) -> Vec<u8> {
    codings.split(',').fold(plain, |data, coding| match coding.trim() {
        "identity" | "" => data,
        coding => encode(coding, &data),
    })
}

/// Undoes a content coding; `None` when it is unknown, broken, or unfolds beyond the limit.
pub(super) fn decode(coding: &str, data: &[u8]) -> Option<Vec<u8>> {
    decode_one(coding, data, MAX_DECODED)
}

fn decode_one(coding: &str, data: &[u8], max: u64) -> Option<Vec<u8>> {
    let is_zlib = matches!(data, [a, b, ..] if a & 0x0f == 8 && u16::from_be_bytes([*a, *b]) % 31 == 0);
    let reader: Box<dyn Read + '_> = match coding {
        "gzip" | "x-gzip" => Box::new(flate2::read::MultiGzDecoder::new(data)),
        "deflate" if is_zlib => Box::new(flate2::read::ZlibDecoder::new(data)),
        // some servers leave the wrapping out, and all clients take it
        "deflate" => Box::new(flate2::read::DeflateDecoder::new(data)),
        "br" => Box::new(brotli::Decompressor::new(data, BUFFER)),
        "zstd" => Box::new(zstd::stream::read::Decoder::new(data).ok()?),
        _ => return None,
    };
    let mut plain = Vec::new();
    reader.take(max + 1).read_to_end(&mut plain).ok()?;
    (plain.len() as u64 <= max).then_some(plain)
}

/// Packs by a content coding that [`decode`] knows.
pub(super) fn encode(coding: &str, plain: &[u8]) -> Vec<u8> {
    const IN_MEMORY: &str = "writing to memory does not fail";
    match coding {
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(plain).expect(IN_MEMORY);
            encoder.finish().expect(IN_MEMORY)
        }
        "zstd" => zstd::stream::encode_all(plain, 3).expect(IN_MEMORY),
        "br" => {
            let mut packed = Vec::new();
            let mut encoder =
                brotli::CompressorWriter::new(&mut packed, BUFFER, BROTLI_QUALITY, BROTLI_WINDOW);
            encoder.write_all(plain).expect(IN_MEMORY);
            drop(encoder);
            packed
        }
        _ => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(plain).expect(IN_MEMORY);
            encoder.finish().expect(IN_MEMORY)
        }
    }
}

const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];
const BUFFER: usize = 4096;
/// Fast, and with a window that every decoder takes.
const BROTLI_QUALITY: u32 = 3;
const BROTLI_WINDOW: u32 = 22;
/// Larger bodies are withheld when they are compressed.
const MAX_DECODED: u64 = 32 << 20;
