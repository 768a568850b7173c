//! `drop_response`: the upstream's answer is read to its end, and then lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fault_rules::action::End;
use h2::Reason;
use pingora_core::protocols::http::ServerSession;
use pingora_error::Result;
use pingora_http::ResponseHeader;

use super::{client_left, injected, write_header};
use crate::conn::{Conn, ConnCtl, Pause};
use crate::shared::Shared;

/// What comes when the answer has been read.
#[derive(Debug)]
pub(crate) struct Swallow {
    pub(crate) rule: Arc<str>,
    pub(crate) then: Then,
}

#[derive(Debug)]
pub(crate) enum Then {
    /// Silence for so long (`None`: until the client leaves), then an end.
    End(Option<Duration>, End),
    /// Another answer.
    Answer(Box<ResponseHeader>, Bytes),
}

impl Swallow {
    /// Ends the exchange. An error of ours means that it ended without an answer.
    pub(super) async fn end(
        self,
        inner: &mut ServerSession,
        (ctl, shared): (&Arc<ConnCtl>, &Arc<Shared>),
    ) -> Result<()> {
        match self.then {
            Then::Answer(header, body) => {
                let bodyless = body.is_empty() || inner.req_header().method == http::Method::HEAD;
                inner.set_keepalive(None); // the connection is not ours to give back
                write_header(inner, header, bodyless).await?;
                if !bodyless {
                    inner.write_response_body(body, true).await?;
                }
                inner.finish_body().await
            }
            Then::End(hold, end) => {
                let until = hold.map(|hold| Instant::now() + hold);
                if hold != Some(Duration::ZERO) && self.is_left_alone(inner, shared, until).await {
                    return Err(client_left());
                }
                match (end, inner.watch_h2_stream_close().is_some()) {
                    (End::Reset, true) => inner.shutdown_with_reason(Reason::INTERNAL_ERROR),
                    (End::Close, true) => inner.shutdown_with_reason(Reason::CANCEL),
                    (End::Reset, false) => ctl.reset_on_close(),
                    (End::Close, false) => inner.shutdown().await,
                }
                Err(injected())
            }
        }
    }

    /// Waits; true: the client left first. Ends early when the rule is removed: what is lost stays lost.
    async fn is_left_alone(
        &self,
        inner: &mut ServerSession,
        shared: &Shared,
        until: Option<Instant>,
    ) -> bool {
        let mut pause = Pause::new(shared.rules.changes());
        loop {
            if shared.is_draining() || !shared.rules.holds(&self.rule) {
                return false;
            }
            tokio::select! {
                biased;
                () = pause.over(until) => {}
                () = gone(inner) => return true,
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return false;
            }
        }
    }
}

/// Resolves when the client is gone; eats nothing of what it sends.
async fn gone(inner: &mut ServerSession) {
    if let Some(closed) = inner.watch_h2_stream_close() {
        let _ = closed.await;
        return;
    }
    let conn = inner.as_http1().and_then(|http1| http1.stream().as_any().downcast_ref::<Conn>());
    match conn {
        Some(conn) => conn.hung_up().await,
        None => std::future::pending().await,
    }
}
