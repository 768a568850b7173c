//! Runs made from a real one: with everything in it and as much of it as may be, with hostile names, with nothing.

use serde_json::{Map, Value, json};

/// A run of an hour with a full series, heat map, analysis and so on.
pub(crate) fn hour(mut run: Value) -> Value {
    let seconds = 3600;
    run["elapsed_us"] = json!(seconds * 1_000_000);
    run["series"] = (0..seconds).map(second).collect();
    run["series_step_us"] = json!(1_000_000);
    run["heat"] = heat();
    run["funnel"] = (0..64)
        .map(|step| {
            json!({ "step": step, "route": HOSTILE[step % HOSTILE.len()], "reached": 9000 - 100 * step,
            "completed": 8900 - 100 * step, "failed": step * 3 })
        })
        .collect();
    run["faults"] = json!({ "rules_file": format!("# {}\n[[rule]]\nid = \"slow\"\n", HOSTILE[0]), "windows": windows(), "windows_lost": 3 });
    run["analysis"] = analysis();
    run["routes"] = routes(&run["routes"][0], 256);
    run["repeat"] = repeat();
    run["reason"] = json!(HOSTILE[1]);
    run["guards"] = json!([{ "name": "cart", "rules": ["slow"], "signal": "p95", "action": "lift", "value": 310_000.0,
        "limit": 300_000.0, "base": 20_000.0, "samples": 400, "tripped_at_us": 2_000_000_000_u64, "left": 0.0 }]);
    run["thresholds"] = json!([
        { "expr": "response:p(95)<300ms", "value": 412_000.0, "bound": 300_000.0, "ok": false },
        { "expr": "errors<1%", "value": null, "bound": 0.01, "ok": false },
    ]);
    run
}

/// A service behind three edges, one of which calls a fourth, as the proxy measures it; what is slow is payments.
pub(crate) fn chain(mut run: Value) -> Value {
    let times = |count: u64, p50: u64, p99: u64| json!({ "count": count, "p50": p50, "p90": p99 - p99 / 9, "p99": p99, "max": p99 + 900 });
    let calls = |edge: &str, count: u64, p99: u64| json!({ "edge": edge, "count": count, "per_request": count as f64 / 480.0, "latency": times(count, p99 / 2, p99) });
    let route = |at: usize, count: u64, own: u64, payments: u64| {
        let name =
            HOSTILE.get(at).map_or_else(|| format!("GET /api/v2/things-{at}"), |name| (*name).to_owned());
        let called = if payments == 0 {
            json!([])
        } else {
            json!([{ "edge": "payments", "us": payments }, { "edge": HOSTILE[1], "us": 900 }])
        };
        json!({ "route": name, "latency": times(count, own, own + payments), "own": times(count, own / 2, own),
            "slow": { "count": 11, "took_us": own + payments, "own_us": own, "calls": called } })
    };
    let leaf = |name: &str, count: u64, p50: u64, p99: u64| {
        json!({ "name": name, "seen": count, "latency": times(count, p50, p99), "own": times(count, p50, p99),
            "calls": [], "routes": [], "unjoined": 0, "chain_shed": 0 })
    };
    let routes = (0..20_usize)
        .map(|at| route(at, 60, 80_000 - at as u64 * 2_000, if at == 0 { 1_020_000 } else { 0 }));
    let mut front = leaf("front", 480, 19_967, 1_126_956);
    front["own"] = times(480, 17_407, 96_255);
    front["calls"] = json!([calls("payments", 60, 1_041_242), calls(HOSTILE[1], 60, 46_275)]);
    front["typical"] = json!({ "count": 242, "took_us": 11_204, "own_us": 11_204, "calls": [] });
    front["routes"] = routes.collect();
    front["chain_shed"] = json!(12);
    let mut payments = leaf("payments", 60, 1_032_191, 1_041_242);
    payments["calls"] = json!([calls("bank", 60, 3_000)]);
    payments["unjoined"] = json!(4);
    payments["upstream"] = times(60, 31_000, 40_000);
    payments["slow"] = json!({ "route": HOSTILE[0], "p99_us": 1_126_956, "excess_us": 1_092_372, "share": 0.94,
        "words": format!("the slow p99 comes from payments: {} takes 1.13 s at p99", HOSTILE[0]) });
    run["edges"] =
        json!([front, payments, leaf("bank", 60, 2_000, 3_000), leaf(HOSTILE[1], 60, 11_263, 46_275)]);
    run["links"] =
        json!([{ "from": "POST /api/signup body.id", "to": HOSTILE[3], "used": 480, "missed": 3 }]);
    run
}

/// Edges of which no more is known than must be, one of which calls itself.
pub(crate) fn bare_chain(mut run: Value) -> Value {
    run["edges"] = json!([
        { "name": "front", "seen": 0, "routes": [{}, { "route": "GET /", "slow": {} }], "typical": {} },
        { "name": "payments", "seen": 3, "calls": [{ "edge": "payments" }, {}] },
        { "name": "search", "seen": 0, "latency": {} },
    ]);
    run
}

/// The same run with half of its routes renamed.
pub(crate) fn with_other_routes(mut run: Value) -> Value {
    run["verdict"] = json!("degraded");
    run["plan_hash"] = json!("0123456789abcdef");
    for route in run["routes"].as_array_mut().unwrap().iter_mut().step_by(2) {
        route["route"] = json!(format!("{} too", route["route"].as_str().unwrap()));
    }
    run
}

/// What a run has that ended before it began: every list empty, nothing measured.
pub(crate) fn bare(mut run: Value) -> Value {
    let empty = json!({ "count": 0, "mean": 0.0, "p50": 0, "p90": 0, "p95": 0, "p99": 0, "p99_9": 0, "max": 0, "hdr": "" });
    for part in ["routes", "cohorts", "rules", "guards", "series", "thresholds"] {
        run[part] = json!([]);
    }
    run["books"] = json!({ "balanced": true, "rows": [] });
    let latencies = run["latency"].as_object_mut().unwrap();
    latencies.values_mut().for_each(|latency| *latency = empty.clone());
    for (name, value) in run["requests"].as_object_mut().unwrap() {
        *value = match value {
            Value::Object(_) if name != "failed" => json!({}),
            Value::Number(_) => json!(0),
            _ => continue,
        };
    }
    let failures: &mut Map<String, Value> = run["failures"].as_object_mut().unwrap();
    failures.values_mut().for_each(|count| *count = json!(0));
    for part in ["analysis", "heat", "funnel", "faults", "repeat", "shape", "streams", "edges"] {
        run.as_object_mut().unwrap().remove(part);
    }
    run
}

/// A record of a history: every figure moves at some place, and names are hostile.
pub(crate) fn record(nth: usize) -> Value {
    let figures = [
        ("requests.rate", 1800.0),
        ("errors", 0.01),
        ("failures.injected", 0.008),
        ("failures.origin", 0.0),
        ("response.mean", 2600.0),
        ("response.p50", 1900.0),
        ("response.p95", 9000.0),
        ("response.p99", 31_000.0),
        ("response.p99_9", 480_000.0),
        ("service.p99", 28_000.0),
        ("lateness.p99", 210.0),
        ("generator.cpu_share", 0.31),
        ("generator.rss_peak", 61e6),
    ];
    let values = figures.iter().enumerate().map(|(at, (name, value))| {
        let step = if nth < 100 + 60 * at { 1.0 } else { 1.4 };
        ((*name).to_owned(), json!(value * step * (1.0 + (nth * (at + 7) * 31 % 97) as f64 / 500.0)))
    });
    let verdict = ["pass", "pass", "degraded", "fail", "interrupted"][nth * nth % 5];
    json!({ "squall": "0.1.0", "run": format!("{nth:08x}"), "plan_hash": "00112233445566ff", "shard": "1/1",
        "started": format!("2026-11-{:02}T{:02}:{:02}:{:02}.5Z", 1 + nth / 40, nth / 3600, nth / 60 % 60, nth % 60),
        "elapsed_us": 60_000_000, "seed": "1", "capture": "/var/captures/morning.zst", "target": "http://shop.test",
        "argv": ["replay", HOSTILE[1], "-H", "authorization: Bearer abc"], "verdict": verdict, "reason": HOSTILE[nth % 4].repeat(9),
        "figures": values.collect::<Map<_, _>>(), "headline": HOSTILE[(nth + 1) % 4].repeat(9), "removed": nth })
}

fn second(second: u64) -> Value {
    let wave = (second as f64 / 400.0).sin() + 1.5;
    let sent = (wave * 8000.0) as u64 + second * 7919 % 500;
    json!({ "t_us": second * 1_000_000, "active": sent * 2, "planned": sent, "sent": sent, "answered": sent - 20,
        "failed": second % 30, "injected": second % 40, "p50": 1800 + second % 300, "p90": 5200 + second % 900,
        "p99": 30_000 + second * 37 % 9000, "lateness_p99": 200 + second % 90,
        "status": { "2xx": sent - 40, "3xx": 0, "4xx": 11, "5xx": second % 9 } })
}

fn heat() -> Value {
    let bounds: Vec<u64> = (0..48).map(|at| (100.0 * 10_f64.powf(f64::from(at) / 10.0)) as u64).collect();
    let row = |step: u64| -> Vec<u64> {
        (0..48_u64).map(|at| 90_000 / (1 + at.abs_diff(14 + step % 9).pow(3))).collect()
    };
    json!({ "step_us": 15_000_000, "bounds_us": bounds, "counts": (0..240).map(row).collect::<Vec<_>>() })
}

fn windows() -> Value {
    let from = |at: u64| at * 200_000_000;
    (0..18_u64).map(|at| {
        let until = if at == 17 { Value::Null } else { json!(from(at) + 90_000_000) };
        json!({ "rule": format!("slow-{}", at % 6), "from_us": from(at), "until_us": until, "what": "delay 200ms 20%" })
    }).collect()
}

fn repeat() -> Value {
    let run = |k: u32| json!({ "run": k, "verdict": "fail", "reason": HOSTILE[1], "figures": { "response.p50": 1900.0 } });
    json!({ "asked": 5, "shown": 2, "runs": (1..=5).map(run).collect::<Vec<_>>(),
        "spread": [{ "figure": "response.p50", "unit": "us", "runs": 5, "min": 1800.0, "median": 1900.0, "max": 2100.0,
            "cv": 0.04, "interval": { "low": 1800.0, "high": 2100.0, "confidence": 0.96 } },
            { "figure": "errors", "unit": "share", "runs": 5, "min": 0.0, "median": 0.0, "max": 0.0, "cv": null }],
        "findings": [{ "kind": "threshold", "what": HOSTILE[0], "runs": [1, 4] }] })
}

fn analysis() -> Value {
    let kinds = [
        "downstream",
        "injected",
        "origin",
        "overload",
        "generator",
        "slow_drift",
        "response_drift",
        "unexplained",
    ];
    let finding = |rank: usize| {
        let example = |k: usize| {
            json!({ "session": format!("1f{k}"), "clone": k, "op": "00ff00ff00ff00ff", "step": 3,
            "t_us": 19_000_000, "replay": format!("replay --only session:1f{k} '{}.zst'", HOSTILE[2]) })
        };
        json!({ "rank": rank, "title": format!("{} {}", HOSTILE[rank % HOSTILE.len()], "answers 503. ".repeat(12)),
            "explanation": kinds[rank % kinds.len()], "rule": "slow-1",
            "where": { "route": HOSTILE[0], "class": "timeout", "status": 503, "step": 3, "key": null,
                "fingerprint": "a1b2c3d4", "from_us": 1_000_000, "until_us": 900_000_000 },
            "sessions": 900 - rank, "failures": 1000 - rank, "share": 0.1,
            "lift": { "exposed": 0.41, "control": 0.033, "ratio": 12.3, "low": 8.1, "high": 19.0, "confidence": 0.99 },
            "evidence": ["Of 480 sessions that met slow-1, 197 failed at this step.".repeat(3), HOSTILE[1]],
            "examples": (1..=3).map(example).collect::<Vec<_>>() })
    };
    let drift = |at: usize| {
        json!({ "route": format!("GET /drift/{at}"), "what": "length", "recorded": "1204",
        "replayed": HOSTILE[at % HOSTILE.len()], "share": 0.12, "noise": 0.01, "sessions": 40,
        "differing": 120, "answers": 1000, "chance": if at.is_multiple_of(2) { json!(3.2e-9) } else { Value::Null } })
    };
    json!({ "failures": 54_000, "sessions_hurt": 9000, "sample": 0.25,
        "attribution": { "injected": 30_000, "downstream": 14_000, "overload": 6000, "generator": 100, "origin": 3000, "unexplained": 900 },
        "findings": (1..=10).map(finding).collect::<Vec<_>>(), "drift": (0..40).map(drift).collect::<Vec<_>>(),
        "compared": { "exchanges": 320, "answers": 32_000, "without_shape": 40, "more": { "status": 1, "length": 20, "shape": 0 },
            "bodies": { "looked_at": 6400, "busy": 20_000, "large": 3, "unread": 0 } },
        "slopes": [{ "figure": "latency_p50", "per_minute": 12.0, "low": 8.0, "high": 15.0, "unit": "us", "significant": true },
            { "figure": "errors", "per_minute": 0.0, "low": -0.01, "high": 0.02, "unit": "share", "significant": false }],
        "order": (0..40).map(|at| json!({ "t_us": at * 80_000_000_u64, "event": format!("{} begins", HOSTILE[at as usize % 4]) })).collect::<Vec<_>>() })
}

fn routes(model: &Value, count: usize) -> Value {
    let route = |at: usize| {
        let mut route = model.clone();
        route["route"] = json!(
            HOSTILE
                .get(at)
                .map_or_else(|| format!("GET /api/v2/things-{at}/{{id}}"), |name| (*name).to_owned())
        );
        route["failed"] = json!(if at.is_multiple_of(3) { at } else { 0 });
        route
    };
    (0..count).map(route).collect()
}

/// Names that a page must not believe.
const HOSTILE: [&str; 4] = [
    "GET /</script><script>alert('route')</script>/{id}",
    "<img src=x onerror=alert(1)> & \"quotes\" ' {{data}} \u{2028}",
    "--><!--<script>",
    "POST /a/very/long/name/without/any/end/that/goes/on/and/on/and/on/{id}/items/{item}/variants/{variant}/more/of/it",
];
