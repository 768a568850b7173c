//! Named groups of upstreams.

/// Upstreams that fail together: a region, a cluster, a rack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Unique.
    pub name: String,
    /// `host:port`, as the upstreams of edges are given; at least one.
    pub members: Vec<String>,
}

impl Group {
    /// Whether an upstream (`host:port`) is a member.
    #[must_use]
    pub fn has(&self, upstream: &str) -> bool {
        self.members.iter().any(|member| member == upstream)
    }
}
