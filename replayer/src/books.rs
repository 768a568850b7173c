//! The books: rows that must hold to the unit. A row that nobody observed is unknown, never balanced.

use serde::{Deserialize, Serialize};

use crate::admin::types::EdgeBooks;

/// All rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Books {
    /// No row is off.
    pub balanced: bool,
    /// In the order in which a request meets them.
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The equation in words.
    pub row: String,
    /// Its left side; `None`: not observed.
    pub left: Option<u64>,
    /// Its right side; `None`: not observed.
    pub right: Option<u64>,
    /// Whether it holds.
    pub state: State,
    /// What there is to say about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

/// Whether a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Both sides were observed and are equal.
    Balanced,
    /// They differ.
    Off,
    /// A side was not observed.
    Unknown,
}

/// What the rows are made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) planned: u64,
    pub(crate) retries: u64,
    pub(crate) sent: u64,
    pub(crate) never_sent: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// What the proxy in front of the target counted; or why it is not known.
    pub(crate) edge: Option<EdgeBooks>,
    pub(crate) joined: Joined,
    /// How many requests the origin counted during the run.
    pub(crate) origin: Option<u64>,
    /// Why there are no books of a proxy, in words.
    pub(crate) why_unknown: String,
}

/// The join of what was sent with what the proxy saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Joined {
    /// There was no join, and why.
    #[default]
    Not,
    /// It failed, and why.
    Failed(String),
    /// It worked.
    Done {
        /// Sent and not seen.
        lost: u64,
        /// Seen and not sent.
        strangers: u64,
    },
}

impl Books {
    pub(crate) fn new(facts: &Facts) -> Books {
        let mut rows = vec![
            Row::of(
                "planned + retries = sent + never sent",
                facts.planned + facts.retries,
                facts.sent + facts.never_sent,
            ),
            Row::of("sent = answered + failed", facts.sent, facts.answered + facts.failed),
            seen_row(facts),
        ];
        rows.extend(proxy_rows(facts));
        Books { balanced: rows.iter().all(|row| row.state != State::Off), rows }
    }

    /// What is known of them, in words: an unknown row is never called balanced.
    pub fn in_words(&self) -> String {
        let count = |state: State| self.rows.iter().filter(|row| row.state == state).count();
        let (rows, unknown) = (self.rows.len(), count(State::Unknown));
        match (count(State::Off), unknown) {
            (0, 0) => "balanced".to_owned(),
            (0, _) => {
                format!("balanced as far as known: {} of {rows} rows, {unknown} unknown", rows - unknown)
            }
            (off, _) => format!("OFF in {off} of {rows} rows"),
        }
    }

    /// The rows that do not hold.
    pub fn off(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.state == State::Off)
    }
}

impl Row {
    fn of(row: &str, left: u64, right: u64) -> Row {
        let state = if left == right { State::Balanced } else { State::Off };
        Row { row: row.to_owned(), left: Some(left), right: Some(right), state, note: None }
    }

    fn unknown(row: &str, left: Option<u64>, right: Option<u64>, why: &str) -> Row {
        Row { row: row.to_owned(), left, right, state: State::Unknown, note: Some(why.to_owned()) }
    }
}

fn seen_row(facts: &Facts) -> Row {
    let Some(edge) = &facts.edge else {
        return Row::unknown(SEEN, Some(facts.sent), None, &facts.why_unknown);
    };
    match &facts.joined {
        Joined::Not => {
            Row::unknown(SEEN, Some(facts.sent), Some(edge.seen), "the proxy kept no list of what it saw")
        }
        Joined::Failed(why) => Row::unknown(SEEN, Some(facts.sent), Some(edge.seen), why),
        Joined::Done { lost, strangers } => {
            let mut row = Row::of(SEEN, facts.sent, edge.seen + lost);
            let lost_note = format!("{lost} lost before the proxy");
            row.note = (*lost > 0).then_some(lost_note);
            if *lost > facts.failed {
                row.state = State::Off;
                row.note = Some(format!(
                    "the proxy never saw {lost}, of which at least {} were answered: is it in front of the target?",
                    lost - facts.failed
                ));
            }
            if *strangers > 0 {
                row.state = State::Off;
                row.note = Some(format!("the proxy saw {strangers} of this run that were never sent"));
            }
            row
        }
    }
}

fn proxy_rows(facts: &Facts) -> Vec<Row> {
    let Some(edge) = &facts.edge else {
        let unknown = |row: &str, left| Row::unknown(row, left, None, &facts.why_unknown);
        return vec![
            unknown(HANDLED, None),
            unknown(UPSTREAM, None),
            unknown(FORWARDED, None),
            unknown(ORIGIN, facts.origin),
            unknown(RECORDED, None),
        ];
    };
    let sum = |counts: &std::collections::BTreeMap<String, u64>| counts.values().sum::<u64>();
    let before = edge.client_gone + edge.upstream_unreachable + edge.aborted;
    let handled =
        edge.forwarded + sum(&edge.short_circuited) + sum(&edge.dropped) + sum(&edge.refused) + before;
    let attempts = edge.forwarded + edge.proxy_repeats + sum(&edge.storm_copies);
    let ended = edge.delivered + sum(&edge.cut) + edge.upstream_failed + edge.client_gone_after;
    let mut handled_row = Row::of(HANDLED, edge.seen, handled);
    handled_row.note =
        (edge.aborted > 0).then(|| format!("{} of them aborted by the proxy's own end", edge.aborted));
    vec![
        handled_row,
        Row::of(UPSTREAM, edge.upstream_attempts, attempts),
        Row::of(FORWARDED, edge.forwarded, ended),
        origin_row(facts.origin, edge),
        Row::of(RECORDED, edge.seen, edge.recorded + sum(&edge.shed) + sum(&edge.not_recorded)),
    ]
}

/// A connection that died unacknowledged may or may not have brought its request to the origin.
fn origin_row(origin: Option<u64>, edge: &EdgeBooks) -> Row {
    let least = edge.upstream_attempts.saturating_sub(edge.ambiguous);
    let Some(count) = origin else {
        return Row::unknown(ORIGIN, None, Some(least), "nobody asked the origin (--origin-counter URL)");
    };
    let mut row = Row::of(ORIGIN, count, least);
    if (least..=edge.upstream_attempts).contains(&count) {
        row.state = State::Balanced;
    }
    if edge.ambiguous > 0 {
        row.note = Some(format!("{} may or may not have arrived", edge.ambiguous));
    }
    row
}

const SEEN: &str = "sent = seen at the edge + lost before the proxy";
const HANDLED: &str =
    "seen = forwarded + short-circuited + dropped + refused + client gone + upstream unreachable";
const UPSTREAM: &str = "upstream attempts = forwarded + proxy repeats + storm copies";
const FORWARDED: &str = "forwarded = delivered + cut + upstream failed + client gone";
const ORIGIN: &str = "origin's own count = upstream attempts - ambiguous";
const RECORDED: &str = "seen = recorded + shed + not recorded by policy";

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let one = |n| [("rule".to_owned(), n)].into();
        Facts {
            planned: 100,
            sent: 90,
            never_sent: 10,
            answered: 80,
            failed: 10,
            edge: Some(EdgeBooks {
                seen: 88,
                forwarded: 70,
                short_circuited: one(10),
                dropped: one(5),
                client_gone: 1,
                upstream_unreachable: 1,
                aborted: 1,
                delivered: 60,
                cut: one(6),
                upstream_failed: 2,
                client_gone_after: 2,
                upstream_attempts: 75,
                proxy_repeats: 2,
                storm_copies: one(3),
                ambiguous: 2,
                not_recorded: one(88),
                ..EdgeBooks::default()
            }),
            joined: Joined::Done { lost: 2, strangers: 0 },
            origin: Some(74),
            ..Facts::default()
        }
    }

    #[test]
    fn rows_hold_to_the_unit() {
        let books = Books::new(&facts());
        assert!(books.rows.iter().all(|row| row.state == State::Balanced), "{books:#?}");
        assert_eq!((books.balanced, books.rows.len()), (true, 8));
    }

    #[test]
    fn one_unit_off_is_off() {
        let check = |change: &dyn Fn(&mut Facts, &mut EdgeBooks), row: usize| {
            let mut facts = facts();
            let mut edge = facts.edge.take().unwrap_or_default();
            change(&mut facts, &mut edge);
            facts.edge = Some(edge);
            let books = Books::new(&facts);
            assert_eq!(books.rows[row].state, State::Off, "row {row}: {:?}", books.rows[row]);
            assert!(!books.balanced);
        };
        check(&|facts, _| facts.never_sent -= 1, 0);
        check(&|facts, _| facts.answered += 1, 1);
        check(&|facts, _| facts.joined = Joined::Done { lost: 1, strangers: 0 }, 2);
        check(&|facts, _| facts.joined = Joined::Done { lost: 2, strangers: 1 }, 2);
        check(&|facts, edge| (facts.joined, edge.seen) = (Joined::Done { lost: 11, strangers: 0 }, 79), 2);
        check(&|_, edge| edge.client_gone += 1, 3);
        check(&|_, edge| edge.proxy_repeats += 1, 4);
        check(&|_, edge| edge.delivered -= 1, 5);
        check(&|facts, _| facts.origin = Some(72), 6);
        check(&|facts, _| facts.origin = Some(76), 6);
        check(&|_, edge| edge.recorded += 1, 7);
    }

    #[test]
    fn what_nobody_observed_is_unknown() {
        let states = |facts: &Facts| Books::new(facts).rows.iter().map(|row| row.state).collect::<Vec<_>>();
        let alone = Facts { edge: None, ..facts() };
        assert_eq!(states(&alone)[2..], [State::Unknown; 6]);
        let uncounted = Facts { origin: None, ..facts() };
        assert_eq!(states(&uncounted)[6], State::Unknown);
        let unjoined = Facts { joined: Joined::Failed("too many".to_owned()), ..facts() };
        assert_eq!(states(&unjoined)[2], State::Unknown);
        let alone = Books::new(&alone);
        assert!(alone.balanced);
        assert_eq!(alone.in_words(), "balanced as far as known: 2 of 8 rows, 6 unknown");
        assert_eq!(Books::new(&facts()).in_words(), "balanced");
        assert_eq!(Books::new(&Facts { sent: 91, ..facts() }).in_words(), "OFF in 3 of 8 rows");
    }
}
