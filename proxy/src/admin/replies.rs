//! What the admin API answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use serde_json::json as value;

use super::{Answer, Asked};
use crate::books::{EdgeSummary, RuleBooks, Scope, Snapshot, missed};
use crate::chain::Detail;
use crate::hooks::HookBooks;
use crate::metrics;
use crate::rules::GuardBooks;
use crate::shared::Shared;
use crate::tcp::TcpEdgeBooks;
use crate::time::{micros, wall_us};

/// `GET /books`.
#[derive(Serialize)]
struct Books {
    run: Option<String>,
    in_flight: i64,
    edges: Vec<EdgeSummary>,
    /// Of all time: a replay is HTTP.
    tcp_edges: Vec<TcpEdgeBooks>,
    rules: Vec<RuleBooks>,
    guards: Vec<GuardBooks>,
    hooks: Vec<HookBooks>,
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
    /// The edge that it loads; absent: the first.
    #[serde(default)]
    edge: Option<String>,
}

/// One line of `GET /runs/RUN/ended`.
#[derive(Serialize)]
struct EndedLine<'a> {
    op: String,
    attempt: u32,
    rule: &'a str,
    action: &'a str,
    /// The client left while the rule held it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    left: bool,
    /// The client left, and the rule had touched a call of the exchange.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    below: bool,
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
        let rules = scope.rule_books(&shared.rules, &shared.totals);
        let standing = shared.rules.standing.seen();
        // a replay may be a part of a larger one, whose times are put together later
        let detail = if scope.run.is_some() { Detail::Buckets } else { Detail::Figures };
        Books {
            run: scope.run.clone(),
            in_flight,
            edges: scope.summaries(edges, detail),
            tcp_edges: if scope.run.is_none() { shared.tcp.rows() } else { Vec::new() },
            guards: shared.rules.guard_books(shared.rules.since_start(scope.started)),
            hooks: shared.rules.hooks.books(),
            missed: missed(&rules),
            rules,
            breach: standing.is_breach(),
            lifted: standing.lifted.map(|lifted| lifted.reason),
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

/// The newest lines; `after=N` those behind the N-th, and `follow=5s` waits so long for the first of them. `squall-next` says
/// what to ask for next.
pub(super) fn ledger(shared: &Shared, asked: &Asked) -> Answer {
    let number = |name: &str| asked.query(name).map(|text| text.parse::<u64>()).transpose();
    let (Ok(tail), Ok(after)) = (number("tail"), number("after")) else {
        return problem(StatusCode::BAD_REQUEST, "tail and after want a number, as in /ledger?tail=100");
    };
    let follow = asked.query("follow").map(|text| text.parse::<humantime::Duration>()).transpose();
    let Ok(follow) = follow else {
        return problem(StatusCode::BAD_REQUEST, "follow wants a time, as in /ledger?after=0&follow=5s");
    };
    shared.ledger.settle();
    let until = Instant::now() + follow.map_or(Duration::ZERO, Into::into).min(LONGEST_FOLLOW);
    let after = after.or_else(|| follow.map(|_| shared.ledger.lines()));
    while after.is_some_and(|after| shared.ledger.lines() <= after) && Instant::now() < until {
        std::thread::sleep(FOLLOW_POLL);
    }
    let usual = if after.is_some() { u64::MAX } else { DEFAULT_TAIL };
    let most = usize::try_from(tail.unwrap_or(usual)).unwrap_or(usize::MAX);
    let (list, next) = shared.ledger.tail(asked.query("run").as_deref(), after.unwrap_or(0), most);
    let mut answer = lines(list.iter().map(AsRef::as_ref));
    answer.headers_mut().insert("squall-next", next.into());
    answer
}

pub(super) fn announce(shared: &Shared, body: &[u8]) -> Answer {
    let asked: Announcement = match serde_json::from_slice(body) {
        Ok(asked) => asked,
        Err(error) => return problem(StatusCode::BAD_REQUEST, &format!("not an announcement: {error}")),
    };
    if asked.run.len() != 8 || !asked.run.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return problem(StatusCode::BAD_REQUEST, "run wants 8 hexadecimal digits");
    }
    let (edges, named) = (shared.edge_names(), asked.edge.as_deref().unwrap_or_default());
    let edge = edges.iter().position(|edge| edge == named).unwrap_or(0);
    shared.runs.announce(&asked.run, &edges, edge);
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
        left: ended.left,
        below: ended.below,
    }));
    answer.headers_mut().insert("squall-lost", lost.into());
    answer
}

pub(super) fn stop_recording(shared: &Arc<Shared>, by: &str) -> Answer {
    match &shared.recorder {
        Some(recorder) => {
            recorder.stop();
            tracing::info!(by, "recording stopped through the admin API; traffic goes on");
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

pub(super) fn plain(kind: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    answer.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    answer
}

/// No rule and no hook bears this id: which one was meant?
pub(super) fn unknown_rule(shared: &Shared, id: &str) -> Answer {
    let live = shared.rules.live();
    let hooks = live.set.hooks.iter().map(|hook| hook.id.as_str());
    let known: Vec<&str> = live.ids.iter().map(|id| &**id).chain(hooks).collect();
    let advice = match fault_rules::nearest(id, &known) {
        Some(right) => format!("; did you mean `{right}`?"),
        None if known.is_empty() => "; there are none".to_owned(),
        None => format!("; there are {}", known.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ")),
    };
    let more = if SHOWN < known.len() && !advice.ends_with('?') { ", …" } else { "" };
    problem(StatusCode::NOT_FOUND, &format!("no rule or hook `{id}` is in force{advice}{more}"))
}

fn unknown_run(tag: &str) -> Answer {
    problem(
        StatusCode::NOT_FOUND,
        &format!("no replay `{tag}` announced itself here, or it was too long ago"),
    )
}

/// Ids that are listed where none is like the one asked for.
const SHOWN: usize = 10;
const DEFAULT_TAIL: u64 = 100;
const LONGEST_FOLLOW: Duration = Duration::from_secs(30);
const FOLLOW_POLL: Duration = Duration::from_millis(20);
