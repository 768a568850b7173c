//! `respond`: the proxy answers by itself.
//!
//! Client: status, headers and body of the rule, `squall-fault` beside them. Upstream: never sees the request.
//! Bound: 16 MiB of body. Client leaves first: counted as answered, since the rule had decided.

use bytes::Bytes;
use fault_rules::action::Respond;
use pingora_error::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::Next;
use crate::exchange::{Became, ERROR, Exchange, FAULT, Fate};

/// Answers, and decides the exchange.
pub(super) async fn answer(
    session: &mut Session,
    exchange: &mut Exchange,
    part: usize,
    respond: &Respond,
) -> Result<Next> {
    let Some(open) = exchange.get() else { return Ok(Next::Forward) };
    open.fate = Fate::ShortCircuited(part);
    open.plan.parts[part].became = Became::Applied(open.elapsed());
    open.answer.own(respond.status, open.elapsed());
    let header = header(respond, &open.fault_header().unwrap_or_default())?;
    let bodyless = respond.body.is_empty() || session.req_header().method == http::Method::HEAD;
    if exchange.shared.is_draining() {
        session.set_keepalive(None);
    }
    session.write_response_header(Box::new(header), bodyless).await?;
    if !bodyless {
        session.write_response_body(Some(Bytes::copy_from_slice(&respond.body)), true).await?;
    }
    Ok(Next::Answered)
}

/// The header of a made answer; `fault` names the rules.
pub(super) fn header(respond: &Respond, fault: &str) -> Result<ResponseHeader> {
    let mut header = ResponseHeader::build(respond.status, Some(respond.headers.len() + 3))?;
    for (name, value) in &respond.headers {
        header.append_header(name.clone(), value.as_str())?;
    }
    if !matches!(respond.status, 204 | 304) {
        header.insert_header("content-length", respond.body.len())?;
    }
    header.insert_header(FAULT, fault)?;
    header.insert_header(ERROR, "injected")?;
    Ok(header)
}
