//! What all threads of a proxy share.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use telemetry::otlp::Exporter;
use tokio::sync::watch;

use crate::admin::Toxiproxy;
use crate::books::Scope;
use crate::chain::Chain;
use crate::exchange::{Recent, Sessions};
use crate::gate::{Gate, Place};
use crate::ledger::Ledger;
use crate::limits::Meets;
use crate::metrics::Timings;
use crate::recorder::Recorder;
use crate::rules::Rules;
use crate::runs::Runs;
use crate::tcp::TcpEdges;
use crate::upstream::Member;
use crate::{Config, EdgeConfig};

/// One proxy, as its threads see it.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) edges: Vec<Edge>,
    pub(crate) tcp: TcpEdges,
    pub(crate) toxiproxy: Toxiproxy,
    pub(crate) rules: Arc<Rules>,
    pub(crate) totals: Arc<Scope>,
    pub(crate) runs: Runs,
    pub(crate) ledger: Ledger,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) sessions: Sessions,
    pub(crate) recent: Recent,
    pub(crate) timings: Timings,
    /// Where spans go, if anywhere.
    pub(crate) traces: OnceLock<Exporter>,
    pub(crate) chain: Chain,
    pub(crate) started: Instant,
    pub(crate) started_wall_us: u64,
    pub(crate) live: Live,
    pub(crate) gate: Arc<Gate>,
    /// How often a bound was met, and what could not be carried.
    pub(crate) meets: Meets,
    /// Listeners that may still accept somebody.
    pub(crate) listening: Live,
    drain: watch::Sender<bool>,
    next_connection: AtomicU64,
}

/// An edge at work.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) name: Arc<str>,
    pub(crate) listen: std::net::SocketAddr,
    pub(crate) tls: bool,
    /// Where requests go; at least one.
    pub(crate) members: Vec<Member>,
    /// Whose turn it is where nothing else decides.
    pub(crate) turn: AtomicUsize,
    pub(crate) connections: AtomicUsize,
}

/// Counts what must end before the proxy may: connections and storm copies, or listeners.
#[derive(Debug, Default)]
pub(crate) struct Live(AtomicUsize);

/// Held by a task that must end before the proxy may; by a connection with its edge and its place.
pub(crate) struct Alive(Arc<Shared>, Option<(usize, Place)>);

/// Held by a listener.
pub(crate) struct Listening(Arc<Shared>);

/// What a proxy is made of, besides its configuration.
pub(crate) struct Parts {
    pub(crate) edges: Vec<Edge>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) ledger: Ledger,
    pub(crate) recorder: Option<Recorder>,
}

impl Shared {
    pub(crate) fn new(config: Config, parts: Parts) -> Self {
        let (started, first_connection) = (Instant::now(), connection_base());
        let names: Vec<String> = parts.edges.iter().map(|edge| edge.name.to_string()).collect();
        Shared {
            totals: Arc::new(Scope::new(None, &names, started)),
            timings: Timings::new(&names),
            traces: OnceLock::new(),
            chain: Chain::new(parts.edges.len()),
            gate: Gate::new(config.limits.max_connections.unwrap_or_else(places), config.limits.max_buffered),
            meets: Meets::default(),
            sessions: Sessions::new(config.session_keys.clone(), &config.redaction_key)
                .counting_from(first_connection),
            recent: Recent::default(),
            config,
            edges: parts.edges,
            tcp: TcpEdges::default(),
            toxiproxy: Toxiproxy::default(),
            rules: parts.rules,
            runs: Runs::default(),
            ledger: parts.ledger,
            recorder: parts.recorder,
            started,
            started_wall_us: crate::time::wall_us(),
            live: Live::default(),
            listening: Live::default(),
            drain: watch::channel(false).0,
            next_connection: AtomicU64::new(first_connection),
        }
    }

    pub(crate) fn edge_names(&self) -> Vec<String> {
        self.edges.iter().map(|edge| edge.name.to_string()).collect()
    }

    /// Numbers connections across restarts too, so that a continued capture never uses one twice.
    pub(crate) fn next_connection(&self) -> u64 {
        self.next_connection.fetch_add(1, Ordering::Relaxed)
    }

    /// Turns true when the proxy is to stop.
    pub(crate) fn draining(&self) -> watch::Receiver<bool> {
        self.drain.subscribe()
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.drain.borrow()
    }

    /// No new connections; those that are idle close, those at work finish.
    pub(crate) fn drain(&self) {
        self.drain.send_replace(true);
        self.rules.wake_sleepers();
    }

    pub(crate) fn alive(self: &Arc<Self>) -> Alive {
        self.live.0.fetch_add(1, Ordering::AcqRel);
        Alive(self.clone(), None)
    }

    pub(crate) fn listening(self: &Arc<Self>) -> Listening {
        self.listening.0.fetch_add(1, Ordering::AcqRel);
        Listening(self.clone())
    }

    /// The same for a connection, which its edge counts too.
    pub(crate) fn alive_on(self: &Arc<Self>, edge: usize, place: Place) -> Alive {
        self.edges[edge].connections.fetch_add(1, Ordering::AcqRel);
        self.live.0.fetch_add(1, Ordering::AcqRel);
        Alive(self.clone(), Some((edge, place)))
    }
}

impl Edge {
    /// An edge that listens at this address.
    pub(crate) fn new(edge: &EdgeConfig, config: &Config, listen: std::net::SocketAddr) -> Self {
        Edge {
            name: Arc::from(edge.name.as_str()),
            listen,
            tls: edge.tls,
            members: edge.upstreams().map(|upstream| Member::new(upstream, config)).collect(),
            turn: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        }
    }
}

impl Live {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.listening.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        if let Some((edge, _)) = &self.1 {
            self.0.edges[*edge].connections.fetch_sub(1, Ordering::AcqRel);
        }
        self.0.live.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// As many connections as there may be open files, less an eighth for upstreams and whatever else.
fn places() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let files = files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    (files - files / 8).max(1)
}

/// Connection numbers begin at the clock's milliseconds, shifted: a restarted proxy goes on above its old ones as
/// long as fewer than 1,000 connections a millisecond are opened.
fn connection_base() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or(Duration::ZERO).as_millis()).unwrap_or(0).saturating_mul(1_000)
}
