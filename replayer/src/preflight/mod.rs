//! Whether a plan fits this machine: how many sockets, ports and bytes it needs and whether they are there, said
//! before the first packet.
//!
//! What the user insisted on and cannot be had is refused, with what to type. What the engine can do with less of
//! (recorded connections are closed early when idle) is a warning.

mod judge;
mod machine;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;

pub(crate) use machine::Machine;

/// What a plan needs at its peak.
#[derive(Clone, Debug)]
pub(crate) struct Needs {
    /// Sockets that must be open at once, or the run is not the one that was asked for.
    pub(crate) sockets_required: u64,
    /// What demands them.
    pub(crate) because: Because,
    /// Sockets that would be open at once if there were no limit; idle ones beyond the required may be closed.
    pub(crate) sockets_wanted: u64,
    /// New connections a second.
    pub(crate) opens_per_second: u64,
    /// Bytes of memory, the users file and the sockets' buffers included.
    pub(crate) memory: u64,
    /// Engine threads.
    pub(crate) threads: u64,
    pub(crate) target: Destination,
    /// Addresses of `--bind`; empty: the kernel chooses one.
    pub(crate) sources: Vec<IpAddr>,
    /// Identities, if a users file is given.
    pub(crate) identities: Option<Identities>,
}

/// Where the connections lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    /// Pairs of address and port among which connections are spread, at least 1.
    pub(crate) listeners: u64,
    pub(crate) loopback: bool,
    pub(crate) ipv6: bool,
}

/// What demands that sockets be open at once, and so what the user may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Because {
    /// `--max-connections`.
    MaxConnections,
    /// `--connections per-session`: one for each session that is alive.
    PerSession,
    /// Streams that are open at once, each on a connection of its own.
    Streams,
    /// Nothing but the requests in flight.
    Requests,
}

/// What a users file has, and what is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identities {
    /// Rows of the file.
    pub(crate) rows: u64,
    /// Sessions of the plan; `None` when it starts sessions until it is stopped.
    pub(crate) sessions: Option<u64>,
    /// Whether rows may be used again.
    pub(crate) wrap: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Preflight {
    pub(crate) rows: Vec<Row>,
}

/// One thing that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// What it is.
    pub(crate) what: &'static str,
    /// How much of it the plan needs.
    pub(crate) needs: String,
    /// How much of it there is.
    pub(crate) has: String,
    pub(crate) fit: Fit,
    /// What is wrong and what to do about it; empty if it fits.
    pub(crate) help: String,
}

/// How a need and a machine go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It is there.
    Ok,
    /// The run can take place, and will not be all that it could be.
    Tight,
    /// The run cannot be what was asked for.
    Refused,
}

impl Preflight {
    /// Holds `needs` against `machine`.
    pub(crate) fn new(needs: &Needs, machine: &Machine) -> Preflight {
        Preflight { rows: judge::rows(needs, machine) }
    }

    /// Why the run cannot start, all reasons together, each with what to do; `None` if it can.
    pub(crate) fn refusal(&self) -> Option<String> {
        let reasons: Vec<&str> = self.help(Fit::Refused).collect();
        (!reasons.is_empty())
            .then(|| format!("this plan does not fit this machine: {}", reasons.join("; also: ")))
    }

    /// What the user should know of a run that can start.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = &str> {
        self.help(Fit::Tight)
    }

    fn help(&self, fit: Fit) -> impl Iterator<Item = &str> {
        self.rows.iter().filter(move |row| row.fit == fit).map(|row| row.help.as_str())
    }
}

/// A table, a line for each row; the words of help are not in it.
impl fmt::Display for Preflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |of: fn(&Row) -> usize| self.rows.iter().map(of).max().unwrap_or(0);
        let what = width(|row| row.what.len());
        let (needs, has) = (width(|row| row.needs.len()), width(|row| row.has.len()));
        for (place, row) in self.rows.iter().enumerate() {
            let line_break = if place == 0 { "" } else { "\n" };
            let word = match row.fit {
                Fit::Ok => "ok",
                Fit::Tight => "TIGHT",
                Fit::Refused => "TOO LITTLE",
            };
            write!(f, "{line_break}{:what$}  {:>needs$}  of {:>has$}  {word}", row.what, row.needs, row.has)?;
        }
        Ok(())
    }
}
