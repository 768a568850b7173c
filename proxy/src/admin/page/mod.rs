//! The page for people: three files that hold no data. What they show comes from the API, with the API's token.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};

use super::Answer;
use super::replies::plain;

/// The page or a part of it, where a browser asks for one. Needs no token: there is nothing in it.
pub(super) fn part<B>(request: &Request<B>) -> Option<Answer> {
    if request.method() != Method::GET {
        return None;
    }
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let (kind, text) = match request.uri().path() {
        "/" if accept.is_some_and(|accept| accept.contains("text/html")) => {
            ("text/html; charset=utf-8", INDEX)
        }
        "/page.css" => ("text/css; charset=utf-8", STYLE),
        "/page.js" => ("text/javascript; charset=utf-8", SCRIPT),
        _ => return None,
    };
    let mut answer = plain(kind, Bytes::from_static(text.as_bytes()));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(answer)
}

const INDEX: &str = include_str!("index.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Nothing from elsewhere, and in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";
