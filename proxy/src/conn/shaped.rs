//! An HTTP/1 connection whose exchange is under shapes: the way out waits in `poll_write`, the way in in `poll_read`.
//!
//! Whoever writes is held up by its own write, so that nothing piles up: what waits is what pingora offers, at most
//! one of its buffers. A wait ends with its time, with its rule, and with the client.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::ReadBuf;

use super::ending::Ending;
use super::outbound::Flow;
use super::trailers::LAST_CHUNK;
use super::{Conn, Filter, HANG_UP_GLANCE};
use crate::faults::Cutoff;

impl Conn {
    /// Takes of `buf` what may go now, at least one byte.
    pub(super) fn poll_write_shaped(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let Filter::Http1(outbound) = &mut self.filter else { return Poll::Ready(Ok(0)) };
            let ends = self.ctl.has_last_chunk() && buf == LAST_CHUNK && outbound.is_between();
            let with_trailers = ends.then(|| self.ctl.last_chunk()).flatten();
            let (used, flow) = match outbound.let_go(&mut self.out) {
                Flow::More => outbound.push(with_trailers.as_deref().unwrap_or(buf), &mut self.out),
                held => (0, held),
            };
            let used = if ends && 0 < used { buf.len() } else { used };
            match flow {
                Flow::End(how) => {
                    self.begin_ending(how);
                    if used == 0 {
                        ready!(self.poll_drain_and_flush(cx))?;
                    }
                    return Poll::Ready(Ok(used));
                }
                Flow::Wait(until) if used == 0 => match outbound.hold(buf) {
                    0 => ready!(self.poll_held(until, cx))?,
                    taken => return Poll::Ready(Ok(taken)),
                },
                Flow::More | Flow::Wait(_) => return Poll::Ready(Ok(used)),
            }
        }
    }

    /// Ready when it is time to look again.
    fn poll_held(&mut self, until: Option<Instant>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // what has passed does not wait with the rest
        if let Poll::Ready(Err(error)) = self.poll_drain_and_flush(cx) {
            return Poll::Ready(Err(error));
        }
        let until = self.poll_client(until, cx)?;
        let Filter::Http1(outbound) = &mut self.filter else { return Poll::Ready(Ok(())) };
        ready!(outbound.pause.poll(until, cx));
        outbound.look_again();
        Poll::Ready(Ok(()))
    }

    fn begin_ending(&mut self, how: Cutoff) {
        self.ending = match how {
            Cutoff::Reset { .. } => Ending::reset(),
            Cutoff::Close => Ending::Close,
            Cutoff::WebsocketClose(frame) => {
                self.out.extend_from_slice(&frame);
                Ending::Close
            }
        };
    }

    /// What happens while pingora waits for the client or the upstream: what is held goes on its way, and ends come by
    /// time alone. Ready with an error only.
    pub(super) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.ending.is_no() {
                return self.poll_drain_and_flush(cx);
            }
            let Filter::Http1(outbound) = &mut self.filter else { return Poll::Pending };
            match (outbound.let_go(&mut self.out), outbound.holds()) {
                (Flow::End(how), _) => self.begin_ending(how),
                (Flow::Wait(until), 1..) => ready!(self.poll_held(until, cx))?,
                _ => match outbound.behind() {
                    Flow::End(how) => self.begin_ending(how),
                    flow => {
                        if let Flow::Wait(until) = flow
                            && outbound.pause.poll(until, cx).is_ready()
                        {
                            outbound.look_again();
                            continue;
                        }
                        return match self.poll_drain_and_flush(cx) {
                            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                            _ => Poll::Pending,
                        };
                    }
                },
            }
        }
    }

    /// Has the answer ended, with bytes of it held?
    pub(super) fn holds_the_end(&self) -> bool {
        matches!(&self.filter, Filter::Http1(outbound) if 0 < outbound.holds()) && self.ctl.is_answer_over()
    }

    /// Fills `buf` with what the client has sent of this request and may be read now.
    pub(super) fn poll_read_shaped(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.ahead.is_empty() {
                let read = ready!(self.poll_read_ahead(cx))?;
                self.account();
                if read == 0 {
                    return Poll::Ready(Ok(()));
                }
            }
            let room = self.ahead.left().len().min(buf.remaining());
            let ours = { self.framing }.admit(&self.ahead.left()[..room]);
            let Some(inbound) = &mut self.inbound else { return Poll::Ready(Ok(())) };
            match inbound.hand_over(&self.ahead.left()[..ours], buf) {
                Ok(handed) => {
                    self.framing.admit(&self.ahead.left()[..handed]);
                    self.ahead.take(handed);
                    return Poll::Ready(Ok(()));
                }
                Err(until) => {
                    let until = self.poll_client(until, cx)?;
                    let Some(inbound) = &mut self.inbound else { return Poll::Ready(Ok(())) };
                    ready!(inbound.pause.poll(until, cx));
                    inbound.look_again();
                }
            }
        }
    }

    /// Sees to it that a client that leaves is noticed, at the latest at the time that it gives back.
    fn poll_client(&self, until: Option<Instant>, cx: &mut Context<'_>) -> io::Result<Option<Instant>> {
        if self.raw.socket().poll_read_ready(cx).is_pending() {
            return Ok(until);
        }
        if self.is_hung_up() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        // bytes wait there for somebody else, and would wake us again at once
        let glance = Instant::now() + HANG_UP_GLANCE;
        Ok(Some(until.map_or(glance, |until| until.min(glance))))
    }
}
