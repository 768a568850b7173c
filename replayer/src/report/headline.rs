//! The findings of a run's analysis, as far as its run.json has one.

use serde_json::Value;

use crate::report::Report;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// What makes it the same finding in another run: its explanation, rule, class and route.
    pub(crate) key: String,
    /// In one sentence.
    pub(crate) title: String,
}

/// In their order. They are read from the serialised form, which is the contract: a run without an analysis has none.
pub(crate) fn findings(run: &Report) -> Vec<Found> {
    let json = serde_json::to_value(run).unwrap_or_default();
    of_json(&json)
}

fn of_json(run: &Value) -> Vec<Found> {
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let found = |finding: &Value| {
        let place = &finding["where"];
        let parts = [&finding["explanation"], &finding["rule"], &place["class"], &place["route"]];
        let key: Vec<String> = parts.into_iter().filter_map(word).collect();
        Some(Found { key: key.join(", "), title: word(&finding["title"])? })
    };
    run["analysis"]["findings"].as_array().into_iter().flatten().filter_map(found).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn findings_are_known_by_what_does_not_change_from_run_to_run() {
        let run = json!({ "analysis": { "findings": [
            { "title": "GET /a fails in 12 sessions", "explanation": "downstream", "rule": "payday",
              "where": { "route": "GET /a", "class": "status", "status": 500 } },
            { "title": "it leaks", "explanation": "slow_drift", "rule": null, "where": { "route": "GET /b" } },
            { "explanation": "without a title" },
        ] } });
        let found = of_json(&run);
        let shown: Vec<_> = found.iter().map(|found| (found.key.as_str(), found.title.as_str())).collect();
        let expected = [
            ("downstream, payday, status, GET /a", "GET /a fails in 12 sessions"),
            ("slow_drift, GET /b", "it leaks"),
        ];
        assert_eq!(shown, expected);
        assert!(of_json(&json!({})).is_empty());
    }
}
