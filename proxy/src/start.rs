//! Putting a proxy together, and taking it apart again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use captures::Redactor;
use captures::header::{EdgeInfo, FileHeader};
use pingora_core::connectors::ConnectorOptions;
use pingora_core::connectors::http::Connector;
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::http_proxy;
use serde::Serialize;
use telemetry::otlp::Exporter;
use tokio_rustls::TlsAcceptor;

use crate::books::{Counts, EdgeSummary, RuleBooks, missed};
use crate::chain::Detail;
use crate::config::{Config, Stumble};
use crate::exchange::MOST_WAITS;
use crate::faults::copies::Copies;
use crate::hooks::{HookBooks, Hooks};
use crate::ledger::{self, Ledger};
use crate::recorder::{self, EdgeName, Kept, Recorder, Setup};
use crate::rules::{GuardBooks, Policy, RuleFile, Rules, Source, Watching, join};
use crate::serve::Server;
use crate::service::Service;
use crate::shared::{Edge, Parts, Shared};
use crate::tcp::TcpEdgeBooks;
use crate::{Error, admin, listen, metrics, timer, tls};

/// A proxy at work. Dropping it stops it at once; [`Running::stop`] lets it finish.
pub struct Running {
    shared: Arc<Shared>,
    edges: Vec<(String, SocketAddr)>,
    admin: SocketAddr,
    stop_workers: tokio::sync::watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
    watching: Option<Watching>,
    hooks: Option<Hooks>,
    writing: Vec<Closing>,
}

/// Threads that write files; they finish when dropped.
enum Closing {
    #[expect(dead_code, reason = "held for its drop")]
    Ledger(ledger::Writing),
    #[expect(dead_code, reason = "held for its drop")]
    Recorder(recorder::Writing),
}

/// The proxy's own books at its end: what `squall proxy --json` writes.
#[derive(Debug, Clone, Serialize)]
pub struct FinalBooks {
    /// Each edge, and what its exchanges took.
    pub edges: Vec<EdgeSummary>,
    /// Each plain-TCP edge.
    pub tcp_edges: Vec<TcpEdgeBooks>,
    /// Each rule that was ever eligible, or is in force.
    pub rules: Vec<RuleBooks>,
    /// Each guard: what it found, and whether it tripped.
    pub guards: Vec<GuardBooks>,
    /// Each hook that began.
    pub hooks: Vec<HookBooks>,
    /// Rules that did not do what they asked for, in words.
    pub missed: Vec<String>,
    /// Exchanges written to the capture, all edges.
    pub recorded: u64,
    /// Exchanges lost to the capture, by reason.
    pub shed: Counts,
    /// Ledger lines that were lost.
    pub ledger_lost: u64,
    /// Connections and exchanges that had not finished when the grace time was over.
    pub unfinished: usize,
    /// Why the rules were lifted, if they were.
    pub lifted: Option<String>,
    /// A safety cap lifted them.
    pub breach: bool,
    /// The rules were armed at some time.
    pub was_armed: bool,
}

/// Starts a proxy. When this returns it accepts connections.
///
/// # Errors
/// The configuration is wrong, a file cannot be opened, a port is taken, the rules have mistakes.
pub fn start(config: Config) -> Result<Running, Error> {
    config.check()?;
    let acceptor = config.tls.as_ref().map(tls::acceptor).transpose()?;
    let conf = Arc::new(server_conf(&config)?);
    let file = config.rules.clone().map(RuleFile::new);
    let rules = Arc::new(rules_of(&config, file.as_ref())?);
    let mut listeners = Vec::new();
    let mut edges = Vec::new();
    for edge in &config.edges {
        let sockets = listen::sockets(edge.listen, config.threads)?;
        edges.push(Edge::new(edge, &config, local_addr(&sockets, edge.listen)?));
        listeners.push(sockets);
    }
    let mut tcp_sockets = Vec::new();
    for edge in &config.tcp_edges {
        tcp_sockets.push(listen::sockets(edge.listen, config.threads)?);
    }
    let first_edge = edges.first().map(|edge| edge.listen).or_else(|| first_addr(&tcp_sockets));
    let admin_socket = admin_listener(config.admin, first_edge.map(|listen| listen.port()))
        .map_err(|source| Error::Listen { addr: config.admin, source })?;
    let admin_addr =
        admin_socket.local_addr().map_err(|source| Error::Listen { addr: config.admin, source })?;

    let mut writing = Vec::new();
    let (ledger, lines) = Ledger::start(config.ledger.as_deref())?;
    let hooks = config.allow_hooks.then(|| Hooks::start(rules.clone(), ledger.clone())).transpose()?;
    writing.push(Closing::Ledger(lines));
    let recorder = match capture_setup(&config, &edges, admin_addr) {
        Some(setup) => {
            let (recorder, blocks) = Recorder::start(setup)?;
            writing.push(Closing::Recorder(blocks));
            Some(recorder)
        }
        None => None,
    };
    let named = edges.iter().map(|edge| (edge.name.to_string(), edge.listen)).collect();
    let shared = Arc::new(Shared::new(config, Parts { edges, rules: rules.clone(), ledger, recorder }));
    if let Some((collector, sample)) = shared.config.otlp.clone() {
        let told = Arc::downgrade(&shared);
        let metrics = move || {
            let families = told.upgrade().and_then(|shared| metrics::gather(&shared).ok());
            families.map_or_else(Vec::new, |families| families.gather())
        };
        let exporter = Exporter::start(collector, "squall-proxy", sample, metrics).map_err(Error::Thread)?;
        // nobody has set it before: the proxy begins here
        let _ = shared.traces.set(exporter);
    }
    let (stop_workers, stopped) = tokio::sync::watch::channel(false);
    let mut workers = Vec::new();
    for thread in 0..shared.config.threads {
        let mine = listeners.iter_mut().filter_map(Vec::pop).collect();
        let worker = Worker {
            shared: shared.clone(),
            conf: conf.clone(),
            acceptor: acceptor.clone(),
            stopped: stopped.clone(),
        };
        workers.push(worker.start(thread, mine)?);
    }
    for (edge, sockets) in shared.config.tcp_edges.iter().zip(tcp_sockets) {
        shared.tcp.add(edge, true).start(sockets, &shared);
    }
    workers.push(admin::start(admin_socket, shared.clone(), stopped)?);
    let watching = file.map(|file| file.watch(rules)).transpose()?;
    Ok(Running { shared, edges: named, admin: admin_addr, stop_workers, workers, watching, hooks, writing })
}

impl Running {
    /// Name and address of each edge.
    #[must_use]
    pub fn edges(&self) -> &[(String, SocketAddr)] {
        &self.edges
    }

    /// Name and address of each plain-TCP edge that is open now.
    #[must_use]
    pub fn tcp_edges(&self) -> Vec<(String, SocketAddr)> {
        let edges = self.shared.tcp.all();
        let open = edges.iter().filter(|edge| edge.is_open());
        open.map(|edge| (edge.name.to_string(), edge.listen())).collect()
    }

    /// Where the admin API listens.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// May faults fire?
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.shared.rules.standing.is_armed()
    }

    /// What the rule file says of arming.
    #[must_use]
    pub fn armed_word(&self) -> Option<bool> {
        self.shared.rules.live().set.safety.armed
    }

    /// Lifts all rules, for a reason that people will read: the kill switch.
    pub fn lift(&self, reason: &str) {
        self.shared.rules.lift(reason, false);
    }

    /// Number of rules in force.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.shared.rules.live().ids.len()
    }

    /// Each rule in force: its id, and what it does in words.
    #[must_use]
    pub fn rule_words(&self) -> Vec<String> {
        let live = self.shared.rules.live();
        live.set.rules().iter().map(|rule| format!("{}: {}", rule.id, rule.explain())).collect()
    }

    /// Seed of the selection.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.shared.rules.live().seed
    }

    /// Reads the rule file again (SIGHUP).
    pub fn reload(&self) {
        if let Some(watching) = &self.watching {
            watching.reload();
        }
    }

    /// Begins the next file of the recording (SIGUSR2); nothing where none is under way.
    pub fn rotate_recording(&self) {
        if let Some(recorder) = &self.shared.recorder {
            recorder.rotate();
        }
    }

    /// Ends the recording and closes the capture; traffic goes on. Blocks until the file is closed.
    pub fn stop_recording(&self) {
        if let Some(recorder) = &self.shared.recorder {
            recorder.stop();
        }
    }

    /// Stops: no new connections, idle ones close, exchanges finish (sleepers wake), then the files are closed.
    /// `hurry` is asked while exchanges finish; once it says true the rest is cut off. Blocks at most the grace
    /// time and the time the files take.
    #[must_use]
    pub fn stop(mut self, mut hurry: impl FnMut() -> bool) -> FinalBooks {
        self.watching = None;
        self.shared.drain();
        let until = Instant::now() + self.shared.config.grace;
        self.hooks = None; // what they froze goes on, so that exchanges can finish
        let at_work = || self.shared.live.count() + self.shared.listening.count() > 0;
        while at_work() && Instant::now() < until && !hurry() {
            std::thread::sleep(STOP_POLL);
        }
        let unfinished = self.shared.live.count();
        self.halt();
        let edges = self.shared.totals.edge_books();
        let mut shed = Counts::new();
        for edge in &edges {
            edge.shed.iter().for_each(|(why, count)| *shed.entry(why.clone()).or_default() += count);
        }
        let rules = self.shared.totals.rule_books(&self.shared.rules, &self.shared.totals);
        let standing = self.shared.rules.standing.seen();
        FinalBooks {
            recorded: edges.iter().map(|edge| edge.recorded).sum(),
            shed,
            edges: self.shared.totals.summaries(edges, Detail::Figures),
            tcp_edges: self.shared.tcp.rows(),
            missed: missed(&rules),
            rules,
            guards: self.shared.rules.guard_books(Duration::ZERO),
            hooks: self.shared.rules.hooks.books(),
            ledger_lost: self.shared.ledger.lost(),
            unfinished,
            breach: standing.is_breach(),
            was_armed: standing.was_armed(),
            lifted: standing.lifted.map(|lifted| lifted.reason),
        }
    }

    /// Ends the threads and closes the files.
    fn halt(&mut self) {
        self.stop_workers.send_replace(true);
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
        if let Some(recorder) = &self.shared.recorder {
            recorder.stop();
        }
        self.writing.clear();
        if let Some(traces) = self.shared.traces.get() {
            traces.close();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.watching = None;
        self.shared.drain();
        self.hooks = None;
        self.halt();
    }
}

/// The rules of the file and of the command line, armed where they arm themselves.
fn rules_of(config: &Config, file: Option<&RuleFile>) -> Result<Rules, Error> {
    let policy = Policy { allow_hooks: config.allow_hooks, listens: config.listens().collect() };
    let mut rules = Rules::new(config.inline_rules.clone(), config.seed, policy);
    rules.set_tcp_edges(config.tcp_edges.iter().map(|edge| edge.name.clone()).collect());
    rules.check_inline()?;
    match file {
        Some(file) => file.load(&rules)?,
        None => {
            let nothing = (fault_rules::RuleSet::default(), Source::default());
            rules.replace(nothing.0, nothing.1).map_err(|findings| Error::Rules(join(&findings)))?
        }
    };
    rules.arm_at_start();
    Ok(rules)
}

struct Worker {
    shared: Arc<Shared>,
    conf: Arc<ServerConf>,
    acceptor: Option<TlsAcceptor>,
    stopped: tokio::sync::watch::Receiver<bool>,
}

impl Worker {
    /// A thread with a runtime of its own. Connections stay on the thread that accepted them: pingora loses
    /// WebSocket upgrades when tasks move between threads.
    fn start(self, number: usize, listeners: Vec<std::net::TcpListener>) -> Result<JoinHandle<()>, Error> {
        let (ready, told) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name(format!("squall-proxy-{number}")).spawn(move || {
            // what another thread wakes comes first: sleepers whose rule is gone wait for none that go on already
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = match builder.enable_all().global_queue_interval(1).build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            let outcome = runtime.block_on(self.serve(listeners, &ready));
            if let Err(error) = outcome {
                drop(ready.send(Err(error)));
            }
            runtime.shutdown_timeout(Duration::from_millis(100));
        });
        let thread = thread.map_err(Error::Thread)?;
        match told.recv() {
            Ok(Ok(())) => Ok(thread),
            Ok(Err(error)) => Err(Error::Thread(error)),
            Err(gone) => Err(Error::Thread(std::io::Error::other(gone))),
        }
    }

    async fn serve(
        mut self,
        listeners: Vec<std::net::TcpListener>,
        ready: &mpsc::SyncSender<std::io::Result<()>>,
    ) -> std::io::Result<()> {
        timer::install()?;
        let copies = Copies::new(Connector::new(Some(ConnectorOptions::from_server_conf(&self.conf))));
        let service = Service::new(self.shared.clone(), copies);
        let proxy = http_proxy(&self.conf, service);
        let server = Arc::new(Server::new(self.shared.clone(), proxy, self.acceptor.clone()));
        for (edge, listener) in listeners.into_iter().enumerate() {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let listening = self.shared.listening();
            tokio::spawn(listen::accept(listener, edge, server.clone(), listening));
        }
        self.shared.tcp.add_worker(tokio::runtime::Handle::current());
        let _ = ready.send(Ok(()));
        // an error means that the sender is gone: then it is time to stop as well
        let _ = self.stopped.wait_for(|stopped| *stopped).await;
        Ok(())
    }
}

fn server_conf(config: &Config) -> Result<ServerConf, Error> {
    let ca_file = tls::upstream_authorities(config.upstream_ca.as_deref())?;
    let most_members = config.edges.iter().map(|edge| edge.upstreams().count()).max().unwrap_or(1);
    Ok(ServerConf {
        threads: 1,
        work_stealing: false,
        upstream_keepalive_pool_size: POOL,
        // each member may refuse the connection once, the request may wait for a descriptor, and be repeated once:
        // `service.rs` decides which
        max_retries: most_members + MOST_WAITS as usize + 1,
        ca_file,
        ..ServerConf::default()
    })
}

fn first_addr(sockets: &[Vec<std::net::TcpListener>]) -> Option<SocketAddr> {
    sockets.first()?.first()?.local_addr().ok()
}

fn local_addr(sockets: &[std::net::TcpListener], asked: SocketAddr) -> Result<SocketAddr, Error> {
    let first = sockets.first().map_or(Ok(asked), std::net::TcpListener::local_addr);
    first.map_err(|source| Error::Listen { addr: asked, source })
}

fn capture_setup(config: &Config, edges: &[Edge], admin: SocketAddr) -> Option<Setup> {
    let path = config.record.clone()?;
    let scheme = |edge: &Edge| if edge.tls { "https" } else { "http" };
    let info = |edge: &Edge| EdgeInfo {
        name: edge.name.to_string(),
        listen_url: format!("{}://{}", scheme(edge), reachable(edge.listen)),
        admin_url: Some(format!("http://{}", reachable(admin))),
    };
    let mut header = FileHeader::new("proxy", crate::time::wall_us());
    if let Some(policy) = &config.redaction {
        policy.name().clone_into(&mut header.redaction);
    }
    header.edges = edges.iter().map(info).collect();
    let names = edges.iter().map(|edge| EdgeName { name: edge.name.to_string(), scheme: scheme(edge) });
    Some(Setup {
        path,
        header,
        redactor: config.redaction.clone().map(|policy| Redactor::with(config.redaction_key, policy)),
        edges: names.collect(),
        options: config.blocks.clone(),
        rotation: config.rotation,
        bodies: Kept::of(config),
        key: config.redaction_key,
        pause: match config.stumble {
            Some(Stumble::Recording(pause)) => pause,
            _ => Duration::ZERO,
        },
    })
}

/// With port 0 the port of the first edge decides, as long as nobody has taken that place: captures name the admin
/// listener, and must find that of a proxy that was started again on the same edge.
fn admin_listener(addr: SocketAddr, first_edge: Option<u16>) -> std::io::Result<std::net::TcpListener> {
    if let (0, Some(edge)) = (addr.port(), first_edge)
        && let Ok(listener) = std::net::TcpListener::bind((addr.ip(), usual_admin_port(edge)))
    {
        return Ok(listener);
    }
    std::net::TcpListener::bind(addr)
}

/// 28080 for 8080: below the ports that systems hand out, and easy to remember.
fn usual_admin_port(edge: u16) -> u16 {
    20_000 + edge % 10_000
}

/// The address that a client on this machine reaches a listener by: `0.0.0.0` is nobody's address.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let mut reachable = addr;
    if addr.ip().is_unspecified() {
        let loopback = if addr.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::IpAddr::from(std::net::Ipv6Addr::LOCALHOST)
        };
        reachable.set_ip(loopback);
    }
    reachable
}

/// Idle upstream connections kept, for each worker thread: above the concurrency that a machine of this class
/// proxies, or connections churn.
const POOL: usize = 4096;
const STOP_POLL: Duration = Duration::from_millis(5);
