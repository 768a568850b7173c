//! Other people's clients and servers, through the real proxy: curl, h2load, gRPC, WebSocket, event streams, Redis, Toxiproxy's
//! client libraries. And a reader of captures in another language.
//!
//! A client that is not installed is skipped aloud; with `SQUALL_REQUIRE_CLIENTS=1`, as in CI, its absence fails.
//! `.ci/install` installs them all.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod capture_reader;
mod curl;
mod dashboard;
mod events;
mod grpc;
mod h2load;
#[allow(dead_code, reason = "made for journeys, which need more of it")]
#[path = "../journeys/kit/captures.rs"]
mod handmade;
mod inline;
mod metrics;
mod otlp;
mod redis;
#[path = "../support/mod.rs"]
mod support;
mod tools;
mod toxiproxy;
mod websocket;
