//! What a session is: the capture file, its reader and writer, imports, exports and redaction.
//!
//! A leaf crate: no sockets, no async, no clock and no hidden randomness. Wherever time matters it is
//! an argument (`now_us`, microseconds since 1970-01-01 UTC), and the redaction key is given by the caller.
//! The file itself is described in `captures/FORMAT.md`, well enough to write a reader in another language.

mod block;
pub mod body;
pub mod canary;
pub mod compact;
mod compress;
pub mod damage;
pub mod error;
pub mod exchange;
pub mod export;
mod frame;
pub mod header;
pub mod headers;
pub mod import;
pub mod inspect;
pub mod latency;
mod layout;
pub mod limits;
pub mod links;
pub mod messages;
pub mod multipart;
pub mod notes;
pub mod opset;
pub mod reader;
pub mod redact;
pub mod repair;
pub mod reshape;
pub mod route;
mod scan;
pub mod seek;
pub mod session_key;
pub mod shape;
pub mod splitmix;
pub mod synthesize;
pub mod verify;
mod wire;
pub mod writer;

pub use body::Body;
pub use exchange::{Exchange, Session, SessionId};
pub use headers::Headers;
pub use reader::Reader;
pub use redact::Redactor;
pub use writer::Writer;
