//! The first look at every rule: what an exchange must have, as numbers. A gate may let one pass that does not match (the
//! matcher then says no), and never holds one back that does.

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use super::{Matcher, Methods, Template, host};
use crate::decide::Facts;

/// One gate a rule, and the headers they ask for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gates {
    gates: Vec<Gate>,
    /// Distinct header names; each is looked up at most once per exchange.
    headers: Vec<String>,
}

impl Gates {
    pub(crate) fn new<'a>(matchers: impl Iterator<Item = &'a Matcher>) -> Self {
        let mut headers = Vec::new();
        let gates = matchers.map(|matcher| Gate::new(matcher, &mut headers)).collect();
        Self { gates, headers }
    }

    /// Calls `visit` with the place of each rule that may match, in order.
    pub(crate) fn survivors(&self, facts: &Facts<'_>, mut visit: impl FnMut(usize)) {
        let probe = Probe::new(facts);
        let mut headers: SmallVec<[Option<Found>; 8]> = smallvec::smallvec![None; self.headers.len()];
        for (idx, gate) in self.gates.iter().enumerate() {
            let passes = gate.lets_pass(&probe)
                && gate.header.is_none_or(|test| test.holds(self.found(test.name, &mut headers, facts)));
            if passes {
                visit(idx);
            }
        }
    }

    fn found(&self, name: usize, cache: &mut [Option<Found>], facts: &Facts<'_>) -> Found {
        let look = || match self.headers.get(name).and_then(|name| (facts.header)(name)) {
            Some(value) => Found { present: true, hash: xxh3_64(value.as_bytes()) },
            None => Found { present: false, hash: 0 },
        };
        match cache.get_mut(name) {
            Some(found) => *found.get_or_insert_with(look),
            None => look(),
        }
    }
}

/// What one matcher asks for. What it does not ask for has a mask of zero, so that all is compared without a branch.
#[derive(Debug, Clone)]
struct Gate {
    /// The first bytes of every path that can match.
    head: Masked<u128>,
    /// Least and most parts of the path.
    parts: (usize, usize),
    /// Place of a part that must be there, and its hash.
    pivot_at: usize,
    pivot: Masked<u64>,
    host: Masked<u64>,
    edge: Masked<u64>,
    methods: u32,
    header: Option<Header>,
}

/// Bits that must be there, and which of them count.
#[derive(Debug, Clone, Copy, Default)]
struct Masked<T> {
    bits: T,
    mask: T,
}

impl Masked<u64> {
    fn all_of(bits: Option<u64>) -> Self {
        bits.map_or(Self::default(), |bits| Self { bits, mask: u64::MAX })
    }

    /// Zero when the bits are there.
    fn misses(self, found: u64) -> u64 {
        (found & self.mask) ^ self.bits
    }
}

impl Masked<u128> {
    fn prefix(text: &str) -> Self {
        let known = text.len().min(HEAD_BYTES);
        // A shift by the full width would overflow: that is the case of no known byte.
        let mask = u128::MAX.checked_shl(8 * (HEAD_BYTES - known) as u32).unwrap_or(0);
        Self { bits: head(text) & mask, mask }
    }

    fn misses(self, found: u128) -> u64 {
        let missed = (found & self.mask) ^ self.bits;
        (missed >> 64) as u64 | missed as u64
    }
}

/// The first header a matcher asks for.
#[derive(Debug, Clone, Copy)]
struct Header {
    /// Place in [`Gates::headers`].
    name: usize,
    /// Hash of the wanted value.
    value: Option<u64>,
}

impl Header {
    fn holds(self, found: Found) -> bool {
        found.present && self.value.is_none_or(|wanted| wanted == found.hash)
    }
}

/// A header of the exchange.
#[derive(Debug, Clone, Copy)]
struct Found {
    present: bool,
    hash: u64,
}

impl Gate {
    fn new(matcher: &Matcher, headers: &mut Vec<String>) -> Self {
        let path = matcher.path.as_ref();
        let pivot = path.and_then(Template::pivot).filter(|(place, _)| *place < PARTS);
        Self {
            head: Masked::prefix(path.map_or("", Template::prefix)),
            parts: path.map_or((0, usize::MAX), Template::parts),
            pivot_at: pivot.map_or(0, |(place, _)| place),
            pivot: Masked::all_of(pivot.map(|(_, literal)| xxh3_64(literal.as_bytes()))),
            host: Masked::all_of(matcher.host.as_ref().and_then(host::Host::fingerprint)),
            edge: Masked::all_of(matcher.edge.as_ref().map(|edge| xxh3_64(edge.as_bytes()))),
            methods: matcher.methods.bits(),
            header: matcher.headers.first().map(|test| Header {
                name: interned(&test.name, headers),
                value: test.value.as_ref().map(|value| xxh3_64(value.as_bytes())),
            }),
        }
    }

    fn lets_pass(&self, probe: &Probe) -> bool {
        let misses = self.head.misses(probe.head)
            | self.pivot.misses(probe.parts[self.pivot_at % PARTS])
            | self.host.misses(probe.host)
            | self.edge.misses(probe.edge);
        let fits = self.parts.0 <= probe.n_parts && probe.n_parts <= self.parts.1;
        misses == 0 && fits && self.methods & probe.method != 0
    }
}

/// What one exchange has.
struct Probe {
    head: u128,
    /// Hashes of the first parts of the path.
    parts: [u64; PARTS],
    n_parts: usize,
    host: u64,
    edge: u64,
    method: u32,
}

impl Probe {
    fn new(facts: &Facts<'_>) -> Self {
        let tail = facts.path.strip_prefix('/').unwrap_or(facts.path);
        let (mut parts, mut n_parts) = ([0; PARTS], 0);
        for part in tail.split('/') {
            if let Some(slot) = parts.get_mut(n_parts) {
                *slot = xxh3_64(part.as_bytes());
            }
            n_parts += 1;
        }
        Self {
            head: head(facts.path),
            parts,
            n_parts,
            host: host::fingerprint(facts.authority),
            edge: xxh3_64(facts.edge.as_bytes()),
            method: Methods::bit(facts.method),
        }
    }
}

/// The first bytes of a path as one number, the first byte on top, zeros where it is shorter.
fn head(path: &str) -> u128 {
    let bytes = path.as_bytes();
    if let Some(full) = bytes.first_chunk::<HEAD_BYTES>() {
        return u128::from_be_bytes(*full);
    }
    let mut padded = [0; HEAD_BYTES];
    for (to, from) in padded.iter_mut().zip(bytes) {
        *to = *from;
    }
    u128::from_be_bytes(padded)
}

fn interned(name: &str, names: &mut Vec<String>) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}

const HEAD_BYTES: usize = size_of::<u128>();

/// Parts of a path that are looked at here; the rest is the matcher's.
const PARTS: usize = 32;
