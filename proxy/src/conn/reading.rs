//! What a client sends on HTTP/1, handed to pingora one request at a time and within its bounds.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::ctl::Refusal;
use super::framing::Framing;
use super::{Conn, Filter};

/// Bytes that were read from the socket and not handed over: the next request, or the byte that ended a wait.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    bytes: Vec<u8>,
    /// How many of them were handed over.
    taken: usize,
}

impl Ahead {
    pub(super) fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn left(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// Hands over as many as fit.
    pub(super) fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let fits = self.left().len().min(buf.remaining());
        buf.put_slice(&self.left()[..fits]);
        self.take(fits);
    }

    pub(super) fn take(&mut self, count: usize) {
        self.taken += count;
        if self.is_empty() {
            *self = Ahead::default();
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

impl Conn {
    /// Reads what is there, by way of the stack: a connection that waits holds no buffer. Gives how much; 0 is the end.
    pub(super) fn poll_read_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [MaybeUninit::uninit(); READ_AHEAD];
        let mut buf = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut self.raw).poll_read(cx, &mut buf))?;
        self.ahead.push(buf.filled());
        Poll::Ready(Ok(buf.filled().len()))
    }

    /// A read of pingora's: never beyond the end of the request that it is at.
    pub(super) fn poll_read_request(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(body) = self.ctl.take_framing() {
            self.framing = Framing::of(body);
        }
        let idle = self.ctl.is_request_over() && self.framing != Framing::Endless;
        if buf.remaining() == 1 && idle {
            return self.poll_probe(cx, buf);
        }
        if self.inbound.is_some() {
            return self.poll_read_shaped(cx, buf);
        }
        let before = buf.filled().len();
        let ours = if self.ahead.is_empty() {
            let Poll::Ready(read) = Pin::new(&mut self.raw).poll_read(cx, buf) else {
                return self.poll_overdue(cx);
            };
            read?;
            let read = &buf.filled()[before..];
            let ours = self.framing.admit(read);
            if ours < read.len() {
                self.ahead.push(&read[ours..]);
                buf.set_filled(before + ours);
            }
            ours
        } else {
            let fits = self.ahead.left().len().min(buf.remaining());
            let ours = self.framing.admit(&self.ahead.left()[..fits]);
            buf.put_slice(&self.ahead.left()[..ours]);
            self.ahead.take(ours);
            ours
        };
        self.account();
        if self.round.is_before_hooks(&self.ctl) && self.round.header_grew(ours) {
            return self.refuse(cx, Refusal::HeaderSize);
        }
        Poll::Ready(Ok(()))
    }

    /// Pingora's question whether the client is still there, one byte long. A byte that is there is kept for the next
    /// request; then the question stays open, since a client that sends more has not left.
    fn poll_probe(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            ready!(Pin::new(&mut self.raw).poll_read(cx, buf))?;
            self.ahead.push(buf.filled());
            buf.clear();
        }
        if self.ahead.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Nothing is there to be read: is it a header that takes too long?
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.round.is_before_hooks(&self.ctl) {
            ready!(self.round.poll_overdue(cx));
            return self.refuse(cx, Refusal::HeaderTime);
        }
        Poll::Pending
    }

    /// Ends the connection with an answer of ours. A client that does not take it goes without.
    fn refuse(&mut self, cx: &mut Context<'_>, why: Refusal) -> Poll<io::Result<()>> {
        self.ctl.refuse(why);
        self.out.extend_from_slice(why.answer().as_bytes());
        if self.poll_drain_and_flush(cx).is_ready()
            && let Ok(socket) = self.duplicate()
        {
            self.ctl.linger(socket);
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Tells the proxy's total what this connection holds, where that has changed.
    pub(super) fn account(&mut self) {
        let behind = if self.stall.is_some() { STALLED * self.ctl.answers() } else { 0 };
        let shaped = if let Filter::Http1(outbound) = &self.filter { outbound.holds() } else { 0 };
        self.held.set(self.out.capacity() + self.ahead.capacity() + shaped + behind);
    }

    /// What came of a write: a client that takes nothing for its time is given up.
    pub(super) fn watch_stall<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            if self.stall.take().is_some() {
                self.account();
            }
            return polled;
        }
        let limit = self.bounds.send_timeout;
        let begins = self.stall.is_none();
        let timer = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        let over = timer.as_mut().poll(cx);
        if begins {
            self.account();
        }
        ready!(over);
        self.ctl.give_up_deaf();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Most requests are whole in so much.
const READ_AHEAD: usize = 4096;

/// What waits in the HTTP layer behind an answer that its client does not take, at the most: the piece that is being
/// written, of 64 KB, and the pipe.
const STALLED: usize = 64 * 1024 + PIPE;

/// What waits in the pipe from the upstream behind an answer that is not written on, at the most: four pieces.
pub(crate) const PIPE: usize = 4 * 64 * 1024;
