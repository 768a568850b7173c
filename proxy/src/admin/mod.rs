//! The admin API: books, ledger, status, metrics, rules, arming, and a page for people. HTTP/1.1 on loopback or with a token, on
//! a thread of its own.

mod access;
mod page;
mod replies;
mod rules;
mod status;
mod toxiproxy;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::watch;

use crate::Error;
use crate::shared::Shared;

pub use access::{TOKEN_VARIABLE, Token};
use replies::problem;
pub(crate) use toxiproxy::Toxiproxy;

type Answer = Response<Full<Bytes>>;

/// Serves the admin API until `stopped` turns true.
///
/// # Errors
/// The thread cannot be started.
pub(crate) fn start(
    listener: TcpListener,
    shared: Arc<Shared>,
    stopped: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, Error> {
    listener.set_nonblocking(true).map_err(Error::Thread)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Thread)?;
    std::thread::Builder::new()
        .name("squall-admin".into())
        .spawn(move || {
            if let Err(error) = runtime.block_on(serve(listener, shared, stopped)) {
                tracing::error!(%error, "the admin API is gone");
            }
        })
        .map_err(Error::Thread)
}

async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut beat = tokio::time::interval(TICK);
    loop {
        let accepted = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
            _ = beat.tick() => {
                shared.rules.shielded(|| shared.rules.tick());
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let Ok((tcp, peer)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await; // out of descriptors, mostly
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, peer.ip(), shared.clone()));
            let served = hyper::server::conn::http1::Builder::new()
                .timer(hyper_util::rt::TokioTimer::new())
                .serve_connection(TokioIo::new(tcp), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "an admin client left in the middle");
            }
        });
    }
}

async fn answer(request: Request<Incoming>, peer: IpAddr, shared: Arc<Shared>) -> Result<Answer, Infallible> {
    let (token, listen) = (shared.config.admin_token.as_ref(), shared.config.admin.ip());
    if let Some(refusal) = access::not_here(request.headers(), listen) {
        return Ok(refusal);
    }
    if let Some(part) = page::part(&request) {
        return Ok(part);
    }
    if let Some(refusal) = access::without_token(request.headers(), token) {
        return Ok(refusal);
    }
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(problem(StatusCode::PAYLOAD_TOO_LARGE, "the body is over 1 MiB")),
    };
    let path = parts.uri.path().trim_end_matches('/').to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let accept = parts.headers.get(http::header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let accept = accept.unwrap_or_default().to_owned();
    let by = access::client(&parts.headers, peer);
    let asked = Asked { method: parts.method, path, query, accept, body, by };
    // Books of a million exchanges take milliseconds: off the reactor, so that /status never waits for them.
    let answered = tokio::task::spawn_blocking(move || route(&asked, &shared)).await;
    Ok(answered.unwrap_or_else(|_| {
        problem(StatusCode::INTERNAL_SERVER_ERROR, "the admin API stumbled; see the log")
    }))
}

/// A request, whole.
struct Asked {
    method: Method,
    path: String,
    query: String,
    accept: String,
    body: Bytes,
    /// Who asks, for the log.
    by: String,
}

impl Asked {
    fn query(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    }

    /// The client would rather have text than JSON.
    fn wants_text(&self) -> bool {
        ["text/", "application/toml"].iter().any(|kind| self.accept.contains(kind))
    }
}

fn route(asked: &Asked, shared: &Arc<Shared>) -> Answer {
    if let Some(answer) = toxiproxy::route(asked, shared) {
        return answer;
    }
    let segments: Vec<&str> = asked.path.split('/').filter(|part| !part.is_empty()).collect();
    match (asked.method.as_str(), segments.as_slice()) {
        ("GET", [] | ["status"]) => status::answer(shared),
        ("POST", ["heartbeat"]) => {
            shared.rules.standing.beat(shared.rules.now());
            status::answer(shared)
        }
        ("GET", ["rules"]) => rules::show(asked, shared),
        ("PUT", ["rules"]) => rules::replace(asked, shared),
        ("GET", ["metrics"]) => replies::metrics(shared),
        ("GET", ["books"]) => replies::books(shared, asked.query("run").as_deref()),
        ("GET", ["ledger"]) => replies::ledger(shared, asked),
        ("POST", ["runs"]) => replies::announce(shared, &asked.body),
        ("DELETE", ["runs", tag]) => replies::end(shared, tag),
        ("GET", ["runs", tag, "seen"]) => replies::seen(shared, tag),
        ("GET", ["runs", tag, "ended"]) => replies::ended(shared, tag),
        ("POST", ["recording", "rotate"]) => replies::rotate_recording(shared),
        ("POST", ["recording", "stop"]) => replies::stop_recording(shared, &asked.by),
        ("POST", ["arm"]) => {
            shared.rules.arm();
            let rules = shared.rules.live().ids.len();
            tracing::warn!(by = asked.by, rules, "rules armed through the admin API");
            status::answer(shared)
        }
        ("POST", ["lift"]) => {
            shared.rules.lift(&format!("lifted through the admin API by {}", asked.by), false);
            status::answer(shared)
        }
        ("POST", ["lift", rule]) if shared.rules.lift_rule(rule) => {
            tracing::warn!(by = asked.by, rule, "rule lifted through the admin API");
            status::answer(shared)
        }
        ("POST", ["lift", rule]) => replies::unknown_rule(shared, rule),
        // The APIs of other programs that we speak answer from here on, each in a module of its own.
        _ => problem(StatusCode::NOT_FOUND, PATHS),
    }
}

const PATHS: &str = "no such path; there are GET /status /metrics /books /ledger /rules /runs/RUN/seen /runs/RUN/ended, \
                     PUT /rules, POST /runs /arm /lift /lift/RULE /heartbeat /recording/stop /recording/rotate, \
                     DELETE /runs/RUN, and Toxiproxy's /proxies /populate /reset /version";
const MAX_BODY: usize = 1 << 20;
/// How often lapsed rules (max_run, heartbeat) are looked for.
const TICK: std::time::Duration = std::time::Duration::from_millis(100);
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
