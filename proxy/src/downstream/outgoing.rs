//! The sending half of an HTTP/2 stream, as the client's window allows.

use std::future::poll_fn;

use bytes::Bytes;
use h2::SendStream;
use http::HeaderMap;
use pingora_core::protocols::http::ServerSession;
use pingora_error::{Error, ErrorType, OrErr, Result};

use super::client_left;

/// Bytes on their way to the client.
#[derive(Default)]
pub(super) struct Outgoing {
    /// Once the header has been written and the stream has not ended.
    stream: Option<SendStream<Bytes>>,
    /// What waits for the window.
    leaving: Bytes,
    sent: u64,
}

impl Outgoing {
    /// The header is written, and more follows.
    pub(super) fn open(&mut self, stream: Option<SendStream<Bytes>>) {
        self.stream = stream;
    }

    pub(super) fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// To be followed by [`Outgoing::flush`]; nothing may be waiting.
    pub(super) fn push(&mut self, bytes: Bytes) {
        self.leaving = bytes;
    }

    /// Bytes that wait for the client's window.
    pub(super) fn waiting(&self) -> usize {
        self.leaving.len()
    }

    /// Bytes of the body that the client will get.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Sends what waits.
    ///
    /// # Cancel safety
    /// Safe: what was not sent waits on.
    pub(super) async fn flush(&mut self) -> Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        while !self.leaving.is_empty() {
            stream.reserve_capacity(self.leaving.len());
            let Some(room) = poll_fn(|cx| stream.poll_capacity(cx)).await else { return Err(client_left()) };
            let room = room.or_err(ErrorType::H2Error, "while waiting for the client's window");
            let piece = self.leaving.split_to(room.map_err(Error::into_down)?.min(self.leaving.len()));
            self.sent += piece.len() as u64;
            let sent = stream.send_data(piece, false).or_err(ErrorType::WriteError, "while writing a body");
            sent.map_err(Error::into_down)?;
        }
        Ok(())
    }

    /// Ends the stream behind what was sent.
    pub(super) fn end(&mut self) -> Result<()> {
        let Some(mut stream) = self.stream.take() else { return Ok(()) };
        let ended = stream.send_data(Bytes::new(), true).or_err(ErrorType::WriteError, "while ending a body");
        ended.map_err(Error::into_down)
    }

    /// Ends it with trailers.
    pub(super) fn end_with(&mut self, trailers: HeaderMap) -> Result<()> {
        let Some(mut stream) = self.stream.take() else { return Ok(()) };
        let ended = stream.send_trailers(trailers).or_err(ErrorType::WriteError, "while writing trailers");
        ended.map_err(Error::into_down)
    }

    /// The stream, to be torn off.
    pub(super) fn take(&mut self) -> Option<SendStream<Bytes>> {
        self.leaving = Bytes::new();
        self.stream.take()
    }

    /// Resolves when the client has closed its stream; before that is open `inner` knows. Never where nobody does.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn closed(&mut self, inner: Option<&mut ServerSession>) {
        // an error says that it is closed, too
        if let Some(stream) = &mut self.stream {
            let _ = poll_fn(|cx| stream.poll_reset(cx)).await;
        } else if let Some(closed) = inner.and_then(ServerSession::watch_h2_stream_close) {
            let _ = closed.await;
        } else {
            std::future::pending::<()>().await;
        }
    }
}
