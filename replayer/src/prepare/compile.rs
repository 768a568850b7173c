//! From the options to the plan.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use captures::Reader;
use captures::exchange::Protocol;

use crate::error::Error;
use crate::limits;
use crate::links::Links;
use crate::options::{Http, Options, Source};
use crate::plan::{self, Compiled, Plan, Rewrite, Wanted};
use crate::population::Load;
use crate::rehearsal;
use crate::safety::Peer;
use crate::users::Users;

/// What is spoken: as the user says, else what most of the first requests of the recording were sent with.
pub(super) fn speaks_http2(options: &Options) -> Result<bool, Error> {
    match options.http {
        Http::One => return Ok(false),
        Http::Two => return Ok(true),
        Http::Recorded => {}
    }
    let (mut looked_at, mut http2) = (0_usize, 0_usize);
    for source in &options.captures {
        let reader = Reader::open(&source.path).map_err(|err| Error::Capture(err.to_string()))?;
        // Where nobody knows the connections (logs, most HAR files), the version says nothing about this target.
        let known = reader.exchanges().flatten().take(limits::PROTOCOL_SAMPLE);
        for exchange in known.filter(|exchange| exchange.connection.is_some()) {
            looked_at += 1;
            http2 += usize::from(exchange.protocol == Protocol::Http2);
        }
    }
    Ok(looked_at < http2 * 2)
}

/// The plan, and what the user should know about the captures.
pub(super) fn plan(
    options: &Options,
    peer: &Peer,
    http2: bool,
    users: Option<&Users>,
) -> Result<(Plan, Vec<String>), Error> {
    let paths: Vec<&Path> = options.captures.iter().map(|source| source.path.as_path()).collect();
    let links = Arc::new(Links::find(&options.links, &paths)?);
    let wanted = Wanted { links, ..wanted(options, peer, http2, users) };
    let compiled = plan::compile(&paths, &wanted)?;
    if let Some(why) = emptiness(&compiled, options) {
        return Err(Error::Capture(format!("{}: {why}", options.capture_names())));
    }
    let Compiled { plan, damage, shed, .. } = compiled;
    let mut warnings: Vec<String> =
        damage.iter().take(3).map(|damage| format!("damaged: {damage}")).collect();
    if damage.len() > 3 {
        warnings.push(format!("damaged: {} more places", damage.len() - 3));
    }
    for (reason, count) in shed {
        warnings.push(format!("the recorder let {count} exchanges go ({reason}): they are not replayed"));
    }
    if let Some(count) = plan.skipped.get("other_edge") {
        warnings.push(format!(
            "{count} exchanges of the capture are not replayed: another edge recorded them, and the services behind the \
             first one make such calls themselves (--edge NAME replays another, --edge '*' all of them)"
        ));
    }
    if plan.population.is_closed() && plan.programs().any(|program| program.len() > 1) {
        let words = "sessions that are held alive enter in their midst: what they had done before (a login, say) has \
                     not happened";
        warnings.push(words.to_owned());
    }
    if options.users.is_none() {
        warnings.extend(rehearsal::unknown_passwords(&plan.logins));
    }
    if plan.unreadable > 0 {
        let count = plan.unreadable;
        warnings.push(format!("{count} recorded bodies are not whole: --set leaves them as they are"));
    }
    Ok((plan, warnings))
}

/// Why there is nothing to replay, if so.
fn emptiness(compiled: &Compiled, options: &Options) -> Option<String> {
    let plan = &compiled.plan;
    if compiled.sessions == 0 {
        return Some(match compiled.damage.len() {
            0 => "it holds no session".to_owned(),
            count => format!(
                "nothing in it can be read ({count} damaged places); try squall captures repair {}",
                options.capture_names()
            ),
        });
    }
    let programs = plan.programs().len();
    if programs > 0 && plan.population.requests() != Some(0) {
        return None;
    }
    let skipped: Vec<String> = plan.skipped.iter().map(|(why, count)| format!("{count} {why}")).collect();
    let is_unselected = plan.skipped.contains_key("not_selected");
    Some(match (skipped.is_empty(), programs) {
        (false, 0) if is_unselected => format!(
            "--only and --exclude leave nothing of it ({}); squall captures inspect names its routes",
            skipped.join(", ")
        ),
        (false, 0) => format!("none of its exchanges is organic traffic ({})", skipped.join(", ")),
        (true, 0) => "it holds no request".to_owned(),
        _ if options.duration.is_some() => {
            "no session of it starts within the duration; let it last longer, or amplify more".to_owned()
        }
        _ => format!("{}x of it leaves no session; amplify more", options.amplify),
    })
}

fn wanted(options: &Options, peer: &Peer, http2: bool, users: Option<&Users>) -> Wanted {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let names = cohort_names(&options.captures);
    let amplified = |(source, name): (&Source, String)| (name, source.amplify.unwrap_or(options.amplify));
    Wanted {
        sources: options.captures.iter().zip(names).map(amplified).collect(),
        load: load(options),
        arrivals: options.arrivals,
        boosts: options.boosts.clone(),
        looped: options.looped,
        duration_us: options.duration.map(micros),
        shard: options.shard,
        speed: options.speed,
        within_us: options.within.map(micros),
        connections: options.connections,
        http2,
        max_gap_us: options.max_gap.map(micros),
        only: options.only.clone(),
        exclude: options.exclude.clone(),
        edge: options.edge.clone(),
        substitutions: options.substitutions.clone(),
        columns: users.map_or_else(Vec::new, |users| users.columns().to_vec()),
        seed: options.seed_number(),
        rewrite: Rewrite {
            host: peer.authority.clone(),
            https: peer.tls,
            keep_host: options.keep_host,
            headers: options.headers.clone(),
        },
        links: Arc::default(),
    }
}

/// A name for each capture; the second of a name is `name#2`.
fn cohort_names(captures: &[Source]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(captures.len());
    for source in captures {
        let name = source.name();
        let free = (1..).map(|number| match number {
            1 => name.clone(),
            _ => format!("{name}#{number}"),
        });
        names.extend(free.into_iter().find(|name| !names.contains(name)));
    }
    names
}

fn load(options: &Options) -> Load {
    match (options.sessions, options.rate, &options.profile) {
        (Some(sessions), ..) => Load::Sessions(u32::try_from(sessions).unwrap_or(u32::MAX)),
        (None, Some(rate), _) => Load::Rate(rate),
        (None, None, Some(profile)) => Load::Profile(profile.clone()),
        (None, None, None) if options.stages.is_empty() => Load::Recorded,
        (None, None, None) => Load::Stages(options.stages.clone()),
    }
}
