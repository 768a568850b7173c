//! A crowd of shoppers, whose traffic the demo records.

mod chance;
mod client;
mod shopper;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;

use super::Error;
use super::interrupt::Interrupt;
use shopper::{Shopper, Visit};

/// How many come.
pub(super) const SHOPPERS: u32 = 40;
/// Within which time they come.
pub(super) const ARRIVALS: Duration = Duration::from_secs(8);

/// What the crowd did.
#[derive(Debug, Default)]
pub(super) struct Takings {
    /// Requests, each answered as it should have been.
    pub(super) requests: u64,
    /// Passwords and cookie values that the shoppers alone may know.
    pub(super) secrets: Vec<String>,
}

/// Sends the crowd to `shop` and waits until all have left.
///
/// # Errors
/// When somebody was not served as they should have been, or the user interrupts.
pub(super) fn run(shop: SocketAddr, seed: u64, interrupt: &Interrupt) -> Result<Takings, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            takings = visits(shop, seed) => takings.map_err(Error::Crowd),
            () = interrupt.asked() => Err(Error::Interrupted),
        }
    })
}

async fn visits(shop: SocketAddr, seed: u64) -> Result<Takings, String> {
    let mut crowd = JoinSet::new();
    for number in 0..SHOPPERS {
        crowd.spawn(Shopper::new(number, seed).visit(shop, ARRIVALS));
    }
    let mut takings = Takings::default();
    while let Some(left) = crowd.join_next().await {
        let visit: Visit = left.map_err(|err| err.to_string())??;
        takings.requests += visit.answered;
        takings.secrets.extend(visit.secrets);
    }
    Ok(takings)
}
