//! What makes rules unfit for recorded traffic.

use fault_rules::action::Point;
use fault_rules::guard::{Base, Guard};
use fault_rules::report::Diagnostic;
use fault_rules::{Action, Rule, RuleSet};

use super::guards::{Samples, judged};
use super::places::{Source, Wrong};
use super::plural;
use super::weigh::{Tally, Weighed};

/// One each, in the order of the file, with its place there and what to do.
pub(super) fn of(set: &RuleSet, weighed: &Weighed, source: &Source<'_>) -> Vec<Diagnostic> {
    let rules = set.rules().iter().zip(&weighed.rules);
    let never = rules.clone().filter_map(|(rule, tally)| {
        let (why, help) = never(rule, tally, weighed)?;
        Some(source.at_rule(rule, ("W01", format!("`{}` can never fire: {why}", rule.id), &help)))
    });
    let streams = rules.filter_map(|(rule, tally)| Some(source.at_rule(rule, streams(rule, tally)?)));
    let guards = set.guards.iter().zip(&weighed.guards).filter_map(|(guard, samples)| {
        let (why, help) = too_few(guard, *samples)?;
        let message = format!("guard `{}` can never judge: {why}", guard.name);
        Some(source.at_guard(&guard.name, ("E19", message, help)))
    });
    let caps = [("max_affected", share(weighed)), ("max_active", crowd(set, weighed))];
    let caps = caps.into_iter().filter_map(|(key, wrong)| Some(source.at_key(key, wrong?)));
    never.chain(streams).chain(guards).chain(caps).collect()
}

/// Why a rule could not have hit anything, and what to do.
fn never(rule: &Rule, tally: &Tally, weighed: &Weighed) -> Option<(String, String)> {
    let told = |why: String, help: &str| Some((why, help.to_owned()));
    if tally.meant == 0 {
        return Some(("no recorded exchange matches it".to_owned(), nearest(rule, weighed)));
    }
    if tally.matched == 0 {
        let meant = plural(tally.meant, "exchange");
        return if rule.attempts.is_some_and(|attempts| !attempts.has(1)) {
            told(
                "nothing recorded was tried again".to_owned(),
                "in a run with retries it may be: replay --retry backoff",
            )
        } else if rule.shard.is_some() {
            told(
                format!("none of {meant} falls on its shards"),
                "compare key, hash and number of shards with the application's",
            )
        } else {
            told(
                format!("none of {meant} has what its rate goes by"),
                "compare its name with what was recorded: squall captures cat",
            )
        };
    }
    if weighed.span < rule.window.from {
        let (from, span) = (rule.window.from, weighed.span);
        return told(
            format!("its window begins at {from:?}, the recording ends at {span:.1?}"),
            "let it begin earlier, or replay for longer: replay --loop",
        );
    }
    if tally.hits != 0 || tally.selected == 0 {
        return None;
    }
    let selected = plural(tally.selected, "selected exchange");
    if tally.other_status == tally.selected {
        return told(
            format!(
                "none of {} was answered with a status that it waits for",
                plural(tally.selected, "exchange")
            ),
            "compare `-> …` with what was recorded: squall captures inspect",
        );
    }
    // What depends on chance or on the pace of the traffic may come another time.
    let structural = ["no_such_point", "wrong_protocol", "nothing_stale", "late_enough", "earlier_terminal"];
    let spared: u64 = structural.iter().filter_map(|why| tally.spared.get(why)).sum();
    let why: Vec<_> = structural.iter().filter(|why| tally.spared.contains_key(*why)).copied().collect();
    if spared + tally.other_status < tally.selected {
        return None;
    }
    told(
        format!("each of {selected} was spared ({})", why.join(", ")),
        "the rule language's page says what each reason means",
    )
}

/// The recorded route that was probably meant.
fn nearest(rule: &Rule, weighed: &Weighed) -> String {
    let routes: Vec<&str> = weighed.routes.iter().map(String::as_str).collect();
    let path = rule.on.path().map(|path| path.trim_end_matches("/**"));
    match path.and_then(|path| fault_rules::nearest(path, &routes)) {
        Some(right) if Some(right) != path => format!("did you mean `{right}`?"),
        _ => "compare `on` with what was recorded: squall captures inspect".to_owned(),
    }
}

/// A share of what has no length.
fn streams(rule: &Rule, tally: &Tally) -> Option<Wrong<'static>> {
    let share = |action: &Action| {
        let at = match action {
            Action::Reset(reset) => reset.at,
            Action::Truncate(at) => *at,
            Action::Stall(stall) => stall.at,
            _ => return false,
        };
        matches!(at, Point::AfterFraction(_))
    };
    (0 < tally.lengthless && rule.actions().any(share)).then(|| {
        let message = format!(
            "`{}` asks for a share, and {} of {} answers promise no length: they pass whole",
            rule.id, tally.lengthless, tally.selected
        );
        ("E17", message, "count bytes, events or time")
    })
}

/// Why a guard could not have judged, and what to do.
fn too_few(guard: &Guard, samples: Samples) -> Option<(String, &'static str)> {
    if !samples.acted {
        return None; // its rules are told of
    }
    let (least, base) = (guard.min_samples, guard.limit.base);
    if base == Base::Baseline && samples.before < least {
        let before = plural(samples.before, "exchange");
        return Some((
            format!("{before} before its rules act, and its baseline wants {least}"),
            "begin later",
        ));
    }
    let most = judged(base, samples.harmed, samples.control);
    (most < least).then(|| {
        let Samples { harmed, control, .. } = samples;
        (
            format!(
                "at most {harmed} selected and {control} other exchanges in {:?}, and it wants {least}",
                guard.window
            ),
            "lower min_samples, widen its window, or amplify",
        )
    })
}

fn share(weighed: &Weighed) -> Option<Wrong<'static>> {
    let (at, breach) = weighed.breach?;
    let share = breach.affected as f64 * 100.0 / breach.total as f64;
    let (total, cap) = (breach.total, breach.cap * 100.0);
    let message = format!(
        "max_affected would be breached {at:.1?} into the run: {share:.1}% of {total} exchanges in 10 s, \
         the cap is {cap}%; all rules would be lifted"
    );
    Some(("E20", message, "lower the rates, or raise max_affected"))
}

fn crowd(set: &RuleSet, weighed: &Weighed) -> Option<Wrong<'static>> {
    let (at, cap) = weighed.crowd.zip(set.safety.max_active)?;
    let message = format!(
        "max_active would be reached {at:.1?} into the run: up to {} exchanges under a fault at once, the cap is {cap}",
        weighed.most_active
    );
    Some(("E20", message, "shorten the waits, lower the rates, or raise max_active"))
}
