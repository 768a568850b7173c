//! Copies of requests: what storms and duplicates send beside an exchange.
//!
//! Client: nothing of it. Upstream: the same request again, body included. Bound: [`MAX_PENDING`] copies waiting in the
//! process, [`AT_ONCE`] on the wire a thread. Rule removed or lifted: copies whose time has not come are not sent. The proxy
//! drains: the same, while those that are due are sent to their end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_error::Result;
use pingora_http::RequestHeader;
use smallvec::SmallVec;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::books::{Scope, bump};
use crate::exchange::Open;
use crate::shared::{Alive, Shared};
use crate::timer::sleep_until;

/// Copies that an exchange set off.
pub(crate) type Launches = SmallVec<[Launch; 1]>;

/// The copies of one request for one rule, noted as pending in the books.
pub(crate) struct Launch {
    rule: Arc<str>,
    /// When each goes out.
    due: Vec<Instant>,
    request: Box<RequestHeader>,
    body: Bytes,
    peer: HttpPeer,
    edge: usize,
    scopes: SmallVec<[Arc<Scope>; 2]>,
}

/// Sends copies; one for each worker thread.
pub(crate) struct Copies {
    connector: Connector,
    permits: Semaphore,
}

/// Copies that wait or are under way in the whole process.
static PENDING: AtomicUsize = AtomicUsize::new(0);

impl Launch {
    /// Copies of an exchange that was forwarded and whose request is whole, for the rule at this place. `None`: too many wait
    /// already.
    pub(super) fn new(open: &Open, rule: usize, due: Vec<Instant>, shared: &Shared) -> Option<Self> {
        let request = open.forwarded.clone()?;
        let n = due.len();
        if PENDING.fetch_add(n, Ordering::AcqRel) + n > MAX_PENDING {
            PENDING.fetch_sub(n, Ordering::AcqRel);
            return None;
        }
        open.scopes.iter().for_each(|scope| due.iter().for_each(|_| scope.pend()));
        Some(Launch {
            rule: open.live.ids[rule].clone(),
            due,
            request,
            body: open.request_body.bytes(),
            peer: open.peer(shared),
            edge: open.edge,
            scopes: open.scopes.clone(),
        })
    }
}

impl Copies {
    pub(crate) fn new(connector: Connector) -> Self {
        Copies { connector, permits: Semaphore::new(AT_ONCE) }
    }

    /// Sends every copy from a task of its own, on this thread.
    pub(crate) fn launch(self: &Arc<Self>, launches: Launches, shared: &Arc<Shared>) {
        for launch in launches {
            let launch = Arc::new(launch);
            for due in launch.due.iter().copied() {
                let copy = Copy { launch: launch.clone(), handed_over: false, answered: false };
                tokio::spawn(self.clone().send(copy, due, (shared.clone(), shared.alive())));
            }
        }
    }

    async fn send(self: Arc<Self>, mut copy: Copy, due: Instant, (shared, alive): (Arc<Shared>, Alive)) {
        if is_wanted_until(due, &copy.launch.rule, &shared).await
            && let Ok(_permit) = self.permits.acquire().await
            && let Err(error) = self.exchange(&mut copy).await
        {
            tracing::debug!(%error, rule = &*copy.launch.rule, "a copy failed");
        }
        drop(copy);
        drop(alive);
    }

    /// One copy, its answer read and thrown away.
    async fn exchange(&self, copy: &mut Copy) -> Result<()> {
        let launch = copy.launch.clone();
        let (mut upstream, _) = self.connector.get_http_session(&launch.peer).await?;
        let mut request = launch.request.clone();
        request.remove_header(&TRANSFER_ENCODING);
        request.remove_header(&EXPECT); // its body follows at once
        request.set_version(if upstream.as_http2().is_some() { Version::HTTP_2 } else { Version::HTTP_11 });
        if !launch.body.is_empty() {
            request.insert_header(CONTENT_LENGTH, launch.body.len())?;
        }
        upstream.set_read_timeout(launch.peer.options.read_timeout);
        match &mut upstream {
            // what has no body says so, as the request did that it is a copy of
            HttpSession::H2(http2) => http2.write_request_header(request, launch.body.is_empty())?,
            other => other.write_request_header(request).await?,
        }
        copy.handed_over = true;
        if !launch.body.is_empty() {
            upstream.write_request_body(launch.body.clone(), true).await?;
        }
        upstream.finish_request_body().await?;
        upstream.read_response_header().await?;
        copy.answered = true;
        let body = async { while let Ok(Some(_)) = upstream.read_response_body().await {} };
        // an answer without an end is not waited for
        let _ = tokio::time::timeout(ANSWER_LIMIT, body).await;
        if upstream.response_done() {
            let idle = launch.peer.idle_timeout();
            self.connector.release_http_session(upstream, &launch.peer, idle).await;
        }
        Ok(())
    }
}

/// Waits until a copy is due. False: nobody wants it any more.
async fn is_wanted_until(due: Instant, rule: &str, shared: &Shared) -> bool {
    let mut changes = shared.rules.changes();
    while Instant::now() < due {
        // asked before each wait: what changed before we listened wakes nobody
        if shared.is_draining() || !shared.rules.holds(rule) {
            return false;
        }
        tokio::select! {
            biased;
            () = sleep_until(due) => break,
            _ = changes.changed() => {}
        }
    }
    true
}

/// A copy that is to be sent. Whatever becomes of it, dropped at the drain deadline included, is booked once.
struct Copy {
    launch: Arc<Launch>,
    handed_over: bool,
    /// The origin has counted it: what becomes of its answer is nobody's business.
    answered: bool,
}

impl Drop for Copy {
    fn drop(&mut self) {
        PENDING.fetch_sub(1, Ordering::AcqRel);
        for scope in &self.launch.scopes {
            if self.handed_over {
                scope.note(self.launch.edge, |books| {
                    bump(&mut books.storm_copies, &self.launch.rule);
                    books.upstream_attempts += 1;
                    books.ambiguous += u64::from(!self.answered);
                });
            }
            scope.pended();
        }
    }
}

/// The answer to a copy is read for at most this long.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Copies on the wire at once, for each worker thread.
const AT_ONCE: usize = 64;
/// Copies waiting in the process: their requests and bodies stay in memory until they are sent.
const MAX_PENDING: usize = 100_000;
