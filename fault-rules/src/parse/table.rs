//! Tables and values of a TOML document, read with their places.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::findings::{Findings, Span, help};
use super::text::Text;
use super::words;

/// A table being read; remembers which keys it was asked for, so that the others can be reported.
pub(crate) struct Fields<'d> {
    table: &'d DeTable<'d>,
    span: Span,
    /// What it is, for messages: `[[rule]]`, `respond`.
    what: &'static str,
    known: Vec<&'static str>,
}

/// One key and its value.
#[derive(Clone)]
pub(crate) struct Field<'d> {
    pub(crate) name: &'static str,
    pub(crate) key: Span,
    pub(crate) value: &'d Spanned<DeValue<'d>>,
}

impl<'d> Fields<'d> {
    pub(crate) fn new(table: &'d DeTable<'d>, span: Span, what: &'static str) -> Self {
        Self { table, span, what, known: Vec::new() }
    }

    pub(crate) fn get(&mut self, name: &'static str) -> Option<Field<'d>> {
        self.known.push(name);
        let (key, value) = self.table.iter().find(|(key, _)| key.get_ref().as_ref() == name)?;
        Some(Field { name, key: key.span(), value })
    }

    /// Whether there are keys that nobody has asked for so far.
    pub(crate) fn has_unread(&self) -> bool {
        self.table.keys().any(|key| !self.known.contains(&key.get_ref().as_ref()))
    }

    /// What it is, for messages.
    pub(crate) fn what(&self) -> &'static str {
        self.what
    }

    /// Where the table begins: for what it lacks.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// The value of a key that may be absent; `None` where it is there and wrong.
    pub(crate) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Field<'d>) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.get(name) {
            Some(field) => read(&field).map(Some),
            None => Some(None),
        }
    }

    /// The value of a key, or what holds where it is absent; `None` where it is there and wrong.
    pub(crate) fn or<T>(
        &mut self,
        name: &'static str,
        usual: T,
        read: impl FnOnce(&Field<'d>) -> Option<T>,
    ) -> Option<T> {
        match self.get(name) {
            Some(field) => read(&field),
            None => Some(usual),
        }
    }

    /// A key that must be there; `example` is what it might hold.
    pub(crate) fn needed(
        &mut self,
        name: &'static str,
        example: &str,
        findings: &mut Findings<'_>,
    ) -> Option<Field<'d>> {
        let found = self.get(name);
        if found.is_none() {
            let message = format!("`{name}` is missing in {}", self.what);
            findings.missing::<()>("E30", self.span(), help(message, format!("write `{name} = {example}`")));
        }
        found
    }

    /// Reports the keys that nobody asked for.
    pub(crate) fn finish(self, findings: &mut Findings<'_>) {
        for (key, _) in self.table {
            let word = key.get_ref().as_ref();
            if self.known.contains(&word) {
                continue;
            }
            let what = help(
                format!("unknown key `{word}` in {}", self.what),
                words::did_you_mean(word, &self.known),
            );
            findings.error::<()>("E01", key.span(), what);
        }
    }
}

impl<'d> Field<'d> {
    pub(crate) fn span(&self) -> Span {
        self.value.span()
    }

    /// The text of a string. A number is told what a string looks like here: `example`.
    pub(crate) fn text(&self, example: &str, findings: &mut Findings<'_>) -> Option<Text<'d>> {
        text(self.value, self.name, example, findings)
    }

    pub(crate) fn table(&self, what: &'static str, findings: &mut Findings<'_>) -> Option<Fields<'d>> {
        match self.value.get_ref() {
            DeValue::Table(table) => Some(Fields::new(table, self.key.clone(), what)),
            other => findings.error(
                "E24",
                self.span(),
                help(wrong_type(self.name, "a table", other), "write `{ … }`"),
            ),
        }
    }

    pub(crate) fn array(&self, findings: &mut Findings<'_>) -> Option<&'d [Spanned<DeValue<'d>>]> {
        match self.value.get_ref() {
            DeValue::Array(array) => Some(array),
            other => findings.error(
                "E24",
                self.span(),
                help(wrong_type(self.name, "an array", other), "write `[ … ]`"),
            ),
        }
    }

    /// The same, with at most so many items.
    pub(crate) fn short_array(
        &self,
        most: usize,
        findings: &mut Findings<'_>,
    ) -> Option<&'d [Spanned<DeValue<'d>>]> {
        let items = self.array(findings)?;
        if items.len() <= most {
            return Some(items);
        }
        let message = format!("more than {most} items in `{}`", self.name);
        findings.error("E24", self.key.clone(), help(message, "make it shorter"))
    }

    /// A whole number within bounds.
    pub(crate) fn integer(&self, bounds: (i64, i64), findings: &mut Findings<'_>) -> Option<i64> {
        let value = match self.value.get_ref() {
            DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix()).ok(),
            other => {
                let what = help(
                    wrong_type(self.name, "a whole number", other),
                    format!("write `{} = {}`", self.name, bounds.0),
                );
                return findings.error("E24", self.span(), what);
            }
        };
        match value.filter(|value| (bounds.0..=bounds.1).contains(value)) {
            Some(value) => Some(value),
            None => {
                let message = format!("`{}` is outside {} to {}", self.name, bounds.0, bounds.1);
                findings.error("E24", self.span(), (message, None))
            }
        }
    }

    /// A number with or without a fraction.
    pub(crate) fn number(&self, findings: &mut Findings<'_>) -> Option<f64> {
        let value = match self.value.get_ref() {
            DeValue::Integer(digits) => digits.as_str().parse::<f64>().ok(),
            DeValue::Float(digits) => digits.as_str().parse::<f64>().ok(),
            _ => None,
        };
        match value.filter(|value| value.is_finite()) {
            Some(value) => Some(value),
            None => {
                let what = help(
                    wrong_type(self.name, "a number", self.value.get_ref()),
                    format!("write `{} = 4.0`", self.name),
                );
                findings.error("E24", self.span(), what)
            }
        }
    }
}

/// The text of a string value, or what is wrong with it.
pub(crate) fn text<'d>(
    value: &'d Spanned<DeValue<'d>>,
    name: &str,
    example: &str,
    findings: &mut Findings<'_>,
) -> Option<Text<'d>> {
    match value.get_ref() {
        DeValue::String(text) => Some(Text::quoted(text, findings.source(), value.span())),
        other => findings.error(
            "E24",
            value.span(),
            help(wrong_type(name, "a string", other), format!("write `\"{example}\"`")),
        ),
    }
}

/// The digits of a bare number.
pub(crate) fn bare_number<'d>(value: &'d Spanned<DeValue<'d>>) -> Option<&'d str> {
    match value.get_ref() {
        DeValue::Integer(digits) => Some(digits.as_str()),
        DeValue::Float(digits) => Some(digits.as_str()),
        _ => None,
    }
}

fn wrong_type(name: &str, wanted: &str, found: &DeValue<'_>) -> String {
    format!("`{name}` must be {wanted}, not {}", type_name(found))
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
