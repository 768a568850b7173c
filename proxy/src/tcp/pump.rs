//! The two flows of a connection, until it ends.

use std::time::{Duration, Instant};

use fault_rules::action::{Direction, End};
use tokio::net::TcpStream;

use super::asked::What;
use super::books::Ending;
use super::connection::Connection;
use super::flow::{Flow, Over, State, Turn};
use super::{shapes, wire};
use crate::timer::sleep_until;

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    /// Both sides closed in order.
    Finished,
    /// By a part.
    Rule(usize),
    /// One side reset the connection: what it sent (this way) has been passed on.
    Reset(Direction),
    /// One side does not take what is sent to it (this way).
    Deaf(Direction),
    /// The proxy stops, or the edge closes.
    Stopped,
}

impl Connection {
    /// Passes bytes both ways until the connection is over.
    pub(super) async fn pump(&mut self, client: TcpStream, upstream: TcpStream) {
        let mut steps = 0_u32;
        let mut failed = [false; 2];
        self.review(Instant::now());
        let done = loop {
            let now = Instant::now();
            if self.is_stale(now) {
                self.review(now);
            }
            if let Some(told) = self.talk.beat(self.start, now) {
                self.tell_guards(told);
            }
            let moved = self.step((&client, &upstream), now);
            if let Some(done) = self.done(now) {
                break done;
            }
            if moved {
                steps = steps.wrapping_add(1);
                if steps.is_multiple_of(STEPS) {
                    tokio::task::yield_now().await;
                }
                continue;
            }
            self.up.rest();
            self.down.rest();
            self.wait((&client, &upstream), &mut failed).await;
        };
        Box::pin(self.conclude(done, client, upstream)).await;
    }

    fn step(&mut self, (client, upstream): (&TcpStream, &TcpStream), now: Instant) -> bool {
        let run_now = self.shared.rules.run_now();
        let mut turn =
            Turn { now, start: self.start, run_now, parts: &mut self.parts, books: &self.door.books };
        let up = self.up.step((client, upstream), &mut turn);
        if self.up.last_write == Some(now) {
            self.talk.asked(now, self.down.is_idle());
        }
        let down = self.down.step((upstream, client), &mut turn);
        if self.down.last_read == Some(now)
            && let Some(told) = self.talk.answered(now)
        {
            self.tell_guards(told);
        }
        self.follow_flows();
        self.shielded(Connection::note_reached);
        up | down
    }

    fn done(&mut self, now: Instant) -> Option<Done> {
        if self.door.is_closed() {
            return Some(Done::Stopped);
        }
        for flow in [&self.down, &self.up] {
            let Some(over) = flow.over() else { continue };
            let since = *self.over_since.get_or_insert(now);
            // what was to go before is on its way, unless nobody takes it
            if flow.is_flushed() || since + FLUSH_LIMIT <= now {
                return Some(match over {
                    Over::Rule(tag) => Done::Rule(tag),
                    Over::Reset => Done::Reset(flow.way),
                });
            }
        }
        match (self.up.state(), self.down.state()) {
            (State::Shut, State::Shut) => return Some(Done::Finished),
            (State::Dead, State::Shut | State::Dead) => return Some(Done::Deaf(Direction::Request)),
            (State::Shut, State::Dead) => return Some(Done::Deaf(Direction::Response)),
            _ => {}
        }
        if (self.up.endless || self.down.endless) && self.up.ended {
            return self.endless_part().map(Done::Rule);
        }
        (self.shared.is_draining() && self.is_idle(now)).then_some(Done::Stopped)
    }

    /// The part that holds everything for good.
    fn endless_part(&self) -> Option<usize> {
        let endless = |what: &What| match what {
            What::Fault(fault_rules::Action::Blackhole(hole)) => hole.hold.is_none(),
            What::Fault(fault_rules::Action::Stall(stall)) => stall.hold.is_none(),
            What::Fault(fault_rules::Action::Outage(_)) => true,
            _ => false,
        };
        self.parts.list.iter().find(|part| endless(&part.wish.what)).map(|part| part.tag)
    }

    /// Nothing is under way: nothing is held, and the last word was the upstream's, some time ago. A client that waits for
    /// an answer is not idle.
    fn is_idle(&self, now: Instant) -> bool {
        let answered = self.up.last_read <= self.down.last_read;
        answered && self.up.is_idle() && self.down.is_idle() && self.quiet_until() <= now
    }

    fn quiet_until(&self) -> Instant {
        self.up.last_read.max(self.down.last_read).unwrap_or(self.start) + QUIET
    }

    /// Waits until something can be moved, or the rules say something else.
    async fn wait(&mut self, (client, upstream): (&TcpStream, &TcpStream), failed: &mut [bool; 2]) {
        let flush = self.over_since.map(|since| since + FLUSH_LIMIT);
        let wakes = [self.up.wake(), self.down.wake(), self.turn, self.talk.next_beat(), flush];
        let mut wake = wakes.into_iter().flatten().min();
        if self.shared.is_draining() {
            let quiet = self.quiet_until();
            wake = Some(wake.map_or(quiet, |wake| wake.min(quiet)).max(Instant::now() + DRAIN_GLANCE));
        }
        if self.up.endless && !self.up.wants_read() {
            let glance = Instant::now() + GLANCE;
            wake = Some(wake.map_or(glance, |wake| wake.min(glance)));
        }
        let time = async {
            match wake {
                Some(wake) => sleep_until(wake).await,
                None => std::future::pending().await,
            }
        };
        let [client_failed, upstream_failed] = *failed;
        tokio::select! {
            biased;
            _ = self.changes.changed() => {
                self.turn = Some(Instant::now()); // the change counts as seen; ask the rules
            }
            ready = wanted(client, &self.up, &self.down, client_failed) => failed[0] |= ready.is_error(),
            ready = wanted(upstream, &self.down, &self.up, upstream_failed) => failed[1] |= ready.is_error(),
            () = time => {}
        }
        // a side that has sent its FIN and then fails takes nothing any more, and no read will tell
        if failed[0] && self.up.ended {
            self.down.die(&self.door.books);
        }
        if failed[1] && self.down.ended {
            self.up.die(&self.door.books);
        }
    }

    /// Ends the sockets as the end is, and settles.
    async fn conclude(&mut self, done: Done, client: TcpStream, upstream: TcpStream) {
        match done {
            Done::Finished => self.settle(&Ending::Finished),
            Done::Stopped => self.settle(&Ending::Stopped),
            Done::Rule(tag) => self.cut(tag, client, upstream).await,
            // what the dead side sent before has been written to the other: it is to arrive before the RST does
            Done::Reset(Direction::Request) | Done::Deaf(Direction::Response) => {
                self.settle(&Ending::ClientGoneAfter);
                wire::drained(&upstream).await;
                wire::reset(upstream);
            }
            Done::Reset(Direction::Response) | Done::Deaf(Direction::Request) => {
                self.settle(&Ending::UpstreamFailed);
                wire::drained(&client).await;
                wire::reset(client);
            }
        }
    }

    async fn cut(&mut self, tag: usize, client: TcpStream, upstream: TcpStream) {
        let (end, is_abrupt) = match self.parts.get(tag).map(|part| &part.wish.what) {
            Some(What::Fault(action)) => (shapes::end_of(action), shapes::is_abrupt(action)),
            _ => (End::Reset, true),
        };
        let (rule, age) = (self.rule(tag), self.age(tag, Instant::now()));
        self.shielded(|this| this.parts.tell(tag, age));
        self.settle(&Ending::Cut(rule));
        match end {
            End::Reset if is_abrupt => {
                wire::reset(client);
                wire::reset(upstream);
            }
            End::Reset => {
                let reset = async |tcp| {
                    wire::drained(&tcp).await;
                    wire::reset(tcp);
                };
                tokio::join!(reset(client), reset(upstream));
            }
            End::Close => wire::close(client, upstream).await,
        }
    }
}

/// Waits for what the flows from and to a socket want of it; where they want nothing, for its failure, once.
async fn wanted(tcp: &TcpStream, from: &Flow, to: &Flow, has_failed: bool) -> tokio::io::Ready {
    let (read, write) = (from.wants_read(), to.is_blocked());
    if has_failed && !read && !write {
        return std::future::pending().await;
    }
    wire::ready(tcp, read, write).await
}

/// Steps in a row before others on the thread have their turn: about half a megabyte.
const STEPS: u32 = 8;
/// A connection that is to close is idle after so long without a byte.
const QUIET: Duration = Duration::from_millis(500);
/// How long what goes before an end may take.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);
const DRAIN_GLANCE: Duration = Duration::from_millis(10);
const GLANCE: Duration = Duration::from_secs(1);
