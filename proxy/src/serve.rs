//! A connection from accept to close.
//!
//! ```text
//! accept -> (TLS) -> HTTP/1: park until a byte comes -> one exchange -> park ...
//!                 \-> HTTP/2: streams side by side until the client closes
//! ```
//!
//! Between requests a connection waits outside pingora's request machinery, which alone would hold 30 KB.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use h2::Reason;
use pingora_core::apps::{HttpServerApp, ReusedHttpStream};
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{
    H2Accept, HttpSession as H2Session, default_h2_options, handshake,
};
use pingora_proxy::HttpProxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};
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
    /// For pingora, which only looks at it.
    draining: watch::Receiver<bool>,
}

impl Server {
    pub(crate) fn new(shared: Arc<Shared>, proxy: HttpProxy<Service>, tls: Option<TlsAcceptor>) -> Self {
        Server { draining: shared.draining(), shared, proxy: Arc::new(proxy), tls }
    }

    /// Serves one connection to its end. What it needs only at first is boxed: idle connections are many.
    pub(crate) async fn connection(
        self: Arc<Self>,
        tcp: TcpStream,
        (peer, edge): (SocketAddr, usize),
        _alive: Alive,
    ) {
        let ctl = Arc::new(ConnCtl::new(self.shared.next_connection(), edge, peer));
        match Box::pin(self.greet(tcp, ctl.clone())).await {
            Some((conn, true)) => {
                Box::pin(self.http2(conn)).await;
                if let Some(socket) = ctl.take_lingering() {
                    Box::pin(linger(socket)).await;
                }
            }
            Some((conn, false)) => self.http1(conn).await,
            None => {}
        }
        if ctl.was_deaf() {
            self.shared.meets.note(Met::SendTime);
        }
    }

    /// TLS, and which HTTP it is: under TLS, ALPN says; clear text says so by its first bytes. `None`: the client left,
    /// or stayed silent.
    async fn greet(&self, tcp: TcpStream, ctl: Arc<ConnCtl>) -> Option<(Box<Conn>, bool)> {
        let gate = self.shared.gate.clone();
        match (&self.tls, self.shared.edges[ctl.edge].tls) {
            (Some(acceptor), true) => {
                let tls = self.unless_draining(HANDSHAKE_LIMIT, acceptor.accept(tcp)).await?.ok()?;
                let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
                Some((Box::new(Conn::new(Raw::Tls(Box::new(tls)), ctl, self.bounds(), gate)), http2))
            }
            _ => {
                let mut conn = Box::new(Conn::new(Raw::Plain(tcp), ctl, self.bounds(), gate));
                if !self.first_bytes(&mut conn).await {
                    return None;
                }
                let http2 = conn.starts_with_h2_preface().await.ok()?;
                Some((conn, http2))
            }
        }
    }

    /// What a connection may take.
    fn bounds(&self) -> Bounds {
        let limits = &self.shared.config.limits;
        Bounds {
            header: HeaderBounds { time: limits.header_timeout, size: limits.max_header },
            send_timeout: limits.send_timeout,
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

    /// Waits for the first bytes of a client. False: it left, or stayed silent.
    async fn first_bytes(&self, conn: &mut Conn) -> bool {
        let mut draining = self.shared.draining();
        tokio::select! {
            biased; // a request that is there already is served, even while draining
            ready = poll_fn(|cx| conn.poll_park(cx)) => ready.unwrap_or(false),
            // what the kernel holds, the reactor may not have told yet
            _ = draining.wait_for(|draining| *draining) => conn.has_bytes(),
            () = tokio::time::sleep(self.shared.config.idle_timeout) => {
                self.shared.meets.note(Met::Idle);
                false
            }
        }
    }

    async fn http1(&self, mut conn: Box<Conn>) {
        let ctl = conn.ctl().clone();
        // These live as long as the connection: made anew for each request they would cost more than the rest of it.
        let mut draining = self.shared.draining();
        let drained = pin!(draining.wait_for(|draining| *draining).map(drop));
        let alarm = pin!(tokio::time::sleep(self.shared.config.idle_timeout));
        let mut rest = Rest { drained, alarm, shared: &self.shared };
        while rest.park(&mut conn).await {
            let hooked = ctl.hooked();
            conn.begin_request();
            let reused = self.exchange(conn).await;
            if ctl.hooked() == hooked {
                self.unhooked(&ctl);
            }
            let lingering = ctl.take_lingering();
            // None: closed, or its bytes were not all HTTP
            let Some((stream, settings)) = reused.map(ReusedHttpStream::consume) else {
                if let Some(socket) = lingering {
                    Box::pin(linger(socket)).await;
                }
                return;
            };
            drop(settings); // pipelining is off, so they carry no bytes
            let Ok(same) = stream.into_any().downcast::<Conn>() else { return };
            conn = same;
        }
    }

    /// One exchange of an HTTP/1 connection, which comes back if it may be used again. No `async fn`: the connection's own
    /// task would keep room for the session.
    fn exchange(&self, conn: Box<Conn>) -> impl Future<Output = Option<ReusedHttpStream>> {
        let limits = &self.shared.config.limits;
        let mut session = ServerSession::new_http1(conn);
        // until the header is read this is the longest pause in it, which our stream bounds before; then the header
        // says whether to keep alive
        session.set_keepalive(Some(limits.header_timeout.as_secs() + HEADER_SLACK_S));
        session.set_read_timeout(Some(limits.body_timeout));
        session.set_abort_on_close(limits.half_close == HalfClose::Abort);
        self.proxy.process_new_http(session, &self.draining)
    }

    async fn http2(&self, mut conn: Box<Conn>) {
        conn.speak_h2();
        let ctl = conn.ctl().clone();
        let Ok(proxy_digest) = conn.proxy_digest() else { return };
        let digest = Arc::new(Digest { proxy_digest: Some(proxy_digest), ..Digest::default() });
        let limits = &self.shared.config.limits;
        let mut options = default_h2_options();
        options
            .max_concurrent_streams(limits.max_streams)
            .max_header_list_size(u32::try_from(limits.max_header).unwrap_or(u32::MAX))
            .max_send_buffer_size(SEND_BUFFER);
        let shaken = self.unless_draining(HANDSHAKE_LIMIT, handshake(conn, Some(options)));
        let Some(Ok(mut http2)) = Box::pin(shaken).await else { return };
        let mut draining = self.shared.draining();
        let (mut drained, mut asked_to_leave) = (false, false);
        let mut rejected = 0;
        loop {
            let accepted = tokio::select! {
                biased;
                how = ctl.farewell() => {
                    match how {
                        Farewell::Goaway(code) if code == u32::from(Reason::NO_ERROR) => http2.graceful_shutdown(),
                        Farewell::Goaway(code) => http2.abrupt_shutdown(code.into()),
                        Farewell::Reset => return ctl.reset_on_close(),
                    }
                    continue;
                }
                accepted = H2Session::from_h2_conn(&mut http2, digest.clone()) => accepted,
                _ = draining.wait_for(|draining| *draining), if !drained => {
                    drained = true;
                    http2.graceful_shutdown();
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
                    let mut session = ServerSession::new_http2(session);
                    session.set_write_timeout(Some(limits.send_timeout));
                    tokio::spawn(stream(self.proxy.clone(), session, self.draining.clone(), open));
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

/// What ends an HTTP/1 connection's wait for its next request, beside its client.
struct Rest<'a, F> {
    drained: Pin<&'a mut F>,
    alarm: Pin<&'a mut Sleep>,
    shared: &'a Shared,
}

impl<F: Future<Output = ()>> Rest<'_, F> {
    /// Waits for the next request. False: the connection is to be closed.
    async fn park(&mut self, conn: &mut Conn) -> bool {
        let mut until = None;
        let limit = self.shared.config.idle_timeout;
        let wait = |cx: &mut Context<'_>| {
            // a request that is there already is served, even while draining
            if let Poll::Ready(ready) = conn.poll_park(cx) {
                return Poll::Ready(ready.unwrap_or(false));
            }
            // what the kernel holds, the reactor may not have told yet
            if self.shared.is_draining() || self.drained.as_mut().poll(cx).is_ready() {
                return Poll::Ready(conn.has_bytes());
            }
            let until = *until.get_or_insert_with(|| Instant::now() + limit);
            loop {
                ready!(self.alarm.as_mut().poll(cx));
                if until <= self.alarm.deadline() {
                    self.shared.meets.note(Met::Idle);
                    return Poll::Ready(false);
                }
                self.alarm.as_mut().reset(until); // it was set for an earlier wait
            }
        };
        poll_fn(wait).await
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
    session: ServerSession,
    draining: watch::Receiver<bool>,
    open: OpenStream,
) {
    proxy.process_new_http(session, &draining).await;
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
