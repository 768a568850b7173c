//! Start lines and header fields.

use crate::Headers;
use crate::exchange::Protocol;
use crate::wire::Malformed;

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::import) struct RequestHead {
    pub(in crate::import) method: String,
    /// As sent.
    pub(in crate::import) target: Vec<u8>,
    pub(in crate::import) protocol: Protocol,
    pub(in crate::import) headers: Headers,
}

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::import) struct ResponseHead {
    pub(in crate::import) status: u16,
    pub(in crate::import) protocol: Protocol,
    pub(in crate::import) headers: Headers,
}

/// Where the head that begins here ends: behind its blank line.
pub(in crate::import) fn end(bytes: &[u8]) -> Option<usize> {
    end_from(bytes, blank_lines(bytes))
}

/// The same where nothing before `from` is the end of a line that may be its last.
pub(in crate::import) fn end_from(bytes: &[u8], from: usize) -> Option<usize> {
    let mut line = from;
    loop {
        line += bytes.get(line..)?.iter().position(|byte| *byte == b'\n')? + 1;
        match &bytes[line..] {
            [b'\n', ..] => return Some(line + 1),
            [b'\r', b'\n', ..] => return Some(line + 2),
            _ => {}
        }
    }
}

/// A head that is cut, without its last line if that is: what stands there may be half of a name or of a value.
pub(in crate::import) fn whole_lines(head: &[u8]) -> &[u8] {
    let end = head.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    &head[..end]
}

/// Empty lines before a start line: some clients send them behind a body.
pub(in crate::import) fn blank_lines(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
}

/// Whether the bytes begin like a request; `None` when more of them are needed to say.
pub(in crate::import) fn begins_request(bytes: &[u8]) -> Option<bool> {
    let line_end = bytes.iter().take(MAX_START_LINE).position(|byte| *byte == b'\n');
    let line = &bytes[..line_end.unwrap_or(bytes.len().min(MAX_START_LINE))];
    let method = line.iter().take_while(|byte| is_token(**byte)).count();
    match line.get(method) {
        None if line_end.is_none() && method == line.len() && method <= MAX_METHOD => None,
        Some(b' ') if (1..=MAX_METHOD).contains(&method) => match line_end {
            Some(_) => Some(request_line(line).is_ok()),
            None if bytes.len() < MAX_START_LINE => None,
            None => Some(false),
        },
        _ => Some(false),
    }
}

/// The same of an answer.
pub(in crate::import) fn begins_response(bytes: &[u8]) -> Option<bool> {
    let known = bytes.len().min(RESPONSE.len());
    match bytes[..known] == RESPONSE[..known] {
        true if known == RESPONSE.len() => Some(true),
        true => None,
        false => Some(false),
    }
}

/// Reads the head of a request, blank line and all, or as much of it as there is.
pub(in crate::import) fn request(head: &[u8]) -> Result<RequestHead, Malformed> {
    let (line, fields) = split(head);
    let (method, target, protocol) = request_line(line)?;
    Ok(RequestHead { method, target, protocol, headers: headers(fields) })
}

/// Reads the head of an answer, blank line and all, or as much of it as there is.
pub(in crate::import) fn response(head: &[u8]) -> Result<ResponseHead, Malformed> {
    let (line, fields) = split(head);
    let text = String::from_utf8_lossy(line);
    let mut words = text.split_ascii_whitespace();
    let protocol = words.next().and_then(version).ok_or(Malformed("an answer has no version of HTTP"))?;
    let status =
        words.next().and_then(|status| status.parse().ok()).filter(|status| (100..1000).contains(status));
    let status = status.ok_or(Malformed("an answer has no status"))?;
    Ok(ResponseHead { status, protocol, headers: headers(fields) })
}

/// The start line without its end, and what follows.
fn split(head: &[u8]) -> (&[u8], &[u8]) {
    let head = &head[blank_lines(head)..];
    let end = head.iter().position(|byte| *byte == b'\n').unwrap_or(head.len());
    (head[..end].trim_ascii_end(), head.get(end + 1..).unwrap_or_default())
}

fn request_line(line: &[u8]) -> Result<(String, Vec<u8>, Protocol), Malformed> {
    const WRONG: Malformed = Malformed("it is no request line of HTTP");
    let line = line.trim_ascii_end();
    let method_len = line.iter().take_while(|byte| is_token(**byte)).count();
    let rest = line[method_len..].strip_prefix(b" ").ok_or(WRONG)?;
    let at = rest.iter().rposition(|byte| *byte == b' ').ok_or(WRONG)?;
    let protocol = std::str::from_utf8(&rest[at + 1..]).ok().and_then(version).ok_or(WRONG)?;
    let target = rest[..at].trim_ascii();
    match (method_len, target) {
        (0, _) | (_, []) => Err(WRONG),
        // the opening words of HTTP/2
        (3, b"*") if line.starts_with(b"PRI ") => Err(WRONG),
        _ => Ok((String::from_utf8_lossy(&line[..method_len]).into_owned(), target.to_vec(), protocol)),
    }
}

/// A version of HTTP/1, or of what GoReplay and others write for later ones.
fn version(text: &str) -> Option<Protocol> {
    let numbers = text.strip_prefix("HTTP/")?;
    let is_version = numbers.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && !numbers.is_empty();
    is_version.then(|| text.parse().unwrap_or(Protocol::Http11))
}

/// Header fields up to a blank line. Folded ones are joined by a space; a line without a colon is passed over.
fn headers(mut bytes: &[u8]) -> Headers {
    let mut fields: Vec<(&[u8], Vec<u8>)> = Vec::new();
    while !bytes.is_empty() && fields.len() < MAX_FIELDS {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        bytes = rest.get(1..).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line {
            [] => break,
            [b' ' | b'\t', ..] => {
                if let Some((_, value)) = fields.last_mut() {
                    value.push(b' ');
                    value.extend_from_slice(line.trim_ascii());
                }
            }
            _ => {
                let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
                let name = line[..colon].trim_ascii();
                if !name.is_empty() {
                    fields.push((name, line[colon + 1..].trim_ascii().to_vec()));
                }
            }
        }
    }
    let mut headers = Headers::with_capacity(fields.len());
    for (name, value) in &fields {
        headers.push(&String::from_utf8_lossy(name), value);
    }
    headers
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Larger heads are refused by every server.
pub(in crate::import) const MAX_HEAD: usize = 512 << 10;
const RESPONSE: &[u8] = b"HTTP/1.";
const MAX_START_LINE: usize = 64 << 10;
/// `BASELINE-CONTROL` has 16.
const MAX_METHOD: usize = 32;
const MAX_FIELDS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_end_with_a_blank_line() {
        for (bytes, expect) in [
            ("GET / HTTP/1.1\r\n\r\nbody", Some(18)),
            ("GET / HTTP/1.1\n\nbody", Some(16)),
            ("\r\n\r\nGET / HTTP/1.1\r\nA: b\r\n\r\n", Some(28)),
            ("GET / HTTP/1.1\r\nA: b\r\n", None),
            ("GET / HTTP/1.1\r\n\r", None),
            ("\r\n\r\n", None),
            ("", None),
        ] {
            assert_eq!(end(bytes.as_bytes()), expect, "{bytes:?}");
        }
    }

    #[test]
    fn requests() {
        let check = |text: &str, expect: Result<(&str, &str, Protocol, usize), ()>| {
            let found = request(text.as_bytes());
            let found = found.as_ref().map(|head| {
                let target = std::str::from_utf8(&head.target).unwrap();
                (head.method.as_str(), target, head.protocol, head.headers.len())
            });
            assert_eq!(found.map_err(|_| ()), expect, "{text:?}");
        };
        check("GET /a?b HTTP/1.1\r\nHost: x\r\nA:b\r\n\r\n", Ok(("GET", "/a?b", Protocol::Http11, 2)));
        check("M-SEARCH * HTTP/1.0\nA : b\n\n", Ok(("M-SEARCH", "*", Protocol::Http10, 1)));
        check("GET /with space HTTP/1.1\r\n\r\n", Ok(("GET", "/with space", Protocol::Http11, 0)));
        check("GET / HTTP/2.0\r\nno colon\r\n: no name\r\n\r\n", Ok(("GET", "/", Protocol::Http2, 0)));
        check("GET / HTTP/1.1\r\nA: cut o", Ok(("GET", "/", Protocol::Http11, 1)));
        check("GET /\r\n\r\n", Err(()));
        check("GET  HTTP/1.1\r\n\r\n", Err(()));
        check(" / HTTP/1.1\r\n\r\n", Err(()));
        check("HTTP/1.1 200 OK\r\n\r\n", Err(()));
        check("GET / HTTP/x\r\n\r\n", Err(()));
        let folded = request(b"GET / HTTP/1.1\r\nA: b\r\n\t c\r\nB: \xff\r\n\r\n").unwrap();
        assert_eq!(folded.headers.get("a"), Some(&b"b c"[..]));
        assert_eq!(folded.headers.get("b"), Some(&b"\xff"[..]));
    }

    #[test]
    fn answers() {
        let status = |text: &str| response(text.as_bytes()).map(|head| head.status).ok();
        assert_eq!(status("HTTP/1.1 200 OK\r\n\r\n"), Some(200));
        assert_eq!(status("HTTP/1.0 404\r\n\r\n"), Some(404));
        assert_eq!(status("HTTP/1.1 999 \r\n"), Some(999));
        for wrong in ["HTTP/1.1\r\n", "HTTP/1.1 20 x\r\n", "ICY 200 OK\r\n", "", "GET / HTTP/1.1\r\n"] {
            assert_eq!(status(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_begins_like_a_message() {
        for (bytes, expect) in [
            ("GET / HTTP/1.1\r\n", Some(true)),
            ("GET / HT", None),
            ("GE", None),
            ("G{T / HTTP/1.1\r\n", Some(false)),
            ("GET /\r\n", Some(false)),
            ("\x16\x03\x01", Some(false)),
            ("A-METHOD-LONGER-THAN-ANY-OF-THOSE-KNOWN", Some(false)),
        ] {
            assert_eq!(begins_request(bytes.as_bytes()), expect, "{bytes:?}");
        }
        assert_eq!(begins_response(b"HTTP/1.0 2"), Some(true));
        assert_eq!(begins_response(b"HTT"), None);
        assert_eq!(begins_response(b"HTTP/2"), Some(false));
    }
}
