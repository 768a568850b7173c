//! Faults of pace and bytes: `throttle`, `stall`, `loss`, `corrupt`.

use std::time::Duration;

use toml::de::DeValue;

use super::{end, place};
use crate::action::{Corrupt, CorruptKind, Direction, Loss, Stall, Throttle};
use crate::parse::findings::{Findings, help};
use crate::parse::table::Field;
use crate::parse::text::Text;
use crate::parse::{units, words};

/// `10KB/s`, or `{ response = "2KB/s", request = "1MB/s", piece = "64B", gap = "10us" }`.
pub(super) fn throttle(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Throttle> {
    let DeValue::Table(_) = field.value.get_ref() else {
        return throttle_text(field.text("10KB/s", findings)?, findings);
    };
    let mut fields = field.table("`throttle`", findings)?;
    let span = fields.span();
    let mut pace = |name, findings: &mut Findings<'_>| {
        fields.optional(name, |field| units::byte_rate(field.text("10KB/s", findings)?, findings))
    };
    let (response, request) = (pace("response", findings), pace("request", findings));
    let piece = fields.optional("piece", |field| units::size_field(field, findings));
    let gap = fields.or("gap", Duration::ZERO, |field| units::duration_field(field, findings));
    fields.finish(findings);
    if (response, request) == (Some(None), Some(None)) {
        let what = help("a throttle without a pace", "write `response = \"10KB/s\"`, `request = …` or both");
        return findings.missing("E30", span, what);
    }
    Some(Throttle { response: response?, request: request?, piece: piece?, gap: gap? })
}

/// `10KB/s`, towards the client.
pub(super) fn throttle_text(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Throttle> {
    let response = units::byte_rate(text.trim(), findings)?;
    Some(Throttle { response: Some(response), request: None, piece: None, gap: Duration::ZERO })
}

/// `8s after 20 events`, `forever after 5000 B, then reset`.
pub(super) fn stall(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Stall> {
    let (what, end) = end::then(text.trim(), findings);
    let Some((time, at)) = what.split_once(" after ") else {
        let message = format!("`{}` does not say where", what.str());
        let advice = "write `8s after headers`, `8s after 20 events` or `forever after 5000 B`";
        return findings.error("E24", what.span(), help(message, advice));
    };
    let (hold, at) = (end::hold(time, findings), place::after(at, findings));
    Some(Stall { at: at?, hold: hold?, end: end? })
}

/// `2%`, or `{ rate = "2%", rto = "200ms", max_rto = "60s", segment = "1460 B", direction = "response" }`.
pub(super) fn loss(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Loss> {
    let DeValue::Table(_) = field.value.get_ref() else {
        let rate = units::share_field(field, findings)?;
        return Some(Loss { rate, ..USUAL_LOSS });
    };
    let mut fields = field.table("`loss`", findings)?;
    let rate = fields.needed("rate", "\"2%\"", findings);
    let rate = rate.and_then(|field| units::share_field(&field, findings));
    let rto = fields.or("rto", USUAL_LOSS.rto, |field| units::duration_field(field, findings));
    let max_rto = fields.or("max_rto", USUAL_LOSS.max_rto, |field| units::duration_field(field, findings));
    let segment = fields.or("segment", USUAL_LOSS.segment, |field| units::size_field(field, findings));
    let direction = fields.or("direction", Direction::Response, |field| direction(field, findings));
    let span = fields.span();
    fields.finish(findings);
    let (rto, max_rto) = (rto?, max_rto?);
    if rto.is_zero() || max_rto < rto {
        let what = help(
            "the timeouts contradict each other",
            "give `rto` a time above zero, `max_rto` one at least as long",
        );
        return findings.error("E24", span, what);
    }
    Some(Loss { rate: rate?, rto, max_rto, segment: segment?, direction: direction? })
}

/// `2%`.
pub(super) fn loss_text(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Loss> {
    Some(Loss { rate: units::share(text.trim(), findings)?, ..USUAL_LOSS })
}

/// `bitflip per 4KB`, or `{ kind = "bitflip", per = "4KB", direction = "response" }`.
pub(super) fn corrupt(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Corrupt> {
    let DeValue::Table(_) = field.value.get_ref() else {
        return corrupt_text(field.text("bitflip per 4KB", findings)?, findings);
    };
    let mut fields = field.table("`corrupt`", findings)?;
    let kind =
        fields.or("kind", CorruptKind::Bitflip, |field| kind(field.text("bitflip", findings)?, findings));
    let per = fields.needed("per", "\"4KB\"", findings);
    let per = per.and_then(|field| units::size_field(&field, findings));
    let direction = fields.or("direction", Direction::Response, |field| direction(field, findings));
    fields.finish(findings);
    Some(Corrupt { kind: kind?, per: per?, direction: direction? })
}

/// `bitflip per 4KB`.
pub(super) fn corrupt_text(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Corrupt> {
    let Some((word, per)) = text.trim().split_once(" per ") else {
        let message = format!("`{}` does not say how often", text.str());
        return findings.error("E24", text.span(), help(message, "write `bitflip per 4KB`"));
    };
    let (kind, bytes) = (kind(word, findings), units::size(per, findings));
    if bytes == Some(0) {
        return findings.error("E06", per.span(), help("no size at all", "write a size above zero"));
    }
    Some(Corrupt { kind: kind?, per: bytes?, direction: Direction::Response })
}

fn kind(word: Text<'_>, findings: &mut Findings<'_>) -> Option<CorruptKind> {
    match word.str() {
        "bitflip" => Some(CorruptKind::Bitflip),
        "zero" => Some(CorruptKind::Zero),
        wrong => {
            let message = format!("bytes are not corrupted by `{wrong}`");
            findings.error(
                "E24",
                word.span(),
                help(message, words::did_you_mean(wrong, &["bitflip", "zero"])),
            )
        }
    }
}

fn direction(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Direction> {
    let word = field.text("response", findings)?;
    match word.str() {
        "response" => Some(Direction::Response),
        "request" => Some(Direction::Request),
        wrong => {
            let message = format!("`{wrong}` is no way that bytes go");
            let advice = words::did_you_mean(wrong, &["response", "request"]);
            findings.error("E24", word.span(), help(message, advice))
        }
    }
}

/// 200 ms is the least timeout of Linux; 60 s the bound that RFC 6298 allows at least; 1460 bytes fit in an Ethernet frame.
const USUAL_LOSS: Loss = Loss {
    rate: crate::select::Rate::ALL,
    rto: Duration::from_millis(200),
    max_rto: Duration::from_secs(60),
    segment: 1_460,
    direction: Direction::Response,
};
