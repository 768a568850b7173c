//! Users that differ from the recorded ones: on slow links, reading slowly, clicking twice, leaving early
//! (`--misbehave`). Who does follows from the seed, so that any machine and any concurrency choose the same.

mod parse;
pub(crate) mod throttle;

use std::fmt;
use std::time::Duration;

use crate::backoff::Words;
use crate::identity::{self, Lane};

/// A way to misbehave, and the share of the sessions that do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Misbehaviour {
    share: f64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Sends and reads at most this many bytes a second.
    SlowLink { bytes_per_s: u64 },
    /// Reads at most this many bytes a second.
    SlowReader { bytes_per_s: u64 },
    /// Sends what changes something twice at once.
    DoubleSubmit,
    /// Leaves when an answer takes longer; `None`: than a part of what it took in the recording.
    Abandon { after: Option<Duration> },
}

/// What one clone does all its life. By default nothing special.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Behaviour {
    /// Both directions of its connections are held to this.
    pub(crate) link_bytes_per_s: Option<u64>,
    /// It reads no faster than this.
    pub(crate) read_bytes_per_s: Option<u64>,
    /// It sends each request with a method that changes something twice at once.
    pub(crate) doubles: bool,
    /// It closes the connection and leaves when its patience ends.
    pub(crate) patience: Option<Patience>,
}

/// How long a user who may leave waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Patience {
    /// This long.
    For(Duration),
    /// This share, below 1, of what the answer took in the recording: a server as fast as recorded loses the user.
    Share(f64),
}

impl Patience {
    /// How long it lasts where the recorded answer took `recorded`.
    pub(crate) fn lasts(self, recorded: Duration) -> Duration {
        match self {
            Patience::For(wait) => wait,
            Patience::Share(share) => recorded.mul_f64(share),
        }
    }
}

impl Behaviour {
    /// The slower of both limits on reading.
    pub(crate) fn reads_at(&self) -> Option<u64> {
        self.link_bytes_per_s.into_iter().chain(self.read_bytes_per_s).min()
    }
}

/// What clone `clone` of the session with that identity does. Of several entries of one kind at most one applies:
/// their shares stand side by side.
#[inline]
pub(crate) fn behaviour_of(all: &[Misbehaviour], seed: u64, session: u64, clone: u32) -> Behaviour {
    if all.is_empty() {
        return Behaviour::default();
    }
    chosen(all, seed, [session, u64::from(clone), 0])
}

/// Whether a request of this method changes something, and so is one that a double click sends twice.
pub(crate) fn submits(method: &str) -> bool {
    matches!(method, "POST" | "PUT" | "PATCH" | "DELETE")
}

/// Checks entries against one another.
///
/// # Errors
/// Words for the user when the shares of a kind exceed all sessions.
pub fn check(all: &[Misbehaviour]) -> Result<(), String> {
    for one in all {
        let same = all.iter().filter(|other| other.kind.name() == one.kind.name());
        let sum: f64 = same.map(|other| other.share).sum();
        if sum > 1.0 + 1e-9 {
            let name = one.kind.name();
            return Err(format!("the shares of {name} are {}% together: at most 100%", percent(sum)));
        }
    }
    Ok(())
}

fn chosen(all: &[Misbehaviour], seed: u64, words: [u64; 3]) -> Behaviour {
    let mut behaviour = Behaviour::default();
    for (index, one) in all.iter().enumerate() {
        let before = all[..index].iter().filter(|other| other.kind.name() == one.kind.name());
        let from: f64 = before.map(|other| other.share).sum();
        let place = identity::unit(identity::prf(seed, one.kind.lane(), words));
        if !(from..from + one.share).contains(&place) {
            continue;
        }
        match one.kind {
            Kind::SlowLink { bytes_per_s } => behaviour.link_bytes_per_s = Some(bytes_per_s),
            Kind::SlowReader { bytes_per_s } => behaviour.read_bytes_per_s = Some(bytes_per_s),
            Kind::DoubleSubmit => behaviour.doubles = true,
            Kind::Abandon { after: Some(wait) } => behaviour.patience = Some(Patience::For(wait)),
            Kind::Abandon { after: None } => {
                let share = identity::unit(identity::prf(seed, Lane::Patience, words));
                behaviour.patience = Some(Patience::Share(share));
            }
        }
    }
    behaviour
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::SlowLink { .. } => "slow-link",
            Kind::SlowReader { .. } => "slow-reader",
            Kind::DoubleSubmit => "double-submit",
            Kind::Abandon { .. } => "abandon",
        }
    }

    fn lane(self) -> Lane {
        match self {
            Kind::SlowLink { .. } => Lane::SlowLink,
            Kind::SlowReader { .. } => Lane::SlowReader,
            Kind::DoubleSubmit => Lane::DoubleSubmit,
            Kind::Abandon { .. } => Lane::Abandon,
        }
    }
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}%", self.kind.name(), percent(self.share))?;
        match self.kind {
            Kind::SlowLink { bytes_per_s } | Kind::SlowReader { bytes_per_s } => {
                write!(f, " {}", parse::ByteRate(bytes_per_s))
            }
            Kind::Abandon { after: Some(wait) } => write!(f, " after {}", Words(wait)),
            Kind::DoubleSubmit | Kind::Abandon { after: None } => Ok(()),
        }
    }
}

/// A share in percent without the dust of binary fractions.
fn percent(share: f64) -> f64 {
    (share * 1e8).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<Misbehaviour> {
        texts.iter().map(|text| text.parse().expect(text)).collect()
    }

    fn count(all: &[Misbehaviour], does: impl Fn(&Behaviour) -> bool) -> usize {
        (0..100_000).filter(|clone| does(&behaviour_of(all, 1, 7, *clone))).count()
    }

    #[test]
    fn nobody_misbehaves_unasked() {
        assert_eq!(behaviour_of(&[], 1, 2, 3), Behaviour::default());
        assert_eq!(Behaviour::default().reads_at(), None);
    }

    #[test]
    fn shares_are_kept_and_kinds_are_independent() {
        let all = list(&["slow-link 5% 64KB/s", "slow-reader 10% 4KB/s", "double-submit 20%", "abandon 3%"]);
        let near = |measured: usize, expected: usize| {
            assert!(measured.abs_diff(expected) < expected / 10, "{measured}, expected {expected}");
        };
        near(count(&all, |one| one.link_bytes_per_s == Some(64_000)), 5000);
        near(count(&all, |one| one.read_bytes_per_s == Some(4000)), 10_000);
        near(count(&all, |one| one.doubles), 20_000);
        near(count(&all, |one| one.patience.is_some()), 3000);
        near(count(&all, |one| one.doubles && one.read_bytes_per_s.is_some()), 2000);
        assert_eq!(count(&list(&["double-submit 100%"]), |one| one.doubles), 100_000);
    }

    #[test]
    fn who_is_chosen_depends_on_nothing_else() {
        let (few, many) = (list(&["slow-link 5% 1KB/s"]), list(&["abandon 50%", "slow-link 10% 1KB/s"]));
        let slow = |all: &[Misbehaviour], clone| behaviour_of(all, 1, 7, clone).link_bytes_per_s.is_some();
        let lost = (0..10_000).filter(|clone| slow(&few, *clone) && !slow(&many, *clone)).count();
        assert_eq!(lost, 0, "more entries and a higher share keep the first");
        let differ = |seed, session| {
            (0..1000).any(|clone| behaviour_of(&few, seed, session, clone) != behaviour_of(&few, 1, 7, clone))
        };
        assert!(differ(2, 7) && differ(1, 8) && !differ(1, 7));
    }

    #[test]
    fn entries_of_one_kind_stand_side_by_side() {
        let all = list(&["slow-reader 50% 1KB/s", "slow-reader 50% 2KB/s"]);
        let rate = |rate| count(&all, |one| one.read_bytes_per_s == Some(rate));
        assert_eq!(rate(1000) + rate(2000), 100_000);
        assert!(check(&all).is_ok());
        let over = check(&list(&["abandon 60%", "double-submit 90%", "abandon 50%"]));
        assert!(over.is_err_and(|words| words.contains("abandon") && words.contains("110%")));
    }

    #[test]
    fn patience_ends_before_the_recorded_answer_or_when_it_is_told() {
        let recorded = Duration::from_millis(200);
        let patience = |text: &str| {
            let all = list(&[text]);
            (0..1000)
                .map(|clone| behaviour_of(&all, 1, 7, clone).patience.expect("all").lasts(recorded))
                .collect()
        };
        let told: Vec<Duration> = patience("abandon 100% after 500ms");
        assert!(told.iter().all(|wait| *wait == Duration::from_millis(500)));
        let drawn: Vec<Duration> = patience("abandon 100%");
        assert!(drawn.iter().all(|wait| *wait < recorded));
        let mean = drawn.iter().sum::<Duration>() / 1000;
        assert!((90..110).contains(&mean.as_millis()), "{mean:?}");
        assert_eq!(Patience::Share(0.5).lasts(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn the_slower_limit_counts_and_some_methods_submit() {
        let both =
            Behaviour { link_bytes_per_s: Some(100), read_bytes_per_s: Some(50), ..Behaviour::default() };
        assert_eq!(both.reads_at(), Some(50));
        assert!(["POST", "PUT", "PATCH", "DELETE"].into_iter().all(submits));
        assert!(!["GET", "HEAD", "OPTIONS", ""].into_iter().any(submits));
    }
}
