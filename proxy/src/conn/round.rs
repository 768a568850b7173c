//! One request of an HTTP/1 connection, as far as the stream can tell: has its header been read, in time, and within
//! its size?
//!
//! Pingora refuses what it cannot parse by itself, before any hook, with an answer that does not say whose it is.
//! It also probes for a client that left by reading one byte, and gives the exchange up when it gets one that
//! belongs to the next request.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::ctl::{ConnCtl, Refusal};

/// What is known of the request under way.
#[derive(Debug)]
pub(super) struct Round {
    /// Exchanges of the connection that had reached the hooks when this request began.
    hooked: u64,
    /// By then its header must be whole.
    until: Instant,
    /// Bytes that it may still have.
    header_left: usize,
    /// Runs only where a header does not come in one piece.
    timer: Option<Pin<Box<Sleep>>>,
}

/// What a header may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeaderBounds {
    pub(crate) time: Duration,
    pub(crate) size: usize,
}

impl Round {
    pub(super) fn begin(ctl: &ConnCtl, bounds: HeaderBounds) -> Round {
        ctl.begin_request();
        let until = Instant::now() + bounds.time;
        Round { hooked: ctl.hooked(), until, header_left: bounds.size, timer: None }
    }

    /// The header is still being read, or could not be.
    pub(super) fn is_before_hooks(&self, ctl: &ConnCtl) -> bool {
        self.hooked == ctl.hooked()
    }

    /// So many bytes more. True: it is too large.
    pub(super) fn header_grew(&mut self, bytes: usize) -> bool {
        let fits = self.header_left.checked_sub(bytes);
        self.header_left = fits.unwrap_or(0);
        fits.is_none()
    }

    /// Ready once a header that is not whole yet has had its time.
    pub(super) fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = self.until;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        timer.as_mut().poll(cx)
    }

    /// Appends what goes out for `bytes`: the same, and in the header of a refusal the word that it is ours.
    pub(super) fn sign(&self, bytes: &[u8], ctl: &ConnCtl, out: &mut Vec<u8>) {
        let status_line = bytes.windows(2).position(|two| two == b"\r\n").map_or(0, |at| at + 2);
        if ctl.refusal().is_none()
            && status_line > 0
            && self.is_before_hooks(ctl)
            && bytes.starts_with(b"HTTP/1.1 4")
        {
            ctl.refuse(Refusal::Parse);
            out.extend_from_slice(&bytes[..status_line]);
            out.extend_from_slice(b"squall-error: bad-request\r\n");
            out.extend_from_slice(&bytes[status_line..]);
        } else {
            out.extend_from_slice(bytes);
        }
    }
}
