//! Collects what is wrong, and knows where in the text each byte stands.

use std::ops::Range;

use crate::limits;
use crate::report::{Diagnostic, Report, Severity};

/// The mistakes found so far in one text.
pub(crate) struct Findings<'s> {
    source: &'s str,
    file: &'s str,
    /// Where each line begins, in bytes: a place is asked for with every rule and every finding.
    lines: Vec<usize>,
    list: Vec<Diagnostic>,
    unseen: usize,
    /// The text has syntax errors, so that what seems to be missing may only be unreadable.
    pub(crate) torn: bool,
}

/// Where something stands in the source, in bytes.
pub(crate) type Span = Range<usize>;

impl<'s> Findings<'s> {
    pub(crate) fn new(source: &'s str, file: &'s str) -> Self {
        let behind = source.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(behind).collect();
        Self { source, file, lines, list: Vec::new(), unseen: 0, torn: false }
    }

    pub(crate) fn source(&self) -> &'s str {
        self.source
    }

    /// A mistake, and what to type instead. Answers `None`, so that a parser can return it.
    pub(crate) fn error<T>(
        &mut self,
        code: &'static str,
        span: Span,
        what: (String, Option<String>),
    ) -> Option<T> {
        self.push(code, Severity::Error, span, what);
        None
    }

    /// A mistake that consists in something not being there; kept back where a syntax error may hide it.
    pub(crate) fn missing<T>(
        &mut self,
        code: &'static str,
        span: Span,
        what: (String, Option<String>),
    ) -> Option<T> {
        if self.torn { None } else { self.error(code, span, what) }
    }

    pub(crate) fn warning(&mut self, code: &'static str, span: Span, what: (String, Option<String>)) {
        self.push(code, Severity::Warning, span, what);
    }

    /// Line of a byte, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at).max(1)
    }

    /// Whether the text is refused already.
    pub(crate) fn has_errors(&self) -> bool {
        0 < self.unseen || self.list.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Whether something within this place is refused already, so that nothing more is to be said of it.
    pub(crate) fn has_error_within(&self, span: Span) -> bool {
        let (from, to) = (self.place(span.start), self.place(span.end));
        let within = |finding: &Diagnostic| {
            let at = (finding.line, finding.column);
            finding.severity == Severity::Error && from <= at && at <= to
        };
        0 < self.unseen || self.list.iter().any(within)
    }

    /// The value where nothing but warnings was found, with the warnings; else the report.
    pub(crate) fn conclude<T>(self, value: Option<T>) -> Result<(T, Vec<Diagnostic>), Report> {
        match value {
            Some(value) if !self.has_errors() => Ok((value, self.sorted())),
            _ => Err(Report(self.sorted())),
        }
    }

    /// Line and column of a byte, from 1.
    fn place(&self, at: usize) -> (usize, usize) {
        let at = self.source.floor_char_boundary(at);
        let line = self.line(at);
        (line, 1 + self.chars(self.line_start(line), at))
    }

    /// Where a line begins.
    fn line_start(&self, line: usize) -> usize {
        self.lines.get(line - 1).copied().unwrap_or(0)
    }

    fn chars(&self, from: usize, to: usize) -> usize {
        self.source.get(from..to).unwrap_or("").chars().count()
    }

    fn push(&mut self, code: &'static str, severity: Severity, span: Span, what: (String, Option<String>)) {
        if limits::FINDINGS <= self.list.len() {
            self.unseen += 1;
            return;
        }
        let start = self.source.floor_char_boundary(span.start);
        let (number, column) = self.place(start);
        let line_start = self.line_start(number);
        let line = self.source.get(line_start..).unwrap_or("").lines().next().unwrap_or("");
        let line_end = line_start + line.len().max(start - line_start);
        let end = self.source.floor_char_boundary(span.end.clamp(start, line_end));
        self.list.push(Diagnostic {
            code,
            severity,
            message: what.0,
            file: self.file.to_owned(),
            line: number,
            column,
            end_column: column + self.chars(start, end).max(1),
            source: line.to_owned(),
            help: what.1,
        });
    }

    fn sorted(mut self) -> Vec<Diagnostic> {
        self.list.sort_by_key(|finding| (finding.line, finding.column));
        self.list.dedup();
        if let Some(last) = self.list.last().filter(|_| 0 < self.unseen) {
            let message = format!("{} more findings are not shown", self.unseen);
            self.list.push(Diagnostic { message, help: None, ..last.clone() });
        }
        self.list
    }
}

/// A message with help.
pub(crate) fn help(message: impl Into<String>, help: impl Into<String>) -> (String, Option<String>) {
    (message.into(), Some(help.into()))
}
