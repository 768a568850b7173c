//! Redis behind a TCP edge: whatever the rules do to its connections, no value is another than was written.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::{DEADLINE, Proxy, http};
use crate::tools;

/// A server of its own, without a file; it ends with this.
struct Redis {
    addr: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Redis {
    fn start(program: &str) -> Redis {
        let folder = TempDir::new().expect("a folder");
        let addr = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        let mut server = Command::new(program);
        server.args(["--bind", "127.0.0.1", "--port", &addr.port().to_string()]);
        server.args(["--save", "", "--appendonly", "no", "--dir"]).arg(folder.path());
        let child = server.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("it was found before");
        let redis = Redis { addr, child, _folder: folder };
        let deadline = Instant::now() + DEADLINE;
        while ask(addr, &["PING"]).as_deref() != Some("PONG") {
            assert!(Instant::now() < deadline, "the server never answers");
            std::thread::sleep(Duration::from_millis(5));
        }
        redis
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn cli(addr: SocketAddr) -> Command {
    let mut cli = Command::new("redis-cli");
    cli.args(["-h", "127.0.0.1", "-p", &addr.port().to_string()]);
    cli
}

/// What a command on a connection of its own says; `None`: it got no answer.
fn ask(addr: SocketAddr, words: &[&str]) -> Option<String> {
    let said = cli(addr).args(words).stdin(Stdio::null()).output().expect("it was found before");
    let text = String::from_utf8_lossy(&said.stdout).trim_end().to_owned();
    (said.status.success() && !text.is_empty() && !text.contains("rror:")).then_some(text)
}

/// So many SETs in one pipeline, as Redis's own protocol writes them.
fn sets(round: usize) -> Vec<u8> {
    let bulk = |word: String| format!("${}\r\n{word}\r\n", word.len());
    let set =
        |n| format!("*3\r\n{}{}{}", bulk("SET".into()), bulk(format!("key:{n}")), bulk(value(round, n)));
    (0..SETS).map(set).collect::<String>().into_bytes()
}

fn value(round: usize, n: usize) -> String {
    format!("{round}-{n}-").repeat(20)
}

const SETS: usize = 5_000;

const RULES: [&str; 4] = [
    "",
    "[[rule]]\nid = \"slow\"\non = \"edge db\"\ndelay = \"1ms..5ms\"\n\
     [[rule]]\nid = \"back\"\non = \"edge db\"\ndelay = \"3ms at response\"\n",
    "[[rule]]\nid = \"thin\"\non = \"edge db\"\nthrottle = { request = \"1MB/s\", response = \"300KB/s\" }\n",
    "[[rule]]\nid = \"lossy\"\non = \"edge db\"\nloss = { rate = \"2%\", rto = \"10ms\" }\n",
];

const TORN: &str =
    "[[rule]]\nid = \"torn\"\non = \"edge db\"\nrate = \"30% of connections\"\nreset = \"before headers\"\n";

#[test]
fn every_value_is_true_while_rules_come_and_go() {
    let (Some(server), Some(_)) =
        (tools::program("redis-server", "redis-server"), tools::program("redis-cli", "redis-tools"))
    else {
        return;
    };
    let redis = Redis::start(&server);
    let upstream = format!("db=tcp://{}", redis.addr);
    let proxy = Proxy::start(&["--listen", "db=tcp://127.0.0.1:0", "--upstream", &upstream]);
    let edge = proxy.edge("db");
    let put = |rules: &str| {
        let rules = format!("version = 1\n{rules}");
        assert_eq!(http::send(proxy.admin(), "PUT /rules", &[], rules.as_bytes()).status, 200);
    };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for rules in RULES.iter().cycle().take_while(|_| !over.load(Ordering::SeqCst)) {
                put(rules);
                std::thread::sleep(Duration::from_millis(30));
            }
        });
        for round in 0..4 {
            pipeline(edge, round);
            let last = value(round, SETS - 1);
            assert_eq!(ask(edge, &["GET", &format!("key:{}", SETS - 1)]), Some(last), "the other way round");
        }
        over.store(true, Ordering::SeqCst);
    });
    for n in (0..SETS).step_by(97) {
        assert_eq!(ask(redis.addr, &["GET", &format!("key:{n}")]), Some(value(3, n)));
    }
    put(TORN);
    let told: Vec<bool> =
        (0..60).map(|n| ask(edge, &["SET", &format!("torn:{n}"), "x"]).as_deref() == Some("OK")).collect();
    let held = told.iter().filter(|held| **held).count();
    assert!((1..60).contains(&held), "some are reset, others are not: {held}");
    for (n, told) in told.into_iter().enumerate() {
        let there = ask(redis.addr, &["EXISTS", &format!("torn:{n}")]).as_deref() == Some("1");
        assert_eq!(there, told, "torn:{n}: it is there if the client was told so, and only then");
    }
    let (status, said) = proxy.stop();
    assert!(status.success(), "the proxy ended with {status}:\n{said}");
}

/// All replies come, and none is an error.
fn pipeline(edge: SocketAddr, round: usize) {
    let mut pipe = cli(edge);
    pipe.arg("--pipe").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut pipe = pipe.spawn().expect("it was found before");
    let mut sets_in = pipe.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || sets_in.write_all(&sets(round)));
    let said = pipe.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("taken");
    let [out, err] = [said.stdout, said.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(out.contains(&format!("errors: 0, replies: {SETS}")), "{out}\n{err}");
}
