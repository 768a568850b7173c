//! The faults: each key of the language, from what was typed to an [`Action`].

mod drop_response;
mod end;
mod outage;
mod place;
mod rate_limit;
mod shaping;
mod storm;

use toml::de::DeValue;

use super::findings::{Span, help};
use super::table::{self, Field, Fields};
use super::text::Text;
use super::{Context, respond, units};
use crate::action::{Action, Duplicate, Stale};
use crate::limits;
use crate::matcher::Matcher;

pub(crate) use rate_limit::per_words;

/// The one fault of a table (a rule or a branch of `one_of`) and the place of its key; `Err` when one is there and wrong.
pub(crate) fn only(
    fields: &mut Fields<'_>,
    on: Option<&Matcher>,
    cx: &mut Context<'_>,
) -> Result<Option<(Span, Action)>, ()> {
    let mut found: Option<(Span, &'static str, Option<Action>)> = None;
    let mut several = false;
    for name in KEYS {
        let Some(field) = fields.get(name) else { continue };
        let action = read(&field, fields, on, cx);
        let Some((_, earlier, _)) = &found else {
            found = Some((field.key, name, action));
            continue;
        };
        let message = format!("`{name}` beside `{earlier}`: a rule has one fault");
        let advice = "keep one, or let a roll choose: one_of = [{ … }, { … }]";
        cx.findings.error::<()>("E03", field.key, help(message, advice));
        several = true;
    }
    if let Some(field) = fields.get("failover").filter(|_| found.as_ref().is_none_or(|it| it.1 != "outage")) {
        let what = help("a failover without an outage", "add `outage = \"refuse\"`, or drop it");
        cx.findings.error::<()>("E30", field.key, what);
        return Err(());
    }
    match found {
        None => Ok(None),
        Some((span, _, Some(action))) if !several => Ok(Some((span, action))),
        Some(_) => Err(()),
    }
}

/// A fault of the command line: its keyword and the text behind it.
pub(crate) fn from_text(name: &str, text: Text<'_>, cx: &mut Context<'_>) -> Option<Action> {
    let findings = &mut cx.findings;
    Some(match name {
        "respond" => Action::Respond(respond::from_text(text, findings)?),
        "rate_limit" => Action::RateLimit(rate_limit::from_text(text, findings)?),
        "reset" => Action::Reset(place::reset_text(text, findings)?),
        "blackhole" => Action::Blackhole(end::blackhole(text, findings)?),
        "truncate" => Action::Truncate(place::truncate(text, findings)?),
        "throttle" => Action::Throttle(shaping::throttle_text(text, findings)?),
        "stall" => Action::Stall(shaping::stall(text, findings)?),
        "loss" => Action::Loss(shaping::loss_text(text, findings)?),
        "corrupt" => Action::Corrupt(shaping::corrupt_text(text, findings)?),
        "drop_response" => Action::DropResponse(drop_response::from_text(text, findings)?),
        "duplicate" => Action::Duplicate(Duplicate {
            copies: copies(units::count(text.trim(), findings)?, text, cx)?,
            after: std::time::Duration::ZERO,
        }),
        "outage" => Action::Outage(outage::from_text(text, findings)?),
        "stale" => Action::Stale(Stale { age: units::duration(text.trim(), findings)? }),
        "goaway" => Action::Goaway(end::goaway_word(text.trim(), findings)?),
        "websocket_close" => Action::WebsocketClose(end::websocket_close_text(text, findings)?),
        _ => {
            let what = help(
                "a storm takes a table",
                "put it into a rule file: storm = { when = [\"5xx\"], copies = 3, … }",
            );
            return findings.error("E24", text.span(), what);
        }
    })
}

fn read(
    field: &Field<'_>,
    fields: &mut Fields<'_>,
    on: Option<&Matcher>,
    cx: &mut Context<'_>,
) -> Option<Action> {
    let findings = &mut cx.findings;
    Some(match field.name {
        "respond" => Action::Respond(respond::field(field, cx)?),
        "rate_limit" => Action::RateLimit(rate_limit::field(field, cx)?),
        "reset" => Action::Reset(place::reset(field, findings)?),
        "blackhole" => {
            if let Some(number) = table::bare_number(field.value) {
                let what = help("a time without a unit", format!("write `blackhole = \"{number}s\"`"));
                return findings.error("E06", field.span(), what);
            }
            Action::Blackhole(end::blackhole(field.text("30s, then reset", findings)?, findings)?)
        }
        "truncate" => Action::Truncate(place::truncate(field.text("60%", findings)?, findings)?),
        "throttle" => Action::Throttle(shaping::throttle(field, findings)?),
        "stall" => Action::Stall(shaping::stall(field.text("8s after 20 events", findings)?, findings)?),
        "loss" => Action::Loss(shaping::loss(field, findings)?),
        "corrupt" => Action::Corrupt(shaping::corrupt(field, findings)?),
        "drop_response" => Action::DropResponse(drop_response::field(field, cx)?),
        "duplicate" => Action::Duplicate(duplicate(field, cx)?),
        "storm" => Action::Storm(storm::field(field, findings)?),
        "outage" => Action::Outage(outage::field(field, fields, on, cx)?),
        "stale" => Action::Stale(Stale { age: units::duration_field(field, findings)? }),
        "goaway" => Action::Goaway(end::goaway(field, findings)?),
        _ => Action::WebsocketClose(end::websocket_close(field, findings)?),
    })
}

/// `1`, or `{ copies = 2, after = "50ms" }`.
fn duplicate(field: &Field<'_>, cx: &mut Context<'_>) -> Option<Duplicate> {
    let findings = &mut cx.findings;
    let DeValue::Table(_) = field.value.get_ref() else {
        let copies = field.integer((1, limits::DUPLICATE_COPIES), findings)?;
        return Some(Duplicate { copies: copies as u32, after: std::time::Duration::ZERO });
    };
    let mut fields = field.table("`duplicate`", findings)?;
    let copies = fields.needed("copies", "1", findings);
    let copies = copies.and_then(|field| field.integer((1, limits::DUPLICATE_COPIES), findings));
    let after = fields.or("after", std::time::Duration::ZERO, |field| units::duration_field(field, findings));
    fields.finish(findings);
    Some(Duplicate { copies: copies? as u32, after: after? })
}

fn copies(number: u64, text: Text<'_>, cx: &mut Context<'_>) -> Option<u32> {
    match u32::try_from(number).ok().filter(|copies| i64::from(*copies) <= limits::DUPLICATE_COPIES) {
        Some(copies) => Some(copies),
        None => cx.findings.error("E24", text.span(), help("more than 100 copies", "write `duplicate 1`")),
    }
}

/// The faults of this language, in the order in which several are reported.
pub(crate) const KEYS: [&str; 16] = [
    "respond",
    "rate_limit",
    "reset",
    "blackhole",
    "truncate",
    "throttle",
    "stall",
    "loss",
    "corrupt",
    "drop_response",
    "duplicate",
    "storm",
    "outage",
    "stale",
    "goaway",
    "websocket_close",
];
