//! Plans, sends, measures and judges a replay.
//!
//! ```text
//! captures, Options --prepare--> Plan --engine--> Tally --join with the proxy's books--> Report
//!                                                                       Report, Report --merge--> Report
//! ```
//!
//! The plan is pure: programs (the recorded sessions, shared by all clones) and a population (who starts when). The
//! engine, a thread per core, knows nothing of captures, proxies or reports; a session that thinks is a record in a
//! timer wheel. The report is judged from counts alone, and those of several shards merge into one.
//!
//! [`preview`] plans without a packet, [`replay`] is the whole of it for other programs, [`merge`] joins reports;
//! [`cli`] is the command line. `GUIDE.md` beside this crate is the reference of what can be asked for.

mod admin;
pub mod analysis;
pub mod backoff;
mod bind;
mod books;
pub mod cli;
mod cookies;
mod drift;
mod engine;
mod error;
mod evidence;
mod faults;
mod figures;
#[cfg(test)]
mod fuzz;
mod guard;
mod h2;
pub mod history;
mod http;
mod identity;
mod join;
mod junit;
pub mod late;
mod limits;
pub mod links;
pub mod merge;
mod metrics;
pub mod misbehave;
pub mod options;
mod origin_counter;
mod origin_metrics;
mod pacing;
mod plan;
pub mod population;
mod preflight;
mod prepare;
mod progress;
pub mod reconnect;
mod rehearsal;
mod rehearse;
mod repeat;
pub mod report;
pub mod retry;
mod run;
mod safety;
mod slab;
mod stop;
mod stream;
mod sys;
mod tally;
#[cfg(test)]
mod testing;
mod threshold;
mod tls;
mod traces;
pub mod units;
mod users;
mod verdict;
mod wheel;
mod why;

pub use error::Error;
pub use guard::AbortOn;
pub use junit::junit;
pub use options::Options;
pub use plan::Summary;
pub use progress::{Kinds, Outline, Progress};
pub use repeat::{Repeated, repeat};
pub use report::Report;
pub use run::{preview, replay};
pub use stop::Stop;
pub use threshold::Threshold;
