//! The event stream: a few price changes, an even gap apart, then the end.

use std::fmt::Write;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep};

use super::error::Refusal;
use super::limits;
use super::request;

/// What is still to come of a stream.
pub(super) struct Events {
    sent: u32,
    n: u32,
    gap: Duration,
    due: Pin<Box<Sleep>>,
}

impl Events {
    /// Reads `n` (5 unless told, at most [`limits::EVENTS`]) and `gap_ms` (20 unless told, at most
    /// [`limits::EVENT_GAP`]) from a query. The first event is due at once.
    pub(super) fn of(query: &str) -> Result<Events, Refusal> {
        let number = |name, default: u32| match request::field(query.as_bytes(), name) {
            Some(text) => text.parse().map_err(|_| Refusal::BadQuery),
            None => Ok(default),
        };
        let n = number("n", 5)?.min(limits::EVENTS);
        let gap = Duration::from_millis(number("gap_ms", 20)?.into()).min(limits::EVENT_GAP);
        Ok(Events { sent: 0, n, gap, due: Box::pin(tokio::time::sleep_until(Instant::now())) })
    }

    /// Whether all of it was sent.
    pub(super) fn is_over(&self) -> bool {
        self.n <= self.sent
    }

    /// The next event, when it is due. Due times are absolute: a slow reader does not stretch the stream.
    pub(super) fn poll_next(&mut self, ctx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.is_over() {
            return Poll::Ready(None);
        }
        ready!(self.due.as_mut().poll(ctx));
        let next = self.due.deadline() + self.gap;
        self.due.as_mut().reset(next);
        self.sent += 1;
        Poll::Ready(Some(event(self.sent)))
    }
}

fn event(number: u32) -> Bytes {
    let (product, cents) = (number * 7 % 48, 450 + number * 137 % 4000);
    let mut text = String::with_capacity(80);
    let written = write!(
        text,
        "id: {number}\nevent: price\ndata: {{\"product\":{product},\"price_cents\":{cents}}}\n\n"
    );
    debug_assert!(written.is_ok(), "a string takes all that is written to it");
    Bytes::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_within_bounds() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _inside = runtime.enter();
        let read = |query| Events::of(query).map(|events| (events.n, events.gap.as_millis()));
        assert_eq!(read(""), Ok((5, 20)));
        assert_eq!(read("n=3&gap_ms=0"), Ok((3, 0)));
        assert_eq!(read("n=4000000000&gap_ms=99999"), Ok((100, 1000)));
        assert_eq!(read("n=-1"), Err(Refusal::BadQuery));
        assert_eq!(read("gap_ms=soon"), Err(Refusal::BadQuery));
    }
}
