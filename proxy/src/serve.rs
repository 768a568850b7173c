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

use h2::Reason;
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{
    H2Accept, HttpSession as H2Session, default_h2_options, handshake,
};
use pingora_core::protocols::{Digest, GetSocketDigest};
use pingora_proxy::HttpProxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::books::bump;
use crate::conn::{Bounds, Conn, ConnCtl, Farewell, HeaderBounds, Raw, Refusal};
use crate::limits::{HalfClose, Met};
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
    pub(crate) async fn connection(
        self: Arc<Self>,
        tcp: TcpStream,
        (peer, edge): (SocketAddr, usize),
        _alive: Alive,
    ) {
        let ctl = Arc::new(ConnCtl::new(self.shared.next_connection(), edge, peer));
        let wants_tls = self.shared.edges[edge].tls;
        let (raw, mut http2) = match (&self.tls, wants_tls) {
            (Some(acceptor), true) => {
                let accepted = self.unless_draining(HANDSHAKE_LIMIT, acceptor.accept(tcp));
                let Some(Ok(tls)) = Box::pin(accepted).await else { return };
                let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
                (Raw::Tls(Box::new(tls)), http2)
            }
            _ => (Raw::Plain(tcp), false),
        };
        let total = self.shared.gate.buffered.clone();
        let Ok(mut conn) = Conn::new(raw, ctl, self.bounds(), total) else { return };
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
    }

    /// What a connection may take.
    fn bounds(&self) -> Bounds {
        let limits = &self.shared.config.limits;
        Bounds {
            header: HeaderBounds { time: limits.header_timeout, size: limits.max_header },
            half_close: limits.half_close == HalfClose::Deliver,
        }
    }

    /// What comes before a first request: it has its time, and none once the proxy drains.
    async fn unless_draining<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        let mut draining = self.shared.draining();
        tokio::select! {
            biased;
            done = work => Some(done),
            _ = draining.wait_for(|draining| *draining) => None,
            () = tokio::time::sleep(limit) => None,
        }
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
            // what the kernel holds, the reactor may not have told yet
            _ = draining.wait_for(|draining| *draining) => conn.has_bytes(),
            () = tokio::time::sleep(self.shared.config.idle_timeout) => {
                self.shared.meets.note(Met::Idle);
                false
            }
        }
    }

    async fn http1(&self, mut conn: Conn) {
        let draining = self.shared.draining();
        let limits = &self.shared.config.limits;
        while self.park(&mut conn).await {
            let ctl = conn.ctl().clone();
            let hooked = ctl.hooked();
            conn.begin_request();
            let mut session = ServerSession::new_http1(Box::new(conn));
            // until the header is read this is the longest pause in it, which our stream bounds before; then the header
            // says whether to keep alive
            session.set_keepalive(Some(limits.header_timeout.as_secs() + HEADER_SLACK_S));
            session.set_read_timeout(Some(limits.body_timeout));
            session.set_abort_on_close(limits.half_close == HalfClose::Abort);
            let reused = self.proxy.process_new_http(session, &draining).await;
            if ctl.hooked() == hooked {
                self.unhooked(&ctl);
            }
            let lingering = ctl.take_lingering();
            // None: closed, or its bytes were not all HTTP
            let Some((stream, settings)) = reused.map(pingora_core::apps::ReusedHttpStream::consume) else {
                if let Some(socket) = lingering {
                    Box::pin(linger(socket)).await;
                }
                return;
            };
            drop(settings); // pipelining is off, so they carry no bytes
            let Ok(same) = stream.into_any().downcast::<Conn>() else { return };
            conn = *same;
        }
    }

    async fn http2(&self, mut conn: Conn) {
        conn.speak_h2();
        let ctl = conn.ctl().clone();
        let digest = Arc::new(Digest {
            proxy_digest: Some(conn.proxy_digest()),
            socket_digest: conn.get_socket_digest(),
            ..Digest::default()
        });
        let limits = &self.shared.config.limits;
        let mut options = default_h2_options();
        options
            .max_concurrent_streams(limits.max_streams)
            .max_header_list_size(u32::try_from(limits.max_header).unwrap_or(u32::MAX))
            .max_send_buffer_size(SEND_BUFFER);
        let shaken = self.unless_draining(HANDSHAKE_LIMIT, handshake(Box::new(conn), Some(options)));
        let Some(Ok(mut http2)) = shaken.await else { return };
        let mut draining = self.shared.draining();
        let (mut drained, mut asked_to_leave) = (false, false);
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
                how = ctl.farewell() => {
                    match how {
                        Farewell::Goaway(code) if code == u32::from(Reason::NO_ERROR) => http2.graceful_shutdown(),
                        Farewell::Goaway(code) => http2.abrupt_shutdown(code.into()),
                        Farewell::Reset => return ctl.reset_on_close(),
                    }
                    continue;
                }
                () = self.idle(&ctl) => {
                    if asked_to_leave {
                        return; // a client that has nothing under way, and does not close, is not waited for
                    }
                    self.shared.meets.note(Met::Idle);
                    http2.graceful_shutdown();
                    (drained, asked_to_leave) = (true, true);
                    continue;
                }
            };
            match accepted {
                Ok(Some(H2Accept::Session(session))) => {
                    if session.req_header().method == http::Method::CONNECT {
                        self.refused(ctl.edge, "parse"); // pingora answers 405 before any hook
                    }
                    let open = OpenStream::of(&ctl, self.shared.alive());
                    tokio::spawn(stream(self.proxy.clone(), session, self.shared.draining(), open));
                }
                Ok(Some(H2Accept::Rejected)) => {
                    self.refused(ctl.edge, "parse");
                    rejected += 1;
                    if rejected >= MAX_REJECTED {
                        return self.shared.meets.note(Met::Malformed);
                    }
                }
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Resolves when a connection has had no stream for the idle time.
    async fn idle(&self, ctl: &ConnCtl) {
        loop {
            tokio::time::sleep(self.shared.config.idle_timeout).await;
            if ctl.streams() == 0 {
                return;
            }
        }
    }

    /// A request that reached no hook: the parser refused it, or its client left before the end of its header.
    fn unhooked(&self, ctl: &ConnCtl) {
        if let Some(why) = ctl.refusal() {
            match why {
                Refusal::Parse => {}
                Refusal::HeaderTime => self.shared.meets.note(Met::HeaderTime),
                Refusal::HeaderSize => self.shared.meets.note(Met::HeaderSize),
            }
            return self.refused(ctl.edge, why.as_str());
        }
        self.shared.totals.open(ctl.edge);
        self.shared.totals.post(ctl.edge, |books| {
            books.client_gone += 1;
            bump(&mut books.not_recorded, "no_header");
        });
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

/// A stream of an HTTP/2 connection, counted for as long as it is open.
struct OpenStream(Arc<ConnCtl>, #[expect(dead_code, reason = "held for its drop")] Alive);

impl OpenStream {
    fn of(ctl: &Arc<ConnCtl>, alive: Alive) -> OpenStream {
        ctl.open_stream();
        OpenStream(ctl.clone(), alive)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.close_stream();
    }
}

async fn stream(
    proxy: Arc<HttpProxy<Service>>,
    session: H2Session,
    draining: watch::Receiver<bool>,
    open: OpenStream,
) {
    proxy.process_new_http(ServerSession::new_http2(session), &draining).await;
    drop(open);
}

/// Reads what a client still sends after its answer, so that the close is a FIN and the answer stays readable.
async fn linger(socket: std::net::TcpStream) {
    let Ok(mut tcp) = TcpStream::from_std(socket) else { return };
    let discard = async {
        // an error means that the client is gone: nothing is lost then
        let _ = tcp.shutdown().await;
        let mut waste = vec![0; 16 * 1024];
        while let Ok(Ok(1..)) = tokio::time::timeout(LINGER_PAUSE, tcp.read(&mut waste)).await {}
    };
    let _ = tokio::time::timeout(LINGER_LIMIT, discard).await;
}

const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Seconds by which pingora's own bound on a pause in a header lies above ours.
const HEADER_SLACK_S: u64 = 10;
/// A client that goes on sending after its answer is read from for so long, and waited for between two pieces.
const LINGER_LIMIT: Duration = Duration::from_secs(5);
const LINGER_PAUSE: Duration = Duration::from_secs(1);
/// Bytes of an HTTP/2 answer that wait for a client that does not read, for each stream.
const SEND_BUFFER: usize = 64 * 1024;
/// Malformed requests after which an HTTP/2 connection is closed; pingora counts them in its own loop only.
const MAX_REJECTED: u32 = 32;
