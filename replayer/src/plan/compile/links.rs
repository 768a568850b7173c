//! Which values of its answers a recorded session sends back, step by step.
//!
//! While a capture is read, an answer is cut down to hashes of the values that links may come from; they travel where
//! its body was. When the session is whole, each value that a request carries is looked for in the answers before it.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use captures::Exchange;
use captures::links::{Carried, Endpoint, Leaf, Part, Slot, given};

use crate::drift::Recorded;
use crate::limits;
use crate::links::Links;
use crate::links::block::{self, Entry};
use crate::plan::substitute::Rules;

/// A value of an answer that goes into a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// Where it goes.
    pub(crate) slot: Slot,
    /// Number of the clone's value.
    pub(crate) value: u16,
    /// What the recording had there, its escapes undone.
    pub(crate) recorded: Vec<u8>,
}

/// What a step has to do with links.
#[derive(Clone, Debug, Default)]
pub(super) struct Carry {
    pub(super) uses: Vec<Use>,
    /// See [`block`].
    pub(super) block: Vec<u8>,
}

/// A value of an answer.
struct Found {
    leaf: Leaf,
    /// See [`captures::links::Given::id`].
    hash: u64,
    at_us: u64,
}

/// Keeps of an answer what links may need, in place of its body, with what is known of that.
pub(super) fn slim(exchange: &mut Exchange, links: &Links, answer: Recorded) {
    let at = Endpoint::of(&exchange.request);
    let mut kept = Vec::new();
    if exchange.response.is_some() && !links.is_empty() && links.is_source(&at) {
        for value in given(exchange).into_iter().filter(|value| links.comes_from(&at, &value.leaf)) {
            let leaf = value.leaf.to_string();
            kept.extend_from_slice(&value.id().to_le_bytes());
            kept.extend_from_slice(&value.at_us.to_le_bytes());
            kept.extend_from_slice(&(leaf.len() as u32).to_le_bytes());
            kept.extend_from_slice(leaf.as_bytes());
        }
    }
    if let Some(response) = &mut exchange.response {
        let data = (!kept.is_empty()).then(|| Bytes::from(kept));
        response.body = answer.into_body(data);
    }
}

/// What [`slim`] kept.
fn kept(exchange: &Exchange) -> Vec<Found> {
    let data = exchange.response.as_ref().and_then(|response| response.body.data.as_deref());
    let mut rest = data.unwrap_or_default();
    let mut all = Vec::new();
    while let Some((found, after)) = take(rest) {
        all.push(found);
        rest = after;
    }
    all
}

fn take(bytes: &[u8]) -> Option<(Found, &[u8])> {
    let (hash, rest) = bytes.split_first_chunk()?;
    let (at_us, rest) = rest.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let (leaf, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    let leaf = std::str::from_utf8(leaf).ok()?.parse().ok()?;
    Some((Found { leaf, hash: u64::from_le_bytes(*hash), at_us: u64::from_le_bytes(*at_us) }, rest))
}

/// What each of the exchanges, which are replayed in this order, has to do with links. What the user sets counts before.
pub(super) fn resolve(exchanges: &[&Exchange], links: &Links, rules: &Rules) -> Vec<Carry> {
    let mut all = vec![Carry::default(); exchanges.len()];
    if links.is_empty() {
        return all;
    }
    let mut session = Session::new(exchanges, links);
    for (step, exchange) in exchanges.iter().enumerate() {
        let sent = sent(exchange, &session.at[step], links);
        for sent in sent.into_iter().filter(|sent| !rules.sets(&sent.slot)) {
            let Some((link, answer, leaf)) = session.origin(step, &sent) else { continue };
            let Some(number) = session.number(answer, &leaf, step) else { continue };
            block::push(&mut all[step].block, Entry::Use { link, value: number });
            all[step].uses.push(Use { slot: sent.slot, value: number, recorded: sent.value });
        }
        session.note_insisted(step);
    }
    for ((answer, leaf), (number, last)) in session.numbers {
        block::push(&mut all[answer].block, Entry::Take(number, &leaf.to_string()));
        block::push(&mut all[last].block, Entry::Free(number));
    }
    for carry in all.iter_mut().filter(|carry| usize::from(u16::MAX) < carry.block.len()) {
        *carry = Carry::default(); // a request of thousands of values: it is sent as it was
    }
    all
}

/// The values of a request that a link may replace.
fn sent(exchange: &Exchange, at: &Endpoint, links: &Links) -> Vec<Carried> {
    let request = &exchange.request;
    let is_coded = request.headers.get_str("content-encoding").is_some_and(|coding| coding != "identity");
    let mut all = captures::links::sent(exchange);
    all.retain(|sent| !(is_coded && matches!(sent.slot, Slot::Json(_) | Slot::Form(_))));
    for segment in links.segments(at) {
        let slot = Slot::Path(segment);
        if let Some(value) = request.path().split('/').nth(segment as usize)
            && !all.iter().any(|known| known.slot == slot)
        {
            all.push(Carried { slot, value: value.as_bytes().to_vec(), print: None });
        }
    }
    all
}

/// A session on its way.
struct Session<'a> {
    exchanges: &'a [&'a Exchange],
    links: &'a Links,
    at: Vec<Endpoint>,
    answers: Vec<Vec<Found>>,
    /// Answers and the place in them, by the hash of the value.
    by_hash: HashMap<u64, Vec<(usize, usize)>>,
    /// By link of the user: the latest answer that it may take something of.
    insisted: HashMap<u16, usize>,
    /// By answer and leaf: the number of the value, and the last step that uses it.
    numbers: BTreeMap<(usize, Leaf), (u16, usize)>,
}

impl<'a> Session<'a> {
    fn new(exchanges: &'a [&'a Exchange], links: &'a Links) -> Session<'a> {
        let at = exchanges.iter().map(|exchange| Endpoint::of(&exchange.request)).collect();
        let answers: Vec<Vec<Found>> = exchanges.iter().map(|exchange| kept(exchange)).collect();
        let mut by_hash: HashMap<u64, Vec<(usize, usize)>> = HashMap::new();
        for (answer, found) in answers.iter().enumerate() {
            for (place, found) in found.iter().enumerate() {
                by_hash.entry(found.hash).or_default().push((answer, place));
            }
        }
        Session { exchanges, links, at, answers, by_hash, insisted: HashMap::new(), numbers: BTreeMap::new() }
    }

    /// The link, the answer and the leaf that a value of a request comes from: the nearest that held it, else the
    /// nearest that a user insists on.
    fn origin(&self, step: usize, sent: &Carried) -> Option<(u16, usize, Leaf)> {
        let links = self.links.ending_in(&self.at[step], &sent.slot);
        if links.is_empty() {
            return None;
        }
        let start = self.exchanges[step].start_us;
        let equal = self.by_hash.get(&sent.id()).map_or(&[][..], Vec::as_slice);
        let earlier = equal.partition_point(|(answer, _)| *answer < step);
        for (answer, place) in equal[..earlier].iter().rev().take(EARLIER_ANSWERS) {
            let found = &self.answers[*answer][*place];
            let explains = |link: &&u16| self.links.explains(**link, &self.at[*answer], &found.leaf);
            if found.at_us <= start
                && let Some(link) = links.iter().find(explains)
            {
                return Some((*link, *answer, found.leaf.clone()));
            }
        }
        let insisted = |link: &u16| Some((*link, *self.insisted.get(link)?));
        let (link, answer) = links.iter().filter_map(insisted).max_by_key(|(_, answer)| *answer)?;
        Some((link, answer, first_of(self.links.insists(link, &self.at[answer])?)))
    }

    /// Notes the links of the user that may take something of the answer to a step.
    fn note_insisted(&mut self, step: usize) {
        for link in self.links.by_hand() {
            if self.links.insists(link, &self.at[step]).is_some() {
                self.insisted.insert(link, step);
            }
        }
    }

    /// The number of a value. `None`: there are too many.
    fn number(&mut self, answer: usize, leaf: &Leaf, step: usize) -> Option<u16> {
        let next = self.numbers.len();
        if let Some((number, last)) = self.numbers.get_mut(&(answer, leaf.clone())) {
            *last = step;
            return Some(*number);
        }
        if limits::LINK_VALUES <= next {
            return None;
        }
        self.numbers.insert((answer, leaf.clone()), (next as u16, step));
        Some(next as u16)
    }
}

/// Any element that a user writes is the first where nobody knows better.
fn first_of(leaf: &Leaf) -> Leaf {
    let mut leaf = leaf.clone();
    if let Some(path) = leaf.kind.path_mut() {
        path.0.iter_mut().filter(|part| **part == Part::Any).for_each(|part| *part = Part::Index(0));
    }
    leaf
}

/// Earlier answers with an equal value that are looked at, the nearest first.
const EARLIER_ANSWERS: usize = 256;
