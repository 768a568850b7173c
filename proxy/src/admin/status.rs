//! `GET /status`: what the proxy is, what it does, and what is wrong.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fault_rules::Rule;
use fault_rules::report::Diagnostic;
use http::StatusCode;
use serde_json::{Value, json as value};

use super::Answer;
use super::replies::json;
use crate::books::RuleBooks;
use crate::rules::{GuardBooks, Live};
use crate::shared::Shared;
use crate::time::{micros, since_epoch};

pub(super) fn answer(shared: &Shared) -> Answer {
    json(StatusCode::OK, &status(shared))
}

fn status(shared: &Shared) -> Value {
    let rules = &shared.rules;
    let live = rules.live();
    let reload = rules.reload_state();
    let standing = rules.standing.seen();
    let books = shared.totals.rule_books(rules, &shared.totals);
    value!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "uptime_us": micros(shared.started.elapsed()),
        "draining": shared.is_draining(),
        "armed": standing.armed,
        "lifted": standing.reason(),
        "breach": standing.is_breach(),
        "generation": live.generation,
        "seed": format!("{:#x}", live.seed),
        "run_now_us": micros(rules.run_now()),
        "in_flight": shared.totals.in_flight(),
        "sessions": sessions(standing.armed && !live.ids.is_empty(), shared),
        "faults_active": rules.gauges.active(),
        "fault_panics": rules.gauges.panics(),
        "rules": {
            "file": shared.config.rules.as_ref().map(|path| path.display().to_string()),
            "loaded_at_us": reload.loaded_at.map(since_epoch),
            "count": live.ids.len(),
            "ids": live.ids.iter().map(|id| &**id).collect::<Vec<_>>(),
            "list": live.set.rules().iter().map(|one| rule(one, standing.armed, shared, &books)).collect::<Vec<_>>(),
            "refused": reload.refused,
            "error": error(&reload.errors, reload.unreadable.as_ref()),
        },
        "guards": rules.guard_books(Duration::ZERO).iter().map(guard).collect::<Vec<_>>(),
        "hooks": hooks(&live, shared),
        "safety": {
            "max_run_left_us": standing.armed.then(|| micros(rules.run_left(&live))),
            "heartbeat_us": live.set.safety.heartbeat.map(micros),
        },
        "recording": shared.recorder.as_ref().map(crate::recorder::Recorder::status),
        "ledger": { "lines": shared.ledger.lines(), "lost": shared.ledger.lost() },
        "edges": edges(shared),
        "tcp_edges": tcp_edges(shared),
        "limits": limits(shared),
        "run": shared.runs.open().map(|run| value!({
            "run": &*run.tag, "running_us": micros(run.scope.started.elapsed()), "in_flight": run.scope.in_flight(),
        })),
    })
}

/// About how many different sessions sent requests of late. Requests are named for a recording, for rules and where a replay
/// names them: where nobody asks, nobody is counted.
fn sessions(ruled: bool, shared: &Shared) -> Value {
    let (count, span) = shared.recent.count(shared.started.elapsed());
    value!({ "count": count, "span_us": micros(span), "named": ruled || shared.recorder.is_some() })
}

fn edges(shared: &Shared) -> Vec<Value> {
    let edges = shared.edges.iter().zip(&shared.config.edges);
    edges
        .map(|(edge, config)| {
            value!({
                "name": &*edge.name,
                "listen": edge.listen.to_string(),
                "tls": edge.tls,
                "upstream": config.upstream.url,
                "upstreams": config.upstreams().map(|upstream| &upstream.url).collect::<Vec<_>>(),
                "connections": edge.connections.load(Ordering::Acquire),
            })
        })
        .collect()
}

fn tcp_edges(shared: &Shared) -> Vec<Value> {
    let status = |edge: Arc<crate::tcp::TcpEdge>| {
        value!({
            "name": &*edge.name,
            "listen": edge.listen().to_string(),
            "upstream": &*edge.upstream(),
            "enabled": edge.is_open(),
            "connections": edge.books.rows().open,
        })
    };
    shared.tcp.all().into_iter().map(status).collect()
}

/// What clients may take, what they take now, and how often a bound was met.
fn limits(shared: &Shared) -> Value {
    let ([open, most], [buffered, max_buffered]) = (shared.gate.connections(), shared.gate.memory());
    let met: serde_json::Map<String, Value> =
        shared.meets.counts().map(|(name, count)| (name.to_owned(), count.into())).collect();
    value!({
        "connections": open,
        "max_connections": most,
        "buffered": buffered,
        "max_buffered": max_buffered,
        "met": met,
    })
}

/// A rule: what it says, whether it acts now, what it did.
fn rule(rule: &Rule, armed: bool, shared: &Shared, books: &[RuleBooks]) -> Value {
    let (rules, now) = (&shared.rules, shared.rules.run_now());
    let books = books.iter().find(|books| books.id == rule.id);
    let turn = rule.window.next_turn(now);
    let is_open = rule.window.is_open(now);
    let state = match (armed, rules.standing.is_rule_lifted(&rule.id), is_open) {
        (false, ..) => "not_armed",
        (true, true, _) => "lifted",
        (true, false, true) => "acting",
        (true, false, false) if turn.is_some() => "waiting",
        (true, false, false) => "over",
    };
    value!({
        "id": rule.id,
        "words": rule.explain(),
        "state": state,
        "weight": rule.window.weight(now),
        "opens_in_us": turn.filter(|_| !is_open).map(|turn| micros(turn.saturating_sub(now))),
        "closes_in_us": turn.filter(|_| is_open).map(|turn| micros(turn.saturating_sub(now))),
        "books": books,
        "report": books.map(RuleBooks::in_words),
    })
}

fn guard(books: &GuardBooks) -> Value {
    let mut shown = serde_json::to_value(books).unwrap_or(Value::Null);
    if let Value::Object(fields) = &mut shown {
        fields.insert("words".into(), Value::String(books.in_words()));
    }
    shown
}

/// Hooks of the set in force, with what came of those that have begun.
fn hooks(live: &Live, shared: &Shared) -> Vec<Value> {
    let now = shared.rules.run_now();
    let known = shared.rules.hooks.books();
    let of_set = live.set.hooks.iter().map(|hook| {
        let turn = hook.window.next_turn(now).filter(|_| !hook.window.is_open(now));
        value!({
            "id": hook.id,
            "start": hook.start,
            "end": hook.end,
            "opens_in_us": turn.map(|turn| micros(turn.saturating_sub(now))),
            "books": known.iter().find(|books| books.id == hook.id),
        })
    });
    let gone = known.iter().filter(|books| !live.set.hooks.iter().any(|hook| hook.id == books.id));
    of_set.chain(gone.map(|books| value!({ "id": books.id, "books": books }))).collect()
}

/// The first mistake in full, and how it would print; all of them behind it.
fn error(errors: &[Diagnostic], unreadable: Option<&String>) -> Value {
    match (errors.first(), unreadable) {
        (Some(first), _) => {
            let mut shown = serde_json::to_value(first).unwrap_or(Value::Null);
            if let Value::Object(fields) = &mut shown {
                fields.insert("text".into(), Value::String(first.to_string()));
                fields.insert("all".into(), serde_json::to_value(errors).unwrap_or(Value::Null));
            }
            shown
        }
        (None, Some(why)) => value!({ "message": why }),
        (None, None) => Value::Null,
    }
}
