//! What a file is, by its first bytes.

use std::io::{self, BufRead, Read};
use std::path::Path;

use serde_json::Value;

use super::Format;
use crate::error::Error;

/// An input whose first bytes were looked at; they are still to be read.
pub(super) struct Peeked<R> {
    head: Vec<u8>,
    given: usize,
    /// What stopped the look, to be said in its place.
    failed: Option<io::Error>,
    rest: R,
}

impl<R: BufRead> Peeked<R> {
    /// Looks at the first [`HEAD`] bytes, or at all there are.
    pub(super) fn new(mut rest: R) -> Peeked<R> {
        let mut head = Vec::new();
        let failed = rest.by_ref().take(HEAD).read_to_end(&mut head).err();
        Peeked { head, given: 0, failed, rest }
    }

    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }
}

impl<R: BufRead> BufRead for Peeked<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.given < self.head.len() {
            return Ok(&self.head[self.given..]);
        }
        match self.failed.take() {
            Some(err) => Err(err),
            None => self.rest.fill_buf(),
        }
    }

    fn consume(&mut self, n: usize) {
        let of_head = n.min(self.head.len() - self.given);
        self.given += of_head;
        self.rest.consume(n - of_head);
    }
}

impl<R: BufRead> Read for Peeked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let n = available.read(out)?;
        self.consume(n);
        Ok(n)
    }
}

/// The format that a file begins like.
///
/// # Errors
/// In words for people, when it is nothing that can be imported.
pub(super) fn detect(path: &Path, head: &[u8]) -> Result<Format, Error> {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    // a log that was copied away and emptied while its server wrote on begins with a hole
    let text = text[text.iter().take_while(|byte| **byte == 0).count()..].trim_ascii_start();
    let why = match text {
        _ if super::pcap::is_pcap(head) => return Ok(Format::Pcap),
        [] => "it is empty",
        // a time in brackets begins the lines of some
        [b'[', rest @ ..] if !matches!(rest.trim_ascii_start(), [] | [b'{' | b'[' | b']' | b'"', ..]) => {
            return Ok(Format::AccessLog);
        }
        [b'{' | b'[', ..] => return Ok(json(text)),
        [0x57, 0x2a, 0x4d, 0x18, ..] => "it is a capture already",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "it is UTF-16; convert it first: iconv -f utf-16 -t utf-8",
        [b'B', b'Z', b'h', ..] => "it is compressed by bzip2; unpack it first: bunzip2 -k",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "it is compressed by xz; unpack it first: unxz -k",
        [b'P', b'K', 3, 4, ..] => "it is a zip archive; unpack it first: unzip",
        _ if super::mitmproxy::is_flow(head) => return Ok(Format::Mitmproxy),
        _ if super::gor::is_gor(head) => return Ok(Format::Gor),
        _ if is_binary(text) => "it is neither a log nor an archive, but binary",
        _ => return Ok(Format::AccessLog),
    };
    Err(Error::Invalid(format!(
        "{} cannot be imported: {why}; give one of {}, or say --format",
        path.display(),
        Format::list()
    )))
}

/// NDJSON of ours, a log in JSON lines, or an archive. The first line decides if it is whole, else what is in sight.
fn json(text: &[u8]) -> Format {
    let end = text.iter().position(|byte| *byte == b'\n');
    let line = text[..end.unwrap_or(text.len())].trim_ascii();
    let contains =
        |needle: &[u8]| text[..text.len().min(4096)].windows(needle.len()).any(|part| part == needle);
    match serde_json::from_slice::<Value>(line) {
        Ok(Value::Object(first)) if first.get("log").is_some_and(Value::is_object) => Format::Har,
        Ok(Value::Object(first)) if first.contains_key("start_us") && first.contains_key("session") => {
            Format::Ndjson
        }
        Ok(Value::Object(first)) if !first.is_empty() && !first.contains_key("entries") => Format::AccessLog,
        Ok(_) => Format::Har,
        Err(_) if contains(b"\"start_us\"") && contains(b"\"session\"") && !contains(b"\"log\"") => {
            Format::Ndjson
        }
        // an archive over several lines begins its first with no more than a brace, or has only one
        Err(_) if is_line(line) && end.is_some_and(|end| text[end + 1..].starts_with(b"{")) => {
            Format::AccessLog
        }
        Err(_) => Format::Har,
    }
}

/// Zeros stand within a log where a machine went down, one behind the other; elsewhere few bytes are zero.
fn is_binary(text: &[u8]) -> bool {
    let whole = text.split(|byte| *byte == 0).next().unwrap_or_default();
    text.contains(&0) && !(whole.contains(&b'\n') && std::str::from_utf8(whole).is_ok())
}

/// Whether it begins and ends as an object in a line of its own does.
fn is_line(line: &[u8]) -> bool {
    line.starts_with(b"{") && line.ends_with(b"}")
}

/// Enough for the first record of nearly every file.
const HEAD: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_by_content() {
        let check = |head: &[u8], expect: Result<Format, &str>| match (detect(Path::new("x"), head), expect) {
            (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{}", String::from_utf8_lossy(head)),
            (Err(err), Err(words)) => assert!(err.to_string().contains(words), "{err}"),
            (found, _) => panic!("{found:?} for {}", String::from_utf8_lossy(head)),
        };
        check(b"1.2.3.4 - - [x] \"GET / HTTP/1.1\" 200 1\n", Ok(Format::AccessLog));
        check(b"2001:470:abc::1 - - [x] \"GET / HTTP/1.1\" 200 1\n", Ok(Format::AccessLog));
        check(b"{\"time\":\"x\",\"status\":200}\n{", Ok(Format::AccessLog));
        check(b"{\"time\":\"x\",\"uri\":\"\\x22\"}\n{", Ok(Format::AccessLog));
        check(b"{\"log\":{\"entries\":[\x01]}}\n", Ok(Format::Har));
        check(&[&[0; 9][..], b"1.2.3.4 - - [x] \"GET / HTTP/1.1\" 200 1\n"].concat(), Ok(Format::AccessLog));
        check(b"1.2.3.4 - - [x] \"GET / HTTP/1.1\" 200 1\n\0\0\0\n", Ok(Format::AccessLog));
        check(b"[2016-04-15T20:17:00.310Z] \"GET / HTTP/2\" 200 - 1\n", Ok(Format::AccessLog));
        check(b"#Version: 1.0\n#Fields: date time\n", Ok(Format::AccessLog));
        check(b"[\n {\"log\"", Ok(Format::Har));
        check(b"{\"request\":{\"uri\":\"/log\"},\"ts\":1}\n", Ok(Format::AccessLog));
        check(b"\xef\xbb\xbf\n{\n  \"log\": {", Ok(Format::Har));
        check(b"{\"log\":{\"entries\":[]}}", Ok(Format::Har));
        check(b"{\"log\":{\"entries\":[{\"star", Ok(Format::Har));
        check(b"{\"session\":\"1\",\"start_us\":5}\n", Ok(Format::Ndjson));
        check(b"{\"session\":\"1\",\"start_us\":5, cut", Ok(Format::Ndjson));
        check(b"1 a1b2c3d4e5f60718293a4b5c 1500000000000000000 0\nGET / HTTP/1.1\r\n", Ok(Format::Gor));
        check(b"8:7:version;}", Ok(Format::Mitmproxy));
        check(b"\xd4\xc3\xb2\xa1\x02\0\x04\0", Ok(Format::Pcap));
        check(b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a", Ok(Format::Pcap));
        check(b" \n", Err("empty"));
        check(b"\x57\x2a\x4d\x18\0", Err("a capture already"));
        check(b"\xff\xfe{\0", Err("iconv"));
        check(b"BZh91AY", Err("bunzip2"));
        check(b"\x7fELF\0\0", Err("binary"));
    }

    #[test]
    fn what_was_looked_at_is_read_and_an_error_comes_in_its_place() {
        struct Fails;
        impl Read for Fails {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("torn"))
            }
        }
        let input = io::BufReader::new(io::Cursor::new(b"hello".to_vec()).chain(Fails));
        let mut peeked = Peeked::new(input);
        assert_eq!(peeked.head(), b"hello");
        let mut read = Vec::new();
        assert_eq!(peeked.read_to_end(&mut read).unwrap_err().to_string(), "torn");
        assert_eq!(read, b"hello");
    }
}
