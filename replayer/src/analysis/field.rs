//! What the analysis looks at: attempts by session and time, with what the plan, the rules and the session's own past say
//! of each.

use std::collections::HashMap;

use crate::drift::Compared;
use crate::evidence::{BY_PROXY, Ended, Fate, GRPC_FAILED, WARMS_UP};
use crate::tally;

/// A set of rules, a bit for each of the most active ones, and [`OWN_FAILURE`].
pub(crate) type Rules = u64;

/// All attempts of the sample.
#[derive(Debug, Default)]
pub(crate) struct Field {
    /// By session and time.
    pub(crate) attempts: Vec<Attempt>,
    /// Rules that touched calls of attempts, by their place, in its order.
    pub(crate) below: Vec<(u32, Rules)>,
    pub(crate) steps: Vec<StepFact>,
    pub(crate) routes: Vec<String>,
    /// Rules that touched anything, most active first.
    pub(crate) rules: Vec<String>,
    /// Values of ids in paths.
    pub(crate) keys: Vec<String>,
    /// Share of all sessions that were looked at.
    pub(crate) share: f64,
    /// Answers that were held against the recorded ones.
    pub(crate) compared: Compared,
}

/// An attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    /// Number of its session in the sample.
    pub(crate) session: u32,
    pub(crate) clone: u32,
    /// Its recorded step: clones of one step are compared with one another.
    pub(crate) fact: u32,
    pub(crate) route: u16,
    pub(crate) attempt: u16,
    pub(crate) at_ms: u32,
    pub(crate) took_us: u32,
    pub(crate) print: u32,
    pub(crate) fate: Fate,
    pub(crate) wrong: Wrong,
    pub(crate) by_proxy: bool,
    pub(crate) warms_up: bool,
    /// Rules that touched it.
    pub(crate) by: Rules,
    /// Rules that had touched its session, or calls of that, before it ended; and whether that had failed before, by no rule.
    pub(crate) before: Rules,
}

/// A recorded step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StepFact {
    pub(crate) program: u32,
    pub(crate) step: u32,
    pub(crate) route: u16,
    /// Recorded status; 0: none.
    pub(crate) status: u16,
    /// The last id in its path; [`NO_KEY`]: none that is known.
    pub(crate) key: u32,
}

/// What is wrong with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Wrong {
    Nothing,
    /// Refused where the recording was served, and no error: 404 for 200.
    Status,
    /// 429, 5xx, or a gRPC call that failed.
    Error,
    /// No answer.
    Failure,
}

/// The rules that touched an attempt, and those that touched calls which it caused behind the target, with commas between
/// them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Touched<'a> {
    pub(crate) by: &'a str,
    pub(crate) below: &'a str,
}

/// What the plan says of a step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) route: u16,
    pub(crate) status: u16,
    pub(crate) key: Option<String>,
}

impl Wrong {
    pub(crate) fn of(fate: Fate, flags: u8, recorded: u16) -> Wrong {
        let Some(status) = fate.as_status() else { return Wrong::Failure };
        if tally::is_error(status) || flags & GRPC_FAILED != 0 {
            return Wrong::Error;
        }
        // 2xx against 3xx changes with caches and the day, and a target that does better than recorded hurts nobody
        let is_refused = (1..=3).contains(&(recorded / 100)) && status / 100 == 4;
        if is_refused { Wrong::Status } else { Wrong::Nothing }
    }

    /// Whether it counts among the failures of the run.
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Wrong::Error | Wrong::Failure)
    }
}

/// A walk through what sessions did before some of their attempts, each part of it once: sessions may be long.
#[derive(Debug)]
pub(crate) struct Earlier<'a> {
    attempts: &'a [Attempt],
    session: Option<u32>,
    from: usize,
}

impl<'a> Earlier<'a> {
    /// The attempts of its session before the one at this place, but for those that were told for a place before it;
    /// true where its session is another than that of the last. Places come in order.
    pub(crate) fn before(&mut self, at: u32) -> (&'a [Attempt], bool) {
        let (at, session) = (at as usize, self.attempts[at as usize].session);
        let is_new = self.session != Some(session);
        if is_new {
            self.session = Some(session);
            self.from = self.attempts.partition_point(|attempt| attempt.session < session);
        }
        let before = &self.attempts[self.from..at];
        self.from = at;
        (before, is_new)
    }
}

impl Field {
    /// Begins a walk through the sessions.
    pub(crate) fn earlier(&self) -> Earlier<'_> {
        Earlier { attempts: &self.attempts, session: None, from: 0 }
    }

    /// Puts together what is known. `ended` are in the order of the evidence, with the rules that touched each; `told`
    /// says what the plan knows of (program, step).
    pub(crate) fn new(
        ended: &[(Ended, Touched<'_>)],
        routes: &[String],
        share: f64,
        told: impl Fn(u32, u32) -> Told,
    ) -> Field {
        let rules = most_active(ended);
        let bits: HashMap<&str, u32> =
            rules.iter().enumerate().map(|(bit, rule)| (rule.as_str(), bit as u32)).collect();
        let mut field = Field { routes: routes.to_vec(), share, ..Field::default() };
        let mut facts: HashMap<(u32, u32), u32> = HashMap::new();
        let mut keys: HashMap<String, u32> = HashMap::new();
        let mut session: Option<(u32, u32, u32)> = None;
        let mut before = 0;
        for (ended, touched) in ended {
            let number = match session {
                Some((program, clone, number)) if (program, clone) == (ended.program, ended.clone) => number,
                other => {
                    before = 0;
                    other.map_or(0, |(.., number)| number + 1)
                }
            };
            session = Some((ended.program, ended.clone, number));
            let fact = *facts.entry((ended.program, ended.step)).or_insert_with(|| {
                let told = told(ended.program, ended.step);
                field.steps.push(StepFact {
                    program: ended.program,
                    step: ended.step,
                    route: told.route,
                    status: told.status,
                    key: told.key.map_or(NO_KEY, |key| number_of(key, &mut keys)),
                });
                field.steps.len() as u32 - 1
            });
            let bit = |name| 1 << bits.get(name).copied().unwrap_or(LAST_BIT);
            let set = |list| names(list).fold(0, |set: Rules, name| set | bit(name));
            let (by, below) = (set(touched.by), set(touched.below));
            if below != 0 {
                field.below.push((field.attempts.len() as u32, below));
                before |= below; // calls are over, or given up, before what waits for them ends
            }
            let StepFact { route, status, .. } = field.steps[fact as usize];
            field.attempts.push(Attempt {
                session: number,
                clone: ended.clone,
                fact,
                route,
                attempt: ended.attempt,
                at_ms: ended.at_ms,
                took_us: ended.took_us,
                print: ended.print,
                fate: ended.fate,
                wrong: Wrong::of(ended.fate, ended.flags, status),
                by_proxy: ended.flags & BY_PROXY != 0,
                warms_up: ended.flags & WARMS_UP != 0,
                by,
                before,
            });
            before |= by;
            let made = field.attempts.last();
            if by == 0 && made.is_some_and(|attempt| attempt.wrong.is_failure()) {
                before |= 1 << OWN_FAILURE;
            }
        }
        field.keys = vec![String::new(); keys.len()];
        keys.into_iter().for_each(|(key, number)| field.keys[number as usize] = key);
        field.rules = rules;
        field
    }

    pub(crate) fn fact(&self, attempt: &Attempt) -> &StepFact {
        &self.steps[attempt.fact as usize]
    }

    pub(crate) fn route(&self, route: u16) -> &str {
        self.routes.get(usize::from(route)).map_or("?", String::as_str)
    }

    /// A count in the sample as one of the whole run.
    pub(crate) fn scaled(&self, count: u64) -> u64 {
        if self.share >= 1.0 {
            count
        } else {
            (count as f64 / self.share.max(f64::MIN_POSITIVE)).round() as u64
        }
    }

    /// Whether a rule touched calls of the attempt at that place.
    pub(crate) fn is_below(&self, bit: usize, at: u32) -> bool {
        let place = self.below.binary_search_by_key(&at, |(at, _)| *at);
        place.is_ok_and(|place| self.below[place].1 >> bit & 1 == 1)
    }

    /// Attempts that rules touched, or whose calls they touched, each with those rules.
    pub(crate) fn touched(&self) -> impl Iterator<Item = (&Attempt, Rules)> {
        let own = self.attempts.iter().filter(|attempt| attempt.by != 0).map(|attempt| (attempt, attempt.by));
        own.chain(self.below.iter().map(|(at, rules)| (&self.attempts[*at as usize], *rules)))
    }

    /// The end of the last attempt.
    pub(crate) fn end_ms(&self) -> u32 {
        self.attempts.iter().map(|attempt| attempt.at_ms).max().unwrap_or(0)
    }

    /// The rules of a set, by name.
    pub(crate) fn names(&self, rules: Rules) -> impl Iterator<Item = &str> {
        self.rules
            .iter()
            .enumerate()
            .filter(move |(bit, _)| rules >> bit & 1 == 1)
            .map(|(_, rule)| rule.as_str())
    }
}

impl Attempt {
    /// When it was sent, in milliseconds.
    pub(crate) fn sent_ms(&self) -> u32 {
        self.at_ms.saturating_sub(self.took_us / 1000)
    }
}

fn number_of(key: String, keys: &mut HashMap<String, u32>) -> u32 {
    let next = keys.len() as u32;
    if next < KEYS || keys.contains_key(&key) { *keys.entry(key).or_insert(next) } else { NO_KEY }
}

/// The names in a list.
fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// The names of the rules that touched the most attempts.
fn most_active(ended: &[(Ended, Touched<'_>)]) -> Vec<String> {
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for name in ended.iter().flat_map(|(_, touched)| names(touched.by).chain(names(touched.below))) {
        *counts.entry(name).or_default() += 1;
    }
    let mut all: Vec<(&str, u64)> = counts.into_iter().collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    all.truncate(LAST_BIT as usize + 1);
    all.into_iter().map(|(name, _)| name.to_owned()).collect()
}

/// In [`Attempt::before`]: the session had a failure that no rule made.
pub(crate) const OWN_FAILURE: usize = 63;
/// Rules beyond the most active share this one.
const LAST_BIT: u32 = 62;
/// No id in the path, or none that is known.
pub(crate) const NO_KEY: u32 = u32::MAX;
/// Ids that are told apart: a shard or a hot row shows among far fewer.
const KEYS: u32 = 65_536;

const _: () = assert!(size_of::<Attempt>() <= 56, "half a million of them take 28 MB, once, after the run");
