//! The proxy's admin interface, as a client: small JSON, one binary set, one list of lines. Never on an engine
//! thread; every exchange has a time limit and every answer a size limit.

pub(crate) mod types;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::error::Error;
use crate::limits;
use crate::options::Secret;
use crate::safety::Peer;

/// A client of one HTTP interface. Blocks its thread.
#[derive(Debug)]
pub(crate) struct Admin {
    peer: Peer,
    token: Option<Secret>,
    addresses: Vec<SocketAddr>,
    runtime: tokio::runtime::Runtime,
}

impl Admin {
    /// A client of `peer`, which passed the safety check.
    pub(crate) fn new(peer: Peer) -> Result<Admin, Error> {
        if peer.tls {
            let words =
                format!("https://{}: this interface is spoken to in clear only; use http://", peer.authority);
            return Err(Error::Usage(words));
        }
        let addresses = peer.resolve()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Admin { peer, token: None, addresses, runtime })
    }

    /// The same client, with what opens the interface.
    pub(crate) fn with_token(self, token: Option<Secret>) -> Admin {
        Admin { token, ..self }
    }

    /// A second client of the same interface.
    pub(crate) fn again(&self) -> Result<Admin, Error> {
        Ok(Admin::new(self.peer.clone())?.with_token(self.token.clone()))
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.peer.authority)
    }

    /// The body at the URL that the peer was named with.
    pub(crate) fn get_own_path(&self) -> Result<Bytes, String> {
        self.get(&self.peer.path.clone(), limits::ADMIN_JSON_BYTES, limits::ADMIN_TIMEOUT)
    }

    /// The body at `path`, of at most `limit` bytes.
    pub(crate) fn get(&self, path: &str, limit: usize, patience: Duration) -> Result<Bytes, String> {
        self.within(patience, async {
            let response = self.exchange(Method::GET, path, Bytes::new()).await?;
            collect(response, limit).await
        })
    }

    /// Parsed JSON at `path`.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        let body = self.get(path, limits::ADMIN_JSON_BYTES, limits::ADMIN_TIMEOUT)?;
        serde_json::from_slice(&body).map_err(|err| format!("GET {path}: {err}"))
    }

    /// Sends JSON, or nothing.
    pub(crate) fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<(), String> {
        let body = body.map_or_else(Bytes::new, |value| Bytes::from(value.to_string()));
        self.within(limits::ADMIN_TIMEOUT, async {
            let response = self.exchange(method, path, body).await?;
            collect(response, limits::ADMIN_JSON_BYTES).await.map(|_| ())
        })
    }

    /// Hands each line at `path` to `on_line`; returns how many lines the peer says did not fit (`squall-lost`).
    pub(crate) fn lines(&self, path: &str, on_line: &mut dyn FnMut(&[u8])) -> Result<u64, String> {
        self.within(12 * limits::ADMIN_TIMEOUT, async {
            let response = self.exchange(Method::GET, path, Bytes::new()).await?;
            let lost = response.headers().get("squall-lost").and_then(|value| value.to_str().ok());
            let lost = lost.and_then(|text| text.parse().ok()).unwrap_or(0);
            let mut body = response.into_body();
            let mut rest: Vec<u8> = Vec::new();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|err| format!("GET {path}: {err}"))?;
                let Ok(data) = frame.into_data() else { continue };
                rest.extend_from_slice(&data);
                let end = rest.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
                rest[..end].split(|b| *b == b'\n').filter(|line| !line.is_empty()).for_each(&mut *on_line);
                rest.drain(..end);
                if rest.len() > limits::HEAD_BYTES {
                    return Err(format!("GET {path}: a line of more than {} bytes", limits::HEAD_BYTES));
                }
            }
            if !rest.is_empty() {
                on_line(&rest);
            }
            Ok(lost)
        })
    }

    fn within<T>(
        &self,
        patience: Duration,
        work: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        let url = self.url();
        let words = format!("{url} did not answer within {patience:?}");
        self.runtime.block_on(async { tokio::time::timeout(patience, work).await.unwrap_or(Err(words)) })
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>, String> {
        let stream =
            TcpStream::connect(&self.addresses[..]).await.map_err(|err| format!("{}: {err}", self.url()))?;
        let said = |err: hyper::Error| format!("{}: {err}", self.url());
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(said)?;
        tokio::spawn(connection); // ends with the exchange
        let mut request = Request::builder()
            .method(&method)
            .uri(path)
            .header("host", &self.peer.authority)
            .header("content-type", "application/json")
            .header("connection", "close");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.reveal()));
        }
        let request = request.body(Full::new(body)).map_err(|err| format!("{path}: {err}"))?;
        let response = sender.send_request(request).await.map_err(said)?;
        if response.status().is_success() {
            Ok(response)
        } else if response.status() == hyper::StatusCode::UNAUTHORIZED {
            Err(format!(
                "{} wants its token: --proxy {0} and --token-file FILE or SQUALL_ADMIN_TOKEN",
                self.url()
            ))
        } else {
            Err(format!("{method} {}{path}: {}", self.url(), response.status()))
        }
    }
}

async fn collect(response: Response<Incoming>, limit: usize) -> Result<Bytes, String> {
    let limited = http_body_util::Limited::new(response.into_body(), limit);
    limited.collect().await.map(http_body_util::Collected::to_bytes).map_err(|err| err.to_string())
}
