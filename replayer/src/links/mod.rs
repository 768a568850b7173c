//! Links: what a clone was given by the server goes back in its later requests, in place of the recorded values.
//!
//! ```text
//! capture --mined (captures::links)--> links <--added, forbidden-- a file
//! links, a recorded session --plan::compile::links--> values to take from answers, holes in requests
//! an answer --engine::taking--> Carried, the clone's own values --> the holes
//! ```
//!
//! What is not there when it is wanted is replaced by the recorded value, and counted.

pub(crate) mod block;
pub(crate) mod carried;
mod file;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use captures::links::{Endpoint, Leaf, LinkSet, Sink, Slot, Source, mine};

use crate::error::Error;
use crate::limits;
use crate::links::file::File;

/// `--links`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// Those that are mined from the captures.
    #[default]
    Auto,
    /// None: what was recorded is sent.
    None,
    /// The mined ones, as a file adds to them and forbids them.
    File(PathBuf),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        match text {
            "auto" => Ok(Choice::Auto),
            "none" => Ok(Choice::None),
            "" => Err("write auto, none, or the name of a file with rules".to_owned()),
            path => Ok(Choice::File(path.into())),
        }
    }
}

/// The links of a plan, by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    entries: Vec<Entry>,
    /// Numbers of mined links, by their sinks.
    mined: HashMap<Sink, Vec<u16>>,
    sources: HashSet<Source>,
    endpoints: HashSet<Endpoint>,
}

#[derive(Clone, Debug)]
struct Entry {
    from: Source,
    to: Sink,
    by_hand: bool,
}

impl Links {
    /// The links to use for these captures.
    ///
    /// # Errors
    /// When a capture cannot be read, or the file of rules is wrong.
    pub(crate) fn find(choice: &Choice, captures: &[&Path]) -> Result<Links, Error> {
        let file = match choice {
            Choice::None => return Ok(Links::default()),
            Choice::Auto => File::default(),
            Choice::File(path) => File::load(path).map_err(Error::Usage)?,
        };
        let mined = match file.auto {
            true => mine(captures, limits::LINK_EXCHANGES).map_err(|err| Error::Capture(err.to_string()))?.0,
            false => LinkSet::default(),
        };
        Ok(Links::new(mined, file))
    }

    fn new(mined: LinkSet, file: File) -> Links {
        let mut links = Links::default();
        for (from, to) in file.added {
            links.push(Entry { from, to, by_hand: true });
        }
        for link in mined.links.into_iter().filter(|link| !link.is_cookie()) {
            if !file.forbidden.iter().any(|forbidden| forbidden.covers(&link.from, &link.to)) {
                links.push(Entry { from: link.from, to: link.to, by_hand: false });
            }
        }
        links
    }

    fn push(&mut self, entry: Entry) {
        let number = self.entries.len();
        if limits::LINKS <= number {
            return;
        }
        if !entry.by_hand {
            self.mined.entry(entry.to.clone()).or_default().push(number as u16);
            self.sources.insert(entry.from.clone());
            self.endpoints.insert(entry.from.at.clone());
        }
        self.entries.push(entry);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Both ends of every link as they are written.
    pub(crate) fn names(&self) -> impl Iterator<Item = (String, String)> {
        self.entries.iter().map(|entry| (entry.from.to_string(), entry.to.to_string()))
    }

    /// Whether answers to such requests have something to take.
    pub(crate) fn is_source(&self, at: &Endpoint) -> bool {
        self.endpoints.contains(at) || self.hand().any(|(_, entry)| entry.from.at.covers(at))
    }

    /// Whether a link comes from that leaf.
    pub(crate) fn comes_from(&self, at: &Endpoint, leaf: &Leaf) -> bool {
        let source = Source { at: at.clone(), leaf: leaf.general() };
        self.sources.contains(&source)
            || self.hand().any(|(_, entry)| entry.from.at.covers(at) && is_meant(&entry.from.leaf, leaf))
    }

    /// Numbers of the links that end in that slot, those of the user first.
    pub(crate) fn ending_in(&self, at: &Endpoint, slot: &Slot) -> Vec<u16> {
        let by_hand =
            self.hand().filter(|(_, entry)| entry.to.at.covers(at) && is_slot(&entry.to.slot, slot));
        let mut numbers: Vec<u16> = by_hand.map(|(number, _)| number).collect();
        let sink = Sink { at: at.clone(), slot: slot.general() };
        numbers.extend(self.mined.get(&sink).into_iter().flatten());
        numbers
    }

    /// Whether link `number` explains a value at that leaf of an answer to such a request.
    pub(crate) fn explains(&self, number: u16, at: &Endpoint, leaf: &Leaf) -> bool {
        let entry = &self.entries[usize::from(number)];
        match entry.by_hand {
            true => entry.from.at.covers(at) && is_meant(&entry.from.leaf, leaf),
            false => entry.from.at == *at && entry.from.leaf == leaf.general(),
        }
    }

    /// Whether a user insists on link `number` for answers to such requests, and on which leaf.
    pub(crate) fn insists(&self, number: u16, at: &Endpoint) -> Option<&Leaf> {
        let entry = &self.entries[usize::from(number)];
        (entry.by_hand && entry.from.at.covers(at)).then_some(&entry.from.leaf)
    }

    /// Segments of the path that rules of the user fill, though they do not look like identifiers.
    pub(crate) fn segments(&self, at: &Endpoint) -> Vec<u32> {
        let ours = self.hand().filter(|(_, entry)| entry.to.at.covers(at));
        ours.filter_map(
            |(_, entry)| if let Slot::Path(segment) = entry.to.slot { Some(segment) } else { None },
        )
        .collect()
    }

    /// Numbers of the links of the user.
    pub(crate) fn by_hand(&self) -> std::ops::Range<u16> {
        0..self.hand().count() as u16
    }

    fn hand(&self) -> impl Iterator<Item = (u16, &Entry)> {
        // they come first
        let ours = self.entries.iter().take_while(|entry| entry.by_hand);
        ours.enumerate().map(|(number, entry)| (number as u16, entry))
    }
}

/// Whether a leaf as a user writes it is that one.
fn is_meant(written: &Leaf, leaf: &Leaf) -> bool {
    let mut kind = written.kind.clone();
    let is_list = kind.path_mut().is_some_and(|path| path.0.contains(&captures::links::Part::Any));
    written == leaf || is_list && written.general() == leaf.general()
}

/// Whether a slot as a user writes it is that one: a header without a word before its value is any.
fn is_slot(written: &Slot, slot: &Slot) -> bool {
    match (written, slot) {
        (Slot::Header(name, word), Slot::Header(known, _)) if word.is_empty() => name == known,
        (Slot::Json(_), Slot::Json(_)) => written == slot || *written == slot.general(),
        _ => written == slot,
    }
}
