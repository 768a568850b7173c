//! One connection of a TCP edge, from accept to close.
//!
//! ```text
//! Connecting --upstream connected--> Open --ended--> Over
//!         \------- ended before that -----------------^
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fault_rules::action::Direction;
use fault_rules::decide::Why;
use fault_rules::state::guard::Ending as Fared;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::asked::Identity;
use super::books::Ending;
use super::edge::Door;
use super::flow::{Flow, Turn};
use super::parts::Parts;
use super::talk::Talk;
use super::{shapes, wire};
use crate::config::Stumble;
use crate::gate::Place;
use crate::rules::Told;
use crate::shared::{Alive, Shared};

/// Everything of a connection but its sockets.
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) door: Arc<Door>,
    pub(super) parts: Parts,
    pub(super) start: Instant,
    /// Client to upstream.
    pub(super) up: Flow,
    /// Upstream to client.
    pub(super) down: Flow,
    pub(super) talk: Talk,
    pub(super) changes: watch::Receiver<u64>,
    /// When to ask the rules again though nothing changed.
    pub(super) turn: Option<Instant>,
    /// Since when one flow is over.
    pub(super) over_since: Option<Instant>,
    /// A rule panicked: none is about this connection any more.
    stumbled: bool,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Open,
    Over,
}

/// Serves one client to its end.
pub(super) async fn serve(
    (client, peer): (TcpStream, SocketAddr),
    door: Arc<Door>,
    shared: Arc<Shared>,
    _held: (Alive, Place),
) {
    let mut connection = Connection::new(peer, door, shared);
    if wire::prepare(&client).is_err() {
        return connection.settle(&Ending::ClientGone);
    }
    if let Some((client, upstream)) = Box::pin(connection.connect(client)).await {
        connection.pump(client, upstream).await;
    }
}

impl Connection {
    fn new(peer: SocketAddr, door: Arc<Door>, shared: Arc<Shared>) -> Self {
        let number = door.books.accepted();
        let client = peer.ip().to_string();
        let identity = Identity::new(door.books.name.clone(), number, client, door.upstream.clone());
        let gate = shared.gate.clone();
        Connection {
            parts: Parts::new(shared.clone(), identity),
            changes: shared.rules.changes(),
            shared,
            door,
            start: Instant::now(),
            up: Flow::new(Direction::Request, gate.clone()),
            down: Flow::new(Direction::Response, gate),
            talk: Talk::default(),
            turn: None,
            over_since: None,
            stumbled: false,
            phase: Phase::Connecting,
        }
    }

    /// The upstream is there.
    pub(super) fn connected(&mut self) {
        self.door.books.connected();
        self.phase = Phase::Open;
        self.parts.connected = true;
    }

    /// Is there reason to ask the rules again?
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        self.changes.has_changed().unwrap_or(false) || self.turn.is_some_and(|turn| turn <= now)
    }

    /// Runs what rules have a part in. A panic in it is counted, and takes all rules off this connection: its bytes go on.
    pub(super) fn shielded<T: Default>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        if self.stumbled {
            return T::default();
        }
        let rules = self.shared.rules.clone();
        let done = rules.shielded(|| Some(work(self)));
        if done.is_none() {
            self.let_go();
        }
        done.unwrap_or_default()
    }

    fn let_go(&mut self) {
        self.stumbled = true;
        self.turn = None;
        self.up.let_go();
        self.down.let_go();
        let rules = self.shared.rules.clone();
        rules.shielded(|| self.parts.finish(Why::Lifted));
    }

    /// Where a flow has stumbled, so has the connection.
    pub(super) fn follow_flows(&mut self) {
        if !self.stumbled && (self.up.stumbled || self.down.stumbled) {
            self.let_go();
        }
    }

    /// Asks the rules what holds now, and has the flows follow.
    pub(super) fn review(&mut self, now: Instant) {
        self.changes.mark_unchanged();
        self.turn = None;
        self.talk.be_heard(self.shared.rules.guards_edge(&self.door.books.name));
        self.shielded(|this| this.ask(now));
    }

    fn ask(&mut self, now: Instant) {
        self.shared.config.may_stumble(Stumble::Planning);
        let (change, turn) = self.parts.review(now);
        self.turn = turn;
        let run_now = self.shared.rules.run_now();
        for part in change.gone {
            let told =
                Turn { now, start: self.start, run_now, parts: &mut self.parts, books: &self.door.books };
            let waited = self.up.forget(part.tag, &told) + self.down.forget(part.tag, &told);
            let took = if waited.is_zero() { part.since.elapsed() } else { waited };
            self.parts.over(&part, took);
        }
        for tag in change.new {
            let Some(part) = self.parts.get(tag) else { continue };
            shapes::begin(part, self.start, (&mut self.up, &mut self.down));
        }
    }

    /// Parts that shape bytes and have begun to.
    pub(super) fn note_reached(&mut self) {
        if !(self.up.is_shaped() || self.down.is_shaped()) {
            return;
        }
        for at in 0..self.parts.list.len() {
            let tag = self.parts.list[at].tag;
            if self.up.reached(tag).or(self.down.reached(tag)).is_some() {
                self.parts.applied(tag);
            }
        }
    }

    /// The rule of a part.
    pub(super) fn rule(&self, tag: usize) -> Arc<str> {
        self.parts.get(tag).map_or_else(|| Arc::from(""), |part| part.wish.rule.clone())
    }

    /// Counts the end, once. What is still held is withheld by the rule that ended it, or lost.
    pub(super) fn settle(&mut self, ending: &Ending) {
        if self.phase == Phase::Over {
            return;
        }
        self.phase = Phase::Over;
        self.shielded(Connection::tell_reached);
        let fared = match ending {
            Ending::Finished => Some(Fared::Good),
            Ending::Unreachable | Ending::UpstreamFailed => Some(Fared::Failed),
            Ending::Cut(_) | Ending::Refused(_) | Ending::Dropped(_) => Some(Fared::ByRule),
            Ending::ClientGone | Ending::ClientGoneAfter => Some(Fared::ClientGone),
            Ending::Aborted | Ending::Stopped => None,
        };
        if let Some(fared) = fared {
            self.tell_guards(Told::Ended(fared));
        }
        let by = match ending {
            Ending::Cut(rule) => Some(&**rule),
            _ => None,
        };
        self.up.give_up(&self.door.books, by);
        self.down.give_up(&self.door.books, by);
        let why = match ending {
            Ending::ClientGone | Ending::ClientGoneAfter => Why::ClientGone,
            Ending::Cut(_) | Ending::Refused(_) | Ending::Dropped(_) => Why::EarlierTerminal,
            _ => Why::NoSuchPoint,
        };
        self.shielded(|this| this.parts.finish(why));
        self.door.books.ended(ending);
    }

    /// Guards look whether or not rules have stumbled here.
    pub(super) fn tell_guards(&self, told: Told) {
        let rules = &self.shared.rules;
        rules.shielded(|| rules.tell_of_connection(&self.parts.identity.facts(), told));
    }

    fn tell_reached(&mut self) {
        self.note_reached();
        for at in 0..self.parts.list.len() {
            let tag = self.parts.list[at].tag;
            let waits = [&self.up, &self.down].map(|flow| flow.reached(tag));
            if waits.iter().any(Option::is_some) {
                self.parts.tell(tag, waits.into_iter().flatten().sum());
            }
        }
    }

    /// How long a part has been in force.
    pub(super) fn age(&self, tag: usize, now: Instant) -> Duration {
        self.parts.get(tag).map_or(Duration::ZERO, |part| now - part.since)
    }
}

impl Drop for Connection {
    /// Dropped before its end: the grace time was over, or there was a bug.
    fn drop(&mut self) {
        let ending = if self.phase == Phase::Open { Ending::Stopped } else { Ending::Aborted };
        self.settle(&ending);
    }
}
