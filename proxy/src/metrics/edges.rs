//! Edges: requests, exchanges by how they ended, what the upstream was asked and how it failed; TCP connections and bytes.

use std::sync::atomic::Ordering;

use telemetry::{Families, as_i64};

use super::total;
use crate::books::EdgeBooks;
use crate::shared::Shared;

pub(super) fn http(families: &Families, shared: &Shared) -> prometheus::Result<()> {
    let seen = families.counter("squall_proxy_seen_total", "Requests seen.", &["edge"])?;
    let exchanges = families.counter(
        "squall_proxy_exchanges_total",
        "Exchanges by how they ended.",
        &["edge", "outcome"],
    )?;
    let attempts = families.counter(
        "squall_proxy_upstream_attempts_total",
        "Requests handed to the upstream.",
        &["edge", "kind"],
    )?;
    let failures = families.counter(
        "squall_proxy_upstream_failures_total",
        "Failures of the upstream that no rule made: no connection, or no whole answer.",
        &["edge", "kind"],
    )?;
    let ambiguous = families.counter(
        "squall_proxy_upstream_ambiguous_total",
        "Upstream attempts whose connection died before the first answer byte.",
        &["edge"],
    )?;
    let refused = families.counter(
        "squall_proxy_refused_total",
        "Exchanges that the proxy itself refused, by reason.",
        &["edge", "reason"],
    )?;
    let open = families.gauge("squall_proxy_connections", "Open client connections.", &["edge"])?;
    for (edge, books) in shared.edges.iter().zip(shared.totals.edge_books()) {
        let name = &*edge.name;
        seen.with_label_values(&[name]).inc_by(books.seen);
        for (outcome, count) in outcomes(&books) {
            exchanges.with_label_values(&[name, outcome]).inc_by(count);
        }
        for (kind, count) in [
            ("first", books.forwarded),
            ("repeat", books.proxy_repeats),
            ("storm", total(&books.storm_copies)),
        ] {
            attempts.with_label_values(&[name, kind]).inc_by(count);
        }
        for (kind, count) in [("unreachable", books.upstream_unreachable), ("failed", books.upstream_failed)]
        {
            failures.with_label_values(&[name, kind]).inc_by(count);
        }
        ambiguous.with_label_values(&[name]).inc_by(books.ambiguous);
        for (reason, count) in &books.refused {
            refused.with_label_values(&[name, reason]).inc_by(*count);
        }
        open.with_label_values(&[name]).set(as_i64(edge.connections.load(Ordering::Acquire)));
    }
    Ok(())
}

fn outcomes(books: &EdgeBooks) -> [(&'static str, u64); 10] {
    [
        ("delivered", books.delivered),
        ("short_circuited", total(&books.short_circuited)),
        ("dropped", total(&books.dropped)),
        ("cut", total(&books.cut)),
        ("refused", total(&books.refused)),
        ("client_gone", books.client_gone),
        ("client_gone_after", books.client_gone_after),
        ("upstream_unreachable", books.upstream_unreachable),
        ("upstream_failed", books.upstream_failed),
        ("aborted", books.aborted),
    ]
}

/// Plain-TCP edges: connections by what became of them, bytes by way.
pub(super) fn tcp(families: &Families, shared: &Shared) -> prometheus::Result<()> {
    let ended = families.counter(
        "squall_proxy_tcp_connections_total",
        "TCP connections by how they ended.",
        &["edge", "outcome"],
    )?;
    let open = families.gauge("squall_proxy_tcp_connections", "Open TCP connections.", &["edge"])?;
    let bytes = families.counter(
        "squall_proxy_tcp_bytes_total",
        "Bytes of TCP connections by what became of them.",
        &["edge", "way", "fate"],
    )?;
    for books in shared.tcp.rows() {
        let name = shared.timings.tcp_edges.of(&books.name);
        for (outcome, count) in [
            ("finished", books.finished),
            ("refused", total(&books.refused)),
            ("dropped", total(&books.dropped)),
            ("cut", total(&books.cut)),
            ("client_gone", books.client_gone),
            ("client_gone_after", books.client_gone_after),
            ("upstream_unreachable", books.upstream_unreachable),
            ("upstream_failed", books.upstream_failed),
            ("aborted", books.aborted),
            ("stopped", books.stopped),
        ] {
            ended.with_label_values(&[name, outcome]).inc_by(count);
        }
        open.with_label_values(&[name]).add(as_i64(books.connecting + books.open));
        for (way, row) in [("request", &books.request), ("response", &books.response)] {
            for (fate, count) in [("out", row.went), ("withheld", total(&row.withheld)), ("lost", row.lost)] {
                bytes.with_label_values(&[name, way, fate]).inc_by(count);
            }
        }
    }
    Ok(())
}
