//! Whom a replay may speak to: loopback, and hosts that were allowed by name. Everything here is decided on the
//! text of a URL; a refused host is never looked up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use url::{Host, Url};

use crate::error::Error;

/// A peer that passed the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// TLS or not.
    pub(crate) tls: bool,
    /// Host without brackets, as it is looked up and shown in a certificate.
    pub(crate) host: String,
    /// As it stands in a Host header: with brackets, and with the port where it is not the scheme's own.
    pub(crate) authority: String,
    /// Port.
    pub(crate) port: u16,
    /// Path and query of the URL.
    pub(crate) path: String,
    /// Whether it can only be this machine.
    pub(crate) loopback: bool,
}

/// Hosts that the user allowed, lower case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowed {
    hosts: Vec<String>,
}

impl Allowed {
    /// From `--allow-target` and `SQUALL_ALLOW_TARGETS`; entries may hold several hosts, separated by commas.
    pub(crate) fn new(entries: &[String]) -> Allowed {
        let hosts = entries.iter().flat_map(|entry| entry.split(','));
        let hosts = hosts.map(|host| host.trim().trim_matches(['[', ']']).to_ascii_lowercase());
        Allowed { hosts: hosts.filter(|host| !host.is_empty()).collect() }
    }

    /// Reads `url` and says whether it may be spoken to. `what` names it in messages.
    pub(crate) fn check(&self, url: &str, what: &str) -> Result<Peer, Error> {
        let peer = parse(url, what)?;
        if peer.loopback || self.hosts.iter().any(|host| *host == peer.host || *host == peer.authority) {
            return Ok(peer);
        }
        Err(Error::Safety(format!(
            "refused: {what} {url} is not loopback. A replay is load; if {host} is yours to load, say so with \
             --allow-target {host} (or SQUALL_ALLOW_TARGETS={host})",
            host = peer.host
        )))
    }
}

impl Peer {
    /// The addresses behind the name. Loopback names are answered here; only allowed hosts are looked up.
    pub(crate) fn resolve(&self) -> Result<Vec<SocketAddr>, Error> {
        if let Ok(ip) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, self.port)]);
        }
        if self.loopback {
            let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            return Ok(both.map(|ip| SocketAddr::new(ip, self.port)).to_vec());
        }
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        let found: Vec<SocketAddr> =
            found.map_err(|err| Error::Usage(format!("cannot look up {}: {err}", self.host)))?.collect();
        if found.is_empty() { Err(Error::Usage(format!("{} has no address", self.host))) } else { Ok(found) }
    }
}

/// Whether a URL names this machine by a literal address or as `localhost`; false for what is no URL.
pub(crate) fn is_loopback(url: &str) -> bool {
    parse(url, "URL").is_ok_and(|peer| peer.loopback)
}

fn parse(text: &str, what: &str) -> Result<Peer, Error> {
    let usage = |why: &str| Error::Usage(format!("{what} `{text}`: {why}"));
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&full).map_err(|err| usage(&format!("{err}; write http://HOST:PORT")))?;
    let tls = match url.scheme() {
        "http" => false,
        "https" => true,
        other => return Err(usage(&format!("`{other}` is not a scheme that replay speaks (http, https)"))),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(usage("user names and passwords in a URL are not supported; use -H 'authorization: …'"));
    }
    let host = url.host().ok_or_else(|| usage("no host"))?;
    let (loopback, name) = match &host {
        Host::Ipv4(ip) => (ip.is_loopback(), ip.to_string()),
        Host::Ipv6(ip) => (ip.is_loopback(), ip.to_string()),
        Host::Domain(name) => (name.eq_ignore_ascii_case("localhost"), name.to_ascii_lowercase()),
    };
    let port = url.port_or_known_default().ok_or_else(|| usage("no port"))?;
    let authority = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_string(),
    };
    let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    Ok(Peer { tls, host: name, authority, port, path, loopback })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_passes_unnamed() {
        let nobody = Allowed::default();
        for good in
            ["http://127.0.0.1:80", "127.9.8.7:8080", "http://[::1]:1", "https://localhost", "LOCALHOST:9"]
        {
            assert!(nobody.check(good, "target").is_ok_and(|peer| peer.loopback), "{good}");
        }
        for bad in [
            "http://10.0.0.1",
            "http://example.test",
            "http://localhost.example.test",
            "http://127.0.0.1.example.test",
            "http://0.0.0.0:80",
            "http://[::]:80",
            "http://[::ffff:10.0.0.1]:80",
            "http://localhost@example.test/",
            "http://128.0.0.1",
        ] {
            let refused = nobody.check(bad, "target").map_err(|err| err.exit_code());
            assert!(matches!(refused, Err(112 | 104)), "{bad}: {refused:?}");
        }
    }

    #[test]
    fn a_named_host_passes_and_others_still_do_not() {
        let allowed = Allowed::new(&["shop.example.test, [fd00::1]".to_owned(), "10.1.2.3".to_owned()]);
        for good in
            ["http://shop.example.test:81", "https://SHOP.example.test", "10.1.2.3:80", "http://[fd00::1]/"]
        {
            assert!(allowed.check(good, "target").is_ok_and(|peer| !peer.loopback), "{good}");
        }
        assert!(allowed.check("http://evil.example.test", "target").is_err());
        assert!(allowed.check("http://sub.shop.example.test", "target").is_err());
    }

    #[test]
    fn authority_carries_the_port_only_where_needed() {
        let check = |url, authority: &str| {
            assert_eq!(parse(url, "target").map(|peer| peer.authority).ok().as_deref(), Some(authority));
        };
        check("http://127.0.0.1:80", "127.0.0.1");
        check("http://127.0.0.1:8080", "127.0.0.1:8080");
        check("https://[::1]:8443", "[::1]:8443");
        check("localhost", "localhost");
    }
}
