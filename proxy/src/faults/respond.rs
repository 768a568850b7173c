//! `respond`: the proxy answers by itself.
//!
//! Client: status, headers and body of the rule, `squall-fault` beside them. Upstream: never sees the request.
//! Bound: 16 MiB of body. Client leaves first: counted as answered, since the rule had decided.

use bytes::Bytes;
use fault_rules::action::Respond;
use fault_rules::delay::At;
use pingora_error::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::waiting::Woken;
use super::{Next, delay};
use crate::downstream::write_header;
use crate::exchange::{Became, ERROR, Exchange, FAULT, Fate};

/// Answers in the words of a rule.
pub(super) async fn answer(
    session: &mut Session,
    exchange: &mut Exchange,
    part: usize,
    respond: &Respond,
) -> Result<Next> {
    let header = header(respond, session.is_http2())?;
    send(session, exchange, part, (header, Bytes::copy_from_slice(&respond.body))).await
}

/// Sends an answer that a rule has chosen, and decides the exchange.
pub(super) async fn send(
    session: &mut Session,
    exchange: &mut Exchange,
    part: usize,
    (mut header, body): (ResponseHeader, Bytes),
) -> Result<Next> {
    if let Some(open) = exchange.get() {
        open.plan.answered(None, &open.live); // there will be no status that a rule could wait for
    }
    if delay::wait(session, exchange, At::Response).await == Woken::ClientGone {
        return Ok(Next::ClientGone);
    }
    let Some(open) = exchange.get() else { return Ok(Next::Forward) };
    open.fate = Fate::ShortCircuited(part);
    open.plan.parts[part].became = Became::Applied(open.elapsed());
    open.answer.own(header.status.as_u16(), open.elapsed());
    open.tell_root();
    header.insert_header(FAULT, open.fault_header().unwrap_or_default())?;
    header.insert_header(ERROR, "injected")?;
    let bodyless = body.is_empty() || session.req_header().method == http::Method::HEAD;
    if exchange.shared.is_draining() {
        session.set_keepalive(None);
    }
    write_header(session.as_downstream_mut(), Box::new(header), bodyless).await?;
    if !bodyless {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(Next::Answered)
}

/// The header of an answer in the words of a rule.
pub(super) fn header(respond: &Respond, http2: bool) -> Result<ResponseHeader> {
    let mut header = ResponseHeader::build(respond.status, Some(respond.headers.len() + 5))?;
    for (name, value) in &respond.headers {
        header.append_header(name.clone(), value.as_str())?;
    }
    if let Some(grpc) = &respond.grpc {
        // without trailers an answer says it in its header
        header.insert_header("content-type", "application/grpc")?;
        header.insert_header("grpc-status", grpc.code.to_string())?;
        if !grpc.message.is_empty() {
            header.insert_header("grpc-message", grpc.message.as_str())?;
        }
    }
    let unframed = matches!(respond.status, 204 | 304) || http2 && respond.grpc.is_some();
    if !unframed {
        header.insert_header("content-length", respond.body.len())?;
    }
    Ok(header)
}
