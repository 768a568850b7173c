//! `reset = "after headers"` and `reset = "after n B of body"`: the answer is torn off at an exact byte.
//!
//! Client: the header, exactly n payload bytes, then RST (HTTP/1) or RST_STREAM (HTTP/2). Upstream: sees the
//! request and a reader that goes away. Bound: on HTTP/2 at most n bytes wait in memory for a slow client.
//! Answer shorter than n, or of unknown length where a share was asked for: passes whole, `no_such_point`.
//!
//! HTTP/1 is cut by the stream (`conn/h1_cut.rs`). On HTTP/2 the frames are cut (`conn/h2_cut.rs`); since pingora
//! gives the id of a stream only through its body writer, the header is written here and the body sent by hand.

use bytes::Bytes;
use fault_rules::action::ResetAt;
use fault_rules::decide::Why;
use h2::SendStream;
use http::{HeaderMap, Method, StatusCode};
use pingora_core::protocols::http::server::Session as ServerSession;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use crate::conn::{Cut, StreamKey};
use crate::exchange::{Became, Exchange, Open};

/// The answer of a stream that will be cut, sent by hand.
pub(crate) struct H2Answer {
    stream: SendStream<Bytes>,
    left: u64,
}

/// What pingora is to do with a piece of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterCut {
    /// Write it as ever.
    Pass,
    /// It was sent by hand.
    Sent,
    /// The cut is made: stop reading from the upstream.
    Stop,
}

/// The answer's header is known: resolve the byte and arm the cut. Marks the rule as having touched the exchange.
pub(crate) fn resolve(exchange: &mut Exchange, method: &Method, answer: &ResponseHeader) {
    let Some(open) = exchange.get() else { return };
    let Some(cut) = &mut open.cut else { return };
    match cut_point(cut.at, method, answer) {
        Some(after) => {
            cut.armed = Some(Cut::after(after));
            open.plan.parts[cut.part].became = Became::Applied(open.started.elapsed());
        }
        None => {
            open.plan.parts[cut.part].became = Became::Suppressed(Why::NoSuchPoint);
            open.cut = None;
        }
    }
}

/// Hands the cut to whoever writes the answer.
///
/// # Errors
/// The header could not be written to the HTTP/2 stream.
pub(crate) fn arm(session: &mut Session, exchange: &mut Exchange, answer: &ResponseHeader) -> Result<()> {
    let Some(open) = exchange.get() else { return Ok(()) };
    let Some(cut) = open.cut.as_ref().and_then(|cut| cut.armed.clone()) else { return Ok(()) };
    let ServerSession::H2(http2) = &mut *session.downstream_session else {
        open.ctl.arm(StreamKey::Http1, cut);
        return Ok(());
    };
    http2.write_response_header(Box::new(answer.clone()), false)?;
    let Some(stream) = http2.take_response_body_writer() else {
        return Error::e_explain(ErrorType::InternalError, "no writer for an answer that began");
    };
    open.key = StreamKey::Http2(stream.stream_id().as_u32());
    if cut.after == 0 {
        cut.mark_hit();
    }
    open.h2_answer = Some(H2Answer { stream, left: cut.after });
    open.ctl.arm(open.key, cut);
    Ok(())
}

/// A piece of the answer's body on its way to the client.
pub(crate) fn body(open: &mut Open, chunk: &mut Option<Bytes>, end: bool) -> AfterCut {
    let Some(answer) = &mut open.h2_answer else { return AfterCut::Pass };
    let bytes = chunk.take().unwrap_or_default();
    let take = bytes.len().min(usize::try_from(answer.left).unwrap_or(usize::MAX));
    if answer.left > 0 {
        answer.left -= take as u64;
        let ends_short = end && answer.left > 0;
        if answer.stream.send_data(bytes.slice(..take), ends_short).is_err() {
            return AfterCut::Stop;
        }
    }
    if answer.left > 0 {
        return AfterCut::Sent;
    }
    if let Some(cut) = open.cut.as_ref().and_then(|cut| cut.armed.as_ref()) {
        cut.mark_hit();
    }
    AfterCut::Stop
}

/// Trailers of an answer that ended before its cut.
pub(crate) fn trailers(open: &mut Open, trailers: &HeaderMap) {
    if let Some(answer) = &mut open.h2_answer {
        // a client that is gone needs no trailers
        let _ = answer.stream.send_trailers(trailers.clone());
    }
}

/// After how many payload bytes; `None` where the answer has no such byte.
fn cut_point(at: ResetAt, method: &Method, answer: &ResponseHeader) -> Option<u64> {
    let bodyless =
        *method == Method::HEAD || matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let length = answer.headers.get(http::header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match at {
        ResetAt::BeforeHeaders => None,
        ResetAt::AfterHeaders => Some(0),
        _ if bodyless => None,
        ResetAt::AfterBytes(bytes) if length.is_some_and(|length| length < bytes) => None,
        ResetAt::AfterBytes(bytes) => Some(bytes),
        ResetAt::AfterFraction(share) => length.map(|length| share_of(length, share)),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn share_of(length: u64, share: f64) -> u64 {
    // lengths above 2^53 do not occur, and the share lies between 0 and 1
    ((length as f64) * share) as u64
}
