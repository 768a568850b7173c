//! What rules, guards and groups of one file are to each other.

use super::share;
use crate::action::Action;
use crate::guard::Base;
use crate::parse::Places;
use crate::parse::findings::{Findings, help};
use crate::rule::{Rule, RuleSet, Window};
use crate::select::{By, Rate};

/// What cannot work, and what is allowed and probably not meant. Of a file that is not whole the set holds what is right in it:
/// nothing is said of what seems to be missing.
pub(crate) fn of_all(set: &RuleSet, places: &Places, is_whole: bool, findings: &mut Findings<'_>) {
    for (place, (rule, id)) in set.rules().iter().zip(&places.rules).enumerate() {
        let blocker =
            set.rules().iter().take(place).find(|earlier| earlier.id != rule.id && hides(earlier, rule));
        if let Some(blocker) = blocker {
            let message = format!("`{}` can never act: `{}` ends everything it matches", rule.id, blocker.id);
            findings.warning("E12", id.clone(), help(message, "move it up, or lower the rate of the other"));
        }
        if let Some(why) = selects_nothing(rule) {
            findings.warning("W04", id.clone(), help(format!("`{}` {why}", rule.id), "raise its rate"));
        }
        if let Some(guard) = rule.guard.and_then(|place| set.guards.get(place))
            && guard.limit.base == Base::Control
            && rule.rate == Rate::ALL
        {
            let message = format!(
                "`{}` selects everything, so guard `{}` has no control group and can never judge",
                rule.id, guard.name
            );
            let advice = "lower the rate, or compare with `baseline`";
            findings.error::<()>("E19", id.clone(), help(message, advice));
        }
    }
    if is_whole {
        unused(set, places, findings);
        unprotected(set, places, findings);
    }
    share::of_all(set, places, findings);
}

fn selects_nothing(rule: &Rule) -> Option<&'static str> {
    let nothing = Rate::of(0, 1);
    match &rule.burst {
        _ if rule.rate == nothing => Some("selects nothing at 0%"),
        Some(burst) if burst.enter == nothing => Some("never enters a burst"),
        Some(burst) if burst.rate == nothing => Some("hits nothing within its bursts"),
        _ => None,
    }
}

/// Whether every exchange of `later` is over by `earlier` at all times, so that a rule of faults alone has nothing left.
fn hides(earlier: &Rule, later: &Rule) -> bool {
    let ends = |action: &Action| match action {
        Action::Respond(_) | Action::Blackhole(_) => true,
        Action::Outage(outage) => outage.failover.is_none(),
        _ => false,
    };
    let ends_all = !earlier.outcomes.is_empty()
        && earlier.actions().count() == earlier.outcomes.len()
        && earlier.actions().all(ends);
    let always = earlier.rate == Rate::ALL && earlier.window == Window::default() && earlier.guard.is_none();
    let all = earlier.attempts.is_none()
        && earlier.shard.is_none()
        && earlier.every.is_none()
        && earlier.burst.is_none();
    let by_all = !matches!(earlier.by, By::Header(_) | By::Cookie(_));
    // Of a rule with a slip in its fault nobody knows what it would have done.
    let faults_alone = later.delay.is_none()
        && !later.outcomes.is_empty()
        && later.outcomes.iter().all(|outcome| outcome.delay.is_none());
    ends_all && always && all && by_all && faults_alone && earlier.on.covers(&later.on)
}

/// Groups and guards that nothing refers to: a rule that should be guarded is not.
fn unused(set: &RuleSet, places: &Places, findings: &mut Findings<'_>) {
    for (place, (guard, span)) in set.guards.iter().zip(&places.guards).enumerate() {
        let used = set.rules().iter().any(|rule| rule.guard == Some(place))
            || set.hooks.iter().any(|hook| hook.guard == Some(place));
        if !used {
            let message = format!("guard `{}` watches over no rule", guard.name);
            let advice = format!("add `guard = \"{}\"` to the rules that it is for", guard.name);
            findings.warning("W05", span.clone(), help(message, advice));
        }
    }
    let matchers = set.rules().iter().map(|rule| &rule.on).chain(set.guards.iter().map(|guard| &guard.on));
    let named: Vec<_> = matchers.chain(&set.safety.protect).filter_map(|on| on.group.as_ref()).collect();
    let failovers: Vec<_> = set
        .rules()
        .iter()
        .flat_map(Rule::actions)
        .filter_map(|action| match action {
            Action::Outage(outage) => outage.failover.as_ref().map(|failover| failover.to.as_str()),
            _ => None,
        })
        .collect();
    for (group, span) in set.groups.iter().zip(&places.groups) {
        if !named.contains(&group) && !failovers.contains(&group.name.as_str()) {
            let message = format!("no rule names group `{}`", group.name);
            let advice = format!("write `on = \"group {}\"` in one, or drop the group", group.name);
            findings.warning("W05", span.clone(), help(message, advice));
        }
    }
}

/// A rule about everything, health checks too, where nothing is protected.
fn unprotected(set: &RuleSet, places: &Places, findings: &mut Findings<'_>) {
    if !set.safety.protect.is_empty() {
        return;
    }
    let wide = set.rules().iter().zip(&places.rules).find(|(rule, _)| rule.on.is_everything());
    if let Some((rule, span)) = wide {
        let message =
            format!("`{}` is about everything and nothing is protected, health checks included", rule.id);
        let advice = "write `[safety]` and `protect = [\"/healthz\"]`, or narrow the rule by `on`";
        findings.warning("W02", span.clone(), help(message, advice));
    }
}
