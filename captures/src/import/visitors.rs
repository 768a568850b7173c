//! Who a request came from, where the source does not name sessions.
//!
//! A visitor is one client address with one user agent; after 30 minutes without a request the next one begins a new
//! session. Behind a proxy the address is the one that its headers name. `squall captures rekey` can decide otherwise.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_128;

use super::{Numbering, Tally};
use crate::{Headers, SessionId};

/// Who was seen when.
#[derive(Default)]
pub(super) struct Visitors {
    /// By a hash of who it is: the session and the time of its last request.
    open: HashMap<u128, (SessionId, u64)>,
    /// When to look for ended ones, as a number of open ones.
    sweep_at: usize,
}

/// A hash of what tells a visitor from others.
pub(super) fn who(parts: &[&[u8]]) -> u128 {
    xxh3_128(&parts.join(&b'\0'))
}

/// The client's address that a proxy in between put into the request, if one did.
pub(super) fn forwarded_for(headers: &Headers) -> Option<&[u8]> {
    let first = |value: &'static str| {
        let value = headers.get(value)?.split(|byte| *byte == b',').next()?.trim_ascii();
        (!value.is_empty()).then_some(value)
    };
    let forwarded = || {
        let mut parts =
            headers.get("forwarded")?.split(|byte| matches!(byte, b',' | b';')).map(<[u8]>::trim_ascii);
        parts
            .find(|part| part.get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"for=")))
            .map(|part| &part[4..])
    };
    first("x-forwarded-for").or_else(|| first("x-real-ip")).or_else(forwarded)
}

impl Visitors {
    /// The session of a request of `visitor`.
    pub(super) fn session(
        &mut self,
        visitor: u128,
        now_us: u64,
        numbering: &mut Numbering,
        tally: &mut Tally,
    ) -> SessionId {
        let (session, last_us) = match self.open.get(&visitor) {
            Some((session, last_us)) if now_us.saturating_sub(*last_us) <= GAP_US => (*session, *last_us),
            _ => {
                tally.sessions += 1;
                (numbering.next_session(), now_us)
            }
        };
        self.open.insert(visitor, (session, last_us.max(now_us)));
        if self.sweep_at.max(1024) <= self.open.len() {
            self.open.retain(|_, (_, last_us)| now_us.saturating_sub(*last_us) <= GAP_US);
            self.sweep_at = self.open.len() * 2;
        }
        session
    }
}

/// The usual definition of a visit.
const GAP_US: u64 = 30 * 60 * 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_forwarders_is_the_client() {
        let check = |name: &str, value: &str, expect: Option<&str>| {
            let headers: Headers = [(name, value)].into_iter().collect();
            assert_eq!(forwarded_for(&headers), expect.map(str::as_bytes), "{name}: {value}");
        };
        check("X-Forwarded-For", "9.9.9.9, 10.0.0.1", Some("9.9.9.9"));
        check("X-Real-IP", " 9.9.9.9 ", Some("9.9.9.9"));
        check("Forwarded", "proto=https; FOR=\"[::1]:7\", for=x", Some("\"[::1]:7\""));
        check("Forwarded", "proto=https", None);
        check("X-Forwarded-For", "", None);
        check("Via", "1.1 a", None);
    }
}
