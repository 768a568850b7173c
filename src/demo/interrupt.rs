//! The wish to end early, as every step of the demo can hear it.

use replayer::Stop;
use tokio::sync::watch;

/// Somebody pressed Ctrl-C, or has not yet. Clones share one wish.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt {
    asked: watch::Sender<bool>,
    replay: Stop,
}

impl Interrupt {
    /// Nobody has asked yet.
    pub(crate) fn new() -> Interrupt {
        Interrupt { asked: watch::Sender::new(false), replay: Stop::new() }
    }

    /// Asks. A replay under way stops sending and still writes its report; asked twice, it aborts what is in flight.
    pub(crate) fn ask(&self) {
        self.asked.send_replace(true);
        self.replay.interrupt();
    }

    pub(super) fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }

    /// Returns once somebody has asked.
    pub(super) async fn asked(&self) {
        let mut asked = self.asked.subscribe();
        let _ = asked.wait_for(|asked| *asked).await; // cannot fail: `self` holds the sender
    }

    /// The handle that the replay listens to.
    pub(super) fn replay(&self) -> Stop {
        self.replay.clone()
    }
}
