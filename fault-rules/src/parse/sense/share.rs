//! E20: rules about everything that together are more than `max_affected` lets be.

use std::time::Duration;

use crate::action::Action;
use crate::parse::Places;
use crate::parse::findings::{Findings, help};
use crate::rule::{Rule, RuleSet};

/// Warns when the cap is certain to be met: rules about a part of the traffic are for `--against` to judge.
pub(super) fn of_all(set: &RuleSet, places: &Places, findings: &mut Findings<'_>) {
    let Some(cap) = set.safety.max_affected.map(crate::select::Rate::fraction) else { return };
    let wide: Vec<&Rule> = set.rules().iter().filter(|rule| affects_a_known_share(rule)).collect();
    // The shares change where a window opens, and reach their full measure where its ramp ends.
    let times =
        wide.iter().flat_map(|rule| [rule.window.from, rule.window.from.saturating_add(rule.window.ramp)]);
    let worst =
        times.map(|at| (at, together(&wide, at))).fold(None, |worst: Option<(Duration, f64)>, found| {
            match worst {
                Some(worst) if found.1 <= worst.1 => Some(worst),
                _ => Some(found),
            }
        });
    let Some((at, share)) = worst.filter(|(_, share)| cap <= *share) else { return };
    let ids: Vec<_> =
        wide.iter().filter(|rule| 0.0 < share_of(rule, at)).map(|rule| format!("`{}`", rule.id)).collect();
    let message = format!(
        "{} affect about {:.1}% of all exchanges {at:?} into the run, so max_affected lifts them soon",
        ids.join(", "),
        share * 100.0
    );
    let advice =
        "lower the rates, or raise max_affected well above their sum: chance goes over an equal share";
    findings.warning("E20", places.max_affected.clone(), help(message, advice));
}

/// The share that at least one of them affects.
fn together(rules: &[&Rule], at: Duration) -> f64 {
    1.0 - rules.iter().map(|rule| 1.0 - share_of(rule, at)).product::<f64>()
}

fn share_of(rule: &Rule, at: Duration) -> f64 {
    let part = rule.every.as_ref().map_or(1.0, |every| 1.0 / every.nth as f64);
    let burst = rule.burst.map_or(1.0, |burst| {
        let (enter, leave) = (burst.enter.fraction(), burst.leave.fraction());
        // The share of time that a two-state source spends in its second state.
        if enter <= 0.0 { 0.0 } else { burst.rate.fraction() * enter / (enter + leave) }
    });
    let shards = rule.shard.as_ref().map_or(1.0, |shard| shard.is.len() as f64 / shard.of.max(1) as f64);
    rule.rate.fraction() * rule.window.weight(at).min(1.0) * part * burst * shards.min(1.0)
}

/// About everything, and not only where a bucket is empty or an outcome comes.
fn affects_a_known_share(rule: &Rule) -> bool {
    let by_state = |action: &Action| {
        matches!(
            action,
            Action::RateLimit(_) | Action::Storm(_) | Action::Stale(_) | Action::WebsocketClose(_)
        )
    };
    let first_attempts = rule.attempts.is_none_or(|attempts| attempts.has(1));
    rule.on.is_everything() && first_attempts && (rule.delay.is_some() || !rule.actions().any(by_state))
}
