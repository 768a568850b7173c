//! The inline proxy: records what passes, injects what the rules ask for, keeps the books.
//!
//! ```text
//! listen -> serve -> conn (our stream) -> pingora -> service (hooks) -> exchange -> faults
//!                                                        |                 |
//!                                              upstream (pingora's pool)   books, ledger, recorder
//! ```
//!
//! What this crate never knows: how a replay is planned or sent (it meets replays as headers and admin requests),
//! and what the bytes of a capture mean. Pingora's types stay in here, its error type in `service.rs`.
//!
//! Nothing on the data path waits for recording, ledger, books or a reload: those queues are bounded and count
//! what they shed.

mod admin;
mod audit;
mod books;
mod chain;
pub mod cli;

mod config;
mod conn;
mod downstream;
mod ending;
mod error;
mod exchange;
mod faults;
mod gate;
mod hooks;
mod ledger;
mod limits;
mod listen;
mod metrics;
mod recorder;
mod rules;
mod runs;
mod serve;
mod service;
mod shared;
mod signals;
mod start;
mod sync;
mod tcp;
mod time;
mod timer;
mod tls;
mod upstream;

pub use admin::{TOKEN_VARIABLE, Token};
pub use audit::DelayBooks;
pub use books::{Counts, EdgeBooks, EdgeSummary, RuleBooks};
#[doc(hidden)]
pub use config::Stumble;
pub use config::{Config, EdgeConfig, TlsFiles, Upstream};
pub use error::Error;
pub use hooks::HookBooks;
pub use limits::{HalfClose, Limits};
pub use recorder::{BodyPolicy, RecordBodies, Rotation};
pub use rules::{GuardBooks, latencies, read_at_most};
pub use start::{FinalBooks, Running, start};
pub use tcp::{TcpBytes, TcpEdgeBooks, TcpEdgeConfig};
