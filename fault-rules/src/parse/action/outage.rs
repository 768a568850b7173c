//! `outage` and the `failover` beside it.

use std::time::Duration;

use crate::action::{Failover, Outage, OutageMode};
use crate::matcher::Matcher;
use crate::parse::findings::{Findings, help};
use crate::parse::on::group as group_of;
use crate::parse::table::{Field, Fields};
use crate::parse::text::Text;
use crate::parse::{Context, delay, units, words};

/// The value of an `outage` key, and the failover in the same table.
pub(super) fn field(
    field: &Field<'_>,
    fields: &mut Fields<'_>,
    on: Option<&Matcher>,
    cx: &mut Context<'_>,
) -> Option<Outage> {
    let outage = field.text("refuse", &mut cx.findings).and_then(|text| from_text(text, &mut cx.findings));
    let failover = fields.optional("failover", |field| failover(field, on, cx));
    Some(Outage { failover: failover?, ..outage? })
}

/// `refuse`, `reset`, `blackhole`.
pub(super) fn from_text(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Outage> {
    let text = text.trim();
    let mode = match text.str() {
        "refuse" => OutageMode::Refuse,
        "reset" => OutageMode::Reset,
        "blackhole" => OutageMode::Blackhole,
        wrong => {
            let message = format!("no outage is called `{wrong}`");
            let advice = words::did_you_mean(wrong, &["refuse", "reset", "blackhole"]);
            return findings.error("E24", text.span(), help(message, advice));
        }
    };
    Some(Outage { mode, failover: None })
}

/// `{ to = "us", after = "20s", added_delay = "85ms", failback = "30s" }`.
fn failover(field: &Field<'_>, on: Option<&Matcher>, cx: &mut Context<'_>) -> Option<Failover> {
    let mut fields = field.table("`failover`", &mut cx.findings)?;
    let to = fields.needed("to", "\"us\"", &mut cx.findings).and_then(|field| {
        let name = field.text("us", &mut cx.findings)?;
        let group = group_of(name, cx)?;
        if on.is_some_and(|on| on.group.as_ref() == Some(&group)) {
            let message = format!("group `{}` would take over from itself", group.name);
            return cx.findings.error("E24", name.span(), help(message, "name another group in `to`"));
        }
        Some(group.name)
    });
    let after = fields.or("after", Duration::ZERO, |field| units::duration_field(field, &mut cx.findings));
    let added_delay = fields.optional("added_delay", |field| delay::field(field, cx));
    let failback =
        fields.or("failback", Duration::ZERO, |field| units::duration_field(field, &mut cx.findings));
    fields.finish(&mut cx.findings);
    Some(Failover { to: to?, after: after?, added_delay: added_delay?, failback: failback? })
}
