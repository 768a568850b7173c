//! The stream under HTTP: our own, so that what reaches the wire, and when, is ours to say.
//!
//! ```text
//! TcpStream -> Raw (clear or TLS) -> Conn (write buffer, bytes read ahead, shapes, cuts) -> pingora's HTTP session
//! ```
//!
//! Three invariants. What pingora wrote is on its way before the connection waits for more (`poll_read`
//! drains the write buffer first; pingora alone holds the header of a Content-Length answer back until the
//! body ends). An end at a byte lets through exactly the bytes asked for, and a reset waits until the peer's kernel
//! has them. With nothing armed the bytes pass unchanged.

mod ctl;
mod cut;
mod ending;
mod framing;
mod h2_cut;
mod h2_tag;
mod inbound;
mod outbound;
mod outq;
mod pause;
mod raw;
mod round;
mod shaped;

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use pingora_http::ResponseHeader;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Interest, ReadBuf};

pub(crate) use ctl::{ConnCtl, Ended, Farewell};
pub(crate) use cut::Cut;
pub(crate) use inbound::InboundOrder;
pub(crate) use pause::Pause;
pub(crate) use raw::Raw;

use ending::Ending;
use h2_cut::H2Cut;
use inbound::Inbound;
use outbound::Outbound;
use round::Round;

/// A client's connection as pingora sees it.
pub(crate) struct Conn {
    raw: Raw,
    ctl: Arc<ConnCtl>,
    digest: Arc<ProxyDigest>,
    socket: Arc<SocketDigest>,
    parked: Option<u8>,
    /// What was read from the socket and not handed over yet.
    ahead: BytesMut,
    round: Round,
    out: Vec<u8>,
    /// Bytes of `out` that the socket has taken.
    sent: usize,
    filter: Filter,
    inbound: Option<Box<Inbound>>,
    ending: Ending,
}

/// What stands between pingora's writes and the buffer.
enum Filter {
    /// HTTP/1, nothing to shape.
    Open,
    Http1(Box<Outbound>),
    Http2(Box<H2Cut>),
}

impl Conn {
    /// Wraps an accepted connection.
    pub(crate) fn new(raw: Raw, ctl: Arc<ConnCtl>) -> io::Result<Conn> {
        use std::os::fd::AsRawFd;
        let header = ResponseHeader::build(200, Some(0)).map_err(io::Error::other)?;
        let socket = SocketDigest::from_raw_fd(raw.socket().as_raw_fd());
        Ok(Conn {
            digest: Arc::new(ProxyDigest::new(Box::new(header), Some(Box::new(ctl.clone())))),
            socket: Arc::new(socket),
            raw,
            round: Round::begin(&ctl, false),
            ctl,
            parked: None,
            ahead: BytesMut::new(),
            out: Vec::new(),
            sent: 0,
            filter: Filter::Open,
            inbound: None,
            ending: Ending::No,
        })
    }

    /// From here on the bytes are HTTP/2 frames.
    pub(crate) fn speak_h2(&mut self) {
        self.filter = Filter::Http2(Box::default());
    }

    /// The next HTTP/1 request begins. `keep_body`: what follows its header is not handed over with it, since it may
    /// come under a shape.
    pub(crate) fn begin_request(&mut self, keep_body: bool) {
        self.round = Round::begin(&self.ctl, keep_body);
        self.inbound = None;
    }

    /// Resolves when the client has closed its side; reads nothing.
    ///
    /// # Cancel safety
    /// Safe: it holds no data.
    pub(crate) async fn hung_up(&self) {
        while let Ok(ready) = self.raw.socket().ready(Interest::READABLE).await {
            if ready.is_read_closed() {
                return;
            }
            // bytes wait there for somebody else, and would wake us again at once
            tokio::time::sleep(HANG_UP_GLANCE).await;
        }
    }

    /// Has the client closed its side?
    pub(crate) fn is_hung_up(&self) -> bool {
        self.raw.is_hung_up()
    }

    /// Has the client sent something that nobody has read?
    pub(crate) fn has_bytes(&self) -> bool {
        if !self.ahead.is_empty() {
            return true;
        }
        let mut byte = [std::mem::MaybeUninit::uninit()];
        socket2::SockRef::from(self.raw.socket()).peek(&mut byte).is_ok_and(|seen| seen > 0)
    }

    /// A second handle of the socket, to keep it open behind this stream.
    pub(crate) fn duplicate(&self) -> io::Result<std::net::TcpStream> {
        socket2::SockRef::from(self.raw.socket()).try_clone().map(Into::into)
    }

    pub(crate) fn ctl(&self) -> &Arc<ConnCtl> {
        &self.ctl
    }

    pub(crate) fn proxy_digest(&self) -> Arc<ProxyDigest> {
        self.digest.clone()
    }

    /// Waits for the first byte of the next request without holding buffers. False: the client has closed.
    ///
    /// # Cancel safety
    /// Safe: a byte that was read stays parked in the stream.
    pub(crate) async fn park(&mut self) -> io::Result<bool> {
        self.out = Vec::new();
        if self.parked.is_some() || !self.ahead.is_empty() {
            return Ok(true);
        }
        self.ahead = BytesMut::new();
        let mut byte = [0; 1];
        let read = match &mut self.raw {
            Raw::Plain(tcp) => return Ok(tcp.peek(&mut byte).await? > 0),
            // Not a peek at the socket: decrypted bytes may wait inside the TLS session.
            Raw::Tls(tls) => tls.read(&mut byte).await?,
        };
        self.parked = (read > 0).then_some(byte[0]);
        Ok(read > 0)
    }

    /// Does the connection begin with the HTTP/2 preface ("PRI ")? Clear text only; under TLS, ALPN says.
    pub(crate) async fn starts_with_h2_preface(&mut self) -> io::Result<bool> {
        let Raw::Plain(tcp) = &self.raw else { return Ok(false) };
        let mut start = [0; 4];
        for _ in 0..PREFACE_TRIES {
            let seen = tcp.peek(&mut start).await?;
            if seen == 0 || start[..seen] != b"PRI "[..seen] {
                return Ok(false);
            }
            if seen == start.len() {
                return Ok(true);
            }
            // "P", "PR", "PRI": a client that sends byte by byte; "PUT" differs at its second
            tokio::time::sleep(PREFACE_PAUSE).await;
        }
        Ok(false)
    }

    /// Moves the write buffer to the socket.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.out.len() {
            let wrote = ready!(Pin::new(&mut self.raw).poll_write(cx, &self.out[self.sent..]))?;
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += wrote;
        }
        self.out.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_drain_and_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        ready!(Pin::new(&mut self.raw).poll_flush(cx))?;
        if self.ending.is_no() {
            return Poll::Ready(Ok(()));
        }
        self.ending.poll(&mut self.raw, &self.ctl, cx).map(Err)
    }

    /// Picks up what the fault path has ordered since, or lets go of what it took back.
    fn follow_orders(&mut self) {
        match (&self.filter, self.ctl.answer_order()) {
            (Filter::Open, Some(Some(shaping))) => {
                self.filter = Filter::Http1(Box::new(Outbound::new(shaping)));
            }
            (Filter::Http1(_), None) if self.ending.is_no() => self.filter = Filter::Open,
            _ => {}
        }
        match self.ctl.request_order() {
            Some(Some(order)) => self.inbound = Some(Box::new(Inbound::new(order))),
            Some(None) => {}
            None => self.inbound = None,
        }
    }

    fn poll_write_open(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let buffered = self.out.len() - self.sent;
            if buffered == 0 {
                self.out.clear();
                self.sent = 0;
            }
            if buffered + buf.len() <= BUFFER {
                self.out.extend_from_slice(buf);
                return Poll::Ready(Ok(buf.len()));
            }
            // large: what is buffered and the new bytes in one call, without copying the latter
            let slices = [IoSlice::new(&self.out[self.sent..]), IoSlice::new(buf)];
            let wrote = ready!(Pin::new(&mut self.raw).poll_write_vectored(cx, &slices))?;
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if wrote <= buffered {
                self.sent += wrote;
                continue;
            }
            self.out.clear();
            self.sent = 0;
            return Poll::Ready(Ok(wrote - buffered));
        }
    }
}

impl Conn {
    fn poll_read_open(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if self.ahead.is_empty() {
            ready!(Pin::new(&mut self.raw).poll_read(cx, buf))?;
        } else {
            let n = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead[..n]);
            self.ahead.advance(n);
        }
        if self.round.is_before_hooks(&self.ctl) {
            self.round.keep_body(buf, before, &mut self.ahead);
        }
        Poll::Ready(Ok(()))
    }

    /// Pingora's question whether the client is still there, one byte long. A byte that is there is kept for the next
    /// request; then the question stays open, since a client that sends more has not left.
    fn poll_probe(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.parked.is_none() && !self.ahead.is_empty() {
            return Poll::Pending;
        }
        if self.parked.is_none() {
            ready!(Pin::new(&mut self.raw).poll_read(cx, buf))?;
            self.parked = buf.filled().first().copied();
            buf.clear();
        }
        if self.parked.is_some() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl AsyncRead for Conn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if (!this.out.is_empty() || !this.ending.is_no())
            && let Poll::Ready(Err(error)) = this.poll_drain_and_flush(cx)
        {
            return Poll::Ready(Err(error));
        }
        if matches!(this.filter, Filter::Http2(_)) {
            return Pin::new(&mut this.raw).poll_read(cx, buf);
        }
        this.follow_orders();
        if let Poll::Ready(Err(error)) = this.poll_idle(cx) {
            return Poll::Ready(Err(error));
        }
        if buf.remaining() == 1 && this.ctl.is_request_over() {
            return this.poll_probe(cx, buf);
        }
        if this.round.is_overdue(&this.ctl) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if let Some(byte) = this.parked.take() {
            buf.put_slice(&[byte]);
            this.round.keep_body(buf, 0, &mut this.ahead);
            return Poll::Ready(Ok(()));
        }
        if this.inbound.is_some() {
            return this.poll_read_shaped(cx, buf);
        }
        this.poll_read_open(cx, buf)
    }
}

impl AsyncWrite for Conn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if BUFFER <= this.out.len() - this.sent {
            ready!(this.poll_drain(cx))?;
        }
        if !this.ending.is_no() {
            ready!(this.poll_drain_and_flush(cx))?;
        }
        if let Filter::Http2(frames) = &mut this.filter {
            frames.push(buf, &this.ctl, &mut this.out);
            if frames.is_fatal() {
                this.ending = Ending::reset();
            }
            return Poll::Ready(Ok(buf.len()));
        }
        this.follow_orders();
        if matches!(this.filter, Filter::Http1(_)) && !buf.is_empty() {
            return this.poll_write_shaped(cx, buf);
        }
        if this.round.is_before_hooks(&this.ctl) {
            this.round.sign(buf, &this.ctl, &mut this.out);
            return Poll::Ready(Ok(buf.len()));
        }
        this.poll_write_open(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_drain_and_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain_and_flush(cx))?;
        Pin::new(&mut self.raw).poll_shutdown(cx)
    }
}

impl Drop for Conn {
    /// A close becomes a reset where one was asked for: with a linger of zero the kernel sends RST.
    fn drop(&mut self) {
        if self.ctl.wants_reset() {
            let socket = socket2::SockRef::from(self.raw.socket());
            if let Err(error) = socket.set_linger(Some(Duration::ZERO)) {
                tracing::debug!(%error, "could not turn a close into a reset");
            }
        }
    }
}

#[async_trait]
impl Shutdown for Conn {
    async fn shutdown(&mut self) {
        use tokio::io::AsyncWriteExt;
        if !self.ctl.wants_reset() {
            // the client may be gone already: then there is nothing left to say to it
            let _ = AsyncWriteExt::shutdown(self).await;
        }
    }
}

impl UniqueID for Conn {
    fn id(&self) -> UniqueIDType {
        use std::os::fd::AsRawFd;
        self.raw.socket().as_raw_fd()
    }
}

impl Ssl for Conn {}
impl Peek for Conn {}

impl GetTimingDigest for Conn {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Conn {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(self.digest.clone())
    }
}

impl GetSocketDigest for Conn {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.socket.clone())
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("id", &self.ctl.id).field("peer", &self.ctl.peer).finish_non_exhaustive()
    }
}

/// Bytes held back before a write goes to the socket by itself. A small answer's header and body leave in one
/// call; above it copying costs more than the second system call saves.
const BUFFER: usize = 16 * 1024;

/// How soon a client that leaves is noticed while bytes of it wait to be read.
const HANG_UP_GLANCE: Duration = Duration::from_millis(25);

/// A connection that trickles in the first bytes of a preface gets this long (a second) to finish them.
const PREFACE_TRIES: u32 = 500;
const PREFACE_PAUSE: Duration = Duration::from_millis(2);
