//! Where an exchange goes: a member of its edge, or one of a group that has taken over.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fault_rules::Action;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::Error;

use super::{Became, Identity, Open, Part};
use crate::limits::is_shortage;
use crate::shared::Shared;
use crate::upstream::{Member, Standin, choose};

/// What is known of an exchange's way.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// Place of the member that the request is meant for.
    chosen: usize,
    /// How many places further it has moved since.
    moved: usize,
    /// Where an outage sends it, and how much later than it would be.
    failed_over: Option<(Arc<Standin>, Duration)>,
    /// How often it has waited for a descriptor to be free.
    waited: u32,
    is_waiting: bool,
}

impl Way {
    /// By the name of the operation; in turns where nobody asked for one.
    pub(super) fn of(edge: usize, identity: Option<&Identity>, shared: &Shared) -> Self {
        let edge = &shared.edges[edge];
        let n = edge.members.len();
        let chosen = match identity.filter(|identity| !identity.op.is_empty()) {
            _ if n == 1 => 0,
            Some(identity) => choose(&identity.op, identity.attempt, n),
            None => edge.turn.fetch_add(1, Ordering::Relaxed) % n,
        };
        Way { chosen, ..Way::default() }
    }
}

impl Open {
    /// Where the request goes, as things stand: the one place that knows members, outages and gRPC.
    pub(crate) fn peer(&self, shared: &Shared) -> HttpPeer {
        let member = self.member(shared);
        match &self.way.failed_over {
            Some((standin, _)) => member.replaced_by(standin, self.grpc),
            None => member.peer(self.grpc).clone(),
        }
    }

    /// The member that the request is meant for.
    pub(crate) fn member<'a>(&self, shared: &'a Shared) -> &'a Member {
        let members = &shared.edges[self.edge].members;
        &members[(self.way.chosen + self.way.moved) % members.len()]
    }

    /// An outage sends it to another group, so much later.
    pub(crate) fn fail_over(&mut self, to: Arc<Standin>, added: Duration) {
        self.way.failed_over = Some((to, added));
    }

    /// What was asked of the exchange, in the words of the ledger: of an outage in which another group has taken over, that.
    pub(super) fn asked(&self, part: &Part) -> String {
        match (part.action(&self.live), &self.way.failed_over, part.became) {
            (Some(Action::Outage(outage)), Some((_, added)), Became::Applied(_)) => {
                let to = outage.failover.as_ref().map_or("", |failover| failover.to.as_str());
                format!("failover to {to}, {}us later", added.as_micros())
            }
            _ => part.asked(&self.live),
        }
    }

    /// The process has no descriptor left for a connection to the upstream: others will give theirs back. True: it will wait,
    /// and try again; nothing was sent.
    pub(crate) fn waits_for_room(&mut self, error: &Error) -> bool {
        let cause = error.root_cause().downcast_ref::<io::Error>();
        let waits = cause.is_some_and(is_shortage) && self.way.waited < MOST_WAITS;
        self.way.waited += u32::from(waits);
        self.way.is_waiting = waits;
        waits
    }

    /// Waits for a descriptor, if there was none.
    pub(crate) async fn wait_for_room(&mut self) {
        if std::mem::take(&mut self.way.is_waiting) {
            tokio::time::sleep(ROOM_PAUSE).await;
        }
    }

    /// A member takes no connections, so nothing was sent: goes on to the next, as long as each was asked once. Not where a
    /// rule has touched the exchange, since that might hide a fault; and not to another group, since other rules would
    /// be about it then.
    pub(crate) fn move_on(&mut self, shared: &Shared) -> bool {
        let members = &shared.edges[self.edge].members;
        if self.is_touched() || self.way.failed_over.is_some() {
            return false;
        }
        let groups = &self.live.set.groups;
        let from = &members[self.way.chosen].authority;
        while self.way.moved + 1 < members.len() {
            self.way.moved += 1;
            let to = &self.member(shared).authority;
            if groups.iter().all(|group| group.has(from) == group.has(to)) {
                return true;
            }
        }
        false
    }
}

/// How often a request waits for a descriptor, and how long each time: 5 s in all.
pub(crate) const MOST_WAITS: u32 = 250;
pub(crate) const ROOM_PAUSE: Duration = Duration::from_millis(20);
