//! How an exchange or a connection ends: `blackhole`, `goaway`, `websocket_close`.

use std::time::Duration;

use toml::de::DeValue;

use crate::action::{Blackhole, End, Goaway, WebsocketClose};
use crate::limits;
use crate::parse::findings::{Findings, Span, help};
use crate::parse::table::Field;
use crate::parse::text::Text;
use crate::parse::{codes, units};

/// `30s`, `30s, then reset`, `forever`.
pub(super) fn blackhole(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Blackhole> {
    let (time, end) = then(text.trim(), findings);
    Some(Blackhole { hold: hold(time, findings)?, end: end?.unwrap_or(End::Close) })
}

/// A time, or `forever`.
pub(super) fn hold(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Option<Duration>> {
    match text.str() {
        "forever" => Some(None),
        _ => units::duration(text, findings).map(Some),
    }
}

/// What stands before and behind `, then`.
pub(super) fn then<'t>(text: Text<'t>, findings: &mut Findings<'_>) -> (Text<'t>, Option<Option<End>>) {
    let Some((before, behind)) = text.split_once(",") else { return (text, Some(None)) };
    let end = match behind.strip_word("then").map(|end| end.str()) {
        Some("reset") => Some(Some(End::Reset)),
        Some("close") => Some(Some(End::Close)),
        _ => {
            let what = help(format!("`{}` is no end", behind.str()), "write `then reset` or `then close`");
            findings.error("E24", behind.span(), what)
        }
    };
    (before, end)
}

/// `graceful`, or the code of an error.
pub(super) fn goaway(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Goaway> {
    match field.value.get_ref() {
        DeValue::String(_) => goaway_word(field.text("graceful", findings)?, findings),
        _ => codes::http2(field, findings).map(|code| Goaway { code }),
    }
}

/// The same as a word.
pub(super) fn goaway_word(word: Text<'_>, findings: &mut Findings<'_>) -> Option<Goaway> {
    match word.str() {
        "graceful" => Some(Goaway { code: 0 }),
        _ => codes::http2_word(word, findings).map(|code| Goaway { code }),
    }
}

/// `1011`, `"1011 after 20 events"`, `{ code = 1011, reason = "…", after_events = 20 }`.
pub(super) fn websocket_close(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<WebsocketClose> {
    match field.value.get_ref() {
        DeValue::Integer(_) => {
            let code = field.integer((i64::MIN, i64::MAX), findings)?;
            close(u16::try_from(code).ok(), 0, field.span(), findings)
        }
        DeValue::Table(_) => {
            let mut fields = field.table("`websocket_close`", findings)?;
            let code = fields.needed("code", "1011", findings).and_then(|field| {
                let code = field.integer((i64::MIN, i64::MAX), findings)?;
                close(u16::try_from(code).ok(), 0, field.span(), findings)
            });
            let reason = fields.or("reason", String::new(), |field| reason(field, findings));
            let most = limits::TOKENS as i64;
            let after = fields.or("after_events", 0, |field| field.integer((0, most), findings));
            fields.finish(findings);
            Some(WebsocketClose { reason: reason?, after_events: after?.unsigned_abs(), ..code? })
        }
        _ => websocket_close_text(field.text("1011 after 20 events", findings)?, findings),
    }
}

/// `1011`, `1011 after 20 events`.
pub(super) fn websocket_close_text(text: Text<'_>, findings: &mut Findings<'_>) -> Option<WebsocketClose> {
    let words = text.words();
    let (code, after) = match words.as_slice() {
        [code] => (code, 0),
        [code, after, number, events] if (after.str(), events.str()) == ("after", "events") => {
            (code, units::count(*number, findings)?)
        }
        _ => {
            let what = help(
                format!("`{}` closes no WebSocket", text.str()),
                "write `1011` or `1011 after 20 events`",
            );
            return findings.error("E24", text.span(), what);
        }
    };
    close(code.str().parse().ok(), after, code.span(), findings)
}

/// RFC 6455, 7.4: 1005 and 1015 are never sent, 1004 has no meaning; 1006 is an end without a close frame.
fn close(
    code: Option<u16>,
    after_events: u64,
    span: Span,
    findings: &mut Findings<'_>,
) -> Option<WebsocketClose> {
    match code.filter(|code| (1000..=4999).contains(code) && !matches!(code, 1004 | 1005 | 1015)) {
        Some(code) => Some(WebsocketClose { code, reason: String::new(), after_events }),
        None => {
            let what = help(
                "this is no code that closes a WebSocket",
                "write 1000 to 4999 (not 1004, 1005, 1015), as 1011 for a server's failure; 1006 ends without a frame",
            );
            findings.error("E24", span, what)
        }
    }
}

fn reason(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<String> {
    let text = field.text("shutting down", findings)?;
    if text.str().len() <= limits::CLOSE_REASON_BYTES {
        return Some(text.str().to_owned());
    }
    findings.error("E24", text.span(), help("a reason of more than 123 bytes", "make it shorter"))
}
