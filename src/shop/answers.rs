//! Answers and their bodies.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::error::Refusal;
use super::events::Events;
use super::routes;

/// An answer of the shop.
pub(super) type Answer = Response<Content>;

/// The body of an answer.
pub(super) enum Content {
    /// Everything at once; `None` once it was taken, or when there is nothing.
    Whole(Option<Bytes>),
    /// Piece by piece, as events happen.
    Stream(Events),
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match self.get_mut() {
            Content::Whole(bytes) => Poll::Ready(bytes.take()),
            Content::Stream(events) => events.poll_next(ctx),
        };
        piece.map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Content::Whole(bytes) => bytes.is_none(),
            Content::Stream(events) => events.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Stream(_) => SizeHint::default(),
        }
    }
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = with(status, Content::Whole(Some(body.into())));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// The front page.
pub(super) fn home() -> Answer {
    let mut answer = with(StatusCode::OK, Content::Whole(Some(Bytes::from_static(HOME.as_bytes()))));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    answer
}

/// A page of metrics.
pub(super) fn metrics(page: String) -> Answer {
    let mut answer = with(StatusCode::OK, Content::Whole(Some(page.into())));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    answer
}

/// An event stream.
pub(super) fn stream(events: Events) -> Answer {
    let mut answer = with(StatusCode::OK, Content::Stream(events));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// What `path` of the shop can be asked for.
pub(super) fn options(path: &str) -> Answer {
    let mut answer = with(StatusCode::NO_CONTENT, Content::Whole(None));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(routes::allow(path)));
    answer
}

/// A refusal, in words.
pub(super) fn refusal(why: Refusal, path: &str) -> Answer {
    let mut answer = json(why.status(), why.json());
    if why == Refusal::WrongMethod {
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(routes::allow(path)));
    }
    answer
}

/// The answer to `HEAD`: all of it but the body.
pub(super) fn without_body(answer: Answer) -> Answer {
    let (mut head, body) = answer.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, Content::Whole(None))
}

/// Adds a header whose value is made of visible ASCII by construction.
pub(super) fn add(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().append(name, value);
    }
}

fn with(status: StatusCode, content: Content) -> Answer {
    let mut answer = Response::new(content);
    *answer.status_mut() = status;
    answer
}

const HOME: &str = "<!doctype html>\n<title>The weather shop</title>\n<h1>The weather shop</h1>\n\
    <p>A sample system under test. Its goods are under <a href=\"/api/products\">/api/products</a>,\n\
    what it counted under <a href=\"/_shop/count\">/_shop/count</a>.</p>\n";
