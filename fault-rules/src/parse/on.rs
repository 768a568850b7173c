//! `on`: whom a rule is about, as words (`GET|PUT /api/** host shop.local header x-a=b edge shop`) or as a table.

use toml::de::DeValue;

use super::findings::{Findings, help};
use super::not_built;
use super::table::{self, Field};
use super::text::Text;
use super::words;
use crate::matcher::{HeaderTest, Host, Matcher, Methods, Template};

/// The value of an `on` key.
pub(crate) fn field(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Matcher> {
    match field.value.get_ref() {
        DeValue::Table(_) => from_table(field, findings),
        _ => from_text(field.text("GET /api/**", findings)?, findings),
    }
}

/// An `on` written as words.
pub(crate) fn from_text(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Matcher> {
    from_words(&text.words(), findings)
}

/// The same, split into words already. Reports all wrong words.
pub(crate) fn from_words(list: &[Text<'_>], findings: &mut Findings<'_>) -> Option<Matcher> {
    let mut matcher = Matcher::default();
    let mut good = true;
    let mut queue = list.iter();
    while let Some(word) = queue.next() {
        if let Some(later) =
            [("->", "-> status"), ("group", "group")].iter().find(|(it, _)| *it == word.str())
        {
            queue.next();
            findings.error::<()>("E23", word.span(), not_built(later.1));
            good = false;
            continue;
        }
        let done = match word.str() {
            keyword @ ("host" | "edge" | "header") => match queue.next() {
                Some(value) => clause(&mut matcher, keyword, *value, findings),
                None => {
                    let what = help(format!("`{keyword}` wants a name"), format!("write `{keyword} NAME`"));
                    findings.error("E11", word.span(), what)
                }
            },
            path if path.starts_with('/') => set_path(&mut matcher, *word, findings),
            other => {
                let done = set_methods(&mut matcher, *word, findings);
                if done.is_none() && words::nearest(other, KEYWORDS).is_some() {
                    queue.next(); // the name behind a misspelt keyword
                }
                done
            }
        };
        good &= done.is_some();
    }
    good.then_some(matcher)
}

/// A path template alone.
pub(crate) fn template(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Template> {
    match Template::parse(text.str()) {
        Ok(template) => Some(template),
        Err(error) => {
            let part = text.str().get(error.start..error.end).unwrap_or(text.str());
            findings.error("E11", text.part(part).span(), help(error.message, error.help))
        }
    }
}

/// A header name: lower-cased; `None` when it cannot be one.
pub(crate) fn header_name(text: Text<'_>, findings: &mut Findings<'_>) -> Option<String> {
    let name = text.str();
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if !name.is_empty() && name.chars().all(is_token) {
        return Some(name.to_ascii_lowercase());
    }
    findings.error("E11", text.span(), help(format!("`{name}` is no header name"), "write `x-api-key`"))
}

fn clause(matcher: &mut Matcher, keyword: &str, value: Text<'_>, findings: &mut Findings<'_>) -> Option<()> {
    match keyword {
        "host" if matcher.host.is_some() => twice("host", value, findings),
        "edge" if matcher.edge.is_some() => twice("edge", value, findings),
        "host" => matcher.host = Some(host(value, findings)?),
        "edge" => matcher.edge = Some(value.str().to_owned()),
        _ => matcher.headers.push(header(value, findings)?),
    }
    Some(())
}

fn set_path(matcher: &mut Matcher, word: Text<'_>, findings: &mut Findings<'_>) -> Option<()> {
    if matcher.path.is_some() {
        twice("path", word, findings);
        return None;
    }
    matcher.path = Some(template(word, findings)?);
    Some(())
}

fn set_methods(matcher: &mut Matcher, word: Text<'_>, findings: &mut Findings<'_>) -> Option<()> {
    if matcher.methods != Methods::ALL {
        twice("list of methods", word, findings);
        return None;
    }
    let mut methods = Methods::NONE;
    for name in word.str().split('|') {
        methods = method(methods, word.part(name), findings)?;
    }
    matcher.methods = methods;
    Some(())
}

fn method(methods: Methods, name: Text<'_>, findings: &mut Findings<'_>) -> Option<Methods> {
    if let Some(more) = methods.with(name.str()) {
        return Some(more);
    }
    let upper = name.str().to_ascii_uppercase();
    let known = [crate::matcher::KNOWN_METHODS, KEYWORDS].concat();
    let advice = match words::nearest(name.str(), &known) {
        _ if Methods::NONE.with(&upper).is_some() => format!("methods are written in capitals: `{upper}`"),
        Some(near) => format!("did you mean `{near}`?"),
        None if name.str().contains(['*', '{', '.']) => format!("a path begins with `/`: `/{}`", name.str()),
        None => {
            "write `GET|PUT /path host NAME header NAME=value edge NAME`, all of them optional".to_owned()
        }
    };
    findings.error(
        "E11",
        name.span(),
        help(format!("`{}` is neither a method nor a path", name.str()), advice),
    )
}

fn host(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Host> {
    match Host::parse(text.str()) {
        Ok(host) => Some(host),
        Err(why) => findings.error("E11", text.span(), help(format!("`{}` names no host", text.str()), why)),
    }
}

/// `NAME`, `NAME=*` (present), `NAME=value`, `NAME="value with spaces"`.
fn header(text: Text<'_>, findings: &mut Findings<'_>) -> Option<HeaderTest> {
    let Some((name, value)) = text.str().split_once('=') else {
        return Some(HeaderTest { name: header_name(text, findings)?, value: None });
    };
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    Some(header_test(header_name(text.part(name), findings)?, value))
}

fn header_test(name: String, value: &str) -> HeaderTest {
    HeaderTest { name, value: (value != "*").then(|| value.to_owned()) }
}

fn twice(what: &str, word: Text<'_>, findings: &mut Findings<'_>) {
    let message = format!("a second {what} in one rule");
    findings.error::<()>(
        "E11",
        word.span(),
        help(message, "all of `on` must hold at once; write a rule for each"),
    );
}

fn from_table(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Matcher> {
    let mut fields = field.table("`on`", findings)?;
    let mut matcher = Matcher::default();
    let (method, path, host_name) = (fields.get("method"), fields.get("path"), fields.get("host"));
    let (header, edge) = (fields.get("header"), fields.get("edge"));
    fields.finish(&["group", "status"], findings);
    let mut good = true;
    if let Some(field) = method {
        matcher.methods = methods(&field, findings).unwrap_or_else(|| {
            good = false;
            Methods::ALL
        });
    }
    if let Some(field) = path {
        matcher.path = field.text("/api/**", findings).and_then(|text| template(text, findings));
        good &= matcher.path.is_some();
    }
    if let Some(field) = host_name {
        matcher.host = field.text("shop.local", findings).and_then(|text| host(text, findings));
        good &= matcher.host.is_some();
    }
    if let Some(field) = header {
        good &= headers(&field, &mut matcher, findings).is_some();
    }
    if let Some(field) = edge {
        matcher.edge = field.text("shop", findings).map(|text| text.str().to_owned());
        good &= matcher.edge.is_some();
    }
    good.then_some(matcher)
}

/// `method = "GET|PUT"` or `method = ["GET", "PUT"]`.
fn methods(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Methods> {
    let DeValue::Array(names) = field.value.get_ref() else {
        let text = field.text("GET", findings)?;
        return text
            .str()
            .split('|')
            .try_fold(Methods::NONE, |sum, name| method(sum, text.part(name), findings));
    };
    if names.is_empty() {
        return findings.error(
            "E11",
            field.span(),
            help("no method at all", "leave `method` out for all methods"),
        );
    }
    names.iter().try_fold(Methods::NONE, |sum, name| {
        let name = table::text(name, "method", "GET", findings)?;
        method(sum, name, findings)
    })
}

/// `header = { x-tenant = "acme", x-debug = "*" }`.
fn headers(field: &Field<'_>, matcher: &mut Matcher, findings: &mut Findings<'_>) -> Option<()> {
    let DeValue::Table(tests) = field.value.get_ref() else {
        let what = help("`header` must be a table here", "write `header = { x-tenant = \"acme\" }`");
        return findings.error("E24", field.span(), what);
    };
    for (name, value) in tests {
        let name = header_name(Text::quoted(name.get_ref(), findings.source(), name.span()), findings)?;
        let value = table::text(value, "header", "acme", findings)?;
        matcher.headers.push(header_test(name, value.str()));
    }
    Some(())
}

const KEYWORDS: &[&str] = &["host", "header", "edge"];
