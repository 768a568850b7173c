//! Sets of methods as bits.

/// Methods a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Methods(u32);

impl Methods {
    /// Every method, known or not.
    pub(crate) const ALL: Self = Self(u32::MAX);

    /// No method yet; a start to add to.
    pub(crate) const NONE: Self = Self(0);

    /// The bit of a method; all unknown methods share the lowest, which only [`Methods::ALL`] has.
    pub(crate) fn bit(method: &str) -> u32 {
        KNOWN.iter().position(|known| *known == method).map_or(1, |place| 2 << place)
    }

    /// The set with one more; `None` when the method is not a known one.
    pub(crate) fn with(self, method: &str) -> Option<Self> {
        KNOWN.contains(&method).then(|| Self(self.0 | Self::bit(method)))
    }

    pub(crate) fn contains(self, method: &str) -> bool {
        self == Self::ALL || self.0 & Self::bit(method) != 0
    }

    pub(crate) fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    pub(crate) fn describe(self) -> String {
        if self == Self::ALL {
            return "any method".to_owned();
        }
        let names: Vec<_> = KNOWN.iter().copied().filter(|name| self.contains(name)).collect();
        names.join("|")
    }
}

impl Default for Methods {
    fn default() -> Self {
        Self::ALL
    }
}

/// Methods a rule may name, most frequent first: RFC 9110, PATCH, QUERY, and what WebDAV and caches use.
/// A closed list, so that a slip of the pen is an error and not a rule that never fires.
pub(crate) const KNOWN: &[&str] = &[
    "GET",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "HEAD",
    "OPTIONS",
    "CONNECT",
    "TRACE",
    "QUERY",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
    "PURGE",
];
