//! One request of an HTTP/1 connection, as far as the stream can tell: has its header been read, is its body over?
//!
//! Pingora refuses what it cannot parse by itself, before any hook, with an answer that does not say whose it is.
//! It also probes for a client that left by reading one byte, and gives the exchange up when it gets one that
//! belongs to the next request.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::ReadBuf;
use tokio::time::Instant;

use super::ctl::ConnCtl;

/// What is known of the request under way.
#[derive(Debug)]
pub(super) struct Round {
    /// Exchanges of the connection that had reached the hooks when this request began.
    hooked: u64,
    /// By then its header must be whole.
    until: Instant,
    /// Where what follows the header is to be kept back: whether the line at hand is empty so far.
    line_empty: Option<bool>,
}

impl Round {
    pub(super) fn begin(ctl: &ConnCtl, keep_body: bool) -> Round {
        ctl.begin_request();
        Round {
            hooked: ctl.hooked(),
            until: Instant::now() + HEADER_LIMIT,
            line_empty: keep_body.then_some(false),
        }
    }

    /// Takes what follows the header out of `buf`, whose bytes from `from` on are new, and puts it before what is ahead.
    pub(super) fn keep_body(&mut self, buf: &mut ReadBuf<'_>, from: usize, ahead: &mut BytesMut) {
        let Some(line_empty) = &mut self.line_empty else { return };
        let blank = |byte: &u8| {
            let ends = *byte == b'\n' && *line_empty;
            *line_empty = *byte == b'\n' || *byte == b'\r' && *line_empty;
            ends
        };
        let Some(at) = buf.filled()[from..].iter().position(blank) else { return };
        self.line_empty = None; // only the header of this request is looked for
        let end = from + at + 1;
        let mut kept = BytesMut::from(&buf.filled()[end..]);
        kept.extend_from_slice(ahead);
        *ahead = kept;
        buf.set_filled(end);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_header_is_kept_back() {
        let request = b"POST / HTTP/1.1\r\nHost: t\r\n\r\nbody\r\n\r\nmore";
        let ctl = ConnCtl::new(1, 0, ([127, 0, 0, 1], 1).into());
        for piece in [1, 2, 3, 30, request.len()] {
            let mut round = Round::begin(&ctl, true);
            let (mut handed, mut ahead) = (Vec::new(), BytesMut::new());
            for bytes in request.chunks(piece) {
                if !ahead.is_empty() {
                    ahead.extend_from_slice(bytes); // nobody asks for more before the header has been seen
                    continue;
                }
                let mut room = [0; 100];
                let mut buf = ReadBuf::new(&mut room);
                buf.put_slice(bytes);
                round.keep_body(&mut buf, 0, &mut ahead);
                handed.extend_from_slice(buf.filled());
            }
            let all = [handed.as_slice(), &ahead].concat();
            assert_eq!(all, request, "in pieces of {piece}");
            if piece == request.len() {
                assert!(handed.ends_with(b"Host: t\r\n\r\n"));
            }
        }
    }
}
