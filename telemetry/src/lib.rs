//! What both programs tell other people's tools: metrics in Prometheus' format, and the same and spans by OTLP.
//!
//! [`Families`] are filled anew at every scrape from what is counted anyway, so that nobody who does not ask pays. [`Names`]
//! bounds what a label may hold, [`Buckets`] is a histogram that is filled in bulk. Nothing here knows traffic or rules.

mod buckets;
mod families;
pub mod otlp;

pub use buckets::Buckets;
pub use families::{Families, Names, as_i64, text};
