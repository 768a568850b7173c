//! What parts of a rule, and rules of a file, must be to each other: nothing may be asked for that cannot happen.

use super::findings::{Findings, Span, help};
use super::rule::Placed;
use super::table::Field;
use crate::action::Action;
use crate::delay::{At, Delay};
use crate::matcher::Matcher;
use crate::rule::{Outcome, Rule, RuleSet, Scale, Window};
use crate::select::{By, Rate};

/// A fault must be able to wait for what the rule waits for.
pub(crate) fn fault(on: Option<&Matcher>, action: &Action, span: Span, findings: &mut Findings<'_>) {
    let Some(on) = on else { return };
    if on.status().is_some() && !action.acts_on_answer() {
        let message =
            format!("`{}` acts before the answer is there, so it cannot wait for `-> status`", action.name());
        let advice =
            "drop `-> …`, or take a fault of the answer: drop_response, truncate, stall, reset after headers";
        findings.error::<()>("E13", span, help(message, advice));
    }
}

/// The same of a delay.
pub(crate) fn wait(on: Option<&Matcher>, delay: &Delay, span: Span, findings: &mut Findings<'_>) {
    let waits = on.is_some_and(|on| on.status().is_some());
    if waits && !matches!(delay.at, At::Response | At::FirstByte) {
        let message =
            format!("a delay at {} comes before the answer that `-> status` waits for", delay.at.name());
        findings.error::<()>("E13", span, help(message, "add ` at response` or ` at first_byte`"));
    }
}

/// A ramp of delays needs a delay.
pub(crate) fn scale(
    window: &Window,
    field: &Field<'_>,
    (delay, outcomes): (&Option<Delay>, &[Outcome]),
    findings: &mut Findings<'_>,
) {
    let delays = delay.is_some() || outcomes.iter().any(|outcome| outcome.delay.is_some());
    if window.scale == Scale::Delay && !delays {
        let what = help("a ramp of the delay in a rule without one", "drop `scale`: the rate ramps");
        findings.error::<()>("E18", field.span(), what);
    }
}

/// What is allowed and probably not meant.
pub(crate) fn of_all(set: &RuleSet, rules: &[Placed], findings: &mut Findings<'_>) {
    for (place, placed) in rules.iter().enumerate() {
        let rule = &placed.rule;
        let blocker = rules.iter().take(place).find(|earlier| hides(&earlier.rule, rule));
        if let Some(blocker) = blocker {
            let message =
                format!("`{}` can never act: `{}` ends everything it matches", rule.id, blocker.rule.id);
            findings.warning(
                "E12",
                placed.id.clone(),
                help(message, "move it up, or lower the rate of the other"),
            );
        }
        if rule.rate == Rate::of(0, 1) {
            findings.warning(
                "W04",
                placed.id.clone(),
                help(format!("`{}` selects nothing at 0%", rule.id), "raise its rate"),
            );
        }
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
    let faults_alone = later.delay.is_none() && later.outcomes.iter().all(|outcome| outcome.delay.is_none());
    ends_all && always && all && by_all && faults_alone && earlier.on.covers(&later.on)
}
