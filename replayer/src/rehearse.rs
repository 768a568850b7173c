//! The rehearsal: a few sessions are sent alone before an amplified run, so that an hour of 401s is not mistaken for
//! load. What it sends bears a run tag of its own, so no book of the run counts it.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{self, Job, Target};
use crate::error::Error;
use crate::limits;
use crate::options::{Options, Speed};
use crate::population::Start;
use crate::prepare::Prepared;
use crate::rehearsal::{self, Advice, Got, Setting, Step};
use crate::retry::Retry;
use crate::tally::Heard;

/// Whether a run is worth a rehearsal: one that sends more than was recorded.
pub(crate) fn is_wanted(options: &Options, prepared: &Prepared) -> bool {
    let amplified =
        prepared.summary.sessions > prepared.summary.recorded_sessions || prepared.summary.open_ended;
    options.rehearsal && amplified
}

/// Sends the sessions and judges what comes back.
pub(crate) fn rehearse(options: &Options, prepared: &Prepared, target: &Target) -> Result<Advice, Error> {
    let starts = cast(prepared);
    let base = prepared.job(options, target.clone(), crate::run::run_tag());
    let job = Arc::new(Job {
        threads: 1,
        connections: prepared.connections.min(limits::REHEARSAL_CONNECTIONS),
        duration: Some(limits::REHEARSAL),
        warmup: None,
        timeout: options.timeout.min(Duration::from_secs(5)),
        start_at: None,
        retry: Retry::None,
        misbehaviours: Vec::new(),
        rehearsal: Some(starts.clone()),
        speed: Speed::Max,
        ..base
    });
    let outcome = engine::run(&job, &mut |_| {})?;
    let heard = by_session(prepared, &starts, &outcome.tally.heard);
    let setting = Setting {
        target: &prepared.target_url,
        tls: prepared.peer.tls,
        users: options.users.is_some(),
        keep_host: options.keep_host,
        logins: &prepared.plan.logins,
    };
    Ok(rehearsal::judge(&heard, &setting))
}

/// Clones that no run has, of sessions from all over the capture.
fn cast(prepared: &Prepared) -> Vec<Start> {
    let programs = prepared.plan.programs().len() as u32;
    let count = programs.min(limits::REHEARSAL_SESSIONS);
    let nth = |place: u32| u64::from(place) * u64::from(programs) / u64::from(count.max(1));
    let start = |place: u32| Start {
        at_ns: 0,
        user: place,
        program: nth(place) as u32,
        clone: u32::MAX - place,
        skip_us: 0,
    };
    (0..count).map(start).collect()
}

fn by_session<'a>(prepared: &'a Prepared, starts: &[Start], heard: &[Heard]) -> Vec<Vec<Step<'a>>> {
    let of = |start: &Start| {
        let own = heard.iter().filter(|heard| heard.program == start.program);
        own.map(|heard| step(prepared, heard)).collect()
    };
    starts.iter().map(of).collect()
}

fn step<'a>(prepared: &'a Prepared, heard: &Heard) -> Step<'a> {
    let step = prepared.plan.step(heard.program, heard.step);
    let got = match (heard.injected, heard.failure) {
        (true, _) => Got::Injected,
        (false, Some(failure)) => Got::Failed(failure),
        (false, None) => Got::Status(heard.status),
    };
    let route = prepared.plan.routes.get(usize::from(step.route())).map_or("(other)", String::as_str);
    Step { route, recorded: step.status(), got }
}
