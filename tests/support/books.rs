//! The proxy's books, as its admin API tells them.

use std::fmt;

use serde_json::Value;

/// `GET /books`, whole.
#[derive(Debug, Clone)]
pub(crate) struct Books(Value);

impl Books {
    pub(crate) fn new(told: Value) -> Books {
        assert!(told["edges"].is_array(), "these are no books: {told}");
        Books(told)
    }

    /// Exchanges that have not ended.
    pub(crate) fn in_flight(&self) -> i64 {
        self.0["in_flight"].as_i64().expect("in_flight is a number")
    }

    /// A row over all edges; a row by rule or reason is summed up.
    pub(crate) fn total(&self, row: &str) -> u64 {
        self.edges().iter().map(|edge| count(edge, row)).sum()
    }

    /// One rule's books.
    pub(crate) fn rule(&self, id: &str) -> &Value {
        let rules = self.0["rules"].as_array().expect("rules is a list");
        rules.iter().find(|rule| rule["id"] == id).unwrap_or_else(|| panic!("no rule {id} in {self}"))
    }

    pub(crate) fn edges(&self) -> &[Value] {
        self.0["edges"].as_array().expect("edges is a list")
    }

    /// Asserts the rows of the proxy's side, edge by edge, to the unit.
    pub(crate) fn expect_balanced(&self) {
        assert_eq!(self.in_flight(), 0, "books are read when nothing moves: {self}");
        for edge in self.edges() {
            for (left, right) in ROWS {
                let [left_sum, right_sum] =
                    [left, right].map(|side| side.iter().map(|row| count(edge, row)).sum::<u64>());
                assert_eq!(left_sum, right_sum, "{left:?} = {right:?} in {edge:#}");
            }
        }
    }
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

fn count(edge: &Value, row: &str) -> u64 {
    let value = &edge[row];
    match value.as_object() {
        Some(by_name) => by_name.values().map(|n| n.as_u64().expect("a count")).sum(),
        None => value.as_u64().unwrap_or_else(|| panic!("no row {row} in {edge:#}")),
    }
}

/// What must be equal at any quiet moment.
const ROWS: [(&[&str], &[&str]); 4] = [
    (
        &["seen"],
        &[
            "forwarded",
            "short_circuited",
            "dropped",
            "refused",
            "client_gone",
            "upstream_unreachable",
            "aborted",
        ],
    ),
    (&["upstream_attempts"], &["forwarded", "proxy_repeats", "storm_copies"]),
    (&["forwarded"], &["delivered", "cut", "upstream_failed", "client_gone_after"]),
    (&["seen"], &["recorded", "shed", "not_recorded"]),
];
