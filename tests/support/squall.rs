//! `squall proxy` and `squall shop` on ports of their own.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Books, DEADLINE, Process, http};

/// `squall ARGS`, not yet started.
pub(crate) fn squall<S: AsRef<OsStr>>(args: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command.args(args);
    command
}

/// `replay ARGS`, not yet started.
pub(crate) fn replay<S: AsRef<OsStr>>(args: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_replay"));
    command.args(args);
    command
}

/// A proxy that is ready.
pub(crate) struct Proxy {
    process: Process,
    edges: BTreeMap<String, SocketAddr>,
    admin: SocketAddr,
}

impl Proxy {
    /// A proxy with one edge before `upstream`.
    pub(crate) fn before<S: AsRef<OsStr>>(upstream: &str, more: &[S]) -> Proxy {
        let edge = ["--listen", "127.0.0.1:0", "--upstream", upstream].map(OsStr::new);
        Proxy::start(&edge.into_iter().chain(more.iter().map(AsRef::as_ref)).collect::<Vec<_>>())
    }

    /// `squall proxy ARGS`, once it says that it listens everywhere.
    pub(crate) fn start<S: AsRef<OsStr>>(args: &[S]) -> Proxy {
        let mut command = squall(&["proxy"]);
        command.args(args);
        Proxy::run(command)
    }

    /// The same by a command that was put together elsewhere.
    pub(crate) fn run(command: Command) -> Proxy {
        let process = Process::start("squall proxy", command);
        let admin =
            process.wait_for("its admin address", |line| address(line.strip_prefix("admin listening on ")?));
        let said = process.log();
        let edge = |line: &str| {
            let (name, url) = line.strip_prefix("edge ")?.split_once(" listening on ")?;
            Some((name.to_owned(), address(url)?))
        };
        let edges: BTreeMap<_, _> = said.lines().filter_map(edge).collect();
        assert!(edges.values().all(|addr| addr.port() != 0), "it says the port that it took: {edges:?}");
        Proxy { process, edges, admin }
    }

    /// Where its only edge listens, or the one named `default`.
    pub(crate) fn addr(&self) -> SocketAddr {
        let only = self.edges.values().next().filter(|_| self.edges.len() == 1);
        *only.unwrap_or_else(|| &self.edges["default"])
    }

    /// Where an edge listens.
    pub(crate) fn edge(&self, name: &str) -> SocketAddr {
        self.edges[name]
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// What the admin API answers to GET, as JSON.
    pub(crate) fn ask(&self, path: &str) -> Value {
        http::get(self.admin, path).json()
    }

    /// The books as they stand, with exchanges in flight.
    pub(crate) fn books(&self) -> Books {
        Books::new(self.ask("/books"))
    }

    /// The books once `seen` exchanges have been seen in all and none is in flight.
    ///
    /// A client has its answer a moment before the proxy has written that down; there is no event to wait for.
    pub(crate) fn settled(&self, seen: u64) -> Books {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let books = self.books();
            if books.in_flight() == 0 && seen <= books.total("seen") {
                return books;
            }
            assert!(Instant::now() < deadline, "the books never came to rest at {seen} seen: {books}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asserts that exactly `n` exchanges passed, every one whole, and that all rows hold.
    pub(crate) fn expect_delivered(&self, n: u64) -> Books {
        let books = self.settled(n);
        books.expect_balanced();
        for (row, expected) in [("seen", n), ("forwarded", n), ("delivered", n), ("upstream_attempts", n)] {
            assert_eq!(books.total(row), expected, "{row} in {books}");
        }
        books
    }

    /// Asks it to stop, and waits for its end.
    pub(crate) fn stop(mut self) -> (ExitStatus, String) {
        self.process.signal("TERM");
        let status = self.process.wait();
        (status, self.process.log())
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// A sample shop that is open.
pub(crate) struct Shop {
    process: Process,
    addr: SocketAddr,
}

impl Shop {
    pub(crate) fn open(args: &[&str]) -> Shop {
        Shop::with(&[&["--listen", "127.0.0.1:0"], args].concat())
    }

    /// A shop that listens where its arguments say.
    pub(crate) fn with(args: &[&str]) -> Shop {
        let mut command = squall(&["shop"]);
        command.args(args);
        let process = Process::start("squall shop", command);
        let addr = process.wait_for("its address", |line| address(line.strip_prefix("shop listening on ")?));
        assert_ne!(addr.port(), 0);
        Shop { process, addr }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Requests that it has been sent.
    pub(crate) fn requests(&self) -> u64 {
        self.count()["requests"].as_u64().expect("the shop counts its requests")
    }

    /// All that it counts.
    pub(crate) fn count(&self) -> Value {
        http::get(self.addr, "/_shop/count").json()
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// The address in `http://127.0.0.1:1234`.
fn address(url: &str) -> Option<SocketAddr> {
    url.split_once("://")?.1.trim_end_matches('/').parse().ok()
}
