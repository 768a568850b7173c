//! `[[hook]]`: commands at the ends of a window.

use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::findings::{Findings, help};
use super::table::{self, Field, Fields};
use super::{Context, guard, rule, units, when};
use crate::hook::Hook;
use crate::limits;
use crate::rule::Window;

/// All hooks.
pub(crate) fn read(field: &Field<'_>, cx: &mut Context<'_>) -> Option<Vec<Hook>> {
    let DeValue::Array(items) = field.value.get_ref() else {
        let what = help("hooks come as a list of tables", "write `[[hook]]`, with two brackets");
        return cx.findings.error("E24", field.key.clone(), what);
    };
    if limits::NAMED < items.len() {
        let what = help(format!("more than {} hooks", limits::NAMED), "split the file");
        return cx.findings.error("E04", field.key.clone(), what);
    }
    let read: Vec<_> = items.iter().map(|item| one(item, cx)).collect();
    read.into_iter().collect()
}

fn one(item: &Spanned<DeValue<'_>>, cx: &mut Context<'_>) -> Option<Hook> {
    let DeValue::Table(table) = item.get_ref() else {
        let what = help("a hook is a table", "write `[[hook]]`, then one key a line");
        return cx.findings.error("E24", item.span(), what);
    };
    let line = u32::try_from(cx.findings.line(item.span().start)).unwrap_or(u32::MAX);
    let mut fields = Fields::new(table, item.span(), "[[hook]]");
    let id = rule::id(&mut fields, cx);
    let guard = fields.optional("guard", |field| guard::reference(field, cx));
    let findings = &mut cx.findings;
    let window = fields.or("when", Window::default(), |field| window(field, findings));
    let start = fields.needed("start", "[\"kill\", \"-STOP\", \"1234\"]", findings);
    let start = start.and_then(|field| command(&field, findings));
    let end = fields.or("end", Vec::new(), |field| command(field, findings));
    let timeout = fields.or("timeout", TIMEOUT, |field| {
        let time = units::duration_field(field, findings)?;
        let what = help("no time at all", "write a time above zero");
        if time.is_zero() { findings.error("E06", field.span(), what) } else { Some(time) }
    });
    fields.finish(findings);
    let (id, _) = id?;
    Some(Hook { id, window: window?, start: start?, end: end?, timeout: timeout?, guard: guard?, line })
}

/// A window without ramps: a command runs or does not.
fn window(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Window> {
    let window = when::field(field, findings)?;
    if window.ramp.is_zero() && window.ramp_down.is_zero() {
        return Some(window);
    }
    findings.error("E18", field.span(), help("a command has no measure that could ramp", "drop the ramps"))
}

/// Program and arguments.
fn command(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Vec<String>> {
    let items = field.array(findings)?;
    let read: Vec<_> = items
        .iter()
        .map(|item| Some(table::text(item, field.name, "kill", findings)?.str().to_owned()))
        .collect();
    let words = read.into_iter().collect::<Option<Vec<_>>>()?;
    match words.first() {
        Some(program) if !program.trim().is_empty() => Some(words),
        _ => {
            let advice =
                format!("write program and arguments: `{} = [\"kill\", \"-STOP\", \"1234\"]`", field.name);
            findings.error("E30", field.span(), help("a command without a program", advice))
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);
