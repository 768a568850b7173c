//! A cheap HTTP/1.1 origin: one thread, keep-alive, and of each request only hashes of who sent it.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Who came. Hashes have 128 bits: that two of a million are equal by chance is out of the question.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) sessions: HashSet<u128>,
    pub(crate) operations: HashSet<u128>,
    /// By idempotency key, the operation that used it first.
    pub(crate) keys: HashMap<u128, u128>,
    /// Requests whose key had been used by another operation.
    pub(crate) clashes: u64,
    /// Requests that bear no name.
    pub(crate) nameless: u64,
}

/// An origin that answers everything with 200.
pub(crate) struct Census {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Seen>>,
}

impl Census {
    pub(crate) fn open() -> Census {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let notes = Arc::clone(&seen);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&notes)));
                }
            });
        });
        Census { address, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn operations(&self) -> HashSet<u128> {
        self.seen.lock().unwrap().operations.clone()
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Seen>>) {
    let (mut bytes, mut filled) = (vec![0; 16 * 1024], 0);
    loop {
        let Ok(more @ 1..) = stream.read(&mut bytes[filled..]).await else { return };
        filled += more;
        while let Some(length) = request(&bytes[..filled]) {
            seen.lock().unwrap().note(&bytes[..length]);
            bytes.copy_within(length..filled, 0);
            filled -= length;
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
                return;
            }
        }
    }
}

/// Length of the first request, once it is whole.
fn request(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let length = field(&bytes[..head], "content-length")
        .map_or(0, |value| std::str::from_utf8(value).unwrap().parse::<usize>().unwrap());
    (head + length <= bytes.len()).then_some(head + length)
}

fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let value = line.get(name.len()..)?.strip_prefix(b": ")?;
        line[..name.len()].eq_ignore_ascii_case(name.as_bytes()).then(|| value.trim_ascii())
    })
}

impl Seen {
    fn note(&mut self, request: &[u8]) {
        let hash = |name| field(request, name).map(xxhash_rust::xxh3::xxh3_128);
        self.requests += 1;
        let (Some(session), Some(operation)) = (hash("squall-session"), hash("squall-op")) else {
            self.nameless += 1;
            return;
        };
        self.sessions.insert(session);
        self.operations.insert(operation);
        if let Some(key) = hash("idempotency-key") {
            let first = *self.keys.entry(key).or_insert(operation);
            self.clashes += u64::from(first != operation);
        }
    }
}
