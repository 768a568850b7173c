//! The plan and the progress in words.

use std::fmt::Write;

use crate::Outline;
use crate::report::Second;
use crate::report::text::{number, time};

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
        "plan       {} sessions{} ({} recorded{}), {}, {speed}, {} to {}",
        number(plan.sessions),
        if plan.open_ended { " at once" } else { "" },
        number(plan.recorded_sessions),
        if plan.open_ended { String::new() } else { format!(", {}x", plan.amplify) },
        match plan.open_ended {
            true => "as many requests as time and answers allow".to_owned(),
            false => format!("{} requests", number(plan.requests)),
        },
        if outline.http2 { "HTTP/2" } else { "HTTP/1.1" },
        outline.target
    );
    if plan.speed > 0.0 && plan.span_us > 0 {
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
        "           at most {} connections, {} threads, plan {}",
        number(outline.connections as u64),
        outline.threads,
        plan.plan_hash
    );
    if outline.links > 0 {
        let plural = if outline.links == 1 { "" } else { "s" };
        let _ = writeln!(
            out,
            "           {} link{plural} from answers to later requests (squall captures inspect --links)",
            number(outline.links as u64)
        );
    }
    for row in outline.preflight.lines() {
        let _ = writeln!(out, "           {row}");
    }
    if !plan.skipped.is_empty() {
        let skipped: Vec<String> =
            plan.skipped.iter().map(|(why, count)| format!("{why}: {}", number(*count))).collect();
        let _ = writeln!(out, "           not replayed: {}", skipped.join(", "));
    }
    if plan.body_filled > 0 {
        let _ = writeln!(
            out,
            "           {} recorded bodies are not whole and are filled up",
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
    let share = match planned {
        0 => number(sent), // nobody knows how many there will be
        _ => format!("{:>3.0} %", sent as f64 * 100.0 / planned as f64),
    };
    format!(
        "{:>5} s  {}  {}/s  {} failed, {} injected  p50 {}  p99 {}  {} sessions",
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
