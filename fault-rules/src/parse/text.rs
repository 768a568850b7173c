//! A piece of text that knows where it stands in the source.

use super::findings::Span;

/// Text and its place. Parts of it are found again by their address, so parsers can split plain `&str`s.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'t> {
    text: &'t str,
    start: usize,
    /// Bytes of `text` stand one for one in the source from `start`; not so in strings with escapes.
    exact: bool,
    len: usize,
}

impl<'t> Text<'t> {
    /// Text that stands in the source as it is.
    pub(crate) fn exact(text: &'t str, start: usize) -> Self {
        Self { text, start, exact: true, len: text.len() }
    }

    /// The decoded text of a TOML string at `span`: exact when only quotes were taken off.
    pub(crate) fn quoted(text: &'t str, source: &str, span: Span) -> Self {
        let raw = source.get(span.clone()).unwrap_or("");
        let inner = ["\"\"\"", "'''", "\"", "'"]
            .iter()
            .find_map(|quote| Some((quote.len(), raw.strip_prefix(quote)?.strip_suffix(quote)?)));
        match inner {
            Some((quote, inner)) if inner == text => Self::exact(text, span.start + quote),
            _ => Self { text, start: span.start, exact: false, len: span.len() },
        }
    }

    pub(crate) fn str(&self) -> &'t str {
        self.text
    }

    pub(crate) fn span(&self) -> Span {
        self.start..self.start + self.len
    }

    /// A part of this text, with its own place.
    pub(crate) fn part(&self, part: &'t str) -> Self {
        let offset = (part.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize);
        match offset.filter(|at| self.exact && at + part.len() <= self.text.len()) {
            Some(at) => Self::exact(part, self.start + at),
            None => Self { text: part, ..*self },
        }
    }

    /// Without space around.
    pub(crate) fn trim(&self) -> Self {
        self.part(self.text.trim())
    }

    /// Before and behind the first `separator`, both trimmed.
    pub(crate) fn split_once(&self, separator: &str) -> Option<(Self, Self)> {
        let (before, behind) = self.text.split_once(separator)?;
        Some((self.part(before.trim()), self.part(behind.trim())))
    }

    /// Before and behind the last `separator`, both trimmed.
    pub(crate) fn rsplit_once(&self, separator: &str) -> Option<(Self, Self)> {
        let (before, behind) = self.text.rsplit_once(separator)?;
        Some((self.part(before.trim()), self.part(behind.trim())))
    }

    /// Without a pair of double quotes around.
    pub(crate) fn unquoted(&self) -> Self {
        let bare = self.text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        self.part(bare.unwrap_or(self.text))
    }

    /// Before a last word, trimmed.
    pub(crate) fn strip_last_word(&self, word: &str) -> Option<Self> {
        let rest = self.text.strip_suffix(word)?;
        let ends = rest.is_empty() || rest.ends_with(char::is_whitespace);
        ends.then(|| self.part(rest.trim()))
    }

    /// Behind a prefix, trimmed.
    pub(crate) fn strip_word(&self, word: &str) -> Option<Self> {
        let rest = self.text.strip_prefix(word)?;
        let ends = rest.is_empty() || rest.starts_with(char::is_whitespace);
        ends.then(|| self.part(rest.trim()))
    }

    /// The words between white space; one that holds a double quote runs to the closing one (and keeps the quotes).
    pub(crate) fn words(&self) -> Vec<Self> {
        let mut words = Vec::new();
        let mut rest = self.text.trim_start();
        while !rest.is_empty() {
            let mut quoted = false;
            let end = rest.find(|c: char| {
                quoted ^= c == '"';
                !quoted && c.is_whitespace()
            });
            let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
            words.push(self.part(word));
            rest = behind.trim_start();
        }
        words
    }
}
