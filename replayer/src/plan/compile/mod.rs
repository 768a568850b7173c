//! Captures become programs.
//!
//! A capture is read as a stream. While what was read fits in memory it is grouped by session there; a larger one is
//! divided by a hash of the session into parts on disk, which are then compiled one by one into a mapped store. The
//! programs are the same either way.

pub(crate) mod edges;
mod gaps;
mod lanes;
pub(crate) mod links;
pub(crate) mod select;
mod session;
mod spill;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;

use captures::damage::Damage;
use captures::{Exchange, Reader, Session, SessionId};

use crate::drift::{Recorded, Recorder, Shapes};
use crate::error::Error;
use crate::limits;
use crate::plan::compile::spill::{Spill, Spilled};
use crate::plan::program::Kind;
use crate::plan::store::{Builder, Store};
use crate::plan::substitute::Rules;
use crate::plan::template::{Style, Template};
use crate::plan::{Plan, Wanted};

/// A program before it is stored.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) session: u64,
    pub(crate) source: u16,
    /// When its first step began, in microseconds of recorded time.
    pub(crate) start_us: u64,
    /// Its heads are HTTP/2 header blocks.
    pub(crate) http2: bool,
    /// By offset.
    pub(crate) steps: Vec<StepDraft>,
}

/// A step before it is stored; see [`crate::plan::Step`].
#[derive(Debug)]
pub(crate) struct StepDraft {
    pub(crate) offset_us: u64,
    pub(crate) end_us: u64,
    pub(crate) index: u32,
    pub(crate) lane: Option<u16>,
    pub(crate) last_on_lane: bool,
    pub(crate) status: u16,
    pub(crate) is_head: bool,
    pub(crate) is_replayable: bool,
    pub(crate) submits: bool,
    pub(crate) duration_us: u64,
    pub(crate) kind: Kind,
    pub(crate) what: u64,
    pub(crate) route_name: String,
    pub(crate) stream: Vec<u8>,
    /// What it has to do with links, see [`crate::links::block`].
    pub(crate) links: Vec<u8>,
    pub(crate) answer: Recorded,
    pub(crate) template: Template,
}

/// What does not become part of the plan.
#[derive(Debug, Default)]
pub(crate) struct Skipped {
    /// Exchanges, by reason.
    pub(crate) reasons: BTreeMap<&'static str, u64>,
    /// Requests whose body a substitution might concern, but which was not recorded whole and in the clear.
    pub(crate) unreadable: u64,
    /// Routes of logins with a password that the capture does not know, and in how many sessions.
    pub(crate) logins: BTreeMap<String, u64>,
}

/// A plan, and what there is to say about the captures that it was made of.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) plan: Plan,
    /// Sessions that could be read, replayed or not.
    pub(crate) sessions: u64,
    /// What could not be read.
    pub(crate) damage: Vec<Damage>,
    /// What the recorders let go, by reason.
    pub(crate) shed: BTreeMap<String, u64>,
}

/// Programs, and all that a plan needs beside them.
pub(crate) struct Programs {
    pub(crate) store: Store,
    /// Names of routes, by their number.
    pub(crate) names: Vec<String>,
    /// Of recorded answers.
    pub(crate) shapes: Shapes,
    pub(crate) skipped: Skipped,
}

/// Sessions on their way into a store.
struct Compiler<'a> {
    wanted: &'a Wanted,
    rules: Rules,
    builder: Builder,
    recorder: Recorder,
    skipped: Skipped,
    sessions: u64,
    source: u16,
}

/// Exchanges on their way into sessions.
#[derive(Default)]
struct Groups {
    by_session: HashMap<SessionId, Vec<Exchange>>,
    /// What they take, roughly.
    bytes: usize,
}

/// Plans the replay of captures, each of which starts at the start of the run. Holds at most about
/// [`limits::PLAN_MEMORY_BYTES`] of what it reads, twice, while it compiles; a single session is held whole.
///
/// # Errors
/// When a capture cannot be read (damage is no error), a substitution names no column, or the disk is full.
pub(crate) fn compile(captures: &[&Path], wanted: &Wanted) -> Result<Compiled, Error> {
    compile_within(captures, wanted, limits::PLAN_MEMORY_BYTES)
}

/// As [`compile`], with another bound on what is held.
pub(crate) fn compile_within(
    captures: &[&Path],
    wanted: &Wanted,
    memory_bytes: usize,
) -> Result<Compiled, Error> {
    for substitution in &wanted.substitutions {
        substitution.check(&wanted.columns).map_err(Error::Usage)?;
    }
    let mut compiler = Compiler::new(wanted);
    let (mut damage, mut shed) = (Vec::new(), BTreeMap::new());
    for path in captures {
        let reader = Reader::open(path).map_err(|err| Error::Capture(err.to_string()))?;
        let header = reader.header().clone();
        let wanted_edges = edges::wanted(&header, wanted.edge.as_deref());
        let mut exchanges = reader.exchanges();
        let mut elsewhere = 0;
        let sound = exchanges.by_ref().filter_map(|exchange| exchange.map_err(|bad| damage.push(bad)).ok());
        let here = sound.filter(|exchange| {
            let here = wanted_edges.as_ref().is_none_or(|edges| edges.contains(&exchange.edge.as_str()));
            elsewhere += u64::from(!here);
            here
        });
        compiler.read(here, memory_bytes).map_err(Error::Disk)?;
        if elsewhere > 0 {
            *compiler.skipped.reasons.entry("other_edge").or_default() += elsewhere;
        }
        for (reason, count) in exchanges.shed() {
            *shed.entry(reason.clone()).or_insert(0_u64) += count;
        }
    }
    let sessions = compiler.sessions;
    let programs = compiler.finish().map_err(Error::Disk)?;
    Ok(Compiled { plan: Plan::new(programs, wanted)?, sessions, damage, shed })
}

/// The programs of sessions that are in memory.
#[cfg(test)]
pub(crate) fn programs(sessions: &[Session], wanted: &Wanted) -> Programs {
    let mut compiler = Compiler::new(wanted);
    let all = sessions.iter().try_for_each(|session| {
        let mut session = session.clone();
        session.exchanges.iter_mut().for_each(|exchange| compiler.slim(exchange));
        compiler.push(&session)
    });
    let programs = all.and_then(|()| {
        compiler.end_of_capture(0);
        compiler.finish()
    });
    programs.expect("a store in memory does not fail")
}

impl<'a> Compiler<'a> {
    fn new(wanted: &'a Wanted) -> Compiler<'a> {
        Compiler {
            wanted,
            rules: Rules::new(&wanted.substitutions, &wanted.columns),
            builder: Builder::default(),
            recorder: Recorder::default(),
            skipped: Skipped::default(),
            sessions: 0,
            source: 0,
        }
    }

    /// Takes in one capture.
    fn read(&mut self, exchanges: impl Iterator<Item = Exchange>, memory_bytes: usize) -> io::Result<()> {
        let first = self.builder.len();
        let mut groups = Groups::default();
        let mut spill: Option<Spill> = None;
        for mut exchange in exchanges {
            self.slim(&mut exchange);
            match &mut spill {
                Some(spill) => spill.push(&exchange)?,
                None => groups.push(exchange),
            }
            if memory_bytes < groups.bytes {
                self.builder.move_to_file()?;
                spill = Some(groups.spill()?);
                groups = Groups::default();
            }
        }
        self.take(groups)?;
        if let Some(spill) = spill {
            let mut spilled: Spilled = spill.finish()?;
            while let Some(part) = spilled.next_part() {
                let mut groups = Groups::default();
                part.read(|exchange| groups.push(exchange))?;
                self.take(groups)?;
            }
        }
        self.end_of_capture(first);
        Ok(())
    }

    /// Lets go what no plan looks at: most of what was answered.
    fn slim(&mut self, exchange: &mut Exchange) {
        let answer = self.recorder.of(exchange);
        exchange.edge = String::new();
        links::slim(exchange, &self.wanted.links, answer);
        if let Some(response) = &mut exchange.response {
            let needed = ["set-cookie", "content-type"];
            let prints = (!self.wanted.links.is_empty()).then_some(captures::links::SLOTS);
            response
                .headers
                .retain(|name, _| needed.iter().chain(&prints).any(|known| name.eq_ignore_ascii_case(known)));
        }
    }

    fn take(&mut self, groups: Groups) -> io::Result<()> {
        groups.sessions().try_for_each(|session| self.push(&session))
    }

    fn push(&mut self, session: &Session) -> io::Result<()> {
        self.sessions += 1;
        let style = Style { rewrite: &self.wanted.rewrite, rules: &self.rules, http2: self.wanted.http2 };
        let draft = session::draft(session, self.source, (self.wanted, style), &mut self.skipped);
        draft.map_or(Ok(()), |draft| self.builder.push(&draft))
    }

    fn end_of_capture(&mut self, first: usize) {
        self.builder.rebase(first);
        self.source += 1;
    }

    fn finish(self) -> io::Result<Programs> {
        let (store, names) = self.builder.finish()?;
        Ok(Programs { store, names, shapes: self.recorder.shapes, skipped: self.skipped })
    }
}

impl Groups {
    fn push(&mut self, exchange: Exchange) {
        self.bytes += weight(&exchange);
        self.by_session.entry(exchange.session).or_default().push(exchange);
    }

    /// Sessions by id, their exchanges by start.
    fn sessions(self) -> impl Iterator<Item = Session> {
        let mut all: Vec<(SessionId, Vec<Exchange>)> = self.by_session.into_iter().collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all.into_iter().map(|(id, mut exchanges)| {
            exchanges.sort_by_key(|exchange| exchange.start_us);
            Session { id, exchanges }
        })
    }

    fn spill(self) -> io::Result<Spill> {
        let mut spill = Spill::new()?;
        for exchange in self.by_session.values().flatten() {
            spill.push(exchange)?;
        }
        Ok(spill)
    }
}

/// What an exchange takes in memory, roughly.
fn weight(exchange: &Exchange) -> usize {
    let request = &exchange.request;
    let values = |body: &captures::Body| body.data.as_ref().map_or(0, bytes::Bytes::len);
    let answer =
        exchange.response.as_ref().map_or(0, |response| response.headers.byte_len() + values(&response.body));
    let body = request.body.data.as_ref().map_or(0, bytes::Bytes::len);
    let said = exchange.stream.as_ref().map_or(0, |stream| {
        let data: usize =
            stream.messages.iter().filter_map(|message| message.data.as_ref()).map(bytes::Bytes::len).sum();
        stream.messages.len() * size_of::<captures::messages::Message>() + data
    });
    let heap = ALLOCATIONS + request.target.len() + request.headers.byte_len();
    size_of::<Exchange>() + heap + answer + body + said
}

/// Method, authority and the lists of fields lie on the heap.
const ALLOCATIONS: usize = 256;

#[cfg(test)]
mod tests;
