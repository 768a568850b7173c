//! `none`, `naive:3`, `backoff:3,100ms..10s`, `budget:20%,3`.

use std::fmt;

use super::Retry;
use crate::backoff::Backoff;
use crate::limits;

impl std::str::FromStr for Retry {
    type Err = String;

    fn from_str(text: &str) -> Result<Retry, String> {
        let text = text.trim();
        let (name, parameters) = match text.split_once(':') {
            Some((name, parameters)) => (name, Some(parameters)),
            None => (text, None),
        };
        let mut parameters =
            parameters.into_iter().flat_map(|parameters| parameters.split(',')).map(str::trim);
        let policy = match name {
            "none" => Retry::None,
            "naive" => Retry::Naive { retries: retries(parameters.next())? },
            "backoff" => Retry::Backoff {
                retries: retries(parameters.next())?,
                waits: parameters.next().map_or(Ok(Backoff::DEFAULT), str::parse)?,
            },
            "budget" => {
                Retry::Budget { percent: percent(parameters.next())?, retries: retries(parameters.next())? }
            }
            _ => return Err(format!("unknown retry policy `{name}`; known are {KNOWN}")),
        };
        match parameters.next() {
            None => Ok(policy),
            Some(extra) => Err(format!("`{text}` says too much from `{extra}` on; known are {KNOWN}")),
        }
    }
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Retry::None => f.write_str("none"),
            Retry::Naive { retries } => write!(f, "naive:{retries}"),
            Retry::Backoff { retries, waits } => write!(f, "backoff:{retries},{waits}"),
            Retry::Budget { percent, retries } => write!(f, "budget:{percent}%,{retries}"),
        }
    }
}

fn retries(text: Option<&str>) -> Result<u32, String> {
    let Some(text) = text else { return Ok(DEFAULT_RETRIES) };
    let most = limits::RETRIES;
    match text.parse() {
        Ok(count) if (1..=most).contains(&count) => Ok(count),
        Ok(0) => Err("0 retries are none: write --retry none".to_owned()),
        Ok(_) => Err(format!("`{text}` retries are too many: at most {most}")),
        Err(_) => Err(format!("`{text}` is not a number of retries: write 3")),
    }
}

fn percent(text: Option<&str>) -> Result<u32, String> {
    let Some(text) = text else { return Ok(DEFAULT_PERCENT) };
    match text.strip_suffix('%').unwrap_or(text).trim().parse() {
        Ok(percent) if percent <= 100 => Ok(percent),
        _ => Err(format!("`{text}` is not a share of the requests: write 20%, at most 100%")),
    }
}

const DEFAULT_RETRIES: u32 = 3;
/// The share that Envoy and Finagle allow by default.
const DEFAULT_PERCENT: u32 = 20;
const KNOWN: &str = "none, naive[:N], backoff[:N[,BASE..CAP]], budget[:PERCENT[,N]] (backoff:3,100ms..10s)";

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Retry {
        text.parse().expect(text)
    }

    #[test]
    fn policies_are_read_and_written() {
        let check = |text: &str, full: &str| {
            assert_eq!(policy(text).to_string(), full, "{text}");
            assert_eq!(policy(full), policy(text));
        };
        check("none", "none");
        check("naive", "naive:3");
        check(" naive:10 ", "naive:10");
        check("backoff", "backoff:3,100ms..10s");
        check("backoff:5", "backoff:5,100ms..10s");
        check("backoff:5, 50ms..2s", "backoff:5,50ms..2s");
        check("budget", "budget:20%,3");
        check("budget:10%", "budget:10%,3");
        check("budget:10,1", "budget:10%,1");
    }

    #[test]
    fn mistakes_are_told() {
        let refused = |text: &str, word: &str| {
            let err = text.parse::<Retry>().expect_err(text);
            assert!(err.contains(word), "{text}: {err}");
        };
        refused("", "backoff");
        refused("nave", "naive");
        refused("none:3", "too much");
        refused("naive:0", "none");
        refused("naive:-1", "write 3");
        refused("naive:1000000", "at most");
        refused("naive:3,4", "too much");
        refused("backoff:3,10s", "100ms..10s");
        refused("backoff:3,10s..1s", "1s..10s");
        refused("budget:101", "100%");
        refused("budget:x", "20%");
    }
}
