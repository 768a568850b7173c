//! Response drift: answers whose length or JSON is unlike that of the recorded one, beyond what clones of one and the same
//! recorded step differ among themselves.
//!
//! ```text
//! a recorded answer --recorded--> length, shape --choose--> exchanges to compare
//! answers of their clones --watch--> lengths, shapes --noise--> what the recording is held against --chance--> drifts
//! ```
//!
//! What clones of one step are given differs by times, ids, lists that grow: that is the noise (the idea of Twitter's
//! Diffy), and data that is amplified with the load is part of it. A recorded answer is odd if it lies outside of that
//! spread. Paths and types are kept, never a value.

mod chance;
mod changes;
mod choose;
mod noise;
mod numbers;
mod recorded;
mod shape;
mod watch;

pub(crate) use changes::Change;
pub(crate) use choose::{Chosen, Place};
pub(crate) use noise::{Compared, Found, Length, What, judge};
pub(crate) use numbers::Shapes;
pub(crate) use recorded::{Recorded, Recorder};
pub(crate) use watch::{Answer, Answers, Bodies, NO_LENGTH};
