//! `GET /rules` and `PUT /rules`: the set in force, as text, and another in its place.

use std::sync::Arc;

use bytes::Bytes;
use fault_rules::report::Diagnostic;
use fault_rules::{Loader, Rule};
use http::StatusCode;
use serde_json::json as value;

use super::replies::{json, plain, problem};
use super::{Answer, Asked};
use crate::rules::{Source, join};
use crate::shared::Shared;
use crate::time::micros;

/// The set in force: as it was written where the client asks for text, else that and more as JSON.
pub(super) fn show(asked: &Asked, shared: &Shared) -> Answer {
    let live = shared.rules.live();
    if asked.wants_text() {
        let mut answer = plain("application/toml", Bytes::copy_from_slice(live.source.text.as_bytes()));
        answer.headers_mut().insert(GENERATION, live.generation.into());
        return answer;
    }
    let rules = live.set.rules().iter();
    let rules = rules.map(
        |rule| value!({ "id": rule.id, "line": rule.line, "words": rule.explain(), "window": window(rule) }),
    );
    json(
        StatusCode::OK,
        &value!({
            "generation": live.generation,
            "file": (!live.source.name.is_empty()).then_some(&*live.source.name),
            "source": &*live.source.text,
            "rules": rules.collect::<Vec<_>>(),
        }),
    )
}

/// When a rule may act, from the start of the run.
fn window(rule: &Rule) -> serde_json::Value {
    let window = &rule.window;
    value!({
        "from_us": micros(window.from),
        "to_us": window.to.map(micros),
        "every_us": window.every.map(micros),
        "times": window.times,
    })
}

/// Parses, checks and swaps the whole set; with a mistake anywhere nothing changes. The rule file is not written: its next
/// version takes over again.
pub(super) fn replace(asked: &Asked, shared: &Arc<Shared>) -> Answer {
    let Ok(text) = std::str::from_utf8(&asked.body) else {
        return problem(StatusCode::BAD_REQUEST, "a rule set is TOML, which is UTF-8");
    };
    let source = Source { name: SENDER.into(), text: text.into() };
    // No file is read for whoever can reach the admin API.
    let set = match fault_rules::parse(text, SENDER, &Loader::NOTHING) {
        Ok(set) => set,
        Err(report) => return refused(report.findings(), asked),
    };
    if !set.hooks.is_empty() && shared.config.admin_token.is_none() {
        return problem(
            StatusCode::FORBIDDEN,
            "hooks run commands: write them into the rule file, or start the proxy with --admin-token-file FILE",
        );
    }
    let warnings = set.warnings.clone();
    let before = shared.rules.live().generation;
    match shared.rules.replace(set, source) {
        Ok(generation) => {
            let rules = shared.rules.live().ids.len();
            if generation != before {
                tracing::info!(by = asked.by, generation, rules, "rules replaced through the admin API");
            }
            json(
                StatusCode::OK,
                &value!({ "generation": generation, "changed": generation != before, "rules": rules, "warnings": warnings }),
            )
        }
        Err(findings) => refused(&findings, asked),
    }
}

fn refused(findings: &[Diagnostic], asked: &Asked) -> Answer {
    let count = match findings.len() {
        1 => "1 mistake".to_owned(),
        count => format!("{count} mistakes"),
    };
    let first = join(&findings[..findings.len().min(1)]);
    let by = &asked.by;
    tracing::warn!("rules not replaced through the admin API by {by}, the old ones stay: {count}\n{first}");
    json(
        StatusCode::UNPROCESSABLE_ENTITY,
        &value!({
            "error": format!("{count}; the rules in force stay"),
            "text": join(findings),
            "findings": findings,
        }),
    )
}

/// The file name in findings about a body.
const SENDER: &str = "PUT /rules";
const GENERATION: &str = "squall-generation";
