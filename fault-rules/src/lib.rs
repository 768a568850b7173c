//! The rule file, and the pure decision which fault, if any, an exchange gets.
//!
//! [`parse`] turns a rule file into a [`RuleSet`], or into a [`Report`] that names every mistake at once.
//! [`RuleSet::decide`] answers for one exchange: which rules match, which of those select it, and what they ask for.
//!
//! What never happens here: no sockets, no clock, no random generator, no state that outlives a call except the
//! state machines of [`state`], which are given `now`. The seed is an argument, so that equal input gives equal victims.

pub mod action;
mod codes;
pub mod decide;
pub mod delay;
mod explain;
pub mod group;
pub mod guard;
pub mod hook;
mod limits;
pub mod matcher;
mod normal;
mod parse;
pub mod report;
pub mod rule;
pub mod safety;
pub mod select;
pub mod shape;
mod shard;
pub mod state;
pub mod stats;
mod tcp;
mod window;

pub use action::Action;
pub use decide::{Decision, Facts};
pub use parse::{Loader, MOST_BODY_BYTES, MOST_FILE_BYTES, decode, nearest, parse, parse_inline};
pub use report::Report;
pub use rule::{Rule, RuleSet};
