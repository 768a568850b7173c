//! Waiting inside an exchange: until a time, or until waiting has lost its point.

use fault_rules::decide::Why;
use pingora_core::protocols::http::ServerSession;
use pingora_proxy::Session;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::conn::Conn;
use crate::exchange::Exchange;
use crate::shared::Shared;
use crate::timer::sleep_until;

/// Why a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Its time has come.
    Time,
    /// The rules changed, or the proxy drains: ask again.
    Changed,
    ClientGone,
}

/// Notices a client that leaves, without eating what it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientWatch {
    /// By its stream.
    Http2,
    /// By the session of ours that is under pingora.
    Ours,
    /// By its socket: what waits there, a body or the next request, is for others to read.
    Http1,
}

impl ClientWatch {
    pub(super) fn of(session: &Session) -> Self {
        match session.as_downstream() {
            ServerSession::H2(_) => ClientWatch::Http2,
            ServerSession::Custom(_) => ClientWatch::Ours,
            ServerSession::H1(_) | ServerSession::Subrequest(_) => ClientWatch::Http1,
        }
    }

    /// Resolves when the client is gone; never where that cannot be told.
    async fn gone(self, session: &mut Session) {
        match self {
            ClientWatch::Http2 => {
                if let Some(closed) = session.watch_h2_stream_close() {
                    let _ = closed.await;
                    return;
                }
            }
            ClientWatch::Ours => {
                // an error says that the client has left, and nothing else ends the wait
                let _ = session.downstream_session.read_body_or_idle(true).await;
                return;
            }
            ClientWatch::Http1 => {
                if let Some(conn) = conn(session) {
                    return conn.hung_up().await;
                }
            }
        }
        std::future::pending::<()>().await;
    }

    /// Waits for `until` (or without end), a change, or the client.
    ///
    /// # Cancel safety
    /// Safe: neither half holds data.
    pub(super) async fn wait(
        self,
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
            () = time => {}
            _ = changes.changed() => return Woken::Changed,
            () = self.gone(session) => return Woken::ClientGone,
        }
        let left = self == ClientWatch::Http1 && conn(session).is_some_and(Conn::is_hung_up);
        if left { Woken::ClientGone } else { Woken::Time }
    }
}

/// The stream below an HTTP/1 session.
pub(crate) fn conn(session: &Session) -> Option<&Conn> {
    session.stream()?.as_any().downcast_ref()
}

/// Does a rule still hold a sleeper? `None` where it does, else why it lets go.
pub(super) fn released(shared: &Shared, exchange: &Exchange, rule: usize) -> Option<Why> {
    let open = exchange.peek()?;
    let holds = shared.rules.holds(&open.live.ids[rule]);
    (!holds || shared.is_draining()).then_some(Why::Lifted)
}
