//! `storm`: what sets it off, how many copies, how fast, and its cap.

use crate::action::{Backoff, Storm, StormWhen};
use crate::limits;
use crate::parse::findings::{Findings, help};
use crate::parse::table::{self, Field};
use crate::parse::text::Text;
use crate::parse::units;

pub(super) fn field(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Storm> {
    let mut fields = field.table("`storm`", findings)?;
    let span = fields.span();
    let when = match fields.get("when") {
        Some(field) => storm_when(&field, findings),
        None => findings.missing(
            "E21",
            span.clone(),
            help("on what does the storm break out?", "write `when = [\"5xx\"]`"),
        ),
    };
    let copies = match fields.get("copies") {
        Some(field) => field.integer((1, limits::STORM_COPIES), findings),
        None => findings.missing("E21", span.clone(), help("how many copies?", "write `copies = 3`")),
    };
    let cap = match fields.get("max_amplification") {
        Some(field) => field.number(findings).and_then(|cap| {
            let fits = (1.0..=limits::STORM_AMPLIFICATION).contains(&cap);
            let what = help("the cap is outside 1.0 to 100.0", "write `max_amplification = 4.0`");
            if fits { Some(cap) } else { findings.error("E21", field.span(), what) }
        }),
        None => {
            let advice = "write `max_amplification = 4.0`: upstream attempts per forwarded exchange";
            findings.missing("E21", span, help("a storm without a cap", advice))
        }
    };
    let backoff =
        fields.or("backoff", Backoff::NONE, |field| backoff(field.text("100ms x2", findings)?, findings));
    fields.finish(findings);
    let copies = u32::try_from(copies?).ok();
    Some(Storm { when: when?, copies: copies?, backoff: backoff?, max_amplification: cap? })
}

/// `none`, `100ms`, `100ms x2`.
fn backoff(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Backoff> {
    let (first, factor) = match text.words().as_slice() {
        [none] if none.str() == "none" => return Some(Backoff::NONE),
        [first] => (*first, Some(1.0)),
        [first, times] => (*first, units::factor(times.str())),
        _ => (text, None),
    };
    match factor.filter(|factor| (1.0..=limits::BACKOFF_FACTOR).contains(factor)) {
        Some(factor) => Some(Backoff { first: units::duration(first, findings)?, factor }),
        None => {
            let message = format!("`{}` is no backoff", text.str());
            let advice = "write `none`, `100ms` or `100ms x2`, with a factor from 1 to 10";
            findings.error("E21", text.span(), help(message, advice))
        }
    }
}

fn storm_when(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Vec<StormWhen>> {
    let items = field.short_array(limits::IN_A_ROW, findings)?;
    if items.is_empty() {
        return findings.error(
            "E21",
            field.span(),
            help("no outcome sets it off", "write `when = [\"5xx\"]`"),
        );
    }
    let read: Vec<_> =
        items.iter().map(|item| outcome(table::text(item, "when", "5xx", findings)?, findings)).collect();
    read.into_iter().collect()
}

/// `5xx`, `503`, `slower than 500ms`, `failure`.
fn outcome(text: Text<'_>, findings: &mut Findings<'_>) -> Option<StormWhen> {
    let text = text.trim();
    if let Some(limit) = text.strip_word("slower").and_then(|rest| rest.strip_word("than")) {
        return units::duration(limit, findings).map(StormWhen::SlowerThan);
    }
    let word = text.str();
    let class =
        word.strip_suffix("xx").and_then(|class| class.parse().ok()).filter(|class| (1..=5).contains(class));
    let status = word.parse().ok().filter(|status| (100..=599).contains(status));
    match (word, class, status) {
        ("failure", _, _) => Some(StormWhen::Failure),
        (_, Some(class), _) => Some(StormWhen::Class(class)),
        (_, _, Some(status)) => Some(StormWhen::Status(status)),
        _ => {
            let what = help(
                format!("`{word}` is no outcome"),
                "write `5xx`, `503`, `slower than 500ms` or `failure`",
            );
            findings.error("E21", text.span(), what)
        }
    }
}
