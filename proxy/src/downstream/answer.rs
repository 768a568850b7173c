//! An HTTP/2 answer, written piece by piece as its shapes and the client's window allow.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::{Reason, SendStream};
use http::HeaderMap;
use pingora_core::protocols::http::ServerSession;
use pingora_error::{Error, ErrorType, OrErr, Result};
use pingora_http::ResponseHeader;

use super::{client_left, injected};
use crate::conn::{ConnCtl, Cut, Ended, Pause};
use crate::faults::{Cutoff, Move, SharedShaping};
use crate::shared::Shared;
use crate::sync::lock;

/// The way out.
pub(super) struct Answer {
    ctl: Arc<ConnCtl>,
    shared: Arc<Shared>,
    shaped: Option<Shaped>,
    /// Once the header has been written and the stream has not ended.
    stream: Option<SendStream<Bytes>>,
    begun: bool,
    /// Bytes of the body that are on their way.
    sent: u64,
    /// A fault has ended the answer: whatever else is written goes nowhere.
    torn: bool,
}

struct Shaped {
    shaping: SharedShaping,
    pause: Pause,
    /// What tears the stream off, by a fault or because the upstream has died. The h2 crate would throw away what is
    /// still on its way.
    cut: Cut,
}

impl Answer {
    pub(super) fn new(ctl: Arc<ConnCtl>, shared: Arc<Shared>) -> Self {
        Answer { ctl, shared, shaped: None, stream: None, begun: false, sent: 0, torn: false }
    }

    pub(super) fn ctl(&self) -> &Arc<ConnCtl> {
        &self.ctl
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn shape(&mut self, shaping: SharedShaping) {
        let pause = Pause::new(lock(&shaping).changes());
        self.shaped = Some(Shaped { shaping, pause, cut: Cut::default() });
    }

    /// Writes the header; `end`: the answer is that alone.
    pub(super) async fn header(
        &mut self,
        inner: &mut ServerSession,
        mut header: Box<ResponseHeader>,
        end: bool,
    ) -> Result<()> {
        self.begun = true;
        let ServerSession::H2(session) = inner else { return inner.write_response_header(header).await };
        let Some(shaped) = &self.shaped else {
            session.write_response_header(header, end)?;
            self.stream = session.take_response_body_writer().filter(|_| !end);
            return Ok(());
        };
        let tag = self.ctl.next_tag();
        let (name, value) = tag.field();
        header.insert_header(name, value)?;
        self.ctl.arm(tag, shaped.cut.clone());
        let first = {
            let mut shaping = lock(&shaped.shaping);
            shaping.begin();
            shaping.step(&[])
        };
        if let Move::End(Cutoff::Reset { code, connection }) = &first {
            shaped.cut.cut_after(0, *code, *connection); // the frame layer makes it behind the header
        }
        session.write_response_header(header, false)?;
        self.stream = session.take_response_body_writer();
        match first {
            Move::End(how) => Err(self.end(how).await),
            _ if end => self.finish().await,
            _ => Ok(()),
        }
    }

    /// Writes a piece of the body.
    pub(super) async fn body(&mut self, mut data: Bytes, end: bool) -> Result<()> {
        self.check()?;
        while !data.is_empty() {
            let Some(shaped) = &mut self.shaped else {
                self.send(std::mem::take(&mut data), end).await?;
                break;
            };
            let step = {
                let mut shaping = lock(&shaped.shaping);
                match shaping.step(&data) {
                    Move::Pass(n) => {
                        let mut piece = BytesMut::from(&data.split_to(n)[..]);
                        shaping.pass(&mut piece);
                        Ok(piece.freeze())
                    }
                    other => Err(other),
                }
            };
            match step {
                Ok(piece) => self.send(piece, false).await?,
                Err(Move::End(how)) => return Err(self.end(how).await),
                Err(Move::Wait(until)) => self.wait(until).await?,
                Err(Move::Pass(_)) => {}
            }
        }
        if end { self.finish().await } else { self.end_if_due().await }
    }

    pub(super) async fn trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.check()?;
        self.wait_behind().await?;
        let Some(mut stream) = self.stream.take() else { return Ok(()) };
        stream
            .send_trailers(trailers)
            .or_err(ErrorType::WriteError, "while writing trailers")
            .map_err(Error::into_down)
    }

    /// Ends the stream, where nothing has ended it yet.
    pub(super) async fn finish(&mut self) -> Result<()> {
        self.check()?;
        if self.stream.is_none() {
            return Ok(());
        }
        self.wait_behind().await?;
        self.send(Bytes::new(), true).await
    }

    /// Resolves when the client has closed its stream (before a header is written `inner` knows), and when the answer
    /// has ended by time alone, with the end made.
    ///
    /// # Cancel safety
    /// Safe: once the end is decided every later call says so.
    pub(super) async fn idle(&mut self, mut inner: Option<&mut ServerSession>) -> Box<Error> {
        loop {
            self.release();
            let deadline = match self.due() {
                _ if self.torn => return injected(),
                Move::End(how) => return self.end(how).await,
                _ => self.shaped.as_ref().and_then(|shaped| lock(&shaped.shaping).deadline()),
            };
            let Answer { shaped, stream, begun, .. } = self;
            let timed = async {
                match (shaped, deadline) {
                    (Some(shaped), Some(deadline)) => shaped.pause.over(Some(deadline)).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = timed => {}
                () = closed(stream.as_mut(), inner.as_deref_mut().filter(|_| !*begun)) => return client_left(),
            }
        }
    }

    /// Whoever writes on behind the end is to stop.
    fn check(&self) -> Result<()> {
        if self.torn { Err(injected()) } else { Ok(()) }
    }

    /// What may happen with what lies behind the bytes written so far.
    fn due(&self) -> Move {
        match &self.shaped {
            Some(shaped) if self.begun => lock(&shaped.shaping).step(&[]),
            _ => Move::Pass(0),
        }
    }

    fn release(&self) {
        if let Some(shaped) = &self.shaped {
            lock(&shaped.shaping).release();
        }
    }

    async fn wait_behind(&mut self) -> Result<()> {
        loop {
            match self.due() {
                Move::Pass(_) => return Ok(()),
                Move::End(how) => return Err(self.end(how).await),
                Move::Wait(until) => self.wait(until).await?,
            }
        }
    }

    async fn end_if_due(&mut self) -> Result<()> {
        if let Move::End(how) = self.due() { Err(self.end(how).await) } else { Ok(()) }
    }

    async fn wait(&mut self, until: Option<std::time::Instant>) -> Result<()> {
        let (Some(shaped), Some(stream)) = (&mut self.shaped, &mut self.stream) else { return Ok(()) };
        tokio::select! {
            biased;
            () = shaped.pause.over(until) => {}
            () = closed(Some(stream), None) => return Err(client_left()),
        }
        self.release();
        Ok(())
    }

    /// Writes bytes as the client's window opens; ends that come by time do not wait for it.
    async fn send(&mut self, data: Bytes, end: bool) -> Result<()> {
        let Answer { stream: Some(stream), shaped, sent, .. } = self else { return Ok(()) };
        let ended = {
            let write = write(stream, sent, data, end);
            tokio::pin!(write);
            loop {
                let Some(shaped) = shaped else { break Err(write.await) };
                let deadline = lock(&shaped.shaping).deadline();
                tokio::select! {
                    biased;
                    written = &mut write => break Err(written),
                    () = shaped.pause.over(deadline) => {}
                }
                let mut shaping = lock(&shaped.shaping);
                shaping.release();
                if let Move::End(how) = shaping.step(&[]) {
                    break Ok(how);
                }
            }
        };
        match ended {
            Ok(how) => Err(self.end(how).await),
            Err(written) => {
                written?;
                if end {
                    self.stream = None;
                }
                Ok(())
            }
        }
    }

    /// Ends the answer here; gives the error that makes pingora let go of it.
    async fn end(&mut self, how: Cutoff) -> Box<Error> {
        self.torn = true;
        match how {
            Cutoff::Reset { code, connection } => {
                if connection {
                    self.end_connection();
                }
                self.cut(code, connection).await;
            }
            Cutoff::Close | Cutoff::WebsocketClose(_) => {
                if let Some(mut stream) = self.stream.take() {
                    let _ = stream.send_data(Bytes::new(), true);
                }
            }
        }
        injected()
    }

    /// The upstream has died: what it sent is with the client before the stream ends.
    pub(super) async fn fail(&mut self) {
        self.torn = true;
        self.cut(Reason::CANCEL.into(), false).await;
    }

    async fn cut(&mut self, code: u32, connection: bool) {
        let (Some(mut stream), Some(shaped)) = (self.stream.take(), &self.shaped) else { return };
        shaped.cut.cut_after(self.sent, code, connection);
        // an empty frame, for the frame layer to make the cut at; an error is the client's doing
        let _ = stream.send_data(Bytes::new(), false);
        let _ = tokio::time::timeout(CUT_LIMIT, shaped.cut.made()).await;
    }

    fn end_connection(&self) {
        let Some(shaped) = &self.shaped else { return };
        if let Some(rule) = lock(&shaped.shaping).ending_rule() {
            self.ctl.end_by(Ended { rule, action: "reset" });
        }
    }
}

/// Resolves when the client has closed its stream; never where nobody knows.
async fn closed(stream: Option<&mut SendStream<Bytes>>, inner: Option<&mut ServerSession>) {
    // an error says that it is closed, too
    if let Some(stream) = stream {
        let _ = poll_fn(|cx| stream.poll_reset(cx)).await;
    } else if let Some(closed) = inner.and_then(ServerSession::watch_h2_stream_close) {
        let _ = closed.await;
    } else {
        std::future::pending::<()>().await;
    }
}

/// Writes bytes as the client's window opens; `sent` counts them.
async fn write(stream: &mut SendStream<Bytes>, sent: &mut u64, mut data: Bytes, end: bool) -> Result<()> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let Some(room) = poll_fn(|cx| stream.poll_capacity(cx)).await else { return Err(client_left()) };
        let room = room
            .or_err(ErrorType::H2Error, "while waiting for the client's window")
            .map_err(Error::into_down)?;
        let piece = data.split_to(room.min(data.len()));
        *sent += piece.len() as u64;
        let last = end && data.is_empty();
        stream
            .send_data(piece, last)
            .or_err(ErrorType::WriteError, "while writing a body")
            .map_err(Error::into_down)?;
        if last {
            return Ok(());
        }
    }
    if !end {
        return Ok(());
    }
    stream
        .send_data(data, true)
        .or_err(ErrorType::WriteError, "while ending a body")
        .map_err(Error::into_down)
}

/// How long a cut waits for a client that does not read.
const CUT_LIMIT: Duration = Duration::from_secs(1);
