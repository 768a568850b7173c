//! What kind of thing a body is, as far as that decides whether it can be looked into and rewritten.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::messages::is_grpc;

/// Pictures, sound, archives: not texts, and too large to search. What only says that it is, and is a text, is looked into.
pub(super) fn is_opaque(content_type: &str, data: &[u8]) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let says = ["image/", "video/", "audio/", "font/"].iter().any(|prefix| kind.starts_with(prefix))
        && !kind.contains("xml")
        || ["application/zip", "application/pdf", "application/gzip", "application/wasm"]
            .contains(&kind.as_str());
    says && !is_utf8(data)
}

/// One message of Protocol Buffers, as gRPC has several.
pub(super) fn is_protobuf(kind: &str) -> bool {
    [
        "application/x-protobuf",
        "application/protobuf",
        "application/vnd.google.protobuf",
        "application/x-google-protobuf",
    ]
    .iter()
    .any(|known| kind.starts_with(known))
}

/// Messages of gRPC in base64, for browsers.
pub(super) fn is_web_text(kind: &str) -> bool {
    kind.starts_with("application/grpc-web-text")
}

/// Documents whose names can be read and whose lengths would not fit any more: `MessagePack`, CBOR, BSON and the like.
pub(super) fn is_packed(kind: &str) -> bool {
    ["msgpack", "messagepack", "cbor", "bson", "smile", "ubjson"].iter().any(|name| kind.contains(name))
}

/// In bytes that are no text, what looks like an address is one by chance; those of gRPC are texts between a few others.
pub(super) fn is_binary(plain: &[u8], kind: &str) -> bool {
    !is_text(kind) && !is_grpc(kind) && !is_protobuf(kind) && !is_utf8(plain)
}

/// What other bytes can be put into without making it unreadable. Texts need not be UTF-8.
pub(super) fn is_rewritable(plain: &[u8], kind: &str) -> bool {
    let may_be_other = ["json", "xml", "form", "javascript", "yaml"].iter().any(|part| kind.contains(part));
    !is_packed(kind) && (is_text(kind) || may_be_other || kind.starts_with("multipart/") || is_utf8(plain))
}

fn is_text(kind: &str) -> bool {
    kind.starts_with("text/")
}

/// Also where it was cut within a character.
fn is_utf8(data: &[u8]) -> bool {
    std::str::from_utf8(data).err().is_none_or(|err| err.error_len().is_none())
}

/// Base64 in pieces, each with its own padding; `None` where it is none.
pub(super) fn unpacked(text: &[u8]) -> Option<Vec<u8>> {
    let decoded = text.chunks(4).map(|four| STANDARD.decode(four).ok());
    decoded.collect::<Option<Vec<_>>>().map(|parts| parts.concat())
}

/// Base64 in one piece.
pub(super) fn packed(plain: &[u8]) -> Vec<u8> {
    STANDARD.encode(plain).into_bytes()
}
