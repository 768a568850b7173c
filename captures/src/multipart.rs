//! Multipart bodies (RFC 2046, RFC 7578): where their parts lie.

use std::ops::Range;

use crate::redact::find;

/// One part, as ranges of the body.
pub(crate) struct Part {
    /// Its fields, with the empty line behind them.
    pub(crate) head: Range<usize>,
    /// What it holds, without the line end before the next delimiter.
    pub(crate) content: Range<usize>,
}

/// Whether a body of that type is a form in parts.
pub fn is_form(content_type: &str) -> bool {
    content_type.to_ascii_lowercase().contains("multipart/form-data")
}

/// What separates the parts, of a `content-type` in the case in which it was sent; `None`: it is not multipart.
pub(crate) fn boundary(content_type: &str) -> Option<&[u8]> {
    let lower = content_type.trim_start().to_ascii_lowercase();
    if !lower.starts_with("multipart/") {
        return None;
    }
    let name = b"boundary=";
    let at = find(lower.as_bytes(), name)? + name.len();
    Some(value_at(content_type.trim_start().as_bytes(), at)).filter(|boundary| !boundary.is_empty())
}

/// The parts of a body that have a head, in order.
pub(crate) fn parts(body: &[u8], boundary: &[u8]) -> impl Iterator<Item = Part> {
    let delimiter = [b"--", boundary].concat();
    let mut at = find(body, &delimiter);
    let spans = std::iter::from_fn(move || {
        let start = at? + delimiter.len();
        at = find(&body[start..], &delimiter).map(|len| start + len);
        Some(start..at.unwrap_or(body.len()))
    });
    spans.filter_map(|span| {
        let part = &body[span.clone()];
        let head = match (find(part, b"\r\n\r\n"), find(part, b"\n\n")) {
            (Some(at), _) => at + 4,
            (None, at) => at? + 2,
        };
        let content = span.start + head..span.end - trailing_newline(&part[head..]);
        Some(Part { head: span.start..span.start + head, content })
    })
}

/// The fields of a form: names, and where their values lie, which stand as they are. Files are none.
pub fn fields(content_type: &str, body: &[u8]) -> Vec<(String, Range<usize>)> {
    let Some(boundary) = boundary(content_type) else { return Vec::new() };
    let field = |Part { head, content }: Part| {
        let head = &body[head];
        let lower = head.to_ascii_lowercase();
        let name = name(&lower, head).filter(|_| find(&lower, b"filename").is_none())?;
        Some((String::from_utf8_lossy(name).into_owned(), content))
    };
    parts(body, boundary).filter_map(field).collect()
}

/// The name of a part by its head, `lower` being the same in lower case; `filename=` is none.
pub(crate) fn name<'h>(lower: &[u8], head: &'h [u8]) -> Option<&'h [u8]> {
    let mut from = 0;
    while let Some(at) = find(&lower[from..], b"name=").map(|n| from + n) {
        if !at.checked_sub(1).is_some_and(|before| lower[before].is_ascii_alphanumeric()) {
            return Some(value_at(head, at + b"name=".len()));
        }
        from = at + 1;
    }
    None
}

/// The value of a parameter that begins there, without quotes.
fn value_at(head: &[u8], at: usize) -> &[u8] {
    let rest = head[at..].trim_ascii_start();
    let value = match rest.strip_prefix(b"\"") {
        Some(quoted) => quoted.split(|byte| *byte == b'"').next(),
        None => rest.split(|byte| matches!(byte, b';' | b'\r' | b'\n' | b' ')).next(),
    };
    value.unwrap_or_default()
}

fn trailing_newline(content: &[u8]) -> usize {
    match content {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KIND: &str = "Multipart/form-data; charset=utf-8; Boundary=\"Bo\"";

    #[test]
    fn fields_are_found_and_files_are_none() {
        let body = "preamble\r\n--Bo\r\nContent-Disposition: form-data; Name=\"userId\"\r\n\r\n77\r\n--Bo\r\n\
            content-disposition: form-data; name=\"f\"; filename=\"name=x\"\r\nContent-Type: text/plain\r\n\r\nsay\r\n--Bo\n\
            content-disposition: form-data; name=bare\n\na\r\nb\n--Bo\r\nno head\r\n--Bo--\r\n";
        let found = fields(KIND, body.as_bytes());
        let shown: Vec<_> = found.iter().map(|(name, range)| (name.as_str(), &body[range.clone()])).collect();
        assert_eq!(shown, [("userId", "77"), ("bare", "a\r\nb")]);
        assert!(fields("text/plain; boundary=Bo", body.as_bytes()).is_empty());
        assert!(fields("multipart/form-data; boundary=", body.as_bytes()).is_empty());
    }

    proptest! {
        #[test]
        fn any_body_is_looked_through(text: String) {
            let body = format!("--Bo{text}--Bo\r\nname={text}\r\n\r\n{text}--Bo");
            for (_, range) in fields(KIND, body.as_bytes()) {
                prop_assert!(range.end <= body.len());
            }
        }
    }
}
