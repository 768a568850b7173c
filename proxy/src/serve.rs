//! A connection from accept to close.
//!
//! ```text
//! accept -> (TLS) -> HTTP/1: park until a byte comes -> one exchange -> park ...
//!                 \-> HTTP/2: streams side by side until the client closes
//! ```
//!
//! Between requests a connection waits outside pingora's request machinery, which alone would hold 30 KB.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{
    H2Accept, HttpSession as H2Session, default_h2_options, handshake,
};
use pingora_core::protocols::{Digest, GetSocketDigest};
use pingora_proxy::HttpProxy;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::books::bump;
use crate::conn::{Conn, ConnCtl, Raw};
use crate::service::Service;
use crate::shared::{Alive, Shared};

/// One worker thread's server.
pub(crate) struct Server {
    pub(crate) shared: Arc<Shared>,
    proxy: Arc<HttpProxy<Service>>,
    tls: Option<TlsAcceptor>,
}

impl Server {
    pub(crate) fn new(shared: Arc<Shared>, proxy: HttpProxy<Service>, tls: Option<TlsAcceptor>) -> Self {
        Server { shared, proxy: Arc::new(proxy), tls }
    }

    /// Serves one connection to its end.
    pub(crate) async fn connection(self: Arc<Self>, tcp: TcpStream, peer: SocketAddr, edge: usize) {
        let alive = self.shared.alive_on(edge);
        let ctl = Arc::new(ConnCtl::new(self.shared.next_connection(), edge, peer));
        let wants_tls = self.shared.edges[edge].tls;
        let (raw, mut http2) = match (&self.tls, wants_tls) {
            (Some(acceptor), true) => match Box::pin(handshake_tls(acceptor, tcp)).await {
                Some(accepted) => accepted,
                None => return,
            },
            _ => (Raw::Plain(tcp), false),
        };
        let Ok(mut conn) = Conn::new(raw, ctl) else { return };
        if !wants_tls {
            http2 = match self.first_bytes(&mut conn).await {
                Some(http2) => http2,
                None => return,
            };
        }
        if http2 {
            Box::pin(self.http2(conn)).await;
        } else {
            self.http1(conn).await;
        }
        drop(alive);
    }

    /// Clear text says by its first bytes whether it is HTTP/2. `None`: the client left, or stayed silent.
    async fn first_bytes(&self, conn: &mut Conn) -> Option<bool> {
        if !self.park(conn).await {
            return None;
        }
        Box::pin(conn.starts_with_h2_preface()).await.ok()
    }

    /// Waits for the next request. False: the connection is to be closed.
    async fn park(&self, conn: &mut Conn) -> bool {
        let mut draining = self.shared.draining();
        tokio::select! {
            biased; // a request that is there already is served, even while draining
            ready = conn.park() => ready.unwrap_or(false),
            _ = draining.wait_for(|draining| *draining) => false,
            () = tokio::time::sleep(self.shared.config.idle_timeout) => false,
        }
    }

    async fn http1(&self, mut conn: Conn) {
        let draining = self.shared.draining();
        while self.park(&mut conn).await {
            let ctl = conn.ctl().clone();
            let hooked = ctl.hooked();
            let mut session = ServerSession::new_http1(Box::new(conn));
            session.set_keepalive((!self.shared.is_draining()).then_some(0));
            let reused = self.proxy.process_new_http(session, &draining).await;
            if ctl.hooked() == hooked {
                self.refused(ctl.edge, "parse");
            }
            // None: closed, or its bytes were not all HTTP
            let Some((stream, settings)) = reused.map(pingora_core::apps::ReusedHttpStream::consume) else {
                return;
            };
            drop(settings); // pipelining is off, so they carry no bytes
            let Ok(same) = stream.into_any().downcast::<Conn>() else { return };
            conn = *same;
        }
    }

    async fn http2(&self, mut conn: Conn) {
        conn.speak_h2();
        let edge = conn.ctl().edge;
        let digest = Arc::new(Digest {
            proxy_digest: Some(conn.proxy_digest()),
            socket_digest: conn.get_socket_digest(),
            ..Digest::default()
        });
        let mut options = default_h2_options();
        options.max_concurrent_streams(MAX_STREAMS);
        let Ok(mut http2) = handshake(Box::new(conn), Some(options)).await else { return };
        let mut draining = self.shared.draining();
        let mut drained = false;
        let streams = Arc::new(());
        let mut rejected = 0;
        loop {
            let accepted = tokio::select! {
                biased;
                accepted = H2Session::from_h2_conn(&mut http2, digest.clone()) => accepted,
                _ = draining.wait_for(|draining| *draining), if !drained => {
                    drained = true;
                    http2.graceful_shutdown();
                    continue;
                }
                () = self.idle(&streams) => {
                    http2.graceful_shutdown();
                    drained = true;
                    continue;
                }
            };
            match accepted {
                Ok(Some(H2Accept::Session(session))) => {
                    let guard = (streams.clone(), self.shared.alive());
                    tokio::spawn(stream(self.proxy.clone(), session, self.shared.draining(), guard));
                }
                Ok(Some(H2Accept::Rejected)) => {
                    self.refused(edge, "parse");
                    rejected += 1;
                    if rejected >= MAX_REJECTED {
                        return;
                    }
                }
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Resolves when a connection has had no stream for the idle time.
    async fn idle(&self, streams: &Arc<()>) {
        loop {
            tokio::time::sleep(self.shared.config.idle_timeout).await;
            if Arc::strong_count(streams) == 1 {
                return;
            }
        }
    }

    /// A request that the parser refused: it is in the books all the same.
    fn refused(&self, edge: usize, why: &str) {
        self.shared.totals.open(edge);
        self.shared.totals.post(edge, |books| {
            bump(&mut books.refused, why);
            bump(&mut books.not_recorded, "refused");
        });
    }
}

async fn stream(
    proxy: Arc<HttpProxy<Service>>,
    session: H2Session,
    draining: watch::Receiver<bool>,
    guard: (Arc<()>, Alive),
) {
    proxy.process_new_http(ServerSession::new_http2(session), &draining).await;
    drop(guard);
}

/// `None`: the client does not speak TLS, or is too slow at it.
async fn handshake_tls(acceptor: &TlsAcceptor, tcp: TcpStream) -> Option<(Raw, bool)> {
    let tls = tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(tcp)).await.ok()?.ok()?;
    let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    Some((Raw::Tls(Box::new(tls)), http2))
}

const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Streams a client may have open at once on a connection.
const MAX_STREAMS: u32 = 256;
/// Malformed requests after which an HTTP/2 connection is closed; pingora counts them in its own loop only.
const MAX_REJECTED: u32 = 32;
