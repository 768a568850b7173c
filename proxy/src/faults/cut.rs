//! `reset = "after headers"` and `reset = "after n B of body"`: the answer is torn off at an exact byte.
//!
//! Client: the header, exactly n payload bytes, then RST (HTTP/1) or RST_STREAM (HTTP/2). Upstream: sees the
//! request and a reader that goes away (on HTTP/2 with the next byte that it sends). Bound: nothing is kept.
//! Answer shorter than n, or of unknown length where a share was asked for: passes whole, `no_such_point`.
//!
//! HTTP/1 is cut by the stream (`conn/h1_cut.rs`), HTTP/2 by its frames (`conn/h2_cut.rs`), which know the answer by a
//! tag in its header. What lies behind the cut is kept from HTTP/2 altogether: see there.

use bytes::Bytes;
use fault_rules::action::Point;
use fault_rules::decide::Why;
use http::{HeaderMap, Method, StatusCode};
use pingora_error::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use crate::conn::{Cut, StreamKey};
use crate::exchange::{Became, Exchange, Open};

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

/// Hands the cut to the stream that writes the answer.
///
/// # Errors
/// The tag does not fit the header: a bug.
pub(crate) fn arm(session: &Session, exchange: &mut Exchange, answer: &mut ResponseHeader) -> Result<()> {
    let Some(open) = exchange.get() else { return Ok(()) };
    let Some(cut) = open.cut.as_ref().and_then(|cut| cut.armed.clone()) else { return Ok(()) };
    if session.is_http2() {
        let tag = open.ctl.next_tag();
        let (name, value) = tag.field();
        answer.insert_header(name, value)?;
        open.key = StreamKey::Http2(tag);
        open.before_cut = Some(cut.after);
        if cut.after == 0 {
            cut.mark_hit();
        }
    }
    open.ctl.arm(open.key, cut);
    Ok(())
}

/// A piece of the body of an HTTP/2 answer: what lies behind the cut is taken away. False: the cut is made, and nothing
/// of the answer is of use to anybody.
pub(crate) fn body(open: &mut Open, chunk: &mut Option<Bytes>) -> bool {
    let (Some(left), Some(bytes)) = (&mut open.before_cut, chunk.as_mut()) else { return true };
    let Some(cut) = open.cut.as_ref().and_then(|cut| cut.armed.as_ref()) else { return true };
    if *left == 0 {
        *chunk = None;
        return !cut.was_made();
    }
    bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
    *left -= bytes.len() as u64;
    if *left == 0 {
        cut.mark_hit();
    }
    true
}

/// Trailers: of an answer that is cut there are none.
pub(crate) fn trailers(open: &Open, trailers: &mut HeaderMap) {
    if open.before_cut == Some(0) {
        trailers.clear();
    }
}

/// After how many payload bytes; `None` where the answer has no such byte.
fn cut_point(at: Point, method: &Method, answer: &ResponseHeader) -> Option<u64> {
    let bodyless =
        *method == Method::HEAD || matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let length = answer.headers.get(http::header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match at {
        Point::BeforeHeaders => None,
        Point::AfterHeaders => Some(0),
        _ if bodyless => None,
        Point::AfterBytes(bytes) if length.is_some_and(|length| length < bytes) => None,
        Point::AfterBytes(bytes) => Some(bytes),
        Point::AfterFraction(share) => length.map(|length| share_of(length, share)),
        Point::AfterEvents(_) | Point::AfterTime(_) => None,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn share_of(length: u64, share: f64) -> u64 {
    // lengths above 2^53 do not occur, and the share lies between 0 and 1
    ((length as f64) * share) as u64
}
