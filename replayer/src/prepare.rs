//! Everything that can be refused is refused here, before the first packet.

use std::sync::Arc;

use captures::Reader;
use captures::damage::Damage;

use crate::admin::Admin;
use crate::engine::Target;
use crate::error::Error;
use crate::limits;
use crate::options::{Options, Speed};
use crate::plan::{self, Compiled, Plan, Program, Rewrite, Summary, Wanted};
use crate::safety::{Allowed, Peer, is_loopback};
use crate::{sys, tls};

/// A replay that may begin.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) plan: Arc<Plan>,
    pub(crate) summary: Summary,
    pub(crate) peer: Peer,
    /// URL of the target, for people.
    pub(crate) target_url: String,
    pub(crate) threads: usize,
    pub(crate) connections: usize,
    /// Admin URL of the proxy, and whether the user named it.
    pub(crate) proxy: Option<(Peer, bool)>,
    pub(crate) counter: Option<Peer>,
    pub(crate) warnings: Vec<String>,
}

impl Prepared {
    /// Reads the capture, checks every peer, and plans. Opens no socket and looks up no name.
    pub(crate) fn new(options: &Options) -> Result<Prepared, Error> {
        check_values(options)?;
        let allowed = Allowed::new(&options.allow_targets);
        let named = options.target.as_deref().map(|url| allowed.check(url, "target")).transpose()?;
        let counter =
            options.origin_counter.as_deref().map(|url| allowed.check(url, "origin counter")).transpose()?;
        let mut proxy = match options.proxy.as_deref() {
            Some(url) => Some((allowed.check(url, "proxy")?, true)),
            None => None,
        };
        let reader = Reader::open(&options.capture).map_err(|err| Error::Capture(err.to_string()))?;
        let edge = reader.header().edges.first();
        let peer = match (named, edge) {
            (Some(peer), _) => peer,
            (None, Some(edge)) if is_loopback(&edge.listen_url) => {
                allowed.check(&edge.listen_url, "target")?
            }
            (None, Some(edge)) if !edge.listen_url.is_empty() => {
                return Err(Error::Safety(format!(
                    "refused: the capture was recorded at {}, which is not this machine; name what to load with \
                     --target URL",
                    edge.listen_url
                )));
            }
            (None, _) => {
                return Err(Error::Safety(
                    "refused: the capture names no listener of this machine, and nothing is ever sent to the hosts in \
                     it; name what to load, as in --target http://127.0.0.1:8080"
                        .to_owned(),
                ));
            }
        };
        only_a_host(&peer)?;
        if !peer.loopback && options.max_rate.is_none() {
            return Err(Error::Safety(format!(
                "refused: {} is not loopback, so the rate must be capped: say --max-rate 100/s",
                peer.authority
            )));
        }
        if let (None, Some(url)) = (&proxy, edge.and_then(|edge| edge.admin_url.as_deref())) {
            proxy = allowed.check(url, "proxy").ok().map(|peer| (peer, false));
        }
        let Compiled { plan, damage, .. } = plan(options, &peer)?;
        let plan = Arc::new(plan);
        let threads = options.threads.unwrap_or_else(cores).max(1);
        let (connections, mut warnings) = connections(options, &plan, &damage);
        let summary = Summary::new(&plan, connections);
        warnings.extend(too_few_sockets(&summary, connections));
        let scheme = if peer.tls { "https" } else { "http" };
        let target_url = format!("{scheme}://{}", peer.authority);
        let threads = threads.min(connections);
        Ok(Prepared { plan, summary, peer, target_url, threads, connections, proxy, counter, warnings })
    }

    /// Looks up the target; only called once all checks have passed.
    pub(crate) fn target(&self, options: &Options) -> Result<Target, Error> {
        let tls = if self.peer.tls { Some(tls::client(&self.peer.host, options.insecure)?) } else { None };
        Ok(Target { addresses: self.peer.resolve()?, tls })
    }

    /// A client of the proxy's admin interface, if one is named.
    pub(crate) fn admin(&self) -> Result<Option<(Admin, bool)>, Error> {
        match &self.proxy {
            Some((peer, named)) => Ok(Some((Admin::new(peer.clone())?, *named))),
            None => Ok(None),
        }
    }
}

/// The library's callers are not parsed by clap: the same bounds hold for them.
fn check_values(options: &Options) -> Result<(), Error> {
    let usage = |words: String| Err(Error::Usage(words));
    if !(options.amplify > 0.0 && options.amplify <= limits::AMPLIFY_MAX) {
        return usage(format!("amplification {} would replay nothing: it must be above 0", options.amplify));
    }
    if matches!(options.speed, Speed::Times(times) if !(times > 0.0 && times.is_finite())) {
        return usage("the speed must be above 0".to_owned());
    }
    if options.within.is_some() && options.speed != Speed::Times(1.0) {
        return usage("--within picks the speed by itself: leave --speed away".to_owned());
    }
    if options.max_rate.is_some_and(|rate| rate <= 0.0) {
        return usage("the rate must be above 0".to_owned());
    }
    if options.timeout.is_zero() || options.threads == Some(0) || options.max_connections == Some(0) {
        return usage("timeout, threads and connections must be above 0".to_owned());
    }
    for (name, value) in &options.headers {
        if !crate::plan::is_field(name, value) {
            return usage(format!("-H '{name}: {value}' is not a header field"));
        }
    }
    Ok(())
}

fn only_a_host(peer: &Peer) -> Result<(), Error> {
    if peer.path.is_empty() || peer.path == "/" {
        return Ok(());
    }
    let words = "the target is scheme, host and port; paths come from the recording";
    Err(Error::Usage(format!("{}{}: {words}", peer.authority, peer.path)))
}

fn plan(options: &Options, peer: &Peer) -> Result<Compiled, Error> {
    let path = options.capture.display();
    let compiled = plan::compile(&[&options.capture], &wanted(options, peer))?;
    let plan = &compiled.plan;
    if compiled.sessions == 0 {
        let why = match compiled.damage.len() {
            0 => "it holds no session".to_owned(),
            count => format!(
                "nothing in it can be read ({count} damaged places); try squall captures repair {path}"
            ),
        };
        return Err(Error::Capture(format!("{path}: {why}")));
    }
    let (planned, most) = (plan.sessions(), limits::SESSIONS);
    if planned > most {
        return Err(Error::Usage(format!("{planned} sessions are more than one process can plan ({most})")));
    }
    if plan.requests() == 0 {
        let skipped: Vec<String> = plan.skipped.iter().map(|(why, count)| format!("{count} {why}")).collect();
        let why = match (skipped.is_empty(), options.amplify < 1.0) {
            (false, _) => format!("none of its exchanges is organic traffic ({})", skipped.join(", ")),
            (true, true) => format!("{}x of it leaves no session; amplify more", options.amplify),
            (true, false) => "it holds no request".to_owned(),
        };
        return Err(Error::Capture(format!("{path}: {why}")));
    }
    Ok(compiled)
}

fn wanted(options: &Options, peer: &Peer) -> Wanted {
    Wanted {
        amplify: options.amplify,
        speed: options.speed,
        within_us: options.within.map(|within| within.as_micros() as u64),
        connections: options.connections,
        http2: false,
        max_gap_us: None,
        only: Vec::new(),
        exclude: Vec::new(),
        substitutions: Vec::new(),
        columns: Vec::new(),
        seed: options.seed_number(),
        rewrite: Rewrite {
            host: peer.authority.clone(),
            https: peer.tls,
            keep_host: options.keep_host,
            headers: options.headers.clone(),
        },
    }
}

/// How many connections there may be, and what the user should know about it and about the capture.
fn connections(options: &Options, plan: &Plan, damage: &[Damage]) -> (usize, Vec<String>) {
    let mut warnings: Vec<String> =
        damage.iter().take(3).map(|damage| format!("damaged: {damage}")).collect();
    if damage.len() > 3 {
        warnings.push(format!("damaged: {} more places", damage.len() - 3));
    }
    let limit = sys::raise_open_files().saturating_sub(limits::SPARE_DESCRIPTORS).max(1);
    let owned = plan.programs().flat_map(Program::steps).any(|step| step.lane().is_some());
    let default = match (options.speed, owned) {
        (Speed::Max, _) => limits::FULL_SPEED_CONNECTIONS,
        (_, false) => limits::POOL_CONNECTIONS,
        // A proxy and a target in the same process (squall demo) need theirs too.
        (_, true) => limit / 4,
    };
    let connections = options.max_connections.unwrap_or(default.min(limit));
    if connections > limit {
        let have = limit + limits::SPARE_DESCRIPTORS;
        warnings.push(format!(
            "{connections} connections need more open files than the {have} allowed (ulimit -n)"
        ));
    }
    (connections.min(limit).max(1), warnings)
}

/// What it means that the recorded connections do not all fit.
fn too_few_sockets(summary: &Summary, connections: usize) -> Option<String> {
    (summary.sockets > connections as u64).then(|| {
        format!(
            "the plan needs about {} sockets and {connections} are allowed: idle ones will be closed early and the run \
             is degraded; raise --max-connections (and ulimit -n), or use --connections shared",
            summary.sockets
        )
    })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
