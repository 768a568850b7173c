//! A recorded session as steps: when each is due, what it waits for, which connection it uses.
//!
//! A step waits for every earlier step that had (nearly) ended in the recording when it began. Because both are
//! intervals on one time line, what step n waits for contains what step n-1 waits for: steps are released in
//! order, and "may it go?" is one comparison for each request of the session still in flight.

use std::collections::BTreeMap;

use captures::exchange::Protocol;
use captures::notes::Notes;
use captures::{Exchange, Session};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::cookies;
use crate::identity::{Lane, prf, unit};
use crate::options::Connections;
use crate::plan::template::{self, Template};
use crate::plan::{Wanted, routes};

/// A recorded session, ready to be sent by any number of clones.
#[derive(Debug)]
pub(crate) struct Program {
    /// The recorded session.
    pub(crate) session: u64,
    /// Start, in microseconds from the first session's start.
    pub(crate) start_us: u64,
    /// Clones start within this time after the recording.
    pub(crate) window_us: u64,
    /// How many sessions follow this program, the recording included.
    pub(crate) clones: u32,
    /// At least one, by offset.
    pub(crate) steps: Vec<Step>,
}

/// One request of a program.
#[derive(Debug)]
pub(crate) struct Step {
    /// Due, in microseconds after the session's start.
    pub(crate) offset_us: u64,
    /// When it counts as ended in the recording: steps that begin then or later wait for it.
    pub(crate) end_us: u64,
    /// Number of the exchange within the recorded session: skipped ones leave gaps.
    pub(crate) index: u32,
    /// Connection of its own session; `None`: any of the pool.
    pub(crate) lane: Option<u16>,
    /// No later step uses that lane.
    pub(crate) last_on_lane: bool,
    /// Index into the plan's routes.
    pub(crate) route: u16,
    /// Recorded status; 0 where no answer was seen.
    pub(crate) status: u16,
    /// The answer has no body whatever its header says.
    pub(crate) is_head: bool,
    /// What the recorded answer took, for streams that outlast any patience.
    pub(crate) duration_us: u64,
    /// Hash of method, target and length of body.
    pub(crate) what: u64,
    /// Route before it has a number.
    pub(crate) route_name: String,
    /// The bytes to send.
    pub(crate) template: Template,
}

impl Program {
    /// The program of a session; `None` when nothing of it can be replayed.
    pub(crate) fn from_session(
        session: &Session,
        wanted: &Wanted,
        skipped: &mut BTreeMap<&'static str, u64>,
    ) -> Option<Program> {
        let starts = spread(session, wanted.seed);
        let mut kept: Vec<(u32, u64, &Exchange)> = Vec::with_capacity(session.exchanges.len());
        for (index, (exchange, start)) in session.exchanges.iter().zip(starts).enumerate() {
            match why_not(exchange) {
                Some(why) => *skipped.entry(why).or_default() += 1,
                None => kept.push((index as u32, start, exchange)),
            }
        }
        kept.sort_by_key(|(index, start, _)| (*start, *index));
        let begin = kept.first()?.1;
        let ends = ends(&kept);
        let mut issued: Vec<Vec<u8>> = Vec::new();
        let mut steps: Vec<Step> = Vec::with_capacity(kept.len());
        for ((index, start, exchange), end) in kept.iter().zip(ends) {
            let template = Template::new(exchange, &issued, &wanted.rewrite);
            steps.push(Step {
                offset_us: start - begin,
                end_us: end - begin,
                index: *index,
                lane: None,
                last_on_lane: false,
                route: 0,
                status: exchange.response.as_ref().map_or(0, |response| response.status),
                is_head: exchange.request.method == "HEAD",
                duration_us: exchange.duration_us.unwrap_or(0),
                what: what(exchange),
                route_name: routes::name(&exchange.request.method, exchange.request.path()),
                template,
            });
            note_issued(exchange, &mut issued);
        }
        if wanted.connections == Connections::Recorded {
            let connections: Vec<Option<u64>> =
                kept.iter().map(|(_, _, exchange)| exchange.connection).collect();
            assign_lanes(&mut steps, &connections);
        }
        Some(Program { session: session.id.0, start_us: begin, window_us: 0, clones: 1, steps })
    }

    /// From its start to the end of its last answer, in microseconds.
    pub(crate) fn length_us(&self) -> u64 {
        self.steps.iter().map(|step| step.end_us.max(step.offset_us)).max().unwrap_or(0)
    }

    /// The recorded session.
    pub(crate) fn session(&self) -> u64 {
        self.session
    }

    /// How many steps it has.
    pub(crate) fn len(&self) -> u32 {
        self.steps.len() as u32
    }

    /// The step `index`, below [`Program::len`].
    pub(crate) fn step(&self, index: u32) -> &Step {
        &self.steps[index as usize]
    }

    /// Whether step `next` must wait for `flying`, an earlier step that is still in flight.
    pub(crate) fn waits_for(&self, next: u32, flying: u32) -> bool {
        self.step(flying).end_us <= self.step(next).offset_us
    }
}

impl Step {
    /// Due, in microseconds after the session's start.
    pub(crate) fn offset_us(&self) -> u64 {
        self.offset_us
    }

    /// Number of the exchange within the recorded session.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// Connection of its own session; `None`: any of the pool.
    pub(crate) fn lane(&self) -> Option<u16> {
        self.lane
    }

    /// Whether no later step uses its lane.
    pub(crate) fn is_last_on_lane(&self) -> bool {
        self.last_on_lane
    }

    /// Index into the plan's routes.
    pub(crate) fn route(&self) -> u16 {
        self.route
    }

    /// Recorded status; 0 where no answer was seen.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Whether the answer has no body whatever its header says.
    pub(crate) fn is_head(&self) -> bool {
        self.is_head
    }

    /// What the recorded answer took, in microseconds.
    pub(crate) fn duration_us(&self) -> u64 {
        self.duration_us
    }

    /// Path of the request, without its query.
    pub(crate) fn path(&self) -> &[u8] {
        self.template.path()
    }

    /// What was recorded of the body.
    pub(crate) fn body(&self) -> &bytes::Bytes {
        &self.template.body
    }

    /// Bytes of the body that were not recorded, sent as spaces.
    pub(crate) fn filler(&self) -> u64 {
        self.template.filler
    }

    /// Writes the whole head for one attempt.
    pub(crate) fn write_head(
        &self,
        out: &mut Vec<u8>,
        sender: template::Sender<'_>,
        jar: Option<&cookies::Jar>,
        attempt: u32,
    ) {
        self.template.write_head(out, sender, jar, attempt);
    }
}

/// Why an exchange is not replayed as organic traffic.
fn why_not(exchange: &Exchange) -> Option<&'static str> {
    let switched = exchange.response.as_ref().is_some_and(|response| response.status == 101);
    if exchange.request.method == "CONNECT" {
        Some("connect")
    } else if !template::is_token(exchange.request.method.as_bytes()) {
        Some("bad_method")
    } else if switched
        || exchange.notes.contains(Notes::UPGRADED)
        || exchange.notes.contains(Notes::WEBSOCKET)
    {
        Some("upgrade")
    } else if exchange.notes.contains(Notes::REPLAYED) {
        Some("replayed")
    } else if !exchange.faults.is_empty() {
        Some("faulted")
    } else if exchange.notes.contains(Notes::FROM_CACHE) {
        Some("from_cache")
    } else {
        None
    }
}

/// Start times; those that are only known to the second are spread within it, in order, by the seed.
fn spread(session: &Session, seed: u64) -> Vec<u64> {
    let exchanges = &session.exchanges;
    let mut starts: Vec<u64> = exchanges.iter().map(|exchange| exchange.start_us).collect();
    let coarse = |exchange: &Exchange| {
        exchange.duration_us.is_none()
            && (exchange.notes.contains(Notes::COARSE_TIME) || exchange.start_us.is_multiple_of(SECOND_US))
    };
    let mut from = 0;
    while from < exchanges.len() {
        let second = exchanges[from].start_us;
        let same = exchanges[from..].iter().take_while(|e| e.start_us == second && coarse(e)).count();
        for place in 0..same {
            let jitter = unit(prf(seed, Lane::Spread, [session.id.0, (from + place) as u64, 0]));
            starts[from + place] += ((place as f64 + jitter) / same as f64 * SECOND_US as f64) as u64;
        }
        from += same.max(1);
    }
    starts
}

/// When each exchange counts as ended. Without a duration it ends when the next begins: such a log is serial.
fn ends(kept: &[(u32, u64, &Exchange)]) -> Vec<u64> {
    let mut ends: Vec<u64> = Vec::with_capacity(kept.len());
    let mut last_on: BTreeMap<u64, usize> = BTreeMap::new();
    for (place, (_, start, exchange)) in kept.iter().enumerate() {
        let next = kept.get(place + 1).map_or(*start, |next| next.1);
        let known = exchange.duration_us.filter(|_| exchange.response.is_some());
        // The recorder notes an end a little after the client has seen it and gone on.
        ends.push(known.map_or(next, |duration| start.saturating_add(duration - SLACK_US.min(duration / 4))));
        let one_at_a_time = matches!(exchange.protocol, Protocol::Http10 | Protocol::Http11);
        if let (Some(connection), true) = (exchange.connection, one_at_a_time)
            && let Some(before) = last_on.insert(connection, place)
        {
            ends[before] = ends[before].min(*start);
        }
    }
    ends
}

/// One lane for each recorded connection, and one more wherever a multiplexed one carried several at once.
fn assign_lanes(steps: &mut [Step], connections: &[Option<u64>]) {
    let mut lanes: Vec<(u64, u64, usize)> = Vec::new(); // connection, busy until, last step
    for (place, connection) in connections.iter().enumerate() {
        let Some(connection) = *connection else { continue };
        let (start, end) = (steps[place].offset_us, steps[place].end_us);
        let free = lanes.iter().position(|(owner, until, _)| *owner == connection && *until <= start);
        let lane = free.unwrap_or(lanes.len());
        let Ok(number) = u16::try_from(lane) else { continue };
        if free.is_none() {
            lanes.push((connection, end, place));
        } else {
            lanes[lane] = (connection, end, place);
        }
        steps[place].lane = Some(number);
    }
    for (_, _, last) in lanes {
        steps[last].last_on_lane = true;
    }
}

fn what(exchange: &Exchange) -> u64 {
    let target = xxh3_64_with_seed(exchange.request.target.as_bytes(), exchange.request.body.len);
    xxh3_64_with_seed(exchange.request.method.as_bytes(), target)
}

fn note_issued(exchange: &Exchange, issued: &mut Vec<Vec<u8>>) {
    let Some(response) = &exchange.response else { return };
    for name in response.headers.get_all("set-cookie").filter_map(cookies::set_name) {
        if !issued.iter().any(|known| known == name) {
            issued.push(name.to_vec());
        }
    }
}

const SECOND_US: u64 = 1_000_000;
/// How much later than the client a recorder may note the end of an answer.
const SLACK_US: u64 = 1_000;
