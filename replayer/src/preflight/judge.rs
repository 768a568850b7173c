//! Need against machine, a row for each kind of need. No figure of this page is measured here.

use super::{Because, Destination, Fit, Machine, Needs, Row};
use crate::report::text::{bytes, number};
use crate::{limits, users};

/// All rows, in the order in which people look for trouble.
pub(super) fn rows(needs: &Needs, machine: &Machine) -> Vec<Row> {
    let all = [
        Some(open_files(needs, machine)),
        sources(needs, machine),
        Some(ports(needs, machine)),
        opening(needs, machine),
        memory(needs, machine),
        identities(needs),
        Some(threads(needs, machine)),
    ];
    all.into_iter().flatten().collect()
}

fn open_files(needs: &Needs, machine: &Machine) -> Row {
    let taken = machine.files_open.saturating_add(limits::SPARE_DESCRIPTORS as u64);
    let has = machine.files_limit.saturating_sub(taken);
    let wanted = needs.sockets_wanted.max(needs.sockets_required);
    let fit = fit(needs.sockets_required, wanted, has);
    let ulimit = |sockets: u64| {
        let files = sockets.saturating_add(taken);
        // Hard limits are raised by root only, and not beyond fs.nr_open.
        let sysctl = if files > machine.files_most {
            format!("`sysctl fs.nr_open={files}`, then ")
        } else {
            String::new()
        };
        format!("{sysctl}`ulimit -n {files}` (as root) in the shell before the run")
    };
    let help = match fit {
        Fit::Ok => String::new(),
        Fit::Tight => format!(
            "the plan would like {} sockets at once and {} more files may be opened: idle connections will be closed \
             early, and the run is degraded; raise the limit with {}, or use --connections shared",
            number(wanted),
            number(has),
            ulimit(wanted)
        ),
        Fit::Refused => format!(
            "{} sockets must be open at once, {}, and {} more files may be opened: raise the limit with {}, or {}",
            number(needs.sockets_required),
            reason(needs.because),
            number(has),
            ulimit(needs.sockets_required),
            fewer_sockets(needs.because, has)
        ),
    };
    Row { what: "sockets", needs: number(wanted), has: format!("{} open files", number(has)), fit, help }
}

fn sources(needs: &Needs, machine: &Machine) -> Option<Row> {
    needs.sources.first()?;
    let family = if needs.target.ipv6 { "IPv6" } else { "IPv4" };
    let mixed = needs.sources.iter().find(|source| source.is_ipv6() != needs.target.ipv6);
    let locked_in = needs.sources.iter().find(|source| source.is_loopback() && !needs.target.loopback);
    let help = match (&machine.foreign_sources, mixed, locked_in) {
        (_, Some(source), _) => {
            format!("--bind: {source} is no {family} address, and the target's is one")
        }
        (_, _, Some(source)) => {
            format!(
                "--bind: from {source} nothing beyond this machine can be reached; bind to addresses of a network card"
            )
        }
        (Some(words), ..) => words.clone(),
        _ => String::new(),
    };
    let fit = if help.is_empty() { Fit::Ok } else { Fit::Refused };
    let all = number(needs.sources.len() as u64);
    // How many of them can be used does not matter: the user named them all.
    let has = if fit == Fit::Ok { all.clone() } else { "-".to_owned() };
    Some(Row { what: "addresses", needs: all, has, fit, help })
}

fn ports(needs: &Needs, machine: &Machine) -> Row {
    let has = tuples(needs, machine);
    let wanted = needs.sockets_wanted.max(needs.sockets_required);
    let fit = fit(needs.sockets_required, wanted, has);
    if fit == Fit::Ok && has / 2 < wanted {
        return Row {
            what: "ports",
            needs: number(wanted),
            has: number(has),
            fit: Fit::Tight,
            help: slow_ports(needs, machine, wanted),
        };
    }
    let help = match fit {
        Fit::Ok => String::new(),
        Fit::Tight => format!(
            "the plan would like {} connections at once and the ports of {} are enough for {}: idle ones will be \
             closed early, and the run is degraded; {}",
            number(wanted),
            places(needs),
            number(has),
            more_ports(needs, machine, wanted)
        ),
        Fit::Refused => format!(
            "{} connections must be open at once, {}, and the ports of {} are enough for {}: {}, or {}",
            number(needs.sockets_required),
            reason(needs.because),
            places(needs),
            number(has),
            more_ports(needs, machine, needs.sockets_required),
            fewer_sockets(needs.because, has)
        ),
    };
    Row { what: "ports", needs: number(wanted), has: number(has), fit, help }
}

/// Linux looks for a free port among those of one parity first, and searches all of them in vain, once for each new
/// connection, when they are used up: milliseconds each.
fn slow_ports(needs: &Needs, machine: &Machine, wanted: u64) -> String {
    format!(
        "{} connections take more than half of the ports of {}, and the system needs milliseconds for each beyond \
         that; {}",
        number(wanted),
        places(needs),
        more_ports(needs, machine, wanted.saturating_mul(2))
    )
}

/// New connections against ports that rest after use. Only a warning: whether a port rests here or at the target
/// depends on who closes first.
fn opening(needs: &Needs, machine: &Machine) -> Option<Row> {
    if needs.opens_per_second == 0 {
        return None;
    }
    let rest = if needs.target.loopback { machine.port_rest.loopback } else { machine.port_rest.elsewhere };
    let free = tuples(needs, machine).saturating_sub(needs.sockets_wanted.max(needs.sockets_required));
    let has = (free as f64 / rest.as_secs_f64().max(1e-3)) as u64;
    let fit = if needs.opens_per_second <= has { Fit::Ok } else { Fit::Tight };
    let at_once = (needs.opens_per_second as f64 * rest.as_secs_f64()).ceil() as u64;
    let help = match fit {
        Fit::Ok => String::new(),
        _ => format!(
            "{} new connections a second leave about {} ports resting ({} s each, TIME_WAIT) and {} are free for \
             that: {}",
            number(needs.opens_per_second),
            number(at_once),
            rest.as_secs_f64(),
            number(free),
            more_ports(needs, machine, at_once.saturating_add(needs.sockets_wanted))
        ),
    };
    let needed = format!("{}/s", number(needs.opens_per_second));
    Some(Row { what: "new connections", needs: needed, has: format!("{}/s", number(has)), fit, help })
}

fn memory(needs: &Needs, machine: &Machine) -> Option<Row> {
    let has = machine.memory?;
    let tight = (u128::from(has) * u128::from(limits::MEMORY_TIGHT_PERCENT) / 100) as u64;
    let fit = match needs.memory {
        need if need <= tight => Fit::Ok,
        need if need <= has => Fit::Tight,
        _ => Fit::Refused,
    };
    let help = match fit {
        Fit::Ok => String::new(),
        _ => format!(
            "the plan takes about {} of memory and {} are available (control groups included): amplify less, hold \
             fewer sessions or connections, or split the run over machines with --shard",
            bytes(needs.memory),
            bytes(has)
        ),
    };
    Some(Row { what: "memory", needs: bytes(needs.memory), has: bytes(has), fit, help })
}

fn identities(needs: &Needs) -> Option<Row> {
    let identities = needs.identities?;
    let help = users::enough(identities.rows, identities.sessions, identities.wrap).err();
    let needed = identities.sessions.map_or_else(|| "any number".to_owned(), number);
    Some(Row {
        what: "identities",
        needs: needed,
        has: format!("{}{}", number(identities.rows), if identities.wrap { ", used again" } else { "" }),
        fit: if help.is_some() { Fit::Refused } else { Fit::Ok },
        help: help.unwrap_or_default(),
    })
}

fn threads(needs: &Needs, machine: &Machine) -> Row {
    let fit = if needs.threads <= machine.cores { Fit::Ok } else { Fit::Tight };
    let help = match fit {
        Fit::Ok => String::new(),
        _ => format!(
            "{} threads share {} cores and will send late; leave --threads away",
            number(needs.threads),
            number(machine.cores)
        ),
    };
    let has = format!("{} cores", number(machine.cores));
    Row { what: "threads", needs: number(needs.threads), has, fit, help }
}

fn fit(required: u64, wanted: u64, has: u64) -> Fit {
    match has {
        has if required > has => Fit::Refused,
        has if wanted > has => Fit::Tight,
        _ => Fit::Ok,
    }
}

/// Connections that ports allow at once: each pair of source and listener has all ports for itself.
fn tuples(needs: &Needs, machine: &Machine) -> u64 {
    let sources = needs.sources.len().max(1) as u64;
    machine.ports.saturating_mul(sources).saturating_mul(needs.target.listeners.max(1))
}

fn places(needs: &Needs) -> String {
    let count =
        |count: u64, word: &str| format!("{} {word}{}", number(count), if count == 1 { "" } else { "es" });
    let sources = needs.sources.len().max(1) as u64;
    let listeners = needs.target.listeners.max(1);
    format!("{} to {}", count(sources, "source address"), count(listeners, "target address"))
}

fn reason(because: Because) -> &'static str {
    match because {
        Because::MaxConnections => "as --max-connections says",
        Because::PerSession => "one for each session (--connections per-session)",
        Because::Streams => "one for each stream that is open at the same time",
        Because::Requests => "one for each request in flight",
    }
}

fn fewer_sockets(because: Because, has: u64) -> String {
    match because {
        Because::MaxConnections => format!("ask for less: --max-connections {has}"),
        Because::PerSession => {
            format!("share them: --connections shared, or --max-connections {has} to close idle ones early")
        }
        Because::Streams => "put many streams on one connection (--http2), or amplify less".to_owned(),
        Because::Requests => format!("amplify less, or let requests wait: --max-connections {has}"),
    }
}

/// How to come by ports for `connections`.
fn more_ports(needs: &Needs, machine: &Machine, connections: u64) -> String {
    let Destination { listeners, loopback, ipv6 } = needs.target;
    let for_each = machine.ports.saturating_mul(listeners.max(1)).max(1);
    let sources = connections.div_ceil(for_each).max(2);
    let bits = u64::BITS - (sources - 1).leading_zeros();
    match (loopback, ipv6) {
        (true, false) if bits <= 16 => {
            format!("connect from more addresses: --bind 127.0.0.0/{}", 32 - bits)
        }
        (true, true) => {
            "name the target as 127.0.0.1 and connect from many addresses: --bind 127.0.0.0/24".to_owned()
        }
        _ => format!(
            "connect from {} addresses (add them to this machine, then --bind their block), or widen the range: \
             `sysctl net.ipv4.ip_local_port_range=\"1024 65535\"`",
            number(sources)
        ),
    }
}
