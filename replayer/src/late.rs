//! What becomes of a step that its predecessor holds up.

/// What to do with a step whose predecessor is answered after the step was due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LatePolicy {
    /// Send it at once; the steps after it keep their times.
    #[default]
    CatchUp,
    /// Leave it out when the step after it is due already; else send it at once.
    Skip,
    /// Send it at once, and move the rest of the session by the same delay.
    Queue,
}

/// What to do now with a step that was held up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Send it.
    Send,
    /// Do not send it, and go on with the step after it.
    LeaveOut,
    /// Send it; what comes after it in the session is due this many nanoseconds later than planned so far.
    SendAndShift(u64),
}

impl LatePolicy {
    /// Decides over a step that was due at `due_ns` and can go at `now_ns`, where the step after it is due at
    /// `successor_ns`; the last step of a session has none, and is never left out.
    pub(crate) fn decide(self, due_ns: u64, successor_ns: Option<u64>, now_ns: u64) -> Held {
        match self {
            LatePolicy::CatchUp => Held::Send,
            LatePolicy::Skip if successor_ns.is_some_and(|successor| successor.max(due_ns) < now_ns) => {
                Held::LeaveOut
            }
            LatePolicy::Skip => Held::Send,
            LatePolicy::Queue => match now_ns.saturating_sub(due_ns) {
                0 => Held::Send,
                late => Held::SendAndShift(late),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn each_policy_does_what_it_says() {
        let check = |policy: LatePolicy, (due, successor, now), held| {
            assert_eq!(policy.decide(due, successor, now), held, "{policy:?} {due} {successor:?} {now}");
        };
        check(LatePolicy::CatchUp, (10, Some(20), 30), Held::Send);
        check(LatePolicy::Skip, (10, Some(20), 15), Held::Send);
        check(LatePolicy::Skip, (10, Some(20), 20), Held::Send);
        check(LatePolicy::Skip, (10, Some(20), 21), Held::LeaveOut);
        check(LatePolicy::Skip, (10, None, 1000), Held::Send);
        check(LatePolicy::Skip, (10, Some(10), 10), Held::Send);
        check(LatePolicy::Queue, (10, Some(20), 10), Held::Send);
        check(LatePolicy::Queue, (10, Some(20), 5), Held::Send);
        check(LatePolicy::Queue, (10, None, 30), Held::SendAndShift(20));
    }

    #[test]
    fn names_are_those_of_the_flag() {
        let names = LatePolicy::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let names: Vec<String> = names.map(|name| name.get_name().to_owned()).collect();
        assert_eq!(names, ["catch-up", "skip", "queue"]);
    }
}
