//! A shopper's browser: one keep-alive connection, and a cookie jar.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, COOKIE, HOST, SET_COOKIE, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// One connection with cookies.
pub(super) struct Client {
    addr: SocketAddr,
    sender: http1::SendRequest<Full<Bytes>>,
    cookies: Vec<(String, String)>,
}

/// What is sent.
pub(super) struct Ask<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// Content type and body.
    pub(super) body: Option<(&'static str, String)>,
    pub(super) idempotency_key: Option<&'a str>,
}

impl<'a> Ask<'a> {
    pub(super) fn get(path: &'a str) -> Ask<'a> {
        Ask { method: "GET", path, body: None, idempotency_key: None }
    }

    pub(super) fn post(path: &'a str, kind: &'static str, body: String) -> Ask<'a> {
        Ask { method: "POST", path, body: Some((kind, body)), idempotency_key: None }
    }
}

impl Client {
    pub(super) async fn connect(addr: SocketAddr) -> Result<Client, String> {
        Client::with_cookies(addr, Vec::new()).await
    }

    /// A second connection of the same browser.
    pub(super) async fn another(&self) -> Result<Client, String> {
        Client::with_cookies(self.addr, self.cookies.clone()).await
    }

    /// The values of the cookies, which nobody else may know.
    pub(super) fn cookie_values(&self) -> impl Iterator<Item = &str> {
        self.cookies.iter().map(|(_, value)| value.as_str())
    }

    /// Sends, and reads the whole answer.
    pub(super) async fn send(&mut self, ask: Ask<'_>) -> Result<StatusCode, String> {
        let what = format!("{} {}", ask.method, ask.path);
        let failed = |err: &dyn std::fmt::Display| format!("{what}: {err}");
        let req = self.request(ask).map_err(|err| failed(&err))?;
        self.sender.ready().await.map_err(|err| failed(&err))?;
        let answer = self.sender.send_request(req).await.map_err(|err| failed(&err))?;
        let status = answer.status();
        for cookie in answer.headers().get_all(SET_COOKIE) {
            self.keep(cookie.to_str().unwrap_or_default());
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES);
        body.collect().await.map_err(|err| failed(&err))?;
        Ok(status)
    }

    async fn with_cookies(addr: SocketAddr, cookies: Vec<(String, String)>) -> Result<Client, String> {
        let failed = |err: &dyn std::fmt::Display| format!("no connection to {addr}: {err}");
        let stream = TcpStream::connect(addr).await.map_err(|err| failed(&err))?;
        stream.set_nodelay(true).map_err(|err| failed(&err))?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|err| failed(&err))?;
        tokio::spawn(connection); // what goes wrong on it, `send` hears
        Ok(Client { addr, sender, cookies })
    }

    fn request(&self, ask: Ask<'_>) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let mut req = Request::builder()
            .method(ask.method)
            .uri(ask.path)
            .header(HOST, self.addr.to_string())
            .header(USER_AGENT, "squall-demo-shopper/1");
        if !self.cookies.is_empty() {
            let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            req = req.header(COOKIE, pairs.join("; "));
        }
        if let Some(key) = ask.idempotency_key {
            req = req.header("idempotency-key", key);
        }
        match ask.body {
            Some((kind, body)) => req.header(CONTENT_TYPE, kind).body(Full::from(body)),
            None => req.body(Full::default()),
        }
    }

    fn keep(&mut self, cookie: &str) {
        let Some((name, value)) = cookie.split(';').next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        self.cookies.retain(|(known, _)| known != name);
        self.cookies.push((name.to_owned(), value.to_owned()));
    }
}

/// Largest answer that a shopper reads.
const ANSWER_BYTES: usize = 1 << 20;
