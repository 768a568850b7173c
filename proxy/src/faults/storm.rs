//! `storm`: the proxy plays a client that repeats at once.
//!
//! Client: sees the outcome of its own request, nothing of the copies. Upstream: the same request again, `copies`
//! times, body included. Bound: the rule's `max_amplification`, [`MAX_PENDING`] copies waiting in the process,
//! [`AT_ONCE`] on the wire a thread. Client leaves first: the storm depends on the outcome, not on the client; but a
//! request whose body was not sent to its end, or not kept whole, has no copies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use fault_rules::Action;
use fault_rules::decide::Why;
use http::Version;
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use pingora_core::connectors::http::Connector;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_error::Result;
use pingora_http::RequestHeader;
use smallvec::SmallVec;
use tokio::sync::Semaphore;

use crate::books::{Scope, bump};
use crate::exchange::{Became, Ending, Open};
use crate::shared::Shared;

/// Copies that an outcome set off.
pub(crate) type Launches = SmallVec<[Launch; 1]>;

/// The copies of one request for one rule.
pub(crate) struct Launch {
    rule: Arc<str>,
    copies: u32,
    request: Box<RequestHeader>,
    body: Bytes,
    peer: HttpPeer,
    edge: usize,
    scopes: SmallVec<[Arc<Scope>; 2]>,
}

/// Sends copies; one for each worker thread.
pub(crate) struct Storms {
    connector: Connector,
    permits: Semaphore,
}

/// Copies that wait or are under way in the whole process.
static PENDING: AtomicUsize = AtomicUsize::new(0);

/// Decides the storms of an exchange by its outcome, and notes the copies as pending.
pub(crate) fn set_off(open: &mut Open, ending: Ending, shared: &Arc<Shared>) -> Launches {
    let mut launches = Launches::new();
    for part in std::mem::take(&mut open.storms) {
        let live = open.live.clone();
        let Some(Action::Storm(storm)) = open.plan.parts[part].action(&live) else { continue };
        let rule = live.ids[open.plan.parts[part].rule].clone();
        let whole = matches!(ending, Ending::Delivered).then(|| open.answer.origin_status()).flatten();
        let set_off = storm.is_set_off_by(whole, open.elapsed()) && !shared.is_draining();
        let copies = match &open.forwarded {
            Some(_) if open.request_body.is_whole() && !open.answer.is_upgraded() => {
                shared.rules.gauges.storm_copies(&rule, storm, set_off)
            }
            _ => 0,
        };
        let fits = PENDING.load(Ordering::Acquire) + copies as usize <= MAX_PENDING;
        open.plan.parts[part].became = match (set_off, copies, fits) {
            (false, ..) => Became::Suppressed(Why::NotSetOff),
            (true, 0, _) => Became::Suppressed(Why::Amplification),
            (true, _, false) => Became::Suppressed(Why::Cap),
            (true, _, true) => Became::Applied(open.elapsed()),
        };
        let (Some(request), true, true) = (&open.forwarded, copies > 0, fits) else { continue };
        PENDING.fetch_add(copies as usize, Ordering::AcqRel);
        open.scopes.iter().for_each(|scope| (0..copies).for_each(|_| scope.pend()));
        launches.push(Launch {
            rule,
            copies,
            request: request.clone(),
            body: open.request_body.bytes(),
            peer: open.peer(shared).clone(),
            edge: open.edge,
            scopes: open.scopes.clone(),
        });
    }
    launches
}

impl Storms {
    pub(crate) fn new(connector: Connector) -> Self {
        Storms { connector, permits: Semaphore::new(AT_ONCE) }
    }

    /// Sends every copy from a task of its own, on this thread.
    pub(crate) fn launch(self: &Arc<Self>, launches: Launches, shared: &Arc<Shared>) {
        for launch in launches {
            let launch = Arc::new(launch);
            for _ in 0..launch.copies {
                let (storms, alive) = (self.clone(), shared.alive());
                let mut copy = Copy { launch: launch.clone(), handed_over: false, answered: false };
                tokio::spawn(async move {
                    if let Ok(_permit) = storms.permits.acquire().await
                        && let Err(error) = storms.exchange(&mut copy).await
                    {
                        tracing::debug!(%error, rule = &*copy.launch.rule, "storm copy failed");
                    }
                    drop(copy);
                    drop(alive);
                });
            }
        }
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
        upstream.write_request_header(request).await?;
        copy.handed_over = true;
        if !launch.body.is_empty() {
            upstream.write_request_body(launch.body.clone(), true).await?;
        }
        upstream.finish_request_body().await?;
        upstream.read_response_header().await?;
        copy.answered = true;
        while let Ok(Some(_)) = upstream.read_response_body().await {}
        if upstream.response_done() {
            let idle = launch.peer.idle_timeout();
            self.connector.release_http_session(upstream, &launch.peer, idle).await;
        }
        Ok(())
    }
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

/// Copies on the wire at once, for each worker thread.
const AT_ONCE: usize = 64;
/// Copies waiting in the process: their requests and bodies stay in memory until they are sent.
const MAX_PENDING: usize = 100_000;
