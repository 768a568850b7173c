//! The stream under HTTP: our own, so that what reaches the wire, and when, is ours to say.
//!
//! ```text
//! TcpStream -> Raw (clear or TLS) -> Conn (write buffer, one request at a time, shapes, cuts) -> pingora's HTTP session
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
mod payload;
mod raw;
mod reading;
mod round;
mod shaped;
mod trailers;

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use pingora_http::ResponseHeader;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::time::{Instant, Sleep};

use crate::gate::{Gate, Held};

pub(crate) use ctl::{ConnCtl, Ended, Farewell, Refusal};
pub(crate) use cut::Cut;
pub(crate) use framing::BodyFraming;
pub(crate) use inbound::InboundOrder;
pub(crate) use outq::unacknowledged;
pub(crate) use pause::Pause;
pub(crate) use raw::Raw;
pub(crate) use reading::PIPE;
pub(crate) use round::HeaderBounds;
pub(crate) use trailers::last_chunk;

use ending::Ending;
use framing::Framing;
use h2_cut::H2Cut;
use inbound::Inbound;
use outbound::Outbound;
use reading::Ahead;
use round::Round;
use trailers::{LAST_CHUNK, SIZE_OF_LAST_CHUNK};

/// A client's connection as pingora sees it.
pub(crate) struct Conn {
    raw: Raw,
    ctl: Arc<ConnCtl>,
    ahead: Ahead,
    framing: Framing,
    /// What was written last could be the size of a chunk that looks like the last one.
    in_decoy: bool,
    round: Round,
    bounds: Bounds,
    held: Held,
    /// Runs while the client does not take what it asked for.
    stall: Option<Pin<Box<Sleep>>>,
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

/// What a connection may take, and how its client is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) header: HeaderBounds,
    /// A client may take nothing of its answer for so long.
    pub(crate) send_timeout: Duration,
    /// A client that has closed its sending side waits for its answer.
    pub(crate) half_close: bool,
}

impl Conn {
    /// Wraps an accepted connection; what it holds is counted at the gate.
    pub(crate) fn new(raw: Raw, ctl: Arc<ConnCtl>, bounds: Bounds, gate: Arc<Gate>) -> Conn {
        Conn {
            raw,
            round: Round::begin(&ctl, bounds.header),
            bounds,
            held: Held::of(gate),
            stall: None,
            ctl,
            ahead: Ahead::default(),
            framing: Framing::head(),
            in_decoy: false,
            out: Vec::new(),
            sent: 0,
            filter: Filter::Open,
            inbound: None,
            ending: Ending::No,
        }
    }

    /// From here on the bytes are HTTP/2 frames.
    pub(crate) fn speak_h2(&mut self) {
        self.filter = Filter::Http2(Box::default());
    }

    /// The next HTTP/1 request begins.
    pub(crate) fn begin_request(&mut self) {
        self.round = Round::begin(&self.ctl, self.bounds.header);
        self.framing = Framing::head();
        self.inbound = None;
    }

    /// Resolves when the client has left; reads nothing.
    ///
    /// # Cancel safety
    /// Safe: it holds no data.
    pub(crate) async fn hung_up(&self) {
        while let Ok(ready) = self.raw.socket().ready(self.leaving()).await {
            if self.is_left(ready) {
                return;
            }
            // bytes wait there for somebody else, and would wake us again at once
            tokio::time::sleep(HANG_UP_GLANCE).await;
        }
    }

    /// Has the client left?
    pub(crate) fn is_hung_up(&self) -> bool {
        let ready = self.raw.socket().ready(self.leaving()).now_or_never();
        ready.is_some_and(|ready| ready.is_ok_and(|ready| self.is_left(ready)))
    }

    /// A client leaves by closing its side, or where that is allowed, by a reset only.
    fn leaving(&self) -> Interest {
        if self.bounds.half_close { Interest::ERROR } else { Interest::READABLE }
    }

    fn is_left(&self, ready: Ready) -> bool {
        if self.bounds.half_close { ready.is_error() } else { ready.is_read_closed() }
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

    /// What hands the control block to the hooks of an HTTP/2 stream; those of HTTP/1 find it in this stream.
    ///
    /// # Errors
    /// None: pingora wants a header beside it, which can be built.
    pub(crate) fn proxy_digest(&self) -> io::Result<Arc<ProxyDigest>> {
        let header = ResponseHeader::build(200, Some(0)).map_err(io::Error::other)?;
        Ok(Arc::new(ProxyDigest::new(Box::new(header), Some(Box::new(self.ctl.clone())))))
    }

    /// Waits for the first bytes of the next request without holding buffers. False: the client has closed.
    pub(crate) fn poll_park(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if !self.ahead.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let Poll::Ready(read) = self.poll_read_ahead(cx) else {
            self.out = Vec::new();
            self.account();
            return Poll::Pending;
        };
        Poll::Ready(read.map(|read| 0 < read))
    }

    /// Does the connection begin with the HTTP/2 preface ("PRI ")? Clear text only; under TLS, ALPN says.
    pub(crate) async fn starts_with_h2_preface(&mut self) -> io::Result<bool> {
        let deadline = Instant::now() + PREFACE_LIMIT;
        while self.ahead.left().len() < PREFACE.len() && PREFACE.starts_with(self.ahead.left()) {
            // "P", "PR", "PRI": a client that sends byte by byte; "PUT" differs at its second
            let more = tokio::time::timeout_at(deadline, poll_fn(|cx| self.poll_read_ahead(cx))).await;
            match more {
                Ok(Ok(1..)) => {}
                Ok(Ok(0)) | Err(_) => return Ok(false),
                Ok(Err(error)) => return Err(error),
            }
        }
        Ok(self.ahead.left().starts_with(PREFACE))
    }

    /// Moves the write buffer to the socket.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.out.len() {
            let polled = Pin::new(&mut self.raw).poll_write(cx, &self.out[self.sent..]);
            let wrote = ready!(self.watch_stall(polled, cx))?;
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
        let drained = self.poll_drain(cx)?.is_ready() && Pin::new(&mut self.raw).poll_flush(cx)?.is_ready();
        match (self.ending.is_no(), drained) {
            (true, true) => Poll::Ready(Ok(())),
            (true, false) => Poll::Pending,
            (false, _) => self.ending.poll((&mut self.raw, &self.ctl), drained, cx).map(Err),
        }
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

    /// Asked of every write once an answer has trailers.
    fn is_last_chunk(&mut self, buf: &[u8]) -> bool {
        let after_size = std::mem::replace(&mut self.in_decoy, buf == SIZE_OF_LAST_CHUNK);
        buf == LAST_CHUNK && !after_size
    }

    /// Bytes of an HTTP/1 answer.
    fn poll_write_answer(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.follow_orders();
        if matches!(self.filter, Filter::Http1(_)) && !buf.is_empty() {
            return self.poll_write_shaped(cx, buf);
        }
        if self.round.is_before_hooks(&self.ctl) {
            self.round.sign(buf, &self.ctl, &mut self.out);
            return Poll::Ready(Ok(buf.len()));
        }
        if self.ctl.has_last_chunk() && self.is_last_chunk(buf) {
            self.out.extend(self.ctl.take_last_chunk().unwrap_or_default());
            return Poll::Ready(Ok(buf.len()));
        }
        self.poll_write_open(cx, buf)
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
            let polled = Pin::new(&mut self.raw).poll_write_vectored(cx, &slices);
            let wrote = ready!(self.watch_stall(polled, cx))?;
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
            if this.ahead.is_empty() {
                return Pin::new(&mut this.raw).poll_read(cx, buf);
            }
            this.ahead.give(buf);
            return Poll::Ready(Ok(()));
        }
        this.follow_orders();
        if let Poll::Ready(Err(error)) = this.poll_idle(cx) {
            return Poll::Ready(Err(error));
        }
        this.poll_read_request(cx, buf)
    }
}

impl AsyncWrite for Conn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if !this.ending.is_no() {
            ready!(this.poll_drain_and_flush(cx))?;
        }
        if BUFFER <= this.out.len() - this.sent && this.poll_drain(cx)?.is_pending() {
            return this.poll_idle(cx).map_ok(|()| 0);
        }
        let wrote = if let Filter::Http2(frames) = &mut this.filter {
            frames.push(buf, &this.ctl, &mut this.out);
            if frames.is_fatal() {
                this.ending = Ending::reset();
            }
            buf.len()
        } else {
            ready!(this.poll_write_answer(cx, buf))?
        };
        this.account();
        Poll::Ready(Ok(wrote))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.holds_the_end() && this.poll_idle(cx)?.is_pending() && this.holds_the_end() {
            return Poll::Pending;
        }
        match this.poll_drain_and_flush(cx) {
            Poll::Pending => this.poll_idle(cx),
            flushed => flushed,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain_and_flush(cx))?;
        Pin::new(&mut self.raw).poll_shutdown(cx)
    }
}

impl Drop for Conn {
    /// A close becomes a reset where one was asked for: with a linger of zero the kernel sends RST. Before any other close
    /// goes what was written: pingora drops an answer whose upstream died without a flush.
    fn drop(&mut self) {
        if !self.ctl.wants_reset() && self.ending.is_no() {
            let mut nobody = Context::from_waker(Waker::noop());
            let _ = self.poll_drain_and_flush(&mut nobody); // of a client that does not read this is all it gets
        }
        if self.ctl.wants_reset() {
            let socket = socket2::SockRef::from(self.raw.socket());
            if let Err(error) = socket.set_linger(Some(Duration::ZERO)) {
                tracing::debug!(%error, "could not turn a close into a reset");
            }
        } else if self.ctl.ended_by().is_some()
            && let Ok(socket) = self.duplicate()
        {
            self.ctl.linger(socket); // what the client still sends is not to take the GOAWAY back
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
        None
    }
}

impl GetSocketDigest for Conn {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None // it would hold more than the rest of an idle connection, and the hooks ask the control block
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

/// What HTTP/2 begins with, as far as no request of HTTP/1 does, and how long a connection that trickles it in has.
const PREFACE: &[u8] = b"PRI ";
const PREFACE_LIMIT: Duration = Duration::from_secs(1);
