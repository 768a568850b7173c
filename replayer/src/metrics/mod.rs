//! Metrics of a run while it goes on (`--metrics ADDR`), in Prometheus' format. They are added up from what the threads
//! tell once a second anyway: a scrape never meets a thread that sends.

mod figures;
mod serve;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::tally::Interval;
use figures::Figures;
use serve::Server;

/// The figures of a run, and the listener that tells them until this is dropped.
#[derive(Debug)]
pub(crate) struct Metrics {
    figures: Arc<Mutex<Figures>>,
    server: Server,
}

impl Metrics {
    /// Listens; nothing has happened yet. `planned`: requests of the whole plan, 0 where that is not known.
    pub(crate) fn serve(addr: SocketAddr, planned: u64) -> Result<Metrics, Error> {
        let figures = Arc::new(Mutex::new(Figures::new(planned)));
        let told = Arc::clone(&figures);
        let server = Server::start(addr, move || lock(&told).text().map_err(|err| err.to_string()));
        let server = server.map_err(|err| Error::Usage(format!("--metrics {addr}: cannot listen: {err}")))?;
        Ok(Metrics { figures, server })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// One more second.
    pub(crate) fn push(&self, interval: &Interval) {
        lock(&self.figures).push(interval);
    }
}

fn lock(figures: &Mutex<Figures>) -> MutexGuard<'_, Figures> {
    figures.lock().unwrap_or_else(PoisonError::into_inner)
}
