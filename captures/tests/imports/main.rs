//! Every importer on real files of others, on samples, and on both of them damaged.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests")]

#[path = "../common/mod.rs"]
mod common;
mod gor;
mod kit;
mod logs;
mod mitmproxy;
mod pcap;
