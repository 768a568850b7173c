//! A proxy on port 0 with an admin client and a rule file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use proxy::{Config, EdgeConfig, FinalBooks, Running, Upstream, start};
use serde_json::Value;
use tempfile::TempDir;

use super::client::{Answer, Client};
use super::eventually;
use super::tls::Identity;

pub(crate) struct Proxy {
    running: Option<Running>,
    pub(crate) addr: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) folder: TempDir,
    pub(crate) identity: Option<Identity>,
}

/// A proxy that is not started yet.
pub(crate) struct Plan {
    pub(crate) config: Config,
    pub(crate) folder: TempDir,
    identity: Option<Identity>,
}

impl Proxy {
    /// One edge in front of an HTTP/1 origin, two threads.
    pub(crate) fn before(origin: SocketAddr) -> Plan {
        Proxy::before_url(&format!("http://{origin}"))
    }

    pub(crate) fn before_url(upstream: &str) -> Plan {
        let edge = EdgeConfig {
            name: "default".to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: false,
            upstream: Upstream::resolve(upstream).expect("an upstream"),
            others: Vec::new(),
        };
        let mut config = Config::new(vec![edge]);
        config.threads = 2;
        config.seed = 1;
        Plan { config, folder: TempDir::new().expect("a folder"), identity: None }
    }
}

impl Plan {
    /// With a rule file; `[[rule]]` tables, `version` is added.
    pub(crate) fn rules(mut self, rules: &str) -> Plan {
        let path = self.folder.path().join("rules.toml");
        write_rules(&path, rules);
        self.config.rules = Some(path);
        self
    }

    pub(crate) fn tls(mut self) -> Plan {
        let identity = Identity::create(self.folder.path());
        self.config.tls = Some(identity.files.clone());
        self.config.edges[0].tls = true;
        self.identity = Some(identity);
        self
    }

    pub(crate) fn recorded(mut self) -> Plan {
        self.config.record = Some(self.folder.path().join("capture.zst"));
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Config)) -> Plan {
        change(&mut self.config);
        self
    }

    /// With one more member of the edge's upstream.
    pub(crate) fn and(self, member: SocketAddr) -> Plan {
        let upstream = Upstream::resolve(&format!("http://{member}")).expect("an upstream");
        self.with(|config| config.edges[0].others.push(upstream))
    }

    pub(crate) fn start(self) -> Proxy {
        let running = start(self.config).expect("the proxy starts");
        Proxy {
            addr: running.edges().first().map_or(running.admin(), |(_, addr)| *addr),
            admin: running.admin(),
            running: Some(running),
            folder: self.folder,
            identity: self.identity,
        }
    }
}

impl Proxy {
    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().expect("not stopped yet")
    }

    pub(crate) fn edge(&self, at: usize) -> SocketAddr {
        self.running().edges()[at].1
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        Client::get(self.addr, target)
    }

    pub(crate) fn capture(&self) -> PathBuf {
        self.folder.path().join("capture.zst")
    }

    /// Stops it in good order.
    pub(crate) fn stop(&mut self) -> FinalBooks {
        self.running.take().expect("not stopped yet").stop(|| false)
    }

    pub(crate) fn take(&mut self) -> Running {
        self.running.take().expect("not stopped yet")
    }

    pub(crate) fn ask_admin(&self, method: &str, path: &str, body: &str) -> Answer {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Client::once(self.admin, &request)
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        let answer = self.ask_admin("GET", path, "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    pub(crate) fn status(&self) -> Value {
        self.json("/status")
    }

    pub(crate) fn post(&self, path: &str) {
        let answer = self.ask_admin("POST", path, "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }

    pub(crate) fn post_accepted(&self, path: &str) {
        let answer = self.ask_admin("POST", path, "");
        assert_eq!(answer.status, 202, "{path}: {}", answer.text());
    }

    /// The totals, once nothing is in flight; every row is checked on the way.
    pub(crate) fn books(&self) -> Value {
        self.books_of("/books")
    }

    pub(crate) fn run_books(&self, run: &str) -> Value {
        self.books_of(&format!("/books?run={run}"))
    }

    fn books_of(&self, path: &str) -> Value {
        let mut books = Value::Null;
        eventually("nothing in flight", || {
            books = self.json(path);
            books["in_flight"] == 0
        });
        for edge in books["edges"].as_array().expect("edges") {
            check_rows(edge);
        }
        books
    }

    pub(crate) fn announce(&self, run: &str) {
        let answer = self.ask_admin("POST", "/runs", &format!("{{\"run\":\"{run}\"}}"));
        assert_eq!(answer.status, 201, "{}", answer.text());
    }

    /// The newest ledger lines, oldest first.
    pub(crate) fn ledger(&self) -> Vec<Value> {
        let answer = self.ask_admin("GET", "/ledger?tail=10000", "");
        let lines = answer.text();
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON Lines")).collect()
    }

    /// The books of one rule; all of them zero where it was never eligible.
    pub(crate) fn rule_books(&self, id: &str) -> Value {
        let books = self.books();
        let of_rule = |rule: &&Value| rule["id"] == id;
        books["rules"].as_array().expect("rules").iter().find(of_rule).cloned().unwrap_or(Value::Null)
    }

    /// Saves new rules as an editor does: a new file over the old one.
    pub(crate) fn edit(&self, rules: &str) {
        let path = self.folder.path().join("rules.toml");
        let draft = self.folder.path().join("rules.toml.new");
        write_rules(&draft, rules);
        std::fs::rename(draft, path).expect("renamed");
    }

    /// Saves new rules and waits until they are in force.
    pub(crate) fn reload(&self, rules: &str) {
        let before = self.status()["generation"].as_u64().expect("a generation");
        self.edit(rules);
        eventually("the new rules are live", || {
            before < self.status()["generation"].as_u64().expect("a generation")
        });
    }

    /// Waits until so many exchanges are under way.
    pub(crate) fn await_in_flight(&self, n: i64) {
        eventually("exchanges under way", || self.status()["in_flight"] == n);
    }
}

/// The rows of `books.rs`, to the unit.
pub(crate) fn check_rows(edge: &Value) {
    let n = |name: &str| edge[name].as_u64().unwrap_or_else(|| panic!("{name} is a count: {edge}"));
    let sum = |name: &str| -> u64 {
        edge[name].as_object().expect("counts").values().map(|count| count.as_u64().expect("a count")).sum()
    };
    let ends = sum("short_circuited") + sum("dropped") + sum("refused");
    assert_eq!(
        n("seen"),
        n("forwarded") + ends + n("client_gone") + n("upstream_unreachable") + n("aborted"),
        "seen: {edge:#}"
    );
    assert_eq!(
        n("upstream_attempts"),
        n("forwarded") + n("proxy_repeats") + sum("storm_copies"),
        "attempts: {edge:#}"
    );
    assert_eq!(
        n("forwarded"),
        n("delivered") + sum("cut") + n("upstream_failed") + n("client_gone_after"),
        "forwarded: {edge:#}"
    );
    assert_eq!(n("seen"), n("recorded") + sum("shed") + sum("not_recorded"), "recorded: {edge:#}");
}

fn write_rules(path: &std::path::Path, rules: &str) {
    let version = if rules.contains("version") { "" } else { "version = 1\n" };
    std::fs::write(path, format!("{version}{rules}")).expect("written");
}

/// As in [`Duration`], but short to write in tests.
pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
