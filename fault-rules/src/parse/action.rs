//! The faults: each key of the language, from what was typed to an [`Action`].

use toml::de::DeValue;

use super::findings::{Findings, Span, help};
use super::table::{self, Field, Fields};
use super::text::Text;
use super::{Context, not_built, respond, units, words};
use crate::action::{Action, Backoff, Blackhole, End, Per, Point, RateLimit, Reset, Storm, StormWhen};
use crate::limits;
use crate::state::BucketSpec;

/// The one fault of a table (a rule or a branch of `one_of`); `Err` when one is there and wrong.
pub(crate) fn only(fields: &mut Fields<'_>, cx: &mut Context<'_>) -> Result<Option<Action>, ()> {
    let mut found: Option<(Span, &'static str, Option<Action>)> = None;
    let mut several = false;
    for name in KEYS {
        let Some(field) = fields.get(name) else { continue };
        let action = read(&field, cx);
        let Some((_, earlier, _)) = &found else {
            found = Some((field.key, name, action));
            continue;
        };
        let message = format!("`{name}` beside `{earlier}`: a rule has one fault");
        let advice = "keep one, or let a roll choose: one_of = [{ … }, { … }]";
        cx.findings.error::<()>("E03", field.key, help(message, advice));
        several = true;
    }
    match found {
        None => Ok(None),
        Some((_, _, Some(action))) if !several => Ok(Some(action)),
        Some(_) => Err(()),
    }
}

/// A fault of the command line: its keyword and the text behind it.
pub(crate) fn from_text(name: &str, text: Text<'_>, findings: &mut Findings<'_>) -> Option<Action> {
    match name {
        "respond" => respond::from_text(text, findings).map(Action::Respond),
        "rate_limit" => rate_limit_text(text, findings).map(Action::RateLimit),
        "reset" => reset(text, findings).map(|at| Action::Reset(Reset::at(at))),
        "blackhole" => blackhole(text, findings).map(Action::Blackhole),
        _ => {
            let what = help(
                "a storm takes a table",
                "put it into a rule file: storm = { when = [\"5xx\"], copies = 3, … }",
            );
            findings.error("E24", text.span(), what)
        }
    }
}

fn read(field: &Field<'_>, cx: &mut Context<'_>) -> Option<Action> {
    match field.name {
        "respond" => respond::field(field, cx).map(Action::Respond),
        "rate_limit" => rate_limit(field, cx).map(Action::RateLimit),
        "reset" => reset(field.text("before headers", &mut cx.findings)?, &mut cx.findings)
            .map(|at| Action::Reset(Reset::at(at))),
        "blackhole" => {
            if let Some(number) = table::bare_number(field.value) {
                let what = help("a time without a unit", format!("write `blackhole = \"{number}s\"`"));
                return cx.findings.error("E06", field.span(), what);
            }
            blackhole(field.text("30s, then reset", &mut cx.findings)?, &mut cx.findings)
                .map(Action::Blackhole)
        }
        _ => storm(field.table("`storm`", &mut cx.findings)?, &mut cx.findings).map(Action::Storm),
    }
}

/// `before headers`, `after headers`, `after 5000 B of body`, `after 50% of body`.
fn reset(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Point> {
    let text = text.trim();
    match text.str() {
        "before headers" => return Some(Point::BeforeHeaders),
        "after headers" => return Some(Point::AfterHeaders),
        _ => {}
    }
    let amount = text
        .strip_word("after")
        .and_then(|rest| Some(rest.part(rest.str().strip_suffix("of body")?.trim_end())));
    match amount {
        Some(amount) if amount.str().ends_with('%') => {
            units::share(amount, findings).map(|share| Point::AfterFraction(share.fraction()))
        }
        Some(amount) => units::size(amount, findings).map(Point::AfterBytes),
        None => {
            let what = help(
                format!("`{}` is no place for a reset", text.str()),
                "write `before headers`, `after headers`, `after 5000 B of body` or `after 50% of body`",
            );
            findings.error("E24", text.span(), what)
        }
    }
}

/// `30s`, `30s, then reset`, `forever`.
fn blackhole(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Blackhole> {
    let text = text.trim();
    let (hold, end) = match text.split_once(",") {
        Some((hold, then)) => (hold, Some(then)),
        None => (text, None),
    };
    let end = match end.map(|end| (end, end.strip_word("then").map(|end| end.str()))) {
        None | Some((_, Some("close"))) => Some(End::Close),
        Some((_, Some("reset"))) => Some(End::Reset),
        Some((wrong, _)) => {
            let what = help(format!("`{}` is no end", wrong.str()), "write `then reset` or `then close`");
            findings.error("E24", wrong.span(), what)
        }
    };
    let hold = match hold.str() {
        "forever" => Some(None),
        _ => units::duration(hold, findings).map(Some),
    };
    Some(Blackhole { hold: hold?, end: end? })
}

fn rate_limit(field: &Field<'_>, cx: &mut Context<'_>) -> Option<RateLimit> {
    let DeValue::Table(_) = field.value.get_ref() else {
        let text = field.text("50/s per header x-api-key", &mut cx.findings)?;
        return rate_limit_text(text, &mut cx.findings);
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
    fields.finish(&[], findings);
    let (rate, burst) = (rate?, burst?);
    Some(RateLimit { per: per?, bucket: bucket(rate, burst), refusal: refusal? })
}

/// `50/s`, `50/s burst 100`, `50/s per header x-api-key burst 100`.
fn rate_limit_text(text: Text<'_>, findings: &mut Findings<'_>) -> Option<RateLimit> {
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

fn per_words(kind: Text<'_>, name: Option<Text<'_>>, findings: &mut Findings<'_>) -> Option<Per> {
    match (kind.str(), name) {
        ("all", None) => Some(Per::All),
        ("session", None) => Some(Per::Session),
        ("client", None) => Some(Per::Client),
        ("header", Some(name)) => Some(Per::Header(super::on::header_name(name, findings)?)),
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

fn storm(mut fields: Fields<'_>, findings: &mut Findings<'_>) -> Option<Storm> {
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
    let backoff = fields.get("backoff").map(|field| backoff(&field, findings));
    fields.finish(&["budget", "delay", "jitter"], findings);
    let copies = u32::try_from(copies?).ok();
    (backoff != Some(None)).then_some(())?;
    Some(Storm { when: when?, copies: copies?, backoff: Backoff::NONE, max_amplification: cap? })
}

fn backoff(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<()> {
    let text = field.text("none", findings)?;
    match text.str() {
        "none" => Some(()),
        other => findings.error("E23", text.span(), not_built(&format!("backoff = \"{other}\""))),
    }
}

fn storm_when(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Vec<StormWhen>> {
    let items = field.array(findings)?;
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

/// The faults of this language, in the order in which several are reported.
pub(crate) const KEYS: [&str; 5] = ["respond", "rate_limit", "reset", "blackhole", "storm"];

const PER: &[&str] = &["all", "session", "client", "header", "cookie"];

/// Kinds of key that are followed by a name.
const NAMED: &[&str] = &["header", "cookie"];
