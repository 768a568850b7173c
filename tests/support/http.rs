//! A plain HTTP/1.1 client: one request a connection, the answer whole.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::DEADLINE;

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case, in the order in which they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first header of this name, which is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in an answer of {}: {}", self.status, self.text()))
    }
}

pub(crate) fn get(addr: SocketAddr, path: &str) -> Answer {
    send(addr, &format!("GET {path}"), &[], b"")
}

pub(crate) fn post(addr: SocketAddr, path: &str, body: &[u8]) -> Answer {
    send(addr, &format!("POST {path}"), &[], body)
}

/// Sends one request, `what` being its method and its target.
pub(crate) fn send(addr: SocketAddr, what: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut head = format!("{what} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", body.len());
    let mut stream = TcpStream::connect(addr).unwrap_or_else(|error| panic!("{what} to {addr}: {error}"));
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline can be set");
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap_or_else(|error| panic!("{what}: {error}"));
    parse(&said).unwrap_or_else(|| panic!("{what} was answered by {:?}", String::from_utf8_lossy(&said)))
}

fn parse(said: &[u8]) -> Option<Answer> {
    let end = said.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&said[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let header = |line: &str| {
        line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers = lines.map(header).collect::<Option<Vec<_>>>()?;
    let mut answer = Answer { status, headers, body: said[end + 4..].to_vec() };
    if answer.header("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        answer.body = dechunked(&answer.body)?;
    } else if let Some(length) = answer.header("content-length") {
        let length: usize = length.parse().ok()?;
        answer.body.get(..length)?;
        answer.body.truncate(length);
    }
    Some(answer)
}

fn dechunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}
