//! Every bound of the shop, in one place.

use std::time::Duration;

/// Worker threads at most.
pub(super) const THREADS: usize = 64;
/// Connections a worker serves at once; more wait in the backlog.
pub(super) const CONNECTIONS_PER_WORKER: usize = 65_536;
/// Length of the accept queue asked for; the kernel cuts it to `net.core.somaxconn`.
pub(super) const BACKLOG: i32 = 65_535;
/// How long requests under way may take once the shop closes.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// Pause after an accept that failed for want of a file descriptor.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Largest request body that is read, in bytes.
pub(super) const BODY_BYTES: usize = 16 * 1024;
/// Longest name, e-mail address or password, in bytes.
pub(super) const FIELD_BYTES: usize = 256;
/// Longest `idempotency-key`, in bytes.
pub(super) const KEY_BYTES: usize = 255;
/// Locks a table is split over, so that workers rarely meet.
pub(super) const SHARDS: usize = 64;
/// Accounts kept, over all shards; beyond it the oldest goes and is counted.
pub(super) const ACCOUNTS: usize = 1 << 20;
/// Sessions kept, over all shards; beyond it the oldest goes and is counted.
pub(super) const SESSIONS: usize = 1 << 20;
/// Different products in one cart.
pub(super) const CART_LINES: usize = 32;
/// Most of one product in one cart.
pub(super) const QUANTITY: u32 = 99;
/// Orders one account may have. Beyond it checkout is refused: forgetting an order would break its idempotency key.
pub(super) const ORDERS_PER_ACCOUNT: usize = 64;
/// Orders kept in all; beyond it checkout is refused.
pub(super) const ORDERS: u64 = 4_000_000;
/// Largest answer of a service behind the shop that is read, in bytes.
pub(super) const NEIGHBOUR_BYTES: usize = 64 * 1024;
/// How long a call to a service behind the shop may take.
pub(super) const NEIGHBOUR_PATIENCE: Duration = Duration::from_secs(5);
/// Events in one stream at most.
pub(super) const EVENTS: u32 = 100;
/// Longest gap between two events.
pub(super) const EVENT_GAP: Duration = Duration::from_secs(1);
