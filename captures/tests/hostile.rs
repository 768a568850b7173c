//! Inputs made to exhaust memory or patience: lengths that lie, records without end, bombs. One process for all of them,
//! whose peak of memory is looked at.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests")]

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use captures::error::Error;
use captures::import::{self, Format, ImportOptions, Numbering, Tally};

/// Peak of this process's memory so far in bytes; `None` where the system does not say.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib << 10)
}

fn check_peak(bound: u64) {
    match peak() {
        Some(peak) => assert!(peak < bound, "the peak was {} MiB", peak >> 20),
        None => eprintln!("skipped: the system does not say how much memory a process had"),
    }
}

fn import(format: Format, input: impl Read) -> Result<Tally, Error> {
    let (input, options) =
        (BufReader::new(input), ImportOptions { response_bodies: true, ..ImportOptions::default() });
    let (mut numbering, sink) = (Numbering::default(), &mut |_| Ok(()));
    match format {
        Format::AccessLog => import::access_log::read(input, &options, &mut numbering, sink),
        Format::Har => import::har::read(input, &options, &mut numbering, sink),
        Format::Ndjson => import::ndjson::read(input, &options, &mut numbering, sink),
        Format::Mitmproxy => import::mitmproxy::read(input, &options, &mut numbering, sink),
        Format::Gor => import::gor::read(input, &options, &mut numbering, sink),
        Format::Pcap => import::pcap::read(input, &options, &mut numbering, sink),
    }
}

/// So many bytes of a pattern, behind a beginning.
fn endless(beginning: &str, pattern: &[u8], bytes: u64) -> impl Read + use<> {
    struct Repeat(Vec<u8>, usize);
    impl Read for Repeat {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            for byte in out.iter_mut() {
                *byte = self.0[self.1];
                self.1 = (self.1 + 1) % self.0.len();
            }
            Ok(out.len())
        }
    }
    std::io::Cursor::new(beginning.as_bytes().to_vec()).chain(Repeat(pattern.to_vec(), 0).take(bytes))
}

/// What each input would take if it were held.
const LARGE: u64 = 200 << 20;
/// What an import may take, which holds one record at a time.
const BOUND: u64 = 180 << 20;

fn packets(payload: &[u8], count: u32, gap: u32) -> Vec<u8> {
    let mut out = [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 262_144, 101].map(u32::to_le_bytes).concat();
    for n in 0..count {
        let mut packet = Vec::new();
        let seq = 100 + n * (payload.len() as u32 + gap);
        let builder = etherparse::PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(4000, 80, seq, 1);
        builder.write(&mut packet, payload).unwrap();
        let len = packet.len() as u32;
        out.extend([1_700_000_000 + n, 0, len, len].map(u32::to_le_bytes).concat());
        out.extend(packet);
    }
    out
}

#[test]
fn nothing_takes_memory_without_end() {
    let damaged = |format: Format, input: &mut dyn Read| match import(format, input) {
        Ok(tally) => assert!(tally.imported == 0 && tally.damaged != 0, "{format:?}: {tally:?}"),
        Err(err) => assert!(!err.to_string().is_empty()),
    };
    // lines and records that never end
    damaged(Format::AccessLog, &mut endless("", b"x", LARGE));
    damaged(Format::Ndjson, &mut endless("", b"x", LARGE));
    damaged(Format::Gor, &mut endless("1 a 1700000000000000000 0\nGET / HTTP/1.1\r\n", b"A: b\n", LARGE));
    // lengths that lie, and values in values
    damaged(Format::Mitmproxy, &mut endless("134217000:", b"1:x,", 1 << 20));
    damaged(Format::Mitmproxy, &mut endless("999999999999:", b"0:~", LARGE / 8));
    damaged(Format::Mitmproxy, &mut endless("120000000:", b"0:~", 120_000_000));
    // an entry without end: of text, and of very many values
    damaged(Format::Har, &mut endless("{\"log\":{\"entries\":[{\"comment\":\"", b"x", LARGE));
    damaged(Format::Har, &mut endless("{\"log\":{\"entries\":[[", b"0,", LARGE));
    damaged(Format::Har, &mut endless("{\"log\":{\"entries\":[[", b"[],", LARGE));
    check_peak(BOUND);
    // packets: a request without end, and one of which every second packet is missing
    let head = "GET / HTTP/1.1\r\nHost: a\r\n";
    let mut stream = packets(head.as_bytes(), 1, 0);
    stream.extend_from_slice(&packets(&[b'x'; 60_000], 1_000, 0)[24..]);
    let _ = import(Format::Pcap, &stream[..]);
    let _ = import(Format::Pcap, &packets(&[b'G'; 60_000], 1_000, 60_000)[..]);
    let upload = "POST / HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n";
    let mut stream = packets(upload.as_bytes(), 1, 0);
    stream.extend_from_slice(&packets(&[b'x'; 60_000], 1_000, 0)[24..]);
    let _ = import(Format::Pcap, &stream[..]);
    // the packets themselves lie in memory, while they are made twice
    check_peak(BOUND + 3 * stream.len() as u64);
    bombs_are_refused();
}

/// A kilobyte for each megabyte: what gzip can do with zeros.
fn bombs_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let zeros = vec![0; 1 << 20];
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    (0..1200).for_each(|_| packed.write_all(&zeros).unwrap());
    let bomb = packed.finish().unwrap();
    assert!(bomb.len() < 2 << 20);
    for (format, beginning) in
        [(Format::Gor, "1 a 1700000000000000000 0\nGET / HTTP/1.1\r\n\r\n"), (Format::AccessLog, "x")]
    {
        let path = dir.path().join("bomb.gz");
        let mut out = BufWriter::new(File::create(&path).unwrap());
        let mut first = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        first.write_all(beginning.as_bytes()).unwrap();
        out.write_all(&first.finish().unwrap()).unwrap();
        out.write_all(&bomb).unwrap();
        out.into_inner().unwrap();
        let said = said_of(&path, format);
        assert!(said.contains("decompression bomb"), "{format:?}: {said}");
    }
}

/// All that an import says about a file.
fn said_of(path: &Path, format: Format) -> String {
    let mut numbering = Numbering::default();
    match import::file(path, Some(format), &ImportOptions::default(), &mut numbering, &mut |_| Ok(())) {
        Ok((_, tally)) => {
            tally.named.iter().map(|damaged| format!("{}: {}\n", damaged.place, damaged.why)).collect()
        }
        Err(err) => err.to_string(),
    }
}
