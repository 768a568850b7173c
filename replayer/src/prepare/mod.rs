//! Everything that can be refused is refused here, before the first packet.

mod compile;
mod needs;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use captures::Reader;
use captures::header::EdgeInfo;

use crate::admin::Admin;
use crate::engine::{Job, Target};
use crate::error::Error;
use crate::options::{Options, Speed};
use crate::pacing::RateGate;
use crate::plan::{self, Plan, Summary, edges};
use crate::preflight::{Destination, Identities, Machine, Needs, Preflight};
use crate::safety::{Allowed, Peer, is_loopback};
use crate::users::Users;
use crate::{limits, misbehave, tls};

/// A replay that may begin.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) plan: Arc<Plan>,
    pub(crate) summary: Summary,
    pub(crate) peer: Peer,
    /// URL of the target, for people.
    pub(crate) target_url: String,
    /// Requests go as streams of HTTP/2 connections.
    pub(crate) http2: bool,
    pub(crate) threads: usize,
    pub(crate) connections: usize,
    pub(crate) users: Option<Arc<Users>>,
    /// Addresses to open connections from; empty: the kernel chooses.
    pub(crate) sources: Arc<[IpAddr]>,
    pub(crate) preflight: Preflight,
    /// Admin URL of the proxy, and whether the user named it.
    pub(crate) proxy: Option<(Peer, bool)>,
    pub(crate) counter: Option<Peer>,
    /// Where the origin's metrics are.
    pub(crate) metrics: Option<Peer>,
    pub(crate) warnings: Vec<String>,
}

impl Prepared {
    /// Reads the capture, checks every peer, and plans. Opens no socket and looks up no name.
    pub(crate) fn new(options: &Options) -> Result<Prepared, Error> {
        check_values(options)?;
        let allowed = Allowed::new(&options.allow_targets);
        let check = |url: Option<&str>, what| url.map(|url| allowed.check(url, what)).transpose();
        let named = check(options.target.as_deref(), "target")?;
        let counter = check(options.origin_counter.as_deref(), "origin counter")?;
        let metrics = check(options.origin_metrics.as_deref(), "origin metrics")?;
        let mut proxy = match options.proxy.as_deref() {
            Some(url) => Some((allowed.check(url, "proxy")?, true)),
            None => None,
        };
        let first =
            options.captures.first().ok_or_else(|| Error::Usage("no capture was named".to_owned()))?;
        let reader = Reader::open(&first.path).map_err(|err| Error::Capture(err.to_string()))?;
        let edge = edges::target(reader.header(), options.edge.as_deref()).map_err(Error::Usage)?;
        let peer = find_peer(named, edge, &allowed)?;
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
        drop(reader);
        let http2 = compile::speaks_http2(options)?;
        let users = options.users.as_deref().map(Users::load).transpose().map_err(Error::Usage)?;
        check_headers(options, users.as_ref())?;
        let (plan, mut warnings) = compile::plan(options, &peer, http2, users.as_ref())?;
        let connections = needs::connections(options, &plan);
        let threads = options.threads.unwrap_or_else(cores).clamp(1, connections.count);
        let summary = Summary::new(&plan, amplification(options), connections.count);
        let sources: Arc<[IpAddr]> =
            options.bind.map_or_else(Vec::new, |bind| bind.addresses().collect()).into();
        let needs = Needs {
            threads: threads as u64,
            target: Destination { listeners: 1, loopback: peer.loopback, ipv6: peer.host.contains(':') },
            sources: sources.to_vec(),
            identities: users.as_ref().map(|users| Identities {
                rows: users.rows(),
                sessions: plan.population.users_needed(),
                wrap: options.users_wrap,
            }),
            memory: summary.memory + users.as_ref().map_or(0, Users::memory),
            ..needs::of(options, http2, &summary, connections)
        };
        let preflight = Preflight::new(&needs, &Machine::read(&sources));
        if let Some(words) = preflight.refusal() {
            return Err(Error::Usage(words));
        }
        warnings.extend(preflight.warnings().map(str::to_owned));
        let scheme = if peer.tls { "https" } else { "http" };
        let target_url = format!("{scheme}://{}", peer.authority);
        Ok(Prepared {
            plan: Arc::new(plan),
            summary,
            peer,
            target_url,
            http2,
            threads,
            connections: connections.count,
            users: users.map(Arc::new),
            sources,
            preflight,
            proxy,
            counter,
            metrics,
            warnings,
        })
    }

    /// What the engine is to do for the run with that tag.
    pub(crate) fn job(&self, options: &Options, target: Target, run: String) -> Job {
        Job {
            plan: Arc::clone(&self.plan),
            target,
            run,
            threads: self.threads,
            connections: self.connections,
            gate: options.max_rate.map(RateGate::new),
            duration: self.ends_after(options),
            warmup: options.warmup,
            timeout: options.timeout,
            http2: self.http2,
            streams: options.streams,
            late_policy: options.late_policy,
            retry: options.retry,
            misbehaviours: options.misbehaviours.clone(),
            reconnect: options.reconnect,
            rehearsal: None,
            speed: self.plan.speed,
            peak_sessions: self.summary.peak_sessions,
            users: self.users.clone(),
            bind: Arc::clone(&self.sources),
            start_at: options.start_at,
            stop: options.stop.clone(),
            count_ops: false,
            metered: options.metrics.is_some() || options.otlp.is_some(),
            traces: None,
        }
    }

    /// When what is not yet due is given up: as the user says, or when the profile or the stages are over.
    fn ends_after(&self, options: &Options) -> Option<Duration> {
        let own = self.plan.population.end_ns().map(Duration::from_nanos);
        match (options.duration, own) {
            (Some(asked), Some(own)) => Some(asked.min(own)),
            (asked, own) => asked.or(own),
        }
    }

    /// Looks up the target; only called once all checks have passed.
    pub(crate) fn target(&self, options: &Options) -> Result<Target, Error> {
        let tls = match self.peer.tls {
            true => Some(tls::client(&self.peer.host, options.insecure, self.http2)?),
            false => None,
        };
        Ok(Target { addresses: self.peer.resolve()?, tls })
    }

    /// A client of the proxy's admin interface, if one is named.
    /// Its token goes to the proxy that the user named, not to whom a capture names.
    pub(crate) fn admin(&self, options: &Options) -> Result<Option<(Admin, bool)>, Error> {
        let Some((peer, named)) = &self.proxy else { return Ok(None) };
        let token = options.proxy_token.clone().filter(|_| *named);
        Ok(Some((Admin::new(peer.clone())?.with_token(token), *named)))
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
    misbehave::check(&options.misbehaviours).map_err(Error::Usage)?;
    if options.sessions == Some(0) || options.rate.is_some_and(|rate| rate <= 0.0) || options.streams == 0 {
        return usage("sessions, rate and streams must be above 0".to_owned());
    }
    if options.timeout.is_zero() || options.threads == Some(0) || options.max_connections == Some(0) {
        return usage("timeout, threads and connections must be above 0".to_owned());
    }
    let names_clone = options.only.iter().any(|only| only.clone_of().is_some());
    let is_plain = options.amplify == 1.0 && options.captures.iter().all(|source| source.amplify.is_none());
    let shapes = options.sessions.is_some() || options.rate.is_some() || options.profile.is_some();
    if names_clone && (!is_plain || shapes || !options.stages.is_empty() || options.looped) {
        return usage(
            "--only session:HEX-CLONE sends that one clone: leave the amplification away".to_owned(),
        );
    }
    for (name, value) in &options.headers {
        if !crate::plan::is_field(name, value) {
            return usage(format!("-H '{name}: {value}' is not a header field"));
        }
    }
    Ok(())
}

/// Whom to load: what the user names, else the listener that recorded, if it is on this machine.
fn find_peer(named: Option<Peer>, edge: Option<&EdgeInfo>, allowed: &Allowed) -> Result<Peer, Error> {
    match (named, edge) {
        (Some(peer), _) => Ok(peer),
        (None, Some(edge)) if is_loopback(&edge.listen_url) => {
            allowed.check(&edge.listen_url, "target")
        }
        (None, Some(edge)) if !edge.listen_url.is_empty() => {
            Err(Error::Safety(format!(
                "refused: the capture was recorded at {}, which is not this machine; name what to load with \
                 --target URL",
                edge.listen_url
            )))
        }
        (None, _) => {
            Err(Error::Safety(
                "refused: the capture names no listener of this machine, and nothing is ever sent to the hosts in \
                 it; name what to load, as in --target http://127.0.0.1:8080"
                    .to_owned(),
            ))
        }
    }
}

fn only_a_host(peer: &Peer) -> Result<(), Error> {
    if peer.path.is_empty() || peer.path == "/" {
        return Ok(());
    }
    let words = "the target is scheme, host and port; paths come from the recording";
    Err(Error::Usage(format!("{}{}: {words}", peer.authority, peer.path)))
}

/// How many sessions for each recorded one, where that is one number.
fn amplification(options: &Options) -> Option<f64> {
    let alike = options.captures.iter().all(|source| source.amplify.is_none()) && options.boosts.is_empty();
    let plain = options.rate.is_none() && options.profile.is_none();
    (alike && plain).then_some(options.amplify)
}

/// A value of the users file must not end a header field early.
fn check_headers(options: &Options, users: Option<&Users>) -> Result<(), Error> {
    let Some(users) = users else { return Ok(()) };
    let headers = options.substitutions.iter().filter(|substitution| substitution.is_header());
    for column in headers.flat_map(plan::Substitution::columns) {
        let number = users.column(column).map_err(Error::Usage)?;
        users.check_header(number).map_err(Error::Usage)?;
    }
    Ok(())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
