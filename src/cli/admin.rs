//! `squall arm | lift | status`: a word with a running proxy.
#![allow(clippy::print_stdout, reason = "a command's output")]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use serde_json::Value;

/// The admin listener of a proxy, as it printed it.
#[derive(Debug, clap::Args)]
pub(crate) struct AdminArgs {
    /// The admin listener: the address that `squall proxy` printed.
    #[arg(value_name = "ADMIN")]
    admin: String,
}

/// The same, and optionally one rule of it.
#[derive(Debug, clap::Args)]
pub(crate) struct LiftArgs {
    #[command(flatten)]
    admin: AdminArgs,
    /// Only this rule; without it all of them.
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
}

/// Lets faults fire from now on; windows count from here.
///
/// # Errors
/// The proxy does not answer.
pub(crate) fn arm(args: &AdminArgs) -> anyhow::Result<ExitCode> {
    show(&ask(&args.admin, Method::POST, "/arm")?);
    Ok(ExitCode::SUCCESS)
}

/// Stops faults, all or those of one rule; who waits in one goes on at once.
///
/// # Errors
/// The proxy does not answer, or has no such rule.
pub(crate) fn lift(args: &LiftArgs) -> anyhow::Result<ExitCode> {
    let path = args.rule.as_ref().map_or("/lift".to_owned(), |rule| format!("/lift/{rule}"));
    show(&ask(&args.admin.admin, Method::POST, &path)?);
    Ok(ExitCode::SUCCESS)
}

/// What a proxy is doing.
///
/// # Errors
/// The proxy does not answer.
pub(crate) fn status(args: &AdminArgs) -> anyhow::Result<ExitCode> {
    let status = ask(&args.admin, Method::GET, "/status")?;
    println!("{}", serde_json::to_string_pretty(&status)?);
    Ok(ExitCode::SUCCESS)
}

fn show(status: &Value) {
    let rules = status["rules"]["count"].as_u64().unwrap_or(0);
    match (status["armed"].as_bool(), status["lifted"].as_str()) {
        (Some(true), _) => println!("armed: {rules} rules may fire"),
        (_, Some(reason)) => println!("lifted: {reason}"),
        _ => println!("not armed: no rule fires"),
    }
}

fn ask(admin: &str, method: Method, path: &str) -> anyhow::Result<Value> {
    let addr = loopback(admin)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(async { tokio::time::timeout(LIMIT, exchange(addr, method, path)).await });
    let (status, body) = asked
        .map_err(|_| anyhow!("it does not answer within {LIMIT:?}"))
        .and_then(|answer| answer)
        .with_context(|| {
            format!("no proxy at {admin}; `squall proxy` prints `admin listening on …` when it starts")
        })?;
    let value: Value =
        serde_json::from_slice(&body).with_context(|| format!("{admin} is no admin listener"))?;
    if !status.is_success() {
        bail!("{}", value["error"].as_str().unwrap_or("refused"));
    }
    Ok(value)
}

async fn exchange(addr: SocketAddr, method: Method, path: &str) -> anyhow::Result<(http::StatusCode, Bytes)> {
    let tcp = tokio::net::TcpStream::connect(addr).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await?;
    let driven = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, addr.to_string())
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    driven.abort();
    Ok((status, body))
}

/// Nothing but this machine is ever spoken to.
fn loopback(admin: &str) -> anyhow::Result<SocketAddr> {
    let text = admin.trim_start_matches("http://").trim_end_matches('/');
    let text = text.strip_prefix("localhost:").map_or(text.to_owned(), |port| format!("127.0.0.1:{port}"));
    let addr: SocketAddr = text
        .parse()
        .map_err(|_| anyhow!("{admin} is no address; write for example http://127.0.0.1:9900"))?;
    if !addr.ip().is_loopback() {
        bail!("{admin} is not on this machine; admin listeners are on loopback");
    }
    Ok(addr)
}

const LIMIT: Duration = Duration::from_secs(5);

pub(crate) const ARM_EXAMPLES: &str = "Example:
  squall arm http://127.0.0.1:28080    the address after `admin listening on`";

pub(crate) const LIFT_EXAMPLES: &str = "Examples:
  squall lift http://127.0.0.1:28080                     all faults end at once
  squall lift http://127.0.0.1:28080 --rule slow-tail    those of one rule";

pub(crate) const STATUS_EXAMPLES: &str = "Examples:
  squall status http://127.0.0.1:28080
  squall status http://127.0.0.1:28080 | jq .rules.error";
