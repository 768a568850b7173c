//! New sessions of the shape of recorded ones.
//!
//! What is learned from a capture is a semi-Markov model of its sessions: which route follows which ([`chain`]), how long
//! users think in between, when sessions begin ([`starts`]), recorded exchanges of every route ([`examples`]), and which
//! values in them belong to one session and which to everybody ([`spaces`]). New sessions are drawn from it and written in
//! the order of time. Memory holds the model and the sessions under way; everything follows from the seed, so the same
//! seed gives the same bytes. What a fault touched is no example of anything and is left out.

mod chain;
mod examples;
mod fresh;
mod generate;
mod given;
mod judge;
mod random;
mod rewrite;
mod spaces;
mod starts;
mod trace;
mod values;
mod zipf;

use std::fs;
use std::path::Path;
use std::str::FromStr;

use chain::Stands;
use examples::Examples;
use generate::Model;
use starts::Starts;

use crate::damage::Damage;
use crate::error::Error;
use crate::header::{FileHeader, Options};
use crate::shape::Shape;
use crate::shape::walks::{Walk, Walks};
use crate::writer::Summary;
use crate::{Exchange, Reader, Writer};

pub use judge::{Judged, Judgement};
pub use spaces::KeySpace;
pub use trace::{Trace, read as read_trace};

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Sessions to write; `None` takes one for each arrival of the trace.
    pub sessions: Option<u64>,
    /// From which everything follows.
    pub seed: u64,
    /// Key spaces to be made larger.
    pub widen: Vec<Widen>,
    /// Key spaces whose values belong to one session, whatever it looks like.
    pub own: Vec<String>,
    /// Key spaces whose values are everybody's, whatever it looks like.
    pub shared: Vec<String>,
    /// When sessions begin, instead of when those of the capture did.
    pub arrivals: Option<Trace>,
    /// How long the trace is to take, in microseconds.
    pub within_us: Option<u64>,
}

/// A key space, and how much larger it is to be: `/products/{id}=10x`.
#[derive(Clone, Debug, PartialEq)]
pub struct Widen {
    /// As [`KeySpace::name`] says it.
    pub space: String,
    /// How many times as many values there are to be; at least 1.
    pub factor: f64,
}

/// The text is no widening.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` widens nothing: write a key space and a factor of at least 1: '/products/{{id}}=10x'")]
pub struct NotAWiden(String);

impl FromStr for Widen {
    type Err = NotAWiden;

    fn from_str(text: &str) -> Result<Widen, NotAWiden> {
        let wrong = || NotAWiden(text.to_owned());
        let (space, factor) = text.rsplit_once('=').ok_or_else(wrong)?;
        let factor: f64 = factor.strip_suffix('x').unwrap_or(factor).parse().map_err(|_| wrong())?;
        match !space.is_empty() && factor.is_finite() && 1.0 <= factor {
            true => Ok(Widen { space: space.to_owned(), factor }),
            false => Err(wrong()),
        }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Synthesis {
    /// What the new capture holds.
    pub written: Summary,
    /// Sessions and requests that were learned from.
    pub learned: (u64, u64),
    /// Routes, pairs of routes, and pairs that were met often enough to tell what follows by both.
    pub states: (u64, u64, u64),
    /// Requests that faults had touched.
    pub left_out: u64,
    /// Requests that were drawn of routes for which memory held no example.
    pub without_example: u64,
    /// How far the new sessions are from the old ones.
    pub judgement: Judgement,
    /// The key spaces, and what became of their values; by name.
    pub key_spaces: Vec<KeySpace>,
    /// What could not be read.
    pub damage: Vec<Damage>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Requests read to learn how sessions go.
    Learning(u64),
    /// Requests read to choose examples.
    Choosing(u64),
    /// Requests written.
    Writing(u64),
}

/// Learns from `input` and writes new sessions to the new file `output`. Its bytes follow from the input and the plan.
///
/// # Errors
/// The input is no capture or has nothing to learn from; the plan names key spaces that are not there, or asks for more
/// sessions than its trace has arrivals; the output exists or cannot be written.
pub fn synthesize(
    input: &Path,
    output: &Path,
    plan: &Plan,
    tell: &mut dyn FnMut(Progress),
) -> Result<Synthesis, Error> {
    let before = Reader::open(input)?.header().clone();
    let mut learned = Learned::from(input, tell)?;
    let sessions = sessions_wanted(plan)?;
    let (spaces, key_spaces) = std::mem::take(&mut learned.spaces).finish(plan)?;
    let mut chain = learned.chain.chain(&learned.shape.transitions);
    let mut examples = Examples::new(plan.seed);
    let stands = choose(input, &mut learned.shape, (&chain, &spaces), &mut examples, tell)?;
    chain.weigh(&stands);
    let model = Model { chain, examples, spaces, seed: plan.seed };
    let source = &learned.shape;
    let starts = match &plan.arrivals {
        None => Starts::like(source, sessions, plan.seed),
        Some(trace) => {
            let from_us = source.requests.span().unwrap_or_default().0;
            Starts::of_trace(&trace.times, sessions, from_us, plan.within_us)
        }
    };
    let header = FileHeader { source: format!("synthesize, seed {}", plan.seed), ..before };
    let (written, new, without_example) = write(&model, starts, (output, header), tell)?;
    Ok(Synthesis {
        written,
        learned: (source.lengths.count(), source.requests.count()),
        states: (
            source.frequent().len() as u64,
            source.transitions.sorted().len() as u64,
            model.chain.contexts() as u64,
        ),
        left_out: learned.left_out,
        without_example,
        judgement: Judgement::of(source, &new, plan.arrivals.is_none()),
        key_spaces,
        damage: learned.damage,
    })
}

fn sessions_wanted(plan: &Plan) -> Result<u64, Error> {
    let arrivals = plan.arrivals.as_ref().map(|trace| trace.times.len() as u64);
    match (plan.sessions, arrivals) {
        (Some(0), _) => {
            Err(Error::Invalid("no session is wanted; ask for at least one: --sessions 1".to_owned()))
        }
        (Some(sessions), Some(arrivals)) if arrivals < sessions => Err(Error::Invalid(format!(
            "the trace has {arrivals} arrivals, too few for {sessions} sessions; ask for at most so many"
        ))),
        (Some(sessions), _) => Ok(sessions),
        (None, Some(arrivals)) => Ok(arrivals),
        (None, None) => Err(Error::Invalid("say how many sessions are wanted: --sessions N".to_owned())),
    }
}

/// What the first reading of a capture gives.
#[derive(Default)]
struct Learned {
    shape: Shape,
    chain: chain::Learner,
    spaces: spaces::Learner,
    left_out: u64,
    damage: Vec<Damage>,
}

impl Learned {
    fn from(input: &Path, tell: &mut dyn FnMut(Progress)) -> Result<Learned, Error> {
        let mut learned = Learned::default();
        for exchange in Reader::open(input)?.exchanges() {
            match exchange {
                Err(damage) => learned.damage.push(damage),
                Ok(exchange) if !is_organic(&exchange) => learned.left_out += 1,
                Ok(exchange) => learned.note(&exchange),
            }
            tell(Progress::Learning(learned.shape.requests.count()));
        }
        let ended = learned.shape.finish();
        ended.iter().for_each(|walk| learned.chain.end(walk));
        if ended.is_empty() && learned.shape.lengths.count() == 0 {
            let why = match learned.left_out {
                0 => "holds no requests".to_owned(),
                faulted => format!("holds only requests that faults touched ({faulted})"),
            };
            return Err(Error::Invalid(format!("{} {why}: there is nothing to learn from", input.display())));
        }
        Ok(learned)
    }

    fn note(&mut self, exchange: &Exchange) {
        let (step, ended) = self.shape.observe(exchange);
        self.chain.step(&step);
        ended.iter().for_each(|walk| self.chain.end(walk));
        self.spaces.note(exchange);
    }
}

fn is_organic(exchange: &Exchange) -> bool {
    exchange.faults.is_empty()
}

/// The second reading: chooses examples, and sees where the chain would end sessions that went on or not.
fn choose(
    input: &Path,
    shape: &mut Shape,
    (chain, spaces): (&chain::Chain, &spaces::Spaces),
    examples: &mut Examples,
    tell: &mut dyn FnMut(Progress),
) -> Result<Stands, Error> {
    let (mut walks, mut stands, mut read) = (Walks::default(), Stands::default(), 0);
    let end = |stands: &mut Stands, walk: &Walk| {
        chain.stand(stands, walk.requests, (walk.before, walk.route), true);
    };
    for exchange in Reader::open(input)?.exchanges().filter_map(Result::ok).filter(is_organic) {
        let route = shape.routes.of(&exchange);
        let step = walks.step(&exchange, route);
        if step.position != 0 {
            chain.stand(&mut stands, step.position, (step.before, step.from), false);
        }
        walks.overdue().iter().for_each(|walk| end(&mut stands, walk));
        examples.note(route, exchange, spaces);
        read += 1;
        tell(Progress::Choosing(read));
    }
    walks.finish().for_each(|walk| end(&mut stands, &walk));
    examples.close();
    Ok(stands)
}

/// Writes the sessions, or takes the output away where something went wrong: it is ours, and of no use.
fn write(
    model: &Model,
    starts: Starts,
    (output, header): (&Path, FileHeader),
    tell: &mut dyn FnMut(Progress),
) -> Result<(Summary, Shape, u64), Error> {
    // the time of writing would be in the file, and the same seed would not give the same bytes
    let now_us = header.created_us;
    let mut writer = Writer::create(output, header, Options::for_import())?;
    let mut new = Shape::default();
    let written = model.generate(starts, |exchange| {
        new.observe(&exchange);
        tell(Progress::Writing(new.requests.count()));
        match writer.push(&exchange, now_us) {
            // counted as shed, and said in the summary
            Err(Error::TooLarge { .. }) => Ok(()),
            other => other,
        }
    });
    match written.and_then(|missing| Ok((writer.finish(now_us)?, missing))) {
        Ok((summary, missing)) => {
            new.finish();
            Ok((summary, new, missing))
        }
        Err(error) => {
            let _ = fs::remove_file(output);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widenings_are_read() {
        let check = |text: &str, expect: Option<(&str, f64)>| {
            let found = text.parse::<Widen>().ok().map(|widen| (widen.space, widen.factor));
            assert_eq!(found, expect.map(|(space, factor)| (space.to_owned(), factor)), "{text}");
        };
        check("/products/{id}=10x", Some(("/products/{id}", 10.0)));
        check("?page=1.5", Some(("?page", 1.5)));
        for wrong in ["", "/products/{id}", "=10x", "/a=0.5x", "/a=x", "/a=nan", "/a=infx"] {
            check(wrong, None);
        }
    }
}
