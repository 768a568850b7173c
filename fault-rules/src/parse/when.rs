//! `when`: `2m..3m30s`, `1m..9m, ramp 2m, ramp down 1m, steps 4, every 10m 3 times`, or the same as a table.

use std::time::Duration;

use toml::de::DeValue;

use super::findings::{Findings, Span, help};
use super::table::Field;
use super::text::Text;
use super::{units, words};
use crate::limits;
use crate::rule::{Scale, Window};

/// The value of a `when` key.
pub(crate) fn field(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Window> {
    match field.value.get_ref() {
        DeValue::Table(_) => from_table(field, findings),
        _ => from_text(field.text("2m..3m30s", findings)?, findings),
    }
}

/// A window as text.
pub(crate) fn from_text(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Window> {
    let (ends, mut more) = match text.split_once(",") {
        Some((ends, more)) => (ends, Some(more)),
        None => (text.trim(), None),
    };
    let mut window = ends_of(ends, findings);
    let mut good = window.is_some();
    while let Some(rest) = more {
        let part;
        (part, more) = match rest.split_once(",") {
            Some((part, more)) => (part, Some(more)),
            None => (rest, None),
        };
        good &= clause(part, window.get_or_insert_default(), findings).is_some();
    }
    sensible(window.filter(|_| good)?, text.span(), findings)
}

/// `2m..3m30s`, `..30s`, `1m..`.
fn ends_of(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Window> {
    let Some((from, to)) = text.split_once("..") else {
        let all = text.str();
        let what = help(
            format!("`{all}` is no time window"),
            format!("write `{all}..` for from then on, `..{all}` for until then"),
        );
        return findings.error("E18", text.span(), what);
    };
    if from.str().is_empty() && to.str().is_empty() {
        return findings.error(
            "E18",
            text.span(),
            help("a window without ends", "leave `when` out for always"),
        );
    }
    let bound = |text: Text<'_>, findings: &mut Findings<'_>| match text.str() {
        "" => Some(None),
        _ => units::duration(text, findings).map(Some),
    };
    let (from, to) = (bound(from, findings), bound(to, findings));
    Some(Window::between(from?.unwrap_or_default(), to?))
}

/// `ramp 2m`, `ramp down 1m`, `steps 4`, `every 10m`, `every 10m 3 times`.
fn clause(text: Text<'_>, window: &mut Window, findings: &mut Findings<'_>) -> Option<()> {
    match text.words().as_slice() {
        [ramp, down, time] if (ramp.str(), down.str()) == ("ramp", "down") => {
            window.ramp_down = units::duration(*time, findings)?;
        }
        [ramp, time] if ramp.str() == "ramp" => window.ramp = units::duration(*time, findings)?,
        [steps, number] if steps.str() == "steps" => window.steps = number_of(*number, findings)?,
        [every, time] if every.str() == "every" => window.every = Some(units::duration(*time, findings)?),
        [every, time, number, times] if (every.str(), times.str()) == ("every", "times") => {
            window.every = Some(units::duration(*time, findings)?);
            window.times = Some(number_of(*number, findings)?);
        }
        [first, ..] if CLAUSES.contains(&first.str()) => {
            let what = help(format!("`{}` cannot be read", text.str()), format!("write {SHAPES}"));
            return findings.error("E18", text.span(), what);
        }
        list => {
            let word = list.first().copied().unwrap_or(text);
            let what = help(
                format!("`{}` does not belong to a window", word.str()),
                words::nearest(word.str(), CLAUSES)
                    .map_or(format!("write {SHAPES}"), |near| format!("did you mean `{near}`?")),
            );
            return findings.error("E18", word.span(), what);
        }
    }
    Some(())
}

fn number_of(text: Text<'_>, findings: &mut Findings<'_>) -> Option<u32> {
    match text.str().parse().ok().filter(|number| (1..=MOST).contains(number)) {
        Some(number) => Some(number),
        None => {
            let message = format!("`{}` is no number from 1 to {MOST}", text.str());
            findings.error("E18", text.span(), help(message, format!("write {SHAPES}")))
        }
    }
}

fn from_table(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Window> {
    let mut fields = field.table("`when`", findings)?;
    let mut time = |name, findings: &mut Findings<'_>| {
        fields.optional(name, |field| units::duration_field(field, findings))
    };
    let (from, to) = (time("from", findings), time("to", findings));
    let (ramp, ramp_down) = (time("ramp", findings), time("ramp_down", findings));
    let every = time("every", findings);
    let count = |field: &Field<'_>, findings: &mut Findings<'_>| {
        u32::try_from(field.integer((1, i64::from(MOST)), findings)?).ok()
    };
    let steps = fields.or("steps", 0, |field| count(field, findings));
    let times = fields.optional("times", |field| count(field, findings));
    let scale = fields.or("scale", Scale::Rate, |field| {
        let text = field.text("rate", findings)?;
        match text.str() {
            "rate" => Some(Scale::Rate),
            "delay" => Some(Scale::Delay),
            wrong => {
                let message = format!("a ramp does not scale `{wrong}`");
                findings.error(
                    "E18",
                    text.span(),
                    help(message, words::did_you_mean(wrong, &["rate", "delay"])),
                )
            }
        }
    });
    fields.finish(findings);
    let window = Window {
        from: from?.unwrap_or_default(),
        to: to?,
        ramp: ramp?.unwrap_or_default(),
        ramp_down: ramp_down?.unwrap_or_default(),
        steps: steps?,
        every: every?,
        times: times?,
        scale: scale?,
    };
    sensible(window, field.span(), findings)
}

/// Refuses a window whose parts contradict each other.
fn sensible(window: Window, span: Span, findings: &mut Findings<'_>) -> Option<Window> {
    let ramps = window.ramp.saturating_add(window.ramp_down);
    let length = window.to.map(|to| to.saturating_sub(window.from));
    let contradiction = if length.is_some_and(|length| length.is_zero()) {
        Some(("the window ends before it starts", "write the earlier time first"))
    } else if length.is_some_and(|length| length < ramps) {
        Some(("the ramps are longer than the window", "shorten them, or give the window a later end"))
    } else if length.is_none() && !window.ramp_down.is_zero() {
        Some(("a ramp down to an end that is not given", "give the window an end: `1m..9m`"))
    } else if 0 < window.steps && ramps.is_zero() {
        Some(("steps of a ramp that is not there", "add `ramp 2m`, or drop the steps"))
    } else if window.scale == Scale::Delay && ramps.is_zero() {
        Some(("a scale of a ramp that is not there", "add `ramp = \"2m\"`, or drop the scale"))
    } else {
        repeats(&window, length)
    };
    match contradiction {
        Some((message, advice)) => findings.error("E18", span, help(message, advice)),
        None => Some(window),
    }
}

fn repeats(window: &Window, length: Option<Duration>) -> Option<(&'static str, &'static str)> {
    match (window.every, length) {
        (None, _) if window.times.is_some() => Some(("times without a repeat", "add `every = \"10m\"`")),
        (None, _) => None,
        (Some(every), _) if every.is_zero() => Some(("a repeat after no time", "write a time above zero")),
        (Some(_), None) => Some(("a window without end cannot open again", "give it an end: `1m..2m`")),
        (Some(every), Some(length)) if every < length => {
            Some(("the window is longer than its repeat", "shorten it, or repeat it less often"))
        }
        _ => None,
    }
}

const CLAUSES: &[&str] = &["ramp", "steps", "every"];

const SHAPES: &str = "`ramp 2m`, `ramp down 1m`, `steps 4`, `every 10m` or `every 10m 3 times`";

const MOST: u32 = limits::REPEATS;
