//! From what the data path noted to what the capture holds.

use std::mem::MaybeUninit;

use captures::exchange::{Protocol, Request, Response};
use captures::messages::StreamKind;
use captures::notes::Notes;
use captures::{Body, Exchange};

use super::{Item, Keep, Kept};
use crate::exchange::{BodyCopy, Ending, is_event_stream, is_squall_header};
use crate::time::micros;

/// An edge as the capture names it.
#[derive(Debug, Clone)]
pub(crate) struct EdgeName {
    pub(crate) name: String,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
}

/// Writes an item over what `exchange` was before, in the room that it has: making and letting go of a dozen pieces of
/// memory would cost an exchange more than its compression. `None` where the header is no HTTP (the parser above would have
/// refused it).
pub(super) fn fill(exchange: &mut Exchange, item: &Item, edges: &[EdgeName], kept: Kept) -> Option<()> {
    let edge = edges.get(item.edge)?;
    // 8 KB, of which a few hundred bytes are used
    let mut fields = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut []);
    parsed.parse_with_uninit_headers(item.heads.request(), &mut fields).ok()?;
    let request = &mut exchange.request;
    request.headers.clear();
    request.authority.clear();
    write(&mut request.method, parsed.method?);
    write(&mut request.scheme, edge.scheme);
    write(&mut request.target, parsed.path?);
    request.body = body_of(&item.request_body, kept.request);
    for field in parsed.headers.iter() {
        let is_host = field.name.eq_ignore_ascii_case("host");
        if is_host && request.authority.is_empty() {
            request.authority.push_str(&String::from_utf8_lossy(field.value));
        }
        // on HTTP/2 the host line is ours: it stands for `:authority`
        if !(is_squall_header(field.name) || is_host && item.http2) {
            request.headers.push(field.name, field.value);
        }
    }
    origin_form(request);
    exchange.protocol = match (item.http2, parsed.version) {
        (true, _) => Protocol::Http2,
        (false, Some(0)) => Protocol::Http10,
        (false, _) => Protocol::Http11,
    };
    write(&mut exchange.edge, &edge.name);
    exchange.session = item.session;
    exchange.connection = Some(item.ctl.id);
    exchange.start_us = item.start_us;
    fill_answer(&mut exchange.response, item, kept.response);
    exchange.ttfb_us = item.answer.ttfb.map(micros);
    exchange.duration_us = Some(micros(item.duration));
    exchange.faults.clear();
    exchange.faults.extend(item.faults.iter().map(ToString::to_string));
    exchange.notes = notes_of(item, exchange.response.as_ref(), kept);
    exchange.stream = item.stream.as_ref().map(|log| log.stream().clone());
    Some(())
}

/// Lets go of what an exchange held of one that is written, but for a little room for the next.
pub(super) fn empty(exchange: &mut Exchange) {
    exchange.request.body = Body::default();
    exchange.stream = None;
    let mut held = exchange.request.target.len() + exchange.request.headers.byte_len();
    if let Some(response) = &mut exchange.response {
        response.body = Body::default();
        held += response.headers.byte_len();
    }
    if MOST_ROOM < held {
        *exchange = Exchange::default();
    }
}

fn write(place: &mut String, text: &str) {
    place.clear();
    place.push_str(text);
}

/// What the recording wants of a body; a rule may have had more of it kept.
fn body_of(copy: &BodyCopy, keep: Keep) -> Body {
    let (len, hash) = (copy.len(), copy.hash().filter(|_| keep.hash));
    let kept = copy.kept().min(keep.limit);
    let is_kept = 0 < kept && (!keep.whole_only || copy.is_whole() && kept as u64 == len);
    Body { len, hash, data: is_kept.then(|| copy.bytes().slice(..kept)) }
}

fn fill_answer(place: &mut Option<Response>, item: &Item, keep: Keep) {
    let answer = &item.answer;
    if answer.status == 0 {
        *place = None;
        return;
    }
    let response = place.get_or_insert_default();
    response.status = answer.status;
    response.headers.clear();
    item.heads.answer().for_each(|(name, value)| response.headers.push(name, value));
    response.body = body_of(&item.answer_body, keep);
}

fn notes_of(item: &Item, response: Option<&Response>, kept: Kept) -> Notes {
    let mut notes = Notes::NONE;
    let mut note = |on: bool, flag: Notes| {
        if on {
            notes.insert(flag);
        }
    };
    let answer = &item.answer;
    note(answer.lossy, Notes::LOSSY);
    note(answer.upgraded, Notes::UPGRADED);
    note(answer.own, Notes::PROXY_ANSWER);
    note(item.replayed, Notes::REPLAYED);
    note(!is_there(&item.request_body, kept.request), Notes::REQUEST_TRUNCATED);
    let wants_answers = 0 < kept.response.limit && answer.status != 0 && !answer.own && !answer.upgraded;
    note(wants_answers && !is_there(&item.answer_body, kept.response), Notes::RESPONSE_TRUNCATED);
    note(matches!(item.ending, Ending::ClientGone | Ending::ClientGoneAfter), Notes::CLIENT_GONE);
    note(matches!(item.ending, Ending::UpstreamUnreachable | Ending::UpstreamFailed), Notes::UPSTREAM_FAILED);
    let kind = response.and_then(|response| response.headers.get("content-type"));
    note(kind.is_some_and(is_event_stream), Notes::STREAM);
    if let Some(stream) = item.stream.as_ref().map(|log| log.stream()) {
        let is_call = stream.count(true) <= 1 && stream.count(false) <= 1;
        note(stream.kind == StreamKind::WebSocket, Notes::WEBSOCKET);
        note(stream.kind == StreamKind::Grpc && !is_call, Notes::STREAM);
    }
    notes
}

/// Whether all of a body is recorded.
fn is_there(copy: &BodyCopy, keep: Keep) -> bool {
    copy.is_whole() && copy.kept() <= keep.limit
}

/// `GET http://host/path` (what a forward proxy is sent) becomes `GET /path` with its authority.
fn origin_form(request: &mut Request) {
    let Some((_, rest)) = request.target.split_once("://").filter(|_| !request.target.starts_with('/'))
    else {
        return;
    };
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    request.authority = authority.to_owned();
    request.target = path.to_owned();
}

/// What is larger is not kept for the next exchange, in bytes of its target and its header fields.
const MOST_ROOM: usize = 16 << 10;
/// As many as pingora's parser takes.
const MAX_HEADERS: usize = 256;
