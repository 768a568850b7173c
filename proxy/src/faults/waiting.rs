//! Waiting inside an exchange: until a time, or until waiting has lost its point.

use fault_rules::decide::Why;
use pingora_proxy::Session;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::exchange::Exchange;
use crate::shared::Shared;

/// Why a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    /// Its time has come.
    Time,
    /// The rules changed, or the proxy drains: ask again.
    Changed,
    ClientGone,
}

/// Notices a client that leaves, without eating what it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientWatch {
    Http2,
    /// The request has no body: whatever arrives now is the end (or the next request, sent too early).
    Http1Idle,
    /// A body waits in the socket: it belongs to the upstream, so nothing is read and nothing is noticed.
    Blind,
}

impl ClientWatch {
    pub(super) fn of(session: &mut Session) -> Self {
        if session.is_http2() {
            ClientWatch::Http2
        } else if session.is_body_empty() && !session.is_upgrade_req() {
            ClientWatch::Http1Idle
        } else {
            ClientWatch::Blind
        }
    }

    /// Resolves when the client is gone; never where that cannot be told.
    async fn gone(&mut self, session: &mut Session) {
        match self {
            ClientWatch::Http2 => match session.watch_h2_stream_close() {
                Some(idle) => {
                    let _ = idle.await;
                }
                None => std::future::pending().await,
            },
            ClientWatch::Http1Idle => {
                let ended = session.downstream_session.read_body_or_idle(true).await;
                if ended.is_err_and(|error| *error.etype() == pingora_error::ErrorType::ConnectError) {
                    // a pipelined request: its first byte is lost, so this connection ends after this answer
                    *self = ClientWatch::Blind;
                    session.set_keepalive(None);
                    std::future::pending().await
                }
            }
            ClientWatch::Blind => std::future::pending().await,
        }
    }

    /// Waits for `until` (or without end), a change, or the client.
    ///
    /// # Cancel safety
    /// Safe: neither half holds data.
    pub(super) async fn wait(
        &mut self,
        session: &mut Session,
        until: Option<Instant>,
        changes: &mut watch::Receiver<u64>,
    ) -> Woken {
        let time = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = time => Woken::Time,
            _ = changes.changed() => Woken::Changed,
            () = self.gone(session) => Woken::ClientGone,
        }
    }
}

/// Does a rule still hold a sleeper? `None` where it does, else why it lets go.
pub(super) fn released(shared: &Shared, exchange: &Exchange, rule: usize) -> Option<Why> {
    let open = exchange.peek()?;
    let holds = shared.rules.holds(&open.live.ids[rule]);
    (!holds || shared.is_draining()).then_some(Why::Lifted)
}
