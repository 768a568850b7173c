//! `drop_response`: `reset`, `close`, `blackhole`, `30s, then reset`, `{ respond = 503 }`.

use toml::de::DeValue;

use super::end;
use crate::action::{DropResponse, End};
use crate::parse::findings::{Findings, help};
use crate::parse::table::Field;
use crate::parse::text::Text;
use crate::parse::{Context, respond};

pub(super) fn field(field: &Field<'_>, cx: &mut Context<'_>) -> Option<DropResponse> {
    let DeValue::Table(_) = field.value.get_ref() else {
        return from_text(field.text("reset", &mut cx.findings)?, &mut cx.findings);
    };
    let mut fields = field.table("`drop_response`", &mut cx.findings)?;
    let answer = fields.needed("respond", "503", &mut cx.findings);
    let answer = answer.and_then(|field| respond::field(&field, cx));
    fields.finish(&mut cx.findings);
    answer.map(DropResponse::Respond)
}

pub(super) fn from_text(text: Text<'_>, findings: &mut Findings<'_>) -> Option<DropResponse> {
    let text = text.trim();
    match text.str() {
        "reset" => Some(DropResponse::End(End::Reset)),
        "close" => Some(DropResponse::End(End::Close)),
        "blackhole" | "forever" => Some(DropResponse::Blackhole(None, End::Close)),
        word if word.starts_with(|c: char| c.is_ascii_digit()) => {
            let hole = end::blackhole(text, findings)?;
            Some(DropResponse::Blackhole(hole.hold, hole.end))
        }
        word => {
            let what = help(
                format!("`{word}` is nothing that a client could meet"),
                "write `reset`, `close`, `blackhole`, `30s, then reset` or `{ respond = 503 }`",
            );
            findings.error("E24", text.span(), what)
        }
    }
}
