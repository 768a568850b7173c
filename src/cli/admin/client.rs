//! One question to an admin API.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use serde_json::Value;

/// The admin listener of a proxy, as it printed it, and what opens it.
#[derive(Debug, clap::Args)]
pub(crate) struct AdminArgs {
    /// The admin listener: the address that `squall proxy` printed.
    #[arg(value_name = "ADMIN")]
    pub(super) admin: String,
    /// The admin API's token, in this file; or in SQUALL_ADMIN_TOKEN.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print the proxy's answer as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl AdminArgs {
    /// What the proxy answers.
    ///
    /// # Errors
    /// It does not answer, or refuses; says why and what to type.
    pub(super) fn ask(&self, method: Method, path: &str) -> anyhow::Result<Value> {
        let token = self.token()?;
        let addr = address(&self.admin, token.is_some())?;
        let authority = self.authority().to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let request = request(&method, path, (&authority, token.as_deref()))?;
        let asked = runtime.block_on(async { tokio::time::timeout(LIMIT, exchange(addr, request)).await });
        let (status, body) = asked
            .map_err(|_| anyhow!("it does not answer within {LIMIT:?}"))
            .and_then(|answer| answer)
            .with_context(|| {
                format!(
                    "no proxy at {}; `squall proxy` prints `admin listening on …` when it starts",
                    self.admin
                )
            })?;
        let value: Value =
            serde_json::from_slice(&body).with_context(|| format!("{} is no admin listener", self.admin))?;
        if status == StatusCode::UNAUTHORIZED && token.is_some() {
            bail!(
                "the proxy at {} has another token: give the one that it was started with (its --admin-token-file)",
                self.admin
            );
        }
        if !status.is_success() {
            bail!("{}", value["error"].as_str().unwrap_or("refused"));
        }
        Ok(value)
    }

    fn token(&self) -> anyhow::Result<Option<String>> {
        let text = match (&self.token_file, std::env::var(proxy::TOKEN_VARIABLE)) {
            (Some(path), _) => {
                std::fs::read_to_string(path).with_context(|| format!("--token-file {}", path.display()))?
            }
            (None, Ok(text)) => text,
            (None, Err(_)) => return Ok(None),
        };
        // what the proxy would not take as a token cannot be its token
        proxy::Token::new(&text).map_err(|why| anyhow!("{why}"))?;
        Ok(Some(text.trim().to_owned()))
    }

    fn authority(&self) -> &str {
        self.admin.trim_start_matches("http://").trim_end_matches('/')
    }
}

fn request(
    method: &Method,
    path: &str,
    (authority, token): (&str, Option<&str>),
) -> anyhow::Result<Request<Empty<Bytes>>> {
    // the proxy's log says who armed and lifted
    let us = concat!("squall/", env!("CARGO_PKG_VERSION"));
    let request = Request::builder().method(method).uri(path).header(header::HOST, authority);
    let mut request = request.header(header::USER_AGENT, us);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    Ok(request.body(Empty::new())?)
}

async fn exchange(addr: SocketAddr, request: Request<Empty<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
    let tcp = tokio::net::TcpStream::connect(addr).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await?;
    let driven = tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    driven.abort();
    Ok((status, body))
}

/// Without a token nothing but this machine is spoken to: elsewhere an admin API wants one.
fn address(admin: &str, has_token: bool) -> anyhow::Result<SocketAddr> {
    let text = admin.trim_start_matches("http://").trim_end_matches('/');
    let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let wrong = || anyhow!("{admin} is no address; write for example http://127.0.0.1:28080");
    let addr: SocketAddr = match local.as_deref().unwrap_or(text).parse() {
        Ok(addr) => addr,
        Err(_) if has_token => {
            let mut found = text.to_socket_addrs().map_err(|_| wrong())?;
            found.next().ok_or_else(wrong)?
        }
        Err(_) => return Err(wrong()),
    };
    if !addr.ip().is_loopback() && !has_token {
        bail!("{admin} is not on this machine: give its token with --token-file FILE or SQUALL_ADMIN_TOKEN");
    }
    Ok(addr)
}

const LIMIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_spoken_to_with_a_token_only() {
        let check = |admin: &str, has_token: bool, expect: Option<&str>| {
            let found = address(admin, has_token).ok().map(|addr| addr.to_string());
            assert_eq!(found.as_deref(), expect, "{admin} {has_token}");
        };
        check("http://127.0.0.1:28080/", false, Some("127.0.0.1:28080"));
        check("localhost:28080", false, Some("127.0.0.1:28080"));
        check("[::1]:9", false, Some("[::1]:9"));
        check("10.0.0.5:28080", false, None);
        check("10.0.0.5:28080", true, Some("10.0.0.5:28080"));
        check("nowhere", false, None);
        check("nowhere", true, None);
    }
}
