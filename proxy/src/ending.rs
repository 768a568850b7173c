//! The last words of `squall proxy`: what passed, what each rule, guard and hook did, and with `--ci` whether that was what the
//! rules asked for.
#![allow(clippy::print_stdout)]

use crate::{Counts, EdgeSummary, FinalBooks, HookBooks, TcpEdgeBooks};

/// What `squall proxy --ci` exits with, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CiVerdict {
    pub(crate) code: u8,
    pub(crate) word: &'static str,
    pub(crate) reasons: Vec<String>,
}

/// Judges the books: first what makes them worthless, then what stopped the faults.
pub(crate) fn judge(books: &FinalBooks) -> CiVerdict {
    let verdict = |code, word, reasons| CiVerdict { code, word, reasons };
    let mut invalid = books.missed.clone();
    if !books.rules.is_empty() && !books.was_armed {
        invalid.push("the rules were never armed".to_owned());
    }
    if 0 < books.ledger_lost {
        invalid.push(format!("the ledger lost {} lines", books.ledger_lost));
    }
    let broken = books.hooks.iter().filter(|hook| hook.state == "failed" || hook.state == "not_undone");
    invalid.extend(broken.map(hook_in_words));
    if !invalid.is_empty() {
        return verdict(INVALID, "invalid", invalid);
    }
    let tripped = books.guards.iter().filter(|guard| guard.tripped_at_us.is_some());
    let mut stopped: Vec<_> = tripped.map(crate::GuardBooks::in_words).collect();
    stopped.extend(books.lifted.clone().filter(|_| books.breach));
    if !stopped.is_empty() {
        return verdict(STOPPED, "stopped", stopped);
    }
    verdict(0, "pass", Vec::new())
}

pub(crate) fn summarise(books: &FinalBooks) {
    books.edges.iter().for_each(edge);
    books.tcp_edges.iter().for_each(tcp_edge);
    if books.unfinished > 0 {
        println!("{} connections were cut off at the end of the grace time", books.unfinished);
    }
    books.rules.iter().for_each(|rule| println!("{}", rule.in_words()));
    books.guards.iter().for_each(|guard| println!("{}", guard.in_words()));
    books.hooks.iter().for_each(|hook| println!("{}", hook_in_words(hook)));
    if let Some(reason) = &books.lifted {
        println!("lifted: {reason}");
    }
    if books.ledger_lost > 0 {
        println!("the ledger lost {} lines", books.ledger_lost);
    }
    books.missed.iter().for_each(|missed| println!("MISSED: {missed}"));
}

fn edge(EdgeSummary { books: edge, times }: &EdgeSummary) {
    let sum = |counts: &Counts| counts.values().sum::<u64>();
    println!(
        "edge {}: {} seen, {} forwarded, {} answered or ended by rules, {} recorded, {} shed",
        edge.name,
        edge.seen,
        edge.forwarded,
        sum(&edge.short_circuited) + sum(&edge.dropped) + sum(&edge.cut),
        edge.recorded,
        sum(&edge.shed),
    );
    let upstream = &times.upstream;
    if upstream.count > 0 {
        let [p50, p99] = [upstream.p50, upstream.p99].map(|us| us as f64 / 1000.0);
        println!(
            "edge {}: {} answers of the upstream, p50 {p50:.2} ms, p99 {p99:.2} ms",
            edge.name, upstream.count
        );
    }
}

fn tcp_edge(edge: &TcpEdgeBooks) {
    let sum = |counts: &Counts| counts.values().sum::<u64>();
    println!(
        "edge {}: {} connections, {} connected, {} ended by rules, {} B to the upstream, {} B to clients",
        edge.name,
        edge.accepted,
        edge.connected,
        sum(&edge.refused) + sum(&edge.dropped) + sum(&edge.cut),
        edge.request.went,
        edge.response.went,
    );
}

fn hook_in_words(hook: &HookBooks) -> String {
    let end = if hook.end.is_empty() { "not run" } else { &hook.end };
    let state = hook.state.replace('_', " ");
    format!("hook {}: {state}; began {} times, start {}, end {end}", hook.id, hook.runs, hook.start)
}

/// A rule missed its target, or what should tell is incomplete.
const INVALID: u8 = 113;
/// A guard or a cap ended the faults.
const STOPPED: u8 = 108;

#[cfg(test)]
mod tests {
    use super::*;

    fn books() -> FinalBooks {
        FinalBooks {
            edges: Vec::new(),
            tcp_edges: Vec::new(),
            rules: vec![crate::RuleBooks { id: "r".into(), ..crate::RuleBooks::default() }],
            guards: Vec::new(),
            hooks: Vec::new(),
            missed: Vec::new(),
            recorded: 0,
            shed: Counts::new(),
            ledger_lost: 0,
            unfinished: 0,
            lifted: None,
            breach: false,
            was_armed: true,
        }
    }

    #[test]
    fn the_first_reason_that_applies() {
        let check = |change: &dyn Fn(&mut FinalBooks), code: u8, words: &str| {
            let mut books = books();
            change(&mut books);
            let verdict = judge(&books);
            assert_eq!(verdict.code, code, "{verdict:?}");
            assert!(verdict.reasons.join("; ").contains(words), "{verdict:?}");
        };
        let breach =
            |books: &mut FinalBooks| (books.lifted, books.breach) = (Some("max_active".into()), true);
        check(&|_| {}, 0, "");
        check(&|books| books.lifted = Some("by hand".into()), 0, "");
        check(&|books| books.missed = vec!["r never matched".into()], 113, "r never matched");
        check(&|books| books.was_armed = false, 113, "never armed");
        check(&|books| (books.was_armed, books.rules) = (false, Vec::new()), 0, "");
        check(&|books| books.ledger_lost = 3, 113, "lost 3");
        check(&breach, 108, "max_active");
        check(&|books| (breach(books), books.missed.push("m".into())).0, 113, "m");
    }
}
