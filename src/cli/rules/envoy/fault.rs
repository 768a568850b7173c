//! One fault configuration as rules: a delay, an abort, a rate limit, each with a roll of its own.

use std::collections::BTreeMap;

use serde_json::Value;

use super::find::Found;
use super::on::On;
use super::tree;
use super::write::{Draft, File};

/// Adds what one configuration asks for.
pub(super) fn add(found: &Found<'_>, clusters: &BTreeMap<String, Vec<String>>, file: &mut File) {
    let fault = found.fault;
    let name = found.around.names.last().copied().unwrap_or("envoy");
    let known = [
        "@type",
        "delay",
        "abort",
        "response_rate_limit",
        "headers",
        "downstream_nodes",
        "upstream_cluster",
        "max_active_faults",
        "disable_downstream_cluster_stats",
        "filter_metadata",
    ];
    for other in tree::others(fault, &known) {
        file.note(&format!(
            "{name}: {other} has no counterpart: a rule file is edited while the proxy runs instead"
        ));
    }
    if let Some(most) = tree::number(fault, "max_active_faults") {
        file.max_active(most);
    }
    for mut on in On::all(fault, &found.around) {
        if let Some(cluster) = tree::text(fault, "upstream_cluster").filter(|name| !name.is_empty()) {
            on.of_group(&file.group(cluster, clusters.get(cluster).map_or(&[], Vec::as_slice)));
            if clusters.get(cluster).is_none_or(Vec::is_empty) {
                on.lost.push(format!(
                    "upstream_cluster {cluster}: the file does not say which addresses it has"
                ));
            }
        }
        let parts = [
            ("delay", tree::get(fault, "delay").map(delay)),
            ("abort", tree::get(fault, "abort").map(abort)),
            ("rate", tree::get(fault, "response_rate_limit").map(pace)),
        ];
        for (kind, part) in parts {
            let Some(part) = part else { continue };
            file.rule(Draft { id: format!("{name}-{kind}"), on: on.clone(), ..part });
        }
    }
}

fn delay(value: &Value) -> Draft {
    let mut draft = Draft { rate: rate(value), ..Draft::default() };
    match (tree::get(value, "fixed_delay"), tree::get(value, "header_delay")) {
        (Some(fixed), _) => match tree::duration(fixed) {
            Some(time) => draft.line(&format!("delay   = \"{}\"", words(time))),
            None => draft.lost(&format!("fixed_delay {fixed} is no duration")),
        },
        (None, Some(_)) => draft.lost("header_delay: clients do not choose their delay here"),
        (None, None) => draft.lost("a delay without fixed_delay"),
    }
    draft
}

fn abort(value: &Value) -> Draft {
    let mut draft = Draft { rate: rate(value), ..Draft::default() };
    match (tree::number(value, "http_status"), tree::number(value, "grpc_status")) {
        (Some(status), _) if (200..=599).contains(&status) => draft.line(&format!("respond = {status}")),
        (Some(status), _) => draft.lost(&format!("http_status {status} is none of 200 to 599")),
        (None, Some(status)) if status <= 16 => {
            draft.line(&format!("respond = {{ grpc_status = {status} }}"));
        }
        (None, Some(status)) => draft.lost(&format!("grpc_status {status} is none of 0 to 16")),
        (None, None) if tree::get(value, "header_abort").is_some() => {
            draft.lost("header_abort: clients do not choose their status here");
        }
        (None, None) => draft.lost("an abort without a status"),
    }
    draft
}

/// Envoy counts in KiB.
fn pace(value: &Value) -> Draft {
    let mut draft = Draft { rate: rate(value), ..Draft::default() };
    match tree::path(value, &["fixed_limit"]).and_then(|limit| tree::number(limit, "limit_kbps")) {
        Some(kib) if (1..=900_000_000).contains(&kib) => draft.line(&format!("throttle = \"{kib}KiB/s\"")),
        Some(kib) => draft.lost(&format!("limit_kbps {kib} is no pace")),
        None => draft.lost("header_limit: clients do not choose their pace here"),
    }
    draft
}

/// The percentage, exactly, and what is to be said of it.
fn rate(value: &Value) -> (String, Option<&'static str>) {
    let Some(percentage) = tree::get(value, "percentage") else {
        // v1 and v2 had whole percents.
        return match tree::number(value, "percent") {
            Some(percent) => (format!("{}%", percent.min(100)), None),
            None => ("0%".to_owned(), Some("no percentage is given, which is 0% in Envoy too")),
        };
    };
    let numerator = tree::number(percentage, "numerator").unwrap_or_default();
    let denominator = tree::get(percentage, "denominator");
    let name = denominator.and_then(Value::as_str).unwrap_or_default();
    let number = denominator.and_then(Value::as_u64).unwrap_or_default();
    let (digits, whole) = match (name, number) {
        ("TEN_THOUSAND", _) | (_, 1) => (2, 10_000),
        ("MILLION", _) | (_, 2) => (4, 1_000_000),
        _ => (0, 100),
    };
    let parts = numerator.min(whole);
    let scale = 10_u64.pow(digits);
    let fraction = format!("{:0>width$}", parts % scale, width = digits as usize);
    let fraction = if digits == 0 { "" } else { fraction.trim_end_matches('0') };
    let point = if fraction.is_empty() { "" } else { "." };
    (format!("{}{point}{fraction}%", parts / scale), (whole < numerator).then_some("cut down to everything"))
}

/// In the largest unit that divides it.
fn words(time: std::time::Duration) -> String {
    let nanos = time.as_nanos();
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    let unit = units.iter().find(|(size, _)| nanos.is_multiple_of(*size));
    unit.map_or_else(|| format!("{nanos}ns"), |(size, unit)| format!("{}{unit}", nanos / size))
}
