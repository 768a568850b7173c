//! A rule on the command line: `GET /api/** delay 200ms respond 503 20% of sessions attempts 1..2 when 1m..2m`.

use xxhash_rust::xxh3::xxh3_64;

use super::findings::help;
use super::text::Text;
use super::{Context, action, delay, on, rate, select, sense, when, words};
use crate::action::Action;
use crate::delay::Delay;
use crate::matcher::Matcher;
use crate::rule::{Outcome, Rule, Window};
use crate::select::{By, Rate};

pub(crate) fn read(text: Text<'_>, cx: &mut Context<'_>) -> Option<Rule> {
    let all = text.words();
    let mut rest = all.as_slice();
    let tail = Tail::take(text, &mut rest);
    let first = up_to_keyword(rest);
    let (whom, what) = rest.split_at_checked(first).unwrap_or((rest, &[]));
    if what.is_empty() {
        if let Some((word, right)) = slip(rest) {
            let what = help(format!("unknown fault `{}`", word.str()), format!("did you mean `{right}`?"));
            return cx.findings.error("E01", word.span(), what);
        }
        let what = help("no fault in this rule", "write `GET /api/** delay 200ms 20%`: whom, what, how many");
        return cx.findings.error("E04", text.span(), what);
    }
    let on = on::from_words(whom, cx);
    let done = what_it_does(text, what, on.as_ref(), cx);
    let findings = &mut cx.findings;
    let share =
        tail.rate.map_or(Some((Rate::ALL, By::Request)), |text| rate::from_text(text, on.as_ref(), findings));
    let window = tail.when.map_or(Some(Window::default()), |text| when::from_text(text, findings));
    let attempts = tail.attempts.map_or(Some(None), |text| select::attempts_text(text, findings).map(Some));
    let (rate, by) = share?;
    let (delay, action) = done?;
    let outcomes =
        action.map(|action| Outcome { weight: 1, delay: None, action: Some(action) }).into_iter().collect();
    Some(Rule {
        id: id(rest),
        on: on?,
        rate,
        by,
        attempts: attempts?,
        shard: None,
        every: None,
        burst: None,
        window: window?,
        delay,
        outcomes,
        guard: None,
        line: 0,
    })
}

/// A word that was probably meant to be a fault, and which. Words of `on`, and what stands behind them, are none.
fn slip<'t>(words: &[Text<'t>]) -> Option<(Text<'t>, &'static str)> {
    let mut keywords = vec!["delay"];
    keywords.extend(action::KEYS);
    let mut is_value = false;
    for word in words {
        let of_on = matches!(word.str(), "host" | "header" | "edge" | "group" | "->");
        let found = words::nearest(word.str(), &keywords).filter(|_| !of_on && !is_value);
        if let Some(right) = found {
            return Some((*word, right));
        }
        is_value = of_on;
    }
    None
}

/// How many and when: what stands at the end, in any order.
#[derive(Default)]
struct Tail<'t> {
    rate: Option<Text<'t>>,
    attempts: Option<Text<'t>>,
    when: Option<Text<'t>>,
}

impl<'t> Tail<'t> {
    /// Takes them off the end.
    fn take(text: Text<'t>, rest: &mut &[Text<'t>]) -> Self {
        let mut tail = Self::default();
        loop {
            let (slot, before, words) = match *rest {
                [before @ .., when, span] if when.str() == "when" => {
                    (&mut tail.when, before, [*span].to_vec())
                }
                [before @ .., attempts, which] if attempts.str() == "attempts" => {
                    (&mut tail.attempts, before, [*which].to_vec())
                }
                _ => {
                    let Some(len) = rate_len(rest) else { return tail };
                    let (before, words) = rest.split_at_checked(rest.len() - len).unwrap_or((rest, &[]));
                    (&mut tail.rate, before, words.to_vec())
                }
            };
            if slot.is_some() {
                return tail; // a second one is no tail any more, and becomes a finding where it stands
            }
            *slot = Some(joined(text, &words));
            *rest = before;
        }
    }
}

/// How many words at the end make a rate: `20%`, `20% of sessions`, `5% of header x-api-key`. The share of a `truncate 60%`,
/// of a `loss 2%` or of a `stall 8s after 50%` is none.
fn rate_len(words: &[Text<'_>]) -> Option<usize> {
    let is_share = |word: &Text<'_>| word.str().ends_with('%');
    let (len, before) = match words {
        [before @ .., share, of, kind, _]
            if is_share(share) && of.str() == "of" && matches!(kind.str(), "header" | "cookie" | "path") =>
        {
            (4, before)
        }
        [before @ .., share, of, what] if is_share(share) && of.str() == "of" && what.str() != "body" => {
            (3, before)
        }
        [before @ .., share] if is_share(share) => (1, before),
        _ => return None,
    };
    let is_value = before.last().is_some_and(|word| matches!(word.str(), "truncate" | "loss" | "after"));
    (!is_value).then_some(len)
}

fn what_it_does(
    text: Text<'_>,
    mut words: &[Text<'_>],
    on: Option<&Matcher>,
    cx: &mut Context<'_>,
) -> Option<(Option<Delay>, Option<Action>)> {
    let (mut wait, mut fault) = (None, None);
    while let Some((keyword, rest)) = words.split_first() {
        let name = keyword.str();
        // `outage reset`: what may look like the next fault is the value of this one.
        let least = usize::from(matches!(name, "outage" | "drop_response") && !rest.is_empty());
        let len = least + up_to_keyword(rest.get(least..).unwrap_or(&[]));
        let (value, behind) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        words = behind;
        if value.is_empty() {
            let what = help(format!("`{name}` wants a value"), format!("write `{name} {}`", example(name)));
            return cx.findings.error("E04", keyword.span(), what);
        }
        let value = joined(text, value);
        let twice = if name == "delay" {
            let delay = delay::from_text(value, cx)?;
            sense::wait(on, &delay, value.span(), &mut cx.findings);
            wait.replace(delay).is_some()
        } else {
            let action = action::from_text(name, value, cx)?;
            sense::fault(on, &action, keyword.span(), &mut cx.findings);
            fault.replace(action).is_some()
        };
        if twice {
            let what = help("a second fault in one rule", "give each its own --fault");
            return cx.findings.error("E03", keyword.span(), what);
        }
    }
    Some((wait, fault))
}

/// The words as one text, as they stand in the source; a single quoted word without its quotes.
fn joined<'t>(text: Text<'t>, words: &[Text<'t>]) -> Text<'t> {
    let offset = text.span().start;
    let (from, to) = match words {
        [first, .., last] => (first.span().start - offset, last.span().end - offset),
        [only] => (only.span().start - offset, only.span().end - offset),
        [] => return text,
    };
    let all = text.str().get(from..to).unwrap_or("");
    let bare = all.strip_prefix('"').and_then(|all| all.strip_suffix('"')).filter(|_| words.len() == 1);
    text.part(bare.unwrap_or(all))
}

/// From whom and what, not from how many and when: so a higher rate keeps its victims.
fn id(words: &[Text<'_>]) -> String {
    let text: Vec<_> = words.iter().map(Text::str).collect();
    let text = text.join(" ");
    let parts = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let slug = parts.fold("fault".to_owned(), |slug, part| format!("{slug}-{}", part.to_ascii_lowercase()));
    let slug = slug.get(..SLUG.min(slug.len())).unwrap_or("fault").trim_end_matches('-');
    format!("{slug}-{:08x}", xxh3_64(text.as_bytes()) >> 32)
}

/// How many words stand before the next fault. The `reset` of `blackhole 30s, then reset` begins none.
fn up_to_keyword(words: &[Text<'_>]) -> usize {
    let is_keyword = |word: &str| word == "delay" || action::KEYS.contains(&word);
    let mut behind_then = false;
    for (place, word) in words.iter().enumerate() {
        if !behind_then && is_keyword(word.str()) {
            return place;
        }
        behind_then = word.str() == "then";
    }
    words.len()
}

fn example(keyword: &str) -> &'static str {
    match keyword {
        "delay" => "200ms",
        "respond" => "503",
        "rate_limit" => "50/s",
        "reset" => "\"before headers\"",
        "truncate" => "60%",
        "throttle" => "10KB/s",
        "stall" => "8s after headers",
        "loss" => "2%",
        "corrupt" => "bitflip per 4KB",
        "drop_response" => "reset",
        "duplicate" => "1",
        "outage" => "refuse",
        "goaway" => "graceful",
        "websocket_close" => "1011",
        _ => "30s",
    }
}

/// Length of the readable part of an id, in characters.
const SLUG: usize = 40;
