//! The end of a connection that a rule wants: at an exact byte, by RST or by FIN.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::time::{Instant, Sleep};

use super::ctl::ConnCtl;
use super::outq;
use super::raw::Raw;

/// How a connection ends, once all that was to go out has been handed to the socket.
///
/// ```text
/// No --asked byte written--> Reset (until the peer's kernel has it all, at most DRAIN_LIMIT) --> Done
///                       \--> Close (FIN) --> Done
/// ```
#[derive(Default)]
pub(super) enum Ending {
    #[default]
    No,
    Reset {
        until: Instant,
        pause: Pin<Box<Sleep>>,
    },
    Close,
    Done,
}

impl Ending {
    pub(super) fn is_no(&self) -> bool {
        matches!(self, Ending::No)
    }

    /// An RST, once the peer's kernel has every byte: it takes with it what is still on its way.
    pub(super) fn reset() -> Self {
        let pause = Box::pin(tokio::time::sleep(Duration::ZERO));
        Ending::Reset { until: Instant::now() + DRAIN_LIMIT, pause }
    }

    /// Brings the end about, once the write buffer is `drained`; a reset waits for that no longer than for the peer's
    /// kernel. Ends in an error, so that the HTTP layer gives the connection up.
    pub(super) fn poll(
        &mut self,
        (raw, ctl): (&mut Raw, &ConnCtl),
        drained: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Error> {
        loop {
            match self {
                Ending::No | Ending::Done => return Poll::Ready(io::ErrorKind::ConnectionReset.into()),
                Ending::Reset { until, pause } => {
                    let waiting = !drained || outq::unacknowledged(raw.socket().as_fd()).unwrap_or(0) > 0;
                    if waiting && Instant::now() < *until {
                        if pause.is_elapsed() {
                            pause.as_mut().reset(Instant::now() + DRAIN_PAUSE);
                        }
                        ready!(pause.as_mut().poll(cx));
                        continue;
                    }
                    ctl.reset_on_close();
                }
                Ending::Close if !drained => return Poll::Pending,
                Ending::Close => {
                    if let Err(error) = ready!(Pin::new(&mut *raw).poll_shutdown(cx)) {
                        tracing::debug!(%error, "the client was gone before the end");
                    }
                    // what the client still sends is not to turn the FIN into a reset
                    match socket2::SockRef::from(raw.socket()).try_clone() {
                        Ok(socket) => ctl.linger(socket.into()),
                        Err(error) => tracing::debug!(%error, "an early end may be lost"),
                    }
                }
            }
            *self = Ending::Done;
        }
    }
}

/// How long a reset waits for a peer that does not read. Then it comes all the same.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
const DRAIN_PAUSE: Duration = Duration::from_millis(1);
