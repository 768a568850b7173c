//! `[group.NAME]`: upstreams that fail together.

use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::findings::{Findings, Span, help};
use super::table::{self, Field, Fields};
use super::{Context, rule};
use crate::group::Group;
use crate::limits;

/// Reads all groups into the context. A group that is wrong is there too, without members.
pub(crate) fn read(field: &Field<'_>, cx: &mut Context<'_>) {
    for (name, span, value) in named(field, "group", &mut cx.findings) {
        cx.places.groups.push(span.clone());
        let members = members(value, span, &mut cx.findings).unwrap_or_default();
        cx.groups.push(Group { name: name.to_owned(), members });
    }
}

/// The tables `[KIND.NAME]` in the order of the file, with the places of their names.
pub(crate) fn named<'d>(
    field: &Field<'d>,
    kind: &'static str,
    findings: &mut Findings<'_>,
) -> Vec<(&'d str, Span, &'d Spanned<DeValue<'d>>)> {
    let DeValue::Table(table) = field.value.get_ref() else {
        let what = help(format!("a {kind} is a table with a name"), format!("write `[{kind}.NAME]`"));
        findings.error::<()>("E24", field.key.clone(), what);
        return Vec::new();
    };
    let one = |(name, value): (&'d Spanned<DeString<'d>>, &'d Spanned<DeValue<'d>>)| {
        (name.get_ref().as_ref(), name.span(), value)
    };
    if limits::NAMED < table.len() {
        let what = help(format!("more than {} of `{kind}`", limits::NAMED), "split the file");
        findings.error::<()>("E04", field.key.clone(), what);
        return Vec::new();
    }
    let mut list: Vec<_> = table.iter().map(one).collect();
    list.sort_by_key(|(_, span, _)| span.start);
    for (_, span, _) in list.iter().filter(|(name, _, _)| !rule::is_id(name)) {
        let what = help("this is no name", "use 1 to 64 letters, digits, `.`, `_` or `-`");
        findings.error::<()>("E25", span.clone(), what);
    }
    list
}

fn members(value: &Spanned<DeValue<'_>>, name: Span, findings: &mut Findings<'_>) -> Option<Vec<String>> {
    let DeValue::Table(table) = value.get_ref() else {
        let what = help("a group is a table", "write `members = [\"127.0.0.1:9101\"]` below its name");
        return findings.error("E24", value.span(), what);
    };
    let mut fields = Fields::new(table, name, "this group");
    let field = fields.needed("members", "[\"127.0.0.1:9101\"]", findings);
    let members = field.and_then(|field| {
        let items = field.short_array(limits::NAMED, findings)?;
        if items.is_empty() {
            let what = help("a group without members", "write `members = [\"127.0.0.1:9101\"]`");
            return findings.error("E30", field.span(), what);
        }
        let read: Vec<_> = items.iter().map(|item| member(item, findings)).collect();
        read.into_iter().collect()
    });
    fields.finish(findings);
    members
}

/// `host:port`.
fn member(item: &Spanned<DeValue<'_>>, findings: &mut Findings<'_>) -> Option<String> {
    let text = table::text(item, "members", "127.0.0.1:9101", findings)?;
    let (host, port) = text.str().rsplit_once(':').unwrap_or((text.str(), ""));
    let well_formed = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte));
    match port.parse::<u16>() {
        Ok(port) if well_formed && port != 0 => Some(text.str().to_owned()),
        _ => {
            let message = format!("`{}` is no upstream", text.str());
            let advice = "write host and port as `--upstream` has them: `127.0.0.1:9101`";
            findings.error("E24", text.span(), help(message, advice))
        }
    }
}
