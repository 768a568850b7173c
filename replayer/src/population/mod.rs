//! Who starts when: a pure function of (capture, flags, seed), told in order of time and never held in memory whole.
//!
//! ```text
//! Cast per recorded session ---+                       open: windows --> clones --> Start, Start, ...
//! Wanted (load, speed, seed) --+--> Population --starts(worker)--> |
//!                                                      closed: slots --> Start ... replacement(slot)
//! ```
//!
//! In the open model each recorded session owns a *window*, from its start to the next one's; how many clones start
//! in it is the mean of the load over the window, and where they start follows the load. Times of curves, stages,
//! windows of boosts and durations are RUN time (after `--speed`); starts and lengths of casts are recorded time.
//! Every start has an ordinal (`user`); shards take turns at ordinals, and within a shard its threads do, so that
//! any worker computes its share alone, and the shares are the whole.

mod boost;
mod chance;
mod closed;
mod curve;
mod estimate;
mod flow;
mod identities;
mod open;
mod profile;
pub mod shape;
mod shard;
mod stage;
mod starts;
mod words;

use std::sync::Arc;

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

pub use boost::Boost;
pub(crate) use boost::Boosted;
pub(crate) use estimate::Estimate;
pub use profile::Profile;
pub use shard::Shard;
pub use stage::Stage;
pub(crate) use starts::Starts;

use crate::options::Speed;
use closed::Closed;
use open::Open;

/// A recorded session, as far as the population cares.
#[derive(Clone, Debug)]
pub(crate) struct Cast {
    /// The recorded session.
    pub(crate) session: u64,
    /// Start, in recorded microseconds from the first start of its source.
    pub(crate) start_us: u64,
    /// From its start to its last answer, in recorded microseconds.
    pub(crate) length_us: u64,
    /// Requests.
    pub(crate) steps: u32,
    /// Routes that it visits, in order of their numbers; may be empty where there is no boost.
    pub(crate) routes: Vec<u16>,
    /// Number of its capture, an index into [`Wanted::amplify`].
    pub(crate) source: u16,
}

/// What is asked of a population.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) seed: u64,
    pub(crate) speed: Speed,
    pub(crate) load: Load,
    pub(crate) arrivals: Arrivals,
    /// An amplification for each source; above 0. In the closed model their share of the sessions.
    pub(crate) amplify: Vec<f64>,
    pub(crate) boosts: Vec<Boosted>,
    /// One pass of each capture after another.
    pub(crate) looped: bool,
    /// Where looped load ends, in microseconds of run time.
    pub(crate) duration_us: Option<u64>,
    pub(crate) shard: Shard,
}

/// Where the number of sessions comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Load {
    /// The recording, amplified.
    Recorded,
    /// The recording, amplified so that it has this many requests a second on average; looped when there is a
    /// duration.
    Rate(f64),
    /// The recording, amplified as time passes, looped until the end of the profile.
    Profile(Profile),
    /// This many alive, after five seconds.
    Sessions(u32),
    /// As many alive as the stages say.
    Stages(Vec<Stage>),
}

/// When clones start within the window of their session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Arrivals {
    /// Clone 0 when it was recorded, the others spread until the next session's start.
    #[default]
    Recorded,
    /// As strangers would: a Poisson process of the same rate, sessions in recorded order.
    Poisson,
    /// All at once, whenever a session was recorded: a stampede.
    Aligned,
}

/// One session of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Start {
    /// When it starts, in nanoseconds of run time; 0 at full speed, where a start waits for nothing but room.
    pub(crate) at_ns: u64,
    /// Its ordinal, from 0 over the whole plan, whatever the sharding; in the closed model its slot.
    pub(crate) user: u32,
    /// Index of its cast.
    pub(crate) program: u32,
    /// Number of the clone: never twice with the same session in one plan.
    pub(crate) clone: u32,
    /// It starts in its midst: this much of the program, in recorded microseconds, is behind it at `at_ns`, and
    /// steps due earlier are not planned.
    pub(crate) skip_us: u64,
}

/// All sessions of a run.
#[derive(Debug)]
pub(crate) struct Population {
    model: Model,
    shard: Shard,
    hash: u64,
}

#[derive(Debug)]
enum Model {
    Open(Open),
    Closed(Closed),
}

impl Population {
    /// Who starts when, for `casts` in order of source and start.
    ///
    /// # Errors
    /// Words for the user when flags do not go together or the plan has no bounds that can be kept.
    pub(crate) fn new(casts: &[Cast], wanted: &Wanted) -> Result<Population, String> {
        let windowed = wanted.boosts.iter().any(|boost| boost.window_us.is_some());
        let at_once = wanted.speed == Speed::Max;
        let closed = |target| {
            if windowed {
                return Err(
                    "a boost with a window needs load that follows the recording: with --sessions or \
                            --stage boost without a window"
                        .to_owned(),
                );
            }
            Ok(Model::Closed(Closed::new(casts, wanted, target)?))
        };
        if at_once && (windowed || matches!(wanted.load, Load::Profile(_) | Load::Rate(_))) {
            return Err(
                "--speed max has no schedule: --profile, --rate and windows of boosts need one".to_owned()
            );
        }
        let model = match &wanted.load {
            Load::Sessions(sessions) => closed(closed::settling(*sessions))?,
            Load::Stages(stages) => closed(stage::target(stages))?,
            Load::Recorded | Load::Rate(_) | Load::Profile(_) => Model::Open(Open::new(casts, wanted)?),
        };
        let mut population = Population { model, shard: wanted.shard, hash: 0 };
        population.hash = population.digest(wanted);
        Ok(population)
    }

    /// The starts of thread `worker` of `workers`, in order of time.
    pub(crate) fn starts(self: &Arc<Self>, worker: usize, workers: usize) -> Starts {
        Starts::new(Arc::clone(self), self.shard.share(worker, workers))
    }

    /// Sessions of the whole plan, over all shards; `None`: without end, or as many as the answers allow.
    pub(crate) fn sessions(&self) -> Option<u64> {
        self.open()?.totals.map(|totals| totals.sessions)
    }

    /// Requests of the whole plan, over all shards; `None`: without end, or as many as the answers allow.
    pub(crate) fn requests(&self) -> Option<u64> {
        self.open()?.totals.map(|totals| totals.requests)
    }

    /// Rows of a users file that give every session alive its own; `None`: without end.
    pub(crate) fn users_needed(&self) -> Option<u64> {
        match &self.model {
            Model::Open(_) => self.sessions(),
            Model::Closed(closed) => Some(u64::from(closed.slots())),
        }
    }

    /// Whether an ended session has a successor ([`Population::replacement`]).
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.model, Model::Closed(_))
    }

    /// Who follows, in the closed model, the session that ended at `now_ns` in slot `user` as clone `clone`: at once,
    /// or when the slot is wanted again. `None`: nobody, the slot is done.
    pub(crate) fn replacement(&self, user: u32, clone: u32, now_ns: u64) -> Option<Start> {
        match &self.model {
            Model::Open(_) => None,
            Model::Closed(closed) => closed.replacement(user, clone, now_ns),
        }
    }

    /// When the load ends by itself, in nanoseconds of run time: the end of a profile, of the stages, or of looped
    /// load with a duration. `None`: when the last session ends, or never.
    pub(crate) fn end_ns(&self) -> Option<u64> {
        match &self.model {
            Model::Open(open) => open.end_us().map(nanos),
            Model::Closed(closed) => closed.end_us().map(nanos),
        }
    }

    /// What the plan will need, roughly.
    pub(crate) fn estimate(&self) -> Estimate {
        match &self.model {
            Model::Open(open) => Estimate::of_open(open),
            Model::Closed(closed) => closed.estimate(),
        }
    }

    /// Hash of the whole plan: the same for any shard and number of threads, another for another seed or flag.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    fn open(&self) -> Option<&Open> {
        match &self.model {
            Model::Open(open) => Some(open),
            Model::Closed(_) => None,
        }
    }

    fn digest(&self, wanted: &Wanted) -> u64 {
        let mut hash = Xxh3::with_seed(wanted.seed);
        let mut word = |value: u64| hash.update(&value.to_le_bytes());
        word(1); // version of this digest
        word(match wanted.speed {
            Speed::Times(times) => times.to_bits(),
            Speed::Max => 0,
        });
        match &self.model {
            Model::Open(open) => open.words(&mut word),
            Model::Closed(closed) => closed.words(&mut word),
        }
        hash.digest()
    }
}

/// The word that stands for a recorded session in everything that chance decides, and in the names of its clones: its
/// own in the first capture, another in each further one, where the same number is somebody else.
pub(crate) fn identity_word(source: u16, session: u64) -> u64 {
    if source == 0 { session } else { xxh3_64_with_seed(&session.to_le_bytes(), u64::from(source)) }
}

/// Microseconds of run time as whole nanoseconds.
fn nanos(micros: f64) -> u64 {
    (micros * 1000.0) as u64
}

/// Recorded microseconds that pass in one microsecond of the run.
fn pace(speed: Speed) -> f64 {
    match speed {
        Speed::Times(times) => times,
        Speed::Max => 1.0,
    }
}

/// By how much the boosts without a window multiply a session.
fn lasting(cast: &Cast, boosts: &[Boosted]) -> f64 {
    let visits = |boost: &&Boosted| boost.window_us.is_none() && cast.routes.contains(&boost.route);
    boosts.iter().filter(visits).map(|boost| boost.times).product()
}

#[cfg(test)]
mod tests;
