//! Plans, sends, measures and judges a replay.
//!
//! ```text
//! Options --prepare--> Plan --engine--> Tally --join with the proxy's books--> Report
//! ```
//!
//! The plan is pure; the engine knows nothing of captures, proxies or reports; the report is judged from counts
//! alone. [`replay`] is the whole of it for other programs; [`cli`] is the command line.

mod admin;
mod books;
pub mod cli;
mod cookies;
mod engine;
mod error;
mod http;
mod identity;
mod join;
mod limits;
pub mod options;
mod pacing;
mod plan;
mod prepare;
pub mod report;
mod run;
mod safety;
mod slab;
mod stop;
mod sys;
mod tally;
#[cfg(test)]
mod testing;
mod threshold;
mod tls;
pub mod units;
mod verdict;

pub use error::Error;
pub use options::Options;
pub use plan::Summary;
pub use report::Report;
pub use run::{Outline, Progress, preview, replay};
pub use stop::Stop;
pub use threshold::Threshold;
