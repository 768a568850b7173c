//! Trailers of an HTTP/2 answer on their way to an HTTP/1 client (RFC 9112 section 7.1.2).
//!
//! Pingora writes the end of a chunked body and knows no trailers there. So they are told to the stream, which writes
//! them behind the last chunk in its place.

use http::{HeaderMap, HeaderName, header};

/// The last chunk, as pingora writes it.
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The size line of a chunk that could look like the last one.
pub(super) const SIZE_OF_LAST_CHUNK: &[u8] = b"5\r\n";

/// What goes out instead of the last chunk.
pub(crate) fn last_chunk(trailers: &HeaderMap) -> Vec<u8> {
    let mut text = b"0\r\n".to_vec();
    for (name, value) in trailers.iter().filter(|(name, _)| may_trail(name)) {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text
}

/// Fields that frame or route a message have no place behind it (RFC 9110 section 6.5.1).
fn may_trail(name: &HeaderName) -> bool {
    let framing = [
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::HOST,
        header::TE,
        header::TRAILER,
        header::UPGRADE,
        header::SET_COOKIE,
    ];
    !framing.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_frame_a_message_stay_behind() {
        let fields =
            [("grpc-status", "0"), ("content-length", "5"), ("x-sum", "a b"), ("connection", "close")];
        let trailers: HeaderMap = fields
            .into_iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value")))
            .collect();
        let text = String::from_utf8(last_chunk(&trailers)).expect("text");
        assert!(text.starts_with("0\r\n") && text.ends_with("\r\n\r\n"), "{text}");
        assert!(text.contains("\r\ngrpc-status: 0\r\n") && text.contains("\r\nx-sum: a b\r\n"), "{text}");
        assert!(!text.contains("content-length") && !text.contains("connection"), "{text}");
    }
}
