//! `outage` and the `failover` beside it.

use std::time::Duration;

use crate::action::{Failover, Outage, OutageMode};
use crate::parse::findings::{Findings, help};
use crate::parse::table::{Field, Fields};
use crate::parse::text::Text;
use crate::parse::{Context, delay, on, units, words};

/// The value of an `outage` key, and the failover in the same table.
pub(super) fn field(field: &Field<'_>, fields: &mut Fields<'_>, cx: &mut Context<'_>) -> Option<Outage> {
    let outage = field.text("refuse", &mut cx.findings).and_then(|text| from_text(text, &mut cx.findings));
    let failover = fields.optional("failover", |field| failover(field, cx));
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
fn failover(field: &Field<'_>, cx: &mut Context<'_>) -> Option<Failover> {
    let mut fields = field.table("`failover`", &mut cx.findings)?;
    let to = fields.needed("to", "\"us\"", &mut cx.findings).and_then(|field| {
        let name = field.text("us", &mut cx.findings)?;
        Some(on::group(name, cx)?.name)
    });
    let after = fields.or("after", Duration::ZERO, |field| units::duration_field(field, &mut cx.findings));
    let added_delay = fields.optional("added_delay", |field| delay::field(field, cx));
    let failback =
        fields.or("failback", Duration::ZERO, |field| units::duration_field(field, &mut cx.findings));
    fields.finish(&mut cx.findings);
    Some(Failover { to: to?, after: after?, added_delay: added_delay?, failback: failback? })
}
