//! `rate`: how many, and of what.

use super::findings::{Findings, Span, help};
use super::table::{self, Field};
use super::text::Text;
use super::{on, units, words};
use crate::matcher::{Matcher, Template};
use crate::select::{By, Rate};

/// The value of a `rate` key. A part of the path must be a part of `on`, where that could be read.
pub(crate) fn field(
    field: &Field<'_>,
    on: Option<&Matcher>,
    findings: &mut Findings<'_>,
) -> Option<(Rate, By)> {
    match table::bare_number(field.value) {
        Some(number) => findings.error("E05", field.span(), units::bare_share(number)),
        None => from_text(field.text("20%", findings)?, on, findings),
    }
}

/// `20%`, `20% of sessions`, `5% of header x-api-key`, `5% of path customer`.
pub(crate) fn from_text(
    text: Text<'_>,
    on: Option<&Matcher>,
    findings: &mut Findings<'_>,
) -> Option<(Rate, By)> {
    let words = text.words();
    let Some((first, rest)) = words.split_first() else {
        return findings.error("E05", text.span(), help("an empty rate", "write `20%` or `20% of sessions`"));
    };
    let rate = units::share(*first, findings);
    let by = match rest {
        [] => Some(By::Request),
        [of, what @ ..] if of.str() == "of" && !what.is_empty() => by(what, on, findings),
        [wrong, ..] => {
            let what =
                help(format!("`{}` does not belong to a rate", wrong.str()), "write `20% of sessions`");
            findings.error("E05", wrong.span(), what)
        }
    };
    rate.zip(by)
}

/// What the share is taken of.
fn by(what: &[Text<'_>], on: Option<&Matcher>, findings: &mut Findings<'_>) -> Option<By> {
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
        ("path", Some(name)) => Some(By::Path(path_name(name, on, findings)?)),
        ("header" | "cookie" | "path", None) => {
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

/// A `{name}` of the rule's path.
pub(crate) fn path_name(name: Text<'_>, on: Option<&Matcher>, findings: &mut Findings<'_>) -> Option<String> {
    let bare = name.str().strip_prefix('{').and_then(|name| name.strip_suffix('}'));
    let bare = name.part(bare.unwrap_or(name.str()));
    let Some(on) = on else { return Some(bare.str().to_owned()) };
    let template = on.path.as_ref();
    if template.is_some_and(|template| template.has_name(bare.str())) {
        return Some(bare.str().to_owned());
    }
    let known: Vec<_> = template.into_iter().flat_map(Template::names).collect();
    let advice = match words::nearest(bare.str(), &known) {
        Some(right) => format!("did you mean `{right}`?"),
        None => format!("name a part in `on`: \"/api/{{{}}}/**\"", bare.str()),
    };
    let message = format!("no part of the path is called `{}`", bare.str());
    findings.error("E10", bare.span(), help(message, advice))
}

fn unknown_kind(kind: &str, span: Span, findings: &mut Findings<'_>) -> Option<By> {
    let what = help(format!("a rate is not taken of `{kind}`"), words::did_you_mean(kind, KINDS));
    findings.error("E05", span, what)
}

const KINDS: &[&str] = &["requests", "operations", "sessions", "connections", "header", "cookie", "path"];
