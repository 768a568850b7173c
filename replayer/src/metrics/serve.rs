//! A listener for `GET /metrics`: one client after the other, on a thread of its own, each with a deadline.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Listens until it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    addr: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Takes the address; port 0 is a free one. `text` makes what a scrape gets.
    pub(super) fn start(
        addr: SocketAddr,
        text: impl Fn() -> Result<String, String> + Send + 'static,
    ) -> io::Result<Server> {
        let listener = TcpListener::bind(addr)?;
        let addr = listener.local_addr()?;
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let serve = move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::Acquire) {
                    return;
                }
                match stream {
                    // A client that goes away has its reasons; the next one counts.
                    Ok(stream) => drop(answer(&stream, &text)),
                    // No file descriptor is left: the run has them all.
                    Err(_) => std::thread::sleep(PAUSE),
                }
            }
        };
        let thread = std::thread::Builder::new().name("replay-metrics".to_owned()).spawn(serve)?;
        Ok(Server { addr, over, thread: Some(thread) })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // A connection wakes it; who listens everywhere is there on loopback, too.
        let mut addr = self.addr;
        if addr.ip().is_unspecified() {
            let loopback: std::net::IpAddr =
                if addr.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
            addr.set_ip(loopback);
        }
        if TcpStream::connect_timeout(&addr, PATIENCE).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: &TcpStream, text: &dyn Fn() -> Result<String, String>) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = head(stream)?;
    let target = head.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let (status, body) = match (head.split(' ').next(), path) {
        (Some("GET" | "HEAD"), "/metrics") => match text() {
            Ok(text) => ("200 OK", text),
            Err(words) => ("500 Internal Server Error", words),
        },
        (Some("GET" | "HEAD"), _) => ("404 Not Found", "no such path; there is GET /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "there is GET /metrics\n".to_owned()),
    };
    let length = body.len();
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    let mut answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    if !head.starts_with("HEAD ") {
        answer += &body;
    }
    stream.write_all(answer.as_bytes())
}

/// What is read of a request: to the end of its head, or no further than the bounds.
fn head(mut stream: &TcpStream) -> io::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut read = Vec::new();
    let mut buffer = [0; 1024];
    while !read.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || MOST_HEAD < read.len() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => read.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(String::from_utf8_lossy(&read).into_owned())
}

/// A scraper sends its few lines at once and reads at once.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(100);
const MOST_HEAD: usize = 8192;
