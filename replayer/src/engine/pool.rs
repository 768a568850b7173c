//! Which connection an operation goes on: its session's own, one of the pool, or a new one.

use crate::engine::connect;
use crate::engine::mux::Mux;
use crate::engine::records::{Conn, ConnId, Engine, Speaks, Stage};
use crate::http::Reader;
use crate::misbehave::Behaviour;
use crate::slab::NONE;

/// Where an operation can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A connection with room.
    Open(u32),
    /// One is being opened, and the operation goes on it then.
    Opening,
    /// There is no room.
    Nothing,
}

impl Engine {
    pub(crate) fn find_connection(&mut self, op: u32) -> Found {
        let (session, fresh) = (self.ops[op].session, self.ops[op].fresh);
        let lane = self.lane_of(op);
        if !fresh {
            let open = match lane {
                Some(lane) => self.owned(session, lane),
                None => self.idle.last().copied(),
            };
            if let Some(slot) = open {
                if !self.job.http2 {
                    self.leave_idle(slot);
                }
                return Found::Open(slot);
            }
            if self.job.http2 && self.join_opening(op, lane) {
                return Found::Opening;
            }
        }
        if self.conns.len() >= self.max_conns && !self.evict() {
            return Found::Nothing;
        }
        self.open(op, session, lane);
        Found::Opening
    }

    /// The session's own connection that an operation uses; `None`: any of the pool.
    fn lane_of(&self, op: u32) -> Option<u16> {
        let record = &self.ops[op];
        let session = &self.sessions[record.session];
        if self.behaviour(session) != Behaviour::default() {
            return Some(OWN_LANE);
        }
        self.job.plan.step(session.program, record.step).lane()
    }

    /// The connection of `session` for `lane`, if it has one with room.
    fn owned(&self, session: u32, lane: u16) -> Option<u32> {
        self.conns_of(session).find(|slot| {
            let conn = &self.conns[*slot];
            conn.lane == lane && conn.stage == Stage::Idle
        })
    }

    fn conns_of(&self, session: u32) -> impl Iterator<Item = u32> {
        let first = Some(self.sessions[session].conns).filter(|slot| *slot != NONE);
        std::iter::successors(first, |slot| Some(self.conns[*slot].next).filter(|next| *next != NONE))
    }

    /// Lets an operation wait for an HTTP/2 connection that is being opened anyway.
    fn join_opening(&mut self, op: u32, lane: Option<u16>) -> bool {
        let most = self.job.streams as usize;
        let joins = |conns: &crate::slab::Slab<Conn>, slot: u32| match &conns[slot].speaks {
            Speaks::Http2(mux) => mux.queue.len() < most,
            Speaks::Http1(_) => false,
        };
        let found = match lane {
            Some(lane) => self.conns_of(self.ops[op].session).find(|slot| {
                let conn = &self.conns[*slot];
                conn.lane == lane && conn.stage.is_opening() && joins(&self.conns, *slot)
            }),
            // The last one is the one with room: the others were filled before it was opened.
            None => self.opening.iter().rev().copied().find(|slot| joins(&self.conns, *slot)),
        };
        let Some(slot) = found else { return false };
        if let Speaks::Http2(mux) = &mut self.conns[slot].speaks {
            mux.queue.push(op);
        }
        self.ops[op].conn = slot;
        true
    }

    fn open(&mut self, op: u32, session: u32, lane: Option<u16>) {
        self.generation = self.generation.wrapping_add(1);
        let (owner, next) = match lane {
            Some(_) => (session, self.sessions[session].conns),
            None => (NONE, NONE),
        };
        let behaviour = self.behaviour(&self.sessions[session]);
        let http2 = self.job.http2;
        let slot = self.conns.insert(Conn {
            generation: self.generation,
            stage: Stage::Connecting,
            op: if http2 { NONE } else { op },
            owner,
            lane: lane.unwrap_or(0),
            next,
            place: 0,
            used: false,
            link: behaviour.link_bytes_per_s,
            reads: behaviour.reads_at(),
            wire: None,
            speaks: if http2 {
                Speaks::Http2(Box::new(Mux::waiting(op)))
            } else {
                Speaks::Http1(Reader::default())
            },
            task: None,
        });
        if lane.is_some() {
            self.sessions[session].conns = slot;
        } else if http2 {
            self.opening.push(slot);
        }
        self.ops[op].conn = slot;
        self.tally.conns_peak = self.tally.conns_peak.max(self.conns.len() as u64);
        connect::spawn_open(self, self.id(slot));
    }

    /// Closes a connection that nobody uses at the moment, to make room. False: all are in use.
    fn evict(&mut self) -> bool {
        if self.idle_owned == 0 {
            let free = self.idle.iter().copied().find(|slot| self.conns[*slot].streams() == 0);
            let Some(conn) = free else { return false };
            self.close(conn);
            return true;
        }
        for _ in 0..=self.conns.slots().min(EVICT_LOOKS) {
            self.hand = (self.hand + 1) % self.conns.slots().max(1);
            let idle = self
                .conns
                .get(self.hand)
                .is_some_and(|conn| conn.stage == Stage::Idle && conn.owner != NONE && conn.streams() == 0);
            if idle {
                self.tally.conns_evicted += 1;
                self.close(self.hand);
                return true;
            }
        }
        false
    }

    /// A connection has room again.
    pub(crate) fn make_idle(&mut self, slot: u32) {
        let conn = &mut self.conns[slot];
        if conn.stage == Stage::Idle {
            return;
        }
        conn.stage = Stage::Idle;
        if conn.owner == NONE {
            conn.place = self.idle.len() as u32;
            self.idle.push(slot);
        } else {
            self.idle_owned += 1;
        }
    }

    /// A connection has no room any more.
    pub(crate) fn leave_idle(&mut self, slot: u32) {
        let conn = &mut self.conns[slot];
        if conn.stage != Stage::Idle {
            return;
        }
        conn.stage = Stage::Busy;
        if conn.owner != NONE {
            self.idle_owned -= 1;
            return;
        }
        // A server that closes thousands of idle connections at once must not cost a search for each.
        let place = conn.place;
        self.idle.swap_remove(place as usize);
        if let Some(moved) = self.idle.get(place as usize).copied() {
            self.conns[moved].place = place;
        }
    }

    /// Closes a connection and forgets it. Operations on it are not touched.
    pub(crate) fn close(&mut self, slot: u32) {
        if self.conns.get(slot).is_none() {
            return;
        }
        self.leave_idle(slot);
        let Some(conn) = self.conns.remove(slot) else { return };
        if conn.stage.is_opening() {
            self.opening.retain(|other| *other != slot);
        }
        if conn.owner != NONE {
            self.disown(conn.owner, slot, conn.next);
        }
        if let Some(task) = conn.task {
            task.abort();
        }
    }

    fn disown(&mut self, session: u32, slot: u32, after: u32) {
        let Some(record) = self.sessions.get_mut(session) else { return };
        if record.conns == slot {
            record.conns = after;
            return;
        }
        let mut at = record.conns;
        while at != NONE {
            let next = self.conns[at].next;
            if next == slot {
                self.conns[at].next = after;
                return;
            }
            at = next;
        }
    }

    pub(crate) fn id(&self, slot: u32) -> ConnId {
        ConnId { slot, generation: self.conns[slot].generation }
    }

    /// Whether `id` still names the connection that it was made for.
    pub(crate) fn is_alive(&self, id: ConnId) -> bool {
        self.conns.get(id.slot).is_some_and(|conn| conn.generation == id.generation)
    }
}

impl Conn {
    /// Open streams, or requests in flight.
    pub(crate) fn streams(&self) -> usize {
        match &self.speaks {
            Speaks::Http1(_) => usize::from(self.op != NONE),
            Speaks::Http2(mux) => mux.streams(),
        }
    }
}

/// Connections that one search for an idle one looks at; the next search goes on from there.
const EVICT_LOOKS: u32 = 4096;
/// The lane of sessions whose users behave in a way of their own: no other session may feel it.
const OWN_LANE: u16 = u16::MAX;
