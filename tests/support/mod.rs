//! What tests through the real binaries share: processes that are ready when a test gets them, end with it, and
//! whose log is shown when it fails; and a look into the proxy's books.
//!
//! ```ignore
//! mod support;
//! let shop = support::Shop::open(&[]);
//! let proxy = support::Proxy::before(&shop.url(), &["--fault", "GET /api/** delay 20ms"]);
//! let answer = support::http::get(proxy.addr(), "/api/products");
//! proxy.expect_delivered(1);
//! ```
#![allow(dead_code, reason = "every test binary uses its own part of it")]
#![allow(unused_imports, reason = "every test binary uses its own part of it")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::print_stderr, reason = "the log of a failed test")]

mod books;
pub(crate) mod collector;
pub(crate) mod http;
mod origin;
mod process;
pub(crate) mod prometheus;
mod squall;

use std::time::Duration;

pub(crate) use books::Books;
pub(crate) use origin::Origin;
pub(crate) use process::Process;
pub(crate) use squall::{Proxy, Shop, replay, squall};

/// Nothing that a test waits for takes this long, even on a busy machine; it is there so that a hang has an end.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
