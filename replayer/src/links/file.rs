//! A file of rules for links, in TOML:
//!
//! ```toml
//! auto = true                               # false: no mined links, only these
//!
//! [[link]]
//! from = "POST /login json:$.token"
//! to   = "* header:authorization bearer"
//!
//! [[forbid]]
//! to   = "POST /cart json:$.product"
//! ```

use std::path::Path;

use captures::links::{Sink, Source, nearest};
use toml::{Spanned, de::DeTable, de::DeValue};

/// What a file says.
#[derive(Debug)]
pub(super) struct File {
    /// Mined links are used as well.
    pub(super) auto: bool,
    pub(super) added: Vec<(Source, Sink)>,
    pub(super) forbidden: Vec<Forbidden>,
}

/// Links that are not used: from here, to there, or both.
#[derive(Debug)]
pub(super) struct Forbidden {
    from: Option<Source>,
    to: Option<Sink>,
}

impl Default for File {
    fn default() -> File {
        File { auto: true, added: Vec::new(), forbidden: Vec::new() }
    }
}

impl Forbidden {
    pub(super) fn covers(&self, from: &Source, to: &Sink) -> bool {
        let is_from = |own: &Source| own.at.covers(&from.at) && own.leaf.general() == from.leaf;
        let is_to = |own: &Sink| own.at.covers(&to.at) && super::is_slot(&own.slot, &to.slot);
        self.from.as_ref().is_none_or(is_from) && self.to.as_ref().is_none_or(is_to)
    }
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// Words with the name of the file and the line.
    pub(super) fn load(path: &Path) -> Result<File, String> {
        let name = path.display();
        let text = std::fs::read_to_string(path).map_err(|err| format!("--links {name}: {err}"))?;
        File::parse(&text).map_err(|(line, words)| format!("--links {name}, line {line}: {words}"))
    }

    fn parse(text: &str) -> Result<File, (usize, String)> {
        let line_of =
            |at: usize| 1 + text[..at.min(text.len())].bytes().filter(|byte| *byte == b'\n').count();
        let table = DeTable::parse(text)
            .map_err(|err| (err.span().map_or(1, |span| line_of(span.start)), err.message().to_owned()))?;
        let mut file = File::default();
        for (key, value) in table.get_ref() {
            let line = line_of(key.span().start);
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("auto", DeValue::Boolean(auto)) => file.auto = *auto,
                ("auto", _) => return Err((line, "auto is true or false".to_owned())),
                ("link", _) => {
                    for rule in rules(value, line, &line_of)? {
                        let (Some(from), Some(to)) = (rule.from, rule.to) else {
                            return Err((
                                rule.line,
                                "a link has both: from = \"…\" and to = \"…\"".to_owned(),
                            ));
                        };
                        file.added.push((from, to));
                    }
                }
                ("forbid", _) => {
                    for rule in rules(value, line, &line_of)? {
                        if rule.from.is_none() && rule.to.is_none() {
                            return Err((rule.line, "it forbids nothing: name from, to, or both".to_owned()));
                        }
                        file.forbidden.push(Forbidden { from: rule.from, to: rule.to });
                    }
                }
                (other, _) => return Err((line, unknown(other, &["link", "forbid", "auto"]))),
            }
        }
        Ok(file)
    }
}

/// A table of a file.
struct Rule {
    line: usize,
    from: Option<Source>,
    to: Option<Sink>,
}

fn rules(
    value: &Spanned<DeValue<'_>>,
    line: usize,
    line_of: &dyn Fn(usize) -> usize,
) -> Result<Vec<Rule>, (usize, String)> {
    let DeValue::Array(tables) = value.get_ref() else {
        return Err((line, "write [[link]] and [[forbid]], with two brackets".to_owned()));
    };
    let mut rules = Vec::new();
    for table in tables {
        let line = line_of(table.span().start);
        let DeValue::Table(fields) = table.get_ref() else {
            return Err((line, "write [[link]] and [[forbid]], each with its from and to".to_owned()));
        };
        let mut rule = Rule { line, from: None, to: None };
        for (key, value) in fields {
            let line = line_of(key.span().start);
            let DeValue::String(text) = value.get_ref() else {
                return Err((line, format!("{} is a text in quotes", key.get_ref())));
            };
            match key.get_ref().as_ref() {
                "from" => rule.from = Some(text.parse().map_err(|words| (line, words))?),
                "to" => rule.to = Some(text.parse().map_err(|words| (line, words))?),
                other => return Err((line, unknown(other, &["from", "to"]))),
            }
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn unknown(key: &str, known: &[&str]) -> String {
    let near = nearest(key, known).map_or_else(String::new, |near| format!(", did you mean `{near}`?"));
    format!("`{key}` is not known here{near} (known are {})", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let file = File::parse(
            "auto = false\n[[link]]\nfrom = 'POST /login json:$.token'\nto = '* header:authorization bearer'\n\
             [[forbid]]\nto = 'POST /cart json:$.product'\n",
        )
        .unwrap();
        assert_eq!((file.auto, file.added.len(), file.forbidden.len()), (false, 1, 1));
        let (from, to) = &file.added[0];
        assert_eq!(
            (from.to_string(), to.to_string()),
            ("POST /login json:$.token".to_owned(), "* header:authorization bearer".to_owned())
        );
        let source = |text: &str| text.parse::<Source>().unwrap();
        let sink = |text: &str| text.parse::<Sink>().unwrap();
        let forbidden = &file.forbidden[0];
        assert!(forbidden.covers(&source("GET /products json:$[*].id"), &sink("POST /cart json:$.product")));
        assert!(!forbidden.covers(&source("GET /products json:$[*].id"), &sink("POST /cart json:$.amount")));
        assert!(File::parse("").unwrap().auto);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let check = |text: &str, line: usize, words: &str| {
            let (at, said) = File::parse(text).unwrap_err();
            assert!(at == line && said.contains(words), "{text}: line {at}: {said}");
        };
        check("\nauto = 1", 2, "true or false");
        check("[[lnik]]\nfrom = 'x'", 1, "did you mean `link`");
        check("[link]\nfrom = 'x'", 1, "two brackets");
        check("[[link]]\n\nform = 'GET / json:$.a'", 3, "did you mean `from`");
        check("[[link]]\nfrom = 'GET / jsn:$.a'", 2, "did you mean `json:`");
        check("[[link]]\nfrom = 'GET / json:$.a'", 1, "has both");
        check("[[link]]\nfrom = 7", 2, "in quotes");
        check("[[forbid]]", 1, "forbids nothing");
        check("[[link]\n", 1, "");
    }
}
