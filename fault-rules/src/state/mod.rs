//! State machines that come after selection: buckets, shares, caps. Each is told what time it is (`now`, counted from any
//! fixed point) and never looks by itself. None blocks, none grows without bound; a `now` that goes back counts as no
//! time passed. They are not shared: the caller puts a lock around one, or keeps one per thread.

mod active;
mod bucket;
mod burst;
pub mod guard;
mod heartbeat;
mod nth;
mod share;
mod storm;

pub use active::ActiveCap;
pub use bucket::{BucketSpec, BucketTable, Buckets, Take};
pub use burst::BurstState;
pub use guard::GuardState;
pub use heartbeat::Heartbeat;
pub use nth::{Counted, NthCounter};
pub use share::{Breach, ShareGuard};
pub use storm::StormCap;
