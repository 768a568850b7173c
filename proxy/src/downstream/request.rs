//! What an HTTP/2 client sends, handed over as its shapes allow.

use bytes::{Bytes, BytesMut};
use pingora_core::protocols::http::ServerSession;
use pingora_error::Result;

use crate::conn::Pause;
use crate::faults::{Move, SharedShaping};
use crate::sync::lock;

/// The way in.
pub(super) struct Request {
    shaped: Option<(SharedShaping, Pause)>,
    /// Read, and not handed over yet: at most one frame.
    ahead: Bytes,
    /// What was handed over, for a repeat: `None` where nobody wants one, or it grew too large.
    kept: Option<BytesMut>,
    truncated: bool,
}

impl Request {
    pub(super) fn new(shaping: Option<SharedShaping>) -> Self {
        let shaped = shaping.map(|shaping| {
            let changes = {
                let mut shaping = lock(&shaping);
                shaping.begin();
                shaping.changes()
            };
            (shaping, Pause::new(changes))
        });
        Request { shaped, ahead: Bytes::new(), kept: None, truncated: false }
    }

    /// Reads on where nothing is ahead. False: there is no more.
    ///
    /// # Cancel safety
    /// Safe: what was read stays ahead.
    pub(super) async fn fill(&mut self, inner: &mut ServerSession) -> Result<bool> {
        while self.ahead.is_empty() {
            match inner.read_request_body().await? {
                Some(chunk) => self.ahead = chunk,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The next piece of what is ahead.
    ///
    /// # Cancel safety
    /// Safe: what waits stays ahead.
    pub(super) async fn take(&mut self) -> Bytes {
        let piece = self.next_piece().await;
        self.keep(&piece);
        piece
    }

    pub(super) fn has_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    async fn next_piece(&mut self) -> Bytes {
        let Some((shaping, pause)) = &mut self.shaped else { return std::mem::take(&mut self.ahead) };
        loop {
            let until = {
                let mut shaping = lock(shaping);
                match shaping.step(&self.ahead) {
                    Move::Pass(n) => {
                        let mut piece = BytesMut::from(&self.ahead.split_to(n)[..]);
                        shaping.pass(&mut piece);
                        return piece.freeze();
                    }
                    Move::Wait(until) => until,
                    Move::End(_) => return std::mem::take(&mut self.ahead), // a request's body does not end early
                }
            };
            pause.over(until).await;
            lock(shaping).release();
        }
    }

    pub(super) fn keep_for_repeat(&mut self) {
        if !self.truncated {
            self.kept.get_or_insert_default();
        }
    }

    pub(super) fn is_truncated(&self) -> bool {
        self.truncated
    }

    pub(super) fn kept(&self) -> Option<Bytes> {
        self.kept.as_ref().filter(|kept| !kept.is_empty()).map(|kept| Bytes::copy_from_slice(kept))
    }

    fn keep(&mut self, piece: &[u8]) {
        let Some(kept) = &mut self.kept else { return };
        if MAX_KEPT < kept.len() + piece.len() {
            self.kept = None;
            self.truncated = true;
        } else {
            kept.extend_from_slice(piece);
        }
    }
}

/// As much as pingora keeps of a body for a repeat.
const MAX_KEPT: usize = 64 * 1024;
