//! The client's side of one exchange, where pingora's own session does not do what a fault asks for.
//!
//! Pingora writes an answer in batches, header and body together, and runs its hooks on the whole batch before the
//! first byte is written: nothing in them can let a header go and hold its body back. So an exchange with such a fault
//! gets this session between pingora and the real one: it writes piece by piece, as the shapes of the answer allow, and
//! reads as those of the request do. Everything else, the upstream above all, is pingora's ordinary path, and in the
//! books nothing differs.
//!
//! Used for HTTP/2 with any shape, and for `drop_response` on both protocols. HTTP/1 is shaped by its connection's
//! stream, byte for byte (`conn/`).

mod answer;
mod outgoing;
mod request;
mod session;
mod swallow;

use std::sync::{Arc, Mutex};

use http::Version;
use http::header::{PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER};
use pingora_core::protocols::http::ServerSession;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use crate::conn::ConnCtl;
use crate::faults::SharedShaping;
use crate::shared::Shared;
use crate::sync::lock;

pub(crate) use swallow::{Swallow, Then};

use answer::Answer;
use request::Request;

/// A session around pingora's.
pub(crate) struct Downstream {
    /// The real one.
    inner: ServerSession,
    request: Request,
    answer: Answer,
    slot: Arc<Slot>,
    swallow: Option<Swallow>,
}

/// What is to happen to the answer: known when its header is, told by the fault path.
#[derive(Debug, Default)]
pub(crate) struct Slot(Mutex<Option<Fate>>);

#[derive(Debug)]
enum Fate {
    Shaped(SharedShaping),
    Lost(Box<Swallow>),
}

impl Slot {
    pub(crate) fn shape(&self, shaping: SharedShaping) {
        *lock(&self.0) = Some(Fate::Shaped(shaping));
    }

    pub(crate) fn lose(&self, swallow: Swallow) {
        *lock(&self.0) = Some(Fate::Lost(Box::new(swallow)));
    }
}

impl Downstream {
    /// Puts a session of ours under pingora's proxy, around the one that is there.
    pub(crate) fn put_under(
        session: &mut Session,
        (ctl, shared): (Arc<ConnCtl>, Arc<Shared>),
        request: Option<SharedShaping>,
        slot: Arc<Slot>,
    ) {
        let nobody = ServerSession::new_custom(Box::new(()));
        let inner = std::mem::replace(&mut *session.downstream_session, nobody);
        let ours = Downstream {
            inner,
            request: Request::new(request),
            answer: Answer::new(ctl, shared),
            slot,
            swallow: None,
        };
        *session.downstream_session = ServerSession::new_custom(Box::new(ours));
    }

    /// Takes up what the fault path has decided meanwhile.
    fn follow_orders(&mut self) {
        match lock(&self.slot.0).take() {
            Some(Fate::Shaped(shaping)) => self.answer.shape(shaping),
            Some(Fate::Lost(swallow)) => self.swallow = Some(*swallow),
            None => {}
        }
    }
}

/// Puts back what pingora takes out of a request from HTTP/2 to HTTP/2 because it does not know that ours is one.
///
/// # Errors
/// A field that came in and cannot go out: a bug.
pub(crate) fn restore(asked: &RequestHeader, request: &mut RequestHeader) -> Result<()> {
    if (asked.version, request.version) != (Version::HTTP_2, Version::HTTP_2) {
        return Ok(());
    }
    for name in [TE, TRAILER, PROXY_AUTHORIZATION, PROXY_AUTHENTICATE] {
        for value in asked.headers.get_all(&name) {
            request.append_header(name.clone(), value.clone())?;
        }
    }
    Ok(())
}

/// Writes the header of an answer of ours; `alone`: that is all of it. On HTTP/2 it ends the stream then, which pingora would
/// do with an empty body behind it: there a gRPC client looks for trailers, and takes a status in the header for none.
pub(crate) async fn write_header(
    session: &mut ServerSession,
    header: Box<ResponseHeader>,
    alone: bool,
) -> Result<()> {
    match session {
        ServerSession::H2(http2) => http2.write_response_header(header, alone),
        other => other.write_response_header(header).await,
    }
}

/// An end that a rule wanted.
fn injected() -> Box<Error> {
    Error::new(crate::faults::INJECTED)
}

fn client_left() -> Box<Error> {
    Error::explain(ErrorType::ConnectionClosed, "the client left").into_down()
}
