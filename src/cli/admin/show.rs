//! What a proxy says of itself, for people.

use std::fmt::Write;

use serde_json::Value;

/// May the rules act? One line, and what to type where they may not.
pub(super) fn standing(status: &Value, admin: &str) -> String {
    let all = count(&status["rules"]["count"]);
    let rules = if all == 1 { "1 rule".to_owned() } else { format!("{all} rules") };
    let lifted = list(&status["rules"]["list"]).filter(|rule| rule["state"] == "lifted").count() as u64;
    match (status["armed"].as_bool(), status["lifted"].as_str()) {
        (Some(true), _) => {
            let left = status["safety"]["max_run_left_us"].as_u64();
            let left = left.map(|left| format!(", at most {} more", span(left))).unwrap_or_default();
            match lifted {
                0 => format!("armed: {rules} may fire{left}"),
                _ => format!(
                    "armed: {} of {rules} may fire{left}; {lifted} lifted until you type: squall arm {admin}",
                    all.saturating_sub(lifted)
                ),
            }
        }
        (_, Some(reason)) => format!("LIFTED: {reason}; no fault fires until you type: squall arm {admin}"),
        _ => format!("NOT ARMED: {rules}, and no fault fires until you type: squall arm {admin}"),
    }
}

/// Is there something that somebody should look at?
pub(super) fn is_wrong(status: &Value) -> bool {
    let any = |list: &Value, is_bad: fn(&Value) -> bool| {
        list.as_array().is_some_and(|list| list.iter().any(is_bad))
    };
    !status["rules"]["error"].is_null()
        || status["breach"] == true
        || any(&status["guards"], |guard| !guard["tripped_at_us"].is_null())
        || any(&status["hooks"], |hook| {
            matches!(hook["books"]["state"].as_str(), Some("failed" | "not_undone"))
        })
}

/// All of it.
pub(super) fn status(status: &Value, admin: &str) -> String {
    let mut out = String::new();
    // writing to a string cannot fail
    let _ = write(&mut out, status, admin);
    out
}

fn write(out: &mut String, status: &Value, admin: &str) -> std::fmt::Result {
    let draining = if status["draining"] == true { ", DRAINING" } else { "" };
    writeln!(
        out,
        "squall {} pid {}, up {}{draining}",
        text(&status["version"]),
        count(&status["pid"]),
        span(count(&status["uptime_us"]))
    )?;
    writeln!(out, "{}", standing(status, admin))?;
    for edge in list(&status["edges"]) {
        let scheme = if edge["tls"] == true { "https" } else { "http" };
        writeln!(
            out,
            "edge {}: {scheme}://{} -> {}, {} connections",
            text(&edge["name"]),
            text(&edge["listen"]),
            text(&edge["upstream"]),
            count(&edge["connections"])
        )?;
    }
    let run = &status["run"];
    if let Some(tag) = run["run"].as_str() {
        writeln!(
            out,
            "run {tag}: for {}, {} in flight",
            span(count(&run["running_us"])),
            count(&run["in_flight"])
        )?;
    }
    write!(
        out,
        "in flight {}, {} of them under a fault",
        count(&status["in_flight"]),
        count(&status["faults_active"])
    )?;
    match count(&status["fault_panics"]) {
        0 => writeln!(out)?,
        panics => writeln!(out, "; {panics} BUGS in the fault path, see the log")?,
    }
    rules(out, status)?;
    for guard in list(&status["guards"]) {
        writeln!(out, "{}", text(&guard["words"]))?;
    }
    for hook in list(&status["hooks"]) {
        writeln!(out, "hook {}: {}", text(&hook["id"]), of_hook(hook))?;
    }
    let recording = &status["recording"];
    if !recording.is_null() {
        writeln!(out, "recording: {}", flat(recording))?;
    }
    let ledger = &status["ledger"];
    writeln!(out, "ledger: {} lines, {} lost", count(&ledger["lines"]), count(&ledger["lost"]))?;
    let error = &status["rules"]["error"];
    if let Some(all) = error["all"].as_array() {
        writeln!(out, "\nREFUSED: the newest version of the rule file; the one before stays in force")?;
        writeln!(out, "{}", error["text"].as_str().unwrap_or_default().trim_end())?;
        if 1 < all.len() {
            writeln!(out, "and {} more: squall check {}", all.len() - 1, text(&status["rules"]["file"]))?;
        }
    } else if let Some(message) = error["message"].as_str() {
        writeln!(out, "\nUNREADABLE: {message}; the rules from before stay in force")?;
    }
    Ok(())
}

fn rules(out: &mut String, status: &Value) -> std::fmt::Result {
    let rules = &status["rules"];
    write!(out, "rules: generation {}, seed {}", count(&status["generation"]), text(&status["seed"]))?;
    match rules["file"].as_str() {
        Some(file) => writeln!(out, ", {file}")?,
        None => writeln!(out)?,
    }
    for rule in list(&rules["list"]) {
        let state = match rule["state"].as_str() {
            Some("waiting") => format!("opens in {}", span(count(&rule["opens_in_us"]))),
            Some("acting") => match rule["closes_in_us"].as_u64() {
                Some(left) => format!("acting for {} more", span(left)),
                None => "acting".to_owned(),
            },
            Some("not_armed") => "not armed".to_owned(),
            other => other.unwrap_or("?").to_owned(),
        };
        writeln!(out, "  {} [{state}] {}", text(&rule["id"]), text(&rule["words"]))?;
        if 0 < count(&rule["books"]["eligible"]) {
            let report = text(&rule["report"]);
            writeln!(out, "      {}", report.split_once(": ").map_or(report, |(_, figures)| figures))?;
        }
        match rule["books"]["missed"].as_str() {
            // it has time left; only the end of a run can say that it never did
            Some(_) if count(&rule["books"]["eligible"]) == 0 && rule["state"] != "over" => {
                writeln!(out, "      not matched yet")?;
            }
            Some(missed) => writeln!(out, "      MISSED: {missed}")?,
            None => {}
        }
    }
    Ok(())
}

fn of_hook(hook: &Value) -> String {
    let books = &hook["books"];
    match (books["state"].as_str(), hook["opens_in_us"].as_u64()) {
        (Some("over"), Some(left)) | (None, Some(left)) => format!("opens in {}", span(left)),
        (Some(state), _) => {
            let end = books["end"].as_str().filter(|end| !end.is_empty());
            let end = end.map(|end| format!(", end {end}")).unwrap_or_default();
            format!("{}; start {}{end}", state.replace('_', " "), text(&books["start"]))
        }
        (None, None) => "not begun".to_owned(),
    }
}

/// The fields of an object in one line.
fn flat(value: &Value) -> String {
    let fields = value.as_object().into_iter().flatten();
    let word = |(name, value): (&String, &Value)| match value {
        Value::String(text) => format!("{name} {text}"),
        other => format!("{name} {other}"),
    };
    fields.map(word).collect::<Vec<_>>().join(", ")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// Microseconds as people say them: `350ms`, `42s`, `3m20s`, `1h05m`.
fn span(us: u64) -> String {
    let seconds = us / 1_000_000;
    match seconds {
        0..10 => format!("{:.1}s", us as f64 / 1e6),
        10..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_as_people_say_them() {
        assert_eq!(
            [350_000, 42_000_000, 200_000_000, 3_900_000_000].map(span),
            ["0.3s", "42s", "3m20s", "1h05m"]
        );
    }

    #[test]
    fn whoever_is_not_armed_hears_what_to_type() {
        let status = |armed: bool, lifted: Option<&str>| json!({ "armed": armed, "lifted": lifted, "rules": { "count": 2 } });
        let said = |status: &Value| standing(status, "http://127.0.0.1:28080");
        assert_eq!(said(&status(true, None)), "armed: 2 rules may fire");
        let mut one_lifted = status(true, None);
        one_lifted["rules"]["list"] = json!([{ "state": "lifted" }, { "state": "acting" }]);
        assert_eq!(
            said(&one_lifted),
            "armed: 1 of 2 rules may fire; 1 lifted until you type: squall arm http://127.0.0.1:28080"
        );
        assert!(said(&status(false, None)).starts_with("NOT ARMED: 2 rules"));
        for not in [status(false, None), status(false, Some("max_run of 45m is over"))] {
            assert!(said(&not).ends_with("type: squall arm http://127.0.0.1:28080"), "{not}");
        }
    }

    #[test]
    fn a_refused_file_shows_its_caret() {
        let error =
            json!({ "text": "faults.toml:1:1: error[E01]: …\n    1 | x\n      | ^\n", "all": [{}, {}] });
        let status = json!({ "armed": true, "rules": { "count": 0, "file": "faults.toml", "error": error } });
        let said = super::status(&status, "a");
        assert!(said.contains("      | ^\nand 1 more: squall check faults.toml"), "{said}");
        assert!(is_wrong(&status));
        assert!(!is_wrong(&json!({ "rules": {}, "breach": false, "guards": [{ "tripped_at_us": null }] })));
        assert!(is_wrong(&json!({ "rules": {}, "guards": [{ "tripped_at_us": 1 }] })));
        assert!(is_wrong(&json!({ "rules": {}, "hooks": [{ "books": { "state": "not_undone" } }] })));
    }
}
