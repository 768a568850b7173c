//! One fault configuration as rules: a delay, an abort, a rate limit, each with a roll of its own.

use std::collections::BTreeMap;

use serde_json::Value;

use super::find::Found;
use super::on::On;
use super::write::{Draft, File};
use super::{order, tree};

/// What all configurations of the documents have in common.
#[derive(Debug)]
pub(super) struct Known {
    /// Addresses by cluster.
    pub(super) clusters: BTreeMap<String, Vec<String>>,
    /// Whether routes without faults can be protected.
    pub(super) may_protect: bool,
}

/// Adds what one configuration asks for.
pub(super) fn add(found: &Found<'_>, known_of_all: &Known, file: &mut File) {
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
    let most = tree::number(fault, "max_active_faults");
    if let Some(most) = most.filter(|most| 0 < *most) {
        file.max_active(most);
    }
    let before = order::before(&found.around, known_of_all.may_protect);
    for mut on in On::all(fault, &found.around) {
        on.lost.extend(before.lost.iter().cloned());
        if most == Some(0) {
            on.lost.push("max_active_faults: at 0 Envoy lets no fault act".to_owned());
        }
        let upstream = tree::text(fault, "upstream_cluster").filter(|name| !name.is_empty());
        if let Some((named, other)) =
            upstream.zip(found.around.cluster).filter(|(named, other)| named != other)
        {
            on.lost.push(format!("upstream_cluster {named}: its route leads to {other}, so it never acts"));
        }
        for cluster in upstream.into_iter().chain(found.around.cluster) {
            let members = known_of_all.clusters.get(cluster).map_or(&[][..], Vec::as_slice);
            on.of_group(&file.group(cluster, members));
            if members.is_empty() {
                on.lost.push(format!("cluster {cluster}: the file does not say which addresses it has"));
            }
        }
        if on.lost.is_empty() {
            file.protect(&before.protect);
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
    let mut draft = Draft::of(value);
    match (tree::get(value, "fixed_delay"), tree::get(value, "header_delay")) {
        (Some(fixed), _) => match tree::duration(fixed) {
            Some(time) if LONGEST < time => draft.lost(&format!("fixed_delay {fixed} is above 24 h")),
            Some(time) => draft.line(&format!("delay   = \"{}\"", words(time))),
            None => draft.lost(&format!("fixed_delay {fixed} is no duration")),
        },
        (None, Some(_)) => draft.lost("header_delay: clients do not choose their delay here"),
        (None, None) => draft.lost("a delay without fixed_delay"),
    }
    draft
}

fn abort(value: &Value) -> Draft {
    let mut draft = Draft::of(value);
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
    let mut draft = Draft::of(value);
    match tree::path(value, &["fixed_limit"]).and_then(|limit| tree::number(limit, "limit_kbps")) {
        Some(kib) if (1..=900_000_000).contains(&kib) => draft.line(&format!("throttle = \"{kib}KiB/s\"")),
        Some(kib) => draft.lost(&format!("limit_kbps {kib} is no pace")),
        None => draft.lost("header_limit: clients do not choose their pace here"),
    }
    draft
}

impl Draft {
    /// With the share that is asked for.
    fn of(value: &Value) -> Self {
        let mut draft = Draft { rate: rate(value), ..Draft::default() };
        let percentage = tree::get(value, "percentage");
        for other in percentage.map(|it| tree::others(it, &["numerator", "denominator"])).unwrap_or_default()
        {
            draft.lost(&format!("{other} of the percentage: Envoy's has a numerator and a denominator"));
        }
        let denominator = percentage.and_then(|it| tree::get(it, "denominator"));
        if let Some(unknown) = denominator.filter(|it| whole(it).is_none()) {
            draft.lost(&format!("denominator {unknown} is none of HUNDRED, TEN_THOUSAND and MILLION"));
        }
        draft
    }
}

/// Digits behind the point, and the number that is everything.
fn whole(denominator: &Value) -> Option<(u32, u64)> {
    match (denominator.as_str(), denominator.as_u64()) {
        (Some("HUNDRED"), _) | (_, Some(0)) => Some((0, 100)),
        (Some("TEN_THOUSAND"), _) | (_, Some(1)) => Some((2, 10_000)),
        (Some("MILLION"), _) | (_, Some(2)) => Some((4, 1_000_000)),
        _ => None,
    }
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
    let (digits, whole) = tree::get(percentage, "denominator").and_then(whole).unwrap_or((0, 100));
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

/// As long as a rule may wait.
const LONGEST: std::time::Duration = std::time::Duration::from_hours(24);
