//! The starts of the open model in order of time. What is in memory: one window of each source, halved until its
//! pieces are small, and the clones of the piece whose time has come.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::limits;
use crate::population::chance::{self, Purpose};
use crate::population::identities::Identities;
use crate::population::open::{Open, Source, Totals, Window};
use crate::population::shard::Share;
use crate::population::{Arrivals, Start, nanos};

/// The way through a plan, for one share of it.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    share: Share,
    /// Placed clones of this share.
    ready: BinaryHeap<Reverse<Start>>,
    /// Clones without a place yet.
    nodes: BinaryHeap<Reverse<Node>>,
    cursors: Vec<Cursor>,
    /// Starts of the whole plan in the windows so far.
    ordinal: u64,
}

/// The way through one source.
#[derive(Clone, Debug)]
struct Cursor {
    /// Windows (or slots of a Poisson process) so far, `ahead` included.
    number: u64,
    ahead: Option<Window>,
    /// Starts of the source so far.
    ordinal: u64,
    /// Clones so far of each member of a looped source.
    clones: Vec<u32>,
    who: Identities,
}

/// Clones that start in one stretch of a window. Ordered by time.
#[derive(Clone, Debug)]
struct Node {
    at_ns: u64,
    /// Ordinal of the first clone in the plan.
    first: u64,
    clones: u32,
    source: usize,
    /// Number of the first clone of its session; in a Poisson process its ordinal within the source.
    number: u64,
    window: Window,
    /// The stretch, as shares of the load in the window.
    low: f64,
    high: f64,
}

impl Flow {
    pub(crate) fn new(open: &Open, share: Share) -> Flow {
        let cursors = open.sources.iter().map(|source| Cursor::new(open, source)).collect();
        Flow { share, ready: BinaryHeap::new(), nodes: BinaryHeap::new(), cursors, ordinal: 0 }
    }

    /// The next start of this share.
    pub(crate) fn next(&mut self, open: &Open) -> Option<Start> {
        loop {
            let window = self.earliest();
            let node = self.nodes.peek().map(|Reverse(node)| node.at_ns);
            let unplaced = [node, window.map(|(at_ns, _)| at_ns)].into_iter().flatten().min();
            let ready = self.ready.peek().map(|Reverse(start)| start.at_ns);
            if ready.is_some_and(|at_ns| unplaced.is_none_or(|other| at_ns <= other)) {
                return self.ready.pop().map(|Reverse(start)| start);
            }
            match (node, window) {
                (Some(at_ns), window) if window.is_none_or(|(other, _)| at_ns <= other) => {
                    let Reverse(node) = self.nodes.pop()?;
                    self.place(open, &node);
                }
                (_, Some((_, source))) => self.enter(open, source),
                _ => return None,
            }
        }
    }

    /// What of this share has not been told yet. Walks over the windows that are left.
    pub(crate) fn rest(&self, open: &Open) -> Totals {
        let mut flow = self.clone();
        let mut rest = Totals::default();
        let steps = |source: &Source, member: usize| u64::from(source.members[member].steps);
        for Reverse(start) in flow.ready.drain() {
            rest.sessions += 1;
            rest.requests += open.steps_of(start.program);
        }
        loop {
            // In order of time, because the identities of a Poisson process are told in order.
            while let Some(Reverse(node)) = flow.nodes.pop() {
                let source = &open.sources[node.source];
                let to = node.first + u64::from(node.clones);
                if open.arrivals == Arrivals::Poisson {
                    for ordinal in flow.share.among(node.first, to) {
                        let who = &mut flow.cursors[node.source].who;
                        let (member, _) = who.at(open, source, node.number + (ordinal - node.first));
                        rest.sessions += 1;
                        rest.requests += steps(source, member);
                    }
                } else {
                    let sessions = flow.share.count(node.first, to);
                    rest.sessions += sessions;
                    rest.requests += sessions * steps(source, node.window.member);
                }
            }
            let Some((_, source)) = flow.earliest() else { break };
            flow.enter(open, source);
            for Reverse(start) in flow.ready.drain() {
                rest.sessions += 1;
                rest.requests += open.steps_of(start.program);
            }
        }
        rest
    }

    /// The source whose next window begins first, and when.
    fn earliest(&self) -> Option<(u64, usize)> {
        let begins = |(index, cursor): (usize, &Cursor)| Some((nanos(cursor.ahead?.from), index));
        self.cursors.iter().enumerate().filter_map(begins).min()
    }

    /// Gives the clones of the next window of a source their ordinals.
    fn enter(&mut self, open: &Open, index: usize) {
        let source = &open.sources[index];
        let cursor = &mut self.cursors[index];
        let Some(window) = cursor.ahead else { return };
        let room = u64::from(u32::MAX).saturating_sub(self.ordinal);
        let clones = window.clones.min(room as u32);
        let (first, own) = (self.ordinal, cursor.ordinal);
        self.ordinal += u64::from(clones);
        cursor.ordinal += u64::from(clones);
        let mut node = Node {
            at_ns: nanos(window.from),
            first,
            clones,
            source: index,
            number: own,
            window,
            low: 0.0,
            high: 1.0,
        };
        if open.arrivals != Arrivals::Poisson {
            node.number = cursor.count(window.member, clones);
        }
        cursor.advance(open, source);
        if room == 0 {
            self.cursors.iter_mut().for_each(|cursor| cursor.ahead = None); // no number is left
        }
        if open.arrivals == Arrivals::Recorded && window.pinned && 0 < clones {
            if self.share.count(first, first + 1) == 1 {
                let at_ns = node.at_ns;
                self.ready.push(Reverse(node.start(open, first, at_ns)));
            }
            (node.first, node.number, node.clones) = (first + 1, node.number + 1, clones - 1);
        }
        self.push(node);
    }

    /// Keeps a node in which this share has a clone.
    fn push(&mut self, node: Node) {
        if 0 < self.share.count(node.first, node.first + u64::from(node.clones)) {
            self.nodes.push(Reverse(node));
        }
    }

    /// Halves a large node, and gives the clones of a small one their places.
    fn place(&mut self, open: &Open, node: &Node) {
        if limits::LEAF_CLONES < node.clones {
            let (left, right) = node.halves(open);
            self.push(left);
            self.push(right);
            return;
        }
        let source = &open.sources[node.source];
        for ordinal in self.share.among(node.first, node.first + u64::from(node.clones)) {
            let at_ns = nanos(node.moment(open, ordinal));
            let mut start = node.start(open, ordinal, at_ns);
            if open.arrivals == Arrivals::Poisson {
                let own = node.number + (ordinal - node.first);
                let (member, clone) = self.cursors[node.source].who.at(open, source, own);
                (start.program, start.clone) = (source.members[member].program, clone);
            }
            self.ready.push(Reverse(start));
        }
    }
}

impl Cursor {
    fn new(open: &Open, source: &Source) -> Cursor {
        let clones = if source.looped { vec![0; source.members.len()] } else { Vec::new() };
        let mut cursor = Cursor { number: 0, ahead: None, ordinal: 0, clones, who: Identities::default() };
        cursor.advance(open, source);
        cursor
    }

    fn advance(&mut self, open: &Open, source: &Source) {
        let members = source.members.len() as u64;
        self.ahead = match open.arrivals {
            Arrivals::Poisson => open.slot(source, self.number),
            _ => open.window(source, self.number / members, (self.number % members) as usize),
        };
        self.number += 1;
    }

    /// Number of the first of that many more clones of a member.
    fn count(&mut self, member: usize, clones: u32) -> u64 {
        let Some(count) = self.clones.get_mut(member) else { return 0 };
        u64::from(std::mem::replace(count, count.saturating_add(clones)))
    }
}

impl Node {
    /// The clones of its first and its second half: as many each as if every one had been placed by itself.
    fn halves(&self, open: &Open) -> (Node, Node) {
        let words = [self.word(open), self.number.rotate_left(32) ^ u64::from(self.clones)];
        let first = chance::half(open.seed, words, self.clones);
        let middle = self.low + (self.high - self.low) / 2.0;
        let left = Node { clones: first, high: middle, ..self.clone() };
        let mut right = Node {
            first: self.first + u64::from(first),
            number: self.number + u64::from(first),
            clones: self.clones - first,
            low: middle,
            ..self.clone()
        };
        if open.arrivals != Arrivals::Aligned {
            right.at_ns = nanos(self.moment_of(open, middle));
        }
        (left, right)
    }

    /// When the clone with that ordinal starts, in microseconds of run time.
    fn moment(&self, open: &Open, ordinal: u64) -> f64 {
        let number = self.number + (ordinal - self.first);
        let part = match open.arrivals {
            Arrivals::Aligned => return self.window.from,
            Arrivals::Recorded => chance::place(open.seed, self.word(open), number),
            Arrivals::Poisson => chance::draw(open.seed, Purpose::Stranger, [self.word(open), number]),
        };
        self.moment_of(open, self.low + (self.high - self.low) * part)
    }

    fn moment_of(&self, open: &Open, part: f64) -> f64 {
        open.curves[self.window.curve].place(self.window.from, self.window.to, part)
    }

    fn word(&self, open: &Open) -> u64 {
        let source = &open.sources[self.source];
        match open.arrivals {
            Arrivals::Poisson => u64::from(source.number),
            _ => source.members[self.window.member].word,
        }
    }

    fn start(&self, open: &Open, ordinal: u64, at_ns: u64) -> Start {
        Start {
            at_ns,
            user: ordinal as u32,
            program: open.sources[self.source].members[self.window.member].program,
            clone: (self.number + (ordinal - self.first)) as u32,
            skip_us: 0,
        }
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Node {}

impl PartialOrd for Node {
    fn partial_cmp(&self, other: &Node) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Node {
    fn cmp(&self, other: &Node) -> std::cmp::Ordering {
        (self.at_ns, self.first).cmp(&(other.at_ns, other.first))
    }
}
