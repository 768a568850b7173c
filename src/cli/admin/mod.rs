//! `squall arm | lift | status`: a word with a running proxy.
#![allow(clippy::print_stdout, reason = "a command's output")]

mod client;
mod show;

use std::process::ExitCode;

use anyhow::bail;
use http::Method;
use serde_json::Value;

pub(crate) use client::AdminArgs;

/// The same, and optionally one rule of it.
#[derive(Debug, clap::Args)]
pub(crate) struct LiftArgs {
    #[command(flatten)]
    admin: AdminArgs,
    /// Only this rule or hook; without it all of them.
    #[arg(value_name = "RULE")]
    id: Option<String>,
    /// The same.
    #[arg(long, value_name = "ID", conflicts_with = "id", hide = true)]
    rule: Option<String>,
}

/// Lets faults fire from now on; windows count from here.
///
/// # Errors
/// The proxy does not answer.
pub(crate) fn arm(args: &AdminArgs) -> anyhow::Result<ExitCode> {
    print(args, &args.ask(Method::POST, "/arm")?, show::standing)?;
    Ok(ExitCode::SUCCESS)
}

/// Stops faults, all or those of one rule; who waits in one goes on at once.
///
/// # Errors
/// The proxy does not answer, or has no such rule.
pub(crate) fn lift(args: &LiftArgs) -> anyhow::Result<ExitCode> {
    let id = args.id.as_ref().or(args.rule.as_ref());
    if let Some(id) = id.filter(|id| !is_id(id)) {
        bail!(
            "`{id}` is no id of a rule or a hook; `squall status {}` lists them, and without one all are lifted",
            args.admin.admin
        );
    }
    let path = id.map_or("/lift".to_owned(), |id| format!("/lift/{id}"));
    let status = args.admin.ask(Method::POST, &path)?;
    let words = |status: &Value, admin: &str| match id {
        Some(id) => format!("lifted: {id}\n{}", show::standing(status, admin)),
        None => show::standing(status, admin),
    };
    print(&args.admin, &status, words)?;
    Ok(ExitCode::SUCCESS)
}

/// What a proxy is doing. Exit 1: something is wrong that somebody should look at.
///
/// # Errors
/// The proxy does not answer.
pub(crate) fn status(args: &AdminArgs) -> anyhow::Result<ExitCode> {
    let status = args.ask(Method::GET, "/status")?;
    print(args, &status, show::status)?;
    Ok(if show::is_wrong(&status) { ExitCode::from(FINDINGS) } else { ExitCode::SUCCESS })
}

/// Ids have letters, digits, `.`, `_` and `-`.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

fn print(args: &AdminArgs, status: &Value, words: impl FnOnce(&Value, &str) -> String) -> anyhow::Result<()> {
    if args.json {
        println!("{}", serde_json::to_string_pretty(status)?);
    } else {
        println!("{}", words(status, &args.admin).trim_end());
    }
    Ok(())
}

const FINDINGS: u8 = 1;

pub(crate) const ARM_EXAMPLES: &str = "Example:
  squall arm http://127.0.0.1:28080    the address after `admin listening on`

Windows (`when`) and max_run count from now, also where the rules were armed already.
Exits 0; 104 where no proxy answers or it refuses.";

pub(crate) const LIFT_EXAMPLES: &str = "Examples:
  squall lift http://127.0.0.1:28080              all faults end at once
  squall lift http://127.0.0.1:28080 slow-tail    those of one rule, or one hook
  kill -USR1 PID                                  the same as the first, without the admin listener

Exits 0; 104 where no proxy answers, it refuses, or there is no such rule.";

pub(crate) const STATUS_EXAMPLES: &str = "Examples:
  squall status http://127.0.0.1:28080
  squall status http://127.0.0.1:28080 --json | jq .rules.error

Exits 0; 1 where the newest rule file was refused, a cap or a guard ended faults, or a hook
failed; 104 where no proxy answers or it refuses.";
