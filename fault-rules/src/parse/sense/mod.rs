//! What parts of a rule, and rules of a file, must be to each other: nothing may be asked for that cannot happen.

mod file;
mod share;

use super::findings::{Findings, Span, help};
use super::table::Field;
use crate::action::{Action, Direction, Point};
use crate::delay::{At, Delay};
use crate::matcher::{Matcher, Methods};
use crate::rule::{Outcome, Scale, Window};

pub(crate) use file::of_all;

/// A fault must be able to do what it says to those that the rule is about.
pub(crate) fn fault(on: Option<&Matcher>, action: &Action, span: Span, findings: &mut Findings<'_>) {
    let name = action.name();
    if collateral(action) {
        let message = format!("this `{name}` ends a whole HTTP/2 connection, with all other streams on it");
        findings.warning("W03", span.clone(), help(message, milder(action)));
    }
    let Some(on) = on else { return };
    if on.status().is_some() && !action.acts_on_answer() {
        let message = format!("`{name}` acts before the answer is there, so it cannot wait for `-> …`");
        let advice =
            "drop `-> …`, or take a fault of the answer: drop_response, truncate, stall, reset after headers";
        findings.error::<()>("E13", span.clone(), help(message, advice));
    }
    if needs_body(action) {
        body(on, &format!("`{name}` acts on a body"), span.clone(), findings);
    }
    if is_share(action) && on.names_streams() {
        let message = "half of a stream is nowhere: its length is not known before its end";
        let advice = "count instead: `after 20 events`, `after 5000 B`, `after 2s`";
        findings.warning("E17", span, help(message, advice));
    }
}

/// A delay must fall where the rule can still act.
pub(crate) fn wait(on: Option<&Matcher>, delay: &Delay, span: Span, findings: &mut Findings<'_>) {
    let Some(on) = on else { return };
    if on.status().is_some() && !matches!(delay.at, At::Response | At::FirstByte) {
        let message = format!("a delay at {} comes before the answer that `-> …` waits for", delay.at.name());
        let what = help(message, "add ` at response` or ` at first_byte`");
        findings.error::<()>("E13", span.clone(), what);
    }
    if delay.at == At::FirstByte {
        body(on, "a delay at first_byte acts on a body", span, findings);
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

/// Refuses a rule that is only about answers without a body.
fn body(on: &Matcher, who: &str, span: Span, findings: &mut Findings<'_>) {
    let head_only = Methods::NONE.with("HEAD") == Some(on.methods);
    let without = |status: u16| matches!(status, 100..=199 | 204 | 205 | 304);
    let statuses_only = on.status().is_some_and(|statuses| statuses.all(without));
    let why = match (head_only, statuses_only) {
        (true, _) => "an answer to HEAD has none",
        (_, true) => "answers of these statuses have none",
        _ => return,
    };
    let advice = "take `reset = \"after headers\"`, or let `on` have answers with a body";
    findings.error::<()>("E16", span, help(format!("{who}, and {why}"), advice));
}

/// Whether more than the exchange's own stream is hit on HTTP/2.
fn collateral(action: &Action) -> bool {
    match action {
        Action::Reset(reset) => reset.connection,
        Action::Goaway(goaway) => !goaway.is_graceful(),
        _ => false,
    }
}

fn milder(action: &Action) -> &'static str {
    match action {
        Action::Goaway(_) => {
            "`goaway = \"graceful\"` lets them finish; they are booked as cut by this rule otherwise"
        }
        _ => "drop `scope` to reset the stream only; the others are booked as cut by this rule otherwise",
    }
}

/// Whether nothing happens to an answer without a body.
fn needs_body(action: &Action) -> bool {
    match action {
        Action::Reset(reset) => in_body(reset.at),
        Action::Truncate(at) => in_body(*at),
        Action::Stall(stall) => in_body(stall.at),
        Action::Throttle(throttle) => throttle.request.is_none(),
        Action::Loss(loss) => loss.direction == Direction::Response,
        Action::Corrupt(corrupt) => corrupt.direction == Direction::Response,
        _ => false,
    }
}

fn in_body(at: Point) -> bool {
    matches!(at, Point::AfterBytes(_) | Point::AfterFraction(_) | Point::AfterEvents(_))
}

fn is_share(action: &Action) -> bool {
    let at = match action {
        Action::Reset(reset) => reset.at,
        Action::Truncate(at) => *at,
        Action::Stall(stall) => stall.at,
        _ => return false,
    };
    matches!(at, Point::AfterFraction(_))
}
