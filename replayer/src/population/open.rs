//! The open model: sessions start whatever the answers take. Each recorded session has a window on every pass of its
//! capture; the load over the window says how many clones start in it, and where.

use crate::limits;
use crate::options::Speed;
use crate::population::curve::Curve;
use crate::population::{Arrivals, Cast, Load, Wanted, chance, identities, identity_word, lasting, pace};

/// All windows of all sources.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) sources: Vec<Source>,
    /// The load that a session follows: one for each source and set of boosts.
    pub(crate) curves: Vec<Curve>,
    pub(crate) arrivals: Arrivals,
    pub(crate) seed: u64,
    /// Recorded microseconds that pass in one of the run.
    pub(crate) pace: f64,
    /// Every start is due at once.
    pub(crate) at_once: bool,
    /// Requests of each cast.
    steps: Vec<u32>,
    /// Over all sources and shards; `None`: without end.
    pub(crate) totals: Option<Totals>,
}

/// One capture.
#[derive(Debug)]
pub(crate) struct Source {
    /// Number of the capture.
    pub(crate) number: u16,
    /// Its sessions, by start.
    pub(crate) members: Vec<Member>,
    /// One pass, in recorded microseconds; above 0.
    pub(crate) period_us: u64,
    pub(crate) looped: bool,
    /// Where its last window is cut, in microseconds of run time; infinite when it is not.
    pub(crate) horizon: f64,
    /// Index of the mean load of its members, which a Poisson process follows.
    mix: usize,
}

/// A recorded session.
#[derive(Debug)]
pub(crate) struct Member {
    /// Index of its cast.
    pub(crate) program: u32,
    pub(crate) steps: u32,
    pub(crate) word: u64,
    pub(crate) start_us: u64,
    pub(crate) length_us: u64,
    window_us: u64,
    /// Index of the load that it follows.
    pub(crate) curve: usize,
}

/// A span of run time in which some clones start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// In microseconds of run time.
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// How many start.
    pub(crate) clones: u32,
    /// The first of them starts at `from`.
    pub(crate) pinned: bool,
    /// Index of the member; of no meaning in a Poisson process, whose members take turns.
    pub(crate) member: usize,
    /// Index of the load.
    pub(crate) curve: usize,
}

/// Sums over a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) sessions: u64,
    pub(crate) requests: u64,
}

impl Open {
    pub(crate) fn new(casts: &[Cast], wanted: &Wanted) -> Result<Open, String> {
        let pace = pace(wanted.speed);
        let mut sources = sources(casts);
        let amplify =
            |source: &Source| wanted.amplify.get(usize::from(source.number)).copied().unwrap_or(1.0);
        let mut load = Curve::constant(1.0);
        let mut looped = wanted.looped;
        let mut horizon = wanted.duration_us.map_or(f64::INFINITY, |us| us as f64);
        let per_second = |weight: &dyn Fn(&Cast) -> f64| -> f64 {
            let of = |source: &Source| {
                let all: f64 = source.members.iter().map(|m| weight(&casts[m.program as usize])).sum();
                amplify(source) * all / (source.period_us as f64 / pace / 1e6)
            };
            sources.iter().map(of).sum()
        };
        match &wanted.load {
            Load::Rate(rate) => {
                let natural = per_second(&|c| f64::from(c.steps) * lasting(c, &wanted.boosts));
                load = Curve::constant(rate / natural.max(f64::MIN_POSITIVE));
                looped |= wanted.duration_us.is_some();
            }
            Load::Profile(profile) => {
                load = profile.curve(per_second(&|c| lasting(c, &wanted.boosts)))?;
                horizon = horizon.min(profile.length_us());
                looped = true;
            }
            _ => {}
        }
        let at_once = wanted.speed == Speed::Max;
        let mut curves = Curves::default();
        for source in &mut sources {
            source.looped = looped;
            source.horizon = if looped && !at_once { horizon } else { f64::INFINITY };
            let own = load.boosted(amplify(source), None);
            curves.add(source, casts, &own, wanted);
        }
        let mut open = Open {
            sources,
            curves: curves.all,
            arrivals: wanted.arrivals,
            seed: wanted.seed,
            pace,
            at_once,
            steps: casts.iter().map(|cast| cast.steps).collect(),
            totals: None,
        };
        open.count()?;
        Ok(open)
    }

    /// Window `index` of a pass, unless the source has ended.
    pub(crate) fn window(&self, source: &Source, pass: u64, index: usize) -> Option<Window> {
        if 0 < pass && !source.looped {
            return None;
        }
        let member = &source.members[index];
        let from_us = pass * source.period_us + member.start_us;
        let (from, to) = (from_us as f64 / self.pace, (from_us + member.window_us) as f64 / self.pace);
        if source.horizon <= from {
            return None;
        }
        let (mean, to) = self.mean(member.curve, from, to, source.horizon);
        let clones = chance::whole(self.seed, [member.word, pass], mean);
        // The recording keeps its place unless the load has hardly begun to rise there.
        let pinned = mean.min(1.0) * (1.0 - 1e-9) <= self.curves[member.curve].at(from);
        Some(Window { from, to, clones, pinned, member: index, curve: member.curve })
    }

    /// Slot `number` of the Poisson process of a source, unless the source has ended. There are as many on each pass
    /// as there are members.
    pub(crate) fn slot(&self, source: &Source, number: u64) -> Option<Window> {
        let members = source.members.len() as u64;
        if members <= number && !source.looped {
            return None;
        }
        let begin = |number: u64| {
            let (pass, place) = (number / members, number % members);
            let within = u128::from(source.period_us) * u128::from(place) / u128::from(members);
            (pass * source.period_us + within as u64) as f64 / self.pace
        };
        let (from, to) = (begin(number), begin(number + 1));
        if source.horizon <= from {
            return None;
        }
        let (mean, to) = self.mean(source.mix, from, to, source.horizon);
        let clones = chance::poisson(self.seed, [u64::from(source.number), number], mean);
        Some(Window { from, to, clones, pinned: false, member: 0, curve: source.mix })
    }

    /// Mean number of clones in a window and where it ends, which is not after the horizon.
    fn mean(&self, curve: usize, from: f64, to: f64, horizon: f64) -> (f64, f64) {
        let end = to.min(horizon);
        let mean = self.curves[curve].mean(from, end);
        if end < to { (mean * (end - from) / (to - from), end) } else { (mean, end) }
    }

    /// Passes of a source that begin before its horizon; infinite without one.
    fn passes(&self, source: &Source) -> f64 {
        if source.looped { (source.horizon * self.pace / source.period_us as f64).ceil() } else { 1.0 }
    }

    /// Where looped load or a profile ends, in microseconds of run time.
    pub(crate) fn end_us(&self) -> Option<f64> {
        self.sources.iter().map(|source| source.horizon).reduce(f64::max).filter(|end| end.is_finite())
    }

    /// Whether starts never end.
    pub(crate) fn is_endless(&self) -> bool {
        self.sources.iter().any(|source| source.looped && source.horizon.is_infinite())
    }

    /// Windows of a source one after the other, each with its pass.
    pub(crate) fn windows<'a>(&'a self, source: &'a Source) -> impl Iterator<Item = (u64, Window)> + 'a {
        let members = source.members.len() as u64;
        (0_u64..).map_while(move |number| {
            let pass = number / members;
            let window = match self.arrivals {
                Arrivals::Poisson => self.slot(source, number)?,
                _ => self.window(source, pass, (number % members) as usize)?,
            };
            Some((pass, window))
        })
    }

    fn count(&mut self) -> Result<(), String> {
        if self.is_endless() {
            let load: f64 = self.sources.iter().map(|source| self.curves[source.mix].peak()).sum();
            if load < LEAST {
                return Err(
                    "the load is so low that the next session might never come: raise it, or give a \
                            --duration"
                        .to_owned(),
                );
            }
            return Ok(());
        }
        let mut totals = Totals::default();
        for source in &self.sources {
            let mut own = Totals::default();
            if limits::WINDOWS < self.passes(source) * source.members.len() as f64 {
                return Err(
                    "the capture is so short that the plan would loop it for ages: lower the duration"
                        .to_owned(),
                );
            }
            for (_, window) in self.windows(source) {
                if u64::from(u32::MAX) < own.sessions {
                    break;
                }
                own.sessions += u64::from(window.clones);
                own.requests += u64::from(window.clones) * u64::from(source.members[window.member].steps);
            }
            if self.arrivals == Arrivals::Poisson && own.sessions <= u64::from(u32::MAX) {
                own.requests = identities::steps(self, source, own.sessions);
            }
            totals.sessions += own.sessions;
            totals.requests += own.requests;
        }
        if u64::from(u32::MAX) < totals.sessions {
            return Err(
                "the plan has more sessions than one plan can number (4,294,967,295): lower the load or \
                        the duration"
                    .to_owned(),
            );
        }
        self.totals = Some(totals);
        Ok(())
    }

    /// The mean load of the members of a source.
    pub(crate) fn mix(&self, source: &Source) -> &Curve {
        &self.curves[source.mix]
    }

    /// Requests of a cast.
    pub(crate) fn steps_of(&self, program: u32) -> u64 {
        self.steps.get(program as usize).copied().map_or(0, u64::from)
    }

    /// Everything that decides who starts when.
    pub(crate) fn words(&self, word: &mut impl FnMut(u64)) {
        word(u64::from(self.at_once) + 2 * self.arrivals as u64);
        for source in &self.sources {
            for value in [u64::from(source.number), source.period_us, u64::from(source.looped)] {
                word(value);
            }
            word(source.horizon.to_bits());
            for member in &source.members {
                word(member.word);
                word(member.start_us);
                word(member.length_us);
                word(member.window_us);
                word(u64::from(member.steps));
                word(member.curve as u64);
            }
        }
        self.curves.iter().flat_map(Curve::words).for_each(word);
    }
}

/// The loads that sessions follow.
#[derive(Default)]
struct Curves {
    all: Vec<Curve>,
}

impl Curves {
    /// Gives each member of a source its load: `own`, times the boosts of the routes that it visits.
    fn add(&mut self, source: &mut Source, casts: &[Cast], own: &Curve, wanted: &Wanted) {
        let mut sets: Vec<(u32, usize, u64)> = Vec::new(); // set of boosts, its curve, members
        for member in &mut source.members {
            let routes = &casts[member.program as usize].routes;
            let visits = |index: &usize| routes.contains(&wanted.boosts[*index].route);
            let set =
                (0..wanted.boosts.len().min(limits::BOOSTS)).filter(visits).fold(0, |set, i| set | 1 << i);
            let known = sets.iter().position(|(known, _, _)| *known == set);
            let place = known.unwrap_or_else(|| {
                let boosts = wanted.boosts.iter().enumerate().filter(|(index, _)| set >> index & 1 == 1);
                let curve = boosts.fold(own.clone(), |curve, (_, b)| curve.boosted(b.times, b.window_us));
                self.all.push(curve);
                sets.push((set, self.all.len() - 1, 0));
                sets.len() - 1
            });
            sets[place].2 += 1;
            member.curve = sets[place].1;
        }
        let count = source.members.len() as f64;
        let mix: Vec<_> =
            sets.iter().map(|(_, curve, members)| (*members as f64 / count, &self.all[*curve])).collect();
        let mix = if mix.len() == 1 { mix[0].1.clone() } else { Curve::sum(&mix) };
        self.all.push(mix);
        source.mix = self.all.len() - 1;
    }
}

/// Casts by source, with their windows.
fn sources(casts: &[Cast]) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for (program, cast) in casts.iter().enumerate() {
        let member = Member {
            program: program as u32,
            steps: cast.steps,
            word: identity_word(cast.source, cast.session),
            start_us: cast.start_us,
            length_us: cast.length_us,
            window_us: 0,
            curve: 0,
        };
        match sources.iter_mut().find(|source| source.number == cast.source) {
            Some(source) => source.members.push(member),
            None => sources.push(Source {
                number: cast.source,
                members: vec![member],
                period_us: 0,
                looped: false,
                horizon: f64::INFINITY,
                mix: 0,
            }),
        }
    }
    sources.sort_by_key(|source| source.number);
    sources.iter_mut().for_each(Source::settle);
    sources
}

impl Source {
    /// Windows end at the next start that is another moment: sessions that start together share one, or their clones
    /// would march in step.
    fn settle(&mut self) {
        self.members.sort_by_key(|member| (member.start_us, member.program));
        let count = self.members.len() as u64;
        let last = self.members.last().map_or(0, |member| member.start_us);
        let longest = self.members.iter().map(|member| member.length_us).max().unwrap_or(0);
        // The mean gap stands in for the next session; a lone moment has none, and spreads over its own length.
        let gap = [if 1 < count { last / (count - 1) } else { 0 }, longest, LONE_US];
        let gap = gap.into_iter().find(|gap| 0 < *gap).unwrap_or(LONE_US);
        self.period_us = (last + gap).max(PERIOD_US);
        let mut next = self.period_us;
        let mut here = last;
        for member in self.members.iter_mut().rev() {
            if member.start_us < here {
                next = here;
                here = member.start_us;
            }
            member.window_us = next - member.start_us;
        }
    }
}

/// Over what the clones of a capture with nothing but one moment spread.
const LONE_US: u64 = 1_000_000;
/// Shortest pass: a capture of one moment is not looped a million times a second.
const PERIOD_US: u64 = 1000;
/// Sessions in a window below which an endless plan is taken for a mistake.
const LEAST: f64 = 1e-6;
