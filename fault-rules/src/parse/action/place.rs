//! Places in an answer: `reset`, `truncate`, and where a `stall` begins.

use toml::de::DeValue;

use crate::action::{Point, Reset};
use crate::parse::findings::{Findings, help};
use crate::parse::table::Field;
use crate::parse::text::Text;
use crate::parse::{codes, units, words};

/// `before headers`, or `{ at = "after headers", code = "REFUSED_STREAM", scope = "stream" }`.
pub(super) fn reset(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Reset> {
    let DeValue::Table(_) = field.value.get_ref() else {
        return reset_text(field.text("before headers", findings)?, findings);
    };
    let mut fields = field.table("`reset`", findings)?;
    let at = fields.needed("at", "\"before headers\"", findings);
    let at = at.and_then(|field| reset_text(field.text("before headers", findings)?, findings));
    let code = fields.optional("code", |field| codes::http2(field, findings));
    let connection = fields.or("scope", false, |field| scope(field, findings));
    fields.finish(findings);
    let reset = at?;
    Some(Reset { at: reset.at, code: code?.unwrap_or(reset.code), connection: connection? })
}

/// `before headers`, `after headers`, `after 5000 B of body`, `after 50% of body`, `after 20 events`, `after 2s`.
pub(super) fn reset_text(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Reset> {
    let text = text.trim();
    if text.str() == "before headers" {
        return Some(Reset::at(Point::BeforeHeaders));
    }
    match text.strip_word("after") {
        Some(place) => after(place, findings).map(Reset::at),
        None => {
            let what = help(format!("`{}` is no place for a reset", text.str()), RESETS);
            findings.error("E24", text.span(), what)
        }
    }
}

/// `60%`, `5000 B`, `headers`.
pub(super) fn truncate(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Point> {
    match after(text.trim(), findings)? {
        Point::AfterEvents(_) | Point::AfterTime(_) => {
            let what = help(
                "a length is cut, not a stream",
                "write `60%`, `5000 B` or `headers`; for streams: stall, reset",
            );
            findings.error("E24", text.span(), what)
        }
        point => Some(point),
    }
}

/// What stands behind `after`: `headers`, `5000 B of body`, `50%`, `20 events`, `2s`.
pub(super) fn after(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Point> {
    if text.str() == "headers" {
        return Some(Point::AfterHeaders);
    }
    let events = text.strip_last_word("events").or_else(|| text.strip_last_word("event"));
    if let Some(number) = events {
        return units::count(number, findings).map(Point::AfterEvents);
    }
    if let Some(amount) = text.strip_last_word("body").and_then(|text| text.strip_last_word("of")) {
        return amount_of_body(amount, findings);
    }
    if units::looks_like_time(text.str()) {
        return units::duration(text, findings).map(Point::AfterTime);
    }
    amount_of_body(text, findings)
}

fn amount_of_body(amount: Text<'_>, findings: &mut Findings<'_>) -> Option<Point> {
    if amount.str().ends_with('%') {
        return units::share(amount, findings).map(|share| Point::AfterFraction(share.fraction()));
    }
    units::size(amount, findings).map(Point::AfterBytes)
}

fn scope(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<bool> {
    let word = field.text("stream", findings)?;
    match word.str() {
        "stream" => Some(false),
        "connection" => Some(true),
        wrong => {
            let message = format!("`{wrong}` is nothing that can be reset");
            let advice = words::did_you_mean(wrong, &["stream", "connection"]);
            findings.error("E24", word.span(), help(message, advice))
        }
    }
}

const RESETS: &str = "write `before headers`, `after headers`, `after 5000 B of body`, `after 50% of body`, \
                      `after 20 events` or `after 2s`";
