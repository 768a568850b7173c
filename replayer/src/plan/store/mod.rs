//! The programs of a plan as plain old data: a table of recorded sessions in memory, and two areas of bytes, in
//! memory or in a mapped temporary file, with the steps' fixed records and with what varies in length.

mod area;
mod mapped;
mod record;

use std::collections::HashMap;
use std::io;

use xxhash_rust::xxh3::Xxh3;
use zerocopy::{FromBytes, IntoBytes};

use crate::limits;
use crate::plan::compile::{Draft, StepDraft};
use crate::plan::store::area::{Area, AreaWriter};
pub(crate) use crate::plan::store::mapped::unnamed_file;
pub(crate) use crate::plan::store::record::{
    HTTP2, IS_HEAD, KeyRecord, LAST_ON_LANE, NO_LANE, NO_LEN, PLAIN, REPLAYABLE, SUBMITS, StepRecord, TRACED,
};

/// One recorded session: 40 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The recorded session; for all captures but the first, a hash of it and the capture's number.
    pub(crate) session: u64,
    /// Start, in microseconds from the start of the first session of its capture.
    pub(crate) start_us: u64,
    /// At least one.
    steps: u32,
    /// From its start to the end of its last answer.
    length_us: u64,
    /// Number of the capture in the top 16 bits, number of the first step in the others.
    place: u64,
}

/// The programs of a plan.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) rows: Vec<Row>,
    steps: Area,
    blobs: Area,
    /// The route of each name that steps bear.
    routes: Vec<u16>,
}

/// Writes programs into a store.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    rows: Vec<Row>,
    steps: AreaWriter,
    blobs: AreaWriter,
    names: HashMap<String, u32>,
    /// Where the variable parts with a certain hash are: many sessions ask for the same.
    shared: HashMap<u128, u64>,
}

/// What a store takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// Bytes of memory.
    pub(crate) memory: u64,
    /// Bytes of a mapped file, which take memory only while there is enough of it.
    pub(crate) mapped: u64,
}

impl Row {
    /// From its start to the end of its last answer, in microseconds.
    pub(crate) fn length_us(&self) -> u64 {
        self.length_us
    }

    /// How many steps it has.
    pub(crate) fn len(&self) -> u32 {
        self.steps
    }

    /// Number of the capture that it comes from.
    pub(crate) fn source(&self) -> u16 {
        (self.place >> SOURCE_SHIFT) as u16
    }

    fn first(&self) -> u64 {
        self.place & ((1 << SOURCE_SHIFT) - 1)
    }
}

impl Store {
    /// The fixed record of step `index` of a row, below its length.
    pub(crate) fn step(&self, row: &Row, index: u32) -> &StepRecord {
        assert!(index < row.steps, "a session has no step {index}");
        let at = (row.first() + u64::from(index)) as usize * size_of::<StepRecord>();
        let bytes = &self.steps.bytes()[at..at + size_of::<StepRecord>()];
        StepRecord::ref_from_bytes(bytes).expect("a record of that size fits at any address")
    }

    /// What varies in length, from `at` on.
    pub(crate) fn blob(&self, at: u64, len: u32) -> &[u8] {
        &self.blobs.bytes()[at as usize..at as usize + len as usize]
    }

    /// The route of steps with the name of that number.
    pub(crate) fn route(&self, name: u32) -> u16 {
        self.routes[name as usize]
    }

    /// What the store takes.
    pub(crate) fn footprint(&self) -> Footprint {
        let areas = [self.steps.footprint(), self.blobs.footprint()];
        let table = self.rows.capacity() * size_of::<Row>() + self.routes.capacity() * 2;
        Footprint {
            memory: table as u64 + areas.iter().map(|(memory, _)| memory).sum::<u64>(),
            mapped: areas.iter().map(|(_, mapped)| mapped).sum(),
        }
    }
}

impl Builder {
    /// From now on in a temporary file, what is there already with it.
    pub(crate) fn move_to_file(&mut self) -> io::Result<()> {
        self.steps.move_to_file()?;
        self.blobs.move_to_file()
    }

    /// Takes in a program.
    pub(crate) fn push(&mut self, draft: &Draft) -> io::Result<()> {
        let first = self.steps.len() / size_of::<StepRecord>() as u64;
        for step in &draft.steps {
            let blob = self.push_blob(step)?;
            let record = self.record(step, draft.http2, blob);
            self.steps.write(record.as_bytes())?;
        }
        let length_us = draft.steps.iter().map(|step| step.end_us.max(step.offset_us)).max().unwrap_or(0);
        self.rows.push(Row {
            session: draft.session,
            start_us: draft.start_us,
            steps: draft.steps.len() as u32,
            length_us,
            place: u64::from(draft.source) << SOURCE_SHIFT | first,
        });
        Ok(())
    }

    /// Lets the sessions from number `first` on, those of one capture, start at 0.
    pub(crate) fn rebase(&mut self, first: usize) {
        let rows = &mut self.rows[first..];
        let begin = rows.iter().map(|row| row.start_us).min().unwrap_or(0);
        for row in rows {
            row.start_us -= begin;
        }
    }

    /// Sessions so far.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Ends the writing: sessions by capture, start and id. The names of routes come along, by their number.
    pub(crate) fn finish(mut self) -> io::Result<(Store, Vec<String>)> {
        self.rows.sort_unstable_by_key(|row| (row.source(), row.start_us, row.session));
        self.rows.shrink_to_fit();
        let mut names = vec![String::new(); self.names.len()];
        for (name, number) in self.names {
            names[number as usize] = name;
        }
        let (steps, blobs) = (self.steps.finish()?, self.blobs.finish()?);
        Ok((Store { rows: self.rows, steps, blobs, routes: Vec::new() }, names))
    }

    /// Where the step's variable parts are: written now, or before for a step of the same bytes.
    fn push_blob(&mut self, step: &StepDraft) -> io::Result<u64> {
        let template = &step.template;
        let parts: [&[u8]; 7] = [
            &template.head,
            &template.keys,
            &template.cookies,
            &template.pieces,
            &step.stream,
            &template.body,
            &step.links,
        ];
        let mut hash = Xxh3::new();
        for part in parts {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let hash = hash.digest128();
        if let Some(at) = self.shared.get(&hash) {
            return Ok(*at);
        }
        let at = self.blobs.len();
        parts.into_iter().try_for_each(|part| self.blobs.write(part))?;
        if self.shared.len() < limits::SHARED_STEPS {
            self.shared.insert(hash, at);
        }
        Ok(at)
    }

    fn record(&mut self, step: &StepDraft, http2: bool, blob: u64) -> StepRecord {
        let template = &step.template;
        let length = |part: &[u8]| (part.len() as u32).into();
        let flags = [
            (step.last_on_lane, LAST_ON_LANE),
            (step.is_head, IS_HEAD),
            (http2, HTTP2),
            (step.is_replayable, REPLAYABLE),
            (step.submits, SUBMITS),
            (template.traced, TRACED),
            (step.answer.is_plain, PLAIN),
        ];
        StepRecord {
            offset_us: step.offset_us.into(),
            end_us: step.end_us.into(),
            duration_us: step.duration_us.into(),
            what: step.what.into(),
            filler: template.filler.into(),
            blob: blob.into(),
            index: step.index.into(),
            name: self.name(&step.route_name).into(),
            path: [template.path.0.into(), template.path.1.into()],
            head: length(&template.head),
            keys: length(&template.keys),
            cookies: length(&template.cookies),
            pieces: length(&template.pieces),
            stream: length(&step.stream),
            body: length(&template.body),
            lane: step.lane.unwrap_or(NO_LANE).into(),
            status: step.status.into(),
            flags: flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum(),
            kind: step.kind as u8,
            // compiling keeps it shorter
            links: (step.links.len() as u16).into(),
            answer: step.answer.len.unwrap_or(NO_LEN).into(),
            shape: step.answer.shape.into(),
        }
    }

    /// The number of a route's name; beyond a bound all names are one.
    fn name(&mut self, name: &str) -> u32 {
        let next = self.names.len();
        let name = if limits::ROUTE_NAMES <= next && !self.names.contains_key(name) { OTHER } else { name };
        if let Some(number) = self.names.get(name) {
            return *number;
        }
        self.names.insert(name.to_owned(), next as u32);
        next as u32
    }
}

impl Store {
    /// Sets the route of each name.
    pub(crate) fn set_routes(&mut self, routes: Vec<u16>) {
        self.routes = routes;
    }
}

/// The route of what has none of its own.
pub(crate) const OTHER: &str = "(other)";
const SOURCE_SHIFT: u32 = 48;
