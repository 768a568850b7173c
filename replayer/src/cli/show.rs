//! The plan and the progress in words.

use std::fmt::Write;

use crate::report::Second;
use crate::report::text::{bytes, number, time};
use crate::run::Outline;

/// The plan, as it is printed before the first packet.
pub(crate) fn outline(outline: &Outline) -> String {
    let plan = &outline.plan;
    let mut out = String::with_capacity(512);
    let speed = match plan.speed {
        0.0 => "as fast as answers come".to_owned(),
        times => format!("at {times:.4}x").replace(".0000x", "x"),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "plan       {} sessions ({} recorded, {}x), {} requests, {speed}, to {}",
        number(plan.sessions),
        number(plan.recorded_sessions),
        plan.amplify,
        number(plan.requests),
        outline.target
    );
    if plan.speed > 0.0 {
        let _ = writeln!(
            out,
            "           over {}, at most {} requests/s and {} sessions at once",
            time(plan.span_us),
            number(plan.peak_rate),
            number(plan.peak_sessions)
        );
    }
    let _ = writeln!(
        out,
        "           about {} sockets of {} allowed, {} of memory, {} threads, plan {}",
        number(plan.sockets),
        number(outline.connections as u64),
        bytes(plan.memory),
        outline.threads,
        plan.plan_hash
    );
    if !plan.skipped.is_empty() {
        let skipped: Vec<String> =
            plan.skipped.iter().map(|(why, count)| format!("{why}: {}", number(*count))).collect();
        let _ = writeln!(out, "           not replayed: {}", skipped.join(", "));
    }
    if plan.body_filled > 0 {
        let _ = writeln!(
            out,
            "           {} bodies were not recorded whole and are filled up",
            number(plan.body_filled)
        );
    }
    for warning in &outline.warnings {
        let _ = writeln!(out, "warning    {warning}");
    }
    out
}

/// One second of a run in one line.
pub(crate) fn second(second: &Second, sent: u64, planned: u64) -> String {
    let share = if planned == 0 { 0.0 } else { sent as f64 * 100.0 / planned as f64 };
    format!(
        "{:>5} s  {:>3.0} %  {}/s  {} failed, {} injected  p50 {}  p99 {}  {} sessions",
        second.t_us / 1_000_000,
        share,
        number(second.sent),
        number(second.failed),
        number(second.injected),
        time(second.p50),
        time(second.p99),
        number(second.active)
    )
}
