//! Rules that name a plain-TCP edge and ask for what only HTTP has: they could never act, so they are mistakes.

use fault_rules::report::{Diagnostic, Severity};
use fault_rules::{Rule, RuleSet};

use super::{Rules, Source};
use crate::Error;

impl Rules {
    /// Which edges are plain TCP. To be said before the first rules are read.
    pub(crate) fn set_tcp_edges(&mut self, names: Vec<String>) {
        self.tcp_edges = names;
    }

    fn is_tcp(&self, name: &str) -> bool {
        self.tcp_edges.iter().any(|edge| edge == name)
    }

    /// Checks the rules of a file.
    ///
    /// # Errors
    /// Each rule that can never act.
    pub(super) fn fit(&self, set: &RuleSet, source: &Source) -> Result<(), Vec<Diagnostic>> {
        let misfits = set.tcp_misfits(|name| self.is_tcp(name));
        let finding =
            |(place, why): (usize, String)| finding(&set.rules()[place], &why, &source.text, &source.name);
        let findings: Vec<_> = misfits.into_iter().map(finding).collect();
        if findings.is_empty() { Ok(()) } else { Err(findings) }
    }

    /// Checks the rules of the command line.
    ///
    /// # Errors
    /// All mistakes at once.
    pub(crate) fn check_inline(&self) -> Result<(), Error> {
        let tcp = self.inline.iter().filter(|rule| rule.on.edge().is_some_and(|edge| self.is_tcp(edge)));
        let findings: Vec<_> = tcp
            .filter_map(|rule| Some(finding(rule, &rule.tcp_misfit()?, &rule.id, "--fault").to_string()))
            .collect();
        if findings.is_empty() { Ok(()) } else { Err(Error::Rules(findings.join("\n"))) }
    }
}

/// Shown at the rule's head: where its table begins.
fn finding(rule: &Rule, why: &str, source: &str, file: &str) -> Diagnostic {
    let line = usize::try_from(rule.line).unwrap_or(0).max(1);
    let text = source.lines().nth(line - 1).unwrap_or_default();
    let edge = rule.on.edge().unwrap_or_default();
    Diagnostic {
        code: "E23",
        severity: Severity::Error,
        message: format!("`{}` can never act on edge `{edge}`, which is plain TCP: {why}", rule.id),
        file: file.to_owned(),
        line,
        column: 1,
        end_column: 1 + text.chars().count(),
        source: text.to_owned(),
        help: Some(
            "on a TCP edge there are delay (at connect, request, response or close), throttle, reset, truncate, stall, loss, \
             corrupt, blackhole and outage"
                .to_owned(),
        ),
    }
}
