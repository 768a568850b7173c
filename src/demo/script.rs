//! The edits of the rule file, and when they are made. Pure.

use std::time::Duration;

/// One time that the rule file is saved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edit {
    /// How far the replay is then, as a share of the time it is expected to take.
    pub(super) at: f64,
    /// Name under which this version is kept for reading.
    pub(super) name: &'static str,
    /// What is saved.
    pub(super) text: &'static str,
    /// What it means, in words.
    pub(super) words: &'static str,
    /// Whether the proxy must refuse it.
    pub(super) broken: bool,
}

impl Edit {
    /// When it is made in a replay that takes about `span`.
    pub(super) fn due(&self, span: Duration) -> Duration {
        span.mul_f64(self.at)
    }
}

/// What the rule file says before the replay, and after all edits.
pub(super) const QUIET: &str = include_str!("rules/quiet.toml");

/// For the capture that the demo records itself.
pub(super) const SHOP: [Edit; 4] = [
    Edit {
        at: 0.18,
        name: "1-quota.toml",
        text: include_str!("rules/shop-1-quota.toml"),
        words: "POST /api/checkout is limited to 100/s, the rest gets 429",
        broken: false,
    },
    Edit {
        at: 0.40,
        name: "2-trouble.toml",
        text: include_str!("rules/shop-2-trouble.toml"),
        words: "and 30% of product pages are slow, 10% of sessions get 503 for their cart, 5% of GET /api/orders a reset",
        broken: false,
    },
    Edit {
        at: 0.60,
        name: "3-broken.toml",
        text: include_str!("rules/shop-3-broken.toml"),
        words: "a slip of the pen",
        broken: true,
    },
    LIFT,
];

/// For somebody else's capture.
pub(super) const ANY: [Edit; 4] = [
    Edit {
        at: 0.18,
        name: "1-quota.toml",
        text: include_str!("rules/any-1-quota.toml"),
        words: "30% of sessions are limited to 5 requests a second each, the rest gets 429",
        broken: false,
    },
    Edit {
        at: 0.40,
        name: "2-trouble.toml",
        text: include_str!("rules/any-2-trouble.toml"),
        words: "and 20% of reads are slow, 5% of operations get 503, 1% a reset",
        broken: false,
    },
    Edit {
        at: 0.60,
        name: "3-broken.toml",
        text: include_str!("rules/any-3-broken.toml"),
        words: "a slip of the pen",
        broken: true,
    },
    LIFT,
];

const LIFT: Edit = Edit {
    at: 0.80,
    name: "4-quiet.toml",
    text: QUIET,
    words: "all rules are taken out again",
    broken: false,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_good_edits_are_good_and_the_broken_one_names_its_place() {
        for edit in SHOP.into_iter().chain(ANY) {
            match fault_rules::parse(edit.text, edit.name, &fault_rules::Loader::NOTHING) {
                Ok(_) => assert!(!edit.broken, "{} is not broken", edit.name),
                Err(report) => {
                    let text = report.to_string();
                    assert!(edit.broken, "{}: {text}", edit.name);
                    assert!(text.contains("dealy") && text.contains("`delay`"), "{text}");
                }
            }
        }
    }

    #[test]
    fn edits_come_in_order_and_leave_time_to_see_them() {
        for script in [SHOP, ANY] {
            assert!(script.windows(2).all(|two| two[0].at + 0.1 < two[1].at));
            assert!(script.iter().all(|edit| 0.0 < edit.at && edit.at < 0.9));
        }
        assert_eq!(LIFT.due(Duration::from_secs(10)), Duration::from_secs(8));
    }
}
