//! An origin that a test moves step by step: it writes what it is told, when it is told.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::DEADLINE;

/// An HTTP/1.1 origin for one request. Dropping it closes the connection.
pub(crate) struct Origin {
    addr: SocketAddr,
    heads: Receiver<String>,
    steps: Sender<Vec<u8>>,
}

impl Origin {
    pub(crate) fn open() -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let (tell, heads) = channel();
        let (steps, orders) = channel();
        thread::spawn(move || {
            let Ok((stream, _)) = listener.accept() else { return };
            serve(stream, &tell, &orders);
        });
        Origin { addr, heads, steps }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Waits for the request; returns its head.
    pub(crate) fn request(&self) -> String {
        self.heads.recv_timeout(DEADLINE).expect("a request comes")
    }

    /// Writes these bytes now.
    pub(crate) fn write(&self, bytes: impl AsRef<[u8]>) {
        self.steps.send(bytes.as_ref().to_vec()).expect("the origin is there as long as its owner");
    }

    /// Writes one chunk of a chunked body now.
    pub(crate) fn write_chunk(&self, chunk: &str) {
        self.write(format!("{:x}\r\n{chunk}\r\n", chunk.len()));
    }
}

fn serve(stream: TcpStream, heads: &Sender<String>, orders: &Receiver<Vec<u8>>) {
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).is_ok_and(|n| n != 0) {
            continue;
        }
        return;
    }
    // the test may be over
    let _ = heads.send(head);
    for order in orders {
        if writer.write_all(&order).is_err() {
            return;
        }
    }
}
