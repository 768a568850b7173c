//! The process, and the bounds of what clients may take of it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use telemetry::{Families, as_i64};

use crate::shared::Shared;

pub(super) fn limits(families: &Families, shared: &Shared) -> prometheus::Result<()> {
    let met = families.counter(
        "squall_proxy_bounds_met_total",
        "How often a client met a bound, or something was lost that its protocol cannot carry.",
        &["bound"],
    )?;
    for (bound, count) in shared.meets.counts() {
        met.with_label_values(&[bound]).inc_by(count);
    }
    let ([_, most], [buffered, max_buffered]) = (shared.gate.connections(), shared.gate.memory());
    families.values(&[
        ("squall_proxy_max_connections", "How many client connections may be open.", as_i64(most)),
        ("squall_proxy_buffered_bytes", "Bytes that wait to be read or written.", as_i64(buffered)),
        ("squall_proxy_max_buffered_bytes", "Above this new connections wait.", as_i64(max_buffered)),
        (
            "squall_proxy_session_cookies",
            "Cookies that the proxy remembers, to tell whose request is whose; the oldest are forgotten.",
            as_i64(shared.sessions.remembered()),
        ),
    ])
}

/// The names that every program uses for itself, and what we are.
pub(super) fn add(families: &Families, shared: &Shared) -> prometheus::Result<()> {
    let built =
        families.gauge("squall_proxy_build_info", "1; its label says what was built.", &["version"])?;
    built.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    families.values(&[
        ("squall_proxy_in_flight", "Exchanges under way.", shared.totals.in_flight()),
        ("process_resident_memory_bytes", "Resident memory size in bytes.", as_i64(resident())),
    ])?;
    let cpu =
        families.sum("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", &[])?;
    cpu.with_label_values::<&str>(&[]).inc_by(processor_time().as_secs_f64());
    let started = "Start time of the process since unix epoch in seconds.";
    let started = families.ratio("process_start_time_seconds", started, &[])?;
    let at = Duration::from_micros(shared.started_wall_us).as_secs_f64();
    started.with_label_values::<&str>(&[]).set(at);
    Ok(())
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanos)
}

/// Bytes in memory; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
