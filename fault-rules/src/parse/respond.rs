//! `respond`, and the answer of a `rate_limit` that refuses.

use std::sync::Arc;

use toml::Spanned;
use toml::de::DeValue;

use super::findings::{Findings, Span, help};
use super::table::{self, Field, Fields};
use super::text::Text;
use super::{Context, grpc, on};
use crate::action::Respond;
use crate::limits;

/// `respond = 503` or `respond = { status = 503, headers = { … }, body = "…" }`.
pub(crate) fn field(field: &Field<'_>, cx: &mut Context<'_>) -> Option<Respond> {
    match field.value.get_ref() {
        DeValue::Integer(_) => {
            let status = status(field, &mut cx.findings)?;
            Some(answer(status, Vec::new(), Arc::default()))
        }
        DeValue::String(_) => {
            let what = help(
                "a status is a number",
                "write `respond = 503` or `respond = { status = 503, body = \"…\" }`",
            );
            cx.findings.error("E24", field.span(), what)
        }
        _ => from_table(field, cx),
    }
}

fn from_table(field: &Field<'_>, cx: &mut Context<'_>) -> Option<Respond> {
    let mut fields = field.table("`respond`", &mut cx.findings)?;
    let span = fields.span();
    let grpc = grpc::status(&mut fields, &mut cx.findings);
    let status_field = fields.get("status");
    let asked = match (&status_field, &grpc) {
        (Some(field), Some(Some(_))) => {
            let what = help(
                "`status` beside `grpc_status`",
                "drop it: a gRPC answer is 200 with a status of its own",
            );
            cx.findings.error("E28", field.key.clone(), what)
        }
        (None, Some(Some(_))) | (_, None) => Some(200),
        (Some(field), Some(None)) => status(field, &mut cx.findings),
        (None, Some(None)) => {
            let what = help("`status` is missing in `respond`", "write `status = 503`");
            cx.findings.missing("E28", span, what)
        }
    };
    let (headers, body) = headers_and_body(&mut fields, cx);
    fields.finish(&mut cx.findings);
    let (status, headers, body, grpc) = (asked?, headers?, body?, grpc?);
    let headers_only: Vec<_> = headers.iter().map(|(_, pair)| pair.clone()).collect();
    if let Some(grpc) = grpc {
        if !body.bytes.is_empty() {
            let what = help("a body beside `grpc_status`", "drop it: the call ends without a message");
            return cx.findings.error("E16", body.span, what);
        }
        return Some(grpc::answer(headers_only, grpc));
    }
    retry_after_fits(status, &headers, &mut cx.findings)?;
    no_body_where_none_goes(status, &body, &mut cx.findings)?;
    Some(answer(status, headers_only, body.bytes))
}

/// `503`, of the command line.
pub(crate) fn from_text(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Respond> {
    let status = text.str().trim().parse().ok().filter(|status| STATUSES.contains(status));
    match status {
        Some(status) => Some(answer(status, Vec::new(), Arc::default())),
        None => findings.error(
            "E28",
            text.span(),
            help(format!("`{}` is no status", text.str()), "write 200 to 599"),
        ),
    }
}

/// The answer to those that get no token: keys of the `rate_limit` table itself.
pub(crate) fn refusal(fields: &mut Fields<'_>, cx: &mut Context<'_>) -> Option<Respond> {
    let asked = match fields.get("status") {
        Some(field) => status(&field, &mut cx.findings).and_then(|status| match status {
            429 | 503 => Some(status),
            _ => {
                let what =
                    help("Retry-After belongs to 429 and 503", "write `status = 429`, or leave it out");
                cx.findings.error("E15", field.span(), what)
            }
        }),
        None => Some(429),
    };
    let (headers, body) = headers_and_body(fields, cx);
    let (status, headers, body) = (asked?, headers?, body?);
    if let Some((span, _)) = headers.iter().find(|(_, (name, _))| name == "retry-after") {
        let what = help("a Retry-After of one's own", "drop it: the bucket says the true one");
        return cx.findings.error("E15", span.clone(), what);
    }
    Some(answer(status, headers.into_iter().map(|(_, pair)| pair).collect(), body.bytes))
}

/// What a rate limit in its short form answers.
pub(crate) fn too_many_requests() -> Respond {
    answer(429, Vec::new(), Arc::default())
}

type Headers = Vec<(Span, (String, String))>;

struct Body {
    bytes: Arc<[u8]>,
    span: Span,
}

fn answer(status: u16, mut headers: Vec<(String, String)>, body: Arc<[u8]>) -> Respond {
    if !body.is_empty() && !headers.iter().any(|(name, _)| name == "content-type") {
        headers.push(("content-type".to_owned(), content_type(&body).to_owned()));
    }
    Respond { status, headers, body, grpc: None }
}

fn status(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<u16> {
    let value = field.integer((i64::MIN, i64::MAX), findings)?;
    match u16::try_from(value).ok().filter(|status| STATUSES.contains(status)) {
        Some(status) => Some(status),
        None => {
            let what = help(format!("{value} is no status of a final answer"), "write 200 to 599");
            findings.error("E28", field.span(), what)
        }
    }
}

fn headers_and_body(fields: &mut Fields<'_>, cx: &mut Context<'_>) -> (Option<Headers>, Option<Body>) {
    let headers = match fields.get("headers") {
        Some(field) => headers(&field, &mut cx.findings),
        None => Some(Vec::new()),
    };
    let body = match (fields.get("body"), fields.get("body_file")) {
        (None, None) => Some(Body { bytes: Arc::default(), span: fields.span() }),
        (Some(body), None) => body.text("{\"error\":\"injected\"}", &mut cx.findings).and_then(|text| {
            let bytes = Arc::from(text.str().as_bytes());
            bounded(Body { bytes, span: body.span() }, &mut cx.findings)
        }),
        (None, Some(file)) => body_file(&file, cx),
        (Some(_), Some(file)) => {
            cx.findings.error("E28", file.key, help("`body_file` beside `body`", "keep one of the two"))
        }
    };
    (headers, body)
}

fn body_file(field: &Field<'_>, cx: &mut Context<'_>) -> Option<Body> {
    let name = field.text("bodies/503.json", &mut cx.findings)?;
    if let Some(known) = cx.bodies.get(name.str()) {
        return Some(Body { bytes: known.clone(), span: field.span() });
    }
    match (cx.loader.file)(name.str()) {
        Ok(bytes) => {
            cx.loaded = xxhash_rust::xxh3::xxh3_64_with_seed(&bytes, cx.loaded);
            let body = Body { bytes: Arc::from(bytes), span: field.span() };
            let body = bounded(body, &mut cx.findings)?;
            cx.bodies.insert(name.str().to_owned(), body.bytes.clone());
            Some(body)
        }
        Err(error) => {
            let what = help(
                format!("`{}` cannot be read: {error}", name.str()),
                "a relative name starts from the rule file",
            );
            cx.findings.error("E10", name.span(), what)
        }
    }
}

fn bounded(body: Body, findings: &mut Findings<'_>) -> Option<Body> {
    if body.bytes.len() <= limits::BODY_BYTES {
        return Some(body);
    }
    findings.error(
        "E28",
        body.span,
        help("a body of more than 16 MiB", "it stays in memory: use a smaller one"),
    )
}

/// Values are strings, or arrays of strings for a header that comes several times.
fn headers(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Headers> {
    let DeValue::Table(table) = field.value.get_ref() else {
        let what = help("`headers` must be a table", "write `headers = { retry-after = \"5\" }`");
        return findings.error("E24", field.span(), what);
    };
    let mut headers = Vec::new();
    let mut good = true;
    for (key, value) in table {
        let Some(name) = header_key(key, findings) else {
            good = false;
            continue;
        };
        let values = match value.get_ref() {
            DeValue::Array(values) => values.iter().collect(),
            _ => vec![value],
        };
        for value in values {
            match header_value(value, findings) {
                Some(text) => headers.push((value.span(), (name.clone(), text))),
                None => good = false,
            }
        }
    }
    good.then_some(headers)
}

fn header_key(key: &Spanned<toml::de::DeString<'_>>, findings: &mut Findings<'_>) -> Option<String> {
    let name = on::header_name(Text::quoted(key.get_ref(), findings.source(), key.span()), findings)?;
    if FRAMING.contains(&name.as_str()) {
        let what =
            help(format!("`{name}` is not a rule's to set"), "drop it: the proxy frames its answers itself");
        return findings.error("E28", key.span(), what);
    }
    Some(name)
}

fn header_value(value: &Spanned<DeValue<'_>>, findings: &mut Findings<'_>) -> Option<String> {
    let text = table::text(value, "a header", "5", findings)?;
    let clean = text.str().trim();
    if clean.chars().all(|c| c == '\t' || !c.is_control()) {
        return Some(clean.to_owned());
    }
    findings.error("E28", text.span(), help("a control character in a header", "write the value on one line"))
}

/// RFC 9110, 10.2.3: Retry-After means something on 503 and 3xx; RFC 6585 adds 429.
fn retry_after_fits(status: u16, headers: &Headers, findings: &mut Findings<'_>) -> Option<()> {
    let given = headers.iter().find(|(_, (name, _))| name == "retry-after");
    match given {
        Some((span, _)) if !matches!(status, 300..=399 | 429 | 503) => {
            let what = help(format!("Retry-After with {status}"), "clients heed it on 429, 503 and 3xx only");
            findings.error("E15", span.clone(), what)
        }
        _ => Some(()),
    }
}

fn no_body_where_none_goes(status: u16, body: &Body, findings: &mut Findings<'_>) -> Option<()> {
    if body.bytes.is_empty() || !matches!(status, 204 | 205 | 304) {
        return Some(());
    }
    let what = help(format!("an answer of {status} has no body"), "drop the body, or choose another status");
    findings.error("E16", body.span.clone(), what)
}

/// By what the body looks like.
fn content_type(body: &[u8]) -> &'static str {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match (first, std::str::from_utf8(body)) {
        (_, Err(_)) => "application/octet-stream",
        (Some(b'{' | b'['), Ok(text)) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => {
            "application/json"
        }
        (Some(b'<'), Ok(_)) => "text/html; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    }
}

const STATUSES: std::ops::RangeInclusive<u16> = 200..=599;

/// Headers that say how the answer is framed or how the connection lives.
const FRAMING: &[&str] =
    &["connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];
