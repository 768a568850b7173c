//! Pingora's hooks: where an exchange meets the rules, the books and the recording.
//!
//! The only module that speaks pingora's error type beyond passing it on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use fault_rules::delay::At;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, TRAILER};
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v1::server::HttpSession;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use crate::conn::{BodyFraming, Conn, ConnCtl, last_chunk};
use crate::downstream;
use crate::exchange::{
    Arrival, BELOW, ERROR, Exchange, FAULT, Heads, Open, SQUALL_HEADERS, bears_ours, stream_kind,
};
use crate::faults::copies::Copies;
use crate::faults::waiting::Woken;
use crate::faults::{self, INJECTED, Next, delay, duplicate, shape, stale, waiting};
use crate::limits::Met;
use crate::shared::Shared;

/// What a worker thread answers with.
pub(crate) struct Service {
    shared: Arc<Shared>,
    copies: Arc<Copies>,
}

impl Service {
    pub(crate) fn new(shared: Arc<Shared>, copies: Copies) -> Self {
        Service { shared, copies: Arc::new(copies) }
    }

    /// Sends the copies of a request that has just become whole, or was forwarded whole.
    fn duplicate(&self, open: &mut Open) {
        let launches = duplicate::due(open, &self.shared);
        if !launches.is_empty() {
            self.copies.launch(launches, &self.shared);
        }
    }
}

#[async_trait]
impl ProxyHttp for Service {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::new(self.shared.clone())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Exchange) -> Result<bool> {
        let Some(ctl) = ctl(session) else {
            return Error::e_explain(ErrorType::InternalError, "a connection without its control block");
        };
        if !session.is_http2() {
            ctl.frame(framing(session.req_header()));
        }
        let arrival = Arrival { ctl, http2: session.is_http2(), bodyless: session.is_body_done() };
        ctx.begin(session.req_header(), arrival);
        if let Some(open) = ctx.get() {
            open.keeps_alive = session.as_http1().is_some_and(HttpSession::will_keepalive);
        }
        if let Some(open) = ctx.get().filter(|open| open.is_recorded(&self.shared)) {
            open.keep_heads(heads(session));
        }
        // boxed, and only where there is something to do: pingora makes room for all of this for each request
        let next = match ctx.peek().is_some_and(|open| open.plan.is_open()) {
            true => Box::pin(faults::before_upstream(session, ctx)).await?,
            false => Next::Forward,
        };
        match next {
            Next::Forward => {
                self.shared.rules.shielded(|| shape::begin(session, ctx));
                Ok(false)
            }
            Next::Answered => Ok(true),
            Next::Dropped => Err(Error::new(INJECTED)),
            Next::ClientGone => Err(left()),
        }
    }

    async fn upstream_peer(&self, _: &mut Session, ctx: &mut Exchange) -> Result<Box<HttpPeer>> {
        let shared = ctx.shared.clone();
        let Some(open) = ctx.get() else {
            return Error::e_explain(ErrorType::InternalError, "an exchange that never began");
        };
        open.wait_for_room().await;
        open.restart();
        Ok(Box::new(open.peer(&shared)))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Exchange,
    ) -> Result<()> {
        if !self.shared.config.pass_squall_headers && bears_ours(&request.headers) {
            SQUALL_HEADERS.iter().for_each(|name| drop(request.remove_header(*name)));
        }
        if session.as_downstream().is_custom() {
            downstream::restore(session.req_header(), request)?;
        }
        if let Some(open) = ctx.get() {
            if let Some(parent) = open.traceparent(&self.shared) {
                request.insert_header("traceparent", parent)?;
            }
            if open.tries > 0 {
                open.unanswered += 1;
            }
            open.tries += 1;
            open.asked_at = Some(Instant::now());
            if open.is_copied() {
                open.forwarded = Some(Box::new(request.clone()));
            }
            self.duplicate(open);
        }
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Exchange,
    ) -> Result<()> {
        let Some(open) = ctx.get() else { return Ok(()) };
        if let Some(chunk) = body {
            open.note_request_body(chunk);
        }
        if end {
            // towards HTTP/1 pingora would make a last chunk of nothing, and then the last chunk: the next request would begin
            // with it
            *body = body.take().filter(|chunk| !chunk.is_empty());
            open.request_body.end();
            open.ctl.request_over();
            self.duplicate(open);
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        _: &mut Session,
        answer: &mut ResponseHeader,
        ctx: &mut Exchange,
    ) -> Result<()> {
        if is_interim(answer) {
            if ctx.peek().is_some_and(|open| open.http2) {
                self.shared.meets.note(Met::LostInterim); // pingora writes none on HTTP/2
            }
            return Ok(());
        }
        if let Some(open) = ctx.get() {
            open.answer.head(answer.status.as_u16(), open.elapsed());
            open.answer.streams = stream_kind(answer.status, &answer.headers).is_some();
            if answer.version == http::Version::HTTP_2 {
                open.answer.sized = length_of(answer);
            } else if answer.headers.contains_key(TRAILER) {
                open.answer.lose_trailers(); // pingora reads none of HTTP/1
                self.shared.meets.note(Met::LostTrailers);
            }
            open.answered(&self.shared);
            open.keeping = open.stale_key.and_then(|_| stale::begin(answer));
            if open.is_recorded(&self.shared) {
                open.keep_answer(answer, &self.shared);
            }
            if let Some(identity) = &mut open.identity {
                identity.who.id = self.shared.sessions.learn(identity, &answer.headers);
            }
        }
        if !self.shared.config.trust_upstream_squall && bears_ours(&answer.headers) {
            SQUALL_HEADERS.iter().for_each(|name| drop(answer.remove_header(*name)));
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        answer: &mut ResponseHeader,
        ctx: &mut Exchange,
    ) -> Result<()> {
        if is_interim(answer) {
            return Ok(());
        }
        if ctx.peek().is_some_and(|open| open.keeps_alive) {
            go_on_after_interim(session);
        }
        if answer.status == http::StatusCode::SWITCHING_PROTOCOLS {
            session.set_read_timeout(None); // the other protocol has pauses of its own
            if let Some(open) = ctx.peek() {
                open.ctl.frame(BodyFraming::Endless);
            }
        }
        if self.shared.is_draining() {
            session.set_keepalive(None);
        }
        if delay::wait(session, ctx, At::Response).await == Woken::ClientGone {
            return Err(left());
        }
        self.shared.rules.shielded(|| shape::resolve(session, ctx, answer));
        if let Some(ids) = ctx.peek().and_then(Open::fault_header) {
            answer.append_header(FAULT, ids)?;
        }
        if let Some(open) = ctx.peek() {
            open.tell_root();
            if let Some(ids) = open.below_header() {
                answer.append_header(BELOW, ids)?;
            }
        }
        shape::arm(session, ctx)
    }

    fn upstream_response_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Exchange,
    ) -> Result<Option<Duration>> {
        let Some(open) = ctx.get() else { return Ok(None) };
        if let Some(chunk) = body {
            open.note_answer_body(chunk);
        }
        if end {
            open.answer.end();
            open.ctl.answer_over();
        }
        Ok(None)
    }

    async fn response_trailer_filter(
        &self,
        session: &mut Session,
        trailers: &mut HeaderMap,
        ctx: &mut Exchange,
    ) -> Result<Option<Bytes>> {
        let Some(open) = ctx.get() else { return Ok(None) };
        if open.http2 || trailers.is_empty() {
            return Ok(None);
        }
        if takes_trailers(session.req_header()) && open.answer.sized.is_none() {
            open.ctl.trail(last_chunk(trailers));
        } else {
            open.answer.lose_trailers();
            self.shared.meets.note(Met::LostTrailers);
        }
        Ok(None)
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Exchange) {
        linger(session, ctx);
        let launches = ctx.settle(error);
        if !launches.is_empty() {
            self.copies.launch(launches, &self.shared);
        }
    }

    /// Nothing of the request was sent: it may wait for a descriptor, or another member may take it.
    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        ctx: &mut Exchange,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let Some(open) = ctx.get() else { return error };
        if open.waits_for_room(&error) {
            self.shared.meets.note(Met::OpenFiles);
            error.set_retry(true);
        } else if open.move_on(&self.shared) {
            error.set_retry(true);
        }
        error
    }

    /// Once a rule has touched an exchange it is never sent again: that would hide the fault.
    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut Exchange,
        reused: bool,
    ) -> Box<Error> {
        let mut error = error.more_context(format!("peer {peer}"));
        let touched =
            ctx.peek().is_some_and(|open| open.is_touched() || open.answer.origin_status().is_some());
        let repeatable = session.req_header().method.is_idempotent()
            && !session.as_ref().retry_buffer_truncated()
            && ctx.peek().is_some_and(|open| open.tries < MOST_TRIES);
        if touched || !repeatable {
            error.set_retry(false);
        } else {
            error.retry.decide_reuse(reused);
        }
        error
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Exchange) -> FailToProxy {
        let silent = FailToProxy { error_code: 0, can_reuse_downstream: false };
        if *error.etype() == ErrorType::WriteTimedout && *error.esource() == ErrorSource::Downstream {
            self.shared.meets.note(Met::SendTime);
        }
        let Some((status, word)) = excuse(error, ctx.peek().map_or(0, |open| open.tries)) else {
            return silent;
        };
        if status == 408 {
            self.shared.meets.note(Met::BodyTime);
        }
        if session.response_written().is_some() {
            return silent; // the client sees an answer torn off, which is the truth
        }
        if let Some(open) = ctx.get() {
            open.answer.own(status, open.elapsed());
        }
        let rules = [
            (FAULT, ctx.peek().and_then(Open::fault_header)),
            (BELOW, ctx.peek().and_then(Open::below_header)),
        ];
        if let Err(error) = refuse(session, status, word, rules).await {
            tracing::debug!(%error, "the client did not take our error");
        }
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }

    /// What befalls single exchanges is in the books, not in the log.
    fn suppress_error_log(&self, _: &Session, _: &Exchange, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Exchange, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }
}

/// Is the answer itself still to come? 101 is the answer: what follows it is another protocol.
fn is_interim(answer: &ResponseHeader) -> bool {
    answer.status.is_informational() && answer.status != http::StatusCode::SWITCHING_PROTOCOLS
}

/// Pingora means to close a connection once "100 Continue" goes out, since the body is still to come. It looks again when the
/// answer is written: by then the body may be there, and the connection as good as any. Not where pingora did not mean to keep
/// it from the start: a request with two lengths may have another hidden behind it.
fn go_on_after_interim(session: &mut Session) {
    let interim = session.response_written().is_some_and(is_interim);
    if let ServerSession::H1(http1) = session.as_downstream_mut()
        && interim
    {
        http1.respect_keepalive();
    }
}

/// How long an answer says that its body is.
fn length_of(answer: &ResponseHeader) -> Option<u64> {
    answer.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Does an HTTP/1 client want trailers?
fn takes_trailers(asked: &RequestHeader) -> bool {
    let wanted = asked.headers.get_all(http::header::TE).iter().any(|value| {
        let codings = value.to_str().unwrap_or_default().split(',');
        codings.map(str::trim).any(|coding| coding.eq_ignore_ascii_case("trailers"))
    });
    wanted && asked.version == http::Version::HTTP_11
}

/// How the body of an HTTP/1 request ends. Pingora has checked what the header says of it.
fn framing(request: &RequestHeader) -> BodyFraming {
    if request.headers.contains_key(http::header::TRANSFER_ENCODING) {
        return BodyFraming::Chunked;
    }
    let length = request.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let first = length.and_then(|value| value.split(',').next()?.trim().parse().ok());
    BodyFraming::Length(first.unwrap_or(0))
}

/// The client did not wait for the end of a delay.
fn left() -> Box<Error> {
    Error::explain(ErrorType::ConnectionClosed, "left during a delay").into_down()
}

/// Status and word of the answer that stands in for a failure; `None` where nothing is to be said.
fn excuse(error: &Error, tries: u32) -> Option<(u16, &'static str)> {
    if *error.etype() == INJECTED {
        return None;
    }
    let upstream = if tries == 0 { "upstream-unreachable" } else { "upstream-failed" };
    match (error.esource(), error.etype()) {
        (ErrorSource::Upstream, ErrorType::ReadTimedout | ErrorType::ConnectTimedout) => {
            Some((504, upstream))
        }
        (ErrorSource::Upstream, _) => Some((502, upstream)),
        (
            ErrorSource::Downstream,
            ErrorType::WriteError
            | ErrorType::ReadError
            | ErrorType::ConnectionClosed
            | ErrorType::ConnectError
            | ErrorType::H2Error
            | ErrorType::WriteTimedout,
        ) => None,
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Some((408, "body-timeout")),
        (ErrorSource::Downstream, _) => Some((400, "bad-request")),
        _ => Some((500, "internal")),
    }
}

async fn refuse(
    session: &mut Session,
    status: u16,
    word: &str,
    rules: [(&'static str, Option<String>); 2],
) -> Result<()> {
    session.set_keepalive(None);
    let mut answer = ResponseHeader::build(status, Some(5))?;
    answer.insert_header(CONTENT_LENGTH, 0)?;
    answer.insert_header(ERROR, word)?;
    for (name, ids) in rules {
        if let Some(ids) = ids {
            answer.insert_header(name, ids)?;
        }
    }
    session.write_response_header(Box::new(answer), true).await
}

/// Where an HTTP/1 client still sends what nobody will read, a close would be a reset that takes the answer back.
fn linger(session: &mut Session, ctx: &Exchange) {
    let Some(open) = ctx.peek() else { return };
    if open.http2 || session.is_body_done() || open.ctl.wants_reset() || session.response_written().is_none()
    {
        return;
    }
    match waiting::conn(session).map(Conn::duplicate) {
        Some(Ok(socket)) => open.ctl.linger(socket),
        Some(Err(error)) => tracing::debug!(%error, "an early answer may be lost"),
        None => {}
    }
}

/// The control block: in the stream below an HTTP/1 session, in the digest of an HTTP/2 stream.
fn ctl(session: &Session) -> Option<Arc<ConnCtl>> {
    if let Some(conn) = waiting::conn(session) {
        return Some(conn.ctl().clone());
    }
    let digest: &Digest = session.digest()?;
    let user = digest.proxy_digest.as_ref()?.user_data.as_ref()?;
    user.downcast_ref::<Arc<ConnCtl>>().cloned()
}

/// The request header as HTTP/1 text: the bytes as they came, or, on HTTP/2, an equivalent with `:authority` as host.
fn heads(session: &Session) -> Heads {
    if let Some(http1) = session.as_http1() {
        return Heads::of_request(&http1.get_headers_raw_bytes());
    }
    let request = session.req_header();
    let mut text = Vec::with_capacity(512);
    let target = request.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    text.extend_from_slice(request.method.as_str().as_bytes());
    text.push(b' ');
    text.extend_from_slice(target.as_bytes());
    text.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    text.extend_from_slice(crate::exchange::authority(request).as_bytes());
    for (name, value) in &request.headers {
        if name != http::header::HOST {
            text.extend_from_slice(b"\r\n");
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value.as_bytes());
        }
    }
    text.extend_from_slice(b"\r\n\r\n");
    Heads::of_text(text)
}

/// A request goes out once, and once again where its pooled connection died under it.
const MOST_TRIES: u32 = 2;
