//! What is wrong with a rule file: every mistake, each with its place and what to type instead.

use std::fmt;

use serde::Serialize;

/// All findings of one file, in the order of their places. Never empty when it is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct Report(pub(crate) Vec<Diagnostic>);

impl Report {
    /// The findings.
    #[must_use]
    pub fn findings(&self) -> &[Diagnostic] {
        &self.0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, finding) in self.0.iter().enumerate() {
            if 0 < n {
                writeln!(f)?;
            }
            write!(f, "{finding}")?;
        }
        Ok(())
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Stable: `E01` to `E29`, `W..` for warnings; listed in the reference.
    pub code: &'static str,
    /// Whether it keeps the file from being used.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// The file, or `--fault`.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// Column behind the last character meant; on the same line.
    pub end_column: usize,
    /// The source line.
    pub source: String,
    /// What to type instead.
    pub help: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// Allowed, and probably not meant.
    Warning,
}

impl fmt::Display for Diagnostic {
    /// ```text
    /// faults.toml:7:1: error[E01]: unknown key `dealy`
    ///    7 | dealy = "200ms"
    ///      | ^^^^^
    ///      = did you mean `delay`?
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}:{}:{}: {severity}[{}]: ", self.file, self.line, self.column, self.code)?;
        writeln!(f, "{}", printable(&self.message))?;
        // A long line is shown from a little before the place.
        let skipped = self.column.saturating_sub(1 + BEFORE);
        let shown: String = self.source.chars().skip(skipped).take(crate::limits::SHOWN_CHARS).collect();
        let dots = if 0 < skipped { "..." } else { "" };
        writeln!(f, "{:>5} | {dots}{}", self.line, printable(&shown))?;
        let indent = dots.len() + self.column.saturating_sub(1 + skipped);
        let room = (dots.len() + shown.chars().count()).saturating_sub(indent).max(1);
        let width = self.end_column.saturating_sub(self.column).clamp(1, room);
        writeln!(f, "      | {}{}", " ".repeat(indent), "^".repeat(width))?;
        match &self.help {
            Some(help) => writeln!(f, "      = {}", printable(help)),
            None => Ok(()),
        }
    }
}

/// Control characters of a file must not reach a terminal; each stands for one column.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Characters of a long line shown before the place of the finding.
const BEFORE: usize = 100;
