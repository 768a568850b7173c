//! The rules of a file in words.

use fault_rules::RuleSet;
use fault_rules::select::By;

use super::plural;

/// Warnings, then each rule, guard and hook in one line.
pub(super) fn of(name: &str, set: &RuleSet) -> String {
    let mut text: String = set.warnings.iter().map(|warning| format!("{warning}\n")).collect();
    let found = match set.warnings.len() {
        0 => "no findings".to_owned(),
        n => plural(n, "warning"),
    };
    text += &format!("{name}: {}, {found}\n", plural(set.rules().len(), "rule"));
    let width = names(set).map(str::len).max().unwrap_or(0);
    let mut line = |name: &str, words: &str| text += &format!("  {name:width$}  {words}\n");
    for rule in set.rules() {
        line(&rule.id, &rule.explain());
        if rule.by == By::Connection {
            line("", CONNECTIONS);
        }
    }
    for guard in &set.guards {
        line(&guard.name, &format!("guard: {}", guard.explain()));
    }
    for hook in &set.hooks {
        line(&hook.id, &format!("hook: {}", hook.explain()));
    }
    text
}

fn names(set: &RuleSet) -> impl Iterator<Item = &str> {
    let rules = set.rules().iter().map(|rule| rule.id.as_str());
    let guards = set.guards.iter().map(|guard| guard.name.as_str());
    rules.chain(guards).chain(set.hooks.iter().map(|hook| hook.id.as_str()))
}

const CONNECTIONS: &str =
    "note: which exchange travels on which connection depends on timing, so two runs have other victims";
