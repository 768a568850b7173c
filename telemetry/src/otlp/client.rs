//! One POST on a connection of its own, with a deadline for each step.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

/// A collector's URL: `http://127.0.0.1:4318`, or with a path before `/v1/traces`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    authority: String,
    path: String,
}

impl FromStr for Collector {
    type Err = String;

    fn from_str(text: &str) -> Result<Collector, String> {
        let wrong = |why: &str| format!("`{text}` {why}: write http://127.0.0.1:4318");
        let rest = text.strip_prefix("http://").ok_or_else(|| wrong("is not of the scheme http"))?;
        let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let is_plain = text.chars().all(|c| c.is_ascii_graphic() && !"?#@\\\"".contains(c));
        if host.is_empty() || host.starts_with(':') || !is_plain {
            return Err(wrong("is no URL of a collector"));
        }
        let has_port = host.rsplit_once(':').is_some_and(|(name, port)| {
            port.parse::<u16>().is_ok() && (!name.contains(':') || name.ends_with(']'))
        });
        let authority = if has_port { host.to_owned() } else { format!("{host}:4318") };
        Ok(Collector { authority, path: path.trim_end_matches('/').to_owned() })
    }
}

/// Reads the share of traces that is sent: `1%`, `0.1%`, `100%`.
///
/// # Errors
/// It is none: what to write instead.
pub fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    let share = number.filter(|number| (0.0..=100.0).contains(number)).map(|number| number / 100.0);
    share.ok_or_else(|| format!("`{text}` is no share: write 1%, 0.1% or 100%"))
}

impl Collector {
    /// Sends a body of JSON. Fails unless the collector answers 2xx.
    pub(super) fn post(&self, path: &str, body: &str) -> io::Result<()> {
        let addr = self.authority.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
        let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (authority, prefix, length) = (&self.authority, &self.path, body.len());
        let head = format!(
            "POST {prefix}{path} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        let taken = status.starts_with(b"HTTP/1.") && status[9] == b'2';
        if taken { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

/// A collector is near, and nobody waits for it but our own thread.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percents() {
        assert_eq!(["0%", "2.5%", "100%"].map(share), [Ok(0.0), Ok(0.025), Ok(1.0)]);
        for bad in ["", "1", "-1%", "101%", "x%", "NaN%"] {
            assert!(share(bad).is_err_and(|words| words.contains("write 1%")), "{bad}");
        }
    }

    #[test]
    fn urls_are_read_or_refused_in_words() {
        let check = |text: &str, authority: &str, path: &str| {
            let collector: Collector = text.parse().expect(text);
            assert_eq!((collector.authority.as_str(), collector.path.as_str()), (authority, path), "{text}");
        };
        check("http://127.0.0.1:4318", "127.0.0.1:4318", "");
        check("http://localhost/", "localhost:4318", "");
        check("http://[::1]", "[::1]:4318", "");
        check("http://[::1]:80/otlp/", "[::1]:80", "/otlp");
        for bad in ["", "https://a", "127.0.0.1:4318", "http://", "http://:1", "http://u:p@h", "http://a b"] {
            assert!(bad.parse::<Collector>().is_err_and(|words| words.contains("write http://")), "{bad}");
        }
    }
}
