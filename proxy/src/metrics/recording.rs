//! The recording: what became of every exchange, its state, its queue, its files, its bodies.

use telemetry::{Families, as_i64};

use super::total;
use crate::shared::Shared;

pub(super) fn add(families: &Families, shared: &Shared) -> prometheus::Result<()> {
    exchanges(families, shared)?;
    let Some(status) = shared.recorder.as_ref().map(crate::recorder::Recorder::status) else {
        return state(families, "off");
    };
    state(families, status.state)?;
    families.values(&[
        (
            "squall_proxy_recording_queued_bytes",
            "Bytes of exchanges on their way to the capture.",
            as_i64(status.queued_bytes),
        ),
        (
            "squall_proxy_recording_shed_sessions",
            "Sessions of which an exchange was shed, so that all that follow are too.",
            as_i64(status.shed_sessions),
        ),
    ])?;
    families.counts(&[
        ("squall_proxy_recording_files_closed_total", "Captures that are complete.", status.files_closed),
        (
            "squall_proxy_recording_files_removed_total",
            "Old captures that a ring removed.",
            status.files_removed,
        ),
    ])?;
    let lacking = families.counter(
        "squall_proxy_recording_bodies_total",
        "Bodies that are not in the capture in full, by reason.",
        &["reason"],
    )?;
    for (reason, count) in [
        ("request_over_limit", status.bodies.request_over_limit),
        ("response_over_limit", status.bodies.response_over_limit),
        ("no_memory", status.bodies.no_memory),
        ("withheld", status.bodies.withheld),
        ("leaves_unread", status.bodies.leaves_unread),
    ] {
        lacking.with_label_values(&[reason]).inc_by(count);
    }
    Ok(())
}

/// By edge, and by reason where they are not in the capture.
fn exchanges(families: &Families, shared: &Shared) -> prometheus::Result<()> {
    let recording = families.counter(
        "squall_proxy_recording_total",
        "Exchanges by what the recording made of them.",
        &["edge", "result"],
    )?;
    let shed = families.counter(
        "squall_proxy_recording_shed_total",
        "Exchanges that were meant for the capture and lost, by reason.",
        &["edge", "reason"],
    )?;
    let passed_over = families.counter(
        "squall_proxy_recording_not_meant_total",
        "Exchanges that were not meant for the capture, by reason.",
        &["edge", "reason"],
    )?;
    for (edge, books) in shared.edges.iter().zip(shared.totals.edge_books()) {
        let name = &*edge.name;
        for (result, count) in [
            ("recorded", books.recorded),
            ("shed", total(&books.shed)),
            ("not_recorded", total(&books.not_recorded)),
        ] {
            recording.with_label_values(&[name, result]).inc_by(count);
        }
        for (reasons, counts) in [(&shed, &books.shed), (&passed_over, &books.not_recorded)] {
            for (reason, count) in counts {
                reasons.with_label_values(&[name, reason]).inc_by(*count);
            }
        }
        // a rate needs a series that was there before the first loss
        shed.with_label_values(&[name, "queue_full"]).inc_by(0);
    }
    Ok(())
}

/// One of all states is 1.
fn state(families: &Families, now: &str) -> prometheus::Result<()> {
    let states = families.gauge("squall_proxy_recording_state", "What the recording is at.", &["state"])?;
    for state in ["off", "recording", "failing", "stopped"] {
        states.with_label_values(&[state]).set(i64::from(state == now));
    }
    Ok(())
}
