//! Guards and hooks in words.

use super::numbers::{percent, rounded, time};
use super::who;
use crate::guard::{Base, Guard, Limit, Margin, Signal, Trip};
use crate::hook::Hook;

/// `lift when the error ratio of … is more than 2 points above that of the control group`.
pub(crate) fn guard(guard: &Guard) -> String {
    let trip = match guard.trip {
        Trip::Lift => "lift its rules",
        Trip::StepDown => "halve its rules, at the fourth time lift them,",
        Trip::Hold => "hold its rules where they are",
    };
    let signal = match guard.signal {
        Signal::ErrorRatio => "error ratio".to_owned(),
        Signal::Latency(percentile) => format!("p{percentile}"),
        Signal::Goodput => "goodput".to_owned(),
        Signal::AttemptsPerOp => "number of attempts for an operation".to_owned(),
    };
    format!(
        "{trip} when the {signal} of {} is {} over {}, with {} confidence from {} exchanges on",
        guard.on.describe(),
        limit(guard.limit, guard.signal),
        time(guard.window),
        percent(guard.confidence),
        guard.min_samples
    )
}

fn limit(limit: Limit, signal: Signal) -> String {
    let far = match limit.margin {
        Margin::Points(points) => format!("{} points", rounded(points * 100.0)),
        Margin::Relative(share) => percent(share),
        Margin::Time(limit) => time(limit),
        Margin::Number(number) if signal == Signal::Goodput => format!("{}/s", rounded(number)),
        Margin::Number(number) => rounded(number),
    };
    let (above, over) = if signal == Signal::Goodput { ("below", "below") } else { ("above", "over") };
    match limit.base {
        Base::Absolute => format!("{over} {}", far.replace(" points", "%")),
        Base::Baseline => format!("more than {far} {above} what it was before"),
        Base::Control => format!("more than {far} {above} that of the control group"),
    }
}

/// `from 2m to 3m run kill -STOP 1234, then kill -CONT 1234`.
pub(crate) fn hook(hook: &Hook) -> String {
    let when = who::window(&hook.window).map_or(String::new(), |when| format!("{when}: "));
    let undo =
        if hook.end.is_empty() { String::new() } else { format!(", at the end {}", hook.end.join(" ")) };
    format!("{when}run {}{undo} (each killed after {})", hook.start.join(" "), time(hook.timeout))
}
