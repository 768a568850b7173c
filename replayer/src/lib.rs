//! Plans, sends, measures and judges a replay.
//!
//! ```text
//! Options --prepare--> Plan --engine--> Tally --join with the proxy's books--> Report
//! ```
//!
//! The plan is pure; the engine knows nothing of captures, proxies or reports; the report is judged from counts
//! alone. [`replay`] is the whole of it for other programs; [`cli`] is the command line.

mod admin;
pub mod backoff;
mod books;
pub mod cli;
mod cookies;
mod engine;
mod error;
mod guard;
mod http;
mod identity;
mod join;
mod limits;
pub mod merge;
pub mod options;
mod pacing;
mod plan;
mod prepare;
pub mod report;
pub mod retry;
mod run;
mod safety;
mod slab;
mod stop;
mod sys;
mod tally;
mod threshold;
mod tls;
pub mod units;
mod verdict;
mod wheel;

pub use error::Error;
pub use guard::AbortOn;
pub use options::Options;
pub use plan::Summary;
pub use report::Report;
pub use run::{Outline, Progress, preview, replay};
pub use stop::Stop;
pub use threshold::Threshold;
