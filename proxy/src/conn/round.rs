//! One request of an HTTP/1 connection, as far as the stream can tell: has its header been read, is its body over?
//!
//! Pingora refuses what it cannot parse by itself, before any hook, with an answer that does not say whose it is.
//! It also probes for a client that left by reading one byte, and gives the exchange up when it gets one that
//! belongs to the next request.

use std::time::Duration;

use tokio::time::Instant;

use super::ctl::ConnCtl;

/// What is known of the request under way.
#[derive(Debug)]
pub(super) struct Round {
    /// Exchanges of the connection that had reached the hooks when this request began.
    hooked: u64,
    /// By then its header must be whole.
    until: Instant,
}

impl Round {
    pub(super) fn begin(ctl: &ConnCtl) -> Round {
        ctl.begin_request();
        Round { hooked: ctl.hooked(), until: Instant::now() + HEADER_LIMIT }
    }

    /// The header is still being read, or could not be.
    pub(super) fn is_before_hooks(&self, ctl: &ConnCtl) -> bool {
        self.hooked == ctl.hooked()
    }

    /// A client that sends its header a byte at a time has had its chance.
    pub(super) fn is_overdue(&self, ctl: &ConnCtl) -> bool {
        self.is_before_hooks(ctl) && self.until < Instant::now()
    }

    /// Appends what goes out for `bytes`: the same, and in the header of a refusal the word that it is ours.
    pub(super) fn sign(&self, bytes: &[u8], ctl: &ConnCtl, out: &mut Vec<u8>) {
        let status_line = bytes.windows(2).position(|two| two == b"\r\n").map_or(0, |at| at + 2);
        if !ctl.was_refused()
            && status_line > 0
            && self.is_before_hooks(ctl)
            && bytes.starts_with(b"HTTP/1.1 4")
        {
            ctl.refuse();
            out.extend_from_slice(&bytes[..status_line]);
            out.extend_from_slice(b"squall-error: bad-request\r\n");
            out.extend_from_slice(&bytes[status_line..]);
        } else {
            out.extend_from_slice(bytes);
        }
    }
}

/// A header that is not whole by then is not waited for.
const HEADER_LIMIT: Duration = Duration::from_secs(30);
