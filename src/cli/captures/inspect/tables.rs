//! Hosts, routes and transitions as tables of 80 columns.

use std::collections::BTreeMap;
use std::fmt::Write;

use captures::inspect::Count;
use captures::shape::{Figures, RouteFigures};

use super::{size, thousands};

/// The most frequent hosts.
pub(super) fn hosts(counts: &[Count]) -> String {
    let known: Vec<&Count> = counts.iter().filter(|count| !count.name.is_empty()).collect();
    let mut text = String::new();
    for count in known.iter().take(SHOWN) {
        let _ = writeln!(text, "{:>10}  {}", thousands(count.requests), count.name);
    }
    text.push_str(&more(known.len()));
    if text.is_empty() { text } else { format!("hosts\n{text}") }
}

/// The most frequent routes: how many, of all, what they answer, and bytes of requests and answers in the mean.
pub(super) fn routes(routes: &[RouteFigures]) -> String {
    if routes.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "{:<36}{:>9}{:>7}{:>9}{:>9}  {}\n",
        "routes", "requests", "share", "sent", "answer", "errors"
    );
    for route in routes.iter().take(SHOWN) {
        let _ = writeln!(
            text,
            "{:<36}{:>9}{:>6.1}%{:>9}{:>9}  {}",
            cut(&route.name, 35),
            thousands(route.requests),
            route.share * 100.0,
            size(route.mean_request_bytes.round() as u64),
            size(route.mean_response_bytes.round() as u64),
            errors(route),
        );
    }
    text.push_str(&more(routes.len()));
    text
}

/// Statuses from 400 on, and what was not answered: `404 12`.
fn errors(route: &RouteFigures) -> String {
    let statuses = route.statuses.range(400..).map(|(status, n)| format!("{status} {}", thousands(*n)));
    let none = (route.unanswered != 0).then(|| format!("none {}", thousands(route.unanswered)));
    statuses.chain(none).collect::<Vec<_>>().join(", ")
}

/// Which route follows which, among the most frequent ones, in percent of the row.
pub(super) fn transitions(figures: &Figures) -> String {
    let names: Vec<&str> = figures
        .routes
        .iter()
        .map(|route| route.name.as_str())
        .filter(|name| *name != "other")
        .take(STATES)
        .collect();
    if names.is_empty() {
        return String::new();
    }
    let column = |name: &str| match names.iter().position(|known| *known == name) {
        Some(place) => place,
        None if name == "(end)" => names.len() + 1,
        None => names.len(),
    };
    let mut rows: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for transition in &figures.transitions {
        let from = match transition.from.as_str() {
            "(start)" => 0,
            name => column(name) + 1,
        };
        rows.entry(from).or_insert_with(|| vec![0; names.len() + 2])[column(&transition.to)] +=
            transition.count;
    }
    let letters = (0..names.len()).map(|place| char::from(b'a' + place as u8).to_string());
    let heads: String =
        letters.chain(["rest".into(), "end".into()]).map(|head| format!("{head:>5}")).collect();
    let mut text = format!("{:<36}{heads}\n", "transitions, % of the row");
    for (from, counts) in rows {
        let name = match from {
            0 => "  (start)".to_owned(),
            _ => names.get(from - 1).map_or("  (rest)".to_owned(), |name| {
                format!("{} {}", char::from(b'a' + (from - 1) as u8), cut(name, 33))
            }),
        };
        let total: u64 = counts.iter().sum();
        let cells: String = counts.iter().map(|count| format!("{:>5}", percent(*count, total))).collect();
        let _ = writeln!(text, "{name:<36}{cells}");
    }
    text
}

/// Nothing where nothing was, and never 0 where something was.
fn percent(count: u64, of: u64) -> String {
    match count as f64 * 100.0 / of.max(1) as f64 {
        0.0 => ".".to_owned(),
        share if share < 0.5 => "<1".to_owned(),
        share => format!("{share:.0}"),
    }
}

/// The name in at most `width` characters: its middle goes, since both ends of a path tell most.
pub(in super::super) fn cut(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    let (head, tail) = (width / 2, width - width / 2 - 1);
    name.chars().take(head).chain(['…']).chain(name.chars().skip(length - tail)).collect()
}

fn more(all: usize) -> String {
    match all.saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("{:>10}  and {} more; --json has them\n", "", thousands(more as u64)),
    }
}

/// Hosts and routes that the text shows.
const SHOWN: usize = 15;
/// Routes that fit beside each other.
const STATES: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_both_ends() {
        assert_eq!(cut("GET /a", 10), "GET /a");
        assert_eq!(cut("GET /aaaaaaaaaaaaaaaa/b", 11), "GET /…aaa/b");
        assert_eq!(cut("GET /éééééééééééé", 9).chars().count(), 9);
        assert_eq!([percent(0, 9), percent(1, 1000), percent(1, 2), percent(0, 0)], [".", "<1", "50", "."]);
    }
}
