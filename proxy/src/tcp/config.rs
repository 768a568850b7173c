//! What a TCP edge is asked to be.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::Error;

/// One plain-TCP edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpEdgeConfig {
    /// Its name, unique among all edges.
    pub name: String,
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// `host:port` of where connections go; a name is resolved for each of them.
    pub upstream: String,
}

impl TcpEdgeConfig {
    /// Reads the upstream of `tcp://host:port`, and sees to it that it resolves today.
    ///
    /// # Errors
    /// No host, no port, or a name that nobody knows.
    pub fn upstream(text: &str) -> Result<String, Error> {
        let wrong = |why: &str| {
            Error::Config(format!("--upstream {text}: {why}; write for example tcp://127.0.0.1:5432"))
        };
        let place = text.strip_prefix(SCHEME).unwrap_or(text).trim_end_matches('/');
        let place = host_and_port(place).map_err(|why| wrong(&why))?;
        let found = place.to_socket_addrs().map_err(|error| wrong(&format!("does not resolve: {error}")))?;
        if found.count() == 0 {
            return Err(wrong("does not resolve"));
        }
        Ok(place)
    }
}

/// `host:port` as it will be connected to; a missing host is this machine.
pub(crate) fn host_and_port(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').ok_or("there is no port")?;
    let port: u16 = port.parse().map_err(|_| format!("`{port}` is no port"))?;
    if port == 0 {
        return Err("port 0 is nobody's".to_owned());
    }
    let is_name =
        |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    let is_ipv6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
    match host {
        "" => Ok(format!("127.0.0.1:{port}")),
        _ if is_ipv6 || is_name(host) => Ok(format!("{host}:{port}")),
        _ => Err(format!("`{host}` is no host")),
    }
}

/// How listeners and upstreams of TCP edges are written.
pub(crate) const SCHEME: &str = "tcp://";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_as_people_type_them() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(host_and_port(text).ok().as_deref(), expect, "{text}");
        };
        check("127.0.0.1:5432", Some("127.0.0.1:5432"));
        check("db.internal:5432", Some("db.internal:5432"));
        check("[::1]:6379", Some("[::1]:6379"));
        check(":6379", Some("127.0.0.1:6379"));
        for bad in ["db", "db:", "db:0", "db:99999", "::1:80", "a b:1", "http://a:1", ""] {
            check(bad, None);
        }
        assert!(
            TcpEdgeConfig::upstream("tcp://127.0.0.1").expect_err("no port").to_string().contains("5432")
        );
    }
}
