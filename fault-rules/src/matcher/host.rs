//! Host patterns.

/// A host name, perhaps with its port, perhaps with `*.` in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// Lower case; without the `*.`.
    name: String,
    /// `*.name`: one or more labels in front, never the name alone.
    sub_domains: bool,
    /// `None`: any port.
    port: Option<u16>,
}

impl Host {
    /// Reads `name`, `name:port`, `*.name`, `*.name:port`, `[v6]`, `[v6]:port`.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (sub_domains, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (name, port) = split_port(rest);
        if name.is_empty() || !rest.bytes().all(is_host_byte) {
            return Err("not a host name; write `shop.local`, `shop.local:8443` or `*.shop.local`");
        }
        let port = match port.map(str::parse) {
            None => None,
            Some(Ok(port)) => Some(port),
            Some(Err(_)) => return Err("the port is not a number from 0 to 65535"),
        };
        Ok(Self { name: name.to_ascii_lowercase(), sub_domains, port })
    }

    /// Whether the authority of a request names this host; the port only counts where the pattern has one.
    pub(crate) fn matches(&self, authority: &str) -> bool {
        let (name, port) = split_port(authority);
        let port_fits =
            self.port.is_none_or(|wanted| port.and_then(|port| port.parse().ok()) == Some(wanted));
        port_fits && self.name_fits(name.as_bytes())
    }

    /// A hash of the name that a request must ask for; `None` where several names would do.
    pub(crate) fn fingerprint(&self) -> Option<u64> {
        (!self.sub_domains).then(|| fingerprint(&self.name))
    }

    pub(crate) fn describe(&self) -> String {
        let star = if self.sub_domains { "*." } else { "" };
        let port = self.port.map_or(String::new(), |port| format!(":{port}"));
        format!("{star}{}{port}", self.name)
    }

    fn name_fits(&self, name: &[u8]) -> bool {
        let wanted = self.name.as_bytes();
        if !self.sub_domains {
            return name.eq_ignore_ascii_case(wanted);
        }
        let Some(split) = name.len().checked_sub(wanted.len()) else { return false };
        let (labels, tail) = name.split_at(split);
        1 < labels.len() && labels.ends_with(b".") && tail.eq_ignore_ascii_case(wanted)
    }
}

/// The hash of the host an authority names, case folded; see [`Host::fingerprint`].
pub(crate) fn fingerprint(authority: &str) -> u64 {
    // FNV-1a: names are short, and folding the case byte by byte needs no buffer.
    let fold =
        |hash: u64, byte: u8| (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3);
    split_port(authority).0.bytes().fold(0xcbf2_9ce4_8422_2325, fold)
}

/// Name and port; the colons inside the brackets of an IPv6 address are no port.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (authority, None),
    }
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_match_as_named() {
        let check = |pattern: &str, authority: &str, expect: bool| {
            let host = Host::parse(pattern).unwrap();
            assert_eq!(host.matches(authority), expect, "{pattern} on {authority}");
        };
        check("shop.local", "shop.local", true);
        check("shop.local", "SHOP.local:80", true);
        check("Shop.Local", "shop.local", true);
        check("shop.local:8443", "shop.local:8443", true);
        check("shop.local:8443", "shop.local", false);
        check("shop.local", "eu.shop.local", false);
        check("*.shop.local", "eu.shop.local", true);
        check("*.shop.local", "a.eu.shop.local:1", true);
        check("*.shop.local", "shop.local", false);
        check("*.shop.local", ".shop.local", false);
        check("*.shop.local", "workshop.local", false);
        check("[::1]", "[::1]:8080", true);
        check("[::1]:8080", "[::1]:8080", true);
        check("[::1]:8080", "[::1]", false);
        check("127.0.0.1", "127.0.0.1:9101", true);
    }

    #[test]
    fn hosts_that_are_none_are_refused() {
        for bad in ["", "*.", "a b", "a:x", "a:70000", "http://a", "*", "a*.b"] {
            assert!(Host::parse(bad).is_err(), "{bad}");
        }
    }
}
