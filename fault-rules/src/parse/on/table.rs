//! `on` as a table: `{ method = ["GET", "PUT"], path = "/api/**", status = "2xx" }`.

use toml::de::DeValue;

use super::{group, header_name, header_test, host, method, status, template};
use crate::matcher::{Matcher, Methods};
use crate::parse::Context;
use crate::parse::findings::{Findings, help};
use crate::parse::table::{self, Field};
use crate::parse::text::Text;

pub(super) fn read(field: &Field<'_>, cx: &mut Context<'_>) -> Option<Matcher> {
    let mut fields = field.table("`on`", &mut cx.findings)?;
    let methods = fields.or("method", Methods::ALL, |field| methods(field, &mut cx.findings));
    let path =
        fields.optional("path", |field| template(field.text("/api/**", &mut cx.findings)?, &mut cx.findings));
    let host =
        fields.optional("host", |field| host(field.text("shop.local", &mut cx.findings)?, &mut cx.findings));
    let headers = fields.or("header", Vec::new(), |field| headers(field, &mut cx.findings));
    let edge = fields.optional("edge", |field| Some(field.text("shop", &mut cx.findings)?.str().to_owned()));
    let group = fields.optional("group", |field| {
        let name = field.text("eu", &mut cx.findings)?;
        group(name, cx)
    });
    let status = fields.optional("status", |field| status::field(field, &mut cx.findings));
    fields.finish(&mut cx.findings);
    Some(Matcher {
        methods: methods?,
        path: path?,
        host: host?,
        headers: headers?,
        edge: edge?,
        group: group?,
        status: status?,
    })
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
fn headers(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Vec<crate::matcher::HeaderTest>> {
    let DeValue::Table(tests) = field.value.get_ref() else {
        let what = help("`header` must be a table here", "write `header = { x-tenant = \"acme\" }`");
        return findings.error("E24", field.span(), what);
    };
    let read: Vec<_> = tests
        .iter()
        .map(|(name, value)| {
            let name = header_name(Text::quoted(name.get_ref(), findings.source(), name.span()), findings)?;
            let value = table::text(value, "header", "acme", findings)?;
            Some(header_test(name, value.str()))
        })
        .collect();
    read.into_iter().collect()
}
