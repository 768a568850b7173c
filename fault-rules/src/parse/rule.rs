//! One `[[rule]]` table.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::findings::{Findings, Span, help};
use super::table::{self, Field, Fields};
use super::{Context, action, delay, on, rate};
use crate::delay::Delay;
use crate::limits;
use crate::matcher::Matcher;
use crate::rule::{Outcome, Rule, Window};
use crate::select::{By, Rate};

/// A rule and the place of its id.
pub(crate) struct Placed {
    pub(crate) rule: Rule,
    pub(crate) id: Span,
}

pub(crate) fn read(table: &DeTable<'_>, span: Span, cx: &mut Context<'_>) -> Option<Placed> {
    let line = u32::try_from(cx.findings.line(span.start)).unwrap_or(u32::MAX);
    let mut fields = Fields::new(table, span.clone(), "[[rule]]");
    let id = id(&mut fields, &mut cx.findings);
    let findings = &mut cx.findings;
    let on = fields.get("on").map_or(Some(Matcher::default()), |field| on::field(&field, findings));
    let share =
        fields.get("rate").map_or(Some((Rate::ALL, By::Request)), |field| rate::field(&field, findings));
    let window = fields.get("when").map_or(Some(Window::default()), |field| {
        field.text("2m..3m30s", findings).and_then(|text| rate::window(text, findings))
    });
    let done = what_it_does(&mut fields, cx);
    fields.finish(NOT_BUILT, &mut cx.findings);
    let ((delay, outcomes), (id, id_span)) = (done?, id?);
    let (rate, by) = share?;
    let rule = Rule {
        id,
        on: on?,
        rate,
        by,
        window: window?,
        delay,
        outcomes,
        line,
        attempts: None,
        shard: None,
        every: None,
        burst: None,
        guard: None,
    };
    Some(Placed { rule, id: id_span })
}

/// Letters, digits, `.`, `_` and `-`: ids stand in a header, in metrics and in file names.
pub(crate) fn is_id(id: &str) -> bool {
    let well_formed = id.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    !id.is_empty() && id.len() <= limits::ID_CHARS && well_formed
}

fn id(fields: &mut Fields<'_>, findings: &mut Findings<'_>) -> Option<(String, Span)> {
    let Some(field) = fields.get("id") else {
        let advice =
            "write `id = \"cart-tail\"`: the id decides who is selected, so it must not change by itself";
        return findings.missing("E25", fields.span(), help("a rule without an id", advice));
    };
    let text = field.text("cart-tail", findings)?;
    if is_id(text.str()) {
        return Some((text.str().to_owned(), text.span()));
    }
    let what = help("this is no id", "use 1 to 64 letters, digits, `.`, `_` or `-`: `cart-tail`");
    findings.error("E25", text.span(), what)
}

/// The delay and the faults of a rule, at least one of them.
fn what_it_does(fields: &mut Fields<'_>, cx: &mut Context<'_>) -> Option<(Option<Delay>, Vec<Outcome>)> {
    let delay_field = fields.get("delay");
    let delay = match &delay_field {
        Some(field) => delay::field(field, &mut cx.findings).map(Some),
        None => Some(None),
    };
    let only = action::only(fields, cx);
    let Some(one_of) = fields.get("one_of") else {
        let (delay, action) = (delay?, only.ok()?);
        if delay.is_none() && action.is_none() && !fields.has_unread() {
            let advice = "give it a delay, or one of respond, rate_limit, reset, blackhole, storm, one_of";
            return cx.findings.missing("E04", fields.span(), help("a rule that does nothing", advice));
        }
        return Some((
            delay,
            action
                .map(|action| Outcome { weight: 1, delay: None, action: Some(action) })
                .into_iter()
                .collect(),
        ));
    };
    if matches!(&only, Ok(Some(_)) | Err(())) {
        let what = help("`one_of` beside a fault", "move the fault into `one_of`, or into a rule of its own");
        cx.findings.error::<()>("E03", one_of.key.clone(), what);
    }
    let outcomes = branches(&one_of, delay_field.is_some(), cx);
    Some((delay?, outcomes?)).filter(|_| matches!(only, Ok(None)))
}

fn branches(field: &Field<'_>, rule_delays: bool, cx: &mut Context<'_>) -> Option<Vec<Outcome>> {
    let items = field.array(&mut cx.findings)?;
    let read: Vec<_> = items.iter().map(|item| branch(item, rule_delays, cx)).collect();
    let outcomes: Vec<Outcome> = read.into_iter().collect::<Option<_>>()?;
    let total: u64 = outcomes.iter().map(|outcome| u64::from(outcome.weight)).sum();
    if total == 0 {
        let what =
            help("the weights of `one_of` sum to nothing", "give at least one branch a weight above 0");
        return cx.findings.error("E09", field.span(), what);
    }
    Some(outcomes)
}

fn branch(item: &Spanned<DeValue<'_>>, rule_delays: bool, cx: &mut Context<'_>) -> Option<Outcome> {
    let DeValue::Table(table) = item.get_ref() else {
        let what =
            help("a branch of `one_of` is a table", "write `{ reset = \"before headers\", weight = 2 }`");
        return cx.findings.error("E24", item.span(), what);
    };
    let mut fields = Fields::new(table, item.span(), "`one_of`");
    let weight = match fields.get("weight") {
        Some(field) => weight(&field, &mut cx.findings),
        None => Some(1),
    };
    let delay = match fields.get("delay") {
        Some(field) if rule_delays => {
            let what = help("two delays for one exchange", "keep the rule's, or give each branch its own");
            cx.findings.error("E03", field.key, what)
        }
        Some(field) => delay::field(&field, &mut cx.findings).map(Some),
        None => Some(None),
    };
    let action = action::only(&mut fields, cx);
    let empty = matches!((&delay, &action), (Some(None), Ok(None))) && !fields.has_unread();
    if empty {
        let what = help("a branch that does nothing", "give it a delay or a fault");
        cx.findings.missing::<()>("E04", item.span(), what);
    }
    fields.finish(NOT_BUILT, &mut cx.findings);
    (!empty).then_some(())?;
    Some(Outcome { weight: weight?, delay: delay?, action: action.ok()? })
}

fn weight(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<u32> {
    let number = table::bare_number(field.value).and_then(|digits| digits.parse::<i64>().ok());
    match number
        .filter(|weight| (0..=limits::WEIGHT).contains(weight))
        .and_then(|weight| u32::try_from(weight).ok())
    {
        Some(weight) => Some(weight),
        None => {
            let what = help("a weight is a whole number from 0 to 1000000", "write `weight = 2`");
            findings.error("E09", field.span(), what)
        }
    }
}

/// Right words whose time has not come: refused, never passed over.
pub(crate) const NOT_BUILT: &[&str] = &[
    "attempts",
    "burst",
    "corrupt",
    "drop_response",
    "duplicate",
    "every",
    "failover",
    "goaway",
    "guard",
    "hook",
    "judge",
    "outage",
    "packet_loss",
    "rst_stream",
    "shard",
    "stale",
    "stall",
    "throttle",
    "truncate",
    "ws_close",
];
