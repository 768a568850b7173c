//! Plain-TCP edges: a database, a cache, anything that is not HTTP.
//!
//! ```text
//! edge (accept) -> connect (rules before the upstream) -> pump: flow up, flow down -> wire (FIN, RST)
//!                                                           |
//!                     read -> line (delays) -> shaper (pace, stalls, losses, ends) -> write
//! ```
//!
//! What is never known here: what the bytes mean. An exchange is a connection. Rules act on connections that are there
//! already: whatever changes them wakes every connection, which asks anew; no byte is lost by that, and none overtakes
//! another.

mod asked;
mod books;
mod config;
mod connect;
mod connection;
mod edge;
mod flow;
mod line;
mod parts;
mod pump;
mod shapes;
mod talk;
mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;

use crate::shared::Shared;
use crate::sync::lock;
use crate::{Error, listen};

pub(crate) use books::TcpBooks;
pub use books::{TcpBytes, TcpEdgeBooks};
pub use config::TcpEdgeConfig;
pub(crate) use config::{SCHEME, host_and_port};
pub(crate) use edge::TcpEdge;

/// The TCP edges of a proxy. They come and go while it runs.
#[derive(Debug, Default)]
pub(crate) struct TcpEdges {
    edges: Mutex<Vec<Arc<TcpEdge>>>,
    /// Of all edges there were.
    books: Mutex<Vec<Arc<TcpBooks>>>,
    workers: Mutex<Vec<Handle>>,
}

impl TcpEdges {
    /// A worker thread is there: its runtime takes connections.
    pub(crate) fn add_worker(&self, worker: Handle) {
        lock(&self.workers).push(worker);
    }

    fn workers(&self) -> Vec<Handle> {
        lock(&self.workers).clone()
    }

    /// The edges, in the order in which they came.
    pub(crate) fn all(&self) -> Vec<Arc<TcpEdge>> {
        lock(&self.edges).clone()
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<TcpEdge>> {
        lock(&self.edges).iter().find(|edge| &*edge.name == name).cloned()
    }

    /// The rows of all edges, those that are gone too.
    pub(crate) fn rows(&self) -> Vec<TcpEdgeBooks> {
        lock(&self.books).iter().map(|books| books.rows()).collect()
    }

    /// A new edge, closed.
    pub(crate) fn add(&self, config: &TcpEdgeConfig, is_fixed: bool) -> Arc<TcpEdge> {
        let books = self.books_of(&config.name);
        let edge = Arc::new(TcpEdge::new(books, config.listen, &config.upstream, is_fixed));
        lock(&self.edges).push(edge.clone());
        edge
    }

    fn books_of(&self, name: &str) -> Arc<TcpBooks> {
        let mut all = lock(&self.books);
        if let Some(known) = all.iter().find(|books| &*books.name == name) {
            return known.clone();
        }
        if KEPT_BOOKS <= all.len() {
            let edges = self.all();
            let is_gone = |books: &Arc<TcpBooks>| !edges.iter().any(|edge| edge.name == books.name);
            if let Some(oldest) = all.iter().position(is_gone) {
                all.remove(oldest);
            }
        }
        let new = TcpBooks::new(name);
        all.push(new.clone());
        new
    }

    /// Closes an edge for good.
    pub(crate) fn remove(&self, edge: &TcpEdge, shared: &Shared) {
        lock(&self.edges).retain(|known| known.name != edge.name);
        edge.close(shared);
    }
}

impl TcpEdge {
    /// Opens a closed edge at its place.
    ///
    /// # Errors
    /// The port is taken, or not ours to take; then it stays closed.
    pub(crate) fn enable(&self, shared: &Arc<Shared>) -> Result<(), Error> {
        if !self.is_open() {
            self.open(listen::sockets(self.listen(), shared.config.threads)?, shared);
        }
        Ok(())
    }

    /// Closes it: connections end, and new ones are refused.
    pub(crate) fn disable(&self, shared: &Shared) {
        self.close(shared);
    }

    /// Begins with sockets that are bound already.
    pub(crate) fn start(&self, sockets: Vec<std::net::TcpListener>, shared: &Arc<Shared>) {
        self.open(sockets, shared);
    }

    /// Closes it and gives it another place; it is to be opened again.
    pub(crate) fn relocate(&self, listen: SocketAddr, upstream: &str, shared: &Shared) {
        self.close(shared);
        self.place(listen, upstream);
    }
}

/// Books of edges that are gone are kept as long as there are no more than this.
const KEPT_BOOKS: usize = 1_000;
