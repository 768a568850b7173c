//! One direction of a connection: from one socket through the rules to the other.
//!
//! ```text
//! Open --FIN passed on--> Shut
//!  \-- the receiver is gone --> Dead
//! ```
//!
//! Nothing is buffered that the receiver takes at once. What it does not take waits here, at most [`BOUND`] bytes; under a
//! delay at most [`DELAYED_BOUND`], as in a network of that delay. Then the sender is no longer read from, and its own
//! socket fills up: a slow receiver slows its sender. A panic of a rule takes all rules off, and the bytes go on.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fault_rules::action::Direction;
use fault_rules::delay::At;
use fault_rules::shape::{Shape, Shaper, Step};
use socket2::SockRef;
use tokio::net::TcpStream;

use super::asked::Lag;
use super::books::TcpBooks;
use super::line::{Content, Line, Piece};
use super::parts::Parts;
use crate::config::Stumble;
use crate::gate::{Gate, Held};

/// One direction.
pub(super) struct Flow {
    pub(super) way: Direction,
    line: Line,
    lags: Vec<Late>,
    shaper: Shaper,
    state: State,
    /// The sender's end has arrived here.
    pub(super) ended: bool,
    /// It is next to go.
    fin_next: bool,
    over: Option<Over>,
    blocked: bool,
    /// A rule holds everything until somebody lets go.
    pub(super) endless: bool,
    wake: Option<Instant>,
    pub(super) last_read: Option<Instant>,
    pub(super) last_write: Option<Instant>,
    /// Counted among what all connections hold.
    held: Held,
    /// A rule panicked: none is about this flow any more.
    pub(super) stumbled: bool,
}

/// A delay at work.
struct Late {
    tag: usize,
    lag: Lag,
    /// What arrived before is none of its business.
    since: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Shut,
    Dead,
}

/// Why nothing more will go this way, though the receiver is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// By a part of this tag.
    Rule(usize),
    /// The sender reset the connection.
    Reset,
}

/// What a step is told.
pub(super) struct Turn<'a> {
    pub(super) now: Instant,
    /// When the connection was accepted: the shaper's zero.
    pub(super) start: Instant,
    pub(super) run_now: Duration,
    pub(super) parts: &'a mut Parts,
    pub(super) books: &'a TcpBooks,
}

impl Flow {
    pub(super) fn new(way: Direction, gate: Arc<Gate>) -> Self {
        Flow {
            way,
            line: Line::default(),
            lags: Vec::new(),
            shaper: Shaper::default(),
            state: State::Open,
            ended: false,
            fin_next: false,
            over: None,
            blocked: false,
            endless: false,
            wake: None,
            last_read: None,
            last_write: None,
            held: Held::of(gate),
            stumbled: false,
        }
    }

    /// Moves what can be moved now. True: something was, so ask again before waiting.
    pub(super) fn step(&mut self, (from, to): (&TcpStream, &TcpStream), turn: &mut Turn<'_>) -> bool {
        let mut moved = false;
        if self.state == State::Open && self.over.is_none() && !self.fin_next {
            moved |= self.release(turn);
        }
        moved |= self.write(to, turn);
        if self.wants_read() {
            moved |= self.read((from, to), turn);
        }
        self.held.set(self.line.len());
        moved
    }

    /// Clears what is due and what the rules let pass.
    fn release(&mut self, turn: &mut Turn<'_>) -> bool {
        self.shielded(turn, Flow::clear).unwrap_or(true)
    }

    /// Runs what rules have a part in. `None`: that panicked, so they are off this flow, and all that they held may go.
    fn shielded<T>(
        &mut self,
        turn: &mut Turn<'_>,
        work: impl FnOnce(&mut Self, &mut Turn<'_>) -> T,
    ) -> Option<T> {
        if self.lags.is_empty() && self.shaper.is_empty() {
            return Some(work(self, turn));
        }
        let shared = turn.parts.shared.clone();
        let done = shared.rules.shielded(|| {
            shared.config.may_stumble(Stumble::Shaping);
            Some(work(self, turn))
        });
        if done.is_none() {
            self.let_go();
        }
        done
    }

    /// No rule is about this flow any more, and nothing is held. An end that the sender made stays.
    pub(super) fn let_go(&mut self) {
        self.stumbled = true;
        self.lags.clear();
        self.shaper = Shaper::default();
        self.line.let_go();
        (self.wake, self.endless) = (None, false);
        self.over = self.over.filter(|over| *over == Over::Reset);
    }

    fn clear(&mut self, turn: &mut Turn<'_>) -> bool {
        let mut moved = false;
        (self.wake, self.endless) = (None, false);
        while self.line.cleared().len() < BOUND {
            let due = self.line.due(turn.now);
            let step = match self.shaper.is_empty() {
                true => Step::Pass(due),
                false => self.shaper.step(due, turn.now - turn.start),
            };
            match step {
                Step::Pass(0) => {
                    if self.line.is_ending(turn.now) {
                        self.end(turn);
                        return true;
                    }
                    let by_time = self.shaper.deadline().map(|time| turn.start + time);
                    self.wake = self.line.next_due().into_iter().chain(by_time).min();
                    return moved;
                }
                Step::Pass(n) => {
                    self.shaper.pass(self.line.front(n));
                    let (lags, parts, is_shaped) = (&self.lags, &mut *turn.parts, !self.shaper.is_empty());
                    self.line.clear(n, |piece| {
                        for late in lags.iter().filter(|late| late.delays(piece)) {
                            late.tell(piece, turn.now, is_shaped, parts);
                        }
                    });
                    moved = true;
                }
                Step::Wait(until) => {
                    self.wake = until.map(|time| turn.start + time);
                    self.endless = until.is_none();
                    return moved;
                }
                Step::End(tag) => {
                    self.over = Some(Over::Rule(tag));
                    return true;
                }
            }
        }
        moved
    }

    fn end(&mut self, turn: &mut Turn<'_>) {
        let Some(end) = self.line.take_end(turn.now) else { return };
        match end.what {
            Content::Reset => self.over = Some(Over::Reset),
            _ => self.fin_next = true,
        }
        for late in self.lags.iter().filter(|late| late.delays(&end)) {
            late.tell(&end, turn.now, !self.shaper.is_empty(), turn.parts);
        }
    }

    fn write(&mut self, to: &TcpStream, turn: &mut Turn<'_>) -> bool {
        let mut moved = false;
        self.blocked = false;
        while !self.line.cleared().is_empty() {
            match to.try_write(self.line.cleared()) {
                Ok(n) => {
                    self.line.sent(n);
                    self.went(n, turn);
                    moved = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return moved;
                }
                Err(_) => {
                    self.die(turn.books);
                    return true;
                }
            }
        }
        if self.fin_next && self.state == State::Open {
            self.state = match SockRef::from(to).shutdown(Shutdown::Write) {
                Ok(()) => State::Shut,
                Err(_) => State::Dead,
            };
            return true;
        }
        moved
    }

    fn read(&mut self, (from, to): (&TcpStream, &TcpStream), turn: &mut Turn<'_>) -> bool {
        SCRATCH.with_borrow_mut(|scratch| {
            let room = self.bound().saturating_sub(self.line.len()).min(scratch.len());
            if room == 0 {
                return false; // an empty read would look like the end
            }
            match from.try_read(&mut scratch[..room]) {
                Ok(0) => self.push(&[], Content::Fin, turn),
                Ok(n) => {
                    turn.books.came(self.way, n);
                    self.last_read = Some(turn.now);
                    self.take(&scratch[..n], to, turn);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => self.push(&[], Content::Reset, turn),
            }
            true
        })
    }

    /// Where no rule is at work, bytes go straight through.
    fn take(&mut self, bytes: &[u8], to: &TcpStream, turn: &mut Turn<'_>) {
        if !(self.lags.is_empty() && self.shaper.is_empty() && self.line.is_empty()) {
            return self.push(bytes, Content::Bytes, turn);
        }
        match to.try_write(bytes) {
            Ok(n) => {
                self.went(n, turn);
                self.line.push_cleared(&bytes[n..]);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.line.push_cleared(bytes),
            Err(_) => {
                self.line.push_cleared(bytes);
                self.die(turn.books);
            }
        }
    }

    fn went(&mut self, bytes: usize, turn: &Turn<'_>) {
        turn.books.went(self.way, bytes);
        self.last_write = Some(turn.now);
    }

    fn push(&mut self, bytes: &[u8], what: Content, turn: &mut Turn<'_>) {
        self.ended |= what != Content::Bytes;
        let delay = self.shielded(turn, |flow, turn| flow.draw(what, turn)).unwrap_or_default();
        self.line.push(bytes, what, turn.now, delay);
    }

    /// How long the next piece is to wait.
    fn draw(&self, what: Content, turn: &mut Turn<'_>) -> Duration {
        let nth = self.line.next();
        let mut sum = Duration::ZERO;
        for Late { tag, lag, .. } in self.lags.iter().filter(|late| late.lag.is_about(what)) {
            let time = lag.draw(nth, turn.run_now);
            turn.parts.drew(*tag, time);
            sum += time;
        }
        sum
    }

    /// The receiver takes nothing any more.
    pub(super) fn die(&mut self, books: &TcpBooks) {
        if self.state == State::Open {
            self.state = State::Dead;
            self.give_up(books, None);
        }
    }

    /// Nothing that is still here will go.
    pub(super) fn give_up(&mut self, books: &TcpBooks, by: Option<&str>) {
        books.kept(self.way, self.line.give_up(), by);
        self.held.set(0);
    }

    /// A delay joins or leaves: what waits is reckoned anew, so that a delay that is gone lets go at once.
    fn reckon(&mut self, run_now: Duration) {
        let lags = &self.lags;
        self.line.reckon(|piece| {
            let lags = lags.iter().filter(|late| late.delays(piece));
            lags.map(|late| late.lag.draw(piece.nth, run_now)).sum()
        });
    }

    pub(super) fn add_lag(&mut self, tag: usize, lag: &Lag, since: Instant) {
        self.lags.push(Late { tag, lag: lag.clone(), since });
    }

    pub(super) fn add_shape(&mut self, tag: usize, shape: Shape, key: u64) {
        self.shaper.add(tag, shape, key);
    }

    /// Payload bytes that the shaper has seen.
    pub(super) fn passed(&self) -> u64 {
        self.shaper.passed()
    }

    /// A part is no more. Gives how long bytes waited for it, where it shaped them.
    pub(super) fn forget(&mut self, tag: usize, turn: &Turn<'_>) -> Duration {
        let lags = self.lags.len();
        self.lags.retain(|late| late.tag != tag);
        if self.lags.len() < lags {
            self.reckon(turn.run_now);
        }
        self.shaper.forget(tag, turn.now - turn.start).waited
    }

    /// How long bytes have waited for a part; `None` where it did nothing yet.
    pub(super) fn reached(&self, tag: usize) -> Option<Duration> {
        let outcome = self.shaper.outcome(tag);
        outcome.reached.then_some(outcome.waited)
    }

    pub(super) fn is_shaped(&self) -> bool {
        !self.shaper.is_empty()
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Nothing more goes this way but what is cleared.
    pub(super) fn over(&self) -> Option<Over> {
        self.over
    }

    /// Everything that is cleared has gone.
    pub(super) fn is_flushed(&self) -> bool {
        self.line.cleared().is_empty()
    }

    pub(super) fn wants_read(&self) -> bool {
        self.state == State::Open && self.over.is_none() && !self.ended && self.line.len() < self.bound()
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    pub(super) fn wake(&self) -> Option<Instant> {
        self.wake.filter(|_| self.state == State::Open && self.over.is_none())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.line.is_empty()
    }

    /// Before a wait: memory that holds nothing is given back.
    pub(super) fn rest(&mut self) {
        self.line.rest();
    }

    fn bound(&self) -> usize {
        let has_room = !self.lags.is_empty() && !self.held.is_full();
        if has_room { DELAYED_BOUND } else { BOUND }
    }
}

impl Late {
    /// A piece has waited. Where its bytes are shaped too, that is not the delay's doing alone.
    fn tell(&self, piece: &Piece, now: Instant, is_shaped: bool, parts: &mut Parts) {
        let took = now - piece.arrived;
        if is_shaped {
            parts.tell(self.tag, took);
        } else {
            parts.waited(self.tag, piece.due - piece.arrived, took);
        }
    }

    fn delays(&self, piece: &Piece) -> bool {
        self.since <= piece.arrived && self.lag.is_about(piece.what)
    }
}

impl Lag {
    /// A delay at the close is about the sender's FIN alone.
    fn is_about(&self, what: Content) -> bool {
        self.at() != At::Close || what == Content::Fin
    }
}

thread_local! {
    /// Where reads land: a connection that waits has no buffer.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; BOUND]);
}

/// Bytes that wait for a receiver, each way.
const BOUND: usize = 64 * 1024;
/// Bytes that wait for their time, each way: 100 ms at 40 MB/s. Beyond that a delay is a bandwidth too, as it is in any
/// network with a window.
const DELAYED_BOUND: usize = 4 * 1024 * 1024;
