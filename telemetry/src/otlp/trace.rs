//! Spans, their numbers, and the header that says whose child one is (W3C Trace Context).

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Whose child a span is, as `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    trace: u128,
    span: u64,
}

/// One exchange in a trace.
#[derive(Clone, Debug)]
pub struct Span {
    pub(super) trace: u128,
    pub(super) id: u64,
    pub(super) parent: Option<u64>,
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
        };
        (parent.trace != 0 && parent.span != 0).then_some(parent)
    }
}

impl Span {
    /// Is its trace among this share of all? The same for every span of a trace.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "half of a random number, as a share"
    )]
    pub(super) fn is_within(&self, share: f64) -> bool {
        (self.trace as u64 as f64) < share * u64::MAX as f64
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
        let parent = parent.map(|parent| parent.span);
        let (name, attributes) = (String::new(), Vec::new());
        Span { trace, id: self.next(), parent, name, start_ns: 0, end_ns: 0, attributes, is_error: false }
    }

    /// Never 0, which stands for none.
    fn next(&self) -> u64 {
        self.key.hash_one(self.count.fetch_add(1, Ordering::Relaxed)).max(1)
    }
}

pub(super) fn now_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_read_as_the_recommendation_says() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parent = Parent { trace: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, span: 0xb7ad_6b71_6920_3331 };
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
        let within = (0..10_000).filter(|_| ids.span(None).is_within(0.1)).count();
        assert!((800..1200).contains(&within), "{within}: chance would be that far off once in 10^10");
        assert!(ids.span(None).is_within(1.0) && !ids.span(None).is_within(0.0));
        let parent = Some(Parent { trace: 7, span: 1 });
        assert_eq!(ids.span(parent).is_within(0.01), ids.span(parent).is_within(0.01));
    }
}
