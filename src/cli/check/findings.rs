//! What makes rules unfit for recorded traffic.

use fault_rules::action::Point;
use fault_rules::guard::Base;
use fault_rules::{Action, Rule, RuleSet};

use super::guards::{Samples, judged};
use super::plural;
use super::weigh::{Tally, Weighed};

/// One line each, in the order of the file.
pub(super) fn of(set: &RuleSet, weighed: &Weighed) -> Vec<String> {
    let rules = set.rules().iter().zip(&weighed.rules);
    let never = rules.clone().filter_map(|(rule, tally)| {
        let why = never(rule, tally, weighed)?;
        Some(warning("W01", &format!("`{}` can never fire: {why}", rule.id)))
    });
    let streams = rules.filter_map(|(rule, tally)| streams(rule, tally));
    let guards = set.guards.iter().zip(&weighed.guards).filter_map(|(guard, samples)| {
        let why = too_few(guard, *samples)?;
        Some(warning("E19", &format!("guard `{}` can never judge: {why}", guard.name)))
    });
    never.chain(streams).chain(guards).chain(caps(set, weighed)).collect()
}

/// Why a rule could not have hit anything.
fn never(rule: &Rule, tally: &Tally, weighed: &Weighed) -> Option<String> {
    if tally.meant == 0 {
        return Some("no recorded exchange matches it".to_owned());
    }
    if tally.matched == 0 {
        return Some(if rule.attempts.is_some_and(|attempts| !attempts.has(1)) {
            "nothing recorded was tried again; in a run it may be".to_owned()
        } else if rule.shard.is_some() {
            format!("none of {} falls on its shards", plural(tally.meant, "exchange"))
        } else {
            format!("none of {} has what its rate goes by", plural(tally.meant, "exchange"))
        });
    }
    if weighed.span < rule.window.from {
        let (from, span) = (rule.window.from, weighed.span);
        return Some(format!("its window begins at {from:?}, the recording ends at {span:.1?}"));
    }
    if tally.hits != 0 || tally.selected == 0 {
        return None;
    }
    if tally.other_status == tally.selected {
        return Some(format!(
            "none of {} was answered with a status that it waits for",
            plural(tally.selected, "exchange")
        ));
    }
    // What depends on chance or on the pace of the traffic may come another time.
    let structural = ["no_such_point", "wrong_protocol", "nothing_stale", "late_enough", "earlier_terminal"];
    let spared: u64 = structural.iter().filter_map(|why| tally.spared.get(why)).sum();
    (spared + tally.other_status == tally.selected).then(|| {
        let why: Vec<_> = structural.iter().filter(|why| tally.spared.contains_key(*why)).copied().collect();
        format!("each of {} was spared ({})", plural(tally.selected, "selected exchange"), why.join(", "))
    })
}

/// A share of what has no length.
fn streams(rule: &Rule, tally: &Tally) -> Option<String> {
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
        warning("E17", &format!("`{}` asks for a share, and {} of {} answers promise no length: they pass whole; count bytes, events or time",
            rule.id, tally.lengthless, tally.selected
        ))
    })
}

/// Why a guard could not have judged.
fn too_few(guard: &fault_rules::guard::Guard, samples: Samples) -> Option<String> {
    if !samples.acted {
        return None; // its rules are told of
    }
    let (least, base) = (guard.min_samples, guard.limit.base);
    if base == Base::Baseline && samples.before < least {
        return Some(format!(
            "{} before its rules act, and its baseline wants {least}; begin later",
            plural(samples.before, "exchange")
        ));
    }
    let most = judged(base, samples.harmed, samples.control);
    (most < least).then(|| {
        let Samples { harmed, control, .. } = samples;
        format!(
            "at most {harmed} selected and {control} other exchanges in {:?}, and it wants {least}; lower min_samples, widen its window, or amplify",
            guard.window
        )
    })
}

fn caps(set: &RuleSet, weighed: &Weighed) -> Vec<String> {
    let share = weighed.breach.map(|(at, breach)| {
        let share = breach.affected as f64 * 100.0 / breach.total as f64;
        let (total, cap) = (breach.total, breach.cap * 100.0);
        warning("E20", &format!("max_affected would be breached {at:.1?} into the run: {share:.1}% of {total} exchanges in 10 s, \
             the cap is {cap}%; all rules would be lifted"
        ))
    });
    let crowd = weighed.crowd.zip(set.safety.max_active).map(|(at, cap)| {
        warning("E20", &format!("max_active would be reached {at:.1?} into the run: up to {} exchanges under a fault at once, the cap is {cap}",
            weighed.most_active
        ))
    });
    share.into_iter().chain(crowd).collect()
}

fn warning(code: &str, message: &str) -> String {
    format!("warning[{code}]: {message}")
}
