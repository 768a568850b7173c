//! The whole file: `version`, `seed`, `[safety]` and the rules.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::findings::{Findings, help};
use super::rule::Placed;
use super::table::{self, Field, Fields};
use super::{Context, on, rule, units};
use crate::action::Action;
use crate::limits;
use crate::matcher::Matcher;
use crate::rule::{Rule, RuleSet};
use crate::safety::Safety;
use crate::select::Rate;

pub(crate) fn read(document: &DeTable<'_>, cx: &mut Context<'_>) -> Option<RuleSet> {
    let mut fields = Fields::new(document, 0..0, "a rule file");
    let version = fields.get("version").map_or(Some(()), |field| version(&field, &mut cx.findings));
    let seed = fields.get("seed").map_or(Some(None), |field| seed(&field, &mut cx.findings).map(Some));
    let safety =
        fields.get("safety").map_or(Some(Safety::default()), |field| safety(&field, &mut cx.findings));
    let rules = fields.get("rule").map_or(Some(Vec::new()), |field| rules(&field, cx));
    fields.finish(&["group", "guard", "search", "hook"], &mut cx.findings);
    let (safety, rules, ()) = (safety?, rules?, version?);
    if !cx.findings.has_errors() {
        warn(&rules, &mut cx.findings);
    }
    let rules = rules.into_iter().map(|placed| placed.rule).collect();
    Some(RuleSet::new(seed?, safety, rules, cx.fingerprint()))
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

fn safety(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Safety> {
    let mut fields = field.table("[safety]", findings)?;
    let usual = Safety::default();
    let max_affected =
        fields.get("max_affected").map_or(Some(None), |field| share(&field, findings).map(Some));
    let max_active = fields.get("max_active").map_or(Some(None), |field| {
        field.integer((1, limits::TOKENS as i64), findings).map(|cap| Some(cap.unsigned_abs()))
    });
    let max_run = fields.get("max_run").map_or(Some(usual.max_run), |field| time(&field, findings));
    let heartbeat = fields.get("heartbeat").map_or(Some(None), |field| time(&field, findings).map(Some));
    let protect = fields.get("protect").map_or(Some(Vec::new()), |field| protect(&field, findings));
    fields.finish(&["armed", "allow", "hooks"], findings);
    Some(Safety {
        max_affected: max_affected?,
        max_active: max_active?,
        max_run: max_run?,
        heartbeat: heartbeat?,
        protect: protect?,
        ..usual
    })
}

fn share(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Rate> {
    match table::bare_number(field.value) {
        Some(number) => findings.error("E05", field.span(), units::bare_share(number)),
        None => units::share(field.text("50%", findings)?, findings),
    }
}

/// A duration above zero.
fn time(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<std::time::Duration> {
    if let Some(number) = table::bare_number(field.value) {
        let advice = format!("write `\"{number}s\"` or `\"{number}m\"`, whichever is meant");
        return findings.error("E06", field.span(), help("a time without a unit", advice));
    }
    let text = field.text("45m", findings)?;
    let time = units::duration(text, findings)?;
    if time.is_zero() {
        return findings.error("E06", text.span(), help("no time at all", "write a time above zero"));
    }
    Some(time)
}

fn protect(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Vec<Matcher>> {
    let items = field.array(findings)?;
    let read: Vec<_> = items
        .iter()
        .map(|item| {
            let text = table::text(item, "protect", "/healthz", findings)?;
            let matcher = on::from_text(text, findings)?;
            if matcher == Matcher::default() {
                let what = help("this would protect everything", "name a path, a host, a header or an edge");
                return findings.error("E11", text.span(), what);
            }
            Some(matcher)
        })
        .collect();
    read.into_iter().collect()
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

/// What is allowed and probably not meant.
fn warn(rules: &[Placed], findings: &mut Findings<'_>) {
    for (place, placed) in rules.iter().enumerate() {
        let rule = &placed.rule;
        let blocker = rules.iter().take(place).find(|earlier| hides(&earlier.rule, rule));
        if let Some(blocker) = blocker {
            let message =
                format!("`{}` can never act: `{}` ends everything it matches", rule.id, blocker.rule.id);
            findings.warning(
                "E12",
                placed.id.clone(),
                help(message, "move it up, or lower the rate of the other"),
            );
        }
        if rule.rate == Rate::of(0, 1) {
            findings.warning(
                "W04",
                placed.id.clone(),
                help(format!("`{}` selects nothing at 0%", rule.id), "raise its rate"),
            );
        }
    }
}

/// Whether every exchange of `later` is over by `earlier` at all times, so that a rule of faults alone has nothing left.
fn hides(earlier: &Rule, later: &Rule) -> bool {
    let ends_all = !earlier.outcomes.is_empty()
        && earlier.actions().count() == earlier.outcomes.len()
        && earlier
            .actions()
            .all(|action| !matches!(action, Action::RateLimit(_) | Action::Storm(_) | Action::Reset(_)));
    let always = earlier.rate == Rate::ALL && earlier.window == crate::rule::Window::default();
    let by_all = !matches!(earlier.by, crate::select::By::Header(_) | crate::select::By::Cookie(_));
    let faults_alone = later.delay.is_none() && later.outcomes.iter().all(|outcome| outcome.delay.is_none());
    ends_all && always && by_all && faults_alone && earlier.on.covers(&later.on)
}
