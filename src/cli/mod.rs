//! The commands, one module each.

pub(crate) mod admin;
pub(crate) mod captures;
pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod merge;
pub(crate) mod report;
pub(crate) mod rules;
pub(crate) mod shop;
pub(crate) mod stop;

/// Exit code of what the user ended.
pub(crate) const INTERRUPTED: i32 = 105;
