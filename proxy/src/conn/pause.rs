//! A wait inside a `poll` function: until a time, or until the rules change.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::watch;

use crate::timer::{Sleep, sleep_until};

/// Wakes whoever polls it when there is a reason to look again.
pub(crate) struct Pause {
    sleep: Option<(Instant, Sleep)>,
    changed: Changed,
}

type Changed = Pin<Box<dyn Future<Output = watch::Receiver<u64>> + Send + Sync>>;

impl Pause {
    /// `changes` turns when the rules do. The first poll is ready: what changed before somebody listened is looked at, too.
    pub(crate) fn new(mut changes: watch::Receiver<u64>) -> Self {
        changes.mark_changed();
        Pause { sleep: None, changed: next_turn(changes) }
    }

    /// Ready at `until` (`None`: at no time), and when the rules have changed.
    pub(crate) fn poll(&mut self, until: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        if let Poll::Ready(changes) = self.changed.as_mut().poll(cx) {
            self.changed = next_turn(changes);
            return Poll::Ready(());
        }
        let Some(until) = until else {
            self.sleep = None;
            return Poll::Pending;
        };
        if self.sleep.as_ref().is_none_or(|(asked, _)| *asked != until) {
            self.sleep = Some((until, sleep_until(until)));
        }
        let Some((_, sleep)) = &mut self.sleep else { return Poll::Pending };
        let woken = Pin::new(sleep).poll(cx);
        if woken.is_ready() {
            self.sleep = None;
        }
        woken
    }

    /// [`Pause::poll`] as a future.
    ///
    /// # Cancel safety
    /// Safe: what it waits for is waited for again.
    pub(crate) async fn over(&mut self, until: Option<Instant>) {
        std::future::poll_fn(|cx| self.poll(until, cx)).await;
    }
}

fn next_turn(mut changes: watch::Receiver<u64>) -> Changed {
    Box::pin(async move {
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await; // the rules are gone, and so is the proxy
        }
        changes
    })
}
