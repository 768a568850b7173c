//! Clones carry what the server gave to them: three services with state of their own are used by recorded users, the
//! links are mined from that, and a hundred clones of each get along as well as the recorded users did; without links
//! they do not.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../support/mod.rs"]
mod support;

mod bank;
mod kit;
mod rules;
mod store;
mod streams;
mod tasks;
