//! A rule in words.

use crate::rule::Rule;

pub(crate) fn rule(rule: &Rule) -> String {
    format!("{}: {}", rule.id, rule.on.describe())
}
