//! What a user does with Squall, from end to end, through the real binaries: record, replay, inject, judge.
//!
//! Each journey has its own ports, folder and processes. Deadlines are there so that a hang has an end; only lower bounds
//! of time are asserted.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::print_stderr, reason = "what was skipped is said")]

mod auditing;
mod bad_inputs;
mod calling_off;
mod canary;
mod chain;
#[path = "../browser/chromium.rs"]
mod chromium;
mod company;
mod course;
mod demo;
mod drifting;
mod edges;
mod faults;
mod findings;
mod formats;
mod guarding;
mod holding;
mod hooks;
mod hundredfold;
mod killing;
mod kit;
mod knobs;
mod ledger;
mod links;
mod merge;
mod misbehaviour;
mod operating;
mod patience;
mod pipelines;
mod reload;
mod repeating;
mod reporting;
mod retrying;
mod safety;
mod secrets;
mod shapes;
mod sharding;
mod shortage;
mod slips;
mod stopping;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod tcp;
mod telling;
mod terminal;
mod timing;
#[allow(dead_code, reason = "shared with tests/clients")]
#[path = "../clients/tools.rs"]
mod tools;
mod usage;
mod variety;
