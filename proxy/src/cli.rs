//! `squall proxy`: flags, signals, what is printed.
#![allow(clippy::print_stdout)]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use telemetry::otlp::Collector;

use crate::config::{Config, EdgeConfig, TlsFiles, Upstream, random_seed};
use crate::ending::{self, CiVerdict};
use crate::limits::Limits;
use crate::recorder::cli::RecordingArgs;
use crate::signals::Signals;
use crate::start::{FinalBooks, Running, start};
use crate::tcp::{self, TcpEdgeConfig};
use crate::{TOKEN_VARIABLE, Token};

/// Record traffic inline and inject faults into it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ProxyArgs {
    /// Where clients come in; an EDGE is a name for a pair of --listen and --upstream. Port 0 picks a free port.
    /// tcp://ADDR passes any protocol, byte for byte.
    #[arg(long, value_name = "[EDGE=]ADDR", required_unless_present = "admin")]
    listen: Vec<String>,
    /// Where their requests go: http://, https:// or h2c:// (HTTP/2 in clear text), or tcp://HOST:PORT. Given several times
    /// for one edge, its requests are spread over all of them.
    #[arg(long, value_name = "[EDGE=]URL", required_unless_present = "admin")]
    upstream: Vec<String>,
    #[command(flatten)]
    recording: RecordingArgs,
    /// Rule file; saved changes are live within 100 ms.
    #[arg(long, value_name = "FILE", help_heading = "Faults")]
    rules: Option<PathBuf>,
    /// A rule in one line, as in 'GET /api/** delay 200ms 20%'.
    #[arg(long, value_name = "RULE", help_heading = "Faults")]
    fault: Vec<String>,
    /// Seed of the selection where the rule file has none (decimal or 0x…); random unless given.
    #[arg(long, value_parser = seed, help_heading = "Faults")]
    seed: Option<u64>,
    /// Append one line of JSON for every fault to this file.
    #[arg(long, value_name = "FILE", help_heading = "Faults")]
    ledger: Option<PathBuf>,
    /// Let the rule file run commands ([[hook]]): freeze or kill a process, fail a disk. They are undone at the end.
    #[arg(long, help_heading = "Faults")]
    allow_hooks: bool,
    /// At the end judge whether every rule did what it asked for: exit 113 where one missed its target, never matched, or lines
    /// of the ledger were lost; 108 where a guard or a cap ended the faults.
    #[arg(long, help_heading = "Faults")]
    ci: bool,
    /// Admin API: books, ledger, status, metrics, rules. Beyond loopback only with a token. Port 0 takes 28080 beside an edge
    /// on 8080, and so on, if it is free.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", value_parser = address)]
    admin: SocketAddr,
    /// The admin API wants the token in this file (or in SQUALL_ADMIN_TOKEN) with every request.
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// Worker threads [default: one for each core].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Send metrics and spans there by OTLP over HTTP: http://127.0.0.1:4318. A collector beyond loopback is told paths,
    /// sessions and rules: naming it here allows that.
    #[arg(long, value_name = "URL", help_heading = "OTLP")]
    otlp: Option<Collector>,
    /// The share of traces of which spans are sent; exchanges that a rule touched are sent always.
    #[arg(long, value_name = "PERCENT", default_value = "1%", value_parser = telemetry::otlp::share, requires = "otlp", help_heading = "OTLP")]
    otlp_sample: f64,
    /// Name the proxy's own span in the traceparent that goes on, where one is sent: what the upstream makes of it is a
    /// child of the proxy's. Without it the caller's goes on as it came, and both are the caller's children.
    #[arg(long, requires = "otlp", help_heading = "OTLP")]
    otlp_continue: bool,
    /// Certificate chain (PEM): edges do TLS, HTTP/2 and HTTP/1.1 by ALPN.
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "TLS")]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "TLS")]
    tls_key: Option<PathBuf>,
    /// Do not verify the upstream's certificate.
    #[arg(long, help_heading = "TLS")]
    upstream_insecure: bool,
    /// Verify the upstream's certificate against these authorities (PEM).
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    upstream_ca: Option<PathBuf>,
    /// Forward squall-* request headers, for a chain of proxies.
    #[arg(long)]
    pass_squall_headers: bool,
    /// Let squall-* answer headers of the upstream through, for a chain of proxies.
    #[arg(long)]
    trust_upstream_squall: bool,
    /// Close a client connection that is idle for this long.
    #[arg(long, value_name = "TIME", default_value = "75s", value_parser = duration)]
    idle_timeout: Duration,
    #[command(flatten)]
    limits: Limits,
    /// The upstream may be silent for this long.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    upstream_timeout: Duration,
    /// At a stop, exchanges get this long to finish.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    grace: Duration,
    /// Write the books as JSON at the end, with how long upstreams took.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the proxy until SIGINT or SIGTERM; SIGHUP reads the rules again, SIGUSR1 lifts them. 104: the command line, a file or
/// a port is wrong; 113 and 108: see `--ci`.
///
/// # Errors
/// The proxy cannot start, or the books cannot be written.
pub fn run(args: ProxyArgs) -> anyhow::Result<ExitCode> {
    let (json, ci) = (args.json.clone(), args.ci);
    let config = args.config()?;
    if let Some(path) = &json {
        can_be_written(path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    raise_open_files();
    refuse_huge_pages();
    let signals = Signals::install()?;
    let running = start(config.clone())?;
    announce(&running, &config);
    signals.serve(&running);
    println!("stopping: exchanges finish, at most {:?}; Ctrl-C again stops at once", config.grace);
    let books = running.stop(|| signals.stops() > 1);
    ending::summarise(&books);
    if let Some(path) = json {
        write_json(&path, &books).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if !ci {
        return Ok(ExitCode::SUCCESS);
    }
    let CiVerdict { code, word, reasons } = ending::judge(&books);
    println!("ci: {word} ({code}){}{}", if reasons.is_empty() { "" } else { ": " }, reasons.join("; "));
    Ok(ExitCode::from(code))
}

/// As many files as the system allows without being asked: each connection is one, and each of its requests another.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }) {
        tracing::debug!(%error, "the limit on open files stays");
    }
}

/// In huge pages all of a buffer is resident as soon as one byte of it was used: an idle HTTP/2 connection would hold
/// 45 KB instead of 28, and requests would be no faster.
fn refuse_huge_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay");
    }
}

impl ProxyArgs {
    fn config(self) -> anyhow::Result<Config> {
        let tls = self.tls_cert.clone().zip(self.tls_key.clone()).map(|(cert, key)| TlsFiles { cert, key });
        let (edges, tcp_edges) = self.edges(tls.is_some())?;
        let mut config = Config::new(edges);
        config.tcp_edges = tcp_edges;
        let parsed = self.fault.iter().map(|rule| fault_rules::parse_inline(rule));
        config.inline_rules = parsed.collect::<Result<_, _>>().map_err(|report| anyhow!("{report}"))?;
        config.seed = self.seed.unwrap_or_else(random_seed);
        if let Ok(key) = std::env::var("SQUALL_REDACTION_KEY") {
            config.redaction_key =
                hex_key(&key).context("SQUALL_REDACTION_KEY wants 64 hexadecimal digits")?;
        }
        config.admin_token = admin_token(self.admin_token_file.as_deref())?;
        config.allow_hooks = self.allow_hooks;
        config.threads = self.threads.unwrap_or(config.threads);
        config.tls = tls;
        config.admin = self.admin;
        self.recording.apply(&mut config)?;
        config.rules = self.rules;
        config.ledger = self.ledger;
        config.otlp_continue = self.otlp_continue;
        config.otlp = self.otlp.map(|collector| (collector, self.otlp_sample));
        config.upstream_insecure = self.upstream_insecure;
        config.upstream_ca = self.upstream_ca;
        config.pass_squall_headers = self.pass_squall_headers;
        config.trust_upstream_squall = self.trust_upstream_squall;
        config.idle_timeout = self.idle_timeout;
        config.limits = self.limits;
        config.upstream_timeout = self.upstream_timeout;
        config.grace = self.grace;
        Ok(config)
    }

    /// Pairs listeners with upstreams by name.
    fn edges(&self, tls: bool) -> anyhow::Result<(Vec<EdgeConfig>, Vec<TcpEdgeConfig>)> {
        let named = |text: &String| match text.split_once('=') {
            Some((name, rest)) => (name.to_owned(), rest.to_owned()),
            None => ("default".to_owned(), text.clone()),
        };
        let mut upstreams: Vec<(String, String)> = self.upstream.iter().map(named).collect();
        let (mut edges, mut tcp_edges) = (Vec::new(), Vec::new());
        for (name, listen) in self.listen.iter().map(named) {
            let (mine, rest): (Vec<_>, Vec<_>) = upstreams.into_iter().partition(|(of, _)| *of == name);
            upstreams = rest;
            if let Some(edge) = tcp_edge((&name, &listen), &mine)? {
                tcp_edges.push(edge);
                continue;
            }
            let mut members = mine.iter().map(|(_, url)| Upstream::resolve(url));
            let Some(upstream) = members.next().transpose()? else {
                bail!("--listen {name}={listen} has no upstream: add --upstream {name}=http://HOST:PORT");
            };
            let others = members.collect::<Result<_, _>>()?;
            let (asks_tls, addr) = match (listen.strip_prefix("https://"), listen.strip_prefix("http://")) {
                (Some(addr), _) => (true, addr),
                (_, Some(addr)) => (false, addr),
                _ => (tls, listen.as_str()),
            };
            let listen = address(addr).map_err(|why| anyhow!("--listen {addr}: {why}"))?;
            edges.push(EdgeConfig { name, listen, tls: asks_tls, upstream, others });
        }
        match upstreams.first() {
            Some((name, url)) => {
                bail!("--upstream {name}={url} has no listener: add --listen {name}=127.0.0.1:PORT")
            }
            None => Ok((edges, tcp_edges)),
        }
    }
}

/// A plain-TCP edge, where one is meant: `tcp://` on both sides.
fn tcp_edge(
    (name, listen): (&str, &str),
    upstreams: &[(String, String)],
) -> anyhow::Result<Option<TcpEdgeConfig>> {
    let behind: Vec<_> = upstreams.iter().filter(|(_, url)| url.starts_with(tcp::SCHEME)).collect();
    match (listen.strip_prefix(tcp::SCHEME), behind.as_slice(), upstreams.len()) {
        (None, [], _) => Ok(None),
        (Some(addr), [(_, url)], 1) => {
            let listen = address(addr).map_err(|why| anyhow!("--listen {addr}: {why}"))?;
            Ok(Some(TcpEdgeConfig { name: name.to_owned(), listen, upstream: TcpEdgeConfig::upstream(url)? }))
        }
        (Some(_), [_, _, ..], _) => {
            bail!("edge {name}: a tcp edge has one upstream; give --upstream {name}=tcp://… once")
        }
        _ => bail!(
            "edge {name}: tcp on one side only; write --listen {name}=tcp://ADDR --upstream {name}=tcp://HOST:PORT"
        ),
    }
}

fn announce(running: &Running, config: &Config) {
    for ((name, addr), edge) in running.edges().iter().zip(&config.edges) {
        println!("edge {name} listening on {}://{addr}", if edge.tls { "https" } else { "http" });
    }
    for (name, addr) in running.tcp_edges() {
        println!("edge {name} listening on tcp://{addr}");
    }
    println!("admin listening on http://{}", running.admin());
    if let Some(path) = &config.record {
        println!("recording to {}", path.display());
        if config.redaction.is_none() {
            println!("  secrets are recorded as they are: whoever reads the file can use them");
        }
        if config.rotation.is_on() {
            println!("  next files beside it, numbered; SIGUSR2 begins the next at once");
        }
        for edge in &config.tcp_edges {
            println!("edge {} is plain TCP: it is not recorded", edge.name);
        }
    }
    let rules = running.rules();
    if rules > 0 && running.is_armed() {
        println!("{rules} {} armed, seed {:#x}", if rules == 1 { "rule" } else { "rules" }, running.seed());
    } else if rules > 0 {
        let why = match running.armed_word() {
            Some(false) => "the rule file says armed = false",
            _ => "not every edge listens on loopback or on an address of [safety] listen",
        };
        println!("NOT ARMED: {why}, so no fault fires until you type: squall arm http://{}", running.admin());
    }
    let words = running.rule_words();
    words.iter().take(MOST_RULES).for_each(|words| println!("  {words}"));
    if MOST_RULES < words.len() {
        println!("  and {} more: squall status http://{}", words.len() - MOST_RULES, running.admin());
    }
    // a pipe that is closed must not take the proxy with it
    let _ = std::io::stdout().flush();
}

/// Found out before the run, whose books would be lost. What is there stays, and nothing new is left.
fn can_be_written(path: &Path) -> std::io::Result<()> {
    let is_other = path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir());
    let leads_nowhere = path.is_symlink() && !path.exists();
    if is_other || leads_nowhere {
        // to open a pipe is to wait for its reader; and what a link leads to is made at the end
        return Ok(());
    }
    match File::options().write(true).create_new(true).open(path) {
        Ok(_) => std::fs::remove_file(path),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            File::options().write(true).open(path).map(drop)
        }
        Err(error) => Err(error),
    }
}

fn write_json(path: &PathBuf, books: &FinalBooks) -> anyhow::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    serde_json::to_writer_pretty(&mut file, books)?;
    file.write_all(b"\n")?;
    Ok(file.flush()?)
}

/// The token of a file, else of the environment.
fn admin_token(file: Option<&Path>) -> anyhow::Result<Option<Token>> {
    let (text, place) = match (file, std::env::var(TOKEN_VARIABLE)) {
        (Some(path), _) => {
            let text = std::fs::read_to_string(path);
            (
                text.with_context(|| format!("--admin-token-file {}", path.display()))?,
                path.display().to_string(),
            )
        }
        (None, Ok(text)) => (text, TOKEN_VARIABLE.to_owned()),
        (None, Err(_)) => return Ok(None),
    };
    Token::new(&text).map(Some).map_err(|why| anyhow!("{place}: {why}"))
}

/// `127.0.0.1:8080`, `:8080` or `8080`; without a host the loopback is meant.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.trim_start_matches(':').parse::<u16>() {
        return Ok((IpAddr::V4(Ipv4Addr::LOCALHOST), port).into());
    }
    let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let text = local.as_deref().unwrap_or(text);
    text.parse().map_err(|_| "not an address; write for example 127.0.0.1:8080".to_owned())
}

/// `64KB`, `1MB`, `0B`.
pub(crate) fn bytes(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err("write a size with its unit: 64KB, 1MB, 0B".to_owned()),
    };
    let number = digits.parse::<usize>().map_err(|error| error.to_string())?;
    number.checked_mul(unit).ok_or_else(|| "more bytes than there are addresses".to_owned())
}

/// A time with its unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<humantime::Duration>()
        .map(Into::into)
        .map_err(|_| "write a time with its unit: 500ms, 30s, 5m, 1h30m".to_owned())
}

fn seed(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "a seed is a whole number, 42 or 0x2a".to_owned())
}

fn hex_key(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok()?;
    }
    Some(key)
}

/// Rules that are named at the start: as many as a screen takes.
const MOST_RULES: usize = 12;

const EXAMPLES: &str = "\
Examples:
  Record what passes between your clients and your service:
    squall proxy --listen 127.0.0.1:8080 --upstream http://127.0.0.1:9000 --record capture.zst
  The same with faults from a file, live as soon as you save it:
    squall proxy --listen 127.0.0.1:8080 --upstream http://127.0.0.1:9000 --record capture.zst --rules faults.toml
  One rule, no file:
    squall proxy --listen 8080 --upstream http://127.0.0.1:9000 --fault 'GET /api/** delay 200ms 20%'
  Two edges, so that a dependency is seen too:
    squall proxy --listen shop=8080 --upstream shop=http://127.0.0.1:9000 \\
                 --listen payments=8081 --upstream payments=http://127.0.0.1:9100
  A database behind a slow network:
    squall proxy --listen db=tcp://127.0.0.1:5433 --upstream db=tcp://127.0.0.1:5432 \\
                 --fault 'edge db delay 40ms' --fault 'edge db reset after 100000 B of body 1% of connections'
  In Toxiproxy's place: its client libraries make the edges and the faults
    squall proxy --admin 127.0.0.1:8474
  The kill switch, from anywhere on this machine; or with its admin listener:
    kill -USR1 PID
    squall lift http://127.0.0.1:28080";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_type_them() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(address(text).ok().map(|addr| addr.to_string()).as_deref(), expect, "{text}");
        };
        check("127.0.0.1:8080", Some("127.0.0.1:8080"));
        check("8080", Some("127.0.0.1:8080"));
        check(":0", Some("127.0.0.1:0"));
        check("localhost:81", Some("127.0.0.1:81"));
        check("0.0.0.0:80", Some("0.0.0.0:80"));
        check("[::1]:80", Some("[::1]:80"));
        check("host", None);
        check("99999", None);
    }

    #[test]
    fn upstreams_of_one_edge_are_its_members() {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            args: ProxyArgs,
        }
        let edges = |line: &str| {
            let command = <Command as clap::Parser>::try_parse_from(line.split_whitespace());
            command.expect("flags").args.edges(false).map(|(edges, _)| edges)
        };
        let two = edges(
            "proxy --listen a=0 --listen b=0 --upstream a=http://127.0.0.1:1 --upstream b=http://127.0.0.1:2 \
             --upstream a=http://127.0.0.1:3",
        );
        let members: Vec<Vec<String>> = two
            .expect("edges")
            .iter()
            .map(|edge| edge.upstreams().map(Upstream::authority).collect())
            .collect();
        assert_eq!(members, [vec!["127.0.0.1:1", "127.0.0.1:3"], vec!["127.0.0.1:2"]]);
        let nobody = edges("proxy --listen a=0 --listen b=0 --upstream a=http://127.0.0.1:1").unwrap_err();
        assert!(nobody.to_string().contains("--upstream b=http://HOST:PORT"), "{nobody}");
        let twice = edges("proxy --listen 0 --upstream http://127.0.0.1:1 --upstream http://127.0.0.1:1");
        let wrong = Config::new(twice.expect("edges")).check().unwrap_err();
        assert!(wrong.to_string().contains("127.0.0.1:1 twice"), "{wrong}");
    }
}
