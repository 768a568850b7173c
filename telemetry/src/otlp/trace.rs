//! Spans, their numbers, and the header that says whose child one is (W3C Trace Context).

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Whose child a span is, as `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    trace: u128,
    pub(super) span: u64,
    /// As they were said.
    flags: u8,
}

/// One exchange in a trace.
#[derive(Clone, Debug)]
pub struct Span {
    pub(super) trace: u128,
    pub(super) id: u64,
    pub(super) parent: Option<Parent>,
    pub(super) side: Side,
    /// What it is called: few different names.
    pub name: String,
    /// Nanoseconds since 1970.
    pub start_ns: u128,
    /// Nanoseconds since 1970.
    pub end_ns: u128,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Value)>,
    /// It went wrong.
    pub is_error: bool,
}

/// The side of an exchange that tells a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// It was asked.
    Server,
    /// It asked.
    Client,
}

/// What an attribute holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Number(u64),
    /// Several texts.
    Texts(Vec<String>),
}

impl Parent {
    /// Reads `00-TRACE-SPAN-FLAGS`; anything that the recommendation does not allow is none.
    #[must_use]
    pub fn read(header: &str) -> Option<Parent> {
        let mut parts = header.trim().split('-');
        let [version, trace, span, flags] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        let sizes = [version.len(), trace.len(), span.len(), flags.len()] == [2, 32, 16, 2];
        let is_hex = |part: &&str| part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let is_known = version != "ff" && (version != "00" || parts.next().is_none());
        if !sizes || !is_known || ![version, trace, span, flags].iter().all(is_hex) {
            return None;
        }
        let parent = Parent {
            trace: u128::from_str_radix(trace, 16).ok()?,
            span: u64::from_str_radix(span, 16).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()?,
        };
        (parent.trace != 0 && parent.span != 0).then_some(parent)
    }
}

/// Is a trace among this share of all? The same wherever it is asked, so that traces are whole or not there.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "half of a random number, as a share"
)]
pub fn is_sampled(trace: u128, share: f64) -> bool {
    (trace as u64 as f64) < share * u64::MAX as f64
}

impl Span {
    /// The span of who asks, in a trace that begins with it. Neither number may be 0.
    #[must_use]
    pub fn first(trace: u128, id: u64) -> Span {
        Span::new((trace, id), None, Side::Client)
    }

    /// What a request says of it to who is asked (`traceparent`): as sampled, or with the flags that were said to us.
    #[must_use]
    pub fn traceparent(&self) -> String {
        let flags = self.parent.map_or(SAMPLED, |parent| parent.flags);
        format!("00-{:032x}-{:016x}-{flags:02x}", self.trace, self.id)
    }

    fn new((trace, id): (u128, u64), parent: Option<Parent>, side: Side) -> Span {
        let (name, attributes) = (String::new(), Vec::new());
        Span { trace, id, parent, side, name, start_ns: 0, end_ns: 0, attributes, is_error: false }
    }
}

/// Numbers that nobody else has: a keyed hash of a count, its key drawn by the system.
#[derive(Debug)]
pub(super) struct Ids {
    key: RandomState,
    count: AtomicU64,
}

impl Ids {
    pub(super) fn new() -> Ids {
        Ids { key: RandomState::new(), count: AtomicU64::new(0) }
    }

    pub(super) fn span(&self, parent: Option<Parent>) -> Span {
        let trace = parent
            .map_or_else(|| (u128::from(self.next()) << 64) | u128::from(self.next()), |parent| parent.trace);
        Span::new((trace, self.next()), parent, Side::Server)
    }

    /// Never 0, which stands for none.
    fn next(&self) -> u64 {
        self.key.hash_one(self.count.fetch_add(1, Ordering::Relaxed)).max(1)
    }
}

/// Nanoseconds since 1970.
#[must_use]
pub fn now_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos())
}

/// The flag of W3C Trace Context that says so.
const SAMPLED: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_read_as_the_recommendation_says() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let (trace, span) = (0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, 0xb7ad_6b71_6920_3331);
        let parent = Parent { trace, span, flags: 1 };
        assert_eq!(Parent::read(good), Some(parent));
        assert_eq!(Parent::read(&good.replacen("00", "cc", 1)), Some(parent), "later versions begin alike");
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(Parent::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_share_of_all_traces_is_sampled_and_a_trace_as_a_whole() {
        let ids = Ids::new();
        let within = (0..10_000).filter(|_| is_sampled(ids.span(None).trace, 0.1)).count();
        assert!((800..1200).contains(&within), "{within}: chance would be that far off once in 10^10");
        let trace = ids.span(None).trace;
        assert!(is_sampled(trace, 1.0) && !is_sampled(trace, 0.0));
        let parent = Some(Parent { trace, span: 1, flags: 0 });
        assert_eq!(ids.span(parent).trace, trace, "so whoever is in it decides alike");
    }

    #[test]
    fn a_child_says_whose_trace_it_is_in_and_that_it_is_the_next_ones_parent() {
        let said = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let child = Ids::new().span(Parent::read(said));
        let (next, id) = (child.traceparent(), format!("-{:016x}-00", child.id));
        assert!(next.starts_with(&said[..35]) && next.ends_with(&id) && next != said, "{next}");
        assert_eq!(
            Span::first(10, 11).traceparent(),
            "00-0000000000000000000000000000000a-000000000000000b-01"
        );
    }
}
