//! An HTTP/2 answer, written piece by piece as its shapes and the client's window allow.
//!
//! What may not go yet is held, up to [`MAX_HELD`], so that pingora goes on to read what the client sends meanwhile: the
//! two directions of a call have nothing to do with each other. It goes on its way whenever pingora reads, writes or waits.
//! It counts in what the proxy holds for all clients; where that comes near to what it may, what shapes the answer gives way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use h2::{Reason, SendStream};
use http::HeaderMap;
use pingora_core::protocols::http::ServerSession;
use pingora_error::{Error, Result};
use pingora_http::ResponseHeader;

use super::outgoing::Outgoing;
use super::{client_left, injected};
use crate::conn::{ConnCtl, Cut, Ended, PIPE, Pause};
use crate::faults::{Cutoff, Move, SharedShaping};
use crate::gate::Held;
use crate::shared::Shared;
use crate::sync::lock;

/// The way out.
pub(super) struct Answer {
    ctl: Arc<ConnCtl>,
    shared: Arc<Shared>,
    shaped: Option<Shaped>,
    out: Outgoing,
    /// What pingora has written and may not go yet.
    held: BytesMut,
    counted: Held,
    /// Whoever writes waits for the shapes, and so does what comes behind.
    is_blocked: bool,
    /// The header has been written.
    begun: bool,
    /// The answer has ended before its time: whatever else is written goes nowhere.
    torn: bool,
    dying: Option<Dying>,
}

/// A stream that the frame layer is about to tear off. It is kept until then: dropped, it would take back what is still on
/// its way.
struct Dying {
    _stream: SendStream<Bytes>,
    until: tokio::time::Instant,
}

struct Shaped {
    shaping: SharedShaping,
    pause: Pause,
    /// What tears the stream off, by a fault or because the upstream has died. The h2 crate would throw away what is
    /// still on its way.
    cut: Cut,
}

impl Shaped {
    /// What happens right behind the header. `None`: nothing, since there is nothing behind it.
    fn begin(&self, is_alone: bool) -> Option<Move> {
        let mut shaping = lock(&self.shaping);
        shaping.begin();
        if is_alone { shaping.step_empty().map(Move::End) } else { Some(shaping.step(&[])) }
    }
}

impl Answer {
    pub(super) fn new(ctl: Arc<ConnCtl>, shared: Arc<Shared>) -> Self {
        let (out, held, counted) = (Outgoing::default(), BytesMut::new(), Held::of(shared.gate.clone()));
        let (is_blocked, begun, torn) = (false, false, false);
        Answer { ctl, shared, shaped: None, out, held, counted, is_blocked, begun, torn, dying: None }
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

    /// Writes the header; `end`: the answer is that alone. Then it ends the stream by itself, unless a fault does: behind an
    /// empty body a gRPC client looks for trailers, and takes a status in the header for none.
    pub(super) async fn header(
        &mut self,
        inner: &mut ServerSession,
        mut header: Box<ResponseHeader>,
        end: bool,
    ) -> Result<()> {
        self.begun = true;
        let ServerSession::H2(session) = inner else { return inner.write_response_header(header).await };
        let first = self.shaped.as_ref().and_then(|shaped| shaped.begin(end));
        let (Some(shaped), Some(first)) = (&self.shaped, first) else {
            self.shaped = None;
            session.write_response_header(header, end)?;
            self.out.open(session.take_response_body_writer().filter(|_| !end));
            return Ok(());
        };
        let tag = self.ctl.next_tag();
        let (name, value) = tag.field();
        header.insert_header(name, value)?;
        self.ctl.arm(tag, shaped.cut.clone());
        if let Move::End(Cutoff::Reset { code, connection }) = &first {
            shaped.cut.cut_after(0, *code, *connection); // the frame layer makes it behind the header
        }
        session.write_response_header(header, false)?;
        self.out.open(session.take_response_body_writer());
        match first {
            Move::End(how) => self.end(how).await,
            Move::Pass(_) | Move::Wait(_) => Ok(()),
        }
    }

    /// Writes a piece of the body, or holds it.
    pub(super) async fn body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.check().await?;
        if self.shaped.is_none() {
            self.out.push(data);
            self.out.flush().await?;
            return if end { self.finish().await } else { Ok(()) };
        }
        self.held.extend_from_slice(&data);
        if let Some(done) = self.let_go(0).now_or_never() {
            done?; // what may go at once goes at once
        }
        let most = if self.make_room() { MAX_HELD } else { 0 };
        if end {
            return self.finish().await;
        }
        self.is_blocked = 0 < most && most < self.held.len() + self.out.waiting();
        self.count();
        let done = self.let_go(most).await;
        self.is_blocked = false;
        self.count();
        done
    }

    /// Whether what is held may stay. Where it may not, its shapes have given way.
    fn make_room(&mut self) -> bool {
        self.count();
        if self.held.is_empty() || !self.counted.is_crowded() {
            return true;
        }
        if let Some(shaped) = &self.shaped {
            lock(&shaped.shaping).give_way();
        }
        false
    }

    /// Tells what waits here, for its time or for the client's window, and behind it.
    fn count(&mut self) {
        let behind = if self.is_blocked { PIPE } else { 0 };
        self.counted.set(self.held.len() + self.out.waiting() + behind);
    }

    pub(super) async fn trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.wait_behind().await?;
        self.out.end_with(trailers)
    }

    /// Ends the stream, where nothing has ended it yet.
    pub(super) async fn finish(&mut self) -> Result<()> {
        self.check().await?;
        if !self.out.is_open() {
            return Ok(());
        }
        self.wait_behind().await?;
        self.out.end()
    }

    /// The upstream has died: what it sent is with the client, at its pace, before the stream ends.
    pub(super) async fn fail(&mut self) {
        if self.let_go(0).await.is_ok() {
            self.torn = true;
            self.cut(Reason::CANCEL.into(), false);
            let _ = self.check().await; // that it is torn is known here
        }
    }

    /// Lets go of what is held. Resolves when the client has closed its stream (before a header is written `inner`
    /// knows), and when the answer has ended by a fault.
    ///
    /// # Cancel safety
    /// Safe: what is held stays so, and once the end is decided every later call says so.
    pub(super) async fn idle(&mut self, mut inner: Option<&mut ServerSession>) -> Box<Error> {
        loop {
            self.release();
            if let Err(error) = self.let_go(0).await {
                return error;
            }
            if let Move::End(how) = self.due()
                && let Err(error) = self.end(how).await
            {
                return error;
            }
            let deadline = self.shaped.as_ref().and_then(|shaped| lock(&shaped.shaping).deadline());
            let Answer { shaped, out, begun, .. } = self;
            let timed = async {
                match (shaped, deadline) {
                    (Some(shaped), Some(deadline)) => shaped.pause.over(Some(deadline)).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = timed => {}
                () = out.closed(inner.as_deref_mut().filter(|_| !*begun)) => return client_left(),
            }
        }
    }

    /// Whoever writes on behind the end is to stop, once that is made.
    ///
    /// # Cancel safety
    /// Safe: the next call waits on.
    async fn check(&mut self) -> Result<()> {
        if !self.torn {
            return Ok(());
        }
        if let (Some(dying), Some(shaped)) = (&self.dying, &self.shaped) {
            let _ = tokio::time::timeout_at(dying.until, shaped.cut.made()).await;
        }
        self.dying = None;
        Err(injected())
    }

    /// Sends what may go, until no more than so much is left.
    ///
    /// # Cancel safety
    /// Safe: what was not sent is still held.
    async fn let_go(&mut self, most: usize) -> Result<()> {
        self.check().await?;
        while most < self.held.len() + self.out.waiting() {
            if 0 < self.out.waiting() {
                self.flush().await?;
                self.count();
                continue;
            }
            match self.step() {
                Move::Pass(_) => {}
                Move::Wait(until) => self.wait(until).await?,
                Move::End(how) => return self.end(how).await,
            }
        }
        Ok(())
    }

    /// Takes the next piece of what is held.
    fn step(&mut self) -> Move {
        let Some(shaped) = &self.shaped else { return Move::Pass(0) };
        let mut shaping = lock(&shaped.shaping);
        let step = shaping.step(&self.held);
        if let Move::Pass(n) = step {
            let mut piece = self.held.split_to(n);
            shaping.pass(&mut piece);
            self.out.push(piece.freeze());
        }
        step
    }

    /// What may happen with what lies behind the bytes that have passed.
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

    /// Waits until the end of the answer may go.
    async fn wait_behind(&mut self) -> Result<()> {
        self.let_go(0).await?;
        loop {
            match self.due() {
                Move::Pass(_) => return Ok(()),
                Move::End(how) => return self.end(how).await,
                Move::Wait(until) => self.wait(until).await?,
            }
        }
    }

    async fn wait(&mut self, until: Option<Instant>) -> Result<()> {
        let Some(shaped) = &mut self.shaped else { return Ok(()) };
        tokio::select! {
            biased;
            () = shaped.pause.over(until) => {}
            () = self.out.closed(None) => return Err(client_left()),
        }
        self.release();
        Ok(())
    }

    /// Sends what waits for the client's window; ends that come by time do not wait for it.
    async fn flush(&mut self) -> Result<()> {
        loop {
            let Some(shaped) = &mut self.shaped else { return self.out.flush().await };
            let deadline = lock(&shaped.shaping).deadline();
            tokio::select! {
                biased;
                flushed = self.out.flush() => return flushed,
                () = shaped.pause.over(deadline) => {}
            }
            self.release();
            if let Move::End(how) = self.due() {
                return self.end(how).await;
            }
        }
    }

    /// Ends the answer here, and with an error that makes pingora let go of it.
    ///
    /// # Cancel safety
    /// Safe: see [`Answer::check`].
    async fn end(&mut self, how: Cutoff) -> Result<()> {
        self.torn = true;
        self.held = BytesMut::new();
        match how {
            Cutoff::Reset { code, connection } => {
                if connection {
                    self.end_connection();
                }
                self.cut(code, connection);
            }
            Cutoff::Close | Cutoff::WebsocketClose(_) => {
                if let Err(error) = self.out.end() {
                    tracing::debug!(%error, "the client was gone before the end");
                }
            }
        }
        self.count();
        self.check().await
    }

    /// Has the stream torn off behind what was sent.
    fn cut(&mut self, code: u32, connection: bool) {
        let (Some(mut stream), Some(shaped)) = (self.out.take(), &self.shaped) else { return };
        shaped.cut.cut_after(self.out.sent(), code, connection);
        // an empty frame, for the frame layer to make the cut at; an error is the client's doing
        let _ = stream.send_data(Bytes::new(), false);
        self.dying = Some(Dying { _stream: stream, until: tokio::time::Instant::now() + CUT_LIMIT });
    }

    fn end_connection(&self) {
        let Some(shaped) = &self.shaped else { return };
        if let Some(rule) = lock(&shaped.shaping).ending_rule() {
            self.ctl.end_by(Ended { rule, action: "reset" });
        }
    }
}

/// As much as pingora writes at once.
const MAX_HELD: usize = 64 * 1024;
/// How long a cut waits for a client that does not read.
const CUT_LIMIT: Duration = Duration::from_secs(1);
