//! What the admin API answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use fault_rules::report::Diagnostic;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json as value};

use super::Answer;
use crate::books::{EdgeBooks, RuleBooks, Scope, Snapshot, missed};
use crate::metrics;
use crate::rules::GuardBooks;
use crate::shared::Shared;
use crate::tcp::TcpEdgeBooks;
use crate::time::{micros, since_epoch, wall_us};

/// `GET /books`.
#[derive(Serialize)]
struct Books {
    run: Option<String>,
    in_flight: i64,
    edges: Vec<EdgeBooks>,
    /// Of all time: a replay is HTTP.
    tcp_edges: Vec<TcpEdgeBooks>,
    rules: Vec<RuleBooks>,
    guards: Vec<GuardBooks>,
    /// Rules that did not do what they asked for.
    missed: Vec<String>,
    lifted: Option<String>,
    breach: bool,
    ledger_lost: u64,
    uptime_us: u64,
}

/// `POST /runs`; what else the replay says of itself is for people.
#[derive(Deserialize)]
struct Announcement {
    run: String,
}

/// One line of `GET /runs/RUN/ended`.
#[derive(Serialize)]
struct EndedLine<'a> {
    op: String,
    attempt: u32,
    rule: &'a str,
    action: &'a str,
}

pub(super) fn status(shared: &Shared) -> Value {
    let rules = &shared.rules;
    let live = rules.live();
    let reload = rules.reload_state();
    let lifted = rules.standing.lifted();
    let edges: Vec<Value> = shared
        .edges
        .iter()
        .zip(&shared.config.edges)
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
        .collect();
    value!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "uptime_us": micros(shared.started.elapsed()),
        "draining": shared.is_draining(),
        "armed": rules.standing.is_armed(),
        "lifted": lifted.as_ref().map(|lifted| &lifted.reason),
        "breach": lifted.as_ref().is_some_and(|lifted| lifted.breach),
        "generation": live.generation,
        "seed": format!("{:#x}", live.seed),
        "in_flight": shared.totals.in_flight(),
        "faults_active": rules.gauges.active(),
        "fault_panics": rules.gauges.panics(),
        "rules": {
            "file": shared.config.rules.as_ref().map(|path| path.display().to_string()),
            "loaded_at_us": reload.loaded_at.map(since_epoch),
            "count": live.ids.len(),
            "ids": live.ids.iter().map(|id| &**id).collect::<Vec<_>>(),
            "refused": reload.refused,
            "error": error(&reload.errors, reload.unreadable.as_ref()),
        },
        "recording": shared.recorder.as_ref().map(crate::recorder::Recorder::status),
        "ledger": { "lines": shared.ledger.lines(), "lost": shared.ledger.lost() },
        "edges": edges,
        "tcp_edges": tcp_edges(shared),
        "limits": limits(shared),
        "run": shared.runs.open().map(|run| value!({
            "run": &*run.tag, "running_us": micros(run.scope.started.elapsed()), "in_flight": run.scope.in_flight(),
        })),
    })
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

pub(super) fn metrics(shared: &Shared) -> Answer {
    match metrics::scrape(shared) {
        Ok(text) => plain("text/plain; version=0.0.4; charset=utf-8", text.into()),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

pub(super) fn books(shared: &Shared, run: Option<&str>) -> Answer {
    let books = |scope: &Scope| {
        let Snapshot { in_flight, edges } = scope.snapshot();
        let rules = scope.rule_books(&shared.rules);
        let lifted = shared.rules.standing.lifted();
        Books {
            run: scope.run.clone(),
            in_flight,
            edges,
            tcp_edges: if scope.run.is_none() { shared.tcp.rows() } else { Vec::new() },
            guards: shared.rules.guard_books(shared.rules.since_start(scope.started)),
            missed: missed(&rules),
            rules,
            breach: lifted.as_ref().is_some_and(|lifted| lifted.breach),
            lifted: lifted.map(|lifted| lifted.reason),
            ledger_lost: shared.ledger.lost(),
            uptime_us: micros(shared.started.elapsed()),
        }
    };
    match run {
        None => json(StatusCode::OK, &books(&shared.totals)),
        Some(tag) => match shared.runs.by_tag(tag) {
            Some(run) => json(StatusCode::OK, &books(&run.scope)),
            None => unknown_run(tag),
        },
    }
}

pub(super) fn ledger(shared: &Shared, run: Option<&str>, tail: Option<String>) -> Answer {
    let n = match tail.map(|tail| tail.parse::<usize>()).transpose() {
        Ok(n) => n.unwrap_or(DEFAULT_TAIL),
        Err(_) => return problem(StatusCode::BAD_REQUEST, "tail wants a number, as in /ledger?tail=100"),
    };
    shared.ledger.settle();
    lines(shared.ledger.tail(run, n).iter().map(AsRef::as_ref))
}

pub(super) fn announce(shared: &Shared, body: &[u8]) -> Answer {
    let asked: Announcement = match serde_json::from_slice(body) {
        Ok(asked) => asked,
        Err(error) => return problem(StatusCode::BAD_REQUEST, &format!("not an announcement: {error}")),
    };
    if asked.run.len() != 8 || !asked.run.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return problem(StatusCode::BAD_REQUEST, "run wants 8 hexadecimal digits");
    }
    shared.runs.announce(&asked.run, &shared.edge_names());
    shared.rules.restart_windows();
    shared.rules.standing.beat(shared.rules.now());
    tracing::info!(run = asked.run, "a replay begins");
    json(StatusCode::CREATED, &value!({ "run": asked.run, "started_us": wall_us() }))
}

pub(super) fn end(shared: &Shared, tag: &str) -> Answer {
    if shared.runs.end(tag) {
        tracing::info!(run = tag, "a replay ends");
        json(StatusCode::OK, &value!({ "run": tag, "ended_us": wall_us() }))
    } else {
        unknown_run(tag)
    }
}

pub(super) fn seen(shared: &Shared, tag: &str) -> Answer {
    match shared.runs.by_tag(tag).and_then(|run| run.scope.seen_ops()) {
        Some(sketch) => plain("application/octet-stream", sketch.into()),
        None => unknown_run(tag),
    }
}

pub(super) fn ended(shared: &Shared, tag: &str) -> Answer {
    let Some(run) = shared.runs.by_tag(tag) else { return unknown_run(tag) };
    let (list, lost) = run.scope.ended_list();
    let mut answer = lines(list.iter().map(|ended| EndedLine {
        op: format!("{:016x}", ended.op),
        attempt: ended.attempt,
        rule: &ended.rule,
        action: ended.action,
    }));
    answer.headers_mut().insert("squall-lost", lost.into());
    answer
}

pub(super) fn stop_recording(shared: &Arc<Shared>) -> Answer {
    match &shared.recorder {
        Some(recorder) => {
            recorder.stop();
            json(StatusCode::OK, &recorder.status())
        }
        None => problem(StatusCode::CONFLICT, "nothing is recorded; start the proxy with --record FILE"),
    }
}

pub(super) fn rotate_recording(shared: &Arc<Shared>) -> Answer {
    match &shared.recorder {
        Some(recorder) if recorder.rotate() => json(StatusCode::ACCEPTED, &recorder.status()),
        Some(_) => {
            problem(StatusCode::CONFLICT, "the recording has ended, or has more to write than it can hold")
        }
        None => problem(StatusCode::CONFLICT, "nothing is recorded; start the proxy with --record FILE"),
    }
}

pub(super) fn json<T: Serialize>(status: StatusCode, body: &T) -> Answer {
    match serde_json::to_vec(body) {
        Ok(mut text) => {
            text.push(b'\n');
            let mut answer = plain("application/json", text.into());
            *answer.status_mut() = status;
            answer
        }
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

pub(super) fn problem(status: StatusCode, why: &str) -> Answer {
    let mut answer = plain("application/json", Bytes::from(format!("{}\n", value!({ "error": why }))));
    *answer.status_mut() = status;
    answer
}

fn lines<T: Serialize>(lines: impl Iterator<Item = T>) -> Answer {
    let mut text = Vec::new();
    for line in lines {
        if serde_json::to_writer(&mut text, &line).is_ok() {
            text.push(b'\n');
        }
    }
    plain("application/x-ndjson", text.into())
}

fn plain(kind: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    answer.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    answer
}

fn unknown_run(tag: &str) -> Answer {
    problem(
        StatusCode::NOT_FOUND,
        &format!("no replay `{tag}` announced itself here, or it was too long ago"),
    )
}

const DEFAULT_TAIL: usize = 100;
