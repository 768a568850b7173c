//! `rate` and `when`: how many, of what, and in which part of the run.

use super::findings::{Findings, Span, help};
use super::table::{self, Field};
use super::text::Text;
use super::{not_built, on, units, words};
use crate::rule::Window;
use crate::select::{By, Rate};

/// The value of a `rate` key.
pub(crate) fn field(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<(Rate, By)> {
    match table::bare_number(field.value) {
        Some(number) => findings.error("E05", field.span(), units::bare_share(number)),
        None => from_text(field.text("20%", findings)?, findings),
    }
}

/// `20%`, `20% of sessions`, `5% of header x-api-key`.
pub(crate) fn from_text(text: Text<'_>, findings: &mut Findings<'_>) -> Option<(Rate, By)> {
    let words = text.words();
    let Some((first, rest)) = words.split_first() else {
        return findings.error("E05", text.span(), help("an empty rate", "write `20%` or `20% of sessions`"));
    };
    let rate = units::share(*first, findings);
    let by = match rest {
        [] => Some(By::Request),
        [of, what @ ..] if of.str() == "of" && !what.is_empty() => by(what, findings),
        [wrong, ..] => {
            let what =
                help(format!("`{}` does not belong to a rate", wrong.str()), "write `20% of sessions`");
            findings.error("E05", wrong.span(), what)
        }
    };
    rate.zip(by)
}

/// `2m..3m30s`, `..30s`, `1m..`.
pub(crate) fn window(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Window> {
    if let Some((_, more)) = text.split_once(",") {
        return findings.error("E23", more.span(), not_built("ramp, step and repeat"));
    }
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
    let (from, to) = (bound(from, findings)?, bound(to, findings)?);
    let from = from.unwrap_or_default();
    if to.is_some_and(|to| to <= from) {
        return findings.error(
            "E18",
            text.span(),
            help("the window ends before it starts", "write the earlier time first"),
        );
    }
    Some(Window::between(from, to))
}

/// What the share is taken of.
fn by(what: &[Text<'_>], findings: &mut Findings<'_>) -> Option<By> {
    let (kind, name) = match what {
        [kind] => (*kind, None),
        [kind, name] => (*kind, Some(*name)),
        [_, _, wrong, ..] => {
            return findings.error(
                "E05",
                wrong.span(),
                help("too many words for a rate", "write `5% of header x-api-key`"),
            );
        }
        [] => return None,
    };
    match (kind.str(), name) {
        ("requests", None) => Some(By::Request),
        ("operations", None) => Some(By::Operation),
        ("sessions", None) => Some(By::Session),
        ("connections", None) => Some(By::Connection),
        ("header", Some(name)) => Some(By::Header(on::header_name(name, findings)?)),
        ("cookie", Some(name)) => Some(By::Cookie(name.str().to_owned())),
        ("path", _) => findings.error("E23", kind.span(), not_built("of path NAME")),
        ("header" | "cookie", None) => {
            let what = help(
                format!("`of {}` wants a name", kind.str()),
                format!("write `5% of {} NAME`", kind.str()),
            );
            findings.error("E05", kind.span(), what)
        }
        (_, Some(name)) if KINDS.contains(&kind.str()) => findings.error(
            "E05",
            name.span(),
            help("nothing may follow here", format!("write `of {}`", kind.str())),
        ),
        _ => unknown_kind(kind.str(), kind.span(), findings),
    }
}

fn unknown_kind(kind: &str, span: Span, findings: &mut Findings<'_>) -> Option<By> {
    let what = help(format!("a rate is not taken of `{kind}`"), words::did_you_mean(kind, KINDS));
    findings.error("E05", span, what)
}

const KINDS: &[&str] = &["requests", "operations", "sessions", "connections", "header", "cookie"];
