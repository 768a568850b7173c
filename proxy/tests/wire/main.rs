//! The proxy on the wire: what clients and origins see, what the books say of it.
//!
//! One binary, since each links all of pingora. No test passes by timing: waits end when something becomes true,
//! and times are only ever compared as "never earlier".

#[path = "../harness/mod.rs"]
mod harness;

mod absent;
mod below;
mod bodies;
mod books;
mod calls;
mod chaos;
mod copies;
mod counted;
mod drain;
mod early;
mod ends;
mod faults;
mod held;
mod leaves;
mod leaving;
mod limits;
mod lost;
mod members;
mod outage;
mod overrun;
mod pass;
mod patience;
mod pipelining;
mod places;
mod protocols;
mod quotas;
mod recording;
mod reload;
mod resets;
mod robust;
mod rotation;
mod safety;
mod shapes;
mod stale;
mod statuses;
mod stream_faults;
mod streams;
mod tcp;
mod tcp_chaos;
mod tcp_faults;
mod tcp_leaving;
mod tcp_rules;
mod timing;
mod toxics;
mod toxiproxy;
mod victims;
mod websockets;
