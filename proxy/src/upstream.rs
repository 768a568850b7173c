//! Where requests go: the members of an edge's upstream, and the groups that take over from them in an outage.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use fault_rules::{Action, RuleSet};
use pingora_core::protocols::ALPN;
use pingora_core::upstreams::peer::HttpPeer;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::{Config, Upstream};

/// One of the origins that an edge spreads its requests over.
#[derive(Debug)]
pub(crate) struct Member {
    /// `host:port`, as rule files name it.
    pub(crate) authority: Box<str>,
    peer: HttpPeer,
    /// gRPC needs HTTP/2 on every hop.
    grpc_peer: HttpPeer,
}

impl Member {
    pub(crate) fn new(upstream: &Upstream, config: &Config) -> Self {
        Member {
            authority: upstream.authority().into(),
            peer: peer(upstream, config, upstream.h2c),
            grpc_peer: peer(upstream, config, true),
        }
    }

    pub(crate) fn peer(&self, grpc: bool) -> &HttpPeer {
        if grpc { &self.grpc_peer } else { &self.peer }
    }

    /// The same way to talk, with somebody else.
    pub(crate) fn replaced_by(&self, other: &Standin, grpc: bool) -> HttpPeer {
        let mut peer = self.peer(grpc).clone();
        peer._address = other.addr.into();
        peer.sni.clone_from(&other.host);
        peer
    }
}

/// Which of `n` members an attempt of an operation goes to: equal for equal names, and another for the next attempt.
/// `n` is at least 1.
pub(crate) fn choose(operation: &str, attempt: u32, n: usize) -> usize {
    let place = xxh3_64(operation.as_bytes()).wrapping_add(u64::from(attempt)) % n as u64;
    usize::try_from(place).unwrap_or(0)
}

/// A member of a group that takes over.
#[derive(Debug)]
pub(crate) struct Standin {
    host: String,
    addr: SocketAddr,
}

/// The groups that take over from others, by name.
#[derive(Debug, Default)]
pub(crate) struct Standins(HashMap<String, Vec<Arc<Standin>>>);

impl Standins {
    /// Resolves the groups that the rules of a set fail over to. Blocks for as long as names take. A member that does not
    /// resolve gets no requests; a group without any does not take over.
    pub(crate) fn resolve(set: &RuleSet) -> Self {
        let failovers =
            set.rules().iter().flat_map(fault_rules::Rule::actions).filter_map(|action| match action {
                Action::Outage(outage) => outage.failover.as_ref(),
                _ => None,
            });
        let groups = failovers.filter_map(|failover| set.group(&failover.to)).map(|group| {
            let members = group.members.iter().filter_map(|member| Standin::resolve(member, &group.name));
            (group.name.clone(), members.map(Arc::new).collect())
        });
        Standins(groups.collect())
    }

    /// The member that an attempt of an operation goes to.
    pub(crate) fn choose(&self, group: &str, operation: &str, attempt: u32) -> Option<&Arc<Standin>> {
        let members = self.0.get(group).filter(|members| !members.is_empty())?;
        members.get(choose(operation, attempt, members.len()))
    }
}

impl Standin {
    fn resolve(authority: &str, group: &str) -> Option<Self> {
        let (host, _) = authority.rsplit_once(':')?;
        let found = authority.to_socket_addrs().map(|mut found| found.next());
        match found {
            Ok(Some(addr)) => Some(Standin { host: host.trim_matches(['[', ']']).to_owned(), addr }),
            Ok(None) | Err(_) => {
                tracing::warn!(group, member = authority, "does not resolve, so it will not take over");
                None
            }
        }
    }
}

fn peer(upstream: &Upstream, config: &Config, only_h2: bool) -> HttpPeer {
    let mut peer = HttpPeer::new(upstream.addr, upstream.tls, upstream.host.clone());
    let options = &mut peer.options;
    options.connection_timeout = Some(config.connect_timeout);
    options.total_connection_timeout = Some(config.connect_timeout * 2);
    options.read_timeout = Some(config.upstream_timeout);
    options.write_timeout = Some(config.upstream_timeout);
    options.idle_timeout = Some(IDLE);
    options.verify_cert = !config.upstream_insecure;
    options.verify_hostname = !config.upstream_insecure;
    options.max_h2_streams = STREAMS;
    options.alpn = match (only_h2, upstream.tls) {
        (true, _) => ALPN::H2,
        (false, true) => ALPN::H2H1,
        (false, false) => ALPN::H1,
    };
    peer
}

/// An idle upstream connection is closed after this: below the 60 s and more that servers give.
const IDLE: Duration = Duration::from_secs(30);
const STREAMS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_share_operations_evenly_and_a_next_attempt_moves_on() {
        let mut counts = [0_u32; 3];
        for op in 0..30_000_u64 {
            let op = format!("{op:016x}");
            counts[choose(&op, 1, 3)] += 1;
            assert_eq!(choose(&op, 2, 3), choose(&op, 2, 3));
            assert_ne!(choose(&op, 1, 3), choose(&op, 2, 3));
        }
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 500), "{counts:?}");
        assert_eq!(choose("any", u32::MAX, 1), 0);
    }
}
