//! The admin API: books, ledger, status, metrics, arming. HTTP/1.1 on loopback, on a thread of its own.

mod replies;
mod toxiproxy;

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
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

use replies::{json, problem};
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
                shared.rules.tick();
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let Ok((tcp, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await; // out of descriptors, mostly
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, shared.clone()));
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

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Answer, Infallible> {
    // A page in a browser must not arm a proxy behind the user's back (DNS rebinding, cross-site posts).
    if !is_local_host(request.headers()) || request.headers().contains_key(http::header::ORIGIN) {
        return Ok(problem(
            StatusCode::FORBIDDEN,
            "the admin API answers only to loopback names, and not to web pages",
        ));
    }
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(problem(StatusCode::PAYLOAD_TOO_LARGE, "the body is over 1 MiB")),
    };
    let path = parts.uri.path().trim_end_matches('/').to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let asked = Asked { method: parts.method, path, query, body };
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
    body: Bytes,
}

impl Asked {
    fn query(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    }
}

fn route(asked: &Asked, shared: &Arc<Shared>) -> Answer {
    if let Some(answer) = toxiproxy::route(asked, shared) {
        return answer;
    }
    let segments: Vec<&str> = asked.path.split('/').filter(|part| !part.is_empty()).collect();
    match (asked.method.as_str(), segments.as_slice()) {
        ("GET", [] | ["status"]) => json(StatusCode::OK, &replies::status(shared)),
        ("POST", ["heartbeat"]) => {
            shared.rules.standing.beat(shared.rules.now());
            json(StatusCode::OK, &replies::status(shared))
        }
        ("GET", ["metrics"]) => replies::metrics(shared),
        ("GET", ["books"]) => replies::books(shared, asked.query("run").as_deref()),
        ("GET", ["ledger"]) => replies::ledger(shared, asked.query("run").as_deref(), asked.query("tail")),
        ("POST", ["runs"]) => replies::announce(shared, &asked.body),
        ("DELETE", ["runs", tag]) => replies::end(shared, tag),
        ("GET", ["runs", tag, "seen"]) => replies::seen(shared, tag),
        ("GET", ["runs", tag, "ended"]) => replies::ended(shared, tag),
        ("POST", ["recording", "rotate"]) => replies::rotate_recording(shared),
        ("POST", ["recording", "stop"]) => replies::stop_recording(shared),
        ("POST", ["arm"]) => {
            shared.rules.arm();
            json(StatusCode::OK, &replies::status(shared))
        }
        ("POST", ["lift"]) => {
            shared.rules.lift("lifted through the admin API", false);
            json(StatusCode::OK, &replies::status(shared))
        }
        ("POST", ["lift", rule]) if shared.rules.lift_rule(rule) => {
            json(StatusCode::OK, &replies::status(shared))
        }
        ("POST", ["lift", rule]) => problem(StatusCode::NOT_FOUND, &format!("no rule `{rule}` is in force")),
        _ => problem(StatusCode::NOT_FOUND, PATHS),
    }
}

/// Is the request addressed to this machine by a name that only this machine means?
fn is_local_host(headers: &http::HeaderMap) -> bool {
    let Some(host) = headers.get(http::header::HOST).and_then(|host| host.to_str().ok()) else { return true };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

const PATHS: &str = "no such path; there are GET /status /metrics /books /ledger /runs/RUN/seen /runs/RUN/ended, \
                     POST /runs /arm /lift /lift/RULE /heartbeat /recording/stop /recording/rotate, DELETE /runs/RUN, and \
                     Toxiproxy's /proxies /populate /reset /version";
const MAX_BODY: usize = 1 << 20;
/// How often lapsed rules (max_run, heartbeat) are looked for.
const TICK: std::time::Duration = std::time::Duration::from_millis(100);
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_ours() {
        let check = |host: &str, local: bool| {
            let mut headers = http::HeaderMap::new();
            headers.insert(http::header::HOST, host.parse().expect("a header value"));
            assert_eq!(is_local_host(&headers), local, "{host}");
        };
        check("127.0.0.1:9999", true);
        check("localhost:1", true);
        check("[::1]:80", true);
        check("evil.example", false);
        check("127.0.0.1.evil.example", false);
        check("10.0.0.1", false);
    }
}
