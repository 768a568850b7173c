//! An origin that notes what it meets, and when; a test says what it answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

/// A request as it was met.
#[derive(Debug, Clone)]
pub(crate) struct Met {
    pub(crate) at: Instant,
    /// From 0, in the order in which they were accepted.
    pub(crate) connection: usize,
    /// As in `GET /`.
    pub(crate) what: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Keep,
    Close,
    /// Close with RST.
    Reset,
}

/// An HTTP/1.1 origin with a thread a connection. It ends with the test's process.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    met: Arc<Mutex<Vec<Met>>>,
}

type Handler = dyn Fn(&Met, &mut TcpStream) -> Then + Send + Sync;

impl Met {
    /// The first header of this name, which is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Server {
    /// Answers everything with 200.
    pub(crate) fn plain() -> Server {
        Server::open(|_, stream| answer(stream, b"ok"))
    }

    pub(crate) fn open(handler: impl Fn(&Met, &mut TcpStream) -> Then + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let met = Arc::<Mutex<Vec<Met>>>::default();
        let (seen, handler) = (Arc::clone(&met), Arc::<Handler>::from(Box::new(handler) as Box<Handler>));
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (seen, handler) = (Arc::clone(&seen), Arc::clone(&handler));
                // an error of the client's making ends its connection only
                thread::spawn(move || stream.map(|stream| serve(stream, number, &seen, &*handler)));
            }
        });
        Server { addr, met }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// All requests so far, in the order in which they were met.
    pub(crate) fn met(&self) -> Vec<Met> {
        self.met.lock().unwrap().clone()
    }
}

/// Answers 200 with this body.
pub(crate) fn answer(stream: &mut TcpStream, body: &[u8]) -> Then {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    match stream.write_all(&[head.as_bytes(), body].concat()) {
        Ok(()) => Then::Keep,
        Err(_) => Then::Close,
    }
}

fn serve(mut stream: TcpStream, connection: usize, seen: &Mutex<Vec<Met>>, handler: &Handler) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let met = read(&mut reader, connection)?;
        seen.lock().unwrap().push(met.clone());
        match handler(&met, &mut stream) {
            Then::Keep => {}
            Then::Close => return None,
            Then::Reset => {
                return socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).ok();
            }
        }
    }
}

fn read(reader: &mut impl BufRead, connection: usize) -> Option<Met> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let at = Instant::now();
    let what = lines.first()?.trim_end_matches(" HTTP/1.1").to_owned();
    let header = |line: &String| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let met = Met { at, connection, what, headers: lines[1..].iter().filter_map(header).collect() };
    let length = met.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).ok()?;
    Some(met)
}
