//! `on`: whom a rule is about, as words (`GET|PUT /api/** host shop.local header x-a=b group eu -> 2xx`) or as a table.

mod status;
mod table;

use toml::de::DeValue;

use super::findings::{Findings, help};
use super::table::Field;
use super::text::Text;
use super::{Context, words};
use crate::group::Group;
use crate::matcher::{HeaderTest, Host, Matcher, Methods, Template};

/// The value of an `on` key.
pub(crate) fn field(field: &Field<'_>, cx: &mut Context<'_>) -> Option<Matcher> {
    match field.value.get_ref() {
        DeValue::Table(_) => table::read(field, cx),
        _ => from_text(field.text("GET /api/**", &mut cx.findings)?, cx),
    }
}

/// The value of an `on` that is judged before an answer is there: a status in it would be passed over.
pub(crate) fn without_status(field: &Field<'_>, cx: &mut Context<'_>) -> Option<Matcher> {
    let matcher = self::field(field, cx)?;
    no_status(matcher, field.span(), &mut cx.findings)
}

/// Refuses a status.
pub(crate) fn no_status(
    matcher: Matcher,
    span: super::findings::Span,
    findings: &mut Findings<'_>,
) -> Option<Matcher> {
    if matcher.status.is_none() {
        return Some(matcher);
    }
    findings.error("E13", span, help("the status is not known yet where this is asked", "drop `-> …`"))
}

/// An `on` written as words.
pub(crate) fn from_text(text: Text<'_>, cx: &mut Context<'_>) -> Option<Matcher> {
    from_words(&text.words(), cx)
}

/// The same, split into words already. Reports all wrong words.
pub(crate) fn from_words(list: &[Text<'_>], cx: &mut Context<'_>) -> Option<Matcher> {
    let mut matcher = Matcher::default();
    let mut good = true;
    let mut queue = list.iter();
    while let Some(word) = queue.next() {
        let findings = &mut cx.findings;
        let done = match word.str() {
            keyword @ ("host" | "edge" | "header" | "group" | "->") => match queue.next() {
                Some(value) => clause(&mut matcher, keyword, *value, cx),
                None => {
                    let name = if keyword == "->" { "2xx" } else { "NAME" };
                    let what =
                        help(format!("nothing behind `{keyword}`"), format!("write `{keyword} {name}`"));
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

fn clause(matcher: &mut Matcher, keyword: &str, value: Text<'_>, cx: &mut Context<'_>) -> Option<()> {
    let findings = &mut cx.findings;
    match keyword {
        "host" if matcher.host.is_some() => return twice("host", value, findings),
        "edge" if matcher.edge.is_some() => return twice("edge", value, findings),
        "group" if matcher.group.is_some() => return twice("group", value, findings),
        "->" if matcher.status.is_some() => return twice("status", value, findings),
        "host" => matcher.host = Some(host(value, findings)?),
        "edge" => matcher.edge = Some(value.unquoted().str().to_owned()),
        "group" => matcher.group = Some(group(value.unquoted(), cx)?),
        "->" => matcher.status = Some(status::from_text(value, findings)?),
        _ => matcher.headers.push(header(value, findings)?),
    }
    Some(())
}

/// A group of the file by its name.
pub(crate) fn group(name: Text<'_>, cx: &mut Context<'_>) -> Option<Group> {
    if let Some(group) = cx.groups.iter().find(|group| group.name == name.str()) {
        return Some(group.clone());
    }
    let known: Vec<_> = cx.groups.iter().map(|group| group.name.as_str()).collect();
    let what = words::unknown_reference("group", name.str(), &known);
    cx.findings.error("E10", name.span(), what)
}

fn set_path(matcher: &mut Matcher, word: Text<'_>, findings: &mut Findings<'_>) -> Option<()> {
    if matcher.path.is_some() {
        return twice("path", word, findings);
    }
    matcher.path = Some(template(word, findings)?);
    Some(())
}

fn set_methods(matcher: &mut Matcher, word: Text<'_>, findings: &mut Findings<'_>) -> Option<()> {
    if matcher.methods != Methods::ALL {
        return twice("list of methods", word, findings);
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
            "write `GET|PUT /path host NAME header NAME=value edge NAME group NAME -> 2xx`, all of them optional"
                .to_owned()
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

fn twice(what: &str, word: Text<'_>, findings: &mut Findings<'_>) -> Option<()> {
    let message = format!("a second {what} in one rule");
    let advice = "all of `on` must hold at once; write a rule for each";
    findings.error("E11", word.span(), help(message, advice))
}

const KEYWORDS: &[&str] = &["host", "header", "edge", "group"];
