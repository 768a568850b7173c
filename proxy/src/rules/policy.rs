//! What the one who started the proxy allows rule files to do.

use std::net::SocketAddr;

use fault_rules::RuleSet;
use fault_rules::report::{Diagnostic, Severity};
use fault_rules::safety::Safety;

use super::Source;

/// The bounds of every set, whoever brings it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policy {
    /// Rule files may run commands (`--allow-hooks`).
    pub(crate) allow_hooks: bool,
    /// Where the edges listen, as they were asked to.
    pub(crate) listens: Vec<SocketAddr>,
}

impl Policy {
    /// Whether the rules arm themselves at the start.
    pub(super) fn arms(&self, safety: &Safety) -> bool {
        safety.armed.unwrap_or_else(|| self.strangers(safety).next().is_none())
    }

    /// Whether a set asks for no more than it may.
    ///
    /// # Errors
    /// Each thing that is too much, and what to type.
    pub(super) fn check(&self, set: &RuleSet, source: &Source) -> Result<(), Vec<Diagnostic>> {
        let mut findings = Vec::new();
        if !self.allow_hooks {
            findings.extend(set.hooks.iter().map(|hook| {
                let message = format!("the hook `{}` would run commands of this file", hook.id);
                let help = "start the proxy with --allow-hooks, or take the hook out";
                finding(source, ("E32", hook.line as usize), message, help)
            }));
        }
        if set.safety.armed == Some(true) {
            let line = line_of(source, "armed");
            findings.extend(self.strangers(&set.safety).map(|addr| {
                let message = format!("armed = true, but {addr} is not on loopback and not in `listen`");
                let help = format!(
                    "write `listen = [\"{addr}\"]` beside it, or leave `armed` out and type: squall arm ADMIN"
                );
                finding(source, ("E22", line), message, &help)
            }));
        }
        if findings.is_empty() { Ok(()) } else { Err(findings) }
    }

    /// Listeners that others can reach and that the rule file does not name.
    fn strangers(&self, safety: &Safety) -> impl Iterator<Item = SocketAddr> {
        let known = |addr: &SocketAddr| addr.ip().is_loopback() || safety.listen.contains(addr);
        self.listens.iter().copied().filter(move |addr| !known(addr))
    }
}

/// A finding about a whole line.
fn finding(source: &Source, (code, line): (&'static str, usize), message: String, help: &str) -> Diagnostic {
    let text = source.text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let indent = text.chars().take_while(|c| c.is_whitespace()).count();
    Diagnostic {
        code,
        severity: Severity::Error,
        message,
        file: source.name.to_string(),
        line,
        column: indent + 1,
        end_column: (text.trim_end().chars().count() + 1).max(indent + 2),
        source: text.to_owned(),
        help: Some(help.to_owned()),
    }
}

/// The first line that begins with a key; the first of all where none does.
fn line_of(source: &Source, key: &str) -> usize {
    let is_key = |line: &str| {
        let rest = line.trim_start().strip_prefix(key);
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    source.text.lines().position(is_key).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(listens: &[&str]) -> Policy {
        let listens = listens.iter().map(|addr| addr.parse().expect("an address")).collect();
        Policy { allow_hooks: false, listens }
    }

    #[test]
    fn who_arms_itself() {
        let check = |listens: &[&str], armed: Option<bool>, listed: &[&str], expect: bool| {
            let listen = listed.iter().map(|addr| addr.parse().expect("an address")).collect();
            let safety = Safety { armed, listen, ..Safety::default() };
            assert_eq!(policy(listens).arms(&safety), expect, "{listens:?} {armed:?} {listed:?}");
        };
        check(&["127.0.0.1:80", "[::1]:80"], None, &[], true);
        check(&["127.0.0.1:80", "10.0.0.5:80"], None, &[], false);
        check(&["127.0.0.1:80", "10.0.0.5:80"], None, &["10.0.0.5:80"], true);
        check(&["10.0.0.5:80"], None, &["10.0.0.5:81"], false);
        check(&["127.0.0.1:80"], Some(false), &[], false);
        check(&["0.0.0.0:80"], None, &[], false);
    }

    #[test]
    fn armed_beyond_loopback_wants_its_address() {
        let mut set = RuleSet::default();
        set.safety.armed = Some(true);
        let text = "version = 1\n[safety]\n  armed = true # now\n";
        let source = Source { name: "faults.toml".into(), text: text.into() };
        let findings = policy(&["0.0.0.0:8080"]).check(&set, &source).expect_err("refused");
        let shown = findings[0].to_string();
        assert!(shown.starts_with("faults.toml:3:3: error[E22]: "), "{shown}");
        assert!(shown.contains("write `listen = [\"0.0.0.0:8080\"]`"), "{shown}");
        set.safety.listen = vec!["0.0.0.0:8080".parse().expect("an address")];
        assert_eq!(policy(&["0.0.0.0:8080"]).check(&set, &source), Ok(()));
    }
}
