//! Metrics and spans to a collector, by OTLP over HTTP as JSON.
//!
//! ```text
//! who has a span --try_send--> queue (4,096) --thread--> POST URL/v1/traces, at most 512 a time
//!                    full: shed                POST URL/v1/metrics, every 5 s      collector away: lost
//! ```
//!
//! Nobody waits for the collector: what does not fit is shed, what it does not take is lost, both are counted, and nothing is
//! sent twice.

mod client;
mod json;
mod trace;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use prometheus::proto::MetricFamily;

pub use client::{Collector, share};
pub use trace::{Parent, Span, Value, is_sampled, now_ns};

use trace::Ids;

/// Where spans go in.
#[derive(Debug)]
pub struct Exporter {
    queue: SyncSender<Span>,
    over: Arc<AtomicBool>,
    counts: Arc<Counts>,
    ids: Ids,
    /// The share of uneventful spans that is sent, 0 to 1.
    sample: f64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Spans by what became of them.
#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    shed: AtomicU64,
    lost: AtomicU64,
}

impl Exporter {
    /// Starts the thread that sends. `metrics` is asked every five seconds.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        collector: Collector,
        service: &'static str,
        sample: f64,
        metrics: impl Fn() -> Vec<MetricFamily> + Send + 'static,
    ) -> std::io::Result<Exporter> {
        let (queue, spans) = mpsc::sync_channel(QUEUE);
        let counts = Arc::<Counts>::default();
        let over = Arc::<AtomicBool>::default();
        let sender = Sender {
            collector,
            service,
            over: Arc::clone(&over),
            counts: Arc::clone(&counts),
            started_ns: trace::now_ns(),
        };
        let thread = std::thread::Builder::new().name("squall-otlp".to_owned());
        let thread = thread.spawn(move || sender.run(&spans, &metrics))?;
        Ok(Exporter { queue, over, counts, ids: Ids::new(), sample, thread: Mutex::new(Some(thread)) })
    }

    /// A new span under `parent`, or of a trace of its own; whether it is sent though nothing happened to it.
    #[must_use]
    pub fn begin(&self, parent: Option<Parent>) -> (Span, bool) {
        let span = self.ids.span(parent);
        let is_sampled = is_sampled(span.trace, self.sample);
        (span, is_sampled)
    }

    /// Sends a span; never waits.
    pub fn send(&self, span: Span) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.queue.try_send(span) {
            self.counts.shed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends it: what is queued and the last figures are sent, up to the first that the collector does not take. Blocks
    /// as long as the collector has patience for; later spans are shed.
    pub fn close(&self) {
        self.over.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // What the thread could not do is counted as lost.
            let _ = thread.join();
        }
    }

    /// Spans that a collector took, that found no room, and that no collector took.
    #[must_use]
    pub fn counts(&self) -> [(&'static str, u64); 3] {
        let Counts { sent, shed, lost } = &*self.counts;
        [("sent", sent), ("shed", shed), ("lost", lost)]
            .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }
}

/// The thread's side.
struct Sender {
    collector: Collector,
    service: &'static str,
    over: Arc<AtomicBool>,
    counts: Arc<Counts>,
    started_ns: u128,
}

impl Sender {
    fn run(&self, spans: &Receiver<Span>, metrics: &dyn Fn() -> Vec<MetricFamily>) {
        let mut next_metrics = Instant::now() + METRICS_EVERY;
        loop {
            let is_over = self.over.load(Ordering::Acquire);
            let batch = batch(spans, if is_over { Duration::ZERO } else { LINGER });
            let is_taken = self.traces(&batch);
            let is_last = is_over && (batch.is_empty() || !is_taken);
            if is_last || next_metrics <= Instant::now() {
                let body = json::metrics(self.service, self.started_ns, &metrics());
                // The next five seconds hold these figures too.
                let _ = self.collector.post("/v1/metrics", &body);
                next_metrics = Instant::now() + METRICS_EVERY;
            }
            if is_last {
                self.counts.lost.fetch_add(spans.try_iter().count() as u64, Ordering::Relaxed);
                return;
            }
        }
    }

    fn traces(&self, batch: &[Span]) -> bool {
        if batch.is_empty() {
            return true;
        }
        let taken = self.collector.post("/v1/traces", &json::traces(self.service, batch)).is_ok();
        let count = if taken { &self.counts.sent } else { &self.counts.lost };
        count.fetch_add(batch.len() as u64, Ordering::Relaxed);
        taken
    }
}

/// What is there after at most this wait, as far as it goes into one message.
fn batch(spans: &Receiver<Span>, wait: Duration) -> Vec<Span> {
    let first = spans.recv_timeout(wait).ok();
    let mut batch: Vec<_> = first.into_iter().collect();
    if !batch.is_empty() {
        batch.extend(spans.try_iter().take(BATCH - 1));
    }
    batch
}

/// Spans that may wait: about 4 MB.
const QUEUE: usize = 4096;
const BATCH: usize = 512;
/// How soon the wish to end is seen.
const LINGER: Duration = Duration::from_millis(100);
const METRICS_EVERY: Duration = Duration::from_secs(5);
