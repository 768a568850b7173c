//! Metrics of a run while it goes on, for who scrapes them (`--metrics ADDR`) and for a collector (`--otlp URL`). They are added up from what the threads
//! tell once a second anyway: a scrape never meets a thread that sends.

mod figures;
mod serve;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use telemetry::otlp::{Collector, Exporter};

use crate::error::Error;
use crate::options::Options;
use crate::report::Spans;
use crate::tally::Interval;
use crate::traces::Traces;
use figures::Figures;
use serve::Server;

/// The figures of a run, and who is told them until this is dropped.
#[derive(Debug)]
pub(crate) struct Metrics {
    figures: Arc<Mutex<Figures>>,
    server: Option<Server>,
    exporter: Option<Arc<Exporter>>,
}

impl Metrics {
    /// Nothing has happened yet. `planned`: requests of the whole plan, 0 where that is not known.
    pub(crate) fn start(options: &Options, planned: u64) -> Result<Metrics, Error> {
        let figures = Arc::new(Mutex::new(Figures::new(planned)));
        let serve = |addr: SocketAddr| {
            let told = Arc::clone(&figures);
            let text = move || {
                let families = lock(&told).families().map_err(|err| err.to_string())?;
                telemetry::text(&families).map_err(|err| err.to_string())
            };
            let wrong = |err| Error::Usage(format!("--metrics {addr}: cannot listen: {err}"));
            Server::start(addr, text).map_err(wrong)
        };
        let server = options.metrics.map(serve).transpose()?;
        let export = |collector: Collector| {
            let told = Arc::clone(&figures);
            Exporter::start(collector, "squall-replay", 0.0, move || {
                lock(&told).families().unwrap_or_default()
            })
        };
        let exporter = options.otlp.clone().map(export).transpose()?.map(Arc::new);
        if let Some(exporter) = &exporter {
            lock(&figures).count_spans(Arc::downgrade(exporter));
        }
        Ok(Metrics { figures, server, exporter })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(Server::addr)
    }

    /// Where the spans of a run go; `None`: nowhere.
    pub(crate) fn traces(&self, run: &str, seed: u64, share: f64) -> Option<Traces> {
        let exporter = self.exporter.as_ref().filter(|_| 0.0 < share)?;
        Some(Traces::new(Arc::clone(exporter), run, seed, share))
    }

    /// Ends it, once the last figures and spans have gone out: what became of the spans.
    pub(crate) fn end(self) -> Option<Spans> {
        let exporter = self.exporter.clone()?;
        drop(self);
        Some(Spans::of(&exporter))
    }

    /// One more second.
    pub(crate) fn push(&self, interval: &Interval) {
        lock(&self.figures).push(interval);
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        if let Some(exporter) = &self.exporter {
            exporter.close(); // the last figures go out
        }
    }
}

fn lock(figures: &Mutex<Figures>) -> MutexGuard<'_, Figures> {
    figures.lock().unwrap_or_else(PoisonError::into_inner)
}
