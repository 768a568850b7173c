//! From what the data path noted to what the capture holds.

use std::mem::MaybeUninit;

use captures::exchange::{Protocol, Request, Response};
use captures::messages::StreamKind;
use captures::notes::Notes;
use captures::{Body, Exchange, Headers};

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

/// `None` where the header is no HTTP (the parser above would have refused it).
pub(super) fn exchange(item: &Item, edges: &[EdgeName], kept: Kept) -> Option<Exchange> {
    let edge = edges.get(item.edge)?;
    // 8 KB, of which a few hundred bytes are used
    let mut fields = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut []);
    parsed.parse_with_uninit_headers(&item.head, &mut fields).ok()?;
    let mut request = Request {
        method: parsed.method?.to_owned(),
        scheme: edge.scheme.to_owned(),
        authority: String::new(),
        target: parsed.path?.to_owned(),
        headers: Headers::with_capacity(parsed.headers.len()),
        body: body_of(&item.request_body, kept.request),
    };
    for field in parsed.headers.iter() {
        let is_host = field.name.eq_ignore_ascii_case("host");
        if is_host && request.authority.is_empty() {
            request.authority = String::from_utf8_lossy(field.value).into_owned();
        }
        // on HTTP/2 the host line is ours: it stands for `:authority`
        if !(is_squall_header(field.name) || is_host && item.http2) {
            request.headers.push(field.name, field.value);
        }
    }
    origin_form(&mut request);
    let protocol = match (item.http2, parsed.version) {
        (true, _) => Protocol::Http2,
        (false, Some(0)) => Protocol::Http10,
        (false, _) => Protocol::Http11,
    };
    Some(Exchange {
        session: item.session,
        connection: Some(item.ctl.id),
        edge: edge.name.clone(),
        start_us: item.start_us,
        protocol,
        request,
        response: answer_of(item, kept.response),
        ttfb_us: item.answer.ttfb.map(micros),
        duration_us: Some(micros(item.duration)),
        faults: item.faults.iter().map(ToString::to_string).collect(),
        notes: notes_of(item, kept),
        stream: item.stream.as_ref().map(|log| log.stream().clone()),
    })
}

/// What the recording wants of a body; a rule may have had more of it kept.
fn body_of(copy: &BodyCopy, keep: Keep) -> Body {
    let (len, hash) = (copy.len(), copy.hash().filter(|_| keep.hash));
    let kept = copy.kept().min(keep.limit);
    let is_kept = 0 < kept && (!keep.whole_only || copy.is_whole() && kept as u64 == len);
    Body { len, hash, data: is_kept.then(|| copy.bytes().slice(..kept)) }
}

fn answer_of(item: &Item, keep: Keep) -> Option<Response> {
    let answer = &item.answer;
    (answer.status != 0).then(|| Response {
        status: answer.status,
        headers: answer.headers.clone(),
        body: body_of(&item.answer_body, keep),
    })
}

fn notes_of(item: &Item, kept: Kept) -> Notes {
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
    note(answer.headers.get("content-type").is_some_and(is_event_stream), Notes::STREAM);
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

/// As many as pingora's parser takes.
const MAX_HEADERS: usize = 256;
