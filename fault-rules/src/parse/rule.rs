//! One `[[rule]]` table.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::findings::{Findings, Span, help};
use super::table::{self, Field, Fields};
use super::{Context, action, delay, guard, on, rate, select, sense, shard, when};
use crate::action::Action;
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
    let mut fields = Fields::new(table, span, "[[rule]]");
    let id = id(&mut fields, cx);
    let on = fields.or("on", Matcher::default(), |field| on::field(field, cx));
    let known = on.as_ref();
    let findings = &mut cx.findings;
    let share = fields.or("rate", (Rate::ALL, By::Request), |field| rate::field(field, known, findings));
    let attempts = fields.optional("attempts", |field| select::attempts(field, findings));
    let shard = fields.optional("shard", |field| shard::field(field, known, findings));
    let every = fields.optional("every", |field| select::every(field, findings));
    let burst = fields.optional("burst", |field| select::burst(field, findings));
    let when = fields.get("when");
    let window = when.as_ref().map_or(Some(Window::default()), |field| when::field(field, findings));
    let guard = fields.optional("guard", |field| guard::reference(field, cx));
    let done = what_it_does(&mut fields, known, cx);
    if let (Some(window), Some(field), Some((delay, outcomes))) = (&window, &when, &done) {
        sense::scale(window, field, (delay, outcomes), &mut cx.findings);
    }
    fields.finish(&mut cx.findings);
    let ((delay, outcomes), (id, id_span), (rate, by)) = (done?, id?, share?);
    let rule = Rule {
        id,
        on: on?,
        rate,
        by,
        attempts: attempts?,
        shard: shard?,
        every: every?,
        burst: burst?,
        window: window?,
        delay,
        outcomes,
        guard: guard?,
        line,
    };
    Some(Placed { rule, id: id_span })
}

/// Letters, digits, `.`, `_` and `-`: ids stand in a header, in metrics and in file names.
pub(crate) fn is_id(id: &str) -> bool {
    let well_formed = id.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    !id.is_empty() && id.len() <= limits::ID_CHARS && well_formed
}

/// The id of a rule or a hook, and its place.
pub(crate) fn id(fields: &mut Fields<'_>, cx: &mut Context<'_>) -> Option<(String, Span)> {
    let findings = &mut cx.findings;
    let Some(field) = fields.get("id") else {
        let advice =
            "write `id = \"cart-tail\"`: the id decides who is selected, so it must not change by itself";
        return findings.missing(
            "E25",
            fields.span(),
            help(format!("{} without an id", fields.what()), advice),
        );
    };
    let text = field.text("cart-tail", findings)?;
    if is_id(text.str()) {
        let id = (text.str().to_owned(), text.span());
        cx.ids.push(id.clone());
        return Some(id);
    }
    let what = help("this is no id", "use 1 to 64 letters, digits, `.`, `_` or `-`: `cart-tail`");
    findings.error("E25", text.span(), what)
}

/// The delay and the faults of a rule, at least one of them. They must fit to whom the rule is about, where that is known.
fn what_it_does(
    fields: &mut Fields<'_>,
    on: Option<&Matcher>,
    cx: &mut Context<'_>,
) -> Option<(Option<Delay>, Vec<Outcome>)> {
    let delay_field = fields.get("delay");
    let delay = match &delay_field {
        Some(field) => wait(field, on, cx).map(Some),
        None => Some(None),
    };
    let only = fault(fields, on, cx);
    let Some(one_of) = fields.get("one_of") else {
        let (delay, action) = (delay?, only.ok()?);
        if delay.is_none() && action.is_none() && !fields.has_unread() {
            let advice = format!("give it a delay, or one of {}, one_of", action::KEYS.join(", "));
            return cx.findings.missing("E04", fields.span(), help("a rule that does nothing", advice));
        }
        let only = |action| Outcome { weight: 1, delay: None, action: Some(action) };
        return Some((delay, action.map(only).into_iter().collect()));
    };
    if matches!(&only, Ok(Some(_)) | Err(())) {
        let what = help("`one_of` beside a fault", "move the fault into `one_of`, or into a rule of its own");
        cx.findings.error::<()>("E03", one_of.key.clone(), what);
    }
    let outcomes = branches(&one_of, delay_field.is_some(), on, cx);
    Some((delay?, outcomes?)).filter(|_| matches!(only, Ok(None)))
}

fn wait(field: &Field<'_>, on: Option<&Matcher>, cx: &mut Context<'_>) -> Option<Delay> {
    let delay = delay::field(field, cx)?;
    sense::wait(on, &delay, field.span(), &mut cx.findings);
    Some(delay)
}

fn fault(fields: &mut Fields<'_>, on: Option<&Matcher>, cx: &mut Context<'_>) -> Result<Option<Action>, ()> {
    let found = action::only(fields, on, cx)?;
    Ok(found.map(|(span, action)| {
        sense::fault(on, &action, span, &mut cx.findings);
        action
    }))
}

fn branches(
    field: &Field<'_>,
    rule_delays: bool,
    on: Option<&Matcher>,
    cx: &mut Context<'_>,
) -> Option<Vec<Outcome>> {
    let items = field.short_array(limits::IN_A_ROW, &mut cx.findings)?;
    let read: Vec<_> = items.iter().map(|item| branch(item, rule_delays, on, cx)).collect();
    let outcomes: Vec<Outcome> = read.into_iter().collect::<Option<_>>()?;
    let total: u64 = outcomes.iter().map(|outcome| u64::from(outcome.weight)).sum();
    if total == 0 {
        let what =
            help("the weights of `one_of` sum to nothing", "give at least one branch a weight above 0");
        return cx.findings.error("E09", field.span(), what);
    }
    Some(outcomes)
}

fn branch(
    item: &Spanned<DeValue<'_>>,
    rule_delays: bool,
    on: Option<&Matcher>,
    cx: &mut Context<'_>,
) -> Option<Outcome> {
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
        Some(field) => wait(&field, on, cx).map(Some),
        None => Some(None),
    };
    let action = fault(&mut fields, on, cx);
    let empty = matches!((&delay, &action), (Some(None), Ok(None))) && !fields.has_unread();
    if empty {
        let what = help("a branch that does nothing", "give it a delay or a fault");
        cx.findings.missing::<()>("E04", item.span(), what);
    }
    fields.finish(&mut cx.findings);
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
