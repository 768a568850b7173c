//! A recorded session as the steps of a program.

use std::collections::BTreeMap;

use captures::exchange::Protocol;
use captures::links::typed_password;
use captures::messages::StreamKind;
use captures::notes::Notes;
use captures::{Body, Exchange, Session};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::cookies;
use crate::drift::Recorded;
use crate::identity::{Lane, prf, unit};
use crate::plan::compile::gaps::Cuts;
use crate::plan::compile::select::{self, Subject};
use crate::plan::compile::{Draft, Skipped, StepDraft, lanes, links};
use crate::plan::program::Kind;
use crate::plan::substitute::Rules;
use crate::plan::template::{self, Own, Style, Template};
use crate::plan::{Wanted, routes};
use crate::population::identity_word;
use crate::stream::script;
use crate::{misbehave, retry};

/// An exchange that is replayed: its number in the session, its start, what was recorded.
type Kept<'a> = (u32, u64, &'a Exchange);

/// The program of a session; `None` when nothing of it can be replayed.
pub(super) fn draft(
    session: &Session,
    source: u16,
    (wanted, style): (&Wanted, Style<'_>),
    skipped: &mut Skipped,
) -> Option<Draft> {
    let kept = kept(session, (source, wanted), skipped);
    let begin = kept.first()?.1;
    let ends = ends(&kept);
    let cuts = cuts(&kept, wanted.max_gap_us);
    let exchanges: Vec<&Exchange> = kept.iter().map(|(_, _, exchange)| *exchange).collect();
    let mut carries = links::resolve(&exchanges, &wanted.links, style.rules);
    note_logins(&exchanges, style.rules, skipped);
    let mut issued: Vec<Vec<u8>> = Vec::new();
    let mut steps: Vec<StepDraft> = Vec::with_capacity(kept.len());
    for (place, ((index, start, exchange), end)) in kept.iter().zip(ends).enumerate() {
        let carry = std::mem::take(&mut carries[place]);
        let script = script::write(exchange, style.http2);
        let own = Own { issued: &issued, uses: &carry.uses };
        let template = template(exchange, script.is_paced, own, style);
        skipped.unreadable += u64::from(template.unreadable);
        steps.push(StepDraft {
            offset_us: cuts.moved(*start) - begin,
            end_us: cuts.moved(end) - begin,
            index: *index,
            lane: None,
            last_on_lane: false,
            status: exchange.response.as_ref().map_or(0, |response| response.status),
            is_head: exchange.request.method == "HEAD",
            is_replayable: is_replayable(exchange),
            submits: misbehave::submits(&exchange.request.method),
            duration_us: exchange.duration_us.unwrap_or(0),
            kind: if script.bytes.is_empty() { Kind::Exchange } else { Kind::Stream },
            what: what(exchange),
            route_name: routes::name(&exchange.request.method, exchange.request.path()),
            stream: script.bytes,
            links: carry.block,
            answer: exchange
                .response
                .as_ref()
                .map(|response| Recorded::of_body(&response.body))
                .unwrap_or_default(),
            template,
        });
        note_issued(exchange, &mut issued);
    }
    let connections: Vec<Option<u64>> = kept.iter().map(|(_, _, exchange)| exchange.connection).collect();
    lanes::assign(&mut steps, &connections, wanted.connections, wanted.http2);
    let session = identity_word(source, session.id.0);
    Some(Draft { session, source, start_us: begin, http2: wanted.http2, steps })
}

/// What is replayed of a session, by start.
fn kept<'a>(session: &'a Session, (source, wanted): (u16, &Wanted), skipped: &mut Skipped) -> Vec<Kept<'a>> {
    let mut kept: Vec<Kept<'a>> = Vec::with_capacity(session.exchanges.len());
    let starts = spread(session, wanted.seed);
    for (index, (exchange, start)) in session.exchanges.iter().zip(starts).enumerate() {
        match why_not(exchange, wanted.http2).or_else(|| not_selected(exchange, source, wanted)) {
            Some(why) => *skipped.reasons.entry(why).or_default() += 1,
            None => kept.push((index as u32, start, exchange)),
        }
    }
    kept.sort_by_key(|(index, start, _)| (*start, *index));
    kept
}

fn not_selected(exchange: &Exchange, source: u16, wanted: &Wanted) -> Option<&'static str> {
    if wanted.only.is_empty() && wanted.exclude.is_empty() {
        return None;
    }
    let (method, path) = (exchange.request.method.as_str(), exchange.request.path());
    let route = routes::name(method, path);
    let session = exchange.session.0;
    let word = identity_word(source, session);
    let subject = Subject { session, word, route: &route, method, path };
    (!select::is_wanted(&wanted.only, &wanted.exclude, subject)).then_some("not_selected")
}

/// The request as it is sent; what it says message by message is not in its body.
fn template(exchange: &Exchange, is_paced: bool, own: Own<'_>, style: Style<'_>) -> Template {
    if !is_paced {
        return Template::new(exchange, own, style);
    }
    let mut head = exchange.clone();
    head.request.body = Body::default();
    Template::new(&head, own, style)
}

/// Why an exchange is not replayed as organic traffic.
fn why_not(exchange: &Exchange, http2: bool) -> Option<&'static str> {
    let is_socket = exchange.stream.as_ref().is_some_and(|stream| stream.kind == StreamKind::WebSocket);
    let switched = exchange.response.as_ref().is_some_and(|response| response.status == 101);
    if exchange.request.method == "CONNECT" {
        Some("connect")
    } else if !template::is_token(exchange.request.method.as_bytes()) {
        Some("bad_method")
    } else if !is_socket
        && (switched || exchange.notes.contains(Notes::UPGRADED) || exchange.notes.contains(Notes::WEBSOCKET))
    {
        Some("upgrade")
    } else if exchange.notes.contains(Notes::REPLAYED) {
        Some("replayed")
    } else if !exchange.faults.is_empty() {
        Some("faulted")
    } else if exchange.notes.contains(Notes::FROM_CACHE) {
        Some("from_cache")
    } else if is_socket && http2 {
        Some("websocket_over_http2")
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
fn ends(kept: &[Kept<'_>]) -> Vec<u64> {
    let mut ends: Vec<u64> = Vec::with_capacity(kept.len());
    let mut last_on: BTreeMap<u64, usize> = BTreeMap::new();
    for (place, (_, start, exchange)) in kept.iter().enumerate() {
        let next = kept.get(place + 1).map_or(*start, |next| next.1);
        ends.push(known_end(*start, exchange).unwrap_or(next));
        let one_at_a_time = matches!(exchange.protocol, Protocol::Http10 | Protocol::Http11);
        if let (Some(connection), true) = (exchange.connection, one_at_a_time)
            && let Some(before) = last_on.insert(connection, place)
        {
            ends[before] = ends[before].min(*start);
        }
    }
    ends
}

/// The recorder notes an end a little after the client has seen it and gone on.
fn known_end(start: u64, exchange: &Exchange) -> Option<u64> {
    let duration = exchange.duration_us.filter(|_| exchange.response.is_some())?;
    Some(start.saturating_add(duration - SLACK_US.min(duration / 4)))
}

fn cuts(kept: &[Kept<'_>], max_gap_us: Option<u64>) -> Cuts {
    let Some(most) = max_gap_us else { return Cuts::default() };
    let end = |start: u64, exchange: &Exchange| start.saturating_add(exchange.duration_us.unwrap_or(0));
    let interval = |(_, start, exchange): &Kept<'_>| (*start, end(*start, exchange));
    Cuts::new(kept.iter().map(interval), most)
}

/// Whether a careful client sends the request again (RFC 9110, 9.2.2, and the usual idempotency keys).
fn is_replayable(exchange: &Exchange) -> bool {
    let keyed = ["idempotency-key", "x-idempotency-key"];
    retry::is_idempotent(&exchange.request.method)
        || keyed.iter().any(|name| exchange.request.headers.get(name).is_some())
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

/// Notes logins that cannot work: with a password of which the capture holds a pseudonym only, for an account that the
/// session did not make with the same one, and that no `--set` replaces.
fn note_logins(exchanges: &[&Exchange], rules: &Rules, skipped: &mut Skipped) {
    let mut known: Vec<Vec<u8>> = Vec::new();
    for exchange in exchanges {
        let Some(typed) = typed_password(&exchange.request) else { continue };
        if !typed.is_sign_up && !known.contains(&typed.pseudonym) && !rules.sets(&typed.slot) {
            let route = routes::name(&exchange.request.method, exchange.request.path());
            *skipped.logins.entry(route).or_default() += 1;
        }
        known.push(typed.pseudonym);
    }
}

const SECOND_US: u64 = 1_000_000;
/// How much later than the client a recorder may note the end of an answer.
const SLACK_US: u64 = 1_000;
