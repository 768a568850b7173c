//! The sample system under test: a small shop with accounts, sessions, carts, orders and an event stream.
//!
//! It exists to be replayed against, so two things matter more than what it sells. It is exact: every request whose
//! head was parsed is counted once, and `GET /_shop/count` (which is not counted) says how many there were. And it
//! is cheap: a million requests must not be what the measurement measures.
//!
//! What a user was given (account number, session id) lives in cookies only, so a clone that replays a sign-up and a
//! login is a customer of its own. Everything is held in memory, and every table has a bound (see `limits`).

mod answers;
mod catalogue;
mod counts;
mod defects;
mod error;
mod events;
mod handlers;
mod identity;
mod limits;
mod listener;
mod neighbours;
mod request;
mod routes;
mod shards;
mod side;
mod store;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

pub(crate) use counts::Counts;
pub(crate) use defects::Defect;
pub(crate) use error::Error;
pub(crate) use neighbours::{Addresses, parse as parse_address};
pub(crate) use side::Role;

use catalogue::Catalogue;
use counts::Tally;
use defects::Defects;
use neighbours::Neighbours;
use store::Store;
use worker::Worker;

/// How a shop is to be run.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Where to listen; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// Worker threads, each with a listener and a runtime of its own; 0 counts as 1, more than 64 as 64.
    pub(crate) threads: usize,
    /// Where account numbers and session ids are derived from; two shops with one seed hand out the same ones.
    pub(crate) seed: u64,
    /// What is wrong with it, on purpose.
    pub(crate) defects: Vec<Defect>,
    /// The shop, or a service behind one.
    pub(crate) role: Role,
    /// Services that the shop calls.
    pub(crate) neighbours: Addresses,
    /// How long each checkout (charge, search) is held back: slowness that is there to be found.
    pub(crate) delay: Duration,
}

impl Config {
    /// A shop that calls nobody and is as fast as it can be.
    pub(crate) fn new(listen: SocketAddr, threads: usize, seed: u64) -> Config {
        let (role, neighbours) = (Role::Shop, Addresses::default());
        Config { listen, threads, seed, defects: Vec::new(), role, neighbours, delay: Duration::ZERO }
    }
}

/// A shop that is open. Dropping it closes the doors without waiting; [`Running::stop`] waits.
pub(crate) struct Running {
    addr: SocketAddr,
    shop: Arc<Shop>,
    closing: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
}

impl Running {
    /// The address it listens on, with the port that was taken.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Takes no new connection, finishes the requests under way (for at most [`limits::GRACE`]) and returns the
    /// final counts. Blocks the calling thread.
    pub(crate) fn stop(mut self) -> Counts {
        self.closing.send_replace(true);
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                tracing::error!("a worker of the shop panicked");
            }
        }
        self.shop.counts()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.closing.send_replace(true);
    }
}

/// Opens the shop: once this returns, every worker accepts connections.
///
/// # Errors
/// When the address cannot be had, is served by somebody else already, or a thread cannot be started.
pub(crate) fn start(config: &Config) -> Result<Running, Error> {
    let threads = config.threads.clamp(1, limits::THREADS);
    let (addr, listeners) = listener::open(config.listen, threads)?;
    let shop = Arc::new(Shop::new(config, threads));
    let (closing, closed) = watch::channel(false);
    let (report, mut reports) = mpsc::channel(threads);

    let mut running =
        Running { addr, shop: Arc::clone(&shop), closing, workers: Vec::with_capacity(threads) };
    for (index, listener) in listeners.into_iter().enumerate() {
        let worker = Worker::new(index, Arc::clone(&shop), closed.clone());
        let report = report.clone();
        let thread = std::thread::Builder::new()
            .name(format!("shop-{index}"))
            .spawn(move || worker.run(listener, report))
            .map_err(Error::Thread)?;
        running.workers.push(thread);
    }
    drop(report);
    while let Some(ready) = reports.blocking_recv() {
        ready.map_err(Error::Thread)?;
    }
    Ok(running)
}

/// What all workers share.
struct Shop {
    catalogue: Catalogue,
    store: Store,
    tallies: Vec<Tally>,
    defects: Defects,
    /// The services behind the shop, as each worker knows them.
    neighbours: Vec<Neighbours>,
    role: Role,
    delay: Duration,
}

impl Shop {
    fn new(config: &Config, threads: usize) -> Shop {
        Shop {
            catalogue: match config.defects.contains(&Defect::LostPrice) {
                true => Catalogue::without_prices(),
                false => Catalogue::new(),
            },
            store: Store::new(config.seed),
            tallies: (0..threads).map(|_| Tally::default()).collect(),
            defects: Defects::new(config.defects.clone(), config.seed),
            neighbours: (0..threads).map(|_| Neighbours::new(&config.neighbours)).collect(),
            role: config.role,
            delay: config.delay,
        }
    }

    fn counts(&self) -> Counts {
        Counts::sum(&self.tallies, self.store.totals())
    }
}
