//! Peers of a plain-TCP edge: an upstream whose every connection the test holds in its hand.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};

use proxy::TcpEdgeConfig;
use serde_json::Value;

use super::client::{End, connect};
use super::proxy::{Plan, Proxy};
use super::{PATIENCE, eventually};

/// An upstream; connections that reach it wait to be taken.
pub(crate) struct Upstream {
    pub(crate) addr: SocketAddr,
    came: Mutex<Receiver<TcpStream>>,
}

impl Upstream {
    pub(crate) fn open() -> Upstream {
        Upstream::with(|_| {})
    }

    /// Sends back what it gets, and closes when the client does.
    pub(crate) fn echo() -> Upstream {
        Upstream::with(|tcp| {
            let (mut from, mut to) =
                (tcp.try_clone().expect("a second handle"), tcp.try_clone().expect("a third"));
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
        })
    }

    fn with(serve: impl Fn(&TcpStream) + Send + 'static) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound");
        let (tell, came) = mpsc::channel();
        std::thread::spawn(move || {
            for tcp in listener.incoming().flatten() {
                tcp.set_nodelay(true).expect("nodelay");
                tcp.set_read_timeout(Some(PATIENCE)).expect("timeout");
                serve(&tcp);
                if tell.send(tcp).is_err() {
                    return;
                }
            }
        });
        Upstream { addr, came: Mutex::new(came) }
    }

    /// The next connection that came.
    pub(crate) fn take(&self) -> TcpStream {
        self.came.lock().expect("came").recv_timeout(PATIENCE).expect("a connection")
    }

    /// The next connection, if one has come.
    pub(crate) fn try_take(&self) -> Option<TcpStream> {
        self.came.lock().expect("came").try_recv().ok()
    }

    /// Connections that nobody took yet.
    pub(crate) fn waiting(&self) -> usize {
        self.came.lock().expect("came").try_iter().count()
    }
}

impl Proxy {
    /// One TCP edge named `db` in front of an upstream, two threads.
    pub(crate) fn tcp_before(upstream: SocketAddr) -> Plan {
        Proxy::before(upstream).with(|config| {
            config.edges.clear();
            config.tcp_edges = vec![TcpEdgeConfig {
                name: "db".to_owned(),
                listen: SocketAddr::from(([127, 0, 0, 1], 0)),
                upstream: upstream.to_string(),
            }];
        })
    }

    pub(crate) fn tcp(&self, name: &str) -> SocketAddr {
        let edges = self.running().tcp_edges();
        edges.iter().find(|(edge, _)| edge == name).expect("an open edge").1
    }

    /// A client of the edge `db`.
    pub(crate) fn dial(&self) -> TcpStream {
        connect(self.tcp("db"))
    }

    /// The rows of a TCP edge, which hold at any moment.
    pub(crate) fn rows(&self, name: &str) -> Value {
        let books = self.json("/books");
        let edges = books["tcp_edges"].as_array().expect("TCP edges");
        let edge = edges.iter().find(|edge| edge["name"] == name).expect("the edge").clone();
        check_tcp_rows(&edge);
        edge
    }

    /// The rows once nothing is open.
    pub(crate) fn settled(&self, name: &str) -> Value {
        let mut rows = Value::Null;
        eventually("nothing is open", || {
            rows = self.rows(name);
            rows["open"] == 0 && rows["connecting"] == 0
        });
        for way in ["request", "response"] {
            assert_eq!(rows[way]["held"], 0, "{rows:#}");
        }
        rows
    }

    pub(crate) fn rule(&self, id: &str) -> Value {
        let books = self.json("/books");
        let rules = books["rules"].as_array().expect("rules");
        rules.iter().find(|rule| rule["id"] == id).cloned().unwrap_or(Value::Null)
    }
}

/// The rows of `tcp/books.rs`, to the unit.
pub(crate) fn check_tcp_rows(edge: &Value) {
    let n = |name: &str| edge[name].as_u64().unwrap_or_else(|| panic!("{name} is a count: {edge}"));
    let sum = |counts: &Value| -> u64 {
        counts.as_object().expect("counts").values().map(|count| count.as_u64().expect("a count")).sum()
    };
    let before = sum(&edge["refused"]) + sum(&edge["dropped"]) + n("client_gone");
    assert_eq!(
        n("accepted"),
        n("connecting") + n("connected") + before + n("upstream_unreachable") + n("aborted"),
        "accepted: {edge:#}"
    );
    let after =
        n("finished") + sum(&edge["cut"]) + n("client_gone_after") + n("upstream_failed") + n("stopped");
    assert_eq!(n("connected"), n("open") + after, "connected: {edge:#}");
    for way in ["request", "response"] {
        let bytes = |name: &str| edge[way][name].as_u64().expect("bytes");
        let gone = bytes("out") + sum(&edge[way]["withheld"]) + bytes("lost");
        assert_eq!(bytes("in"), gone + bytes("held"), "{way}: {edge:#}");
    }
}

/// Everything up to the end, and how it ended: by errno.
pub(crate) fn rest(tcp: &mut TcpStream) -> (Vec<u8>, End) {
    let mut all = Vec::new();
    let mut piece = [0; 64 * 1024];
    loop {
        match tcp.read(&mut piece) {
            Ok(0) => return (all, End::Eof),
            Ok(read) => all.extend_from_slice(&piece[..read]),
            Err(error) if error.raw_os_error() == Some(libc::ECONNRESET) => return (all, End::Reset),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("neither FIN nor RST after {} bytes: {error}", all.len()),
        }
    }
}

pub(crate) fn exactly(tcp: &mut TcpStream, n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    tcp.read_exact(&mut bytes).expect("so many bytes");
    bytes
}

/// Sends a word there and reads it here.
pub(crate) fn passes(from: &mut TcpStream, to: &mut TcpStream, word: &[u8]) {
    from.write_all(word).expect("taken");
    assert_eq!(exactly(to, word.len()), word);
}

/// Leaves with an RST.
pub(crate) fn vanish(tcp: TcpStream) {
    socket2::SockRef::from(&tcp).set_linger(Some(std::time::Duration::ZERO)).expect("linger");
}
