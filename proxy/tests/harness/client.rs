//! An HTTP/1 client on a raw socket: every byte and every end is the test's to see.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::PATIENCE;
use super::origin::{header, read_body, read_head};

/// A connection, in clear or (see `tls.rs`) under TLS.
pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    pub(crate) buffer: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// How a connection ended, as the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// FIN.
    Eof,
    /// RST, by errno.
    Reset,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Client {
        Client { stream: connect(addr), buffer: Vec::new() }
    }

    /// One request on a connection of its own.
    pub(crate) fn once(addr: SocketAddr, request: &str) -> Answer {
        Client::connect(addr).ask(request)
    }

    pub(crate) fn get(addr: SocketAddr, target: &str) -> Answer {
        Client::once(addr, &format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"))
    }

    pub(crate) fn close_write(&self) {
        self.stream.shutdown(Shutdown::Write).expect("shutdown");
    }

    /// Leaves with an RST, as a killed process with unread data does.
    pub(crate) fn vanish(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO)).expect("linger");
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the proxy takes it");
        self.stream.flush().expect("the proxy takes it");
    }

    /// Sends a request and reads the whole answer.
    pub(crate) fn ask(&mut self, request: &str) -> Answer {
        self.send(request);
        let bodyless = request.starts_with("HEAD ");
        self.answer(bodyless)
    }

    pub(crate) fn head(&mut self) -> Answer {
        let head = read_head(&mut self.stream, &mut self.buffer).expect("an answer's header");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head, body: Vec::new() }
    }

    pub(crate) fn answer(&mut self, bodyless: bool) -> Answer {
        let mut answer = self.head();
        if !bodyless && !matches!(answer.status, 100..=199 | 204 | 304) {
            let framed = answer.header("content-length").or(answer.header("transfer-encoding")).is_some();
            answer.body = if framed {
                read_body(&mut self.stream, &mut self.buffer, &answer.head).expect("the answer's whole body")
            } else {
                let (body, _) = self.rest();
                body
            };
        }
        answer
    }

    /// At least one byte, as many as are there.
    pub(crate) fn some(&mut self) -> Vec<u8> {
        if self.buffer.is_empty() {
            let mut piece = [0; 64 * 1024];
            let read = self.stream.read(&mut piece).expect("bytes, not an error");
            assert!(read > 0, "bytes, not the end");
            return piece[..read].to_vec();
        }
        std::mem::take(&mut self.buffer)
    }

    pub(crate) fn exactly(&mut self, n: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < n {
            all.extend(self.some());
        }
        self.buffer = all.split_off(n);
        all
    }

    /// Everything up to the end, and how it ended.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, End) {
        let mut all = std::mem::take(&mut self.buffer);
        let mut piece = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return (all, End::Eof),
                Ok(read) => all.extend_from_slice(&piece[..read]),
                Err(error) if error.raw_os_error() == Some(libc::ECONNRESET) => return (all, End::Reset),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return (all, End::Eof),
                Err(error) => panic!("neither FIN nor RST after {} bytes: {error}", all.len()),
            }
        }
    }
}

pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(addr).expect("the proxy listens");
    tcp.set_nodelay(true).expect("nodelay");
    tcp.set_read_timeout(Some(PATIENCE)).expect("timeout");
    tcp.set_write_timeout(Some(PATIENCE)).expect("timeout");
    tcp
}
