//! What guards hear of a connection while it lives: how long the upstream takes to answer, and that it goes on.
//!
//! ```text
//! Quiet --the upstream is given bytes--> Asked --it gives bytes--> Quiet, and has answered after so long
//! ```
//!
//! Both ends of that time are met at the upstream's socket, so that no wait of a rule is in it. What the bytes mean is not
//! known: of questions that are sent ahead the last is timed, and an upstream that has never answered may be one that
//! only takes, so nobody waits for it.

use std::time::{Duration, Instant};

use crate::rules::Told;

/// The connection as its guards see it.
#[derive(Debug, Default)]
pub(super) struct Talk {
    /// Some guard names the edge.
    is_heard: bool,
    asked: Option<Instant>,
    /// It has answered before.
    answers: bool,
    /// It has answered since that was told.
    answered: bool,
    /// How old the connection was when that was told.
    lived: Duration,
    /// How much of the wait under way was told.
    waited: Duration,
    beat: Option<Instant>,
}

impl Talk {
    /// Whether there is anybody to tell.
    pub(super) fn be_heard(&mut self, is_heard: bool) {
        self.is_heard = is_heard;
        if !is_heard {
            self.beat = None;
        }
    }

    /// The upstream was given bytes. `is_free`: nothing that it gave before is still here, so that its answer will be read
    /// when it comes.
    pub(super) fn asked(&mut self, now: Instant, is_free: bool) {
        self.asked = is_free.then_some(now);
        self.waited = Duration::ZERO;
        self.stir(now);
    }

    /// It gave bytes. Where that was an answer: how long it took.
    pub(super) fn answered(&mut self, now: Instant) -> Option<Told> {
        let took = self.asked.take().map(|asked| now - asked);
        self.answers |= took.is_some();
        self.answered = true;
        self.stir(now);
        took.filter(|_| self.is_heard).map(Told::Answered)
    }

    /// When there will be something to tell; a connection that rests has nothing.
    pub(super) fn next_beat(&self) -> Option<Instant> {
        self.beat
    }

    /// What is to be told now of a connection that began at `start`.
    pub(super) fn beat(&mut self, start: Instant, now: Instant) -> Option<Told> {
        self.beat.take_if(|beat| *beat <= now)?;
        let waits = self.asked.filter(|_| self.answers);
        self.beat = waits.map(|_| now + BEAT);
        if std::mem::take(&mut self.answered) {
            let from = std::mem::replace(&mut self.lived, now - start);
            return Some(Told::Lives { from, to: self.lived });
        }
        let from = std::mem::replace(&mut self.waited, now - waits?);
        Some(Told::Waits { from, to: self.waited })
    }

    fn stir(&mut self, now: Instant) {
        if self.is_heard {
            self.beat.get_or_insert(now + BEAT);
        }
    }
}

/// The shortest window of a guard.
const BEAT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn answers_are_timed_and_a_connection_that_rests_is_left_alone() {
        let start = Instant::now();
        let mut talk = Talk::default();
        talk.be_heard(true);
        assert_eq!(
            (talk.answered(start + ms(5)), talk.next_beat()),
            (None, Some(start + ms(1_005))),
            "a greeting"
        );
        talk.asked(start + ms(10), true);
        talk.asked(start + ms(20), true);
        assert_eq!(talk.answered(start + ms(50)), Some(Told::Answered(ms(30))), "from the last byte");
        assert_eq!(talk.answered(start + ms(60)), None, "the rest of the answer");
        assert_eq!(talk.beat(start, start + s(1)), None, "not due");
        assert_eq!(talk.beat(start, start + ms(1_005)), Some(Told::Lives { from: s(0), to: ms(1_005) }));
        assert_eq!((talk.next_beat(), talk.beat(start, start + s(9))), (None, None), "it rests");
        talk.asked(start + s(70), true);
        assert_eq!(talk.answered(start + s(71)), Some(Told::Answered(s(1))));
        assert_eq!(talk.beat(start, start + s(72)), Some(Told::Lives { from: ms(1_005), to: s(72) }));
        talk.asked(start + s(80), false);
        assert_eq!(talk.answered(start + s(81)), None, "older bytes were in its way");
    }

    #[test]
    fn a_wait_is_told_while_it_lasts() {
        let start = Instant::now();
        let mut talk = Talk::default();
        talk.be_heard(true);
        talk.asked(start, true);
        assert_eq!(talk.beat(start, start + s(1)), None, "it may be one that only takes");
        assert_eq!(talk.next_beat(), None);
        assert_eq!(talk.answered(start + s(5)), Some(Told::Answered(s(5))));
        talk.asked(start + s(5), true);
        assert_eq!(talk.beat(start, start + s(6)), Some(Told::Lives { from: s(0), to: s(6) }));
        assert_eq!(talk.beat(start, start + s(7)), Some(Told::Waits { from: s(0), to: s(2) }));
        assert_eq!(talk.beat(start, start + s(9)), Some(Told::Waits { from: s(2), to: s(4) }));
        assert_eq!(talk.next_beat(), Some(start + s(10)));
        talk.be_heard(false);
        assert_eq!((talk.next_beat(), talk.answered(start + s(10))), (None, None), "nobody listens");
    }
}
