//! `[safety]`: what holds before any rule.

use std::net::SocketAddr;

use toml::de::DeValue;

use super::findings::{Findings, help};
use super::table::{self, Field};
use super::{Context, on, units};
use crate::limits;
use crate::matcher::Matcher;
use crate::safety::Safety;

pub(crate) fn read(field: &Field<'_>, cx: &mut Context<'_>) -> Option<Safety> {
    let mut fields = field.table("[safety]", &mut cx.findings)?;
    let protect = fields.or("protect", Vec::new(), |field| protect(field, cx));
    let findings = &mut cx.findings;
    let places = &mut cx.places;
    let usual = Safety::default();
    let max_affected = fields.optional("max_affected", |field| {
        places.max_affected = field.span();
        units::share_field(field, findings)
    });
    let max_active = fields.optional("max_active", |field| {
        field.integer((1, limits::TOKENS as i64), findings).map(i64::unsigned_abs)
    });
    let max_run = fields.or("max_run", usual.max_run, |field| time(field, findings));
    let heartbeat = fields.optional("heartbeat", |field| time(field, findings));
    let armed = fields.optional("armed", |field| truth(field, findings));
    let listen = fields.or("listen", Vec::new(), |field| listen(field, findings));
    fields.finish(findings);
    Some(Safety {
        max_affected: max_affected?,
        max_active: max_active?,
        max_run: max_run?,
        heartbeat: heartbeat?,
        protect: protect?,
        armed: armed?,
        listen: listen?,
    })
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

fn protect(field: &Field<'_>, cx: &mut Context<'_>) -> Option<Vec<Matcher>> {
    let items = field.short_array(limits::PROTECTED, &mut cx.findings)?;
    let read: Vec<_> = items
        .iter()
        .map(|item| {
            let text = table::text(item, "protect", "/healthz", &mut cx.findings)?;
            let matcher = on::from_text(text, cx)?;
            let matcher = on::no_status(matcher, text.span(), &mut cx.findings)?;
            if matcher == Matcher::default() {
                let what = help("this would protect everything", "name a path, a host, a header or an edge");
                return cx.findings.error("E11", text.span(), what);
            }
            Some(matcher)
        })
        .collect();
    read.into_iter().collect()
}

fn truth(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<bool> {
    match field.value.get_ref() {
        DeValue::Boolean(truth) => Some(*truth),
        _ => {
            let message = format!("`{}` is true or false", field.name);
            findings.error("E24", field.span(), help(message, format!("write `{} = true`", field.name)))
        }
    }
}

/// Addresses as `--listen` has them.
fn listen(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Vec<SocketAddr>> {
    let items = field.short_array(limits::PROTECTED, findings)?;
    let read: Vec<_> = items
        .iter()
        .map(|item| {
            let text = table::text(item, "listen", "10.0.0.5:8080", findings)?;
            let what = help(
                format!("`{}` is no address with a port", text.str()),
                "write it as `--listen` has it: `10.0.0.5:8080`",
            );
            text.str().parse().ok().or_else(|| findings.error("E24", text.span(), what))
        })
        .collect();
    read.into_iter().collect()
}
