//! The engine at work against real sockets: what origins are met with, and what the books say of it.
//!
//! Origins count, note the order and hold answers back until a gate opens; nothing passes by timing alone.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod census;
mod chaos;
mod connections;
mod hostile;
mod http2;
mod http2_users;
mod late;
mod misbehave;
mod pausing;
mod rehearsal;
mod retries;
mod shapes;
mod stopping;
#[path = "../support/mod.rs"]
mod support;
mod two;
mod uniqueness;
mod users;
