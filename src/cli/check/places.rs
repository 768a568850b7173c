//! Where in a rule file a finding about recorded traffic stands.

use fault_rules::Rule;
use fault_rules::report::{Diagnostic, Severity};

/// The rule file, as findings show it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'s> {
    pub(super) name: &'s str,
    pub(super) text: &'s str,
}

/// What is wrong: code, message, and what to do.
pub(super) type Wrong<'w> = (&'static str, String, &'w str);

impl Source<'_> {
    /// At the id of a rule.
    pub(super) fn at_rule(&self, rule: &Rule, wrong: Wrong<'_>) -> Diagnostic {
        let first = (rule.line as usize).saturating_sub(1);
        let quoted = [format!("\"{}\"", rule.id), format!("'{}'", rule.id)];
        let has_id = |line: &str| quoted.iter().any(|id| line.contains(id.as_str()));
        let line = self.text.lines().skip(first).position(has_id).map_or(first, |behind| first + behind);
        self.at(line, &rule.id, wrong)
    }

    /// At the name of a guard.
    pub(super) fn at_guard(&self, name: &str, wrong: Wrong<'_>) -> Diagnostic {
        let is_head = |line: &str| {
            let head = line.trim_start().strip_prefix("[guard.").and_then(|rest| rest.split_once(']'));
            head.is_some_and(|(found, _)| found.trim().trim_matches(['"', '\'']) == name)
        };
        self.at(self.text.lines().position(is_head).unwrap_or(0), name, wrong)
    }

    /// At a key that stands once.
    pub(super) fn at_key(&self, key: &str, wrong: Wrong<'_>) -> Diagnostic {
        let is_key = |line: &str| line.trim_start().starts_with(key);
        self.at(self.text.lines().position(is_key).unwrap_or(0), key, wrong)
    }

    /// In a line, counted from 0, at a word of it.
    fn at(&self, line: usize, word: &str, (code, message, help): Wrong<'_>) -> Diagnostic {
        let source = self.text.lines().nth(line).unwrap_or_default();
        let before = source.find(word).map_or(0, |at| source.get(..at).unwrap_or("").chars().count());
        Diagnostic {
            code,
            severity: Severity::Warning,
            message,
            file: self.name.to_owned(),
            line: line + 1,
            column: before + 1,
            end_column: before + 1 + word.chars().count().max(1),
            source: source.to_owned(),
            help: Some(help.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_is_found_by_its_whole_name() {
        let text = "[guard.slo-checkout]\nerrors = \"5%\"\n[guard.\"slo\"]\nerrors = \"1%\"\n";
        let found = Source { name: "faults.toml", text }.at_guard("slo", ("E19", String::new(), "help"));
        assert_eq!((found.line, found.column), (3, 9));
    }
}
