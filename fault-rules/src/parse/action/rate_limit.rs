//! `rate_limit`: a pace, whose, and what the rest is answered.

use toml::de::DeValue;

use crate::action::{Per, RateLimit};
use crate::limits;
use crate::parse::findings::{Findings, help};
use crate::parse::table::Field;
use crate::parse::text::Text;
use crate::parse::{Context, on, respond, units, words};
use crate::state::BucketSpec;

pub(super) fn field(field: &Field<'_>, cx: &mut Context<'_>) -> Option<RateLimit> {
    let DeValue::Table(_) = field.value.get_ref() else {
        let text = field.text("50/s per header x-api-key", &mut cx.findings)?;
        return from_text(text, &mut cx.findings);
    };
    let mut fields = field.table("`rate_limit`", &mut cx.findings)?;
    let refusal = respond::refusal(&mut fields, cx);
    let findings = &mut cx.findings;
    let per = match fields.get("per") {
        Some(field) => field.text("header x-api-key", findings).and_then(|text| per(text, findings)),
        None => Some(Per::All),
    };
    let burst = match fields.get("burst") {
        Some(field) => {
            field.integer((1, limits::TOKENS as i64), findings).map(|burst| Some(burst.unsigned_abs()))
        }
        None => Some(None),
    };
    let rate = match fields.get("rate") {
        Some(field) => field.text("50/s", findings).and_then(|text| units::rate(text, findings)),
        None => findings.missing(
            "E29",
            fields.span(),
            help("`rate` is missing in `rate_limit`", "write `rate = \"50/s\"`"),
        ),
    };
    fields.finish(findings);
    let (rate, burst) = (rate?, burst?);
    Some(RateLimit { per: per?, bucket: bucket(rate, burst), refusal: refusal? })
}

/// `50/s`, `50/s burst 100`, `50/s per header x-api-key burst 100`.
pub(super) fn from_text(text: Text<'_>, findings: &mut Findings<'_>) -> Option<RateLimit> {
    let words = text.words();
    let Some((first, mut rest)) = words.split_first() else {
        return findings.error("E29", text.span(), help("an empty rate limit", "write `50/s`"));
    };
    let rate = units::rate(*first, findings);
    let (mut by, mut burst) = (Per::All, None);
    while let Some((word, behind)) = rest.split_first() {
        let taken = match (word.str(), behind) {
            ("burst", [amount, ..]) => {
                burst = Some(units::count(*amount, findings)?);
                1
            }
            ("per", [kind, name, ..]) if NAMED.contains(&kind.str()) => {
                by = per_words(*kind, Some(*name), findings)?;
                2
            }
            ("per", [kind, ..]) => {
                by = per_words(*kind, None, findings)?;
                1
            }
            (wrong, _) => {
                let what = help(
                    format!("`{wrong}` does not belong here"),
                    "write `50/s per header x-api-key burst 100`",
                );
                return findings.error("E29", word.span(), what);
            }
        };
        rest = behind.get(taken..).unwrap_or(&[]);
    }
    Some(RateLimit { per: by, bucket: bucket(rate?, burst), refusal: respond::too_many_requests() })
}

/// A burst that is not given is what comes in one second, and at least one.
fn bucket((tokens, period): (u64, std::time::Duration), burst: Option<u64>) -> BucketSpec {
    let a_second = (u128::from(tokens) * 1_000_000_000).div_ceil(period.as_nanos().max(1));
    let usual = u64::try_from(a_second).unwrap_or(u64::MAX).min(tokens).max(1);
    BucketSpec::new(tokens, period, burst.unwrap_or(usual))
}

fn per(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Per> {
    match text.words().as_slice() {
        [kind] => per_words(*kind, None, findings),
        [kind, name] => per_words(*kind, Some(*name), findings),
        _ => findings.error(
            "E29",
            text.span(),
            help("a key of one or two words", "write `per = \"header x-api-key\"`"),
        ),
    }
}

/// `all`, `session`, `client`, `header NAME`, `cookie NAME`, split into words.
pub(crate) fn per_words(kind: Text<'_>, name: Option<Text<'_>>, findings: &mut Findings<'_>) -> Option<Per> {
    match (kind.str(), name) {
        ("all", None) => Some(Per::All),
        ("session", None) => Some(Per::Session),
        ("client", None) => Some(Per::Client),
        ("header", Some(name)) => Some(Per::Header(on::header_name(name, findings)?)),
        ("cookie", Some(name)) => Some(Per::Cookie(name.str().to_owned())),
        ("header" | "cookie", None) => {
            let what = help(format!("`{}` wants a name", kind.str()), format!("write `{} NAME`", kind.str()));
            findings.error("E29", kind.span(), what)
        }
        (wrong, _) => {
            let what = help(format!("no bucket per `{wrong}`"), words::did_you_mean(wrong, PER));
            findings.error("E29", kind.span(), what)
        }
    }
}

const PER: &[&str] = &["all", "session", "client", "header", "cookie"];

/// Kinds of key that are followed by a name.
const NAMED: &[&str] = &["header", "cookie"];
