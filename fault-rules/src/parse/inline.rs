//! A rule on the command line: `GET /api/** delay 200ms respond 503 20% of sessions when 1m..2m`.

use xxhash_rust::xxh3::xxh3_64;

use super::findings::{Findings, help};
use super::text::Text;
use super::{action, delay, on, rate};
use crate::action::Action;
use crate::delay::Delay;
use crate::rule::{Outcome, Rule, Window};
use crate::select::{By, Rate};

pub(crate) fn read(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Rule> {
    let words = text.words();
    let mut rest = words.as_slice();
    let (share, window) = tail(text, &mut rest, findings);
    let first = up_to_keyword(rest);
    let (whom, what) = rest.split_at_checked(first).unwrap_or((rest, &[]));
    if what.is_empty() {
        let what = help("no fault in this rule", "write `GET /api/** delay 200ms 20%`: whom, what, how many");
        return findings.error("E04", text.span(), what);
    }
    let on = on::from_words(whom, findings);
    let done = what_it_does(text, what, findings);
    let (rate, by) = share?;
    let (delay, action) = done?;
    let outcomes =
        action.map(|action| Outcome { weight: 1, delay: None, action: Some(action) }).into_iter().collect();
    Some(Rule {
        id: id(rest),
        on: on?,
        rate,
        by,
        window: window?,
        delay,
        outcomes,
        line: 0,
        attempts: None,
        shard: None,
        every: None,
        burst: None,
        guard: None,
    })
}

/// Takes the rate and the window off the end; absent, they are everything and always.
fn tail<'t>(
    text: Text<'t>,
    rest: &mut &[Text<'t>],
    findings: &mut Findings<'_>,
) -> (Option<(Rate, By)>, Option<Window>) {
    let (mut share, mut window) = (None, None);
    loop {
        match *rest {
            [before @ .., when, span] if when.str() == "when" && window.is_none() => {
                window = Some(rate::window(*span, findings));
                *rest = before;
            }
            _ => {
                let Some(len) = rate_len(rest).filter(|_| share.is_none()) else { break };
                let (before, words) = rest.split_at_checked(rest.len() - len).unwrap_or((rest, &[]));
                share = Some(rate::from_text(joined(text, words), findings));
                *rest = before;
            }
        }
    }
    (share.unwrap_or(Some((Rate::ALL, By::Request))), window.unwrap_or(Some(Window::default())))
}

/// How many words at the end make a rate: `20%`, `20% of sessions`, `5% of header x-api-key`.
fn rate_len(words: &[Text<'_>]) -> Option<usize> {
    let is_share = |word: &Text<'_>| word.str().ends_with('%');
    match words {
        [.., share, of, kind, _]
            if is_share(share) && of.str() == "of" && matches!(kind.str(), "header" | "cookie") =>
        {
            Some(4)
        }
        [.., share, of, what] if is_share(share) && of.str() == "of" && what.str() != "body" => Some(3),
        [.., share] if is_share(share) => Some(1),
        _ => None,
    }
}

fn what_it_does(
    text: Text<'_>,
    mut words: &[Text<'_>],
    findings: &mut Findings<'_>,
) -> Option<(Option<Delay>, Option<Action>)> {
    let (mut wait, mut fault) = (None, None);
    while let Some((keyword, rest)) = words.split_first() {
        let len = up_to_keyword(rest);
        let (value, behind) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        words = behind;
        if value.is_empty() {
            let name = keyword.str();
            let what = help(format!("`{name}` wants a value"), format!("write `{name} {}`", example(name)));
            return findings.error("E04", keyword.span(), what);
        }
        let value = joined(text, value);
        let twice = match keyword.str() {
            "delay" => wait.replace(delay::from_text(value, findings)?).is_some(),
            name => fault.replace(action::from_text(name, value, findings)?).is_some(),
        };
        if twice {
            let what = help("a second fault in one rule", "give each its own --fault");
            return findings.error("E03", keyword.span(), what);
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
        _ => "30s",
    }
}

/// Length of the readable part of an id, in characters.
const SLUG: usize = 40;
