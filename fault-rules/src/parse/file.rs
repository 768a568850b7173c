//! The whole file: `version`, `seed`, `[safety]`, groups, guards, rules and hooks.

use std::collections::HashMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::findings::{Findings, Span, help};
use super::rule::Placed;
use super::table::{Field, Fields};
use super::{Context, group, guard, hook, rule, safety, sense};
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
    duplicates(&cx.ids, &mut cx.findings);
    let is_whole = [version.is_some(), seed.is_some(), safety.is_some(), guards.is_some(), hooks.is_some()];
    let is_whole = is_whole == [true; 5]
        && rules.as_ref().is_some_and(|rules| rules.iter().all(Option::is_some))
        && !cx.findings.has_errors();
    // What is right so far is compared with each other even beside mistakes, so that all of them come at once.
    let rules: Vec<Placed> = rules.into_iter().flatten().flatten().collect();
    cx.places.rules = rules.iter().map(|placed| placed.id.clone()).collect();
    let set = RuleSet {
        seed: seed.flatten(),
        safety: safety.unwrap_or_default(),
        groups: std::mem::take(&mut cx.groups),
        guards: guards.unwrap_or_default(),
        hooks: hooks.unwrap_or_default(),
        rules: rules.into_iter().map(|placed| placed.rule).collect(),
        fingerprint: cx.fingerprint(),
        ..RuleSet::default()
    };
    sense::of_all(&set, &cx.places, is_whole, &mut cx.findings);
    is_whole.then(|| set.gated())
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

/// Each rule; `None` in the place of one that is wrong.
fn rules(field: &Field<'_>, cx: &mut Context<'_>) -> Option<Vec<Option<Placed>>> {
    let DeValue::Array(items) = field.value.get_ref() else {
        let what = help("rules come as a list of tables", "write `[[rule]]`, with two brackets");
        return cx.findings.error("E24", field.key.clone(), what);
    };
    if limits::RULES < items.len() {
        return cx.findings.error("E04", field.key.clone(), help("more than 1000 rules", "split the file"));
    }
    Some(items.iter().map(|item| one_rule(item, cx)).collect())
}

fn one_rule(item: &Spanned<DeValue<'_>>, cx: &mut Context<'_>) -> Option<Placed> {
    let DeValue::Table(table) = item.get_ref() else {
        let what = help("a rule is a table", "write `[[rule]]`, then one key a line");
        return cx.findings.error("E24", item.span(), what);
    };
    rule::read(table, item.span(), cx)
}

/// Ids that another rule or hook has taken.
fn duplicates(ids: &[(String, Span)], findings: &mut Findings<'_>) {
    let mut seen = HashMap::new();
    for (id, place) in ids {
        let line = findings.line(place.start);
        if let Some(first) = seen.insert(id, line) {
            let message = format!("the id `{id}` is taken by line {first}");
            findings.error::<()>("E02", place.clone(), help(message, "give one of the two another id"));
        }
    }
}
