//! Rules: what they did and were asked to do, their rates, their delays; guards; whether faults may fire.

use std::time::Duration;

use telemetry::{Families, as_i64};

use super::total;
use crate::shared::Shared;

pub(super) fn add(families: &Families, shared: &Shared) -> prometheus::Result<()> {
    let stages = families.counter(
        "squall_proxy_rule_exchanges_total",
        "Exchanges by rule: eligible, selected, suppressed, applied.",
        &["rule", "stage"],
    )?;
    let spared = families.counter(
        "squall_proxy_rule_suppressed_total",
        "Exchanges that a rule selected and did not touch, by reason.",
        &["rule", "reason"],
    )?;
    let asked = families.ratio(
        "squall_proxy_rule_asked_ratio",
        "The share that a rule asks for, 0 to 1; where it was edited, the mean over what it met.",
        &["rule"],
    )?;
    let realised = families.ratio(
        "squall_proxy_rule_realised_ratio",
        "The share that a rule selected of what it met, 0 to 1.",
        &["rule"],
    )?;
    for books in shared.totals.rule_books(&shared.rules, &shared.totals) {
        let name = shared.timings.rules.of(&books.id);
        for (stage, count) in [
            ("eligible", books.eligible),
            ("selected", books.selected),
            ("suppressed", total(&books.suppressed)),
            ("applied", books.applied),
        ] {
            stages.with_label_values(&[name, stage]).inc_by(count);
        }
        for (reason, count) in &books.suppressed {
            spared.with_label_values(&[name, reason]).inc_by(*count);
        }
        if name == books.id {
            asked.with_label_values(&[name]).set(books.asked_rate);
            realised.with_label_values(&[name]).set(books.realised_rate);
        }
    }
    faults(families, shared)
}

/// What was done, by rule and action, and the delays among it.
fn faults(families: &Families, shared: &Shared) -> prometheus::Result<()> {
    let injected = families.counter(
        "squall_proxy_injected_total",
        "Exchanges that a rule touched, by rule and by what it did.",
        &["rule", "action"],
    )?;
    let delays = families.counter(
        "squall_proxy_delays_total",
        "Exchanges that waited to the end of a rule's delay.",
        &["rule"],
    )?;
    let asked = families.sum(
        "squall_proxy_delay_asked_seconds_total",
        "Delay that rules asked for, of those that were waited for to their end.",
        &["rule"],
    )?;
    let measured = families.sum(
        "squall_proxy_delay_measured_seconds_total",
        "How long these delays took.",
        &["rule"],
    )?;
    shared.totals.rules(|rules| {
        for (id, scope) in rules.iter() {
            let name = shared.timings.rules.of(id);
            for (action, count) in &scope.injected {
                injected.with_label_values(&[name, action]).inc_by(*count);
            }
            let (count, asked_for, took) = scope.delays();
            if 0 < count {
                delays.with_label_values(&[name]).inc_by(count);
                asked.with_label_values(&[name]).inc_by(asked_for.as_secs_f64());
                measured.with_label_values(&[name]).inc_by(took.as_secs_f64());
            }
        }
    });
    Ok(())
}

pub(super) fn guards(families: &Families, shared: &Shared) -> prometheus::Result<()> {
    let trips =
        families.counter("squall_proxy_guard_trips_total", "Trips of guards.", &["guard", "action"])?;
    for books in shared.rules.guard_books(Duration::ZERO) {
        let name = shared.timings.guards.of(&books.name);
        let trip = trips.with_label_values(&[name, books.action]);
        trip.inc_by(u64::from(books.tripped_at_us.is_some()));
    }
    Ok(())
}

/// Whether faults may fire, and what that was read from.
pub(super) fn standing(families: &Families, shared: &Shared) -> prometheus::Result<()> {
    let rules = &shared.rules;
    families.values(&[
        ("squall_proxy_rules_armed", "Whether faults may fire.", i64::from(rules.standing.is_armed())),
        ("squall_proxy_rules", "Rules in force.", as_i64(rules.live().ids.len())),
        (
            "squall_proxy_rules_generation",
            "Number of the rule set in force.",
            as_i64(rules.live().generation),
        ),
        ("squall_proxy_faults_active", "Exchanges under a fault now.", as_i64(rules.gauges.active())),
    ])?;
    families.counts(&[
        (
            "squall_proxy_rules_refused_total",
            "Versions of the rule file that were refused.",
            rules.reload_state().refused,
        ),
        ("squall_proxy_ledger_lines_total", "Lines of the ledger.", shared.ledger.lines()),
        ("squall_proxy_ledger_lost_total", "Lines that did not reach the ledger.", shared.ledger.lost()),
        (
            "squall_proxy_stale_shed_total",
            "Earlier answers dropped for lack of room, or too large to keep.",
            rules.gauges.stale.shed(),
        ),
        (
            "squall_proxy_fault_panics_total",
            "Bugs in the fault path; the exchange passed.",
            rules.gauges.panics(),
        ),
    ])
}
