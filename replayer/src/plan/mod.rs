//! What will be sent, and when: a pure function of (capture, profile, amplification, seed).
//!
//! A recorded session becomes one [`Program`], shared by all its clones; a clone is a start time and a number. The
//! plan knows nothing of threads, sockets or clocks, so any worker can compute its share of it.

mod compile;
mod estimate;
mod program;
mod recorded;
mod routes;
mod store;
mod substitute;
mod template;

use std::collections::BTreeMap;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

pub use compile::select::Pattern;
pub(crate) use compile::{Compiled, compile, edges};
pub use estimate::Summary;
pub(crate) use program::{Program, Step};
pub(crate) use routes::is_made_up;
pub(crate) use store::Footprint;
pub use substitute::Substitution;
pub(crate) use substitute::{Composed, Outgoing, json_value};
pub(crate) use template::{Rewrite, Sender};

use crate::drift::{Chosen, Shapes};
use crate::error::Error;
use crate::links::Links;
use crate::options::{Connections, Speed};
use crate::plan::compile::{Programs, Skipped};
use crate::plan::store::{Row, Store};
use crate::population::{self, Arrivals, Boost, Boosted, Cast, Load, Population, Shard};

/// What is asked of a plan, apart from the capture.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Names of the captures, and how many sessions for each recorded one of them.
    pub(crate) sources: Vec<(String, f64)>,
    pub(crate) load: Load,
    pub(crate) arrivals: Arrivals,
    pub(crate) boosts: Vec<Boost>,
    /// One pass of each capture after another.
    pub(crate) looped: bool,
    /// Where looped load ends, in microseconds of run time.
    pub(crate) duration_us: Option<u64>,
    pub(crate) shard: Shard,
    pub(crate) speed: Speed,
    /// Fit into this many microseconds, never slower than recorded.
    pub(crate) within_us: Option<u64>,
    pub(crate) connections: Connections,
    /// Heads are HTTP/2 header blocks, and requests share the connections of their session.
    pub(crate) http2: bool,
    /// Idle time within a session is shortened to this many microseconds.
    pub(crate) max_gap_us: Option<u64>,
    /// Only exchanges that one of these names; all when there is none.
    pub(crate) only: Vec<Pattern>,
    /// No exchange that one of these names.
    pub(crate) exclude: Vec<Pattern>,
    /// Only what this edge recorded; `None`: the first edge of each proxy.
    pub(crate) edge: Option<String>,
    pub(crate) substitutions: Vec<Substitution>,
    /// Columns of the users file, by number.
    pub(crate) columns: Vec<String>,
    pub(crate) seed: u64,
    /// How requests are written for the target.
    pub(crate) rewrite: Rewrite,
    /// What goes from answers to later requests.
    pub(crate) links: Arc<Links>,
}

/// The whole plan.
#[derive(Debug)]
pub(crate) struct Plan {
    store: Store,
    pub(crate) population: Arc<Population>,
    pub(crate) seed: u64,
    pub(crate) speed: Speed,
    /// Names of the captures.
    pub(crate) cohorts: Vec<String>,
    /// Names of the routes that steps refer to.
    pub(crate) routes: Vec<String>,
    /// Sessions of which one clone alone is sent, and its number.
    clones: BTreeMap<u64, u32>,
    /// Recorded exchanges that are not replayed, by reason.
    pub(crate) skipped: BTreeMap<&'static str, u64>,
    /// Requests whose body substitutions leave alone, as it was not recorded whole and in the clear.
    pub(crate) unreadable: u64,
    /// Both ends of each link, by its number.
    pub(crate) links: Vec<(String, String)>,
    /// Routes of logins with a password that the capture does not know, and in how many sessions.
    pub(crate) logins: BTreeMap<String, u64>,
    /// Shapes of recorded answers, by number.
    pub(crate) shapes: Shapes,
    /// Exchanges whose answers are compared with the recorded ones.
    pub(crate) chosen: Chosen,
    /// The same for the same captures, load and seed, whatever the shard and the thread count.
    pub(crate) hash: u64,
}

impl Plan {
    /// Plans the replay of `sessions`, which are in memory. Sessions without a step to replay vanish.
    #[cfg(test)]
    pub(crate) fn build(sessions: &[captures::Session], wanted: &Wanted) -> Plan {
        Plan::new(compile::programs(sessions, wanted), wanted).expect("the test's flags go together")
    }

    /// Says who starts when.
    fn new(programs: Programs, wanted: &Wanted) -> Result<Plan, Error> {
        let Programs { mut store, names, shapes, skipped } = programs;
        let Skipped { reasons, unreadable, logins } = skipped;
        let routes = routes::assign(&mut store, &names);
        let boosts = wanted.boosts.iter().map(|boost| boost.resolve(&routes));
        let boosts: Vec<Boosted> = boosts.collect::<Result<_, _>>().map_err(Error::Usage)?;
        let casts = casts(&store, !boosts.is_empty());
        let mut people = population::Wanted {
            seed: wanted.seed,
            speed: wanted.speed,
            load: wanted.load.clone(),
            arrivals: wanted.arrivals,
            amplify: wanted.sources.iter().map(|(_, amplify)| *amplify).collect(),
            boosts,
            looped: wanted.looped,
            duration_us: wanted.duration_us,
            shard: wanted.shard,
        };
        let mut population = Population::new(&casts, &people).map_err(Error::Usage)?;
        if let Some(within_us) = wanted.within_us {
            let span = population.estimate().span_us.unwrap_or(0);
            people.speed = Speed::Times((span as f64 / within_us.max(1) as f64).max(1.0));
            population = Population::new(&casts, &people).map_err(Error::Usage)?;
        }
        let programs = store.rows.iter().map(|row| Program::new(&store, row));
        let chosen = Chosen::new(programs, routes.len());
        let mut plan = Plan {
            store,
            population: Arc::new(population),
            seed: wanted.seed,
            speed: people.speed,
            cohorts: wanted.sources.iter().map(|(name, _)| name.clone()).collect(),
            routes,
            clones: wanted.only.iter().filter_map(Pattern::clone_of).collect(),
            skipped: reasons,
            unreadable,
            links: wanted.links.names().collect(),
            logins,
            shapes,
            chosen,
            hash: 0,
        };
        plan.hash = plan.digest(wanted);
        Ok(plan)
    }

    /// The program `index`.
    pub(crate) fn program(&self, index: u32) -> Program<'_> {
        Program::new(&self.store, &self.store.rows[index as usize])
    }

    /// One step of a program.
    pub(crate) fn step(&self, program: u32, step: u32) -> Step<'_> {
        self.program(program).step(step)
    }

    /// All programs, by capture and start.
    pub(crate) fn programs(&self) -> impl ExactSizeIterator<Item = Program<'_>> {
        self.store.rows.iter().map(|row| Program::new(&self.store, row))
    }

    /// Which of the captures a program comes from.
    pub(crate) fn cohort(&self, program: u32) -> usize {
        usize::from(self.store.rows[program as usize].source())
    }

    /// The id in the path of a request, as its route leaves it out.
    pub(crate) fn key_of<'p>(&self, path: &'p str) -> Option<&'p str> {
        routes::key(path)
    }

    /// The number that a clone bears: its own, unless another was asked for by name.
    pub(crate) fn clone_of(&self, program: u32, clone: u32) -> u32 {
        if self.clones.is_empty() {
            return clone;
        }
        self.clones.get(&self.program(program).session()).copied().unwrap_or(clone)
    }

    /// What the programs take.
    pub(crate) fn footprint(&self) -> Footprint {
        self.store.footprint()
    }

    /// When a moment `us` microseconds into the recording is due, in nanoseconds from the start of the run.
    pub(crate) fn due_ns(&self, us: u64) -> u64 {
        match self.speed {
            Speed::Times(1.0) => us.saturating_mul(1000).min(NEVER_NS),
            Speed::Times(times) => ((us as f64 * 1000.0 / times) as u64).min(NEVER_NS),
            Speed::Max => 0,
        }
    }

    fn digest(&self, wanted: &Wanted) -> u64 {
        let mut hash = Xxh3::with_seed(self.seed);
        let mut word = |value: u64| hash.update(&value.to_le_bytes());
        word(3); // version of this digest
        word(self.population.hash());
        word(u64::from(wanted.http2));
        for row in &self.store.rows {
            for value in [row.session, row.start_us, u64::from(row.source())] {
                word(value);
            }
            for step in Program::new(&self.store, row).steps() {
                let lane = step.lane().map_or(u64::MAX, u64::from);
                for value in [step.offset_us(), step.end_us(), u64::from(step.index()), lane, step.what()] {
                    word(value);
                }
                if step.has_links() {
                    word(xxhash_rust::xxh3::xxh3_64(step.links()));
                }
            }
        }
        for (session, clone) in &self.clones {
            word(*session);
            word(u64::from(*clone));
        }
        for substitution in &wanted.substitutions {
            hash.update(format!("{substitution:?}").as_bytes());
        }
        hash.digest()
    }
}

/// What the population is to know of each program.
fn casts(store: &Store, with_routes: bool) -> Vec<Cast> {
    let routes = |row: &Row| {
        let mut routes: Vec<u16> = Program::new(store, row).steps().map(Step::route).collect();
        routes.sort_unstable();
        routes.dedup();
        routes
    };
    let cast = |row: &Row| Cast {
        session: row.session,
        start_us: row.start_us,
        length_us: row.length_us(),
        steps: row.len(),
        routes: if with_routes { routes(row) } else { Vec::new() },
        source: row.source(),
    };
    store.rows.iter().map(cast).collect()
}

/// Whether `name: value` can stand in a request.
pub(crate) fn is_field(name: &str, value: &str) -> bool {
    template::is_token(name.as_bytes()) && template::is_clean(value.as_bytes())
}

/// Later than any run lasts, and far enough from the end of the numbers to be added to.
const NEVER_NS: u64 = 1 << 62;

#[cfg(test)]
pub(crate) mod tests;
