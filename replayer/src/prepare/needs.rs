//! What a plan needs of the machine.

use crate::options::{Connections, Options, Speed};
use crate::plan::{self, Plan, Summary};
use crate::preflight::{Because, Destination, Needs};
use crate::{limits, sys};

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    pub(super) count: usize,
    /// The user said so.
    is_asked: bool,
}

pub(super) fn connections(options: &Options, plan: &Plan) -> Most {
    let limit = sys::raise_open_files().saturating_sub(limits::SPARE_DESCRIPTORS).max(1);
    let owned = plan.programs().flat_map(plan::Program::steps).any(|step| step.lane().is_some());
    let default = match (options.speed, owned) {
        (Speed::Max, _) => limits::FULL_SPEED_CONNECTIONS,
        (_, false) => limits::POOL_CONNECTIONS,
        (_, true) if options.connections == Connections::PerSession => limit,
        // A proxy and a target in the same process (squall demo) need theirs too.
        (_, true) => limit / 4,
    };
    let count = options.max_connections.unwrap_or(default.min(limit)).max(1);
    Most { count, is_asked: options.max_connections.is_some() }
}

/// What the plan needs of sockets and memory; the rest is for the caller to say.
pub(super) fn of(options: &Options, http2: bool, summary: &Summary, most: Most) -> Needs {
    let paced = options.speed != Speed::Max;
    let owned = paced && options.connections != Connections::Shared;
    let (sockets_required, because) = match options.connections {
        // Each session holds on to its own: closing an idle one early would change what was asked for.
        Connections::PerSession if paced => (summary.sockets, Because::PerSession),
        // Whoever waits for events keeps a connection of HTTP/1.1 for itself.
        _ if paced && !http2 && summary.streams > summary.peak_rate => (summary.streams, Because::Streams),
        _ if most.is_asked => ((most.count as u64).min(summary.sockets.max(1)), Because::MaxConnections),
        _ => (1, Because::Requests),
    };
    let span_s = (summary.span_us / 1_000_000).max(1);
    Needs {
        sockets_required,
        because,
        sockets_wanted: summary.sockets,
        opens_per_second: if owned { summary.sessions / span_s } else { 0 },
        memory: summary.memory,
        threads: 1,
        target: Destination { listeners: 1, loopback: true, ipv6: false },
        sources: Vec::new(),
        identities: None,
    }
}
