//! The whole file: `version`, `seed`, `[safety]`, groups, guards, rules and hooks.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::findings::{Findings, Span, help};
use super::rule::Placed;
use super::table::{Field, Fields};
use super::{Context, group, guard, hook, rule, safety, sense};
use crate::hook::Hook;
use crate::limits;
use crate::rule::RuleSet;
use crate::safety::Safety;

pub(crate) fn read(document: &DeTable<'_>, cx: &mut Context<'_>) -> Option<RuleSet> {
    let mut fields = Fields::new(document, 0..0, "a rule file");
    let version = fields.get("version").map_or(Some(()), |field| version(&field, &mut cx.findings));
    let seed = fields.optional("seed", |field| seed(field, &mut cx.findings));
    if let Some(field) = fields.get("group") {
        group::read(&field, cx);
    }
    let guards = fields.or("guard", Vec::new(), |field| guard::read(field, cx));
    let safety = fields.or("safety", Safety::default(), |field| safety::read(field, cx));
    let rules = fields.or("rule", Vec::new(), |field| rules(field, cx));
    let hooks = fields.or("hook", Vec::new(), |field| hook::read(field, cx));
    fields.finish(&mut cx.findings);
    let ((), seed, safety, guards) = (version?, seed?, safety?, guards?);
    let (rules, hooks) = (rules?, hooks?);
    hook_ids(&rules, &hooks, &mut cx.findings);
    cx.places.rules = rules.iter().map(|placed| placed.id.clone()).collect();
    let set = RuleSet {
        seed,
        safety,
        groups: std::mem::take(&mut cx.groups),
        guards,
        hooks: hooks.into_iter().map(|(hook, _)| hook).collect(),
        rules: rules.into_iter().map(|placed| placed.rule).collect(),
        fingerprint: cx.fingerprint(),
        ..RuleSet::default()
    };
    if !cx.findings.has_errors() {
        sense::of_all(&set, &cx.places, &mut cx.findings);
    }
    Some(set.gated())
}

fn version(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<()> {
    match field.value.get_ref() {
        DeValue::Integer(digits) if digits.as_str() == "1" => Some(()),
        _ => findings.error(
            "E26",
            field.span(),
            help("this Squall reads version 1 of the rule language", "write `version = 1`"),
        ),
    }
}

/// A whole number, or text of one in decimal or with `0x`.
fn seed(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<u64> {
    let seed = match field.value.get_ref() {
        DeValue::Integer(digits) => u64::from_str_radix(digits.as_str(), digits.radix()).ok(),
        DeValue::String(text) => match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        },
        _ => None,
    };
    match seed {
        Some(seed) => Some(seed),
        None => findings.error(
            "E27",
            field.span(),
            help("a seed is a number of 64 bits", "write `seed = \"0x5eed2026\"`"),
        ),
    }
}

fn rules(field: &Field<'_>, cx: &mut Context<'_>) -> Option<Vec<Placed>> {
    let DeValue::Array(items) = field.value.get_ref() else {
        let what = help("rules come as a list of tables", "write `[[rule]]`, with two brackets");
        return cx.findings.error("E24", field.key.clone(), what);
    };
    if limits::RULES < items.len() {
        return cx.findings.error("E04", field.key.clone(), help("more than 1000 rules", "split the file"));
    }
    let read: Vec<_> = items.iter().map(|item| one_rule(item, cx)).collect();
    duplicates(&read, &mut cx.findings);
    read.into_iter().collect()
}

fn one_rule(item: &Spanned<DeValue<'_>>, cx: &mut Context<'_>) -> Option<Placed> {
    let DeValue::Table(table) = item.get_ref() else {
        let what = help("a rule is a table", "write `[[rule]]`, then one key a line");
        return cx.findings.error("E24", item.span(), what);
    };
    rule::read(table, item.span(), cx)
}

fn duplicates(rules: &[Option<Placed>], findings: &mut Findings<'_>) {
    let mut seen = std::collections::HashMap::new();
    for placed in rules.iter().flatten() {
        let line = findings.line(placed.id.start);
        if let Some(first) = seen.insert(placed.rule.id.as_str(), line) {
            let what = help(
                format!("the id `{}` is taken by line {first}", placed.rule.id),
                "give one of the two another id",
            );
            findings.error::<()>("E02", placed.id.clone(), what);
        }
    }
}

/// Ids of hooks that are taken by a rule or another hook.
fn hook_ids(rules: &[Placed], hooks: &[(Hook, Span)], findings: &mut Findings<'_>) {
    let mut taken: std::collections::HashSet<_> =
        rules.iter().map(|placed| placed.rule.id.as_str()).collect();
    for (hook, span) in hooks {
        if !taken.insert(hook.id.as_str()) {
            let what = help(format!("the id `{}` is taken", hook.id), "give one of the two another id");
            findings.error::<()>("E02", span.clone(), what);
        }
    }
}
