//! Everything that changes an answer (or a request's body) on its way: `throttle`, `stall`, `loss`, `corrupt`, a delay
//! at `first_byte`, and the ends inside an answer: `truncate`, `reset` behind its header, `websocket_close`.
//!
//! Client: the same bytes, later or changed; or exactly the bytes before the end, then RST or FIN (RST_STREAM or
//! END_STREAM on HTTP/2), with the promised length as it was. Upstream: sees a reader that is as slow, or that goes
//! away. Bound: one buffer of pingora's and one of ours a direction wait, no more; whoever writes waits with them. What an
//! HTTP/2 answer holds counts in `--max-buffered`; with seven eighths of that taken it passes unshaped, `buffered`.
//! Client leaves first: what waits ends at once, `client_gone`. Upstream dies first: what it sent goes out at its pace,
//! then the answer is torn off as it would have been. Rule removed first: what waits goes on unshaped at once.
//! Answer without such a place: passes whole, `no_such_point`.
//!
//! HTTP/1 is shaped by the connection's stream (`conn/shaped.rs`), HTTP/2 by the session under pingora (`downstream/`).

use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use fault_rules::Action;
use fault_rules::action::{Direction, End, Reset};
use fault_rules::decide::Why;
use fault_rules::delay::{At, Mode, Wait};
use fault_rules::shape::{Payload, Shape};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode};
use pingora_error::{Error, Result as PingoraResult};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use smallvec::SmallVec;

use super::events::Events;
use super::shaping::{Cutoff, Shaping, SharedShaping};
use super::{drop_response, goaway, websocket_close};
use crate::conn::InboundOrder;
use crate::downstream::{Downstream, Slot};
use crate::exchange::{Became, Exchange, Open, stream_kind};
use crate::shared::Shared;

/// What an exchange that goes to the upstream will be shaped by.
#[derive(Default)]
pub(crate) struct Shapes {
    /// Places in the plan of faults that act on the answer, or on what the client sends, in file order.
    pub(super) planned: SmallVec<[usize; 2]>,
    request: Option<SharedShaping>,
    answer: Option<SharedShaping>,
    /// Where the session under pingora finds what is to happen to the answer, once that is known.
    slot: Option<Arc<Slot>>,
    /// A part that ends the answer by other means: place in the plan.
    pub(super) cut_by: Option<usize>,
    /// A part that wants the answer lost: place in the plan.
    lost_to: Option<usize>,
}

/// Notes a fault for later: it acts on the answer, or on the body of the request.
pub(super) fn plan(open: &mut Open, part: usize) {
    open.shapes.planned.push(part);
}

/// The request goes to the upstream: puts what the client sends under its shapes, and on HTTP/2 a session of our own
/// under pingora.
pub(crate) fn begin(session: &mut Session, exchange: &mut Exchange) {
    let shared = exchange.shared.clone();
    let Some(open) = exchange.get() else { return };
    let delayed = open.plan.delays(At::FirstByte).next().is_some();
    if open.shapes.planned.is_empty() && !delayed {
        return;
    }
    let request = shape_request(session, open, &shared);
    open.tell_root();
    if open.http2 {
        let slot = Arc::new(Slot::default());
        open.shapes.slot = Some(slot.clone());
        Downstream::put_under(session, (open.ctl.clone(), shared), request, slot);
    }
}

fn shape_request(session: &mut Session, open: &mut Open, shared: &Arc<Shared>) -> Option<SharedShaping> {
    let bodyless = session.is_body_empty() && !session.is_upgrade_req();
    let headers = &session.req_header().headers;
    let length = if bodyless { Some(0) } else { length_of(headers) };
    let chunked = headers.contains_key(TRANSFER_ENCODING);
    let payload = Payload { direction: Direction::Request, length, events: false };
    let mut shaping = Shaping::new(shared);
    for part in open.shapes.planned.clone() {
        let Some(action) = open.plan.parts[part].action(&open.live) else { continue };
        match Shape::of(action, &payload) {
            Ok(None) => {}
            Ok(Some(shape)) => {
                let (rule, key) = open.plan.parts[part].source(&open.live);
                shaping.add(part, rule, (shape, key), None);
                open.plan.parts[part].became = Became::Applied(std::time::Duration::ZERO);
            }
            Err(why) if !is_about_answer(action) => open.plan.parts[part].became = Became::Suppressed(why),
            Err(_) => {}
        }
    }
    if shaping.is_empty() {
        return None;
    }
    let shaping = Arc::new(Mutex::new(shaping));
    session.set_read_timeout(None); // whoever is read slowly does not pause by itself
    open.shapes.request = Some(shaping.clone());
    if !open.http2 {
        open.ctl.shape_request(InboundOrder { shaping: shaping.clone(), chunked });
    }
    Some(shaping)
}

/// The origin's answer has a header: decides what will happen to it. Marks the rules as having touched the exchange.
pub(crate) fn resolve(session: &mut Session, exchange: &mut Exchange, answer: &ResponseHeader) {
    let shared = exchange.shared.clone();
    let Some(open) = exchange.get() else { return };
    let delays: SmallVec<[(usize, Wait); 2]> = open.plan.delays(At::FirstByte).collect();
    if open.shapes.planned.is_empty() && delays.is_empty() {
        return;
    }
    let kind = stream_kind(answer.status, &answer.headers);
    let payload = Payload {
        direction: Direction::Response,
        length: answer_length(&session.req_header().method, answer),
        events: kind.is_some(),
    };
    let mut shaping = Shaping::new(&shared);
    delay_first_byte(open, &mut shaping, &delays, &payload);
    let mut decided = false;
    for part in open.shapes.planned.clone() {
        let live = open.live.clone();
        let Some(action) = open.plan.parts[part].action(&live) else { continue };
        let is_ours = match open.plan.parts[part].became {
            Became::Open => true,
            Became::Applied(_) => is_about_answer(action), // its other half acts on the request
            Became::Suppressed(_) | Became::NotMeant => false,
        };
        if !is_ours {
            continue;
        }
        let why = if !shared.rules.holds(&live.ids[open.plan.parts[part].rule]) {
            Err(Why::Lifted)
        } else if decided && action.is_terminal() {
            Err(Why::EarlierTerminal)
        } else {
            apply(session, open, (part, action), (&payload, answer.status), &mut shaping)
        };
        decided |= why.is_ok() && action.is_terminal();
        match (why, open.plan.parts[part].became) {
            (Ok(()), _) => open.plan.parts[part].became = Became::Applied(open.started.elapsed()),
            (Err(why), Became::Open) => open.plan.parts[part].became = Became::Suppressed(why),
            (Err(_), _) => {}
        }
    }
    shaping.find_events(kind.map(Events::of));
    if !shaping.is_empty() {
        open.shapes.answer = Some(Arc::new(Mutex::new(shaping)));
    }
}

/// One fault, now that the answer is known.
fn apply(
    session: &mut Session,
    open: &mut Open,
    (part, action): (usize, &Action),
    (payload, status): (&Payload, StatusCode),
    shaping: &mut Shaping,
) -> Result<(), Why> {
    let upgraded = status == StatusCode::SWITCHING_PROTOCOLS;
    match action {
        Action::Goaway(goaway) => {
            goaway::say(session, open, part, *goaway);
            return Ok(());
        }
        Action::DropResponse(_) if upgraded => return Err(Why::WrongProtocol),
        Action::DropResponse(_) => {
            (open.shapes.cut_by, open.shapes.lost_to) = (Some(part), Some(part));
            return Ok(());
        }
        Action::WebsocketClose(_) if !(upgraded && payload.events) => return Err(Why::WrongProtocol),
        _ => {}
    }
    let Some(shape) = Shape::of(action, payload)? else { return Err(Why::WrongProtocol) };
    let (rule, key) = open.plan.parts[part].source(&open.live);
    shaping.add(part, rule, (shape, key), cutoff(action));
    Ok(())
}

/// Hands what was decided to whatever writes the answer. Where that is to be lost a session of our own takes it.
///
/// # Errors
/// An end that a rule wanted: the connection goes before this answer. Or the header of another answer cannot be built: a
/// bug.
pub(crate) fn arm(session: &mut Session, exchange: &mut Exchange) -> PingoraResult<()> {
    let shared = exchange.shared.clone();
    let Some(open) = exchange.get() else { return Ok(()) };
    if let Some(part) = open.shapes.lost_to {
        let live = open.live.clone();
        let Some(Action::DropResponse(drop)) = open.plan.parts[part].action(&live) else { return Ok(()) };
        let (rule, _) = open.plan.parts[part].source(&live);
        let swallow = drop_response::swallow(drop, open, rule)?;
        let slot = open.shapes.slot.get_or_insert_default().clone();
        slot.lose(swallow);
        if !open.http2 {
            Downstream::put_under(session, (open.ctl.clone(), shared), None, slot);
        }
        return Ok(());
    }
    if open.shapes.cut_by.is_some() {
        return Err(Error::new(super::INJECTED));
    }
    let Some(shaping) = open.shapes.answer.clone() else { return Ok(()) };
    match &open.shapes.slot {
        Some(slot) => slot.shape(shaping),
        None => open.ctl.shape_answer(shaping),
    }
    Ok(())
}

fn delay_first_byte(open: &mut Open, shaping: &mut Shaping, delays: &[(usize, Wait)], payload: &Payload) {
    for (part, wait) in delays {
        if payload.length == Some(0) {
            open.plan.parts[*part].became = Became::Suppressed(Why::NoSuchPoint);
            continue;
        }
        let time = match wait.mode {
            Mode::Add => wait.time,
            Mode::Floor => wait.time.saturating_sub(open.started.elapsed()),
        };
        if time.is_zero() && wait.mode == Mode::Floor {
            open.plan.parts[*part].became = Became::Suppressed(Why::LateEnough);
            continue;
        }
        let (rule, key) = open.plan.parts[*part].source(&open.live);
        shaping.add(*part, rule, (Shape::FirstByte(time), key), None);
        open.plan.parts[*part].became = Became::Applied(time);
    }
}

impl Shapes {
    /// The part that ended the answer before its time.
    pub(crate) fn ended_by(&self) -> Option<usize> {
        let by_shape = self.answer.as_ref().and_then(|shaping| crate::sync::lock(shaping).ended_by());
        by_shape.or(self.cut_by)
    }

    /// The part that holds bytes back at this moment, and since when.
    pub(crate) fn held(&self) -> Option<(usize, Instant)> {
        [&self.answer, &self.request]
            .into_iter()
            .flatten()
            .find_map(|shaping| crate::sync::lock(shaping).held())
    }

    /// What became of each shaped part: its place in the plan, and why where nothing was `otherwise`.
    pub(crate) fn outcomes(&self, otherwise: Why) -> SmallVec<[(usize, Became); 2]> {
        let mut outcomes = SmallVec::<[(usize, Became); 2]>::new();
        for shaping in [&self.request, &self.answer].into_iter().flatten() {
            let shaping = crate::sync::lock(shaping);
            for part in shaping.parts() {
                let (outcome, let_go) = shaping.outcome(part);
                let became = match outcome.reached {
                    true => Became::Applied(outcome.waited),
                    false => Became::Suppressed(let_go.unwrap_or(otherwise)),
                };
                match (outcomes.iter_mut().find(|(known, _)| *known == part), became) {
                    (None, became) => outcomes.push((part, became)),
                    (Some((_, Became::Applied(sum))), Became::Applied(more)) => *sum += more,
                    (Some((_, known)), Became::Applied(_)) => *known = became,
                    (Some(_), _) => {}
                }
            }
        }
        outcomes
    }
}

/// How an answer ends by a fault, if it does.
fn cutoff(action: &Action) -> Option<Cutoff> {
    match action {
        Action::Reset(reset) => Some(Cutoff::Reset { code: reset.code, connection: reset.connection }),
        Action::Truncate(_) => Some(Cutoff::Close),
        Action::Stall(stall) => stall.end.map(|end| match end {
            End::Reset => Cutoff::Reset { code: Reset::at(stall.at).code, connection: false },
            End::Close => Cutoff::Close,
        }),
        Action::WebsocketClose(close) => {
            Some(Cutoff::WebsocketClose(Bytes::from(websocket_close::frame(close))))
        }
        _ => None,
    }
}

fn is_about_answer(action: &Action) -> bool {
    match action {
        Action::Throttle(throttle) => throttle.response.is_some(),
        Action::Loss(loss) => loss.direction == Direction::Response,
        Action::Corrupt(corrupt) => corrupt.direction == Direction::Response,
        _ => true,
    }
}

/// Bytes of an answer's body, where they are promised.
fn answer_length(method: &Method, answer: &ResponseHeader) -> Option<u64> {
    let bodyless =
        *method == Method::HEAD || matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    match answer.status {
        _ if bodyless => Some(0),
        StatusCode::SWITCHING_PROTOCOLS => None,
        _ => length_of(&answer.headers),
    }
}

fn length_of(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
