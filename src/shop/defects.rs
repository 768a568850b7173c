//! Defects on demand, so that a search for causes can be put to the test: the truth is known, and told.
//!
//! What a defect did to which request (by its `squall-op`, where a proxy passes that on) is under `GET /_shop/harmed`, with
//! those that had to wait and were served as `waited`,
//! and what the shop takes of memory under `GET /metrics`; neither is counted.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::Request;
use hyper::body::Incoming;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::answers::{self, Answer};
use super::error::Refusal;
use super::routes::Route;
use super::{Shop, handlers};

/// What is wrong with a shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Defect {
    /// Products whose number leaves 3 when divided by 4 take a second more.
    SlowShard,
    /// Each request keeps 32 KB of memory for good, and makes all later ones 20 us slower.
    Leak,
    /// Carts, checkouts and orders share 4 connections to a database; a checkout holds one until its body is there, and who
    /// waits longer than 250 ms for one is answered 504.
    CascadingTimeout,
    /// One product page in a hundred is answered 500, by a hash of the seed and its number.
    #[value(name = "random-500")]
    Random500,
    /// A cart of more than three products is reserved for 1.5 s only: a later checkout is answered 500.
    ManyItems,
    /// The list of products and their pages say no prices.
    LostPrice,
}

/// The defects of a shop, and what they did.
#[derive(Debug)]
pub(super) struct Defects {
    all: Vec<Defect>,
    seed: u64,
    pages: AtomicU64,
    hoard: Mutex<Vec<Box<[u8]>>>,
    database: Semaphore,
    harmed: Mutex<BTreeMap<&'static str, Vec<String>>>,
}

impl Defect {
    fn name(self) -> &'static str {
        match self {
            Defect::SlowShard => "slow-shard",
            Defect::Leak => "leak",
            Defect::CascadingTimeout => "cascading-timeout",
            Defect::Random500 => "random-500",
            Defect::ManyItems => "many-items",
            Defect::LostPrice => "lost-price",
        }
    }
}

impl Defects {
    pub(super) fn new(all: Vec<Defect>, seed: u64) -> Defects {
        Defects {
            all,
            seed,
            pages: AtomicU64::new(0),
            hoard: Mutex::default(),
            database: Semaphore::new(DATABASE_CONNECTIONS),
            harmed: Mutex::default(),
        }
    }

    pub(super) fn has(&self, defect: Defect) -> bool {
        self.all.contains(&defect)
    }

    /// The operations that were harmed, by defect.
    pub(super) fn harmed(&self) -> String {
        let harmed = self.harmed.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::to_string(&*harmed).expect("names and lists of words always serialise")
    }

    fn harm(&self, name: &'static str, op: Option<&String>) {
        let mut harmed = self.harmed.lock().unwrap_or_else(PoisonError::into_inner);
        let known = harmed.entry(name).or_default();
        if let (Some(op), true) = (op, known.len() < HARMED) {
            known.push(op.clone());
        }
    }

    /// Takes memory for good; returns how long that makes the request wait.
    fn hoard(&self) -> Duration {
        let mut hoard = self.hoard.lock().unwrap_or_else(PoisonError::into_inner);
        if hoard.len() < HOARD {
            hoard.push(vec![1; HOARDED_BYTES].into_boxed_slice());
        }
        HOARD_DELAY * u32::try_from(hoard.len()).unwrap_or(u32::MAX)
    }

    /// A number below 100 for each product page.
    fn lot(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, self.pages.fetch_add(1, Ordering::Relaxed)).hash(&mut hasher);
        hasher.finish() % 100
    }

    async fn connection(&self) -> Option<SemaphorePermit<'_>> {
        tokio::time::timeout(DATABASE_PATIENCE, self.database.acquire()).await.ok()?.ok()
    }
}

/// Whether a cart of so many products, not added to for so long, has lost its reservation.
pub(super) fn has_expired(products: usize, untouched: Duration) -> bool {
    RESERVED_PRODUCTS < products && RESERVATION < untouched
}

/// Serves a request as well as the defects let it.
pub(super) async fn serve(shop: &Shop, index: usize, route: Route, req: Request<Incoming>) -> Answer {
    let defects = &shop.defects;
    if defects.all.is_empty() {
        return handlers::serve(shop, index, route, req).await;
    }
    let op = req.headers().get("squall-op").and_then(|op| op.to_str().ok()).map(str::to_owned);
    let path = req.uri().path().to_owned();
    let refused = |defect: Defect, why| {
        defects.harm(defect.name(), op.as_ref());
        answers::refusal(why, &path)
    };
    if defects.has(Defect::Leak) {
        tokio::time::sleep(defects.hoard()).await;
    }
    let product = || path.rsplit('/').next().and_then(|id| id.parse::<u32>().ok());
    if route == Route::Product && defects.has(Defect::SlowShard) && product().is_some_and(|id| id % 4 == 3) {
        defects.harm(Defect::SlowShard.name(), op.as_ref());
        tokio::time::sleep(SHARD_DELAY).await;
    }
    if route == Route::Product && defects.has(Defect::Random500) && defects.lot() == 0 {
        return refused(Defect::Random500, Refusal::Broken);
    }
    let needs_database =
        matches!(route, Route::ShowCart | Route::AddToCart | Route::Checkout | Route::Orders);
    let mut held = None;
    if needs_database && defects.has(Defect::CascadingTimeout) {
        let asked = Instant::now();
        held = defects.connection().await;
        if held.is_none() {
            return refused(Defect::CascadingTimeout, Refusal::Busy);
        }
        if NOTICED < asked.elapsed() {
            defects.harm(WAITED, op.as_ref());
        }
    }
    let answer = handlers::serve(shop, index, route, req).await;
    drop(held);
    if answer.status() == Refusal::Expired.status() && defects.has(Defect::ManyItems) {
        defects.harm(Defect::ManyItems.name(), op.as_ref());
    }
    answer
}

/// The body of `GET /metrics`, in Prometheus' text format; 0 where the system does not say.
pub(super) fn metrics() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    let bytes = resident.unwrap_or(0_u64) * 1024;
    format!(
        "# HELP process_resident_memory_bytes Resident memory size in bytes.\n\
         # TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes {bytes}\n"
    )
}

/// Far beyond what a busy machine makes of the others: slow is what takes three times as long as they do.
const SHARD_DELAY: Duration = Duration::from_secs(1);
const HOARDED_BYTES: usize = 32 * 1024;
/// Requests that leak: 1 GiB in all.
const HOARD: usize = 32 * 1024;
const HOARD_DELAY: Duration = Duration::from_micros(20);
const DATABASE_CONNECTIONS: usize = 4;
const DATABASE_PATIENCE: Duration = Duration::from_millis(250);
/// The name of requests that waited for the database and got it; and how long a wait counts.
const WAITED: &str = "waited";
const NOTICED: Duration = Duration::from_millis(1);
const RESERVED_PRODUCTS: usize = 3;
const RESERVATION: Duration = Duration::from_millis(1500);
/// Operations that are remembered for each defect.
const HARMED: usize = 100_000;
