//! The origin's own count of requests, before a run and after it.

use crate::admin::Admin;
use crate::error::Error;
use crate::safety::Peer;

/// A counter whose first figure is known.
#[derive(Debug)]
pub(crate) struct OriginCounter {
    admin: Admin,
    before: u64,
}

impl OriginCounter {
    /// Asks for the first time.
    pub(crate) fn start(peer: Peer) -> Result<OriginCounter, Error> {
        let admin = Admin::new(peer)?;
        let before = count(&admin).map_err(Error::Usage)?;
        Ok(OriginCounter { admin, before })
    }

    /// How many requests came since.
    pub(crate) fn stop(&self) -> Result<u64, String> {
        Ok(count(&self.admin)?.saturating_sub(self.before))
    }
}

/// A number, or JSON with `requests`.
fn count(counter: &Admin) -> Result<u64, String> {
    let body = counter.get_own_path().map_err(|err| format!("the origin's counter: {err}"))?;
    let text = String::from_utf8_lossy(&body);
    if let Ok(number) = text.trim().parse() {
        return Ok(number);
    }
    let value: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let number = value.and_then(|value| value.get("requests").and_then(serde_json::Value::as_u64));
    number.ok_or_else(|| "the origin's counter is neither a number nor JSON with \"requests\"".to_owned())
}
