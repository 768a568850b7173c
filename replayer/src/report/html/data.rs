//! What a page shows of a run: known parts only, each of bounded length, figures in place of histograms, columns in place
//! of a series of objects, and no secret of the command line.

use serde_json::{Map, Value, json};

use crate::report::Latency;

/// The run for the page. What had to be shortened is named in `cut`.
pub(super) fn shown(all: Value) -> Value {
    let Value::Object(mut all) = all else { return json!({}) };
    let mut run: Map<String, Value> = PARTS
        .iter()
        .filter_map(|part| all.remove_entry(*part))
        .filter(|(_, value)| !value.is_null())
        .collect();
    let mut cut = Vec::new();
    for (place, most) in BOUNDS {
        if shorten(&mut run, place, *most) {
            cut.push(Value::from(*place));
        }
    }
    for part in ["latency", "streams"] {
        each_object(run.get_mut(part), &mut |latency| with_curve(latency));
    }
    for value in run.values_mut() {
        each_object(Some(value), &mut |object| {
            object.remove("hdr");
            object.remove("buckets");
        });
    }
    if let Some(series) = run.get_mut("series") {
        *series = columns(series);
    }
    if let Some(Value::Array(words)) = run.get_mut("argv") {
        *words = masked(words).into_iter().map(Value::from).collect();
    }
    run.insert("cut".to_owned(), Value::from(cut));
    Value::Object(run)
}

/// Names of the runs: of their files, as far as it takes to tell them apart.
pub(super) fn names<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<String> {
    let paths: Vec<&str> = paths.collect();
    let last = |path: &&str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let short: Vec<String> = paths.iter().map(last).collect();
    let is_clear = |name: &String| short.iter().filter(|other| *other == name).count() == 1;
    let mut names: Vec<String> = Vec::with_capacity(paths.len());
    for (path, name) in paths.iter().zip(&short) {
        let name = if is_clear(name) { name.clone() } else { (*path).to_owned() };
        let again = names.iter().filter(|other| **other == name).count();
        names.push(if again == 0 { name } else { format!("{name} ({})", again + 1) });
    }
    names
}

/// Cuts the list or the text at `place`, a path of keys; whether there was something to cut.
fn shorten(run: &mut Map<String, Value>, place: &str, most: usize) -> bool {
    let mut keys = place.split('.');
    let mut value = keys.next().and_then(|key| run.get_mut(key));
    for key in keys {
        value = value.and_then(|value| value.get_mut(key));
    }
    match value {
        Some(Value::Array(items)) if most < items.len() => items.truncate(most),
        Some(Value::String(text)) if most < text.len() => {
            let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
        }
        _ => return false,
    }
    true
}

/// Calls `with` for each object in `value`, the outer ones first.
fn each_object(value: Option<&mut Value>, with: &mut dyn FnMut(&mut Map<String, Value>)) {
    match value {
        Some(Value::Object(object)) => {
            with(object);
            object.values_mut().for_each(|value| each_object(Some(value), with));
        }
        Some(Value::Array(items)) => items.iter_mut().for_each(|item| each_object(Some(item), with)),
        _ => {}
    }
}

/// Adds to a latency the values that all but 10^(-k/10) of the measured ones do not exceed, and at last the largest.
fn with_curve(latency: &mut Map<String, Value>) {
    if !latency.contains_key("hdr") {
        return;
    }
    let read: Option<Latency> = serde_json::from_value(Value::Object(latency.clone())).ok();
    let Some(all) = read.and_then(|latency| latency.histogram().ok()).filter(|all| !all.is_empty()) else {
        return;
    };
    let steps = ((all.len() as f64).log10() * 10.0).floor() as u32;
    let above = |step: u32| 10_f64.powf(-f64::from(step) / 10.0);
    let curve: Vec<u64> =
        (0..=steps).map(|step| all.value_at_quantile(1.0 - above(step)).min(all.max())).collect();
    latency.insert("curve".to_owned(), Value::from(curve));
}

/// A list of objects as an object of lists; what is nested gets a dotted name.
fn columns(rows: &Value) -> Value {
    let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
    let mut columns: Map<String, Value> = Map::new();
    for (at, row) in rows.iter().enumerate() {
        for (name, value) in row.as_object().into_iter().flatten() {
            match value {
                Value::Object(nested) => nested
                    .iter()
                    .for_each(|(inner, value)| put(&mut columns, format!("{name}.{inner}"), at, value)),
                value => put(&mut columns, name.clone(), at, value),
            }
        }
    }
    columns
        .values_mut()
        .filter_map(Value::as_array_mut)
        .for_each(|column| column.resize(rows.len(), Value::Null));
    Value::Object(columns)
}

fn put(columns: &mut Map<String, Value>, name: String, at: usize, value: &Value) {
    if columns.len() < COLUMNS || columns.contains_key(&name) {
        let column = columns.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        if let (Value::Array(column), true) = (column, value.is_number()) {
            column.resize(at, Value::Null);
            column.push(value.clone());
        }
    }
}

/// The command line without the values of headers, and without the user of a URL: reports are passed on.
pub(super) fn masked(argv: &[Value]) -> Vec<String> {
    let mut is_header = false;
    let mask = |word: &Value| {
        let word = word.as_str().unwrap_or_default();
        let out = match word.strip_prefix("-H") {
            Some(header) if !header.is_empty() => format!("-H{}", nameless(header)),
            _ if is_header => nameless(word),
            _ => without_user(word),
        };
        is_header = word == "-H";
        out
    };
    argv.iter().map(mask).collect()
}

fn nameless(header: &str) -> String {
    let name = header.split_once(':').map_or("", |(name, _)| name);
    format!("{name}: …")
}

fn without_user(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let host = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..host].rfind('@') {
        Some(user) => format!("{scheme}://…{}", &rest[user..]),
        None => word.to_owned(),
    }
}

/// What the page knows to show.
const PARTS: &[&str] = &[
    "squall",
    "argv",
    "started",
    "elapsed_us",
    "seed",
    "run",
    "plan_hash",
    "shard",
    "verdict",
    "exit_code",
    "reason",
    "plan",
    "sessions",
    "requests",
    "warmup",
    "failures",
    "latency",
    "connections",
    "streams",
    "shape",
    "routes",
    "cohorts",
    "rules",
    "guards",
    "series",
    "series_step_us",
    "heat",
    "funnel",
    "faults",
    "repeat",
    "analysis",
    "edges",
    "links",
    "books",
    "thresholds",
    "generator",
];

/// Most entries of a list, or bytes of a text, so that no file makes a page of more than a few megabytes.
const BOUNDS: &[(&str, usize)] = &[
    ("argv", 256),
    ("routes", 512),
    ("cohorts", 128),
    ("rules", 1000),
    ("guards", 256),
    ("series", 3600),
    ("heat.bounds_us", 64),
    ("heat.counts", 480),
    ("funnel", 64),
    ("faults.rules_file", 256 * 1024),
    ("faults.windows", 512),
    ("repeat.runs", 128),
    ("repeat.spread", 64),
    ("repeat.findings", 64),
    ("analysis.findings", 10),
    ("analysis.drift", 256),
    ("analysis.slopes", 32),
    ("analysis.order", 64),
    ("edges", 64),
    ("links", 256),
    ("books.rows", 256),
    ("thresholds", 256),
    ("generator.notes", 64),
    ("generator.degraded", 64),
];

/// Most columns of a series.
const COLUMNS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_becomes_columns_with_gaps() {
        let rows = json!([{ "t_us": 0, "status": { "2xx": 5 } }, { "t_us": 1 }, { "t_us": 2, "status": { "2xx": 7 }, "x": "no" }]);
        let columns = columns(&rows);
        assert_eq!(columns["t_us"], json!([0, 1, 2]));
        assert_eq!(columns["status.2xx"], json!([5, null, 7]));
    }

    #[test]
    fn secrets_of_the_command_line_stay_out() {
        let argv = [
            "replay",
            "-H",
            "authorization: Bearer abc",
            "-Hcookie: sid=1",
            "--target=http://me:pw@h/@x",
            "a@2x",
        ];
        let argv: Vec<Value> = argv.map(Value::from).into();
        let expected = ["replay", "-H", "authorization: …", "-Hcookie: …", "--target=http://…@h/@x", "a@2x"];
        assert_eq!(masked(&argv), expected);
    }

    #[test]
    fn what_is_not_known_is_not_shown_and_what_is_long_is_cut() {
        let run = shown(json!({
            "seed": "1", "secret": "x", "heat": null,
            "routes": vec![json!({ "response": { "hdr": "AAAA", "p50": 1 } }); 600],
            "faults": { "rules_file": "ä".repeat(200_000) },
        }));
        assert_eq!(run["routes"].as_array().map(Vec::len), Some(512));
        assert_eq!(run["routes"][0]["response"], json!({ "p50": 1 }));
        assert_eq!(run["cut"], json!(["routes", "faults.rules_file"]));
        assert_eq!((run.get("secret"), run.get("heat")), (None, None));
        assert_eq!(shown(json!([1])), json!({}));
    }

    #[test]
    fn runs_are_told_apart_by_name() {
        assert_eq!(names(["a/x.json", "b/y.json"].into_iter()), ["x.json", "y.json"]);
        assert_eq!(
            names(["a/x.json", "b/x.json", "b/x.json"].into_iter()),
            ["a/x.json", "b/x.json", "b/x.json (2)"]
        );
    }
}
