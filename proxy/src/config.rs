//! What a proxy is asked to be.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use captures::header::Options;
use captures::redact::Policy;
use captures::session_key::Key;
use fault_rules::Rule;
use telemetry::otlp::Collector;
use url::{Host, Url};

use crate::limits::Limits;
use crate::recorder::{RecordBodies, Rotation};
use crate::{Error, TcpEdgeConfig, Token};

/// Everything `squall proxy` needs to know. Build one with [`Config::new`] and fill in the rest.
#[derive(Debug, Clone)]
pub struct Config {
    /// The first is where replays come in. There may be none: plain-TCP edges can be made through the admin API.
    pub edges: Vec<EdgeConfig>,
    /// Plain-TCP edges; more may come through the admin API.
    pub tcp_edges: Vec<TcpEdgeConfig>,
    /// The admin listener. Beyond loopback only with a token.
    pub admin: SocketAddr,
    /// What every request to the admin API must bring.
    pub admin_token: Option<Token>,
    /// Capture file to record to.
    pub record: Option<PathBuf>,
    /// When a file of the recording ends and the next begins.
    pub rotation: Rotation,
    /// How blocks of the capture are closed: what a crash costs at most.
    pub blocks: Options,
    /// Record replayed traffic too.
    pub record_replays: bool,
    /// What is recorded of bodies.
    pub record_bodies: RecordBodies,
    /// Where [`Config::record_bodies`] leaves a size open it is this, in bytes. Request bodies are kept for storms up to it.
    /// WebSocket messages of a client are kept whole up to what is recorded of a request, of one socket eight times as much
    /// and at most 16 MiB.
    pub body_limit: usize,
    /// What tells users apart, best first; what has none of it goes by its connection. Empty: cookies that answers set, cookies
    /// named like a session's, the connection.
    pub session_keys: Vec<Key>,
    /// What is redacted; `None` records secrets as they are.
    pub redaction: Option<Policy>,
    /// Key of the pseudonyms that secrets become; never written anywhere. Random unless two captures must share them.
    pub redaction_key: [u8; 32],
    /// Rule file.
    pub rules: Option<PathBuf>,
    /// Rules of the command line.
    pub inline_rules: Vec<Rule>,
    /// Rule files may run commands at the ends of windows.
    pub allow_hooks: bool,
    /// Seed for selection where the rule file gives none.
    pub seed: u64,
    /// Ledger file.
    pub ledger: Option<PathBuf>,
    /// Where metrics and spans go, and the share of uneventful exchanges whose spans go, 0 to 1.
    pub otlp: Option<(Collector, f64)>,
    /// A traceparent that goes on names the proxy's span, where one is sent.
    pub otlp_continue: bool,
    /// Worker threads; each has its own runtime, listeners and upstream pool.
    pub threads: usize,
    /// Certificate chain and key (PEM) for TLS on every edge that asks for it.
    pub tls: Option<TlsFiles>,
    /// Do not verify upstream certificates.
    pub upstream_insecure: bool,
    /// PEM file of the authorities that upstream certificates are checked against, instead of the system's.
    pub upstream_ca: Option<PathBuf>,
    /// Forward `squall-*` request headers to the upstream.
    pub pass_squall_headers: bool,
    /// Let the upstream's own `squall-*` answer headers through.
    pub trust_upstream_squall: bool,
    /// An idle client connection is closed after this.
    pub idle_timeout: Duration,
    /// What clients may take of the proxy.
    pub limits: Limits,
    /// Connecting to the upstream may take this long.
    pub connect_timeout: Duration,
    /// The upstream may be silent this long.
    pub upstream_timeout: Duration,
    /// At a stop, exchanges get this long to finish.
    pub grace: Duration,
    /// For tests: the fault path panics there. Nothing outside of tests sets it.
    #[doc(hidden)]
    pub stumble: Option<Stumble>,
}

/// Where a test wants the fault path to panic.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stumble {
    /// While the rules are asked.
    Planning,
    /// While bytes flow under a shape.
    Shaping,
    /// Not a panic: the recorder takes this long for each exchange, as over a slow disk.
    Recording(Duration),
}

/// One edge: where clients come in, and where their requests go.
#[derive(Debug, Clone)]
pub struct EdgeConfig {
    /// Its name, unique.
    pub name: String,
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// TLS with ALPN on this edge.
    pub tls: bool,
    /// Where requests go.
    pub upstream: Upstream,
    /// More members of the upstream: requests are spread over all of them.
    pub others: Vec<Upstream>,
}

impl EdgeConfig {
    /// All members of the upstream, at least one.
    pub fn upstreams(&self) -> impl Iterator<Item = &Upstream> {
        std::iter::once(&self.upstream).chain(&self.others)
    }
}

/// An origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// As given.
    pub url: String,
    /// Resolved once, at the start.
    pub addr: SocketAddr,
    /// Name for SNI and certificate checks.
    pub host: String,
    /// TLS to the origin.
    pub tls: bool,
    /// HTTP/2 by prior knowledge (`h2c://`).
    pub h2c: bool,
}

/// Where certificate chain and key lie.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// PEM, leaf first.
    pub cert: PathBuf,
    /// PEM, PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

impl Config {
    /// Panics where a test wants it to.
    pub(crate) fn may_stumble(&self, at: Stumble) {
        assert!(self.stumble != Some(at), "a test wants it to stumble");
    }

    /// A proxy of these edges with everything else at its default.
    #[must_use]
    pub fn new(edges: Vec<EdgeConfig>) -> Self {
        Config {
            edges,
            tcp_edges: Vec::new(),
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin_token: None,
            record: None,
            rotation: Rotation::default(),
            blocks: Options::default(),
            record_replays: false,
            record_bodies: RecordBodies::default(),
            body_limit: 1 << 20,
            session_keys: Vec::new(),
            redaction: Some(Policy::default()),
            redaction_key: random_key(),
            rules: None,
            inline_rules: Vec::new(),
            allow_hooks: false,
            seed: 0,
            ledger: None,
            otlp: None,
            otlp_continue: false,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            tls: None,
            upstream_insecure: false,
            upstream_ca: None,
            pass_squall_headers: false,
            trust_upstream_squall: false,
            idle_timeout: Duration::from_secs(75),
            limits: Limits::default(),
            connect_timeout: Duration::from_secs(5),
            upstream_timeout: Duration::from_secs(60),
            grace: Duration::from_secs(30),
            stumble: None,
        }
    }

    /// Where all edges listen.
    pub(crate) fn listens(&self) -> impl Iterator<Item = SocketAddr> {
        let tcp = self.tcp_edges.iter().map(|edge| edge.listen);
        self.edges.iter().map(|edge| edge.listen).chain(tcp)
    }

    /// Checks what does not need the machine.
    ///
    /// # Errors
    /// An edge named twice, an upstream given twice for one edge, TLS without a certificate, an admin listener that others could reach.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |text: String| Err(Error::Config(text));
        let tcp = self.tcp_edges.iter().map(|edge| &edge.name);
        let names: Vec<_> = self.edges.iter().map(|edge| &edge.name).chain(tcp).collect();
        for (at, name) in names.iter().enumerate() {
            if names[..at].contains(name) {
                return wrong(format!("edge `{name}` is given twice: name each edge once"));
            }
        }
        for edge in &self.edges {
            let mut members: Vec<_> = edge.upstreams().map(Upstream::authority).collect();
            members.sort();
            if let Some(twice) = members.windows(2).find(|two| two[0] == two[1]) {
                return wrong(format!(
                    "edge `{}` has the upstream {} twice: name each member once",
                    edge.name, twice[0]
                ));
            }
            if edge.tls && self.tls.is_none() {
                return wrong(format!("edge `{}` wants TLS: give --tls-cert and --tls-key", edge.name));
            }
        }
        if !self.admin.ip().is_loopback() && self.admin_token.is_none() {
            return wrong(format!(
                "--admin {}: beyond loopback the admin API wants a token: give --admin-token-file FILE or SQUALL_ADMIN_TOKEN",
                self.admin
            ));
        }
        if self.threads == 0 {
            return wrong("--threads 0: at least one is needed".into());
        }
        self.limits.check()
    }
}

/// Bytes that nobody can guess. Where the system has none to give, the proxy must not pretend to redact.
fn random_key() -> [u8; 32] {
    let mut key = [0; 32];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut key).expect("the system's random source works");
    key
}

/// A seed for those who named none; it is printed, so it has nothing to do with the key.
pub(crate) fn random_seed() -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = random_key();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

impl Upstream {
    /// `host:port`, as rule files name it.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{host}:{}", self.addr.port())
    }

    /// Reads `http://host:port`, `https://…` or `h2c://…` and resolves the host.
    ///
    /// # Errors
    /// Another scheme, a path that would be ignored, a host that does not resolve.
    pub fn resolve(text: &str) -> Result<Upstream, Error> {
        let wrong = |why: &str| {
            Error::Config(format!("--upstream {text}: {why}; write for example http://127.0.0.1:9000"))
        };
        let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        let (tls, h2c) = match url.scheme() {
            "http" => (false, false),
            "https" => (true, false),
            "h2c" => (false, true),
            _ => return Err(wrong("the scheme must be http, https or h2c")),
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() {
            return Err(wrong("a path is not used: requests keep the one they came with"));
        }
        // `Url` knows no default port for h2c, and reads its host as opaque text
        let host = url.host().ok_or_else(|| wrong("there is no host"))?;
        let port = url.port().unwrap_or(if tls { 443 } else { 80 });
        let name = match &host {
            Host::Domain(name) => (*name).to_owned(),
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        let mut found = (name.as_str(), port)
            .to_socket_addrs()
            .map_err(|error| wrong(&format!("does not resolve: {error}")))?;
        let addr = found.next().ok_or_else(|| wrong("does not resolve"))?;
        Ok(Upstream { url: text.trim_end_matches('/').to_owned(), addr, host: name, tls, h2c })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_in_all_schemes() {
        let check = |text: &str, port: u16, tls: bool, h2c: bool| {
            let upstream = Upstream::resolve(text).expect(text);
            assert_eq!((upstream.addr.port(), upstream.tls, upstream.h2c), (port, tls, h2c), "{text}");
        };
        check("http://127.0.0.1:9000", 9000, false, false);
        check("http://127.0.0.1", 80, false, false);
        check("https://127.0.0.1/", 443, true, false);
        check("h2c://127.0.0.1:50051", 50051, false, true);
        check("http://[::1]:81", 81, false, false);
        check("http://localhost:82", 82, false, false);
        for bad in ["127.0.0.1:9000", "ftp://127.0.0.1", "http://127.0.0.1/path", "http://"] {
            let error = Upstream::resolve(bad).expect_err(bad).to_string();
            assert!(error.contains("http://127.0.0.1:9000"), "says what to type: {error}");
        }
    }
}
